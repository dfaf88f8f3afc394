"""The report of a run: one HTML file that opens offline, and the tables of a terminal."""

import base64
import html
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from evojax_align.lab.folder import RunFolder

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; max-height: 34rem; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; }
.holds { color: #0a6b3d; } .reversed { color: #a3360a; }
"""
EXPLANATION = (
    "p is of the one-sided test, corrected for all primary claims by Holm's method. A claim holds if it is below .05, "
    "and is reversed if that of the opposite claim is; no significance is undecided, not a refutation. The estimate "
    "agrees with the paper's number if it is within the claim's margin and its interval no wider than four margins. It "
    "differs if the interval, extended by the margin, leaves that number out."
)


def report(
    description: str, start: str, folder: RunFolder, results: Mapping[str, Any], manifest: Mapping[str, Any]
) -> str:
    """The whole report as HTML: claims, figures, tables, the manifest, and how to run it again."""
    configuration = manifest["configuration"]
    title = f"{manifest['experiment']} · {manifest['preset']} · {configuration['mode']} · {configuration['dataset']}"
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(description)}</p>"]
    if results.get("missing"):
        parts.append(f"<p><b>Not all cells are finished.</b> Missing: {html.escape(', '.join(results['missing']))}</p>")
    primary, others = ([_claim_row(c) for c in results["claims"] if c["primary"] == kind] for kind in (True, False))
    parts += ["<h2>Primary claims</h2>", _html_table(primary), f"<p>{EXPLANATION}</p>"]
    parts += [f"<details><summary>{len(others)} exploratory claims</summary>", _html_table(others), "</details>"]
    parts.append("<h2>Figures</h2>")
    for picture in sorted((folder.path / "figures").glob("*.png")):
        data = base64.b64encode(picture.read_bytes()).decode()
        name = html.escape(picture.stem)
        parts.append(f'<h3>{name}</h3><img alt="{name}" src="data:image/png;base64,{data}">')
    for name, rows in results["tables"].items():
        parts += [f"<h2>{html.escape(name)}</h2>", _html_table(rows)]
    parts.append("<h2>How it was run</h2>")
    parts.append(f"<pre>{html.escape(rerun(start, manifest))}</pre>")
    shown = {name: value for name, value in manifest.items() if name != "end"}  # it is written last of all
    parts.append(f"<pre>{html.escape(json.dumps(shown, indent=1))}</pre>")
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _claim_row(claim: Mapping[str, Any]) -> dict[str, Any]:
    names = ("statement", "paper", "ours", "interval", "n", "unit", "test", "p_corrected", "verdict", "replication")
    return {name.replace("_", ", "): claim[name] for name in names}


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


def _html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>(nothing)</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(_cell(value) for value in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    good = {"holds": "holds", "agrees": "holds", "reversed": "reversed", "differs": "reversed"}
    name = good.get(value) if isinstance(value, str) else None
    kind = f' class="{name}"' if name else ""
    if isinstance(value, int | float):
        kind = ' class="number"'
    return f"<td{kind}>{html.escape(_shown(value))}</td>"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)
