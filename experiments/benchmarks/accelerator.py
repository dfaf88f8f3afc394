"""What the library reaches on an accelerator, and whether it computes there what it computes on a CPU.

    python -m experiments.benchmarks.accelerator --minutes 9 --out DIR

Runs on JAX's default device. Rows are measured in order of worth, and each is written to DIR/accelerator.json as soon
as it is known; those that would not end in time are listed. The data are synthetic, and nothing but the library is
needed; with PyTorch installed, the training of populations is measured there too. `--small` has sizes for a CPU. The
exit status is 1 if a row failed, by an error or by values that differ from those stored.
"""

import argparse
import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file: start again as a module of the package
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "experiments.benchmarks.accelerator", *sys.argv[1:]]
    os.execve(sys.executable, command, environment)

import jax

from experiments.benchmarks.device import agreement, measuring, rows

GROUPS = {
    "matrices": rows.matrices,
    "agreement": agreement.rows,
    "training": rows.training,
    "sweeps": rows.sweeps,
    "aligning": rows.aligning,
    "cca": rows.cca,
    "weights": rows.weights,
    "generations": rows.generations,
    "convolution": rows.convolution,
}
"""The rows by group, in order of worth."""


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit (default: 9)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for accelerator.json")
    parser.add_argument("--small", action="store_true", help="small sizes, for CPUs")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP", help=", ".join(GROUPS)
    )
    parser.add_argument("--store-reference", action="store_true", help="store the values of this CPU and stop")
    arguments = parser.parse_args(argv)
    if arguments.store_reference:
        print(f"stored {agreement.store()}")
        return 0
    file = None
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        file = arguments.out / "accelerator.json"
    scale = rows.SMALL if arguments.small else rows.FULL
    chosen = [row for name, group in GROUPS.items() if name in arguments.only for row in group(scale)]
    settings = {"minutes": arguments.minutes, "small": arguments.small, "groups": arguments.only}
    session = measuring.Session(file, arguments.minutes, settings)
    device = jax.devices()[0]
    measuring.say(f"{len(chosen)} rows on {device.device_kind} ({device.platform}), JAX {jax.__version__}")
    failed = session.run(chosen)
    print(measuring.summary(session.results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
