"""Figures, claims and tables of `mating.py`, made of its stored arrays alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab, plotting

sys.path.insert(0, str(Path(__file__).parent))

from mating_view import FIRST, View, comparable  # pyright: ignore[reportImplicitRelativeImport]

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
PAPER_AT_LOSS = {
    ("mnist", 0.024, "sexual"): (8, 258.37, 34.29),
    ("mnist", 0.024, "asexual"): (13, 139.0, 14.1),
    ("cifar10", 0.037, "sexual"): (4, 10.7, 2.20),
    ("cifar10", 0.037, "asexual"): (7, 13.8, 1.96),
    ("cifar10", 0.092, "sexual"): (5, 36.3, 4.82),
    ("cifar10", 0.092, "asexual"): (10, 30.7, 3.06),
}
"""The same by loss of accuracy, which is alike in both: generations, synaptic and cluster efficiency."""
EQUAL = 5.0
"""The synaptic efficiency at which populations of the study "choices" are compared."""
SQUARED = 0.03
"""Retentions nearer than this are alike."""
THEMES = {
    "which synapses a child may have": ("support: mean", "support: union", "asexual"),
    "how they are drawn": ("exact numbers", "the likeliest", "clusters die", "one budget for all layers"),
    "what counts of a weight": ("all synapses count", "signed strengths", "saliency", "environment ever harder"),
    "who mates": ("the fitter parent favoured", "a pool of six", "three parents", "siblings realigned"),
    "what children begin with": (
        "weights inherited",
        "weights not scaled",
        "weights of the ancestor",
        "weights drawn apart",
    ),
    "ancestors": (
        "two ancestors",
        "two ancestors, aligned",
        "two ancestors, inherited",
        "two ancestors, aligned, inherited",
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
    """Accuracy of the first child of each generation and of its controls against efficiency."""
    arms = [arm for arm in view.arms if len(view.rows(arm)) > 1]
    fig, axes = plotting.figure(2, len(arms), width=4.6)
    for column, arm in enumerate(arms):
        for row, (what, label) in enumerate((("synapses", "synaptic efficiency"), ("kernels", "cluster efficiency"))):
            names = [FIRST, *view.rows(arm)[1:]]
            curves = {name: (view.efficiency(arm, what, name), view.of(arm, "accuracy", name)) for name in names}
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
    tables = {"at the end": end_rows(view)}
    if str(arrays["study"]) == "paper":
        claims = paper_claims(view) + control_claims(view)
        tables["at equal accuracy"] = [row for loss in view.losses for row in equal_rows(view, loss)]
        tables["by generation"] = [row for arm in controlled(view) for row in generation_rows(view, arm)]
    else:
        claims = choice_claims(view)
        tables[f"accuracy at a synaptic efficiency of {EQUAL:g}"] = [choice_row(view, arm) for arm in view.arms]
        tables["all generations"] = [row for arm in view.arms for row in generation_rows(view, arm)]
    tables["retention"] = [row for arm in view.arms for row in retention_rows(view, arm)]
    tables["by layer, at the end"] = [row for arm in view.arms for row in layer_rows(view, arm)]
    return lab.decide(claims), tables


def controlled(view: View) -> list[str]:
    """The arms that have controls."""
    return [arm for arm in view.arms if len(view.rows(arm)) > 1]


def paper_claims(view: View) -> list[lab.Claim]:
    """What the authors say of sexual and asexual synthesis, beside whether their single run shows it."""
    claims, both = [], ("sexual", "asexual")
    for number, loss in enumerate(view.losses):
        at = f"at {loss:g} less accuracy than the ancestor"
        theirs = [PAPER_AT_LOSS.get((view.dataset, loss, arm)) for arm in both]
        fewer = at_equal_accuracy(view, both, [view.generations_at_loss(arm, loss) for arm in both], "generations")
        statement = f"sexual needs fewer generations {at}"
        claims.append(lab.below(f"generations_{number}", statement, *fewer, paper=share(theirs, 0, below=True)))
        for place, (what, name) in enumerate((("synapses", "synaptic"), ("kernels", "cluster")), start=1):
            found = at_equal_accuracy(view, both, [view.efficiency_at_loss(arm, loss, what) for arm in both], what)
            statement = f"sexual has the larger {name} efficiency {at}"
            claims.append(lab.above(f"{name}_{number}", statement, *found, paper=share(theirs, place)))
        for arm, known in zip(both, theirs, strict=True):
            if known is not None:
                ours = view.efficiency_at_loss(arm, loss)
                statement = f"{arm}: a synaptic efficiency of at least {known[1]:g} {at}"
                claims.append(lab.above(f"{arm}_efficiency_{number}", statement, ours, known[1], paper=1.0))
    for what, name in (("synapses", "synaptic"), ("kernels", "cluster")):
        exponents = [view.exponent(arm, what) for arm in both]
        statement = f"{name} efficiency grows more steeply with sexual"
        claims.append(lab.above(f"steeper_{name}", statement, *exponents, paper=1.0))
    apart = np.abs(view.retained("sexual") - view.retained("asexual") ** 2)
    statement = f"sexual retention within {SQUARED:g} of the square of asexual retention"
    claims.append(lab.below("squared", statement, apart, SQUARED))
    return claims


def share(theirs: list, place: int, *, below: bool = False) -> float | None:
    """The share of the authors' single run in which the first is larger, or smaller; None where they tell nothing."""
    if None in theirs:
        return None
    first, second = (known[place] for known in theirs)
    return float(first < second if below else first > second)


def at_equal_accuracy(
    view: View, arms: tuple[str, ...], values: list[np.ndarray], what: str, rows: tuple[str | None, ...] = (None, None)
) -> tuple[np.ndarray, np.ndarray]:
    """Values of two populations at equal accuracy, NaN where it is open which is larger."""
    ends = []
    for arm, row in zip(arms, rows, strict=True):
        generations = float(view.generations(arm)[-1])
        ends.append(generations if what == "generations" else view.efficiency(arm, what, row)[:, -1])
    return comparable(*values, *(np.broadcast_to(end, values[0].shape) for end in ends))


def control_claims(view: View) -> list[lab.Claim]:
    """Synthesis against pruning: of as many synapses, mean over generations, both ways; then at the same accuracy."""
    claims, loss = [], view.losses[0]
    for arm in controlled(view):
        for control in view.rows(arm)[1:]:
            ours, theirs = (view.of(arm, "accuracy", row)[:, 1:].mean(axis=1) for row in (FIRST, control))
            name = f"{arm}_{control}".replace(", ", "_")
            of_as_many = "with as many synapses"
            statements = f"{arm}: more accurate than {control}, {of_as_many}", f"{arm}: less accurate than {control}"
            claims.append(lab.above(name, statements[0], ours, theirs))
            claims.append(lab.below(f"{name}_less", f"{statements[1]}, {of_as_many}", ours, theirs))
        rows = (FIRST, "magnitude")
        values = [view.efficiency_at_loss(arm, loss, "synapses", row) for row in rows]
        found = at_equal_accuracy(view, (arm, arm), values, "synapses", rows)
        at = f"at {loss:g} less accuracy than the ancestor"
        claims.append(lab.above(f"{arm}_equal", f"{arm}: larger synaptic efficiency than magnitude {at}", *found))
        claims.append(lab.below(f"{arm}_equal_less", f"{arm}: smaller synaptic efficiency than magnitude {at}", *found))
    return claims


def choice_claims(view: View) -> list[lab.Claim]:
    """What each choice changes in accuracy at equal efficiency."""
    usual = view.accuracy_at("sexual", EQUAL)
    claims = []
    for arm in view.arms[1:]:
        name = "".join(c if c.isalnum() else "_" for c in arm)
        statement = f"{arm}: more accurate than sexual at a synaptic efficiency of {EQUAL:g}"
        claims.append(lab.above(name, statement, view.accuracy_at(arm, EQUAL), usual))
    for plain, aligned in (
        ("two ancestors", "two ancestors, aligned"),
        ("two ancestors, inherited", "two ancestors, aligned, inherited"),
    ):
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
    for label, name in (
        ("synapses", "synapses"),
        ("on living paths", "connected"),
        ("kernels", "kernels"),
        ("filters", "clusters"),
    ):
        row[label] = lab.mean(view.of(arm, name)[:, place])
    return row


def equal_rows(view: View, loss: float) -> list[dict[str, Any]]:
    """First children and controls at the same accuracy: medians over seeds, infinite where most runs end before."""
    rows = []
    for arm in controlled(view):
        for row in [FIRST, *view.rows(arm)[1:]]:
            synaptic, cluster = (view.efficiency_at_loss(arm, loss, what, row) for what in ("synapses", "kernels"))
            rows.append(
                {
                    "accuracy lost": loss,
                    "population": arm,
                    "networks": row,
                    "synaptic efficiency": median(synaptic),
                    "cluster efficiency": median(cluster),
                    "seeds that end before": int(np.isinf(synaptic).sum()),
                }
            )
    return rows


def median(values: np.ndarray) -> float | None:
    """For a table; None stands for more than the runs show."""
    found = float(np.sort(values)[(len(values) - 1) // 2])
    return lab.rounded(found) if np.isfinite(found) else None


def retention_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """What share of their parents' synapses children have, generation by generation; with the authors' mean."""
    theirs = RETENTION.get(view.dataset, {}).get(arm) if str(view.arrays["study"]) == "paper" else None
    rows = []
    for place, generation in enumerate(view.generations(arm)[1:], start=1):
        shares = {name: lab.mean(view.of(arm, name)[:, place]) for name in ("retained", "allowed", "expected")}
        rows.append({"population": arm, "generation": int(generation), **shares, "retained, paper's mean": theirs})
    means = {name: lab.mean(view.retained(arm, name)) for name in ("retained", "allowed", "expected")}
    return [*rows, {"population": arm, "generation": "3 and on", **means, "retained, paper's mean": theirs}]


def layer_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Living synapses of each layer in the last generation."""
    place = view.arms.index(arm)
    last, size = len(view.generations(arm)) - 1, int(view.arrays["sizes"][place])
    rows = []
    for row in [FIRST, *view.rows(arm)[1:]]:
        of_row = 0 if row == FIRST else size + view.controls.index(row)
        layers = view.arrays["layers"][place][:, last, of_row]
        named = {f"convolution {number}": lab.mean(layers[:, number]) for number in range(layers.shape[1])}
        rows.append({"population": arm, "networks": row, **named})
    return rows


def generation_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Children and controls of one arm, generation by generation."""
    rows = []
    for place, generation in enumerate(view.generations(arm)):
        row: dict[str, Any] = {"population": arm, "generation": int(generation)}
        row["synaptic efficiency"] = geometric(view.efficiency(arm)[:, place])
        row["cluster efficiency"] = geometric(view.efficiency(arm, "kernels")[:, place])
        row["accuracy"] = lab.mean(view.of(arm, "accuracy")[:, place])
        if view.rows(arm)[1:]:
            row["accuracy, first child"] = lab.mean(view.of(arm, "accuracy", FIRST)[:, place])
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
