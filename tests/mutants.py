"""Which small faults in the source do the fast tests find?

Mutations are drawn by a seed, evenly from all packages, and made one at a time in a copy of the repository, where the
fast tests of the package run until one fails. Results are written after each mutant, and a second run goes on.

    python -m tests.mutants --count 60 --seed 1 --minutes 30 --out mutants.json
    python -m tests.mutants --list --out tests/mutants_seed_0.json   # the table of those that were run

A mutant that survives needs a test, or a sentence in `tests/mutants_explained.json` that says why it changes nothing.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.mutations import Mutation, all_mutations, drawn, package_of

ROOT = Path(__file__).parents[1]
EXPLAINED = Path(__file__).with_name("mutants_explained.json")
SEED_0 = Path(__file__).with_name("mutants_seed_0.json")
"""Sixty mutants of seed 0, and what was found; kept so that the same ones are run after the source changed."""
SURVIVED = "survived"
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/[^\s:]+\.py(?:::[^\s\[]+(?:\[.*?\](?= |$))?)?)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Result:
    """What the tests of one package said to one mutant."""

    identity: str
    line: int
    caught_by: str
    """The test that failed; "time limit", or how else the tests ended; or "survived"."""
    seconds: float


def tests_of(root: Path, path: str) -> list[str]:
    """The test files of a module, the likeliest to fail first: those of its name, those that import it by full name,
    and those of its package; for a module of no package and without own tests, those of the packages that import it."""
    module, package = Path(path).stem.strip("_"), package_of(path)
    tests = root / "tests"
    if package != "evojax_align":
        files = sorted((tests / package).rglob("test_*.py"))
        files += [file for file in [tests / f"test_{package}.py"] if file.exists()]
        full = re.compile(rf"\b{path.removesuffix('.py').replace('/', '[.]')}\b")
        importing = [file for file in sorted(tests.rglob("test_*.py")) if full.search(file.read_text())]
        files = sorted({*files, *importing}, key=lambda file: (module not in file.stem, file not in importing, file))
    elif (tests / f"test_{module}.py").exists():
        files = [tests / f"test_{module}.py"]
    else:
        word = re.compile(rf"\b{Path(path).stem}\b")
        source = root / "evojax_align"
        using = {p.parent.relative_to(source) for p in source.rglob("*.py") if word.search(p.read_text())}
        files = [file for folder in sorted(using) if folder.name for file in sorted((tests / folder).glob("test_*.py"))]
    return [file.relative_to(root).as_posix() for file in files]


class Copy:
    """A copy of the repository in which tests run on mutated source."""

    def __init__(self, root: Path, folder: Path, limit: float) -> None:
        self.root, self.folder, self.limit = root, folder, limit
        for name in ("evojax_align", "tests"):
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(root / "pyproject.toml", folder)
        for path in root.iterdir():  # what tests only read
            if not (folder / path.name).exists() and path.name[0] not in "._":
                (folder / path.name).symlink_to(path)

    def run(self, tests: Sequence[str], stop: bool = True) -> tuple[int, str]:
        """Run tests, by default until one fails; the exit status (negative: ended by a signal) and the output.

        Raises:
            RuntimeError: if there were no tests to run.
        """
        lane = ["-m", "not slow and not nightly", *(["-x"] if stop else []), "-q", "-rfE", "--tb=line"]
        limited = ["sh", "-c", 'ulimit -t "$0"; exec "$@"', str(int(self.limit))]
        process = subprocess.Popen(
            [*limited, sys.executable, "-m", "pytest", *tests, *lane, "-p", "no:cacheprovider"],
            cwd=self.folder,
            env=dict(os.environ, PYTHONPATH=str(self.folder), PYTHONDONTWRITEBYTECODE="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=8 * self.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return -signal.SIGXCPU, process.communicate()[0]
        if process.returncode == 5:
            raise RuntimeError(f"no tests in {tests}:\n{output}")
        return process.returncode, output

    def mutated(self, mutation: Mutation, tests: Sequence[str]) -> str:
        """Which of the tests catches a mutation: its name, or how they ended; or "survived"."""
        file = self.folder / mutation.path
        original = file.read_bytes()
        file.write_bytes(mutation.applied(original))
        try:
            status, output = self.run(tests)
        finally:
            file.write_bytes(original)
        if status == 0:
            return SURVIVED
        if status < 0:
            return "time limit" if -status in (signal.SIGXCPU, signal.SIGKILL) else f"crash by signal {-status}"
        names = FAILED.findall(output)
        return names[0] if names else f"exit status {status} before any test"


def check_copy(copy: Copy) -> None:
    """Make sure that a copy's tests import the copy's package, by a syntax error in it.

    Raises:
        RuntimeError: if the tests run all the same.
    """
    test = "tests/test_the_copy_is_imported.py"
    (copy.folder / test).write_text("import evojax_align\n\ndef test_it_is_imported():\n    assert evojax_align\n")
    file = copy.folder / "evojax_align" / "__init__.py"
    original = file.read_bytes()
    file.write_bytes(b"this is no Python\n" + original)
    status, output = copy.run([test])
    file.write_bytes(original)
    if status == 0 or str(file) not in output:
        raise RuntimeError(f"tests in {copy.folder} do not import the package there:\n{output}")
    if copy.run([test])[0] != 0:
        raise RuntimeError(f"tests in {copy.folder} fail without a mutation:\n{output}")


class Study:
    """The mutants of one draw, and what is known of them; written to a file after each."""

    def __init__(self, root: Path, mutations: Sequence[Mutation], file: Path | None, limit: float) -> None:
        self.root, self.mutations, self.file, self.limit = root, mutations, file, limit
        self.explained: dict[str, str] = json.loads(EXPLAINED.read_text()) if EXPLAINED.exists() else {}
        self.results: dict[str, Result] = {}
        self.lock = threading.Lock()
        if file is not None and file.exists():
            stored = json.loads(file.read_text())
            self.results = {entry["identity"]: Result(**entry) for entry in stored["results"]}

    def run(self, jobs: int, minutes: float, again: bool, whole: bool) -> None:
        """Run what is missing: mutants without a result, or (`again`) those that survived; `whole` runs all tests."""
        end = time.monotonic() + 60 * minutes
        waiting = iter([m for m in self.mutations if self._is_missing(m, again)])
        with tempfile.TemporaryDirectory(prefix="mutants") as folder:
            copies = [Copy(self.root, Path(folder) / str(number), self.limit) for number in range(jobs)]
            check_copy(copies[0])
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                for done in [pool.submit(self._work, copy, waiting, end, whole) for copy in copies]:
                    done.result()
            self._check_tests(copies[0])

    def _is_missing(self, mutation: Mutation, again: bool) -> bool:
        result = self.results.get(mutation.identity)
        again = again and mutation.identity not in self.explained
        return result is None or (again and result.caught_by == SURVIVED)

    def _work(self, copy: Copy, waiting: Iterator[Mutation], end: float, whole: bool) -> None:
        while time.monotonic() < end:
            with self.lock:
                mutation = next(waiting, None)
            if mutation is None:
                return
            began = time.monotonic()
            caught_by = copy.mutated(mutation, ["tests"] if whole else tests_of(self.root, mutation.path))
            result = Result(mutation.identity, mutation.line, caught_by, round(time.monotonic() - began, 1))
            with self.lock:
                self.results[mutation.identity] = result
                self.write()
                print(f"{mutation.path}:{mutation.line} [{mutation.kind}] {caught_by}", flush=True)

    def _check_tests(self, copy: Copy) -> None:
        """Make sure that the tests that failed pass without a mutation.

        Raises:
            RuntimeError: if one does not; then what it caught is forgotten.
        """
        tests = {result.caught_by for result in self.results.values() if result.caught_by.startswith("tests/")}
        if not tests:
            return
        status, output = copy.run(sorted(tests), stop=False)
        if status != 0:
            wrong = set(FAILED.findall(output)) or tests
            self.results = {name: r for name, r in self.results.items() if r.caught_by not in wrong}
            self.write()
            raise RuntimeError(f"{sorted(wrong)} fail without a mutation:\n{output}")

    def write(self) -> None:
        """Store the results."""
        if self.file is not None:
            results = [dataclasses.asdict(result) for result in self.results.values()]
            stored: dict[str, Any] = {"mutants": [m.identity for m in self.mutations], "results": results}
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
            part.replace(self.file)

    def table(self) -> str:
        """One line for each mutant."""
        lines = ["| no. | place | mutation | caught by |", "|---|---|---|---|"]
        for number, m in enumerate(self.mutations, 1):
            result = self.results.get(m.identity)
            caught = "not run" if result is None else result.caught_by.removeprefix("tests/")
            if caught == SURVIVED and m.identity in self.explained:
                caught += f": {self.explained[m.identity]}"
            edit = f"{m.kind}: `{m.before}` to `{m.after}`".replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {number} | {m.path.removeprefix('evojax_align/')}:{m.line} | {edit} | {caught} |")
        known = [self.results[m.identity] for m in self.mutations if m.identity in self.results]
        survived = sum(result.caught_by == SURVIVED for result in known)
        lines.append(f"\n{len(known) - survived} of {len(known)} caught; {len(self.mutations) - len(known)} not run")
        return "\n".join(lines)


def draw(root: Path, seed: int, count: int, only: str = "", file: Path | None = None) -> list[Mutation]:
    """The mutations of a seed, or those of a stored study, found again in the source as it is now; where a line has
    changed, another mutation takes the place of the one that it had."""
    chosen: Callable[[str], bool] = lambda path: path.startswith(only)
    found = list(all_mutations(root, chosen))
    if file is None or not file.exists():
        return drawn(found, seed, count)
    known = {mutation.identity: mutation for mutation in reversed(found)}
    stored = json.loads(file.read_text())["mutants"]
    kept = [known[identity] for identity in stored if identity in known]
    others = [mutation for mutation in found if mutation.identity not in stored]
    return kept + drawn(others, seed, len(stored) - len(kept))


def main(argv: Sequence[str]) -> int:
    """Run mutants, and print a table of which test catches each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="PATH", help="files that begin so, as evojax_align/symmetry")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600, help="no mutant begins after so many minutes")
    parser.add_argument("--limit", type=float, default=900, help="seconds of processor time for each mutant")
    parser.add_argument("--out", type=Path, help="a JSON file of results; one that is there is continued")
    parser.add_argument("--again", action="store_true", help="run those that survived unexplained once more")
    parser.add_argument("--whole", action="store_true", help="run the fast tests of all packages")
    parser.add_argument("--list", action="store_true", help="only print the table")
    options = parser.parse_args(argv)
    mutations = draw(ROOT, options.seed, options.count, options.only, options.out)
    study = Study(ROOT, mutations, options.out, options.limit)
    if not options.list:
        study.write()
        study.run(options.jobs, options.minutes, options.again, options.whole)
    print(study.table())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
