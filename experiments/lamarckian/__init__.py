"""Lamarckian evolution of convolutional architectures (Prellberg & Kramer 2018): `python -m experiments.lamarckian`."""
