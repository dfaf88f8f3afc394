"""The package of experiments: one folder for each study, nothing written twice."""

import ast
import itertools
from pathlib import Path

import pytest

from experiments.stored import STUDIES, study_of

ROOT = Path(__file__).parents[2] / "experiments"
MODULES = ("__init__", "__main__", "config", "study", "claims", "figures", "page")
SAME = 10


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_its_modules_and_can_be_listed(name):
    for module in MODULES:
        assert (ROOT / name / f"{module}.py").is_file(), module
    study = study_of(name)
    assert study.name == name and study.costs.keys() == study.presets.keys()
    assert 8 <= len(study.claims) <= 12
    assert len({claim.id for claim in study.claims}) == len(study.claims)


def test_no_module_edits_the_path_of_imports_or_hides_a_type_error_of_one():
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        assert "sys.path" not in text and "reportMissingImports" not in text, path
        assert "reportImplicitRelativeImport" not in text, path


def lines_of(study):
    """The lines of a study without blanks, comments of their own, and imports, in runs of ten."""
    runs = set()
    for path in (ROOT / study).glob("*.py"):
        text = path.read_text()
        imports = {
            number
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for number in range(node.lineno, node.end_lineno + 1)
        }
        lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in imports]
        lines = [line for line in lines if line and not line.startswith("#")]
        runs |= {tuple(lines[i : i + SAME]) for i in range(len(lines) - SAME + 1)}
    return runs


def test_no_two_studies_hold_the_same_ten_lines():
    known = {study: lines_of(study) for study in STUDIES}
    for one, other in itertools.combinations(STUDIES, 2):
        assert not known[one] & known[other], (one, other)
