"""Mixed genetic and gradient evolution (Cooke and de Alfaro): `python -m experiments.mixed_evolution`."""
