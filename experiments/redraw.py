"""Draw the pictures of stored runs again, from their stored arrays.

python -m experiments.redraw                                  # every picture that is stored
python -m experiments.redraw mating/demo-clean-digits         # those of one run; STUDY alone means all its runs
python -m experiments.redraw wann --figures graphs weights    # other pictures than those that are stored

Of a run whose arrays were not kept, pictures of means are drawn from its tables, where the study knows how. Those that
can't be drawn again stay as they are, and are named.
"""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from evojax_align.lab.checkpoint import write
from evojax_align.lab.folder import read_arrays
from experiments import stored
from experiments.stored import Kept


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="", help="STUDY or STUDY/RUN; by default all")
    parser.add_argument("--figures", nargs="*", help="pictures to draw, without .png; by default those that are stored")
    parser.add_argument("--folder", type=Path, default=stored.HERE, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        found = stored.chosen(arguments.what, arguments.folder)
        for study, run in found:
            redraw(study, run, arguments.folder / study / "results", arguments.figures)
    except (ValueError, FileNotFoundError) as error:
        print(f"redraw: {error}", file=sys.stderr)
        return 2
    return 0


def redraw(study: str, run: Kept, results: Path, figures: Sequence[str] | None = None) -> None:
    """Draw pictures of one run and put them in the place of the stored ones."""
    known = figures if figures is not None else pictures(run, results)
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(study, run, results, Path(folder)) if known else False
        for name in known:
            new = Path(folder) / f"{name}.png"
            if new.is_file():
                content = new.read_bytes()
                write(results / f"{run.name}-{name}.png", lambda file, content=content: file.write(content))
                print(f"{study}/{run.name}-{name}: drawn again, {len(content) // 1024} KB")
            elif figures is not None and drawn:
                there = ", ".join(sorted(path.stem for path in Path(folder).glob("*.png")))
                raise ValueError(f"{study}/{run.name} has no figure {name!r}. There are {there}.")
            else:
                print(f"{study}/{run.name}-{name}: stays, its arrays were not kept" if not drawn else f"{name}: stays")


def pictures(run: Kept, results: Path) -> list[str]:
    """The names of the stored pictures of a run."""
    return sorted(path.stem.removeprefix(f"{run.name}-") for path in results.glob(f"{run.name}-*.png"))


def draw(study: str, run: Kept, results: Path, folder: Path) -> bool:
    """Draw what can be drawn of a run into a folder; returns whether its arrays are kept."""
    arrays = results / f"{run.name}.npz"
    if arrays.is_file():
        of = stored.study_of(study)
        of.figures(of.view(read_arrays(arrays)), folder)
        return True
    told = getattr(importlib.import_module(f"experiments.{study}.figures"), "draw_told", None)
    if told is not None:
        told(run.results, run.record, folder)
    return False


if __name__ == "__main__":
    sys.exit(main())
