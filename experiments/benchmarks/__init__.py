"""Speed, soundness and crash tests, run as `python -m experiments.benchmarks.NAME`."""
