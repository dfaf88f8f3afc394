"""Weights from and to PyTorch, by state dicts and safetensors files. Runs on the host; PyTorch is not needed."""

from evojax_align.interop.conversion import Converter, converter
from evojax_align.interop.safetensors import read_safetensors, write_safetensors

__all__ = ["Converter", "converter", "read_safetensors", "write_safetensors"]
