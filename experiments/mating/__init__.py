"""Sexual evolutionary synthesis of sparse networks (Chung et al. 2017): `python -m experiments.mating`."""
