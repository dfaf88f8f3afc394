"""Studies of papers and benchmarks: one folder for each, run as `python -m experiments.NAME`."""
