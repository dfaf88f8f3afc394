"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from evojax_align import lab
from experiments.common import above, average, identifier, mean_of, row
from experiments.mixed_evolution.study import TARGETS
from experiments.mixed_evolution.view import View

COLLAPSED = 0.95
"""The members of a population are nearly identical if their mean cosine similarity is above this."""
NEAR = 0.005
"""Accuracies that differ by less than this are alike; it is also a margin."""
NOTEBOOK = {
    "horizontal": ((91.87, 91.36), (93.89, 92.89), (94.96, 94.15), (95.90, 94.68), (96.58, 95.69), (96.91, 96.19)),
    "vertical": ((91.64, 91.08), (93.84, 92.68), (94.83, 93.71), (95.80, 94.60), (96.38, 95.55), (96.87, 96.29)),
}
"""Best and worst test accuracy after each generation in the authors' notebook, in percent."""
SINGLE = 0.969
"""The mean accuracy of their two networks that were trained alone, .9685 and .9695."""
ATTACKED = {
    "best member": {"horizontal": 0.0061, "vertical": 0.0063},
    "other members": {"horizontal": 0.031, "vertical": 0.0154},
    "other children": {"horizontal": 0.0970, "vertical": 0.0436},
}
"""Accuracy under attack there: the middle of the range of 19 members, and the mean of ten children (of the vertical
network the middle of their range)."""
MARGINS = {"best member": 0.005, "other members": 0.012, "other children": 0.03}
"""A network attacked itself: their "less than 1 %". Members: half of their range, 1.9 to 4.3 %. Children: their "5 % to
15 %" and, of one population, 5.0 to 11.6 %."""
SEEN = ("demo-clean-digits-0", "paper-code-mnist-0", "cross-clean-mnist-0")


def near(arm: str) -> lab.Claim:
    """The authors' main result, that recombination neither helps nor harms."""
    statement = (
        f"{arm}: the best member's accuracy at the paper's last generation differs by less than {NEAR:g} from that of "
        "networks trained alone for as many epochs"
    )
    apart = lambda view: np.abs(view.accuracy(arm, "best") - view.accuracy(view.control(arm)))  # noqa: E731
    paper = round(abs(NOTEBOOK[arm][-1][0] / 100 - SINGLE), 4)
    return above(f"{arm}_near", statement, NEAR, apart, number="y", arms=(arm,), paper=paper, margin=NEAR)


def attack(arm: str, target: str) -> lab.Claim:
    """One of the authors' numbers of accuracy under attack."""
    statements = {
        "best member": f"{arm}: the best member's accuracy under FGSM on itself is below .01",
        "other members": f"{arm}: the other members' accuracy on images that fool the best one is below .05",
        "other children": f"{arm}: untrained children classify images that fool another child better than members "
        "classify those that fool the best member",
    }
    ours, members = (partial(View.attacked, arm=arm, target=of) for of in (target, "other members"))
    name, x, y = {
        "best member": ("own", 0.01, ours),
        "other members": ("others", 0.05, ours),
        "other children": ("children", ours, members),
    }[target]
    number = {"number": "x" if x is ours else "y", "paper": ATTACKED[target][arm], "margin": MARGINS[target]}
    attacked = lambda view: view.were_attacked  # noqa: E731
    return above(f"{arm}_{name}", statements[target], x, y, arms=(arm,), known=attacked, **number)


def fewest(arm: str) -> lab.Claim:
    """Where the authors see the population fall into groups."""
    groups = partial(View.by_layer, arm=arm, name="groups")
    statement = f"{arm}: the members' output layers form fewer groups (cosine .9 or more) than those of any other layer"
    others = lambda view: groups(view)[:, 1:].min(axis=1)  # noqa: E731
    return above(f"{arm}_fewest", statement, others, lambda view: groups(view)[:, 0], arms=(arm,))


def collapse(arm: str) -> lab.Claim:
    """What the authors see beyond six generations."""
    cosine = lambda view: view.by_layer(arm, "cosine", view.marks[-1]).mean(axis=1)  # noqa: E731
    statement = f"{arm}: at the last generation the mean cosine similarity of two members is above {COLLAPSED:g}"
    later = {"arms": (arm,), "known": lambda view: len(view.marks) > 1}
    return above(f"{arm}_collapse", statement, cosine, COLLAPSED, number="x", **later)


def aligned_over_naive(name: str, statement: str, measure: str) -> lab.Claim:
    """Aligned parents against parents that are crossed as they are; in the study "cross" the mean of all kinds of
    genes, so that a seed counts once."""

    def side(view: View, place: int) -> np.ndarray:
        pairs = [(arm, arm.replace("aligned", "naive")) for arm in view.populations if "s, aligned" in arm]
        pairs = pairs or [("aligned parents", "horizontal")]
        return np.mean([getattr(view, measure)(pair[place]) for pair in pairs], axis=0)

    return above(name, statement, partial(side, place=0), partial(side, place=1))


PRIMARY = (
    near("horizontal"),
    near("vertical"),
    *(attack("horizontal", target) for target in ATTACKED),
    attack("vertical", "other children"),
    fewest("horizontal"),
    collapse("horizontal"),
    above(
        "selection",
        "horizontal: members are more accurate with selection than with parents and survivors drawn at random",
        partial(View.accuracy, arm="horizontal"),
        partial(View.accuracy, arm="random selection"),
        arms=("horizontal", "random selection"),
    ),
    aligned_over_naive(
        "aligned_untrained",
        "before training, children of aligned parents are more accurate than children of parents that are crossed as "
        "they are",
        "untrained",
    ),
)


def explore(view: View) -> list[lab.Claim]:
    """All other claims of the authors and of this project about the arms of a run."""
    claims = [one for arm in NOTEBOOK if arm in view for one in of_population(view, arm)]
    if "vertical" in view:
        claims += [attack("vertical", target) for target in TARGETS[:2]] + [fewest("vertical"), collapse("vertical")]
    statement = "after training, members are more accurate if parents are aligned than if they are crossed as they are"
    claims.append(aligned_over_naive("aligned_accuracy", statement, "accuracy"))
    claims += [one for arm in view.controls for one in of_control(view, arm)]
    return claims + {"cross": of_genes, "cures": of_cures, "paper": lambda view: []}[view.study](view)


def of_population(view: View, arm: str) -> list[lab.Claim]:
    """What else the authors say of one network, and their accuracy in every generation."""
    first, last, size = view.marks[0], view.marks[-1], view.of(arm, "fitness").shape[-1]
    cosine, groups = view.by_layer(arm, "cosine"), view.by_layer(arm, "groups")[:, 0]
    divided = np.where(np.isfinite(groups), (groups > 1) & (groups <= size // 2), np.nan)
    alone = view.control(arm)
    found = [
        ("better", "the best member is more accurate than networks trained alone",
         view.accuracy(arm, "best"), view.accuracy(alone)),
        ("ensemble", "the ensemble of networks trained alone is more accurate than that of all members",
         view.of(alone, "together")[:, 0], view.of(arm, "together")[:, 0]),
        ("alike", f"two members are more alike at generation {first} than at first",
         cosine.mean(axis=1), view.by_layer(arm, "cosine", 0).mean(axis=1)),
        ("output", "the output layers of two members are more alike than any other layer",
         cosine[:, 0], cosine[:, 1:].max(axis=1)),
        ("groups", f"the output layers form 2 to {size // 2} groups at generation {first}", divided, 0.5),
    ]  # fmt: skip
    if view.were_attacked:
        others, trained = (view.attacked(arm, f"other {target}") for target in ("members", "trained children"))
        children = [view.attacked(arm, "other children", mark) for mark in range(len(view.marks))]
        found += [
            ("strangers", "members resist images that fool the best one more than networks trained alone do",
             others, view.attacked(alone, "other members")),
            ("trained", "trained children resist images that fool another of them more than members do",
             trained, others),
            ("later", f"children resist each other's attacks less at generation {last} than at {first}",
             children[0], children[-1]),
        ][: 3 if last > first else 2]  # fmt: skip
    claims = [above(f"{arm}_{name}", f"{arm}: {statement}", x, y) for name, statement, x, y in found]
    for generation, pair in enumerate(NOTEBOOK[arm][: last if view.published else 0], start=1):
        for how, percent in zip(("best", "worst"), pair, strict=True):
            statement = f"{arm}: accuracy of the {how} member after generation {generation}"
            claims.append(number(f"{arm}_{how}_{generation}", statement, view.accuracy(arm, how, generation), percent))
    if view.published and view.were_attacked:
        clean = view.of(arm, "child_accuracy")[:, 0, 0]
        claims.append(number(f"{arm}_clean", f"{arm}: accuracy of untrained children without an attack", clean, 75))
    return claims


def of_control(view: View, arm: str) -> list[lab.Claim]:
    """The authors' numbers of networks that were trained alone."""
    network = view.network(arm)
    if not view.published or network != "horizontal":
        return []
    claims = [number("alone_accuracy", "networks trained alone: accuracy", view.accuracy(arm), 100 * SINGLE)]
    if view.were_attacked:
        own, others = (view.attacked(arm, target) for target in TARGETS[:2])
        statements = "accuracy under FGSM on itself", "accuracy on images that fool another network"
        claims.append(number("alone_own", f"networks trained alone: {statements[0]}", own, 0.75))
        claims.append(number("alone_others", f"networks trained alone: {statements[1]}", others, 3.67, margin=0.012))
    return claims


def number(name: str, statement: str, ours: np.ndarray, percent: float, margin: float = NEAR) -> lab.Claim:
    """A number of the authors' notebook without a direction; the margin is what they call alike."""
    return mean_of(name, statement, ours, round(percent / 100, 4), margin)


def of_genes(view: View) -> list[lab.Claim]:
    """Aligned against naive for each kind of genes, and what a bonus does to the mean of the three kinds."""
    kinds = list(dict.fromkeys(arm.split(",")[0] for arm in view.populations))
    measures = {"untrained": "children before training", "accuracy": "members"}
    claims = []
    for kind in kinds:
        for name, whose in measures.items():
            sides = [
                np.mean([getattr(view, name)(f"{kind}, {way}{end}") for end in ("", ", bonus")], axis=0)
                for way in ("aligned", "naive")
            ]
            statement = f"{kind} as genes: {whose} are more accurate if parents are aligned"
            claims.append(above(f"{kind}_{name}", statement, *sides))
    for way in ("naive", "aligned"):
        for name, what, of in judged_by(view):
            with_, without = (np.mean([of(f"{kind}, {way}{end}") for kind in kinds], axis=0) for end in (", bonus", ""))
            sides = (with_, without) if name == "resist" else (without, with_)
            ends = "with a bonus than without" if name == "resist" else "without a bonus than with"
            claims.append(above(f"bonus_{way}_{name}", f"{way} parents: {what} {ends} one", *sides))
    return claims


def judged_by(view: View) -> list[tuple[str, str, Callable[[str], np.ndarray]]]:
    """What a bonus is judged by."""
    resist = ("resist", "others resist the attack on the best member more", lambda arm: view.attacked(arm, TARGETS[1]))
    found = [("alike", "members are more alike", view.alike), ("cost", "members are more accurate", view.accuracy)]
    return found + ([resist] if view.were_attacked else [])


def of_cures(view: View) -> list[lab.Claim]:
    """Each way to keep a population diverse against the population without any."""
    usual, claims = "horizontal", []
    for arm in view.populations[1:]:
        name = identifier(arm)
        statement = f"{arm}: members are less alike than without"
        claims.append(above(f"{name}_alike", statement, view.alike(usual), view.alike(arm)))
        if arm not in ("aligned parents", "random selection"):  # these two are claims of their own
            statement = f"{arm}: members are more accurate than without"
            claims.append(above(f"{name}_accuracy", statement, view.accuracy(arm), view.accuracy(usual)))
    return claims


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """The populations, the networks trained alone, all generations, and all attacks."""
    found = {
        "populations": [population_row(view, arm) for arm in view.populations],
        "networks trained alone": [row for arm in view.controls for row in control_rows(view, arm)],
        "by generation": [row for arm in view.populations for row in generation_rows(view, arm)],
    }
    attacks = [row for arm in view.populations for row in attack_rows(view, arm)] if view.were_attacked else []
    return found | ({"under attack": attacks} if attacks else {})


def population_row(view: View, arm: str) -> dict[str, Any]:
    """One population at the paper's last generation."""
    numbers = {how: view.accuracy(arm, how) for how in ("best", "mean", "worst")}
    numbers |= {
        "children untrained": view.untrained(arm),
        "ensemble": view.of(arm, "together")[:, 0],
        "cosine": view.by_layer(arm, "cosine"),
        "cosine, aligned or not": view.alike(arm),
        "founders": view.by_layer(arm, "alleles"),
        "groups, output": view.by_layer(arm, "groups")[:, 0],
    }
    if view.were_attacked:
        numbers |= {f"{who}, attacked": view.attacked(arm, f"other {who}") for who in ("members", "children")}
    genes = str(view.arrays["genes"][view.arms.index(arm)])
    return row({"population": arm, "genes": genes}, numbers)


def control_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Networks that are trained alone, at every mark."""
    rows = []
    for place, mark in enumerate(view.marks):
        numbers = {"accuracy": view.accuracy(arm, generation=mark), "ensemble": view.of(arm, "together")[:, place]}
        if view.were_attacked:
            names = dict(zip(("attacked itself", "others, attacked"), TARGETS, strict=False))
            numbers |= {name: view.attacked(arm, target, place) for name, target in names.items()}
        rows.append(row({"network": view.network(arm), "generation": mark}, numbers))
    return rows


def generation_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy and diversity of one population, generation by generation."""
    layers = sorted(
        {layer for of in view.populations for layer in view.layers(of)}, key=lambda of: (of == "output", of)
    )
    return [generation_row(view, arm, layers, number) for number in range(1, view.of(arm, "fitness").shape[1])]


def generation_row(view: View, arm: str, layers: list[str], generation: int) -> dict[str, Any]:
    """One generation; layers that the network does not have are empty."""
    notebook = NOTEBOOK.get(arm, ())[generation - 1 : generation] if view.published else ()
    found: dict[str, Any] = {"population": arm, "generation": generation}
    for place, how in enumerate(("best", "worst")):
        found[how] = average(view.accuracy(arm, how, generation))
        if view.published:
            found[f"{how}, notebook"] = lab.rounded(notebook[0][place] / 100) if notebook else None
    found["mean"] = average(view.accuracy(arm, "mean", generation))
    titles = {"children untrained": "untrained", "cosine of genes": "gene_cosine"}
    found = row(found, {title: view.of(arm, name)[:, generation] for title, name in titles.items()})
    for title, name in {"cosine": "cosine", "founders": "alleles", "groups": "groups"}.items():
        known = dict(zip(view.layers(arm), view.by_layer(arm, name, generation).T, strict=True))
        found |= {f"{title}, {layer}": average(known[layer]) if layer in known else None for layer in layers}
    return found


def attack_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy of all targets under all attacks, at every mark."""
    rows = []
    for place, mark in enumerate(view.marks):
        clean = view.of(arm, "child_accuracy")[:, place].T
        for attack, name in enumerate(view.attacks):
            found: dict[str, Any] = {"population": arm, "generation": mark, "attack": name}
            for target in TARGETS:
                found[target] = average(view.attacked(arm, target, place, attack))
                if view.published and target in ATTACKED:
                    asked = (place, attack) == (0, view.usual)
                    found[f"{target}, notebook"] = ATTACKED[target].get(arm) if asked else None
            titles = ("children, clean", "trained children, clean")
            rows.append(row(found, dict(zip(titles, clean, strict=True))))
    return rows
