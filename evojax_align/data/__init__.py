"""Labelled images for experiments: two built-in sets, public sets that are downloaded, and files in a folder."""

from evojax_align.data.dataset import Dataset, Part
from evojax_align.data.loading import load, names

__all__ = ["Dataset", "Part", "load", "names"]
