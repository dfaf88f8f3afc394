"""The sizes of all rows, and the data that several of them use."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import evojax_align as ea
from evojax_align import population
from experiments.benchmarks.device.rows import CLASSES, PIXELS, networks

LATENT = 64
"""Directions that images vary in, beside noise: neurons that see them correlate as those of trained networks do."""


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
        tokens: sequences and their length.
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
    gpt: tuple[int, int, int, int, int, int] = (50_257, 1024, 512, 2048, 6, 8)
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
    keys = jax.random.split(jax.random.key(count), 3)
    latent = jax.random.normal(keys[0], (count, LATENT)) @ jax.random.normal(keys[1], (LATENT, PIXELS)) / LATENT**0.5
    return jax.nn.sigmoid(latent + 0.3 * jax.random.normal(keys[2], (count, PIXELS)))


def mlps(hidden: Sequence[int], count: int) -> tuple[ea.models.MLP, Any]:
    """A fully connected network for images, and an untrained population."""
    network = ea.models.MLP(hidden=tuple(hidden))
    return network, networks(network, count)


def resnets(scale: Scale) -> tuple[ea.models.ResNet, list[Any], jax.Array]:
    """A residual network, two sets of parameters, and images for it."""
    width, blocks, side = scale.resnet
    network, shape = ea.models.ResNet(width, blocks), (side, side, 3)
    x = jax.random.normal(jax.random.key(3), (64, *shape))
    return network, population.unstack(networks(network, 2, shape)), x


def layers(pairs: int, samples: int, hidden: int) -> tuple[jax.Array, jax.Array]:
    """Activations of the hidden layers of pairs of networks on the same images: two of [pairs, samples, hidden]."""
    _, pop = mlps((hidden,), 2 * pairs)
    first, x = pop["params"]["hidden_0"], images(samples)
    found = [jax.nn.relu(x @ kernel + bias[None]) for kernel, bias in zip(first["kernel"], first["bias"], strict=True)]
    return jnp.stack(found[::2]), jnp.stack(found[1::2])


def name_of(hidden: Sequence[int]) -> str:
    """784-512-10, or 784-512x3-10."""
    same = f"{hidden[0]}x{len(hidden)}" if len(hidden) > 1 else f"{hidden[0]}"
    return f"{PIXELS}-{same}-{CLASSES}"
