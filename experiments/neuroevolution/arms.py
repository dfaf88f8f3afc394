"""The populations that are compared: eight arms, and factors that are changed one at a time."""

import dataclasses
from typing import Any

NAIVE, ALIGNED = "naive", "aligned"


@dataclasses.dataclass(frozen=True)
class Arm:
    """How one population evolves. What is not said is as in the arm "naive".

    Attributes:
        tuned: the arm whose tuned mutation scale and crossover rate it takes.
        crossover: of two parents, "" for that of the study.
        alignment: of the second parent before crossover: "none", "correlation" (by the matcher of the study),
            "exact" (the largest total correlation), "weights", "random" or "dead".
        share: of matings in which the second parent is aligned.
        of: "pairs", or "founders" to align them once.
        probe: "seen": samples of the data, or states that both parents visited; "random": inputs drawn at random.
        mutation: "gaussian", "safe" (scaled by output gradients), or "redraw" for weights drawn anew.
        founders: unrelated networks among the founders; 0 if all are.
        islands: that breed apart.
        migrants: whether migrants are aligned where they arrive.
        children: in a generation; 0 for those of the task.
        width: of the hidden layer; 0 for that of the task.
        rate: the chance of two parents; 0 for the tuned one.
        strategy: "open_es" or "sep_cma_es", in place of the genetic algorithm.
    """

    tuned: str = NAIVE
    crossover: str = ""
    alignment: str = "none"
    share: float = 1.0
    of: str = "pairs"
    probe: str = "seen"
    mutation: str = "gaussian"
    founders: int = 0
    islands: int = 1
    migrants: bool = False
    children: int = 0
    width: int = 0
    rate: float = 0.0
    strategy: str = ""


BASE = Arm(tuned=ALIGNED, alignment="correlation")
ARMS = {
    "mutation only": Arm(tuned="mutation only", crossover="none"),
    NAIVE: Arm(),
    ALIGNED: BASE,
    "aligned by weights": Arm(tuned="aligned by weights", alignment="weights"),
    "random order": Arm(tuned="random order", alignment="random"),
    "aligned, safe mutation": dataclasses.replace(BASE, tuned="aligned, safe mutation", mutation="safe"),
    "OpenAI-ES": Arm(tuned="OpenAI-ES", strategy="open_es"),
    "sep-CMA-ES": Arm(tuned="sep-CMA-ES", strategy="sep_cma_es"),
}
"""The arms of part 2."""


def both(label: str, **changes: Any) -> dict[str, Arm]:
    """The naive and the aligned arm with the same changes."""
    arms = {NAIVE: Arm(), ALIGNED: BASE}
    return {f"{name}, {label}": dataclasses.replace(arm, **changes) for name, arm in arms.items()}


def factors(width: int, children: int) -> dict[str, dict[str, Arm]]:
    """Each factor with its arms, besides "naive" and "aligned".

    Args:
        width: of the hidden layer in the task.
        children: in a generation of the task; islands need at least 4.
    """
    widths = [both(f"width {wide}", width=wide) for wide in (16, 64, 256) if wide != width]
    rates = [both(f"rate {rate:g}", rate=rate) for rate in (0.25, 0.5, 1.0)]
    kinds = [both(kind, crossover=kind) for kind in ("uniform", "neurons", "arithmetic")]
    few: dict[str, Any] = {"children": max(4, children)}
    return {
        "share of matings aligned": {
            "aligned in a tenth": dataclasses.replace(BASE, share=0.1),
            "founders aligned once": dataclasses.replace(BASE, of="founders"),
        },
        "founders": both("one founder", founders=1) | both("two founders", founders=2),
        "islands": {
            **({"naive, one island": Arm(**few)} if children < few["children"] else {}),
            "naive, 4 islands": Arm(islands=4, **few),
            "naive, 4 islands, migrants aligned": Arm(islands=4, migrants=True, **few),
        },
        "width": {name: arm for part in widths for name, arm in part.items()},
        "crossover rate": {name: arm for part in rates for name, arm in part.items()},
        "probe and controls": {
            "aligned, exact": dataclasses.replace(BASE, alignment="exact"),
            "aligned, random states": dataclasses.replace(BASE, probe="random"),
            "dead neurons only": Arm(alignment="dead"),
            "random search": Arm(mutation="redraw", crossover="none"),
        },
        "kind of crossover": {name: arm for part in kinds for name, arm in part.items()},
    }
