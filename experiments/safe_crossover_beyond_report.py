"""Figures, claims and tables of `safe_crossover_beyond.py`, from the stored arrays of a study alone."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting, statistics
from evojax_align.interpolation import Sweep, barrier

WAYS = {"naive": "as they are", "aligned": "aligned"}
"""What is done to the parents; aligned is SC-PwC, one-to-one."""
OPERATORS = {
    "arithmetic": "arithmetic, t = .5",
    "quarter": "arithmetic, t = .25",
    "neurons": "neuron by neuron",
    "uniform": "weight by weight",
}
PATHS = {
    "naive": "straight, as they are",
    "aligned": "straight, aligned",
    "naive_bent": "bent, as they are",
    "aligned_bent": "bent, aligned",
}
KINDS = {
    "naive": "mean, as they are",
    "aligned": "mean, aligned",
    "parents": "one parent, on the mean",
    "ensemble": "ensemble of the parents",
    "longer": "one network trained as long",
}


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """One picture for each part."""
    ways = dict(enumerate(WAYS.values()))
    for part, settings, label in (("width", "widths", "width"), ("common", "steps", "common steps")):
        fig, axes = plotting.figure(1, 2, width=4.6, height=2.8)
        for ax, kind in zip(axes[0], ("chord", "accuracy"), strict=True):
            of_kind = barriers(arrays, part, kind)
            curves = {name: of_kind[:, :, i] for i, name in ways.items()}
            y = f"barrier of the {'loss' if kind == 'chord' else kind}"
            plotting.plot_trend(arrays[settings], curves, ax, x=label, y=y)
        plotting.save(fig, folder / f"{settings}.png")

    fig, axes = plotting.figure(1, 2, width=4.6, height=2.8)
    for ax, quantity in zip(axes[0], ("accuracy", "loss"), strict=True):
        curves = {KINDS[kind]: arrays[f"average_{quantity}"][:, i] for i, kind in enumerate(arrays["kinds"].tolist())}
        plotting.plot_trend(arrays["parents"], curves, ax, x="parents", y=quantity)
    plotting.save(fig, folder / "averages.png")

    fig, axes = plotting.figure(1, 2, width=4.4, height=2.8)
    for i, way in ways.items():
        moved, lost = arrays["child_moved"][:, i], arrays["child_lost"][:, i]
        clouds = {name: (moved[:, j], lost[:, j]) for j, name in enumerate(OPERATORS.values())}
        labels = {"x": "images on which the nearer parent says otherwise", "y": "accuracy lost"}
        plotting.plot_clouds(clouds, axes[0, i], **labels, title=f"parents {way}")
    plotting.save(fig, folder / "exploration.png")

    fig, axes = plotting.figure(1, 2, width=4.6, height=3.0)
    for ax, quantity in zip(axes[0], ("loss", "accuracy"), strict=True):
        curves = {name: arrays[f"path_{quantity}"][:, i] for i, name in enumerate(PATHS.values())}
        plotting.plot_sweeps(arrays["ts"], curves, ax, quantity=quantity)
    plotting.save(fig, folder / "paths.png")


def barriers(arrays: lab.Arrays, part: str, kind: str) -> np.ndarray:
    """The barriers of all lines of one part, without the axis of t."""
    loss, accuracy = (jnp.asarray(arrays[f"{part}_{name}"]) for name in ("loss", "accuracy"))
    return np.asarray(barrier(Sweep(jnp.asarray(arrays["ts"]), loss, accuracy), kind))


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """What a user would want to know, each decided by a one-sided test over repeats; and the tables."""
    parts = (of_widths, of_common_steps, of_averages, of_offspring, of_paths)
    found = [part(arrays) for part in parts]
    tables = {name: rows for _, (name, rows) in found}
    return lab.decide([claim for claims, _ in found for claim in claims]), tables


def lower(name: str, statement: str, x: np.ndarray, y: np.ndarray) -> lab.Claim:
    """That x is below y in most repeats, which are paired."""
    return lab.claim(
        name,
        statement,
        None,
        statistics.win_share(x, y, alternative="less"),
        statistics.wilcoxon(x, y, alternative="less"),
    )


def apart(name: str, statement: str, x: np.ndarray, y: np.ndarray) -> lab.Claim:
    """That x tends to be below y, where they are not paired; ours is the share of all pairs in which it is."""
    test = statistics.mann_whitney(x, y, alternative="less")
    return lab.Claim(name, statement, None, 1 - test.statistic / (len(x) * len(y)), None, test.n, test.name, test.p)


Part = tuple[list[lab.Claim], tuple[str, list[dict[str, Any]]]]


def of_widths(arrays: lab.Arrays) -> Part:
    """The barrier against the width."""
    found, widths = barriers(arrays, "width", "accuracy"), arrays["widths"].tolist()
    naive, aligned = found[..., 0], found[..., 1]
    ends = f"at width {widths[-1]} than at {widths[0]}"
    claims = [
        apart("width_aligned", f"barrier of aligned parents lower {ends}", aligned[:, -1], aligned[:, 0]),
        apart("width_naive", f"barrier of parents as they are lower {ends}", naive[:, -1], naive[:, 0]),
    ]
    return claims, ("barrier against width", trend(arrays, "width", widths))


def of_common_steps(arrays: lab.Arrays) -> Part:
    """The barrier against the steps that parents share."""
    found, steps = barriers(arrays, "common", "chord"), arrays["steps"].tolist()
    naive, aligned = found[..., 0], found[..., 1]
    first, last = (f"{count} common steps" for count in (steps[0], steps[-1]))
    claims = [
        lower("common_naive", f"barrier as they are: {last} below {first}", naive[:, -1], naive[:, 0]),
        lower("common_first", f"{first}: barrier as they are below aligned", naive[:, 0], aligned[:, 0]),
        lower("common_last", f"{last}: barrier as they are below aligned", naive[:, -1], aligned[:, -1]),
    ]
    return claims, ("barrier against common steps", trend(arrays, "common", steps))


def trend(arrays: lab.Arrays, part: str, settings: list[int]) -> list[dict[str, Any]]:
    """A line for each setting and way."""
    of_loss, of_accuracy = (barriers(arrays, part, kind) for kind in ("chord", "accuracy"))
    half = len(arrays["ts"]) // 2
    return [
        {
            "setting": setting,
            "parents": way,
            "barrier of the loss": lab.mean(of_loss[:, i, j]),
            "barrier of the accuracy": lab.mean(of_accuracy[:, i, j]),
            "accuracy at t=0": lab.mean(arrays[f"{part}_accuracy"][:, i, j, 0]),
            "accuracy at t=.5": lab.mean(arrays[f"{part}_accuracy"][:, i, j, half]),
        }
        for i, setting in enumerate(settings)
        for j, way in enumerate(WAYS.values())
    ]


def of_averages(arrays: lab.Arrays) -> Part:
    """Many parents averaged, and what else could be done with them."""
    counts, error = arrays["parents"].tolist(), 1 - arrays["average_accuracy"][..., -1]
    kind = {name: error[:, i] for i, name in enumerate(arrays["kinds"].tolist())}
    most = f"{counts[-1]} parents: error of the aligned mean below that of"
    claims = [
        lower(f"average_{other}", f"{most} {KINDS[other]}", kind["aligned"], kind[other])
        for other in ("naive", "parents", "ensemble")
    ]
    claims.append(apart("average_longer", f"{most} {KINDS['longer']}", kind["aligned"], kind["longer"]))
    rows = [
        {
            "parents": count,
            "what": KINDS[name],
            "loss": lab.mean(arrays["average_loss"][:, i, j]),
            "accuracy": lab.mean(arrays["average_accuracy"][:, i, j]),
        }
        for j, count in enumerate(counts)
        for i, name in enumerate(arrays["kinds"].tolist())
    ]
    return claims, ("averages", rows)


def of_offspring(arrays: lab.Arrays) -> Part:
    """What operators lose, and how far they go."""
    lost = arrays["child_lost"]
    claims = [
        lower(f"aligned_{name}", f"{title}: aligned loses less than naive", lost[:, 1, i], lost[:, 0, i])
        for i, (name, title) in enumerate(OPERATORS.items())
    ]
    order = list(OPERATORS)
    for other in ("neurons", "uniform"):
        statement = f"aligned: {OPERATORS['arithmetic']} loses less than {OPERATORS[other]}"
        arithmetic, rival = (lost[:, 1, order.index(name)] for name in ("arithmetic", other))
        claims.append(lower(f"arithmetic_{other}", statement, arithmetic, rival))
    names = {"moved": "unlike the nearer parent", "new": "unlike both", "found": "right alone", "lost": "accuracy lost"}

    def row(i: int, j: int) -> dict[str, Any]:
        values = {text: lab.mean(arrays[f"child_{name}"][:, i, j]) for name, text in names.items()}
        return {"parents": list(WAYS.values())[i], "operator": list(OPERATORS.values())[j]} | values

    rows = [row(i, j) for i in range(len(WAYS)) for j in range(len(OPERATORS))]
    return claims, ("exploration", rows)


def of_paths(arrays: lab.Arrays) -> Part:
    """Bent paths beside straight ones."""
    found = barriers(arrays, "path", "chord")
    barrier_of = {name: found[:, i] for i, name in enumerate(PATHS)}

    def below(x: str, y: str) -> lab.Claim:
        return lower(f"path_{x}_{y}", f"barrier: {PATHS[x]}, below {PATHS[y]}", barrier_of[x], barrier_of[y])

    claims = [below("naive_bent", "naive"), below("aligned_bent", "aligned"), below("aligned", "naive_bent")]
    rows = [
        {
            "path": title,
            "barrier of the loss": lab.mean(barrier_of[name]),
            "highest loss": lab.mean(arrays["path_loss"][:, i].max(axis=-1)),
            "lowest accuracy": lab.mean(arrays["path_accuracy"][:, i].min(axis=-1)),
        }
        for i, (name, title) in enumerate(PATHS.items())
    ]
    return claims, ("paths", rows)
