"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from evojax_align import lab
from experiments.common import average
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


def claim(name: str, statement: str, arms: tuple[str, ...], compare: Callable[[View], Any], **number: Any) -> lab.Claim:
    """A claim over seeds, None for runs without these arms; `paper` is the number of the authors' notebook."""

    def compared(view: View) -> lab.Comparison | None:
        return compare(view) if all(arm in view for arm in arms) else None

    if "paper" in number:
        number["paper"] = {"mnist": number["paper"]}
    return lab.Claim(name, statement, "seeds", compared, **number)


def near(arm: str) -> lab.Claim:
    """The authors' main result, that recombination neither helps nor harms."""

    def compare(view: View) -> lab.Comparison:
        apart = np.abs(view.accuracy(arm, "best") - view.accuracy(view.control(arm)))
        return lab.paired(NEAR, apart, ours=apart)

    statement = (
        f"{arm}: the best member's accuracy at the paper's last generation differs by less than {NEAR:g} from that of "
        "networks trained alone for as many epochs"
    )
    paper = abs(NOTEBOOK[arm][-1][0] / 100 - SINGLE)
    return claim(f"{arm}_near", statement, (arm,), compare, paper=round(paper, 4), margin=NEAR)


def attack(arm: str, target: str) -> lab.Claim:
    """One of the authors' numbers of accuracy under attack."""
    statements = {
        "best member": f"{arm}: the best member's accuracy under FGSM on itself is below .01",
        "other members": f"{arm}: the other members' accuracy on images that fool the best one is below .05",
        "other children": f"{arm}: untrained children classify images that fool another child better than members "
        "classify those that fool the best member",
    }

    def compare(view: View) -> lab.Comparison | None:
        if not view.were_attacked:
            return None
        ours = view.attacked(arm, target)
        if target == "other children":
            return lab.paired(ours, view.attacked(arm, "other members"), ours=ours)
        return lab.paired(0.01 if target == "best member" else 0.05, ours, ours=ours)

    name = {"best member": "own", "other members": "others", "other children": "children"}[target]
    number = {"paper": ATTACKED[target][arm], "margin": MARGINS[target]}
    return claim(f"{arm}_{name}", statements[target], (arm,), compare, **number)


def fewest(arm: str) -> lab.Claim:
    """Where the authors see the population fall into groups."""

    def compare(view: View) -> lab.Comparison:
        groups = view.by_layer(arm, "groups")
        return lab.paired(groups[:, 1:].min(axis=1), groups[:, 0])

    statement = f"{arm}: the members' output layers form fewer groups (cosine .9 or more) than those of any other layer"
    return claim(f"{arm}_fewest", statement, (arm,), compare)


def collapse(arm: str) -> lab.Claim:
    """What the authors see beyond six generations."""

    def compare(view: View) -> lab.Comparison | None:
        if len(view.marks) < 2:
            return None
        cosine = view.by_layer(arm, "cosine", view.marks[-1]).mean(axis=1)
        return lab.paired(cosine, COLLAPSED, ours=cosine)

    statement = f"{arm}: at the last generation the mean cosine similarity of two members is above {COLLAPSED:g}"
    return claim(f"{arm}_collapse", statement, (arm,), compare)


def aligned_over_naive(measure: str, view: View) -> lab.Comparison | None:
    """Aligned parents against parents that are crossed as they are; in the study "cross" the mean of all kinds of
    genes, so that a seed counts once."""
    pairs = [(arm, arm.replace("aligned", "naive")) for arm in view.populations if "s, aligned" in arm]
    pairs = pairs or [("aligned parents", "horizontal")]
    aligned, naive = ([getattr(view, measure)(pair[side]) for pair in pairs] for side in (0, 1))
    return lab.paired(np.mean(aligned, axis=0), np.mean(naive, axis=0))


PRIMARY = (
    near("horizontal"),
    near("vertical"),
    attack("horizontal", "best member"),
    attack("horizontal", "other members"),
    attack("horizontal", "other children"),
    attack("vertical", "other children"),
    fewest("horizontal"),
    collapse("horizontal"),
    claim(
        "selection",
        "horizontal: members are more accurate with selection than with parents and survivors drawn at random",
        ("horizontal", "random selection"),
        lambda view: lab.paired(view.accuracy("horizontal"), view.accuracy("random selection")),
    ),
    lab.Claim(
        "aligned_untrained",
        "before training, children of aligned parents are more accurate than children of parents that are crossed as "
        "they are",
        "seeds",
        partial(aligned_over_naive, "untrained"),
    ),
)


def explore(view: View) -> list[lab.Claim]:
    """All other claims of the authors and of this project about the arms of a run."""
    named = [arm for arm in NOTEBOOK if arm in view]
    claims = [one for arm in named for one in of_population(view, arm)]
    claims += [attack("vertical", target) for target in TARGETS[:2] if "vertical" in view]
    claims += [of("vertical") for of in (fewest, collapse) if "vertical" in view]
    statement = "after training, members are more accurate if parents are aligned than if they are crossed as they are"
    claims.append(lab.Claim("aligned_accuracy", statement, "seeds", partial(aligned_over_naive, "accuracy")))
    claims += [one for arm in view.controls for one in of_control(view, arm)]
    if view.study == "cross":
        claims += of_genes(view)
    if view.study == "cures":
        claims += of_cures(view)
    return claims


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
    paper = {"mnist": round(percent / 100, 4)}
    return lab.Claim(name, statement, "seeds", lambda _: lab.measured(ours), paper=paper, margin=margin)


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
        name = lab.slug(arm).replace("-", "_")
        statement = f"{arm}: members are less alike than without"
        claims.append(above(f"{name}_alike", statement, view.alike(usual), view.alike(arm)))
        if arm not in ("aligned parents", "random selection"):  # these two are claims of their own
            statement = f"{arm}: members are more accurate than without"
            claims.append(above(f"{name}_accuracy", statement, view.accuracy(arm), view.accuracy(usual)))
    return claims


def above(name: str, statement: str, x: np.ndarray, y: np.ndarray | float) -> lab.Claim:
    """A claim that x lies above y."""
    return lab.Claim(name, statement, "seeds", lambda _: lab.paired(x, y))


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
    return {"population": arm, "genes": genes} | {name: average(values) for name, values in numbers.items()}


def control_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Networks that are trained alone, at every mark."""
    rows = []
    for place, mark in enumerate(view.marks):
        numbers = {"accuracy": view.accuracy(arm, generation=mark), "ensemble": view.of(arm, "together")[:, place]}
        if view.were_attacked:
            names = dict(zip(("attacked itself", "others, attacked"), TARGETS, strict=False))
            numbers |= {name: view.attacked(arm, target, place) for name, target in names.items()}
        row = {"network": view.network(arm), "generation": mark}
        rows.append(row | {name: average(values) for name, values in numbers.items()})
    return rows


def generation_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy and diversity of one population, generation by generation."""
    notebook = NOTEBOOK.get(arm, ()) if view.published else ()
    layers = sorted(
        {layer for of in view.populations for layer in view.layers(of)}, key=lambda of: (of == "output", of)
    )
    rows = []
    for generation in range(1, view.of(arm, "fitness").shape[1]):
        row: dict[str, Any] = {"population": arm, "generation": generation}
        for place, how in enumerate(("best", "worst")):
            row[how] = average(view.accuracy(arm, how, generation))
            if view.published:
                known = generation <= len(notebook)
                row[f"{how}, notebook"] = lab.rounded(notebook[generation - 1][place] / 100) if known else None
        row["mean"] = average(view.accuracy(arm, "mean", generation))
        row["children untrained"] = average(view.of(arm, "untrained")[:, generation])
        row["cosine of genes"] = average(view.of(arm, "gene_cosine")[:, generation])
        for title, name in (("cosine", "cosine"), ("founders", "alleles"), ("groups", "groups")):
            known = dict(zip(view.layers(arm), view.by_layer(arm, name, generation).T, strict=True))
            row |= {f"{title}, {layer}": average(known[layer]) if layer in known else None for layer in layers}
        rows.append(row)
    return rows


def attack_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy of all targets under all attacks, at every mark."""
    rows = []
    for place, mark in enumerate(view.marks):
        clean = view.of(arm, "child_accuracy")[:, place].T
        for attack, name in enumerate(view.attacks):
            row: dict[str, Any] = {"population": arm, "generation": mark, "attack": name}
            for target in TARGETS:
                row[target] = average(view.attacked(arm, target, place, attack))
                if view.published and target in ATTACKED:
                    asked = (place, attack) == (0, view.usual)
                    row[f"{target}, notebook"] = ATTACKED[target].get(arm) if asked else None
            titles = ("children, clean", "trained children, clean")
            rows.append(row | {title: average(values) for title, values in zip(titles, clean, strict=True)})
    return rows
