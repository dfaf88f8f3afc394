"""The sizes of all rows, and the data that several of them use."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import population
from experiments.benchmarks.device.rows import CLASSES, PIXELS

LATENT = 64
"""Directions that images vary in, beside noise: neurons that see them correlate as those of trained networks do."""

ONES = ("scale", "var")
"""Leaves of normalisations that begin as ones."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """The sizes of all rows.

    Attributes:
        apart: whether rows whose first call matters run in fresh processes.
        starts: how often such rows are started anew.
        hidden: width of the fully connected networks.
        images: samples of CCA and of correlations.
        compared: samples on which pairs of networks are aligned.
        rank: main directions of SVCCA.
        pairs: of networks, for CCA.
        many: pairs that are aligned in one call.
        trained: samples of an epoch, a multiple of the batch.
        members: networks that are trained.
        swept: samples of a sweep.
        ts: children of a sweep.
        neurons: sides of the assignments.
        resnet: width, blocks of each stage, and side of the images.
        deep: width of three hidden layers, and of three wide ones.
        restarts: starts of weight matching.
        layers: lengths of the chains of dense layers.
        chain: their width.
        gpt: vocabulary, length, width, hidden width, blocks and heads.
        tokens: sequences, and their length, which is the length of the network.
        widths: of networks that are aligned, to fit an exponent.
        counts: of pairs, likewise.
        samples: likewise.
    """

    apart: bool = True
    starts: int = 3
    hidden: int = 512
    images: int = 10_000
    compared: int = 2000
    rank: int = 256
    pairs: int = 8
    many: int = 32
    trained: int = 25_600
    members: int = 8
    swept: int = 10_000
    ts: int = 25
    neurons: tuple[int, ...] = (64, 256, 512, 1024)
    resnet: tuple[int, int, int] = (16, 3, 32)
    deep: tuple[int, int] = (512, 2048)
    restarts: int = 8
    layers: tuple[int, ...] = (4, 8, 16, 32)
    chain: int = 128
    gpt: tuple[int, int, int, int, int, int] = (50_257, 64, 512, 2048, 6, 8)
    tokens: tuple[int, int] = (16, 64)
    widths: tuple[int, ...] = (128, 256, 512, 1024)
    counts: tuple[int, ...] = (4, 8, 16, 32)
    samples: tuple[int, ...] = (2000, 4000, 8000, 16_000)


FULL = Scale()
SMALL = Scale(
    apart=False,
    starts=1,
    hidden=16,
    images=100,
    compared=60,
    rank=8,
    pairs=2,
    many=2,
    trained=256,
    members=2,
    swept=100,
    ts=5,
    neurons=(8, 20),
    resnet=(4, 1, 8),
    deep=(12, 16),
    restarts=2,
    layers=(2, 4),
    chain=8,
    gpt=(11, 8, 12, 20, 2, 3),
    tokens=(8, 8),
    widths=(8, 16),
    counts=(1, 2),
    samples=(40, 80),
)


def images(count: int) -> jax.Array:
    """Random images in [0, 1] whose pixels vary together."""
    random = np.random.default_rng(count)
    mixed = random.standard_normal((count, LATENT), np.float32) @ random.standard_normal((LATENT, PIXELS), np.float32)
    noisy = mixed / np.float32(LATENT**0.5) + np.float32(0.3) * random.standard_normal((count, PIXELS), np.float32)
    return jnp.asarray(1 / (1 + np.exp(-noisy)))


def drawn(network: Any, count: int, shape: Sequence[int]) -> Any:
    """A population of untrained networks for inputs of this shape, drawn by NumPy: no program is compiled for it."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))

    def leaf(path: Any, of: jax.ShapeDtypeStruct) -> jax.Array:
        if path[-1].key in ONES:
            return jnp.ones((count, *of.shape))
        if len(of.shape) < 2:
            return jnp.zeros((count, *of.shape))
        entries = random.standard_normal((count, *of.shape), np.float32)
        return jnp.asarray(entries * np.float32((2 / math.prod(of.shape[:-1])) ** 0.5))

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def mlps(hidden: Sequence[int], count: int) -> tuple[ea.models.MLP, Any]:
    """A fully connected network for images, and an untrained population."""
    network = ea.models.MLP(hidden=tuple(hidden))
    return network, drawn(network, count, (PIXELS,))


def resnets(scale: Scale) -> tuple[ea.models.ResNet, list[Any], jax.Array]:
    """A residual network, two sets of parameters, and images for it."""
    width, blocks, side = scale.resnet
    network, shape = ea.models.ResNet(width, blocks), (side, side, 3)
    x = np.random.default_rng(1).standard_normal((64, *shape), np.float32)
    return network, population.unstack(drawn(network, 2, shape)), jnp.asarray(x)


def layers(pairs: int, samples: int, hidden: int) -> tuple[jax.Array, jax.Array]:
    """Activations of the hidden layers of pairs of networks on the same images: two of [pairs, samples, hidden]."""
    _, pop = mlps((hidden,), 2 * pairs)
    x = np.asarray(images(samples))
    found = [np.maximum(x @ kernel, 0) for kernel in np.asarray(pop["params"]["hidden_0"]["kernel"])]
    return jnp.asarray(np.stack(found[::2])), jnp.asarray(np.stack(found[1::2]))


def name_of(hidden: Sequence[int]) -> str:
    """784-512-10, or 784-512x3-10."""
    same = f"{hidden[0]}x{len(hidden)}" if len(hidden) > 1 else f"{hidden[0]}"
    return f"{PIXELS}-{same}-{CLASSES}"
