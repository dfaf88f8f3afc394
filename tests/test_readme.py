import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evojax_align.lab.report import text_table
from experiments.benchmarks import poles
from experiments.benchmarks.core import measuring

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BENCHMARKS = ROOT / "experiments" / "benchmarks"


def block(name: str, text: str = README) -> str:
    return re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)[1]


def stored(name: str) -> list[dict]:
    return json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())["rows"]


@pytest.mark.slow
def test_the_example_runs_and_prints_what_the_readme_shows():
    done = subprocess.run([sys.executable, "-c", block("example")], capture_output=True, text=True, check=True)
    pattern = r"(\w+): loss halfway ([\d.]+), barrier ([\d.]+)"
    printed, shown = ({n: float(b) for n, _, b in re.findall(pattern, text)} for text in (done.stdout, block("output")))
    assert printed.keys() == shown.keys() == {"naive", "aligned"}
    assert printed["aligned"] < 0.5 * printed["naive"]
    assert printed == pytest.approx(shown, abs=0.1)  # other machines add in other orders


def test_the_example_has_ten_statements_or_fewer():
    import ast

    for name in ("example", "evolve"):
        assert sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(block(name)))) <= 10


@pytest.mark.slow
def test_the_policy_of_the_readme_balances_two_poles():
    done = subprocess.run([sys.executable, "-c", block("evolve")], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("balanced for 100000 steps after")
    assert block("evolved").startswith("balanced for 100000 steps after")


def test_the_two_commands_name_what_is_there():
    module = re.search(r"python -m (\S+)", block("main"))[1]
    assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()
    pyproject = (ROOT / "pyproject.toml").read_text()
    for name in ("main", "tests"):
        extra = re.search(r"-e '\.\[(\w+)\]'", block(name))[1]
        assert f"\n{extra} = [" in pyproject


def test_the_readme_shows_times_of_the_core_only_from_a_stored_run():
    file = BENCHMARKS / "results" / "core.json"
    assert ("<!-- benchmarks -->" in README) == file.exists()
    if file.exists():
        assert block("benchmarks").strip() == text_table(measuring.brief(stored("core")))
        page = (BENCHMARKS / "README.md").read_text()
        for name, rows in (("core", measuring.table(stored("core"))), ("goals", measuring.goals(stored("core")))):
            assert block(name, page).strip() == text_table(rows)


def test_the_commands_of_the_benchmarks_name_modules_that_exist():
    page = (BENCHMARKS / "README.md").read_text()
    names = re.findall(r"python -m experiments\.benchmarks\.(\w+)", page)
    assert "core" in names
    assert all(
        (BENCHMARKS / f"{n}.py").is_file() or (BENCHMARKS / n / "__main__.py").is_file() for n in names if n != "NAME"
    )


def test_the_readme_is_short():
    assert len(README.encode()) <= 9_000
    prose = re.sub(r"^```.*?^```$|^\|.*?$|^!\[.*?$", "", README, flags=re.MULTILINE | re.DOTALL)
    paragraphs = [re.sub(r"\]\([^)]*\)", "]", paragraph).split() for paragraph in prose.split("\n\n")]
    assert [" ".join(words) for words in paragraphs if len(words) > 60] == []


def test_every_link_of_the_readme_leads_to_a_file():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 20 and [link for link in links if not (ROOT / link).exists()] == []


def test_every_picture_of_the_readme_is_in_the_repository():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures and all((ROOT / picture).stat().st_size > 10_000 for picture in pictures)


def test_the_tables_of_the_benchmarks_are_the_stored_ones():
    page = (BENCHMARKS / "README.md").read_text()
    rows = [{name: f"{v}" if isinstance(v, list) else v for name, v in row.items()} for row in stored("convolution")]
    assert block("convolution", page).strip() == text_table(rows)
    assert block("poles", page).strip() == text_table(poles.table(stored("poles")))
    rows = stored("symmetry")
    assert block("symmetry", page).strip() == text_table(rows)
    assert len(rows) >= 20 and all(row["change"] < 1e-4 and row["seconds"] < 2 for row in rows)
