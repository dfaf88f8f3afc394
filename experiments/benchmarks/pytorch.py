"""The network of PyTorch's example for MNIST, in PyTorch, with the weights of one in Flax."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

PLACES = 12
"""Height and width of the maps that the dense layers see."""


def mnist_net() -> tuple[Any, Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], None]]:
    """The network on all cores, and a function that fills it with kernels and biases in the layout of Flax."""
    torch: Any = __import__("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    layers = [
        torch.nn.Conv2d(1, 32, 3),
        torch.nn.Conv2d(32, 64, 3),
        torch.nn.Linear(64 * PLACES**2, 128),
        torch.nn.Linear(128, 10),
    ]
    first, second, third, output = layers
    relu = torch.nn.ReLU()
    pool = [torch.nn.MaxPool2d(2), torch.nn.Flatten()]
    network = torch.nn.Sequential(first, relu, second, relu, *pool, third, relu, output)

    def fill(kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
        for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
            if layer is third:  # PyTorch flattens channels first
                kernel = kernel.reshape(PLACES, PLACES, 64, 128).transpose(2, 0, 1, 3).reshape(64 * PLACES**2, 128)
            kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
            layer.weight.data.copy_(torch.from_numpy(kernel.copy()))
            layer.bias.data.copy_(torch.from_numpy(bias.copy()))

    return network, fill
