"""Makes the pages of `experiments`, with their pictures and results, notebooks and references part of the site."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REFERENCES = "<!-- references.bib -->"
"""Where a page shows `evojax_align/references.bib`."""
WRITTEN = Path(__file__).parent / "pages"
FOLDER_LINK = re.compile(r"\[([^]]+)\]\(([\w/]+)\)")
"""A link to a folder: there is no such page on the site."""


def pages() -> dict[str, Path]:
    """The pages that are made from files outside of `docs/pages`, by their place on the site."""
    return _placed([EXPERIMENTS / "README.md", *EXPERIMENTS.glob("*/README.md")])


def results() -> dict[str, Path]:
    """The pictures and stored results that a page links, by their place on the site."""
    made = {f"{place.rpartition('/')[0]}/{link}" for place, path in pages().items() for link in _links(path)}
    written = {
        re.sub(r"^(\.\./)*experiments/", "papers/", link) for path in WRITTEN.rglob("*.md") for link in _links(path)
    }
    found = [path for kind in ("png", "json") for path in EXPERIMENTS.glob(f"*/results/*.{kind}")]
    return {place: path for place, path in _placed(found).items() if place in made | written}


def text_of(path: Path) -> str:
    """The text of a page, as MkDocs reads it.

    A link to a folder leads to its page, or is plain text where there is none. What is inside of `<details>` is marked
    as Markdown.
    """

    def changed(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        return f"[{text}]({target}/README.md)" if (path.parent / target / "README.md").is_file() else text

    text = path.read_text(encoding="utf-8").replace("<details>", '<details markdown="1">')
    return FOLDER_LINK.sub(changed, text)


def on_config(config: Any) -> Any:
    """Link the repository, if `pyproject.toml` names its address; MkDocs calls this."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config.repo_url = pyproject["tool"]["evojax-align"]["repository"] or None
    return config


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Put the references where a page asks for them, and make links of the repository those of the site."""
    return with_site_links(with_references(markdown), page.file.src_uri)


def with_references(markdown: str) -> str:
    """A page with the references in the place that it has for them."""
    text = (ROOT / "evojax_align" / "references.bib").read_text(encoding="utf-8")
    return markdown.replace(REFERENCES, f"```bibtex\n{text}```")


def with_site_links(markdown: str, place: str) -> str:
    """A page whose links to files of the repository lead to where these are on the site."""
    up = "../" * place.count("/")
    out = "../" * (place.count("/") + 2)  # from docs/pages to the root of the repository
    return markdown.replace(f"]({out}experiments/", f"]({up}papers/").replace(f"]({out}notebooks/", f"]({up}notebooks/")


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and their files; MkDocs calls this."""
    from mkdocs.structure.files import File

    for place, path in pages().items():
        files.append(File.generated(config, place, content=text_of(path)))
    downloads = {f"notebooks/{path.name}": path for path in NOTEBOOKS}
    for place, path in (results() | downloads).items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def _links(path: Path) -> list[str]:
    return re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))


def _placed(paths: list[Path]) -> dict[str, Path]:
    return {f"papers/{path.relative_to(EXPERIMENTS).as_posix()}": path for path in sorted(paths)}
