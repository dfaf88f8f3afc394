"""Keep finished runs in `experiments/STUDY/results`, and write a page for each study and an index from what is kept.

python -m experiments.store runs/safe_crossover-small-clean-mnist-001 --figures sweeps figure-2-directions
python -m experiments.store runs/lamarckian-small-text-fashion_mnist-001 --note "10 seeds"  # of --set repeats=10
python -m experiments.store            # the pages alone
python -m experiments.store --check    # fails if a page is not what the kept results give
"""

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab
from evojax_align.lab.checkpoint import write
from experiments import pages, stored


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--figures", nargs="*", default=[], help="their pictures to keep, without .png")
    parser.add_argument("--note", default="", help="what is special about runs of other settings than their preset has")
    parser.add_argument("--folder", type=Path, default=stored.HERE, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page would change")
    arguments = parser.parse_args(argv)
    try:
        for run in [] if arguments.check else arguments.runs:
            print("kept", *keep(run, arguments.folder, arguments.figures, arguments.note))
        texts = pages.documents(arguments.folder)
    except (FileNotFoundError, ValueError) as error:
        print(f"store: {error}", file=sys.stderr)
        return 2
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    if arguments.check:
        print(*[f"{path} is not what the results give" for path in changed] or ["all pages are what the results give"])
        return 1 if changed else 0
    for path, text in texts.items():
        write(path, lambda file, text=text: file.write(text.encode()))
    print(f"wrote {len(texts)} pages, {len(changed)} of them changed")
    return 0


def keep(run: Path, folder: Path, figures: Sequence[str], note: str = "") -> list[str]:
    """Copy the results and arrays of one run, how it was made, and some of its pictures; returns their names."""
    source = lab.RunFolder(run)
    record = source.read_manifest()
    if record["end"] is None:
        raise ValueError(f"{run} has not ended. Go on with it by --resume.")
    changed = settings_changed(record)
    if bool(changed) != bool(note):
        was, fix = ("other", "Say which by --note.") if changed else ("no other", "Leave --note out.")
        raise ValueError(f"{run} was made with {was} settings than its preset's ({', '.join(changed)}). {fix}")
    record |= {"note": note, "changed": changed, "seconds": source.read_json("timings.json")}
    name, results = name_of(record), folder / record["experiment"] / "results"
    results.mkdir(exist_ok=True)
    pictures = {f"{name}-{figure}.png": run / "figures" / f"{figure}.png" for figure in figures}
    for picture in pictures.values():
        if not picture.is_file():
            raise FileNotFoundError(f"{picture} does not exist. Name figures of the run, without .png.")
    shutil.copyfile(run / "results.json", results / f"{name}.json")
    (results / f"{name}.run.json").write_text(json.dumps(record, indent=1) + "\n")
    arrays = source.read_arrays("results")
    write(results / f"{name}.npz", lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
    for old in results.glob(f"{name}-*.png"):
        old.unlink()
    for new, picture in pictures.items():
        shutil.copyfile(picture, results / new)
    return [f"{name}.json", f"{name}.npz", f"{name}.run.json", *pictures]


def name_of(record: Mapping[str, Any]) -> str:
    """What the files of a stored run begin with."""
    configuration, note = record["configuration"], record.get("note", "")
    name = "-".join([record["preset"], configuration["mode"], configuration["dataset"]])
    return f"{name}.{note.replace(' ', '-')}" if note else name


def settings_changed(record: Mapping[str, Any]) -> list[str]:
    """The settings of a run that are not those of its preset, as `--set` takes them."""
    presets = stored.study_of(record["experiment"]).presets[record["preset"]]
    dataset = record["configuration"]["dataset"]
    preset = next((one for one in presets if one.dataset == dataset), presets[0])
    own = json.loads(json.dumps(dataclasses.asdict(preset)))
    found = own | record["configuration"]
    other = {name: found[name] for name in own if found[name] != own[name] and name not in stored.NOT_SETTINGS}
    return [f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in other.items()]


if __name__ == "__main__":
    sys.exit(main())
