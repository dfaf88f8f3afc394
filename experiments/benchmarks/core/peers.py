"""What the library is compared with: CCA in NumPy, training in plain JAX and in PyTorch, exact assignment elsewhere."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from experiments.benchmarks.core.ways import SharedOut, Way
from experiments.benchmarks.device import peers
from experiments.benchmarks.device.rows import ADAM

FLOOR = 1e-6
"""Directions of less variance than this part of the largest are rounding noise, as in the library."""


def numpy_cca(x: np.ndarray, y: np.ndarray, rank: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CCA in float32, by the covariances of standardised columns and their eigenvectors; with a rank SVCCA.

    Returns:
        The correlations, and the weights of both sides.
    """
    x, y = standardised(x), standardised(y)
    basis_x, basis_y = whitening(x, rank), whitening(y, rank)
    u, correlations, vt = np.linalg.svd(basis_x.T @ (x.T @ y / np.float32(len(x))) @ basis_y, full_matrices=False)
    return correlations, basis_x @ u, basis_y @ vt.T


def standardised(x: np.ndarray) -> np.ndarray:
    """Centred columns of unit variance; constant ones are zero."""
    x = x - x.mean(axis=0)
    size = np.sqrt(np.square(x).mean(axis=0))
    return x / np.where(size > 0, size, 1)


def whitening(x: np.ndarray, rank: int | None) -> np.ndarray:
    """The directions of largest variance, each divided by its standard deviation."""
    variances, directions = np.linalg.eigh(x.T @ x / np.float32(len(x)))
    kept = variances > FLOOR * variances[-1]
    if rank is not None:
        kept[:-rank] = False
    return directions[:, kept] / np.sqrt(variances[kept])


def plain_epoch(params: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[Any, jax.Array]:
    """An epoch of one network in plain JAX: (kernel, bias, output kernel); trained parameters, and the mean loss."""

    def lost(params: Any, index: jax.Array) -> jax.Array:
        kernel, bias, output = params
        hidden = jax.nn.relu(x[index] @ kernel + bias[None])
        return optax.softmax_cross_entropy_with_integer_labels(hidden @ output, y[index]).mean()

    def step(state: Any, index: jax.Array) -> Any:
        params, opt_state = state
        loss, gradient = jax.value_and_grad(lost)(params, index)
        updates, opt_state = ADAM.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    order = jax.random.permutation(key, len(y)).reshape(-1, peers.BATCH)
    (params, _), losses = jax.lax.scan(step, (params, ADAM.init(params)), order)
    return params, losses.mean()


def plain_population(params: Any, keys: jax.Array, x: jax.Array, y: jax.Array) -> Callable[[], Any]:
    """The same of a population: one program, a device for each core, on which the data lie already."""
    mesh = jax.make_mesh((jax.device_count(),), ("members",), axis_types=(AxisType.Auto,))
    specs = PartitionSpec("members"), PartitionSpec("members"), PartitionSpec(), PartitionSpec()

    def all_of_them(params: Any, keys: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        return jax.lax.map(lambda member: plain_epoch(member[0], member[1], x, y), (params, keys))

    placed = [
        jax.device_put(part, NamedSharding(mesh, spec)) for part, spec in zip((params, keys, x, y), specs, strict=True)
    ]
    shared = jax.shard_map(all_of_them, mesh=mesh, in_specs=specs, out_specs=specs[0], check_vma=False)
    return partial(jax.jit(shared), *placed)


def torch_epoch(prepare: Callable[[], tuple[np.ndarray, np.ndarray]], members: int, hidden: int, threads: int) -> Any:
    """An epoch of each network in PyTorch, with a fused optimiser."""
    torch: Any = __import__("torch")
    torch.set_num_threads(threads)
    return peers.loop(members, hidden, *prepare(), compiled=False, fused=True)


def torch_processes(prepare: Callable[[], tuple[np.ndarray, np.ndarray]], members: int, hidden: int) -> SharedOut:
    """The same in a process of one thread for each core."""
    cores = min(os.cpu_count() or 1, members)
    return SharedOut(Way("PyTorch", partial(torch_epoch, prepare, members // cores, hidden, 1)), cores)


def optax_assignment(scores: np.ndarray) -> Callable[[], Any]:
    """optax's solver, compiled."""
    costs, solve = jnp.asarray(-scores), jax.jit(optax.assignment.hungarian_algorithm)
    return lambda: solve(costs)


def lapx_assignment(scores: np.ndarray) -> Callable[[], Any]:
    """The algorithm of Jonker and Volgenant in C++, by the package lapx."""
    lap: Any = __import__("lap")
    costs = -scores.astype(np.float64)
    return lambda: lap.lapjv(costs)[1]
