"""Weight agnostic networks (Gaier & Ha 2019; Dobreva 2022, chapter 4): `python -m experiments.wann`."""
