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
from evojax_align.evolution import Padawann
from evojax_align.pruning import Task

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
        algorithm: it says how the network is computed, and how shared values become one answer.
        kept: what is kept of its weights.
        masks: which of them are alive.
        values: the shared values that it is tested at.
        outputs: those of the second task.
        apart: whether the second task has an output layer of its own.
    """

    name: str
    algorithm: Padawann
    kept: PyTree
    masks: PyTree
    values: tuple[float, ...]
    outputs: np.ndarray
    apart: bool

    def answers(self, task: Task) -> dict[str, np.ndarray]:
        """What it predicts at its shared values: the fields of `pruning.Answers`."""
        a, values = self.algorithm, np.asarray(self.values, np.float32)
        return jax.tree.map(np.asarray, answered(a.apply, a.synapses, a.biases, self.kept, self.masks, values, task))

    @property
    def lost(self) -> np.ndarray:
        """Which synapses are pruned."""
        return np.concatenate([~np.ravel(mask) for mask in self.algorithm.synapses.of(self.masks).values()])

    @property
    def synapses(self) -> int:
        """How many are alive."""
        return int((~self.lost).sum())


@partial(jax.jit, static_argnums=(0, 1, 2))
def answered(
    apply: Any, synapses: Any, biases: str, kept: PyTree, masks: PyTree, values: Array, task: Task
) -> dict[str, Array]:
    """What one network predicts for a task at several shared values."""
    return vars(pruning.answers(apply, synapses, pruning.masked(masks, kept), values, task, biases=biases))


@partial(jax.jit, static_argnums=(0, 1))
def valued(synapses: Any, biases: str, kept: PyTree, masks: PyTree, value: float) -> PyTree:
    """The parameters of a network at a shared value."""
    params = pruning.at_value(synapses, pruning.masked(masks, kept), value, biases=biases)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)


def examine(problem: "Problem", run: lab.Run, rows: list[Row]) -> dict[str, np.ndarray]:
    """Every network on the test images of every data set, [rows, sets, ...].

    The shared value is chosen on training images, or in the modes "text" and "code", as in the thesis, on the test
    images. "confusion" counts test images by class and prediction; "right" is 1 or 0 for each test image, -1 for images
    of classes that the network has no outputs for.
    """
    shape = len(rows), len(problem.sets)
    start: dict[str, Any] = {n: np.full(shape, np.nan, np.float32) for n in ("accuracy", "loss", "value", "ensemble")}
    start["confusion"] = np.zeros((*shape, problem.classes, problem.classes), np.int32)
    start["right"] = np.full((*shape, max(y.size for _, y in problem.test)), -1, np.int8)

    def step(number: int, found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        row = rows[number]
        for place in range(len(problem.sets)):
            task, few = (problem.task(part, place, row.outputs, row.apart) for part in (problem.test, problem.few))
            tested, y, where = row.answers(task), np.asarray(task.y), (number, place)
            unseen = problem.config.mode == "clean" and len(row.values) > 1
            judged, labels = (row.answers(few), few.y) if unseen else (tested, task.y)
            chosen = int((judged["classes"] == np.asarray(labels)[None]).mean(axis=1).argmax())
            given = tested["ensemble"] if row.algorithm.over == "ensemble" else tested["classes"][chosen]
            found["accuracy"][where] = (given == y).mean()
            found["loss"][where] = tested["losses"][chosen].mean()
            found["value"][where] = row.values[chosen]
            found["ensemble"][where] = (tested["ensemble"] == y).mean()
            np.add.at(found["confusion"][where], (y, given), 1)
            asked = np.flatnonzero(problem.test[place][1] <= y.max())
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
    config, apply = problem.config, row.algorithm.apply
    begun = partial(valued, row.algorithm.synapses, row.algorithm.biases, row.kept, row.masks)

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        place, time = divmod(number, config.transfers)
        params = begun(values[place])
        if time and config.mode == "code":
            params["params"][OUTPUT] = state[OUTPUT]
        data = tuple(part[: config.transferred or None] for part in problem.train[place])
        epochs = -(-STEPS // -(-len(data[1]) // BATCH))
        params = learnt(apply, epochs, params, data, jax.random.fold_in(key, number))
        state["accuracy"][place, time] = accuracy(apply, params, *problem.test[place])
        return state | {OUTPUT: params["params"][OUTPUT]}, {"accuracy": float(state["accuracy"][place, time])}

    shape = len(problem.sets), config.transfers
    start = {"accuracy": np.full(shape, np.nan, np.float32), OUTPUT: begun(values[0])["params"][OUTPUT]}
    return run.loop(f"transfer, {row.name}", start, step, total=shape[0] * shape[1])["accuracy"].mean(axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def learnt(apply: Any, epochs: int, params: PyTree, data: tuple[Array, Array], key: Array) -> PyTree:
    """A network of which the output layer was trained, as in the thesis's program."""
    labels = {"params": {name: "learns" if name == OUTPUT else "stays" for name in params["params"]}}
    rules: dict[Any, Any] = {"learns": optax.sgd(0.001, momentum=0.9), "stays": optax.set_to_zero()}
    settings = {"epochs": epochs, "batch_size": BATCH, "key": key, "noisy": True}
    return ea.training.descend(apply, params, *data, optax.multi_transform(rules, labels), **settings)[0]


@partial(jax.jit, static_argnums=0)
def accuracy(apply: Any, params: PyTree, x: Array, y: Array) -> Array:
    """Of one network."""
    return ea.training.evaluate(apply, params, x, y).accuracy
