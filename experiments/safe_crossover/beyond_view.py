"""What a run beyond the paper says: claims, tables and figures, from the stored arrays alone."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting
from evojax_align.interpolation import Sweep, barrier
from experiments.common import average, finished
from experiments.safe_crossover.beyond import KINDS, OPERATORS

WAYS = {"naive": "as they are", "aligned": "aligned"}
"""What is done to the parents; aligned is SC-PwC, one-to-one."""
PATHS = {
    "naive": "straight, as they are",
    "aligned": "straight, aligned",
    "naive_curved": "curved, as they are",
    "aligned_curved": "curved, aligned",
}


class View:
    """The stored arrays; of an arm without finished cells there are none."""

    published = ""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        parts = {"width": Trend, "common": Trend, "average": Averages, "child": Offspring, "path": Paths}
        self.parts = [
            kind(arrays, name) for name, kind in parts.items() if any(n.startswith(f"{name}_") for n in arrays)
        ]

    def explore(self) -> list[lab.Claim]:
        """What a user would want to know."""
        return [claim for part in self.parts for claim in part.claims()]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """One table for each part."""
        return {part.title: part.rows() for part in self.parts}

    def draw(self, folder: Path) -> None:
        """One figure for each part."""
        for part in self.parts:
            plotting.save(part.figure(), folder / f"{part.picture}.png")


def lower(name: str, statement: str, x: np.ndarray, y: np.ndarray) -> lab.Claim:
    """That x is below y in most repeats, which are paired."""
    return lab.Claim(name, statement, "seeds", lambda _: lab.paired(y, x))


def apart(name: str, statement: str, x: np.ndarray, y: np.ndarray) -> lab.Claim:
    """That x tends to be below y, where they are not paired."""
    return lab.Claim(name, statement, "seeds", lambda _: lab.unpaired(y, x))


def barriers(arrays: lab.Arrays, part: str, kind: str) -> np.ndarray:
    """The barriers of all lines of one part, without the axis of t."""
    loss, accuracy = (jnp.asarray(arrays[f"{part}_{name}"]) for name in ("loss", "accuracy"))
    return np.asarray(barrier(Sweep(jnp.asarray(arrays["ts"]), loss, accuracy), kind))


class Part:
    """One part: its arrays, all named after it."""

    def __init__(self, arrays: lab.Arrays, name: str) -> None:
        self.arrays, self.name = arrays, name

    def of(self, quantity: str) -> np.ndarray:
        """An array of this part, with a leading axis of repeats."""
        return self.arrays[f"{self.name}_{quantity}"]


class Trend(Part):
    """The barrier against the width of the networks, or against the steps that parents share."""

    def __init__(self, arrays: lab.Arrays, name: str) -> None:
        super().__init__(arrays, name)
        self.picture, self.label = {"width": ("widths", "width"), "common": ("steps", "common steps")}[name]
        self.title = f"barrier against {self.label}"
        self.settings = arrays[self.picture]

    def claims(self) -> list[lab.Claim]:
        """The ends of the range against each other, and at both ends the parents as they are against aligned ones."""
        first, last = self.settings[0], self.settings[-1]
        if self.name == "width":
            found = barriers(self.arrays, "width", "accuracy")
            text = f"the barrier of the accuracy at width {last} is below that at width {first}, parents"
            return [apart(f"width_{way}", f"{text} {WAYS[way]}", *found[:, [-1, 0], i].T) for i, way in enumerate(WAYS)]
        found = barriers(self.arrays, "common", "chord")
        shared = f"parents as they are: the barrier of the loss after {last} common steps is below that after {first}"
        other = "common steps: the barrier of the loss of aligned parents is below that of parents as they are"
        return [
            lower("common_naive", shared, found[:, -1, 0], found[:, 0, 0]),
            lower("common_first", f"{first} {other}", found[:, 0, 1], found[:, 0, 0]),
            lower("common_last", f"{last} {other}", found[:, -1, 1], found[:, -1, 0]),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each setting and way."""
        of_loss, of_accuracy = (barriers(self.arrays, self.name, kind) for kind in ("chord", "accuracy"))
        half = len(self.arrays["ts"]) // 2
        return [
            {
                "setting": setting,
                "parents": way,
                "barrier of the loss": average(of_loss[:, i, j]),
                "barrier of the accuracy": average(of_accuracy[:, i, j]),
                "accuracy at t=0": average(self.of("accuracy")[:, i, j, 0]),
                "accuracy at t=.5": average(self.of("accuracy")[:, i, j, half]),
            }
            for i, setting in enumerate(self.settings.tolist())
            for j, way in enumerate(WAYS.values())
        ]

    def figure(self) -> Any:
        """The barriers of the loss and of the accuracy."""
        fig, axes = plotting.figure(1, 2, width=4.6, height=2.8)
        for ax, kind in zip(axes[0], ("chord", "accuracy"), strict=True):
            found = barriers(self.arrays, self.name, kind)
            curves = finished({way: found[:, :, i] for i, way in enumerate(WAYS.values())})
            y = f"barrier of the {'loss' if kind == 'chord' else kind}"
            plotting.plot_trend(self.settings, curves, ax, x=self.label, y=y)
        return fig


class Averages(Part):
    """Many parents averaged, and what else could be done with them."""

    title, picture = "averages", "averages"

    def claims(self) -> list[lab.Claim]:
        """The aligned mean of the most parents against all else."""
        error = dict(zip(KINDS, (1 - self.of("accuracy")[..., -1]).T, strict=True))
        most = f"{self.arrays['parents'][-1]} parents: the error of the aligned mean is below that of"
        others = {kind: apart if kind == "longer" else lower for kind in KINDS if kind != "aligned"}
        return [
            compare(f"average_{kind}", f"{most} {KINDS[kind]}", error["aligned"], error[kind])
            for kind, compare in others.items()
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each number of parents and kind."""
        return [
            {
                "parents": count,
                "what": title,
                "loss": average(self.of("loss")[:, i, j]),
                "accuracy": average(self.of("accuracy")[:, i, j]),
            }
            for j, count in enumerate(self.arrays["parents"].tolist())
            for i, title in enumerate(KINDS.values())
        ]

    def figure(self) -> Any:
        """Accuracy and loss against the number of parents."""
        fig, axes = plotting.figure(1, 2, width=4.6, height=2.8)
        for ax, quantity in zip(axes[0], ("accuracy", "loss"), strict=True):
            curves = finished({title: self.of(quantity)[:, i] for i, title in enumerate(KINDS.values())})
            plotting.plot_trend(self.arrays["parents"], curves, ax, x="parents", y=quantity)
        return fig


class Offspring(Part):
    """What operators lose, and how far they go."""

    title, picture = "exploration", "exploration"

    def claims(self) -> list[lab.Claim]:
        """Aligned parents against parents as they are, and the arithmetic operator against the others."""
        lost = {name: self.of("lost")[:, :, i] for i, name in enumerate(OPERATORS)}
        found = [
            lower(
                f"aligned_{name}", f"{title}: aligned parents lose less accuracy than parents as they are", *of.T[::-1]
            )
            for (name, title), of in zip(OPERATORS.items(), lost.values(), strict=True)
        ]
        text = f"aligned parents: {OPERATORS['arithmetic']}, loses less accuracy than"
        return found + [
            lower(f"arithmetic_{other}", f"{text} {OPERATORS[other]}", lost["arithmetic"][:, 1], lost[other][:, 1])
            for other in ("neurons", "uniform")
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each way and operator."""
        names = {
            "moved": "unlike the nearer parent",
            "new": "unlike both",
            "found": "right alone",
            "lost": "accuracy lost",
        }
        return [
            {"parents": way, "operator": operator} | {text: average(self.of(n)[:, i, j]) for n, text in names.items()}
            for i, way in enumerate(WAYS.values())
            for j, operator in enumerate(OPERATORS.values())
        ]

    def figure(self) -> Any:
        """Each child by how far it went and what it lost."""
        fig, axes = plotting.figure(1, 2, width=4.4, height=2.8)
        for i, way in enumerate(WAYS.values()):
            clouds = {
                name: (self.of("moved")[:, i, j], self.of("lost")[:, i, j]) for j, name in enumerate(OPERATORS.values())
            }
            labels = {"x": "images on which the nearer parent differs", "y": "accuracy lost"}
            plotting.plot_clouds(finished(clouds), axes[0, i], **labels, title=f"parents {way}")
        return fig


class Paths(Part):
    """Curved paths beside straight ones."""

    title, picture = "paths", "paths"

    def claims(self) -> list[lab.Claim]:
        """Barriers against each other."""
        found = dict(zip(PATHS, barriers(self.arrays, "path", "chord").T, strict=True))
        return [
            lower(f"path_{x}_{y}", f"barrier of the loss: {PATHS[x]}, below {PATHS[y]}", found[x], found[y])
            for x, y in (("naive_curved", "naive"), ("aligned_curved", "aligned"), ("aligned", "naive_curved"))
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each path."""
        found = barriers(self.arrays, "path", "chord")
        return [
            {
                "path": title,
                "barrier of the loss": average(found[:, i]),
                "highest loss": average(self.of("loss")[:, i].max(axis=-1)),
                "lowest accuracy": average(self.of("accuracy")[:, i].min(axis=-1)),
            }
            for i, title in enumerate(PATHS.values())
        ]

    def figure(self) -> Any:
        """Loss and accuracy along the paths."""
        fig, axes = plotting.figure(1, 2, width=4.6, height=3.0)
        for ax, quantity in zip(axes[0], ("loss", "accuracy"), strict=True):
            curves = finished({title: self.of(quantity)[:, i] for i, title in enumerate(PATHS.values())})
            plotting.plot_sweeps(self.arrays["ts"], curves, ax, quantity=quantity)
        return fig
