"""Keep finished runs in `experiments/results`, and write `experiments/RESULTS.md` from all that is kept there.

python experiments/store.py runs/safe_crossover-paper-mnist-001 --figures sweeps-text figure-2-directions-text
python experiments/store.py runs/lamarckian-small-fashion_mnist-001 --note "10 seeds"    # made with --set repeats=10
python experiments/store.py            # the page alone
python experiments/store.py --check    # fails if the page is not what the kept results give
"""

import argparse
import dataclasses
import importlib.util
import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evojax_align.lab.checkpoint import write

HERE = Path(__file__).parent
PAGE = "RESULTS.md"
HIDDEN = ("loss of each pair at t=.5", "all generations", "all attacks")
"""Tables that are kept, but too long for a page."""
EXPERIMENTS = {
    "safe_crossover": "Safe crossover through neuron alignment (Uriot & Izzo 2020)",
    "safe_crossover_beyond": "Beyond that paper: width, common training, operators, many parents, curved paths",
    "deep_midpoints": "Midpoints of deep networks with batch normalisation",
    "mixed_evolution": "Mixed genetic and gradient evolution (Cooke & de Alfaro)",
    "mating": "Sexual evolutionary synthesis of sparse networks (Chung et al. 2017)",
    "padawann": "PADAWANN: sign-agnostic pruning by a genetic algorithm (Dobreva 2022)",
    "wann": "Weight agnostic networks (Gaier & Ha 2019; Dobreva 2022)",
    "lamarckian": "Lamarckian evolution of convolutional architectures (Prellberg & Kramer 2018)",
}
INTRODUCTION = """# Results

Written by `python experiments/store.py` from the runs that are kept in [results](results): change nothing here by hand.

A claim *holds* if its one-sided test, corrected by Holm's method for all claims of the run, has p < .05; otherwise it
*does not hold*, which says that this run did not show it, not that its opposite is true. *Ours* is the share of pairs
or of seeds (or the number that the statement names) with its 95 % interval, *paper* what the authors report, where they
do; theirs on CIFAR-10 are of parents stopped at 40 %, which the preset `converged` does not do. Modes are `text` as the
paper's text, `code` as its authors' program, and `clean`, in which nothing is chosen by the images that score; a run of
several modes shows them side by side.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--figures", nargs="*", default=[], help="their pictures to keep, without .png")
    parser.add_argument("--note", default="", help="what is special about runs of other settings than their preset has")
    parser.add_argument("--results", type=Path, default=HERE / "results", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page would change")
    arguments = parser.parse_args(argv)
    page = arguments.results.parent / PAGE
    if arguments.check:
        same = page.is_file() and page.read_text() == document(arguments.results)
        print(f"{page} {'is' if same else 'is not'} what the results give")
        return 0 if same else 1
    try:
        for run in arguments.runs:
            print("kept", *keep(run, arguments.results, arguments.figures, arguments.note))
    except (FileNotFoundError, ValueError) as error:
        print(f"store: {error}", file=sys.stderr)
        return 2
    write(page, lambda file: file.write(document(arguments.results).encode()))
    print(f"wrote {page}")
    return 0


def keep(run: Path, results: Path, figures: Sequence[str], note: str = "") -> list[str]:
    """Copy the results of one run, unchanged, how it was made, and some of its pictures; returns their names."""
    manifest = json.loads((run / "manifest.json").read_text())
    if manifest["end"] is None:
        raise ValueError(f"{run} has not ended. Go on with it by --resume.")
    changed = settings_changed(manifest)
    if bool(changed) != bool(note):
        was, mend = ("other", "Say which by --note.") if changed else ("no other", "Leave --note out.")
        raise ValueError(f"{run} was made with {was} settings than its preset's ({', '.join(changed)}). {mend}")
    manifest |= {"note": note, "changed": changed}
    name = name_of(manifest)
    pictures = {f"{name}-{figure}.png": run / "figures" / f"{figure}.png" for figure in figures}
    for picture in pictures.values():
        if not picture.is_file():
            raise FileNotFoundError(f"{picture} does not exist. Name figures of the run, without .png.")
    kept = [f"{name}.json", f"{name}.run.json"]
    shutil.copyfile(run / "results.json", results / kept[0])
    how = manifest | {"seconds": json.loads((run / "timings.json").read_text())}
    (results / kept[1]).write_text(json.dumps(how, indent=1) + "\n")
    for old in results.glob(f"{name}-*.png"):
        old.unlink()
    for new, picture in pictures.items():
        shutil.copyfile(picture, results / new)
    return kept + list(pictures)


def name_of(run: Mapping[str, Any]) -> str:
    """What the files of a run that is kept begin with."""
    name = "-".join([run["experiment"], run["preset"], run["configuration"]["dataset"]])
    note = run.get("note", "")
    return f"{name}.{note.replace(' ', '-')}" if note else name


def settings_changed(manifest: Mapping[str, Any]) -> list[str]:
    """The settings of a run that are not those of its preset, as `--set` takes them; those that it did not know yet are
    as they are by default."""
    spec = importlib.util.spec_from_file_location("script", HERE / f"{manifest['experiment']}.py")
    script = importlib.util.module_from_spec(spec)  # pyright: ignore[reportArgumentType]
    sys.modules["script"] = script
    spec.loader.exec_module(script)  # pyright: ignore[reportOptionalMemberAccess]
    presets = script.EXPERIMENT.presets[manifest["preset"]]
    dataset = manifest["configuration"]["dataset"]
    preset = next((one for one in presets if one.dataset == dataset), presets[0])
    own, usual = (json.loads(json.dumps(dataclasses.asdict(of))) for of in (preset, type(preset)()))
    own, found = own | {"dataset": dataset}, usual | manifest["configuration"]
    other = {name: found.get(name) for name in {**own, **found} if found.get(name) != own.get(name)}
    return [f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in other.items()]


def document(results: Path) -> str:
    """The whole page."""
    runs = [json.loads(path.read_text()) for path in sorted(results.glob("*.run.json"))]
    parts = [INTRODUCTION]
    for experiment, title in EXPERIMENTS.items():
        of_experiment = [run for run in runs if run["experiment"] == experiment]
        if of_experiment:
            parts.append(f"## {title}\n\n`python experiments/{experiment}.py`\n")
            parts += [section(run, results) for run in of_experiment]
    return "\n".join(parts)


def section(run: Mapping[str, Any], results: Path) -> str:
    """One run: what does not hold, all claims, tables and pictures."""
    name = name_of(run)
    found = json.loads((results / f"{name}.json").read_text())
    special = f", {run['note']}" if run.get("note") else ""
    parts = [f"### {run['preset']}: {run['configuration']['dataset']}{special}\n", made(run)]
    verdicts = [claim["verdict"] for claim in found["claims"]]
    parts.append(f"**{verdicts.count('holds')} of {len(verdicts)} claims hold.**" + failing(found["claims"]) + "\n")
    parts.append(table([claim_row(claim) for claim in found["claims"]]))
    parts += [
        f"{title[0].upper()}{title[1:]}\n\n{table(rows)}"
        for title, rows in found["tables"].items()
        if title not in HIDDEN
    ]
    for picture in sorted(results.glob(f"{name}-*.png")):
        what = picture.stem.removeprefix(f"{name}-").replace("-", " ")
        parts.append(f"![{what}](results/{picture.name})\n")
    return "\n".join(parts)


def made(run: Mapping[str, Any]) -> str:
    """How a run was made, in a sentence and a command."""
    seconds = {phase: spent["total"] for phase, spent in run["seconds"].items()}
    longest = sorted(seconds, key=lambda phase: -seconds[phase])[:4]
    phases = ", ".join(f"{phase} {duration(seconds[phase])}" for phase in longest)
    configuration, versions = run["configuration"], run["versions"]
    command = f"python experiments/{run['experiment']}.py --preset {run['preset']} --dataset {configuration['dataset']}"
    command += "".join(f" --set {shlex.quote(setting)}" for setting in run.get("changed", []))
    where = f"JAX {versions['jax']}, {run['cores']} cores, {run['backend']}"
    return f"`{command}`, seed {configuration['seed']}; {where}; {duration(sum(seconds.values()))}: {phases}.\n"


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def failing(claims: Sequence[Mapping[str, Any]]) -> str:
    """The claims that do not hold, and those that were not tested, in words."""
    kinds = {"does not hold": "Not shown", "not tested": "Not tested"}
    lists = {
        start: [f"{claim['statement']} ({share(claim)})" for claim in claims if claim["verdict"] == verdict]
        for verdict, start in kinds.items()
    }
    return "".join(f" {start}: {'; '.join(found)}." for start, found in lists.items() if found)


def share(claim: Mapping[str, Any]) -> str:
    """Ours, with p where there is one."""
    p = claim["p_corrected"]
    return shown(claim["ours"]) + ("" if p is None else f", p = {shown(p)}")


def claim_row(claim: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a claim."""
    names = {"statement": "claim", "paper": "paper", "ours": "ours", "interval": "interval", "n": "n", "test": "test"}
    row = {title: claim[name] for name, title in names.items()}
    return row | {"p, corrected": claim["p_corrected"], "verdict": claim["verdict"]}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys in Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(shown(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A value as the page shows it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list):
        return " to ".join(shown(item) for item in value)
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
