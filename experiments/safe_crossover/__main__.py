"""Safe crossover of neural networks through neuron alignment: `python -m experiments.safe_crossover`."""

import sys

from evojax_align import lab
from experiments.safe_crossover import claims, config
from experiments.safe_crossover.study import BY_CONFIG, BY_NAME, BY_VIEW

STUDY = lab.Study(
    name="safe_crossover",
    title="Safe crossover through neuron alignment (Uriot & Izzo 2020)",
    description="Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).",
    presets=config.PRESETS,
    costs=config.COSTS,
    modes=config.MODES,
    cells=lambda config: BY_CONFIG[type(config)].cells(config),
    prepare=lambda config, data: BY_CONFIG[type(config)].problem(config, data),
    run=lambda problem, cell, run: problem.run(cell, run),
    merge=lambda config, found: BY_CONFIG[type(config)].merge(config, found),
    view=lambda arrays: BY_NAME[str(arrays["part"])].view(arrays),
    claims=claims.PRIMARY,
    explore=lambda view: BY_VIEW[type(view)].explore(view),
    tables=lambda view: BY_VIEW[type(view)].tables(view),
    figures=lambda view, folder: BY_VIEW[type(view)].figures(view, folder),
    seen=claims.SEEN,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
