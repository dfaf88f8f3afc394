"""The page of each study and the index of all, written from the stored runs."""

import dataclasses
import importlib
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evojax_align import lab
from experiments import stored
from experiments.stored import Kept

LONGEST = 80
"""Words of a paragraph, at most."""
ROWS = 40
"""Longer tables are not shown on a page."""
LEVEL = 0.05
MANN_WHITNEY = "Mann-Whitney"
BOTH = " on both sides together"
"""What is said of units that are not paired."""
FIELDS = ("ours", "n", "paper", "interval", "p")
READING = (
    "*Direction* is decided by a one-sided test over the units that n counts: Wilcoxon's signed-rank test, or the "
    "Mann-Whitney test where n counts both sides. Its p is corrected for all primary claims by Holm's method. A claim "
    "*holds* at p < .05, is *reversed* if the test of the opposite says so, and is *undecided* otherwise, which is no "
    "refutation. *Not tested* means too few units, no direction, or an older run that stored no test.",
    "*Paper's number* compares it with ours: it *agrees* within the claim's margin if the interval is no wider than "
    "four margins, *differs* if the interval, extended by the margin, leaves it out, and is *open* otherwise. The test "
    "and the margin of each claim stand in the JSON file of its run in `results`, as `test` and `margin`.",
)
NUMBERS = (
    "*Ours* is a share, a mean, a ratio or a difference, as the statement or the terms say; else the share of units "
    "for which the claim is true. Intervals are not corrected, p-values are. A dash under *paper*: it has no number "
    "for this claim, network and data. Other dashes: there is no test, or an older run did not store the number."
)


@dataclasses.dataclass(frozen=True)
class Page:
    """What is written by hand on the page of a study. Texts may hold `{RUN:CLAIM}` or `{RUN:CLAIM.FIELD}`, and for a
    value of a table `{RUN#TABLE#COLUMN=VALUE#COLUMN}`, with commas between several columns that name the row.

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
        answers: stored run and name of a table that is shown below the summary.
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
    answers: Sequence[tuple[str, str]] = ()
    hidden: Sequence[str] = ()


def page_of(name: str) -> Page:
    """The hand-written part of a study's page."""
    return importlib.import_module(f"experiments.{name}.page").PAGE


def documents(folder: Path) -> dict[Path, str]:
    """The pages of all studies that have stored runs, and the index."""
    known = {study: runs for study in stored.STUDIES if (runs := stored.results_of(study, folder))}
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
    names = {claim.id: told.elsewhere.get(claim.id, told.headline) for claim in stored.study_of(study).claims}
    for name in {*names.values(), *told.scale}:
        if name not in runs:
            raise ValueError(f"the page of {study} shows the run {name!r}, which is not stored. Known: {list(runs)}.")
    return [(run, runs[run].claim(claim)) for claim, run in names.items()]


def counts(known: Mapping[str, Mapping[str, Kept]], folder: str = "") -> list[dict[str, Any]]:
    """A row for each paper, with counts of primary claims."""
    rows = []
    for study, runs in known.items():
        claims = [claim for _, claim in headline(study, page_of(study), runs)]
        row: dict[str, Any] = {
            "paper": f"[{stored.study_of(study).title}]({folder}{study}/README.md)",
            "claims": len(claims),
        }
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
    tested = [claim for _, claim in claims if claim["test"]] or [claim for _, claim in claims]
    tests = dict.fromkeys((claim["unit"], claim["test"] == MANN_WHITNEY) for claim in tested)
    needed = " or ".join(f"{units_needed(len(claims), both)} {unit}{BOTH if both else ''}" for unit, both in tests)
    parts = [
        f"# {stored.study_of(study).title}",
        told.paper,
        "## What came out",
        verdicts([claim for _, claim in claims]),
        told.summary,
        *(f"**{name}** ({run})\n\n{table(runs[run].results['tables'][name])}" for run, name in told.answers),
        "## Primary claims",
        table([claim_row(claim) | {"run": run} for run, claim in claims]),
        NUMBERS,
        *READING,
        f"The {len(claims)} primary claims are corrected together, so a test needs at least {needed} to show "
        "one of them.",
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


def verdicts(claims: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on how many claims hold, and one on the numbers of the paper."""

    def counted(field: str, names: Mapping[str, str]) -> str:
        found = {said: sum(claim[field] == name for claim in claims) for name, said in names.items()}
        return ", ".join(f"{count} {said}" for said, count in found.items() if count)

    words = {"holds": "hold", "reversed": "are reversed", "undecided": "are undecided"}
    words["not tested"] = "were not tested"
    text = f"**In short:** of {len(claims)} primary claims {counted('verdict', words)}."
    numbers = counted("replication", {"agrees": "agree", "differs": "differ", "undecided": "are open"})
    text += f" Of the paper's numbers for them {numbers}." if numbers else " The paper has no numbers for them."
    return f"{text} {declared(claims)}"


def units_needed(claims: int, both: bool) -> int:
    """The smallest number of units with which a test can show one of so many claims, corrected."""
    if not both:
        return lab.units_needed(claims)
    side = 2
    while claims / math.comb(2 * side, side) >= LEVEL:  # the least p of the Mann-Whitney test
        side += 1
    return 2 * side


def filled(text: str, runs: Mapping[str, Kept]) -> str:
    """A text with numbers of claims and of tables in place of their names (see `Page`)."""

    def kept(run: str) -> Kept:
        if run not in runs:
            raise ValueError(f"a page names the run {run!r}, which is not stored. There are {list(runs)}.")
        return runs[run]

    def value(match: re.Match[str]) -> str:
        run, name, row, column = match.groups()
        return shown(kept(run).cell(name, dict(part.split("=") for part in row.split(",")), column))

    def number(match: re.Match[str]) -> str:
        run, _, name = match[1].partition(":")
        name, dot, field = name.rpartition(".") if match[1].endswith(tuple(f".{f}" for f in FIELDS)) else (name, "", "")
        claim = kept(run).claim(name)
        if dot:
            opposite = "p_reverse_corrected" if claim["verdict"] == "reversed" else "p_corrected"
            return probability(claim[opposite]) if field == "p" else shown(claim[field])
        return f"{shown(claim['ours'])} (n = {claim['n']} {claim['unit']})"

    text = re.sub(r"\{([\w.-]+)#([^{}#]+)#([^{}#]+)#([^{}#]+)\}", value, text)
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
    if not (stored.HERE / study / "results" / file).is_file():
        raise ValueError(f"the page of {study} shows {file}, which is not stored. Store the run with --figures {name}.")
    return file


def declared(claims: Sequence[Mapping[str, Any]]) -> str:
    """When the claims were declared."""
    before = sum(claim["declared"] == "before" for claim in claims)
    if before == len(claims):
        return "All claims were declared before the runs, whose manifests hold their hash."
    if not before:
        return "The claims were chosen after the results of these runs had been seen."
    return f"{before} of the claims were declared before their run, the others after it had been seen."


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
    both = BOTH if claim["test"] == MANN_WHITNEY else ""
    p = probability(claim["p_corrected"])
    if claim["verdict"] == "reversed":
        p = f"{probability(claim['p_reverse_corrected'])} of the opposite"
    row |= {"n": f"{claim['n']} {claim['unit']}{both}", "p, corrected": p}
    number = {"undecided": "open"}.get(claim["replication"], claim["replication"])
    return row | {"direction": claim["verdict"], "paper's number": number}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys in Markdown."""
    if not rows:
        return "(nothing)"
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    cells = ([(probability if name.startswith("p, ") else shown)(value) for name, value in row.items()] for row in rows)
    lines += ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join(lines)


def probability(p: Any) -> str:
    """A p value with two digits; anything else as it is."""
    return f"{p:.2g}" if isinstance(p, float) else shown(p)


def shown(value: Any) -> str:
    """A value as a page shows it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list):
        return " to ".join(shown(item) for item in value)
    return str(value).replace("|", "\\|")
