"""Rows of gradient descent, and of sweeps between two networks."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import crossover, interpolation, population
from evojax_align import training as descent
from experiments.benchmarks.core.measuring import Row, times
from experiments.benchmarks.core.peers import plain_epoch, plain_population, torch_epoch, torch_processes
from experiments.benchmarks.core.scale import Scale, images, mlps, name_of
from experiments.benchmarks.core.ways import Way, seconds_of_parts
from experiments.benchmarks.device.peers import BATCH
from experiments.benchmarks.device.rows import ADAM, CLASSES


def training(scale: Scale) -> list[Row]:
    """An epoch of one network on one device, and of several on a device for each core."""
    cores = os.cpu_count() or 1
    name = f"{name_of((scale.hidden,))}, an epoch of {scale.trained} samples"
    goal = times("plain JAX", 1.0)
    data = partial(_arrays, scale.trained)
    one = (
        Way("ours", partial(_fit, 1, scale.hidden, scale.trained), _loss),
        Way("plain JAX", partial(_plain, 1, scale.hidden, scale.trained), _loss),
        Way("PyTorch, fused", partial(torch_epoch, data, 1, scale.hidden, cores), _loss, needs="torch"),
    )
    devices = {"JAX_NUM_CPU_DEVICES": f"{cores}"} if scale.apart else {}
    size = scale.members, scale.hidden
    several = (
        Way("ours", partial(_fit, *size, scale.trained), _loss, devices),
        Way("plain JAX", partial(_plain, *size, scale.trained), _loss, devices),
        Way("PyTorch, fused", partial(torch_epoch, data, *size, cores), _loss, needs="torch"),
        Way("PyTorch, fused, processes", partial(torch_processes, data, *size), seconds_of_parts, needs="torch"),
    )
    settings: dict[str, Any] = {"unit": "samples", "goals": (goal,), "fresh": scale.apart}
    return [
        Row(f"training {name}", "training", one, scale.trained, **settings),
        Row(f"training {scale.members} x {name}", "training many", several, scale.members * scale.trained, **settings),
    ]


def sweep(scale: Scale) -> list[Row]:
    """Children along the line through two networks, in one program each way."""
    size = scale.hidden, scale.swept, scale.ts
    name = f"sweep of {scale.ts} t, {name_of((scale.hidden,))}, {scale.swept} samples"
    ways = Way("ours", partial(_sweep, *size), _loss), Way("plain JAX", partial(_each_child, *size), _loss)
    return [Row(name, "sweep", ways, scale.ts * scale.swept, "evaluations", goals=(times("plain JAX", 1.0),))]


def _data(count: int) -> tuple[jax.Array, jax.Array]:
    return images(count), jnp.asarray(np.random.default_rng(5).integers(0, CLASSES, count), jnp.int32)


def _arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = _data(count)
    return np.array(x), np.array(y)


def _fit(members: int, hidden: int, samples: int) -> Callable[[], Any]:
    network, pop = mlps((hidden,), members)
    data, key, mesh = _data(samples), jax.random.key(2), population.devices()
    settings: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "key": key, "mesh": mesh if members > 1 else None}

    def run() -> tuple[Any, jax.Array]:
        trained, history = descent.fit(network.apply, pop, data, ADAM, **settings)
        return trained, history.loss

    return run


def _plain(members: int, hidden: int, samples: int) -> Callable[[], Any]:
    pop, keys = mlps((hidden,), members)[1]["params"], jax.random.split(jax.random.key(2), members)
    params = pop["hidden_0"]["kernel"], pop["hidden_0"]["bias"], pop["output"]["kernel"]
    if members > 1:
        return plain_population(params, keys, *_data(samples))
    return partial(jax.jit(plain_epoch), population.take(params, 0), keys[0], *_data(samples))


def _sweep(hidden: int, samples: int, count: int) -> Callable[[], Any]:
    network, pop = mlps((hidden,), 2)
    (a, b), (x, y) = population.unstack(pop), _data(samples)
    ts = jnp.linspace(-0.25, 1.25, count)
    return lambda: interpolation.sweep(network.apply, a, b, x, y, ts=ts).loss


def _each_child(hidden: int, samples: int, count: int) -> Callable[[], Any]:
    network, pop = mlps((hidden,), 2)
    (a, b), (x, y) = population.unstack(pop), _data(samples)

    @jax.jit
    def run(a: Any, b: Any, x: jax.Array, y: jax.Array, ts: jax.Array) -> jax.Array:
        def child(t: jax.Array) -> jax.Array:
            logits = jnp.asarray(network.apply(crossover.arithmetic(a, b, t), x))
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        return jax.lax.map(child, ts)

    return partial(run, a, b, x, y, jnp.linspace(-0.25, 1.25, count))


def _loss(value: Any) -> dict[str, Any]:
    """The mean of what is returned last, so that ways can be compared by what they reach."""
    last = value[-1] if isinstance(value, tuple) else value
    return {"loss": float(np.mean(np.asarray(last)))}
