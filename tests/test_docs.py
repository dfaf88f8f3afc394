"""The documentation site: its code runs, its reference is complete, and it builds strictly."""

import collections
import importlib
import importlib.util
import os
import posixpath
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

import evojax_align as ea
from tests.public import HOST_PACKAGES, public_names

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "pages"
WRITTEN = {path.relative_to(PAGES).as_posix(): path.read_text() for path in sorted(PAGES.rglob("*.md"))}
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
WITH_CODE = [name for name, text in WRITTEN.items() if BLOCK.search(text)]
EXPENSIVE = {"gallery.md"}
"""Pages whose code takes more than a minute of processor time."""
NEEDED = {"guides/evosax.md": "evosax", "guides/qdax.md": "qdax"}
"""Packages of extras, without which the code of a page cannot run."""
WORDS = re.compile(
    r"\bmend(s|ed|ing)?\b|at the door|front door|\brooms?\b|\bhouses?\b|\bdear\b|answers? to inputs|neurons? answers?"
    r"|how well networks do|as they lie|falls as small as|used up|who corresponds to whom|proof by trying|\btwins?\b"
    r"|\bcouples?\b|side by side|\bgrown\b|\balone\b|\brivals?\b|\bnewborns?\b|it is not shown that",
    re.IGNORECASE,
)
"""Words that the field does not use."""


def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_nav(entry):
    """The pages below an entry of the navigation, in their order."""
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in in_nav(part)]


def documented():
    """For each directive of the reference: the path that it names and the page it stands on."""
    pages = {name: text for name, text in WRITTEN.items() if name.startswith("reference/")}
    return [(path, name) for name, text in pages.items() for path in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]


def resolved(path):
    """The object of a path; a module goes before a function of its name."""
    package, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(package), name)
    except ModuleNotFoundError:  # a module that a package offers under another path
        return getattr(resolved(package), name)


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.nightly if p in EXPENSIVE else pytest.mark.slow, id=p) for p in WITH_CODE],
)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    if page in NEEDED:
        pytest.importorskip(NEEDED[page], reason=f"{NEEDED[page]} (extra `{NEEDED[page]}`) is not installed")
    code = "\n".join(textwrap.dedent(block) for _, block in BLOCK.findall(WRITTEN[page]))
    env = os.environ | {"EVOJAX_ALIGN_CACHE": "off", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr


IN_A_FRAMEWORK = dict(
    re.findall(r"^### (.+?)\n.*?```python\n(.*?)^```$", WRITTEN["guides/align.md"], re.MULTILINE | re.DOTALL)
)


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["Flax linen", "Flax nnx", "Equinox", "Haiku", "Plain functions"])
def test_the_guide_aligns_a_network_of_every_framework(framework):
    space = {}
    exec(BLOCK.search(WRITTEN["guides/align.md"])[2] + IN_A_FRAMEWORK[framework], space)
    out, x = space["out"], space["x"]
    apply = {
        "Flax nnx": lambda p: space["nnx"].merge(space["graph"], p)(x),
        "Equinox": lambda p: space["jax"].vmap(space["eqx"].combine(p, space["static"]))(x),
        "Plain functions": lambda p: space["apply"](p, x),
    }.get(framework, lambda p: space["net"].apply(p, x))
    np.testing.assert_allclose(apply(out.b), apply(space["b"]), atol=1e-5)
    (order,) = out.permutations_b.values()
    assert sorted(order.tolist()) == list(range(16)) and order.tolist() != list(range(16))


def test_every_guide_has_code_that_runs():
    guides = {name for name in WRITTEN if name.startswith("guides/")} | {"index.md", "troubleshooting.md", "gallery.md"}
    assert guides == set(WITH_CODE) and NEEDED.keys() <= guides


def test_the_gallery_has_twelve_pictures_with_at_most_twenty_lines_of_code_each():
    text = WRITTEN["gallery.md"]
    sections = text.split("\n## ")[1:]
    shown = [re.findall(r"\]\(gallery/(\w+)\.png\)", section) for section in sections]
    saved = [re.findall(r'plotting\.save\(fig, "(\w+)\.png"\)', section) for section in sections]
    assert shown == saved and len(sections) == 12 and all(len(names) == 1 for names in shown)
    assert {path.stem for path in (PAGES / "gallery").glob("*.png")} == {name for (name,) in shown}
    assert [len(code.splitlines()) for _, code in BLOCK.findall(text) if len(code.splitlines()) > 20] == []
    assert [path.name for path in (PAGES / "gallery").glob("*.png") if path.stat().st_size > 150_000] == []


def test_the_navigation_lists_every_page_once():
    configuration = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text())
    assert sorted(in_nav(configuration["nav"])) == sorted([*WRITTEN, *hooks().pages()])


def test_the_references_are_shown_whole():
    shown = hooks().with_references(WRITTEN["cite.md"])
    assert (ROOT / "evojax_align" / "references.bib").read_text() in shown
    cited = re.findall(r"\| `(\w+)` \|$", WRITTEN["cite.md"], re.MULTILINE)
    assert len(cited) >= 6 and all(f"{{{name}," in shown for name in cited)


@pytest.mark.parametrize("page", WRITTEN)
def test_links_of_a_page_lead_to_files_in_the_repository_too(page):
    text = re.sub(r"```.*?```", "", WRITTEN[page], flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not link.startswith("http")]
    assert [link for link in links if not (PAGES / page).parent.joinpath(link).is_file()] == []


def test_every_public_name_is_in_the_reference_once():
    public = dict(public_names())
    for package in HOST_PACKAGES:
        module = resolved(f"evojax_align.{package}")
        public |= {f"{package}.{name}": getattr(module, name) for name in module.__all__}
    times = collections.Counter(id(resolved(path)) for path, _ in documented())
    assert {name: times[id(value)] for name, value in public.items() if times[id(value)] != 1} == {}


def test_an_example_of_the_reference_can_be_copied():
    bare = []
    for path, _ in documented():
        value = resolved(path)
        example = re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", value.__doc__ or "", re.MULTILINE)
        if callable(value) and example and not any("import" in line and "evojax_align" in line for line in example):
            bare.append(path)
    assert bare == []


def test_the_reference_names_nothing_that_is_not_public():
    offered = {id(value) for _, value in public_names()}
    for path, _ in documented():
        package, _, name = path.rpartition(".")
        module = resolved(package)
        assert id(resolved(path)) in offered or name in getattr(module, "__all__", ())
    assert all(hasattr(ea, name) for name in ea.__all__)


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_uses_the_words_of_the_field_and_short_lines(page):
    text = WRITTEN[page]
    prose = re.sub(r"^ *```.*?^ *```$|`[^`\n]*`|^::: \S+$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert [found[0] for found in WORDS.finditer(prose)] == []
    assert [line for line in text.splitlines() if len(line) > 120] == []


def test_pictures_and_results_that_generated_pages_link_are_on_the_site():
    made = hooks()
    there = {*made.results(), *made.pages()}
    for place, path in made.pages().items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", made.text_of(path)):
            assert posixpath.normpath(f"{place.rpartition('/')[0]}/{target}") in there


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason=f"{package} (extra `docs`) is not installed")
    command = "-m mkdocs build --strict -f docs/mkdocs.yml -d".split()
    command = [sys.executable, *command, str(tmp_path / "site")]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site" / "papers").rglob("index.html"):
        assert "|---|" not in page.read_text()  # every table is one
