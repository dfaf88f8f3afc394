"""Does crossover of aligned parents help evolution without gradients? `python -m experiments.neuroevolution`."""
