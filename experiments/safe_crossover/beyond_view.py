"""What a run beyond the paper says: claims, tables and figures, from the stored arrays alone."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting
from evojax_align.interpolation import Sweep, barrier
from experiments.common import above, finished, panels, row
from experiments.safe_crossover.beyond import KINDS, OPERATORS

WAYS = {"naive": "as they are", "aligned": "aligned"}
"""What is done to the parents; aligned is SC-PwC, one-to-one."""
PATHS = {
    "naive": "straight, as they are",
    "aligned": "straight, aligned",
    "naive_curved": "curved, as they are",
    "aligned_curved": "curved, aligned",
}
TRENDS = {"width": ("widths", "width"), "common": ("steps", "common steps")}
"""By the name of its arrays, the setting that one of the two trends varies, and its name."""


class View:
    """The stored arrays, each with a leading axis of repeats; of an arm without finished cells there are none."""

    published = ""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.trends = [name for name in TRENDS if f"{name}_loss" in arrays]
        self.families = "average_loss" in arrays

    def barriers(self, name: str, kind: str) -> np.ndarray:
        """The barriers of all lines of some arrays, without the axis of t."""
        loss, accuracy = (jnp.asarray(self.arrays[f"{name}_{quantity}"]) for quantity in ("loss", "accuracy"))
        return np.asarray(barrier(Sweep(jnp.asarray(self.arrays["ts"]), loss, accuracy), kind))

    def settings(self, name: str) -> np.ndarray:
        """The values of what a trend varies."""
        return self.arrays[TRENDS[name][0]]

    def explore(self) -> list[lab.Claim]:
        """What a user would want to know."""
        found = [claim for name in self.trends for claim in (of_widths if name == "width" else of_steps)(self)]
        return found + (of_families(self) if self.families else [])

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """A table for each part."""
        found = {f"barrier against {TRENDS[name][1]}": trend_rows(self, name) for name in self.trends}
        return found | (family_tables(self) if self.families else {})

    def draw(self, folder: Path) -> None:
        """A figure for each part."""
        for name in self.trends:
            draw_trend(self, name, folder)
        if self.families:
            draw_family(self, folder)


def lower(name: str, statement: str, x: np.ndarray, y: np.ndarray, *, pairs: bool = True) -> lab.Claim:
    """That x is below y, in most repeats where they are paired."""
    return above(name, statement, y, x, paired=pairs)


def of_widths(view: View) -> list[lab.Claim]:
    """The widest networks against the narrowest."""
    found, (first, *_, last) = view.barriers("width", "accuracy"), view.settings("width")
    text = f"the barrier of the accuracy at width {last} is below that at width {first}, parents"
    return [
        lower(f"width_{way}", f"{text} {title}", found[:, -1, i], found[:, 0, i], pairs=False)
        for i, (way, title) in enumerate(WAYS.items())
    ]


def of_steps(view: View) -> list[lab.Claim]:
    """The most common steps against the fewest, and at both ends parents as they are against aligned ones."""
    found, (first, *_, last) = view.barriers("common", "chord"), view.settings("common")
    text = f"parents as they are: the barrier of the loss after {last} common steps is below that after {first}"
    other = "common steps: the barrier of the loss of parents as they are is below that of aligned parents"
    return [
        lower("common_naive", text, found[:, -1, 0], found[:, 0, 0]),
        lower("common_first", f"{first} {other}", found[:, 0, 0], found[:, 0, 1]),
        lower("common_last", f"{last} {other}", found[:, -1, 0], found[:, -1, 1]),
    ]


def of_families(view: View) -> list[lab.Claim]:
    """Averages of many parents, what operators lose, and curved paths."""
    error = dict(zip(KINDS, (1 - view.arrays["average_accuracy"][..., -1]).T, strict=True))
    lost = dict(zip(OPERATORS, view.arrays["child_lost"].transpose(2, 1, 0), strict=True))
    curves = dict(zip(PATHS, view.barriers("path", "chord").T, strict=True))
    most = f"{view.arrays['parents'][-1]} parents: the error of the aligned mean is below that of"
    arithmetic = f"aligned parents: {OPERATORS['arithmetic']}, loses less accuracy than"
    paths = (("naive_curved", "naive"), ("aligned_curved", "aligned"), ("aligned", "naive_curved"))
    return [
        *(
            lower(f"average_{kind}", f"{most} {KINDS[kind]}", error["aligned"], error[kind], pairs=kind != "longer")
            for kind in ("naive", "parents", "ensemble", "longer")
        ),
        *(
            lower(f"aligned_{name}", f"{title}: aligned parents lose less accuracy than as they are", *lost[name][::-1])
            for name, title in OPERATORS.items()
        ),
        *(
            lower(f"arithmetic_{other}", f"{arithmetic} {OPERATORS[other]}", lost["arithmetic"][1], lost[other][1])
            for other in ("neurons", "uniform")
        ),
        *(
            lower(f"path_{x}_{y}", f"barrier of the loss: {PATHS[x]}, below {PATHS[y]}", curves[x], curves[y])
            for x, y in paths
        ),
    ]


def trend_rows(view: View, name: str) -> list[dict[str, Any]]:
    """A row for each setting and way."""
    of_loss, of_accuracy = (view.barriers(name, kind) for kind in ("chord", "accuracy"))
    accuracy, half = view.arrays[f"{name}_accuracy"], len(view.arrays["ts"]) // 2
    numbers = {
        "barrier of the loss": of_loss,
        "barrier of the accuracy": of_accuracy,
        "accuracy at t=0": accuracy[..., 0],
        "accuracy at t=.5": accuracy[..., half],
    }
    return [
        row({"setting": setting, "parents": way}, {title: of[:, i, j] for title, of in numbers.items()})
        for i, setting in enumerate(view.settings(name).tolist())
        for j, way in enumerate(WAYS.values())
    ]


def family_tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """Averages by the number of parents and kind, offspring by way and operator, and paths."""
    of, curves = view.arrays, view.barriers("path", "chord")
    names = {"moved": "unlike the nearer parent", "new": "unlike both", "found": "right alone", "lost": "accuracy lost"}
    averages = [
        row({"parents": count, "what": title}, {n: of[f"average_{n}"][:, i, j] for n in ("loss", "accuracy")})
        for j, count in enumerate(of["parents"].tolist())
        for i, title in enumerate(KINDS.values())
    ]
    offspring = [
        row({"parents": way, "operator": operator}, {t: of[f"child_{name}"][:, i, j] for name, t in names.items()})
        for i, way in enumerate(WAYS.values())
        for j, operator in enumerate(OPERATORS.values())
    ]
    ends = {
        "barrier of the loss": curves,
        "highest loss": of["path_loss"].max(axis=-1),
        "lowest accuracy": of["path_accuracy"].min(axis=-1),
    }
    paths = [
        row({"path": path}, {title: values[:, i] for title, values in ends.items()})
        for i, path in enumerate(PATHS.values())
    ]
    return {"averages": averages, "exploration": offspring, "paths": paths}


def draw_trend(view: View, name: str, folder: Path) -> None:
    """The barriers of the loss and of the accuracy against the setting."""
    file, title = TRENDS[name]
    pictures = []
    for kind, quantity in {"chord": "loss", "accuracy": "accuracy"}.items():
        found = view.barriers(name, kind)
        curves = {way: found[:, :, i] for i, way in enumerate(WAYS.values())}
        pictures.append((view.settings(name), curves, {"x": title, "y": f"barrier of the {quantity}"}))
    panels(folder / f"{file}.png", plotting.plot_trend, pictures, width=3.4, height=2.6)


def draw_family(view: View, folder: Path) -> None:
    """Averages against the number of parents, each child by how far it went and what it lost, and the paths."""
    of, averages, paths = view.arrays, [], []
    for quantity in ("accuracy", "loss"):
        curves = {title: of[f"average_{quantity}"][:, i] for i, title in enumerate(KINDS.values())}
        averages.append((of["parents"], curves, {"x": "parents", "y": quantity}))
        curves = {title: of[f"path_{quantity}"][:, i] for i, title in enumerate(PATHS.values())}
        paths.insert(0, (of["ts"], curves, {"quantity": quantity}))
    panels(folder / "averages.png", plotting.plot_trend, averages, width=3.4, height=2.6)
    panels(folder / "paths.png", plotting.plot_sweeps, paths, width=3.4, height=2.8)
    fig, axes = plotting.figure(1, 2, width=3.4, height=2.8)
    labels = {"x": "images on which the nearer parent differs", "y": "accuracy lost"}
    for i, way in enumerate(WAYS.values()):
        moved, lost = (of[f"child_{name}"][:, i] for name in ("moved", "lost"))
        clouds = finished({title: (moved[:, j], lost[:, j]) for j, title in enumerate(OPERATORS.values())})
        plotting.plot_clouds(clouds, axes[0, i], **labels, title=f"parents {way}")
    plotting.shared_legend(fig, axes)
    plotting.save(fig, folder / "exploration.png")
