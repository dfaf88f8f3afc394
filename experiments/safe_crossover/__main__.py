"""Safe crossover of neural networks through neuron alignment: `python -m experiments.safe_crossover`."""

import sys

from evojax_align import lab
from experiments.safe_crossover import beyond, beyond_view, claims, config, deep, figures, study

PARTS = {config.Config: study, config.Beyond: beyond, config.Deep: deep}
"""The module that runs a configuration."""
VIEWS = {"pairs": claims.View, "beyond": beyond_view.View, "deep": deep.View}
STUDY = lab.Study(
    name="safe_crossover",
    title="Safe crossover through neuron alignment (Uriot & Izzo 2020)",
    description="Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).",
    presets=config.PRESETS,
    costs=config.COSTS,
    modes=config.MODES,
    cells=lambda config: PARTS[type(config)].cells(config),
    prepare=lambda config, data: PARTS[type(config)].Problem(config, data),
    run=lambda problem, cell, run: problem.run(cell, run),
    merge=lambda config, found: PARTS[type(config)].merge(config, found),
    view=lambda arrays: VIEWS[str(arrays["part"])](arrays),
    claims=claims.PRIMARY,
    explore=lambda view: view.explore(),
    tables=lambda view: view.tables(),
    figures=lambda view, folder: view.draw(folder),
    captions=figures.CAPTIONS,
    seen=claims.SEEN,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
