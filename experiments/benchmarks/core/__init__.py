"""The parts of `experiments.benchmarks.core`: how ways of doing one thing are compared, the rows, and the peers."""
