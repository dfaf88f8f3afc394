"""What is measured of finished networks: accuracy on test images, and what their output layers learn."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab, pruning
from evojax_align._types import Array, PyTree
from evojax_align.pruning import Synapses, Task

if TYPE_CHECKING:
    from experiments.padawann.study import Problem

OUTPUT = "output"
"""The layer that transfer learning trains."""
BATCH, STEPS = 100, 480
"""Images of a step of that training, and the fewest steps: those of an epoch of the thesis's letters."""


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A network that is compared with others.

    Attributes:
        name: of the variant that it is the champion of, or of a control.
        module: its architecture.
        synapses: which leaves are pruned.
        kept: what is kept of its weights.
        masks: which of them are alive.
        values: the shared values that it is tested at.
        biases: as in `pruning.at_value`.
        over: how values become one answer: as one "ensemble", or else the best one is chosen.
        outputs: those of the second task; None takes all in order.
        apart: whether the second task has an output layer of its own.
    """

    name: str
    module: Any
    synapses: Synapses
    kept: PyTree
    masks: PyTree
    values: tuple[float, ...]
    biases: str
    over: str
    outputs: Array | None
    apart: bool

    def answers(self, values: tuple[float, ...], task: Task) -> pruning.Answers:
        """What it predicts at several shared values."""
        kept = pruning.masked(self.masks, self.kept)
        return answered(self.module.apply, self.synapses, self.biases, kept, jnp.asarray(values), task)


@partial(jax.jit, static_argnums=(0, 1, 2))
def answered(apply: Any, synapses: Any, biases: str, kept: PyTree, values: Array, task: Task) -> pruning.Answers:
    """What one network predicts for a task at several shared values."""
    return pruning.answers(apply, synapses, kept, values, task, biases=biases)


def examine(problem: "Problem", run: lab.Run, rows: list[Row]) -> dict[str, np.ndarray]:
    """Every network on the test images of every data set, [rows, sets, ...].

    The shared value is chosen on training images, or in the modes "text" and "code", as in the thesis, on the test
    images. "confusion" counts test images by class and prediction; "right" is 1 or 0 for each test image, -1 for images
    of classes that the network has no outputs for.
    """
    shape = len(rows), len(problem.sets)
    longest = max(y.size for _, y in problem.test)
    start = {name: np.full(shape, np.nan, np.float32) for name in ("accuracy", "loss", "value", "ensemble")}
    start["confusion"] = np.zeros((*shape, problem.classes, problem.classes), np.int32)
    start["right"] = np.full((*shape, longest), -1, np.int8)

    def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        row = rows[number]
        for place in range(len(problem.sets)):
            task, few = (problem.task(part, place, row.outputs, row.apart) for part in (problem.test, problem.few))
            tested, y, where = row.answers(row.values, task), np.asarray(task.y), (number, place)
            judged, labels = tested, task.y
            if problem.config.mode == "clean" and len(row.values) > 1:
                judged, labels = row.answers(row.values, few), few.y
            chosen = int((judged.classes == labels[None]).mean(axis=1).argmax())
            given = np.asarray(tested.ensemble if row.over == "ensemble" else tested.classes[chosen])
            found["accuracy"][where] = (given == y).mean()
            found["loss"][where] = tested.losses[chosen].mean()
            found["value"][where] = row.values[chosen]
            found["ensemble"][where] = (tested.ensemble == task.y).mean()
            np.add.at(found["confusion"][where], (y, given), 1)
            asked = np.flatnonzero(np.asarray(problem.test[place][1]) <= y.max())
            found["right"][(*where, asked)] = given == y
        first, second = found["accuracy"][number, :2]
        return found, {"first task": float(first), "second task": float(second)}

    return run.loop("tests", start, step, total=len(rows))


def transfer(problem: "Problem", run: lab.Run, row: Row, values: np.ndarray, key: Array) -> np.ndarray:
    """Test accuracy after the output layer was trained on each data set, mean over repetitions, [sets].

    It is trained with dropout, for an epoch as in the thesis, or for as many as make up its steps where there are fewer
    images. Pruned weights of that layer may come back. Each repetition begins at the network, or in the mode "code", as
    in the thesis's program, where the one before ended.
    """
    config, apply = problem.config, row.module.apply

    def begun(place: int) -> PyTree:
        kept, value = pruning.masked(row.masks, row.kept), float(values[place])
        params = pruning.at_value(row.synapses, kept, value, biases=row.biases)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        place, time = divmod(number, config.transfers)
        params = begun(place)
        if time and config.mode == "code":
            params["params"][OUTPUT] = state[OUTPUT]
        data = tuple(part[: config.transferred or None] for part in problem.train[place])
        epochs = -(-STEPS // -(-len(data[1]) // BATCH))
        params = learnt(apply, epochs, params, data, jax.random.fold_in(key, number))
        state["accuracy"][place, time] = accuracy(apply, params, *problem.test[place])
        return state | {OUTPUT: params["params"][OUTPUT]}, {"accuracy": float(state["accuracy"][place, time])}

    shape = len(problem.sets), config.transfers
    start = {"accuracy": np.full(shape, np.nan, np.float32), OUTPUT: begun(0)["params"][OUTPUT]}
    found = run.loop(f"transfer, {row.name}", start, step, total=shape[0] * shape[1])
    return found["accuracy"].mean(axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def learnt(apply: Any, epochs: int, params: PyTree, data: tuple[Array, Array], key: Array) -> PyTree:
    """A network of which the output layer was trained, as in the thesis's program."""
    labels = {"params": {name: "learns" if name == OUTPUT else "stays" for name in params["params"]}}
    rules: dict[Any, Any] = {"learns": optax.sgd(0.001, momentum=0.9), "stays": optax.set_to_zero()}
    optimizer = optax.multi_transform(rules, labels)
    settings = {"epochs": epochs, "batch_size": BATCH, "key": key, "noisy": True}
    return ea.training.descend(apply, optimizer, params, *data, **settings)[0]


@partial(jax.jit, static_argnums=0)
def accuracy(apply: Any, params: PyTree, x: Array, y: Array) -> Array:
    """Of one network."""
    return ea.training.evaluate(apply, params, x, y)[1]


def common(row: Row, champion: Row) -> float:
    """Of the synapses that a network has lost, the share that the champion has lost too; NaN if it has lost none."""
    ours, theirs = (lost(one) for one in (row, champion))
    return float((ours & theirs).sum() / ours.sum()) if ours.any() else np.nan


def lost(row: Row) -> np.ndarray:
    """Which synapses of a network are pruned."""
    return np.concatenate([~np.ravel(mask) for mask in row.synapses.of(row.masks).values()])
