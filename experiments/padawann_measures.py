"""What `padawann.py` measures of finished networks: their answers to test images, and what output layers learn."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab, pruning
from evojax_align._types import Array, PyTree

sys.path.insert(0, str(Path(__file__).parent))

from padawann_study import Row, Study, answered  # pyright: ignore[reportImplicitRelativeImport]

OUTPUT = "output"
"""The layer that transfer learning trains."""
BATCH, STEPS = 100, 480
"""Images of a step of that training, and the fewest steps: those of an epoch of the thesis's letters."""
NONE = 255
"""In place of the answer to an image that a row was not asked."""


def examine(study: Study, run: lab.Run, rows: list[Row]) -> dict[str, np.ndarray]:
    """The answers of every row to the test images of all data sets, [rows, trials, sets, images], at the shared value
    that is chosen on training images, or in the thesis's own modes on the test images themselves; and what follows.
    Rows whose values are an ensemble give its answers."""
    trials, sets = study.config.trials, len(study.sets)
    shape = len(rows), trials, sets
    longest = max(len(y) for _, y in study.test)
    start: dict[str, Any] = {
        name: np.full(shape, np.nan, np.float32) for name in ("accuracy", "loss", "value", "ensemble")
    }
    start["said"] = np.full((*shape, longest), NONE, np.uint8)

    def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        which, trial = divmod(number, trials)
        row = rows[which]
        kept = pruning.masked(*ea.population.take((row.masks, row.kept), trial))
        for place in range(sets):
            task = study.task(study.test, place, row.outputs[trial], row.apart)
            few = study.task(study.few, place, row.outputs[trial], row.apart)
            ask = partial(answered, row.network.module.apply, row.network.synapses, row.biases, kept)
            told = ask(jnp.asarray(row.values), task)
            judge = told, task.y
            if study.config.mode == "clean" and len(row.values) > 1:
                judge = ask(jnp.asarray(row.values), few), few.y
            rates = np.asarray((judge[0].classes == judge[1][None]).mean(axis=1))
            chosen, where = int(rates.argmax()), (which, trial, place)
            said = told.ensemble if row.over == "ensemble" else told.classes[chosen]
            found["accuracy"][where] = (said == task.y).mean()
            found["loss"][where] = told.losses[chosen].mean()
            found["value"][where] = row.values[chosen]
            found["ensemble"][where] = (told.ensemble == task.y).mean()
            asked = np.flatnonzero(np.asarray(study.test[place][1]) < int(task.y.max()) + 1)
            found["said"][(*where, asked)] = np.asarray(said)
        first, second = found["accuracy"][which, trial, :2]
        return found, {"first task": float(first), "second task": float(second)}

    return run.loop("tests", start, step, total=len(rows) * trials)


def transfer(study: Study, run: lab.Run, rows: list[Row], examined: dict[str, np.ndarray], key: Array) -> np.ndarray:
    """Test accuracy after the output layer has learnt a data set with dropout, [rows, trials, sets, times]: for an
    epoch as in the thesis, or for as many as make up its steps where there are fewer images. Weights of that layer that
    are dead may come back. Each time begins where the network was; in the mode "code" it goes on from the time before,
    as the thesis's program does."""
    config, sets = study.config, len(study.sets)
    found = np.full((len(rows), config.trials, sets, config.transfers), np.nan, np.float32)

    def step(number: int, found: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        which, trial = divmod(number, config.trials)
        row = rows[which]
        kept = pruning.masked(*ea.population.take((row.masks, row.kept), trial))
        for place in range(sets):
            value = float(examined["value"][which, trial, place])
            start = pruning.at_value(row.network.synapses, kept, value, biases=row.biases)
            start = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), start)
            data = study.train[place]
            if config.transferred:
                data = tuple(part[: config.transferred] for part in data)
            params, epochs = start, -(-STEPS // -(-len(data[1]) // BATCH))
            for time in range(config.transfers):
                of_time = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, number), place), time)
                begin = params if config.mode == "code" else start
                params = learnt(row.network.module.apply, epochs, begin, data, of_time)
                found[which, trial, place, time] = accuracy(row.network.module.apply, params, *study.test[place])
        return found, {"second task": float(found[which, trial, 1].mean())}

    return run.loop("transfer", found, step, total=len(rows) * config.trials)


@partial(jax.jit, static_argnums=(0, 1))
def learnt(apply: Any, epochs: int, params: PyTree, data: tuple[Array, Array], key: Array) -> PyTree:
    """A network whose output layer alone has learnt, as in the thesis's program."""
    labels = {"params": {name: "learns" if name == OUTPUT else "stays" for name in params["params"]}}
    rules: dict[Any, Any] = {"learns": optax.sgd(0.001, momentum=0.9), "stays": optax.set_to_zero()}
    optimizer = optax.multi_transform(rules, labels)
    settings = {"epochs": epochs, "batch_size": BATCH, "key": key, "noisy": True}
    return ea.training.descend(apply, optimizer, params, *data, **settings)[0]


@partial(jax.jit, static_argnums=0)
def accuracy(apply: Any, params: PyTree, x: Array, y: Array) -> Array:
    """Of one network."""
    return ea.training.evaluate(apply, params, x, y)[1]


def common(rows: list[Row], champions: Row) -> np.ndarray:
    """Of the synapses that each row has lost, the share that the champions have lost too, [rows, trials]; NaN for rows
    of other networks, and for those that have lost none."""
    found = np.full((len(rows), len(champions.outputs)), np.nan, np.float32)
    lost = [flat(champions, trial) for trial in range(found.shape[1])]
    for number, row in enumerate(rows):
        if row.network is champions.network:
            for trial, theirs in enumerate(lost):
                ours = flat(row, trial)
                found[number, trial] = (ours & theirs).sum() / ours.sum() if ours.any() else np.nan
    return found


def left(row: Row) -> np.ndarray:
    """How many synapses each network has, [trials]."""
    return np.asarray(jax.vmap(partial(pruning.total, row.network.synapses))(row.masks))


def flat(row: Row, trial: int) -> np.ndarray:
    """Which synapses a network has lost."""
    masks = row.network.synapses.of(ea.population.take(row.masks, trial)).values()
    return np.concatenate([~np.ravel(mask) for mask in masks])
