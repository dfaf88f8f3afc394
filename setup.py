"""What follows from the address of the repository, which `pyproject.toml` names once: links, and the long description.

All else is in `pyproject.toml`. A package index shows the README without the repository around it, so that relative
links have to become absolute ones. Without an address there are no links, and pictures are left out.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?:|#)([^)]+)\)")


def repository() -> str:
    """The address, such as https://github.com/owner/name; empty if it is not set."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["evojax-align"]["repository"]


def version() -> str:
    """The version of the package."""
    text = (ROOT / "evojax_align" / "_version.py").read_text(encoding="utf-8")
    return re.findall(r'^VERSION = "(.+)"$', text, re.MULTILINE)[0]


def urls(address: str, tag: str) -> dict[str, str]:
    """The links of the project that a package index shows."""
    if not address:
        return {}
    return {
        "Repository": address,
        "Documentation": f"{address}/blob/{tag}/docs/pages/index.md",
        "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }


def badges(address: str) -> str:
    """Pictures that say whether the tests pass."""
    jobs = {"tests": "ci.yml", "newest JAX": "nightly.yml"}
    return " ".join(f"[![{n}]({address}/actions/workflows/{f}/badge.svg)]({address}/actions)" for n, f in jobs.items())


def description(readme: str, address: str, tag: str) -> str:
    """The README for a package index: with absolute links and badges, or without links if there is no address."""

    def changed(link: re.Match[str]) -> str:
        is_picture, text, target = link.groups()
        if not address:
            return "" if is_picture else text
        return f"{is_picture}[{text}]({address}/{'raw' if is_picture else 'blob'}/{tag}/{target})"

    parts = [part if part.startswith("```") else LINK.sub(changed, part) for part in FENCE.split(readme)]
    title, _, rest = "".join(parts).partition("\n")
    return f"{title}\n\n{badges(address)}\n{rest}" if address else f"{title}\n{rest}"


if __name__ == "__main__":
    setup(
        long_description=description((ROOT / "README.md").read_text(encoding="utf-8"), repository(), f"v{version()}"),
        long_description_content_type="text/markdown",
        project_urls=urls(repository(), f"v{version()}"),
    )
