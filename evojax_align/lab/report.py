"""The report of a run: one HTML file without external resources, and tables for a terminal."""

import base64
import html
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evojax_align.lab.folder import RunFolder

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2, li { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0 2rem; overflow-x: auto; }
img { max-width: 100%; height: auto; max-height: 44rem; }
figcaption { color: #555; position: sticky; left: 0; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; }
.holds { color: #0a6b3d; } .reversed { color: #a3360a; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; }
  .wide { max-width: none; width: 44rem; max-height: none; }
  .claims th { display: none; }
  .claims tr { display: block; padding: .5rem 0; border-bottom: 1px solid #ddd; }
  .claims td { display: block; padding: 0; border: 0; text-align: left; }
  .claims td:not(:first-child)::before { content: attr(data-name) ": "; color: #555; }
}
"""
WIDE = 1200
"""Pixels from which a picture is scrolled on a phone instead of being shrunk to its width."""
LEAST = 0.001
"""Smaller p values are shown as `< .001`."""
EXPLANATION = (
    "p is of the one-sided test, corrected for all primary claims by Holm's method. A claim holds if it is below .05, "
    "and is reversed if that of the opposite claim is; no significance is undecided, not a refutation. The estimate "
    "agrees with the paper's number if it is within the claim's margin and its interval no wider than four margins. It "
    "differs if the interval, extended by the margin, leaves that number out."
)


def report(
    description: str,
    start: str,
    folder: RunFolder,
    results: Mapping[str, Any],
    manifest: Mapping[str, Any],
    captions: Mapping[str, str] | None = None,
) -> str:
    """The report as HTML: outcome, claims, figures, tables, the manifest, and the command that repeats the run."""
    configuration = manifest["configuration"]
    title = f"{manifest['experiment']} · {manifest['preset']} · {configuration['mode']} · {configuration['dataset']}"
    first = description.split("\n\n")[0]  # then come commands
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(first)}</p>"]
    if results.get("missing"):
        parts.append(f"<p><b>Not all cells are finished.</b> Missing: {html.escape(', '.join(results['missing']))}</p>")
    primary, others = ([c for c in results["claims"] if c["primary"] == kind] for kind in (True, False))
    parts += ["<h2>What came out</h2>", *_outcome(primary)]
    parts += ["<h2>Primary claims</h2>", _html_table([_claim_row(c) for c in primary], "claims")]
    parts.append(f"<p>{EXPLANATION}</p>")
    explored = _html_table([_claim_row(c) for c in others], "claims")
    parts += [f"<details><summary>{len(others)} exploratory claims</summary>", explored, "</details>"]
    parts += ["<h2>Figures</h2>", *(_figure(path, captions or {}) for path in folder.pictures)]
    for name, rows in results["tables"].items():
        parts += [f"<h2>{html.escape(name[:1].upper() + name[1:])}</h2>", _html_table(rows)]
    parts.append("<h2>How it was run</h2>")
    parts.append(f"<pre>{html.escape(rerun(start, manifest))}</pre>")
    shown = {name: value for name, value in manifest.items() if name != "end"}  # it is written last
    parts.append(f"<pre>{html.escape(json.dumps(shown, indent=1))}</pre>")
    body = "\n".join(parts)
    screen = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{screen}<title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _outcome(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """The outcome of the primary claims: a summary, and a sentence for each of them."""
    known = [claim["verdict"] for claim in claims]
    words = {"holds": "hold", "reversed": "reversed", "undecided": "undecided", "not tested": "not tested"}
    counts = ", ".join(f"{known.count(name)} {word}" for name, word in words.items())
    parts = [f"<p>Of {len(claims)} primary claims: {counts}.</p>", "<ul>"]
    for claim in claims:
        verdict = claim["verdict"]
        kind = f' class="{verdict}"' if verdict in ("holds", "reversed") else ""
        parts.append(
            f"<li><b{kind}>{verdict.capitalize()}</b>: {html.escape(claim['statement'])} ({_numbers(claim)}).</li>"
        )
    return [*parts, "</ul>"]


def _numbers(claim: Mapping[str, Any]) -> str:
    """The numbers of a claim in words."""
    if not claim["n"]:
        return "this run does not have what it is about"
    parts = [f"ours {_shown(claim['ours'])}"]
    parts += [f"the paper's {_shown(claim['paper'])}"] if claim["paper"] is not None else []
    parts.append(f"n = {claim['n']} {claim['unit']}")
    parts += [f"p {_p(claim)}"] if claim["test"] else []
    return html.escape(", ".join(parts))


def _p(claim: Mapping[str, Any]) -> str:
    """The corrected p value of a claim, or of the opposite claim if it is reversed."""
    opposite = claim["verdict"] == "reversed"
    value = claim["p_reverse_corrected" if opposite else "p_corrected"]
    if value is None:
        return "–"
    return ("< .001" if value < LEAST else f"{value:.3f}") + (" of the opposite" if opposite else "")


def _figure(path: Path, captions: Mapping[str, str]) -> str:
    """A picture with the caption of its name, or of the longest prefix of its name that has one."""
    content, name = path.read_bytes(), path.stem
    prefixes = [key for key in captions if name == key or name.startswith(f"{key}-")]
    caption = captions[max(prefixes, key=len)] if prefixes else name
    wide = ' class="wide"' if int.from_bytes(content[16:20], "big") > WIDE else ""
    image = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    shown = html.escape(caption)
    return f'<figure><img{wide} alt="{html.escape(name)}" src="{image}"><figcaption>{shown}</figcaption></figure>'


def _claim_row(claim: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "claim": claim["statement"],
        "paper": claim["paper"],
        "ours": claim["ours"],
        "95 % interval": claim["interval"],
        "n": f"{claim['n']} {claim['unit']}",
        "p, corrected": _p(claim),
        "direction": claim["verdict"],
        "paper's number": claim["replication"],
        "test": claim["test"],
    }


def rerun(start: str, manifest: Mapping[str, Any]) -> str:
    """The command that repeats a run."""
    fields = [f"--set {shlex.quote(f'{name}={value}')}" for name, value in manifest["configuration"].items()]
    return f"{start} --preset {manifest['preset']} \\\n  " + " \\\n  ".join(fields)


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a table of fixed width."""
    if not rows:
        return "(nothing)"
    names = list(rows[0])
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    numeric = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    lines = [
        "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _html_table(rows: Sequence[Mapping[str, Any]], kind: str = "") -> str:
    if not rows:
        return "<p>(nothing)</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(_cell(name, value) for name, value in row.items()) + "</tr>" for row in rows)
    name = f' class="{kind}"' if kind else ""
    return f"<table{name}><tr>{head}</tr>{body}</table>"


def _cell(name: str, value: Any) -> str:
    good = {"holds": "holds", "agrees": "holds", "reversed": "reversed", "differs": "reversed"}
    look = good.get(value) if isinstance(value, str) else None
    kind = f' class="{look}"' if look else ""
    if isinstance(value, int | float):
        kind = ' class="number"'
    return f'<td{kind} data-name="{html.escape(name)}">{html.escape(_shown(value))}</td>'


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)
