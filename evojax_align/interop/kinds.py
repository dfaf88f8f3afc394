"""Conventions for the axes of one array in PyTorch and in JAX, each as a function there and back.

| kind | PyTorch | here |
|---|---|---|
| `same` | any shape | the same; axes of length 1 may be more or fewer, and a vector may be several axes |
| `linear` | out, in | in, out; each may be several axes, such as heads and their channels |
| `conv` | out, in / groups, window | window, in / groups, out |
| `conv_transpose` | in, out / groups, window | window reversed, in / groups, out |
| `rows` | layers x out, in, or layers x out | `linear` or `same` for each layer: gates, or query, key, value |
| `sum`, `sum_second` | two biases, gates x hidden | one, hidden for each gate |
| `gru` | two biases, 3 x hidden | hidden for r, z and n, and one more for n |

`conv` is also right for a transposed convolution of Flax with `transpose_kernel=True`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NAMES = ("same", "linear", "conv", "conv_transpose")
Shape = tuple[int, ...]


class Reorder(NamedTuple):
    """A flattened feature map along an axis of a tensor: PyTorch's channels vary slowest, here they vary fastest."""

    axis: int
    space: Shape

    def apply(self, tensor: np.ndarray, back: bool = False) -> np.ndarray:
        """The tensor with the axis in the order that is used here, or with `back` in PyTorch's."""
        before, after = tensor.shape[: self.axis], tensor.shape[self.axis + 1 :]
        channels = tensor.shape[self.axis] // math.prod(self.space)
        first, last = self.axis, self.axis + len(self.space)
        if back:
            parts = np.moveaxis(tensor.reshape(*before, *self.space, channels, *after), last, first)
        else:
            parts = np.moveaxis(tensor.reshape(*before, channels, *self.space, *after), first, last)
        return parts.reshape(tensor.shape)


class Link(NamedTuple):
    """Tensors and the leaves that hold the same weights."""

    tensors: tuple[str, ...]
    leaves: tuple[str, ...]
    kind: str
    reorder: tuple[Reorder, ...] = ()

    @property
    def summed(self) -> bool:
        """Whether the leaves hold the sum of the tensors, rather than each the same."""
        return self.kind in ("sum", "sum_second", "gru")


def fits(kind: str, tensor: Shape, leaf: Shape, *, grouped: bool = False) -> bool:
    """Whether a tensor of one shape becomes a leaf of another by a kind of `NAMES`."""
    match kind:
        case "same":
            if len(tensor) == 1:
                return tensor[0] == math.prod(leaf)
            return [size for size in tensor if size != 1] == [size for size in leaf if size != 1]
        case "linear":
            splits = [(math.prod(leaf[n:]), math.prod(leaf[:n])) for n in range(1, len(leaf))]
            return len(tensor) == 2 and tensor in splits
        case "conv":
            return len(tensor) > 2 and leaf == (*tensor[2:], tensor[1], tensor[0])
        case _:
            if not len(tensor) == len(leaf) > 2 or leaf[-2] < 1 or tensor[0] % leaf[-2]:
                return False
            groups = tensor[0] // leaf[-2]
            return leaf == (*tensor[2:], leaf[-2], tensor[1] * groups) and (groups == 1 or grouped)


def to_leaves(link: Link, tensors: Sequence[np.ndarray], shapes: Sequence[Shape]) -> list[np.ndarray]:
    """The leaves of the given shapes."""
    tensors = [_reordered(link, tensor) for tensor in tensors]
    tensor, parts = tensors[0], len(shapes)
    match link.kind:
        case "same":
            return [tensor.reshape(shapes[0])]
        case "linear":
            return [tensor.T.reshape(shapes[0])]
        case "conv":
            return [np.moveaxis(tensor, (0, 1), (-1, -2))]
        case "conv_transpose":
            inputs = shapes[0][-2]
            grouped = tensor.reshape(-1, inputs, *tensor.shape[1:])  # [groups, in, out, window]
            window = tuple(range(3, grouped.ndim))
            kernel = np.transpose(np.flip(grouped, window), (*window, 1, 0, 2))
            return [kernel.reshape(shapes[0])]
        case "rows":
            return [rows.T.reshape(shape) for rows, shape in zip(np.split(tensor, parts), shapes, strict=True)]
        case "gru":
            (r, z, n), (r_h, z_h, n_h) = (np.split(bias, 3) for bias in tensors)
            return [r + r_h, z + z_h, n, n_h]
        case _:
            return np.split(tensor + tensors[1], parts)


def to_tensors(link: Link, leaves: Sequence[np.ndarray], shapes: Sequence[Shape]) -> list[np.ndarray]:
    """The tensors of the given shapes; tensors that share one leaf are equal."""
    leaf = leaves[0]
    match link.kind:
        case "same":
            found = [leaf.reshape(shape) for shape in shapes]
        case "linear":
            found = [leaf.reshape(shape[::-1]).T for shape in shapes]
        case "conv":
            found = [np.moveaxis(leaf, (-1, -2), (0, 1)) for _ in shapes]
        case "conv_transpose":
            *sizes, inputs, _ = leaf.shape
            grouped = leaf.reshape(*sizes, inputs, -1, shapes[0][1])
            window = tuple(range(len(sizes)))
            kernel = np.transpose(np.flip(grouped, window), (-2, -3, -1, *window))
            found = [kernel.reshape(shape) for shape in shapes]
        case "rows":
            inputs = shapes[0][1:]
            found = [np.concatenate([leaf.reshape(*inputs, -1).T for leaf in leaves])]
        case "gru":
            r, z, n, n_h = leaves
            found = [np.concatenate([r, z, n]), np.concatenate([np.zeros_like(r), np.zeros_like(z), n_h])]
        case _:
            bias = np.concatenate(leaves)
            found = [bias, np.zeros_like(bias)] if link.kind == "sum" else [np.zeros_like(bias), bias]
    return [_reordered(link, tensor, back=True) for tensor in found]


def _reordered(link: Link, tensor: np.ndarray, back: bool = False) -> np.ndarray:
    for reorder in link.reorder:
        tensor = reorder.apply(tensor, back)
    return tensor
