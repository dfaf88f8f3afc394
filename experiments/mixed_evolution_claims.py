"""The claims of `mixed_evolution.py`, each decided by a paired test over seeds."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab, statistics

sys.path.insert(0, str(Path(__file__).parent))

from mixed_evolution_view import View  # pyright: ignore[reportImplicitRelativeImport]

COLLAPSED = 0.95
"""A population is all alike where its members' mean cosine similarity is above this."""
NEAR = 0.005
"""Accuracies nearer than this are alike."""


def paper_claims(view: View) -> list[lab.Claim]:
    """What the authors say, of both networks; then of the controls, and of aligned parents."""
    claims = [claim for arm in ("horizontal", "vertical") for claim in claims_of(view, arm)]
    best, chance, aligned = "horizontal", "random selection", "aligned parents"
    claims += [
        lab.above(
            "selection",
            "better with selection than by chance without newcomers",
            view.accuracy(best),
            view.accuracy(chance),
        ),
        lab.above(
            "aligned_untrained",
            "children before training: better of aligned parents",
            view.untrained(aligned),
            view.untrained(best),
        ),
        lab.above(
            "aligned_accuracy", "members: better of aligned parents", view.accuracy(aligned), view.accuracy(best)
        ),
    ]
    return claims


def claims_of(view: View, arm: str) -> list[lab.Claim]:
    """What the authors say of one network; the statements name the generations that were looked at."""
    first, last = view.marks[0], view.marks[-1]
    best, layers = view.accuracy(arm, "best"), view.layers(arm)
    rival = view.alone(arm)[:, first - 1].mean(axis=-1)
    cosine, later = view.cosine(arm), view.cosine(arm, last)
    output = layers.index("output")
    others = np.delete(cosine, output, axis=1).max(axis=1)
    groups, elsewhere = view.groups(arm)[:, output], np.delete(view.groups(arm), output, axis=1).min(axis=1)
    size = view.arrays["accuracy"].shape[-1]
    divided = ((groups > 1) & (groups <= size // 2)).astype(float)
    claims = [
        lab.below(f"{arm}_near", f"{arm}: best within {NEAR:g} of a network alone", np.abs(best - rival), NEAR),
        lab.above(f"{arm}_better", f"{arm}: best above a network alone", best, rival),
        lab.below(
            f"{arm}_ensemble",
            f"{arm}: the population as an ensemble below one of networks alone",
            view.of(arm, "together")[:, 0],
            view.alone(arm, "together")[:, 0],
        ),
        lab.above(
            f"{arm}_alike", f"{arm}: layers more alike than at first", cosine.mean(1), view.cosine(arm, 0).mean(1)
        ),
        lab.above(f"{arm}_output", f"{arm}: the output layer the most alike", cosine[:, output], others),
        lab.below(f"{arm}_fewest", f"{arm}: fewer groups in the output layer than in any other", groups, elsewhere),
        lab.claim(
            f"{arm}_groups",
            f"{arm}: 2 to {size // 2} groups in the output layer at generation {first}",
            None,
            statistics.win_share(divided, np.zeros_like(divided), alternative="greater"),
            statistics.sign_test(divided, np.full_like(divided, 0.5), alternative="greater"),
        ),
    ]
    if last > first:
        statement = f"{arm}: all alike (above {COLLAPSED:g}) at generation {last}"
        claims.append(lab.above(f"{arm}_collapse", statement, later.mean(1), COLLAPSED))
    return claims + (attack_claims(view, arm) if view.were_attacked else [])


def attack_claims(view: View, arm: str) -> list[lab.Claim]:
    """The four questions of the authors, and whether it is being untrained that makes children resist."""
    own, others, children, grown = (
        view.attacked(arm, target)
        for target in ("best member", "other members", "other children", "other grown children")
    )
    strangers = view.alone(arm, "attack")[:, 0, view.usual, 1]
    claims = [
        lab.above(f"{arm}_strangers", f"{arm}: others resist more than networks that trained alone", others, strangers),
        lab.below(f"{arm}_own", f"{arm}: below .01 under an attack on itself", own, 0.01),
        lab.below(f"{arm}_others", f"{arm}: others below .05 under the best one's", others, 0.05),
        lab.above(f"{arm}_children", f"{arm}: children resist each other's more than members", children, others),
        lab.above(f"{arm}_grown", f"{arm}: grown children resist each other's more than members", grown, others),
    ]
    if len(view.marks) > 1:
        later = view.attacked(arm, "other children", -1)
        statement = f"{arm}: children resist less at generation {view.marks[-1]} than at {view.marks[0]}"
        claims.append(lab.below(f"{arm}_later", statement, later, children))
    return claims


def cross_claims(view: View) -> list[lab.Claim]:
    """Aligned against naive for each kind of genes, and what a bonus does to the mean of the three kinds."""
    kinds = list(dict.fromkeys(arm.split(",")[0] for arm in view.arms))
    ends = ("", ", bonus")

    def both(kind: str, way: str, of: Any) -> np.ndarray:
        """The mean of the same seed with and without a bonus, so that a seed counts once."""
        return np.mean([of(f"{kind}, {way}{end}") for end in ends], axis=0)

    claims = []
    for kind in kinds:
        for name, statement, of in (
            ("untrained", "children before training better of aligned parents", view.untrained),
            ("accuracy", "members better of aligned parents", view.accuracy),
        ):
            aligned, naive = (both(kind, way, of) for way in ("aligned", "naive"))
            claims.append(lab.above(f"{kind}_{name}", f"{kind}: {statement}", aligned, naive))
    for way in ("naive", "aligned"):
        with_, without = (
            {name: np.concatenate([of(f"{kind}, {way}{end}") for kind in kinds]) for name, of in measures(view).items()}
            for end in (", bonus", "")
        )
        claims += [
            lab.below(f"bonus_{way}_alike", f"{way}: less alike with a bonus", with_["alike"], without["alike"]),
            lab.below(
                f"bonus_{way}_cost", f"{way}: less accurate with a bonus", with_["accuracy"], without["accuracy"]
            ),
        ]
        if view.were_attacked:
            statement = f"{way}: others resist the best one's attack more with a bonus"
            claims.append(lab.above(f"bonus_{way}_resist", statement, with_["resist"], without["resist"]))
    return claims


def measures(view: View) -> dict[str, Any]:
    """What a cure is judged by."""
    return {
        "accuracy": view.accuracy,
        "alike": view.alike,
        "resist": lambda arm: view.attacked(arm, "other members"),
    }


def cure_claims(view: View) -> list[lab.Claim]:
    """Each cure against the population without any."""
    usual, *cures = view.arms
    of = measures(view)
    claims = []
    for arm in cures:
        name = arm.replace(" ", "_")
        claims.append(lab.below(f"{name}_alike", f"{arm}: less alike", of["alike"](arm), of["alike"](usual)))
        claims.append(
            lab.above(f"{name}_accuracy", f"{arm}: more accurate", of["accuracy"](arm), of["accuracy"](usual))
        )
    return claims
