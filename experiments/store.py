"""Keep finished runs in `experiments/STUDY/results`, and write a page for each study and an index from what is kept.

python -m experiments.store runs/safe_crossover-small-clean-mnist-001 --figures sweeps figure-2-directions
python -m experiments.store runs/lamarckian-small-text-fashion_mnist-001 --note "10 seeds"  # of --set repeats=10
python -m experiments.store            # the pages alone
python -m experiments.store --check    # fails if a page is not what the kept results give
"""

import argparse
import dataclasses
import importlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab
from evojax_align.lab.checkpoint import write

HERE = Path(__file__).parent
STUDIES = ("safe_crossover", "mixed_evolution", "mating", "padawann", "wann", "lamarckian")
LONGEST = 80
"""Words of a paragraph, at most."""
ROWS = 40
"""Longer tables are not shown on a page."""
FIELDS = ("ours", "n", "paper", "interval", "p")
NOT_SETTINGS = ("dataset", "mode", "seed")
READING = (
    "*Direction* is decided by a one-sided test over the units that n counts: Wilcoxon's signed-rank test, or the "
    "Mann-Whitney test where n counts both sides. Its p is corrected for all primary claims by Holm's method. A claim "
    "*holds* at p < .05, is *reversed* if the test of the opposite says so, and is *undecided* otherwise, which is no "
    "refutation. *Not tested* means too few units, no direction, or an older run that stored no test.",
    "*Replication* compares our number with the paper's: it *agrees* within the claim's margin if the interval is no "
    "wider than four margins, and *differs* if the interval, extended by the margin, leaves the paper's out. The test "
    "and the margin of each claim stand in the JSON file of its run in `results`, as `test` and `margin`.",
)
NUMBERS = (
    "*Ours* is a share, a mean, a ratio or a difference, as the statement or the terms say; else the share of units "
    "for which the claim is true. Intervals are not corrected, p-values are. A dash under *paper*: it has no number "
    "for this claim, network and data. Other dashes: there is no test, or an older run did not store the number."
)


@dataclasses.dataclass(frozen=True)
class Page:
    """What is written by hand on the page of a study. Texts may hold `{RUN:CLAIM}` or `{RUN:CLAIM.FIELD}`.

    Attributes:
        paper: citation and link.
        summary: short paragraphs that say what came out.
        headline: the stored run whose primary claims are shown.
        control: a sentence on the control of the main comparison.
        terms: each term that the page uses, and its definition.
        scale: for each stored run that is shown, its scale against the paper's.
        figures: stored run, name of the figure, caption.
        differences: what differs, and why.
        elsewhere: primary claims that are shown from another stored run.
        hidden: tables that are not shown.
    """

    paper: str
    summary: str
    headline: str
    control: str
    terms: Mapping[str, str]
    scale: Mapping[str, str]
    figures: Sequence[tuple[str, str, str]]
    differences: Sequence[tuple[str, str]]
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hidden: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Kept:
    """A stored run: its name, its results, and its manifest with seconds, note and changed settings."""

    name: str
    results: Mapping[str, Any]
    record: Mapping[str, Any]

    def claim(self, name: str) -> Mapping[str, Any]:
        """One of its claims."""
        found = [claim for claim in self.results["claims"] if claim["id"] == name]
        if not found:
            raise ValueError(f"{self.name} has no claim {name!r}. Correct the page of the study.")
        return found[0]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--figures", nargs="*", default=[], help="their pictures to keep, without .png")
    parser.add_argument("--note", default="", help="what is special about runs of other settings than their preset has")
    parser.add_argument("--folder", type=Path, default=HERE, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page would change")
    arguments = parser.parse_args(argv)
    try:
        for run in [] if arguments.check else arguments.runs:
            print("kept", *keep(run, arguments.folder, arguments.figures, arguments.note))
        pages = documents(arguments.folder)
    except (FileNotFoundError, ValueError) as error:
        print(f"store: {error}", file=sys.stderr)
        return 2
    changed = [path for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    if arguments.check:
        print(*[f"{path} is not what the results give" for path in changed] or ["all pages are what the results give"])
        return 1 if changed else 0
    for path, text in pages.items():
        write(path, lambda file, text=text: file.write(text.encode()))
    print(f"wrote {len(pages)} pages, {len(changed)} of them changed")
    return 0


def study_of(name: str) -> lab.Study:
    """A study by its name."""
    if name not in STUDIES:
        raise ValueError(f"{name!r} is not a study. There are {', '.join(STUDIES)}.")
    return importlib.import_module(f"experiments.{name}.__main__").STUDY


def page_of(name: str) -> Page:
    """The hand-written part of a study's page."""
    return importlib.import_module(f"experiments.{name}.page").PAGE


def results_of(study: str, folder: Path = HERE) -> dict[str, Kept]:
    """All stored runs of a study by name."""
    found = {}
    for path in sorted((folder / study / "results").glob("*.run.json")):
        name = path.name.removesuffix(".run.json")
        results, record = (read(path.with_name(name + end)) for end in (".json", ".run.json"))
        if not {"claims", "tables"} <= results.keys() or not {"configuration", "preset", "seconds"} <= record.keys():
            raise ValueError(f"{path} or the results beside it are not those of a run. Restore them from the history.")
        found[name] = Kept(name, results, record)
    return found


def read(path: Path) -> dict[str, Any]:
    """A stored JSON file."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). Restore it from the history.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no record. Restore it from the history.")
    return found


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
    presets = study_of(record["experiment"]).presets[record["preset"]]
    dataset = record["configuration"]["dataset"]
    preset = next((one for one in presets if one.dataset == dataset), presets[0])
    own = json.loads(json.dumps(dataclasses.asdict(preset)))
    found = own | record["configuration"]
    other = {name: found[name] for name in own if found[name] != own[name] and name not in NOT_SETTINGS}
    return [f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in other.items()]


def documents(folder: Path) -> dict[Path, str]:
    """The pages of all studies that have stored runs, and the index."""
    known = {study: runs for study in STUDIES if (runs := results_of(study, folder))}
    pages = {folder / study / "README.md": page(study, page_of(study), runs) for study, runs in known.items()}
    pages[folder / "README.md"] = index(known)
    front = folder.parent / "README.md"
    if front.is_file():
        start, end = "<!-- results -->\n", "<!-- end of results -->"
        before, _, rest = front.read_text().partition(start)
        _, _, after = rest.partition(end)
        pages[front] = f"{before}{start}{table(counts(known, 'experiments/'))}\n{end}{after}"
    return pages


def headline(study: str, told: Page, runs: Mapping[str, Kept]) -> list[tuple[str, Mapping[str, Any]]]:
    """The primary claims that a page shows, each with the name of its run."""
    names = {claim.id: told.elsewhere.get(claim.id, told.headline) for claim in study_of(study).claims}
    for name in {*names.values(), *told.scale}:
        if name not in runs:
            raise ValueError(f"the page of {study} shows the run {name!r}, which is not stored. Known: {list(runs)}.")
    return [(run, runs[run].claim(claim)) for claim, run in names.items()]


def counts(known: Mapping[str, Mapping[str, Kept]], folder: str = "") -> list[dict[str, Any]]:
    """A row for each paper, with counts of primary claims."""
    rows = []
    for study, runs in known.items():
        claims = [claim for _, claim in headline(study, page_of(study), runs)]
        row: dict[str, Any] = {"paper": f"[{study_of(study).title}]({folder}{study}/README.md)", "claims": len(claims)}
        for verdict in ("holds", "reversed", "undecided", "not tested"):
            row[verdict] = sum(claim["verdict"] == verdict for claim in claims)
        for title, kind in (("numbers agree", "agrees"), ("differ", "differs"), ("open", "undecided")):
            row[title] = sum(claim["replication"] == kind for claim in claims)
        rows.append(row)
    return rows


def index(known: Mapping[str, Mapping[str, Kept]]) -> str:
    """The index page."""
    parts = [
        "# Results",
        "Written by `python -m experiments.store` from the runs that are stored in each study's `results`: change "
        "nothing here by hand. `python -m experiments.recompute` checks all claims of the runs whose arrays are kept.",
        "Counts are of the primary claims of each paper. *Open* numbers are those of the paper that ours neither "
        "confirm nor contradict, mostly because intervals of few seeds are wide, or were not stored.",
        *READING,
        table(counts(known)),
        "A run is named by preset, mode and data set. The *mode* `text` follows the paper's text. `code` follows the "
        "authors' program where it differs from the text. `clean` follows the text, but aligns, selects and chooses on "
        "other images than those that score. `all` is all three with the same networks.",
        "The *preset* `demo` is small, on 8x8 digits, to try it out. `small` and `short` have less than the paper's "
        "scale, `paper` has it. Other presets ask a question of their own; `--list` shows the presets of a study.",
        "Each page has the claims, the scale of our runs against the paper's, the controls, what differs and why, "
        "and all tables. Benchmarks of speed are in [benchmarks](benchmarks).",
    ]
    return checked("the index", "\n\n".join(parts)) + "\n"


def page(study: str, told: Page, runs: Mapping[str, Kept]) -> str:
    """The page of one study."""
    claims = headline(study, told, runs)
    counts = {unit: lab.units_needed(len(claims)) for unit in dict.fromkeys(claim["unit"] for _, claim in claims)}
    needed = " and ".join(f"{count} {unit}" for unit, count in counts.items())
    parts = [
        f"# {study_of(study).title}",
        told.paper,
        "## What came out",
        told.summary,
        "## Primary claims",
        table([claim_row(claim) | {"run": run} for run, claim in claims]),
        NUMBERS,
        *READING,
        f"The {len(claims)} primary claims are corrected together, so a paired test needs at least {needed} to show "
        "one of them. " + declared([claim for _, claim in claims]),
        "## Scale",
        table([scale_row(runs[name], text) for name, text in told.scale.items()]),
        "## Control",
        told.control,
        "## Figures",
        *(f"![{caption}](results/{picture(study, run, name)})\n\n*{caption}*" for run, name, caption in told.figures),
        "## What differs, and why",
        table([{"what": what, "why": why} for what, why in told.differences]),
        "## Terms",
        table([{"term": term, "meaning": meaning} for term, meaning in told.terms.items()]),
        "## All stored runs",
        *(details(study, run, told.hidden) for run in runs.values()),
    ]
    return checked(f"the page of {study}", "\n\n".join(filled(part, runs) for part in parts)) + "\n"


def filled(text: str, runs: Mapping[str, Kept]) -> str:
    """A text with numbers of claims in the place of `{RUN:CLAIM}` and `{RUN:CLAIM.FIELD}`."""

    def number(match: re.Match[str]) -> str:
        run, _, name = match[1].partition(":")
        name, dot, field = name.rpartition(".") if match[1].endswith(tuple(f".{f}" for f in FIELDS)) else (name, "", "")
        if run not in runs:
            raise ValueError(f"a page names the run {run!r}, which is not stored. There are {list(runs)}.")
        claim = runs[run].claim(name)
        if dot:
            return shown(claim["p_corrected"] if field == "p" else claim[field])
        return f"{shown(claim['ours'])} (n = {claim['n']} {claim['unit']})"

    return re.sub(r"\{([\w.-]+:[^{}\s]+)\}", number, text)


def checked(what: str, text: str) -> str:
    """The text, if no paragraph is too long."""
    for paragraph in text.split("\n\n"):
        plain = not paragraph.startswith(("|", "<", "#", "!"))
        if plain and len(paragraph.split()) > LONGEST:
            raise ValueError(f"{what} has a paragraph of {len(paragraph.split())} words: {paragraph[:80]}...")
    return text


def picture(study: str, run: str, name: str) -> str:
    """The file of a stored picture."""
    file = f"{run}-{name}.png"
    if not (HERE / study / "results" / file).is_file():
        raise ValueError(f"the page of {study} shows {file}, which is not stored. Store the run with --figures {name}.")
    return file


def declared(claims: Sequence[Mapping[str, Any]]) -> str:
    """When the claims were declared."""
    before = sum(claim["declared"] == "before" for claim in claims)
    if before == len(claims):
        return "All of them were declared before the runs, whose manifests hold their hash."
    if not before:
        return "They were chosen after the results of these runs had been seen."
    return f"{before} of them were declared before their run, the others after it had been seen."


def scale_row(run: Kept, text: str) -> dict[str, Any]:
    """One run: its scale against the paper's, and how it was made."""
    record = run.record
    where = f"{record['device']}, JAX {record['versions']['jax']}"
    kept = "not kept" if run.results.get("arrays") == "not kept" else "kept"
    seconds = duration(sum(spent["total"] for spent in record["seconds"].values()))
    row = {"run": run.name, "ours against the paper's": text, "first seed": record["configuration"]["seed"]}
    return row | {"time": seconds, "on": where, "arrays": kept}


def details(study: str, run: Kept, hidden: Sequence[str]) -> str:
    """One stored run, folded: how it was made, all its claims and tables."""
    special = f", {run.record['note']}" if run.record.get("note") else ""
    known = [c for c in run.results["claims"] if c["n"]]
    primary, others = ([c for c in known if c["primary"] == kind] for kind in (True, False))
    unknown = len(run.results["claims"]) - len(known)
    parts = [f"<details><summary>{run.name}{special}</summary>", made(study, run)]
    for title, claims in (("Primary claims", primary), ("Exploratory claims, corrected among themselves", others)):
        if claims:
            parts += [f"**{title}**", table([claim_row(claim) for claim in claims])]
    if unknown:
        parts.append(f"{unknown} other claims are about what this run does not have.")
    for title, rows in run.results["tables"].items():
        long = title in hidden or len(rows) > ROWS
        where = f"{len(rows)} rows, in [{run.name}.json](results/{run.name}.json)"
        parts += [f"**{title[0].upper()}{title[1:]}**", where if long else table(rows)]
    return "\n\n".join([*parts, "</details>"])


def made(study: str, run: Kept) -> str:
    """How a run was made: the command, the commit and the time."""
    record, configuration = run.record, run.record["configuration"]
    flags = {"preset": record["preset"]} | {name: configuration[name] for name in ("mode", "dataset", "seed")}
    command = f"python -m experiments.{study}" + "".join(f" --{name} {value}" for name, value in flags.items())
    command += "".join(f" --set {shlex.quote(setting)}" for setting in record.get("changed", []))
    arrays = " Its arrays were not kept." if run.results.get("arrays") == "not kept" else ""
    return f"`{command}`, commit {str(record['commit'])[:10]}, {record['cores']} cores, {record['backend']}.{arrays}"


def duration(seconds: float) -> str:
    """Seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def claim_row(claim: Mapping[str, Any]) -> dict[str, Any]:
    """What a page shows of a claim."""
    ours = shown(claim["ours"]) + (f" ({shown(claim['interval'])})" if claim["interval"] else "")
    row = {"claim": claim["statement"], "paper": claim["paper"], "ours (95 % interval)": ours}
    both = " on both sides together" if claim["test"] == "Mann-Whitney" else ""
    p = claim["p_corrected"]
    if claim["verdict"] == "reversed":
        p = f"{shown(claim['p_reverse_corrected'])} of the opposite"
    row |= {"n": f"{claim['n']} {claim['unit']}{both}", "p, corrected": p}
    return row | {"direction": claim["verdict"], "replication": claim["replication"]}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys in Markdown."""
    if not rows:
        return "(nothing)"
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(shown(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A value as a page shows it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list):
        return " to ".join(shown(item) for item in value)
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
