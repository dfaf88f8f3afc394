"""Figures, claims and tables of `mating.py`, made of its stored arrays alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab, plotting

sys.path.insert(0, str(Path(__file__).parent))

from mating_view import FIRST, View  # pyright: ignore[reportImplicitRelativeImport]

PAPER = {
    "mnist": {
        ("asexual", 13): (0.971, 139.0, 14.1),
        ("sexual", 8): (0.974, 258.37, 34.29),
    },
    "cifar10": {
        ("asexual", 7): (0.734, 13.8, 1.96),
        ("asexual", 10): (0.679, 30.7, 3.06),
        ("sexual", 4): (0.741, 10.7, 2.20),
        ("sexual", 5): (0.679, 36.3, 4.82),
    },
}
"""What the authors report at some generations: accuracy, synaptic and cluster efficiency."""
RETENTION = {"mnist": {"asexual": 0.663, "sexual": 0.452}, "cifar10": {"asexual": 0.646, "sexual": 0.454}}
"""The share of synapses that a generation keeps, derived from the above (of CIFAR-10 at the smaller loss)."""
EQUAL = 10.0
"""The synaptic efficiency at which populations of the study "choices" are compared."""
SQUARED = 0.03
"""Retentions nearer than this are alike."""
THEMES = {
    "which synapses a child may have": ("support: mean", "support: union", "asexual"),
    "how they are drawn": ("exact numbers", "the likeliest", "clusters die", "environment ever harder"),
    "what counts of a weight": ("all synapses count", "signed strengths", "saliency"),
    "who mates": ("the fitter parent favoured", "a pool of six", "three parents", "siblings aligned"),
    "what children begin with": ("weights inherited", "weights not scaled", "weights of the ancestor"),
    "ancestors": (
        "two ancestors",
        "two ancestors, aligned",
        "two ancestors, mean",
        "two ancestors, aligned, mean",
    ),
}
"""Populations of the study "choices" that are drawn together, beside the one of the paper."""


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """Figures in the form of the paper's 4 and 5, and accuracy against efficiency."""
    view = View(arrays)
    if str(arrays["study"]) == "paper":
        plot_generations(view, folder)
        plot_controls(view, folder)
    else:
        plot_choices(view, folder)


def plot_generations(view: View, folder: Path) -> None:
    """Accuracy and both efficiencies, generation by generation (Figures 4 and 5)."""
    longest = max(len(view.generations(arm)) for arm in view.arms)
    pictures = {
        "test accuracy": lambda arm: view.of(arm, "accuracy"),
        "synaptic efficiency": lambda arm: view.efficiency(arm, "synapses"),
        "cluster efficiency": lambda arm: view.efficiency(arm, "kernels"),
    }
    fig, axes = plotting.figure(1, 3, width=4.0)
    for ax, (title, of) in zip(axes[0], pictures.items(), strict=True):
        curves = {}
        for arm in view.arms:
            values = of(arm)
            missing = longest - values.shape[1]
            curves[arm] = np.pad(values, [(0, 0), (0, missing)], constant_values=np.nan)
        steps, log = np.arange(1, longest + 1), title != "test accuracy"
        plotting.plot_trend(steps, curves, ax, x="generation", y=title, logarithmic=log)
    plotting.save(fig, folder / "generations.png")


def plot_controls(view: View, folder: Path) -> None:
    """Accuracy of children and their controls against efficiency."""
    fig, axes = plotting.figure(2, len(view.arms), width=4.6)
    for column, arm in enumerate(view.arms):
        for row, (what, label) in enumerate((("synapses", "synaptic efficiency"), ("kernels", "cluster efficiency"))):
            curves = {
                name: (view.efficiency(arm, what, name), view.of(arm, "accuracy", name)) for name in view.rows(arm)
            }
            plotting.plot_exchange(curves, axes[row, column], x=label, y="test accuracy", title=arm)
    plotting.save(fig, folder / "controls.png")


def plot_choices(view: View, folder: Path) -> None:
    """Accuracy against efficiency of what the paper leaves open, beside the population of the paper."""
    fig, axes = plotting.figure(3, 2, width=4.8)
    for ax, (title, arms) in zip(axes.ravel(), THEMES.items(), strict=True):
        curves = {arm: (view.efficiency(arm), view.of(arm, "accuracy")) for arm in ("sexual", *arms)}
        plotting.plot_exchange(curves, ax, x="synaptic efficiency", y="test accuracy", title=title)
    plotting.save(fig, folder / "choices.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The claims of the paper, of what it leaves open and of the controls, each decided over seeds; and the tables."""
    view = View(arrays)
    if str(arrays["study"]) == "paper":
        return lab.decide(paper_claims(view) + control_claims(view)), {
            "at the end": end_rows(view),
            "at equal accuracy": [row for loss in view.losses for row in equal_rows(view, loss)],
            "retention": [retention_row(view, arm) for arm in view.arms],
            "by generation": [row for arm in view.arms for row in generation_rows(view, arm)],
        }
    return lab.decide(choice_claims(view)), {
        "at the end": end_rows(view),
        f"accuracy at a synaptic efficiency of {EQUAL:g}": [choice_row(view, arm) for arm in view.arms],
        "retention": [retention_row(view, arm) for arm in view.arms],
        "all generations": [row for arm in view.arms for row in generation_rows(view, arm)],
    }


def paper_claims(view: View) -> list[lab.Claim]:
    """What the authors say of sexual and asexual synthesis."""
    claims = []
    for number, loss in enumerate(view.losses):
        at = f"at {loss:g} less accuracy than the ancestor"
        fewer = [view.generations_at_loss(arm, loss) for arm in ("sexual", "asexual")]
        synaptic, cluster = (
            [view.efficiency_at_loss(arm, loss, what) for arm in ("sexual", "asexual")]
            for what in ("synapses", "kernels")
        )
        claims += [
            lab.below(f"generations_{number}", f"sexual needs fewer generations {at}", *fewer),
            lab.above(f"synaptic_{number}", f"sexual has the larger synaptic efficiency {at}", *synaptic),
            lab.above(f"cluster_{number}", f"sexual has the larger cluster efficiency {at}", *cluster),
        ]
    for what, name in (("synapses", "synaptic"), ("kernels", "cluster")):
        exponents = [view.exponent(arm, what) for arm in ("sexual", "asexual")]
        claims.append(lab.above(f"steeper_{name}", f"{name} efficiency grows more steeply with sexual", *exponents))
    apart = np.abs(view.retained("sexual") - view.retained("asexual") ** 2)
    statement = f"sexual retention within {SQUARED:g} of the square of asexual retention"
    claims.append(lab.below("squared", statement, apart, SQUARED))
    return claims


def control_claims(view: View) -> list[lab.Claim]:
    """Synthesis against pruning: of as many synapses, mean over generations; then at the same accuracy."""
    claims = []
    for arm in view.arms:
        for control in view.rows(arm)[1:]:
            ours, theirs = (view.of(arm, "accuracy", row)[:, 1:].mean(axis=1) for row in (FIRST, control))
            name, statement = f"{arm}_{control}", f"{arm}: more accurate than {control}, of as many synapses"
            claims.append(lab.above(name.replace(", ", "_"), statement, ours, theirs))
    loss = view.losses[0]
    for arm in view.arms:
        ours, theirs = (view.efficiency_at_loss(arm, loss, "synapses", row) for row in (FIRST, "magnitude"))
        statement = f"{arm}: larger synaptic efficiency than magnitude, at {loss:g} less accuracy than the ancestor"
        claims.append(lab.above(f"{arm}_equal", statement, ours, theirs))
    return claims


def choice_claims(view: View) -> list[lab.Claim]:
    """What each choice changes in accuracy at equal efficiency."""
    usual = view.accuracy_at("sexual", EQUAL)
    claims = []
    for arm in view.arms[1:]:
        name = "".join(c if c.isalnum() else "_" for c in arm)
        statement = f"{arm}: more accurate than sexual at a synaptic efficiency of {EQUAL:g}"
        claims.append(lab.above(name, statement, view.accuracy_at(arm, EQUAL), usual))
    for plain in ("two ancestors", "two ancestors, mean"):
        aligned = plain.replace("two ancestors", "two ancestors, aligned")
        accuracy = [view.accuracy_at(arm, EQUAL) for arm in (aligned, plain)]
        name = f"alignment_{plain.replace(' ', '_').replace(',', '')}"
        statement = f"{aligned}: more accurate than {plain} at a synaptic efficiency of {EQUAL:g}"
        claims.append(lab.above(name, statement, *accuracy))
    return claims


def end_rows(view: View) -> list[dict[str, Any]]:
    """Every arm at its last generation, and where the authors report one, beside their numbers."""
    known = PAPER.get(view.dataset, {}) if str(view.arrays["study"]) == "paper" else {}
    rows = []
    for arm in view.arms:
        marks = {g for name, g in known if name == arm and g <= len(view.generations(arm))}
        for generation in sorted({1, len(view.generations(arm)), *marks}):
            rows.append(state_row(view, arm, generation, known.get((arm, generation)), shown=bool(known)))
    return rows


def state_row(view: View, arm: str, generation: int, theirs: tuple | None, *, shown: bool) -> dict[str, Any]:
    """One arm at one generation."""
    place = generation - 1
    row: dict[str, Any] = {"population": arm, "generation": generation}
    numbers = {
        "accuracy": lab.mean(view.of(arm, "accuracy")[:, place]),
        "synaptic efficiency": geometric(view.efficiency(arm)[:, place]),
        "cluster efficiency": geometric(view.efficiency(arm, "kernels")[:, place]),
    }
    for number, (name, value) in enumerate(numbers.items()):
        row[name] = value
        if shown:
            row[f"{name}, paper"] = None if theirs is None else theirs[number]
    left = {name: lab.mean(view.of(arm, name)[:, place]) for name in ("synapses", "connected", "kernels", "clusters")}
    return (
        row
        | {"synapses": left["synapses"], "on living paths": left["connected"]}
        | {
            "kernels": left["kernels"],
            "filters": left["clusters"],
        }
    )


def equal_rows(view: View, loss: float) -> list[dict[str, Any]]:
    """Children and controls at the same accuracy; of the repeats that come so far."""
    rows = []
    for arm in view.arms:
        for row in view.rows(arm):
            synaptic, cluster = (view.efficiency_at_loss(arm, loss, what, row) for what in ("synapses", "kernels"))
            reached = np.isfinite(synaptic)
            rows.append(
                {
                    "accuracy lost": loss,
                    "population": arm,
                    "networks": "children" if row == arm else row,
                    "seeds": int(reached.sum()),
                    "synaptic efficiency": geometric(synaptic[reached]),
                    "cluster efficiency": geometric(cluster[reached]),
                }
            )
            if row == arm:
                steps = view.generations_at_loss(arm, loss)[reached]
                rows[-1]["generations"] = lab.mean(steps) if reached.any() else None
            else:
                rows[-1]["generations"] = None
    return rows


def retention_row(view: View, arm: str) -> dict[str, Any]:
    """What share of their parents' synapses children have, from the third generation on."""
    row = {"population": arm, "retained": lab.mean(view.retained(arm))}
    row |= {"allowed": lab.mean(view.retained(arm, "allowed")), "expected": lab.mean(view.retained(arm, "expected"))}
    if str(view.arrays["study"]) == "paper":
        row["retained, paper"] = RETENTION.get(view.dataset, {}).get(arm)
    return row


def generation_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Children and controls of one arm, generation by generation."""
    rows = []
    for place, generation in enumerate(view.generations(arm)):
        row: dict[str, Any] = {"population": arm, "generation": int(generation)}
        row["synaptic efficiency"] = geometric(view.efficiency(arm)[:, place])
        row["cluster efficiency"] = geometric(view.efficiency(arm, "kernels")[:, place])
        row["accuracy"] = lab.mean(view.of(arm, "accuracy")[:, place])
        for control in view.rows(arm)[1:]:
            row[f"accuracy, {control}"] = lab.mean(view.of(arm, "accuracy", control)[:, place])
        for control in view.rows(arm)[1:]:
            row[f"cluster efficiency, {control}"] = geometric(view.efficiency(arm, "kernels", control)[:, place])
        rows.append(row)
    return rows


def choice_row(view: View, arm: str) -> dict[str, Any]:
    """One population at equal efficiency; of the repeats that come so far."""
    found = view.accuracy_at(arm, EQUAL)
    reached = found[np.isfinite(found)]
    last = len(view.generations(arm)) - 1
    return {
        "population": arm,
        "seeds": len(reached),
        "accuracy": lab.mean(reached) if len(reached) else None,
        "accuracy at the end": lab.mean(view.of(arm, "accuracy")[:, last]),
        "synaptic efficiency at the end": geometric(view.efficiency(arm)[:, last]),
    }


def geometric(values: np.ndarray) -> float | None:
    """The geometric mean, for a table."""
    return lab.rounded(np.exp(np.log(values).mean())) if len(values) else None
