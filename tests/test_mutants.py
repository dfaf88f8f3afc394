"""The mutations, the script that runs tests on them, and in the nightly lane whether the tests find sixty of them."""

import dataclasses
import json

import pytest

from tests import mutants
from tests.mutations import all_mutations, drawn, mutations, package_of

SOURCE = '''"""A module with words < that are left alone, and axis=0."""

import jax
import jax.numpy as jnp


def f(x: "Float[Array, 1]", flag: bool = True, *, key) -> jax.Array:
    """A docstring: 1 - 1."""
    key_a, key_b = jax.random.split(key)
    if flag and x[0] < 3:
        raise ValueError(f"{x[0] - 1} came" + "axis=0")
    x += jnp.max(x, axis=-1, keepdims=True)
    x = jnp.where(x > 0, x, -x)
    for i in range(2):
        x = x - i if not flag else x[1:]
    return x
'''


def edits(source):
    return {(m.line, m.kind, m.before, m.after) for m in mutations("evojax_align/p/m.py", source.encode())}


def test_mutations_are_of_every_kind_and_leave_words_and_annotations_alone():
    assert edits(SOURCE) == {
        (9, "key", "", "; key_b = key_a"),
        (10, "and, or", "and", "or"),
        (10, "negation", "flag and x[0] < 3", "not (flag and x[0] < 3)"),
        (10, "index", "0", "1"),
        (10, "comparison", "<", ">="),
        (11, "left out", 'raise ValueError(f"{x[0] - 1} came" + "axis=0")', "pass"),
        (12, "sign", "+=", "-="),
        (12, "left out", "x += jnp.max(x, axis=-1, keepdims=True)", "pass"),
        (12, "extremum", "max", "min"),
        (12, "axis", "-1", "0"),
        (12, "flag", "True", "False"),
        (13, "left out", "x = jnp.where(x > 0, x, -x)", "pass"),
        (13, "branches", "x, -x", "-x, x"),
        (13, "comparison", ">", "<="),
        (13, "sign", "-x", "x"),
        (15, "left out", "x = x - i if not flag else x[1:]", "pass"),
        (15, "branches", "x - i if not flag else x[1:]", "x[1:] if not flag else x - i"),
        (15, "sign", "-", "+"),
        (15, "negation", "not flag", "flag"),
        (15, "index", "1", "2"),
    }


def test_a_mutation_changes_one_place_also_after_letters_of_several_bytes():
    source = 'α, s = 1, "ß"; β = α - 1\n'
    (found,) = [m for m in mutations("evojax_align/m.py", source.encode()) if m.kind == "sign"]
    assert found.applied(source.encode()).decode() == 'α, s = 1, "ß"; β = α + 1\n'
    with pytest.raises(ValueError, match="draw the mutations again"):
        found.applied(b"x" + source.encode())


@pytest.mark.slow
def test_the_draw_is_even_over_the_packages_and_given_by_the_seed():
    found = list(all_mutations(mutants.ROOT))
    assert len({m.kind for m in found}) == 11
    packages = {package_of(m.path) for m in found}
    chosen = drawn(found, 0, 60)
    counts = [sum(package_of(m.path) == package for m in chosen) for package in packages]
    assert len({m.identity for m in chosen}) == sum(counts) == 60
    assert max(counts) - min(counts) <= 1
    assert len({m.kind for m in chosen}) >= 9
    assert drawn(found, 0, 60) == chosen
    assert drawn(found, 1, 60) != chosen


@pytest.mark.slow
def test_the_tests_of_a_module_begin_with_those_of_its_name():
    root = mutants.ROOT
    assert mutants.tests_of(root, "evojax_align/matching/canonical.py")[0] == "tests/matching/test_canonical.py"
    assert mutants.tests_of(root, "evojax_align/symmetry/affine.py")[0] == "tests/alignment/test_repair.py"
    assert mutants.tests_of(root, "evojax_align/population.py") == ["tests/test_population.py"]
    assert mutants.tests_of(root, "evojax_align/statistics/samples.py") == ["tests/test_statistics.py"]
    assert {"crossover", "pruning"} <= {path.split("/")[1] for path in mutants.tests_of(root, "evojax_align/_tree.py")}
    for file in (root / "evojax_align").rglob("*.py"):
        assert mutants.tests_of(root, file.relative_to(root).as_posix())


@pytest.fixture
def repository(tmp_path):
    """A package of two functions; one has a test."""
    (tmp_path / "evojax_align" / "sums").mkdir(parents=True)
    (tmp_path / "tests" / "sums").mkdir(parents=True)
    (tmp_path / "evojax_align" / "__init__.py").touch()
    (tmp_path / "evojax_align" / "sums" / "__init__.py").touch()
    source = "def gap(x):\n    return x[0] - x[1]\n\n\ndef few(x):\n    return x < 3\n"
    (tmp_path / "evojax_align" / "sums" / "sums.py").write_text(source)
    test = "from evojax_align.sums.sums import gap\n\n\ndef test_a_difference():\n    assert gap([3, 1]) == 2\n"
    (tmp_path / "tests" / "sums" / "test_sums.py").write_text(test)
    settings = '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\nmarkers = ["slow", "nightly"]\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    return tmp_path


@pytest.mark.slow
def test_a_test_that_fails_is_named_and_what_no_test_finds_survives(repository, tmp_path):
    file = tmp_path / "study.json"
    chosen = mutants.draw(repository, 0, 10)
    assert len(chosen) == 4
    study = mutants.Study(repository, chosen, file, limit=60)
    study.run(jobs=1, minutes=10, again=False, whole=False)
    caught = {m.kind: study.results[m.identity].caught_by for m in chosen if m.kind != "index"}
    assert caught == {"sign": "tests/sums/test_sums.py::test_a_difference", "comparison": "survived"}
    assert "3 of 4 caught; 0 not run" in study.table()
    assert (repository / "evojax_align" / "sums" / "sums.py").read_text().count("-") == 1  # the copy alone was edited

    stored = json.loads(file.read_text())
    assert [m.identity for m in mutants.draw(repository, 5, 2, file=file)] == stored["mutants"]
    again = mutants.Study(repository, chosen, file, limit=60)
    assert [m.kind for m in chosen if again._is_missing(m, again=True)] == ["comparison"]
    assert not [m for m in chosen if again._is_missing(m, again=False)]


def test_a_mutant_whose_line_has_changed_is_replaced(repository, tmp_path):
    chosen = mutants.draw(repository, 0, 3)
    file = tmp_path / "study.json"
    mutants.Study(repository, [chosen[0], dataclasses.replace(chosen[1], text="gone"), chosen[2]], file, 60).write()
    again = mutants.draw(repository, 0, 3, file=file)
    assert again[:2] == [chosen[0], chosen[2]]
    assert len({m.identity for m in again}) == 3


def test_the_mutants_that_were_run_are_written_down_with_nine_in_ten_caught():
    stored = json.loads(mutants.SEED_0.read_text())
    assert len(stored["mutants"]) == 60
    caught = {r["identity"]: r["caught_by"] for r in stored["results"]}
    survived = {identity for identity in stored["mutants"] if caught[identity] == mutants.SURVIVED}
    assert len(survived) <= 6
    assert survived <= set(json.loads(mutants.EXPLAINED.read_text()))


@pytest.mark.nightly
def test_of_sixty_mutants_nine_in_ten_are_caught(tmp_path):
    chosen = mutants.draw(mutants.ROOT, 0, 60, file=mutants.SEED_0)
    study = mutants.Study(mutants.ROOT, chosen, tmp_path / "study.json", limit=900)
    study.run(jobs=1, minutes=600, again=False, whole=False)
    caught = [result for result in study.results.values() if result.caught_by != mutants.SURVIVED]
    assert len(study.results) == 60
    assert len(caught) >= 54, study.table()
