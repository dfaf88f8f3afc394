"""Studies of papers and benchmarks: one folder for each, run as `python -m experiments.NAME`."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported: LAPACK's own threads stall beside XLA's
