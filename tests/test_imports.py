"""Who may import whom: downwards only, as the plan of the project says; and nothing heavy on the way in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import evojax_align

PACKAGE = Path(evojax_align.__file__).parent
FLOORS = (  # each imports from the floors below it
    ("_types", "_tree", "_checks", "_compiling", "_devices", "_files", "_memory", "_version"),
    ("population", "models", "statistics"),
    ("training", "symmetry", "similarity"),
    ("matching",),
    ("alignment", "crossover", "interpolation", "pruning", "attacks"),
    ("evolution",),
    ("lab",),
)
LEAVES = ("data", "interop", "plotting")  # they know the ground floor alone, and only `lab` and experiments know them
FACE = "__init__"
BESIDE = {("interpolation", "crossover")}  # neighbours on one floor that may know each other
EXTRAS = (  # imported where they are used
    *("matplotlib", "sklearn", "tqdm", "tensorflow", "tensorflow_datasets", "torch"),
    *("gymnax", "gymnasium", "evosax", "qdax"),
)
LONGEST = 400

FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages}
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def complaints(path: Path, source: str) -> list[str]:
    """What a file of the package does against the plan; its path is relative to the package."""
    tree = ast.parse(source)
    package = path.parts[0].removesuffix(".py")
    found = [f"{len(source.splitlines())} lines"] if len(source.splitlines()) > LONGEST else []
    if package not in (*FLOOR, *LEAVES, FACE):
        found.append(f"{package} has no place in the plan")
    for node in ast.walk(tree):
        found += [f"{package} imports {other}" for other in _packages(node, path) if not _may_import(package, other)]
    found += [f"{name} is imported at the top" for name in _imported_at_once(tree) if name in EXTRAS]
    return found


def _may_import(package: str, other: str) -> bool:
    if package == other:
        return True
    if package == FACE:
        return other not in ("lab", "plotting")
    if other in LEAVES:
        return package == "lab"
    if package in LEAVES:
        return FLOOR.get(other) == 0
    if package not in FLOOR or other not in FLOOR:
        return False
    return FLOOR[other] < FLOOR[package] or FLOOR[package] == 0 == FLOOR[other] or (package, other) in BESIDE


def _packages(node: ast.AST, path: Path) -> list[str]:
    """The packages of the package that an import statement enters; the package itself is its face."""
    modules = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        package = ["evojax_align", *path.parts[:-1]]
        base = package[: len(package) + 1 - node.level] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        modules = [f"{module}.{alias.name}" for alias in node.names] if module == "evojax_align" else [module]
    parts = [module.split(".") for module in modules]
    return [part[1] if len(part) > 1 else FACE for part in parts if part[0] == "evojax_align"]


def _imported_at_once(tree: ast.AST) -> list[str]:
    """Packages that are imported as soon as the module is: not in functions, nor for the type checker alone."""
    names, inside = [], list(ast.iter_child_nodes(tree))
    if isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING"):
        inside = tree.orelse
    for node in inside:
        if isinstance(node, ast.Import):
            names += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.split(".")[0])
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names += _imported_at_once(node)
    return names


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_file_keeps_to_the_plan(path):
    assert complaints(path, (PACKAGE / path).read_text(encoding="utf-8")) == []


FAKES = {
    "upwards": ("similarity/x.py", "from evojax_align import matching", "similarity imports matching"),
    "upwards, by a longer path": ("matching.py", "import evojax_align.alignment.align", "matching imports alignment"),
    "upwards, inside a function": ("models.py", "def f():\n    from evojax_align.lab import run", "models imports lab"),
    "upwards, relative": ("symmetry/x.py", "from ..crossover import lerp", "symmetry imports crossover"),
    "upwards, relative and bare": ("symmetry/x.py", "from .. import evolution", "symmetry imports evolution"),
    "sideways": ("similarity/x.py", "from evojax_align.symmetry import infer", "similarity imports symmetry"),
    "back": ("crossover/x.py", "from evojax_align import interpolation", "crossover imports interpolation"),
    "the core reads data": ("training.py", "from evojax_align import data", "training imports data"),
    "the core draws": ("evolution/x.py", "from evojax_align.plotting import sweeps", "evolution imports plotting"),
    "a leaf knows the core": ("data/x.py", "from evojax_align import population", "data imports population"),
    "a leaf knows a leaf": ("plotting/x.py", "from evojax_align.data import load", "plotting imports data"),
    "the face shows the lab": ("__init__.py", "from evojax_align import lab", "__init__ imports lab"),
    "the core knows the face": ("crossover/x.py", "import evojax_align as ea", "crossover imports __init__"),
    "a new package": ("attic.py", "", "attic has no place in the plan"),
    "an extra at the top": ("plotting/x.py", "import matplotlib.pyplot as plt", "matplotlib is imported at the top"),
    "an extra, tried": (
        "lab/x.py",
        "try:\n    from tqdm import tqdm\nexcept ImportError:\n    pass",
        "tqdm is imported",
    ),
    "an extra for all but the type checker": (
        "plotting/x.py",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import torch",
        "torch is imported at the top",
    ),
    "an extra in a class": ("lab/x.py", "class A:\n    import torch", "torch is imported at the top"),
    "too long": ("training.py", "x = 1\n" * 401, "401 lines"),
}


@pytest.mark.parametrize("name", FAKES)
def test_what_breaks_the_plan_would_be_seen(name):
    path, source, complaint = FAKES[name]
    found = complaints(Path(path), source)
    assert len(found) == 1 and complaint in found[0]


ALLOWED = {
    "downwards": (
        "matching/x.py",
        "import jax\nfrom evojax_align import _checks\nfrom evojax_align.similarity import cca",
    ),
    "inside one package": (
        "symmetry/x.py",
        "from evojax_align.symmetry.spec import Frozen\nfrom . import rules\nfrom .spec import a",
    ),
    "neighbours": ("interpolation.py", "from evojax_align.crossover import lerp"),
    "the ground floor": ("_checks.py", "from evojax_align._types import Array"),
    "a leaf": ("plotting/x.py", "from evojax_align import _checks\n\ndef f():\n    import matplotlib.pyplot as plt"),
    "types alone": ("plotting/x.py", "if TYPE_CHECKING:\n    import matplotlib.axes"),
    "the lab": ("lab/x.py", "from evojax_align import data, evolution, plotting"),
    "the face": ("__init__.py", "from evojax_align import data, alignment\nfrom evojax_align._version import VERSION"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_keeps_to_the_plan_is_let_through(name):
    path, source = ALLOWED[name]
    assert complaints(Path(path), source) == []


def test_the_face_re_exports_and_does_nothing_else():
    first, *rest, names, lazy = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(first, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom | ast.Import) for node in rest)
    assert ast.unparse(names).startswith("__all__ = ")
    assert isinstance(lazy, ast.FunctionDef) and lazy.name == "__getattr__"
    assert evojax_align.lab.Study and evojax_align.plotting.plot_graph
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        _ = evojax_align.nowhere
    assert all(hasattr(evojax_align, name) for name in evojax_align.__all__)


def test_importing_the_package_imports_nothing_that_an_extra_installs():
    program = f"import sys, evojax_align; print([name for name in {EXTRAS} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


PUZZLING = (
    "front door",
    "at the door",
    "mended",
    "to mend",
    "is dear",
    "answers to the inputs",
    "how well networks",
    "as they lie",
    "are used up",
    "corresponds to whom",
    "proof by trying",
    "twins",
    "it is not shown that",
    *("tell of", "tells of", "told of", "lives in", "live in", "as they stand", "anew", "looks at values"),
    *("whatever the loss", "takes over", "take over", "by chance", "the chance of", "the chance to", "alike likely"),
    *("came about", "what happened", "judged on", "is judged", "are judged", "learnt", "is no bijection"),
    *("is no permutation", "shared out", "where there is none", "more alike", "how alike", "falling order"),
    *("of the generation before", "place by place", "end to end", "side by side", "nobody has", "refuse what"),
    *("is refused", "are refused", "in turns", "brought together", "goes with", "stand for", "begin anew"),
)
"""Phrases that are unusual in the field."""


@pytest.mark.parametrize("phrase", PUZZLING)
def test_the_package_uses_the_usual_words(phrase):
    found = [str(path) for path in FILES if phrase in (PACKAGE / path).read_text(encoding="utf-8").lower()]
    assert found == []
