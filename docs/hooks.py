"""Makes the pages of `experiments`, with their pictures and stored results, part of the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
FOLDER_LINK = re.compile(r"\[([^]]+)\]\(([\w/]+)\)")
"""A link to a folder: there is no such page on the site."""


def pages() -> dict[str, Path]:
    """The pages that are made from files outside of `docs/pages`, by their place on the site."""
    found = [EXPERIMENTS / "README.md", *sorted(EXPERIMENTS.glob("*/README.md"))]
    return {f"papers/{path.relative_to(EXPERIMENTS).as_posix()}": path for path in found}


def results() -> dict[str, Path]:
    """Pictures and stored results, by their place on the site."""
    found = sorted(path for kind in ("png", "json") for path in EXPERIMENTS.glob(f"*/results/*.{kind}"))
    return {f"papers/{path.relative_to(EXPERIMENTS).as_posix()}": path for path in found}


def text_of(path: Path) -> str:
    """The text of a page: a link to a folder leads to its page, or is plain text where there is none."""

    def changed(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        return f"[{text}]({target}/README.md)" if (path.parent / target / "README.md").is_file() else text

    return FOLDER_LINK.sub(changed, path.read_text(encoding="utf-8"))


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and their files."""
    for place, path in pages().items():
        files.append(File.generated(config, place, content=text_of(path)))
    for place, path in results().items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files
