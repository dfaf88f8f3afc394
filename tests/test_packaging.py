"""What is built and published: metadata, the long description, the workflows."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from evojax_align._version import VERSION

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
ADDRESS = "https://example.org/owner/name"
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, ROOT / path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


SETUP = module(Path("setup.py"))
RELEASABLE = module(Path(".github/releasable.py"))


def links(text):
    return re.findall(r"\]\(([^)]+)\)", FENCED.sub("", text))


def test_the_long_description_has_absolute_links_to_files_of_the_version():
    text = SETUP.description(README, ADDRESS, "v1.2.3")
    relative = [link for link in links(README) if not link.startswith("https:")]
    inside = [link for link in links(text) if link.startswith(ADDRESS) and "/actions" not in link]
    places = [link.removeprefix(f"{ADDRESS}/").split("/", 2) for link in inside]
    assert [place for _, _, place in places] == relative
    assert {tag for _, tag, _ in places} == {"v1.2.3"}
    assert all(kind == ("raw" if place.endswith(".png") else "blob") for kind, _, place in places)
    assert all(link.startswith("https:") for link in links(text))
    assert text.startswith("# evojax-align\n\n[![tests](") and FENCED.findall(text) == FENCED.findall(README)


def test_without_an_address_the_long_description_has_no_links_of_its_own_and_no_picture():
    text = SETUP.description(README, "", "v1.2.3")
    assert all(link.startswith("https:") for link in links(text)) and "![" not in FENCED.sub("", text)
    assert "[reference]" not in text and "reference" in text and FENCED.findall(text) == FENCED.findall(README)


def test_the_links_of_the_project_follow_from_one_address():
    assert SETUP.urls("", "v1") == {}
    assert all(url.startswith(ADDRESS) for url in SETUP.urls(ADDRESS, "v1").values())
    pages = [url for url in SETUP.urls(ADDRESS, "v1").values() if "/blob/v1/" in url]
    assert len(pages) == 2 and all((ROOT / url.split("/blob/v1/")[1]).is_file() for url in pages)
    assert all((ROOT / ".github" / "workflows" / file).is_file() for file in re.findall(r"\w+\.yml", SETUP.badges("")))
    assert SETUP.repository() == "" or re.fullmatch(r"https://[^/\s]+/[^/\s]+/[^/\s]+", SETUP.repository())
    others = [README, (ROOT / "docs" / "mkdocs.yml").read_text(), (ROOT / "CITATION.cff").read_text()]
    assert SETUP.repository() == "" or all(SETUP.repository() not in text for text in others)


def test_a_release_is_refused_without_an_address_under_another_tag_or_without_its_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(RELEASABLE, "ROOT", tmp_path)
    (tmp_path / "evojax_align").mkdir()
    (tmp_path / "evojax_align" / "_version.py").write_text('VERSION = "1.2.3"\n')
    (tmp_path / "setup.py").write_text((ROOT / "setup.py").read_text())

    def found(repository="", changes="\n## [1.2.3]\n", tag="v1.2.3"):
        (tmp_path / "pyproject.toml").write_text(f'[tool.evojax-align]\nrepository = "{repository}"\n')
        (tmp_path / "CHANGELOG.md").write_text(changes)
        return RELEASABLE.complaints(ADDRESS, tag)

    assert len(found()) == 1 and "names no repository" in found()[0]
    assert found(ADDRESS) == []
    assert "but this is" in found("https://example.org/another/name")[0]
    assert "the tag is v1.2.4" in found(ADDRESS, tag="v1.2.4")[0]
    assert "no part [1.2.3]" in found(ADDRESS, changes="")[0]


def test_publishing_waits_for_the_checks_and_needs_no_secret():
    release = WORKFLOWS["release.yml"]
    steps = [step.get("run", "") for step in release["jobs"]["build"]["steps"]]
    checks = ("releasable.py", "-m build", "twine check")
    order = [next(i for i, run in enumerate(steps) if check in run) for check in checks]
    assert order == sorted(order) and any("smoke.py" in run for run in steps)
    publish = release["jobs"]["publish"]
    assert publish["needs"] == "build" and publish["permissions"] == {"id-token": "write"}
    assert all("secrets." not in path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_workflows_run_the_parts_of_ci_and_the_lowest_and_newest_versions():
    jobs = WORKFLOWS["ci.yml"]["jobs"]
    script = (ROOT / ".ci" / "run").read_text()
    assert all(f'*" {part} "*)' in script for part in jobs["parts"]["strategy"]["matrix"]["part"])
    versions = {row["python"]: row["install"] for row in jobs["versions"]["strategy"]["matrix"]["include"]}
    assert "-c tests/lowest.txt" in versions["3.11"] and "3.x" in versions
    (command,) = re.findall(r"<!-- tests -->\n```\w+\n.*&& \S+(python -m pytest.*)\n", README)
    runs = [
        step.get("run")
        for job in ("ci.yml", "nightly.yml")
        for j in WORKFLOWS[job]["jobs"].values()
        for step in j["steps"]
    ]
    assert runs.count(command) == 2


@pytest.mark.parametrize("extra", PYPROJECT["project"]["optional-dependencies"])
def test_every_extra_says_what_it_is_for(extra):
    page = (ROOT / "docs" / "pages" / "index.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    assert any(f"`{extra}`" in row for row in rows)
    (line,) = re.findall(rf"^{extra} = .*$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert "  # " in line


def test_the_version_and_licence_are_said_alike():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == SETUP.version() == VERSION
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert [author["name"] for author in citation["authors"]] == [a["name"] for a in PYPROJECT["project"]["authors"]]


def test_the_lowest_python_is_said_alike():
    named = [c.rpartition(" ")[2] for c in PYPROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert PYPROJECT["project"]["requires-python"] == f">={named[0]}"
    core = {re.split(r"[<>=\[]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    lowest = (ROOT / "tests" / "lowest.txt").read_text()
    assert all(f"\n{name}==" in lowest for name in core)


def test_the_source_distribution_holds_what_its_tests_read():
    manifest = (ROOT / "MANIFEST.in").read_text()
    assert {"tests", "experiments", "docs", "notebooks", ".ci", ".github"} <= set(
        re.findall(r"^graft (\S+)$", manifest, re.M)
    )
    assert all(name in manifest for name in ("README.md", "CHANGELOG.md", "CITATION.cff"))
    assert PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["evojax_align*"]
