"""Midpoints of deep networks with batch normalisation: naive, aligned, and repaired.

Pairs of VGG or ResNet are trained and aligned by activations and by weights. Children on the line between the parents
are scored as they are, with the statistics of batch normalisation estimated again, and repaired (Jordan et al. 2023,
"REPAIR"). The controls are children of parents that were not aligned. A cell is a pair.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab, plotting
from evojax_align._types import Apply, Array, PyTree
from evojax_align.alignment import reestimate, repair
from evojax_align.data import Dataset
from experiments.common import above
from experiments.safe_crossover.config import Deep

METHODS = {"none": "naive", "correlation": "aligned by activations", "weights": "aligned by weights"}
REPAIRS = {"as it is": "as it is", "reestimated": "statistics estimated again", "repair": "REPAIR"}


def cells(config: Deep) -> list[lab.Cell]:
    """One cell for every pair."""
    return [lab.Cell("pairs", pair) for pair in range(config.networks // 2)]


class Problem:
    """What all cells share: the network, the optimiser, and the data on the device."""

    def __init__(self, config: Deep, data: Dataset) -> None:
        self.config = config
        self.network = build(config, data.num_classes)
        self.train = tuple(jnp.asarray(part[: config.train_images]) for part in (data.train.x, data.train.y))
        self.test = tuple(jnp.asarray(part[: config.test_images]) for part in (data.test.x, data.test.y))
        self.sample = self.train[0][: config.statistics_images]
        steps = config.epochs * (len(self.train[1]) // config.batch_size)
        rate = optax.cosine_decay_schedule(config.learning_rate, steps)
        self.optimizer = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(rate, momentum=0.9, nesterov=True))

    def learning(self, params: PyTree, x: Array) -> Array:
        """The network with the statistics of the batch."""
        return self.network.apply(params, x, train=True, mutable=["batch_stats"])[0]

    def run(self, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
        """Loss and accuracy of the children of one pair, [methods, repairs, t]."""
        config, apply = self.config, self.network.apply
        parents, losses = self.trained(cell, run)
        a, b = (reestimate(apply, params, self.sample) for params in parents)

        def step(number: int, found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            method = list(METHODS)[number]
            out = ea.align(apply, a, b, self.sample, method=method)
            scores = []
            for t in config.ts:
                scores.append(np.asarray(score(apply, out.a, out.b, self.sample, self.test, t)))
                run.check()
            loss, accuracy = np.stack(scores, axis=-1)
            return found | {method: {"loss": loss, "accuracy": accuracy}}, {method: accuracy[-1, config.ts.index(0.5)]}

        found = run.loop("aligning", {}, step, total=len(METHODS), build=dict)
        rows = {name: np.stack([found[method][name] for method in METHODS]) for name in ("loss", "accuracy")}
        return rows | {"training_loss": losses}

    def trained(self, cell: lab.Cell, run: lab.Run) -> tuple[list[PyTree], np.ndarray]:
        """The parents, trained with the statistics of every batch, and their losses, [networks, epochs]."""
        config = self.config

        def begin(key: Array) -> ea.training.Member:
            key_init, key_fit = jax.random.split(key)
            start = ea.population.stack([self.network.init(key_init, self.train[0][:1])])
            return ea.training.init(start, self.optimizer, epochs=config.epochs, key=key_fit)

        def step(number: int, both: list[ea.training.Member]) -> tuple[list[ea.training.Member], dict[str, float]]:
            epoch, side = divmod(number, 2)
            members = ea.training.step_epoch(
                self.learning, both[side], self.train, self.optimizer, batch_size=config.batch_size
            )
            both = [members if place == side else other for place, other in enumerate(both)]
            return both, {"loss": float(members.history["loss"][0, epoch])}

        key = jax.random.fold_in(jax.random.key(config.seed), cell.seed)
        start = [begin(one) for one in jax.random.split(key)]
        both = run.loop("training", start, step, total=2 * config.epochs)
        losses = np.concatenate([np.asarray(members.history["loss"]) for members in both])
        return [ea.population.take(members.params, 0) for members in both], losses


def merge(config: Deep, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The pairs of all finished cells, [pairs, methods, repairs, t]."""
    rows = {name: values[0] for name, values in lab.by_arm(cells(config), found).items()}
    constants = {"part": "deep", "dataset": config.dataset, "ts": np.array(config.ts, np.float32)}
    return rows | {name: np.asarray(value) for name, value in constants.items()}


def build(config: Deep, classes: int) -> ea.models.VGG | ea.models.ResNet:
    """The network of a study."""
    if config.model == "resnet":
        return ea.models.ResNet(width=config.width, classes=classes)
    first = ea.models.VGG11[0][0]
    stages = tuple(tuple(channels * config.width // first for channels in stage) for stage in ea.models.VGG11)
    return ea.models.VGG(stages=stages, classes=classes)


@partial(jax.jit, static_argnames="apply")
def score(apply: Apply, a: PyTree, b: PyTree, sample: Array, test: tuple[Array, Array], t: float) -> Array:
    """Loss and accuracy of the child at t after every repair, [2, repairs]."""
    child = ea.crossover.arithmetic(a, b, t)
    children = (child, reestimate(apply, child, sample), repair(apply, child, a, b, sample, t))
    found = [ea.training.evaluate(apply, each, *test) for each in children]
    return jnp.array([(score.loss, score.accuracy) for score in found]).T


class View:
    """The stored arrays of the study of deep networks: its claims, tables and figures."""

    published = ""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.ts = arrays["ts"]

    def at(self, method: str, fix: str, t: float = 0.5, quantity: str = "accuracy") -> np.ndarray:
        """Loss or accuracy of the children at t, [pairs]."""
        place = int(np.argmin(np.abs(self.ts - t)))
        return self.arrays[quantity][:, list(METHODS).index(method), list(REPAIRS).index(fix), place]

    def explore(self) -> list[lab.Claim]:
        """The order that the literature found."""
        plain, again, repaired = REPAIRS
        claims = {
            "aligned_above_naive": ("above naive crossover, children as they are", plain, "none", plain),
            "aligned_above_naive_reestimated": (
                "above naive crossover, both with statistics estimated again",
                *(again, "none", again),
            ),
            "reestimated_above_as_it_is": (
                "with statistics estimated again above as they are",
                *(again, "correlation", plain),
            ),
            "repaired_above_as_it_is": ("after REPAIR above as they are", repaired, "correlation", plain),
        }
        text = "accuracy at t = .5, parents aligned by activations:"
        return [
            above(name, f"{text} {what}", self.at("correlation", x), self.at(method, y), unit="pairs")
            for name, (what, x, method, y) in claims.items()
        ]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """A row for each method and repair."""
        rows = [
            {
                "parents": METHODS[method],
                "child": REPAIRS[fix],
                "accuracy at t=0": lab.mean(self.at(method, fix, 0)),
                "accuracy at t=.5": lab.mean(self.at(method, fix)),
                "accuracy at t=1": lab.mean(self.at(method, fix, 1)),
                "loss at t=.5": lab.mean(self.at(method, fix, quantity="loss")),
            }
            for method in METHODS
            for fix in REPAIRS
        ]
        return {"midpoints": rows}

    def draw(self, folder: Path) -> None:
        """Accuracy and loss along the line, a panel for each repair."""
        for quantity in ("accuracy", "loss"):
            values = self.arrays[quantity]
            fig, axes = plotting.figure(1, len(REPAIRS), width=2.6, height=2.6)
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            for number, (ax, title) in enumerate(zip(axes[0], REPAIRS.values(), strict=True)):
                curves = {name: values[:, i, number] for i, name in enumerate(METHODS.values())}
                plotting.plot_sweeps(self.ts, curves, ax, quantity=quantity, title=title)
                ax.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
                if number:
                    ax.set_ylabel("")
            plotting.shared_legend(fig, axes)
            plotting.save(fig, folder / f"{quantity}.png")
