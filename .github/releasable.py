"""Refuses a release: `python .github/releasable.py ADDRESS TAG` fails unless both are those of the project."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def complaints(address: str, tag: str) -> list[str]:
    """What stands against a release from this address under this tag."""
    spec = importlib.util.spec_from_file_location("project_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    project = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(project)
    found = []
    if not project.repository():
        found.append("pyproject.toml names no repository. Set `repository` under [tool.evojax-align].")
    elif project.repository() != address:
        found.append(f"pyproject.toml names the repository {project.repository()}, but this is {address}.")
    if tag != f"v{project.version()}":
        found.append(f"the tag is {tag}, but evojax_align/_version.py says {project.version()}.")
    if f"\n## [{project.version()}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        found.append(f"CHANGELOG.md has no part [{project.version()}].")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(complaints(*sys.argv[1:3])) or None)
