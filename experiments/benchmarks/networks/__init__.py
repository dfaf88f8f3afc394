"""A zoo of small networks in five styles, written as users of each framework write them.

Every network is a plain function of parameters and a batch, so that whatever reads networks from outside (the inference
of their symmetries, a benchmark, a test) sees of each framework only what it leaves in the jaxpr.
"""

import dataclasses
import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Apply = Callable[[Any, jax.Array], jax.Array]
Builder = Callable[[], tuple[Apply, Any, jax.Array]]

QUICK = {"xla_backend_optimization_level": 0}
"""Compiler options for initialisation, which runs once: its random draws take XLA seconds to optimise."""

PACKAGES = {"plain": "jax", "linen": "flax", "nnx": "flax", "equinox": "equinox", "haiku": "haiku"}
"""The framework of each module of the zoo, and the package that it needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network: `apply(params, x)` is its output on the batch `x`.

    Attributes:
        name: The architecture.
        framework: One of `PACKAGES`.
        apply: A traceable function of all that the network has learned and of a batch.
        params: Its parameters, running statistics among them; no two neurons are equal.
        x: A small batch.
    """

    name: str
    framework: str
    apply: Apply
    params: Any
    x: jax.Array


def randomised(params: Any, key: jax.Array, scale: float = 0.1) -> Any:
    """Disturb every floating leaf, so that biases, scales and statistics differ from neuron to neuron.

    A leaf `w` becomes `w + scale * noise`; one that is positive throughout, such as a running variance, becomes
    `w * exp(scale * noise)` and stays so.

    Args:
        params: A tree of arrays.
        key: The key of the noise.
        scale: The standard deviation of the noise.

    Returns:
        A tree of the same structure; other leaves are as they were.
    """
    leaves, structure = jax.tree.flatten(params)
    noises = normals(key, [leaf.shape for leaf in leaves])
    return structure.unflatten(
        _disturbed(leaf, scale * noise) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        for leaf, noise in zip(leaves, noises, strict=True)
    )


def _disturbed(leaf: jax.Array, noise: np.ndarray) -> jax.Array:
    values = np.asarray(leaf)
    return jnp.asarray(values * np.exp(noise) if np.all(values > 0) else values + noise, leaf.dtype)


def normals(key: jax.Array, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Normal numbers of many shapes, cut from a single draw: one compilation instead of one for each shape."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = np.split(np.asarray(jax.random.normal(key, (sum(sizes),))), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def reals(*shape: int) -> jax.Array:
    """A batch of normal numbers."""
    return jax.random.normal(jax.random.key(1), shape)


def tokens(*shape: int, vocabulary: int) -> jax.Array:
    """A batch of token numbers below `vocabulary`."""
    return jax.random.randint(jax.random.key(1), shape, 0, vocabulary)


def missing() -> list[str]:
    """The frameworks that are not installed."""
    return [framework for framework, package in PACKAGES.items() if importlib.util.find_spec(package) is None]


def names(framework: str | None = None) -> list[tuple[str, str]]:
    """The (framework, name) of every network, or of those of one framework; nothing is built.

    Raises:
        ValueError: If the zoo does not know the framework.
    """
    if framework is not None and framework not in PACKAGES:
        raise ValueError(f"framework: {framework!r} is none of {', '.join(PACKAGES)}.")
    absent = missing()
    wanted = [framework] if framework else list(PACKAGES)
    return [(each, name) for each in wanted if each not in absent for name in _builders(each)]


def network(framework: str, name: str) -> Network:
    """Build one network."""
    apply, params, x = _builders(framework)[name]()
    return Network(name, framework, apply, randomised(params, jax.random.key(2)), x)


def networks(framework: str | None = None) -> list[Network]:
    """Build every network, or those of one framework; frameworks that are not installed are left out."""
    return [network(*each) for each in names(framework)]


def _builders(framework: str) -> dict[str, Builder]:
    return importlib.import_module(f".{framework}", __name__).BUILDERS
