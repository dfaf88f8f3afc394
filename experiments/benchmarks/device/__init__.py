"""The parts of `experiments.benchmarks.accelerator`: how rows are measured, the rows, their peers, and the check."""
