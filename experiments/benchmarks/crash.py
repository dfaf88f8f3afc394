"""Kill a run again and again, resume it each time, and compare every file with that of an uninterrupted run.

    python -m experiments.benchmarks.crash --kills 200

Runs `safe_crossover` at toy size, in two cells. Kills come without warning (SIGKILL), after random times that cover
training, checkpointing, alignment and the report. When a run comes to its end, the next kill goes to a new one.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = (sys.executable, "-m", "experiments.safe_crossover")
TOY = ("networks=8", "hidden=(12,)", "epochs=6", "ranks=(2,8)", "rank=8", "points=7", "at_once=2")
COMPARED = ("arrays/results.npz", "results.json", "log.jsonl")


def main(argv: list[str] | None = None) -> int:
    """Run, kill, compare; the exit code is 1 if any file differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        runs, kills, resumes, differences = torture(Path(folder), arguments.kills, random.Random(arguments.seed))
    print(f"runs {runs}, kills {kills}, resumed {resumes}, differences {differences}")
    return int(differences > 0)


def torture(folder: Path, kills: int, chance: random.Random) -> tuple[int, int, int, int]:
    """Numbers of runs that ended, of kills, of resumed starts, and of files that differ."""
    whole = folder / "whole"
    finish(whole)
    shutil.rmtree(whole)
    begun = start(whole)  # a second time, with everything compiled
    at_work = time.perf_counter()
    begun.wait()
    span = time.perf_counter() - at_work
    runs = killed = resumes = differences = 0
    while killed < kills:
        run = folder / f"run{runs}"
        while killed < kills:
            resumes += (run / "manifest.json").exists()
            if ended(start(run), chance.uniform(0, span)):
                break
            killed += 1
        else:
            finish(run)
        runs += 1
        differences += differing(run, whole)
        shutil.rmtree(run)
    return runs, killed, resumes, differences


def start(run: Path) -> subprocess.Popen:
    """Start or resume the run, and come back when it is at work."""
    process = subprocess.Popen(command(run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    lock = run / "lock"
    while process.poll() is None and not (lock.exists() and lock.read_text().startswith(f"{process.pid} ")):
        time.sleep(0.01)
    return process


def ended(process: subprocess.Popen, seconds: float) -> bool:
    """Kill the process after these seconds; whether it ended before."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    if process.returncode:
        raise RuntimeError(f"the run ended with exit code {process.returncode}")
    return True


def finish(run: Path) -> None:
    """Start or resume the run, and let it end."""
    subprocess.run(command(run), check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def command(run: Path) -> list[str]:
    """What starts the run, or resumes it where it has begun."""
    flags = ["--quiet", "--checkpoint-every", "0"]
    if (run / "manifest.json").exists():
        return [*START, *flags, "--resume", str(run)]
    settings = [part for setting in TOY for part in ("--set", setting)]
    shutil.rmtree(run, ignore_errors=True)
    return [*START, *flags, "--out", str(run), *settings]


def differing(run: Path, whole: Path) -> int:
    """The number of files that are not equal, bit for bit, figures included."""
    names = [*COMPARED, *(f"figures/{path.name}" for path in (whole / "figures").iterdir())]
    different = [name for name in names if (run / name).read_bytes() != (whole / name).read_bytes()]
    if different:
        print(f"{run.name} differs in {', '.join(different)}", file=sys.stderr)
    return len(different)


if __name__ == "__main__":
    sys.exit(main())
