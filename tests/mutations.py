"""Small edits of Python source, each of which should make a test fail.

An edit is found in the syntax tree and made in the text, so that it changes one place. Left alone are docstrings,
annotations, imports, decorators, `__all__`, the arguments of errors, `strict` of `zip`, and in `plotting` statements
that set how a figure looks.
"""

import ast
import bisect
import dataclasses
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

TURNED = {
    ast.Lt: ("<", ">="),
    ast.GtE: (">=", "<"),
    ast.Gt: (">", "<="),
    ast.LtE: ("<=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
SIGNS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+")}
EXTREMA = {"min": "max", "minimum": "maximum", "argmin": "argmax", "amin": "amax", "nanmin": "nanmax"}
EXTREMA |= {largest: least for least, largest in EXTREMA.items()}
AXES = {0: "1", 1: "0", -1: "0"}


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One edit of one file."""

    path: str
    """The file, relative to the root."""
    kind: str
    line: int
    text: str
    """The source of that line, without indentation."""
    before: str
    after: str
    start: int
    """Where `before` begins, in bytes."""

    @property
    def identity(self) -> str:
        """What stays the same where lines are added elsewhere in the file."""
        return " | ".join((self.path, self.kind, self.text, f"{self.before} -> {self.after}"))

    def applied(self, source: bytes) -> bytes:
        """The source with the edit.

        Raises:
            ValueError: if the source does not have the text that is to be replaced.
        """
        before, end = self.before.encode(), self.start + len(self.before.encode())
        if source[self.start : end] != before:
            raise ValueError(f"{self.path}:{self.line} has no {self.before!r}: draw the mutations again.")
        return source[: self.start] + self.after.encode() + source[end:]


def mutations(path: str, source: bytes) -> list[Mutation]:
    """Every edit of a file, in the order of the text."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    return sorted(set(finder.found), key=lambda m: (m.start, m.kind, m.after))


def package_of(path: str) -> str:
    """The package that a file belongs to; for single modules `evojax_align` itself."""
    return Path(path).parts[:-1][:2][-1]


def drawn(found: list[Mutation], seed: int, count: int) -> list[Mutation]:
    """So many of the mutations: packages in turn, in each a random kind, and of each kind a random one."""
    draw = random.Random(seed)
    left: dict[str, dict[str, list[Mutation]]] = {}
    for mutation in {m.identity: m for m in reversed(found)}.values():
        left.setdefault(package_of(mutation.path), {}).setdefault(mutation.kind, []).append(mutation)
    chosen: list[Mutation] = []
    while len(chosen) < count and left:
        packages = sorted(left)
        draw.shuffle(packages)
        for package in packages[: count - len(chosen)]:
            kinds = left[package]
            kind = draw.choice(sorted(kinds))
            chosen.append(kinds[kind].pop(draw.randrange(len(kinds[kind]))))
            if not kinds[kind]:
                del kinds[kind]
            if not kinds:
                del left[package]
    return chosen


class _Finder(ast.NodeVisitor):
    """Collects the edits of one file."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source, self.found = path, source, []
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.bound: list[set[str]] = [set()]  # the names that each enclosing function has assigned so far

    def add(self, kind: str, start: int, end: int, after: str) -> None:
        """Note the edit that puts `after` in place of the bytes from `start` to `end`."""
        line = bisect.bisect_right(self.starts, start)
        text = self.source[self.starts[line - 1] : self.starts[line]].decode().strip()
        before = self.source[start:end].decode()
        self.found.append(Mutation(self.path, kind, line, text, before, after, start))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node begins and ends, in bytes."""
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.source[start:end].decode()

    def between(self, kind: str, left: ast.expr, right: ast.expr, before: str, after: str) -> None:
        """The edit of an operator that lies between two nodes."""
        start, end = self.span(left)[1], self.span(right)[0]
        pattern = rb"\s+".join(re.escape(word.encode()) for word in before.split())
        place = re.search(pattern, self.source[start:end])
        if place is not None:
            self.add(kind, start + place.start(), start + place.end(), after)

    def whole(self, kind: str, node: ast.expr | ast.stmt, after: str) -> None:
        """The edit that replaces a node."""
        self.add(kind, *self.span(node), after)

    def exchanged(self, kind: str, first: ast.expr, second: ast.expr) -> None:
        """The edit that exchanges two nodes."""
        (start, middle), (after, end) = self.span(first), self.span(second)
        between = self.source[middle:after].decode()
        self.add(kind, start, end, self.text(second) + between + self.text(first))

    # What is left alone.

    def visit_Import(self, node: ast.AST) -> None:
        """Nothing."""

    visit_ImportFrom = visit_JoinedStr = visit_Import

    def visit_arg(self, node: ast.arg) -> None:
        """Annotations are left alone."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the annotation."""
        if node.value is not None and "TypeAlias" not in ast.unparse(node.annotation):
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Defaults and the body, but not decorators and annotations."""
        self.visit(node.args)
        self.bound.append({arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)})
        for statement in node.body:
            self.visit(statement)
        self.bound.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body alone."""
        for statement in node.body:
            self.visit(statement)

    # What is edited.

    def visit_Compare(self, node: ast.Compare) -> None:
        """A comparison turned."""
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands[:-1], node.ops, operands[1:], strict=True):
            before, after = TURNED[type(operator)]
            self.between("comparison", left, right, before, after)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """A sum for a difference, where neither is known to be text or a list."""
        words = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)
        if type(node.op) in SIGNS and not any(isinstance(s, words) or _is_text(s) for s in (node.left, node.right)):
            before, after = SIGNS[type(node.op)]
            self.between("sign", node.left, node.right, before, after)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """A sign or a negation dropped."""
        if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            self.whole("sign", node, self.text(node.operand))
        elif isinstance(node.op, ast.Not):
            self.whole("negation", node, self.text(node.operand))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """`and` for `or`."""
        before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        if len(node.values) == 2:
            self.between("and, or", node.values[0], node.values[1], before, after)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """The condition negated."""
        if ast.unparse(node.test) != "TYPE_CHECKING":
            if not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.NamedExpr):
                self.whole("negation", node.test, f"not ({self.text(node.test)})")
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """The two values exchanged."""
        start, end = self.span(node)
        body, test, other = map(self.text, (node.body, node.test, node.orelse))
        self.add("branches", start, end, f"{other} if {test} else {body}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """The branches of a `where`, an extremum, an axis, a flag; errors are left alone."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("bad", "one_of", "warn"):
            return
        if name == "where" and len(node.args) == 3:
            self.exchanged("branches", *node.args[1:])
        if name in EXTREMA:
            end = self.span(node.func)[1]
            self.add("extremum", end - len(name), end, EXTREMA[name])
        for keyword in node.keywords:
            value = keyword.value
            if isinstance(value, ast.Constant) and isinstance(value.value, bool) and keyword.arg != "strict":
                self.whole("flag", value, str(not value.value))
            elif keyword.arg == "axis" and (axis := _integer(value)) in AXES:
                self.whole("axis", value, AXES[axis])
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """An index, or the end of a slice, one further."""
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            for index in (part.lower, part.upper) if isinstance(part, ast.Slice) else (part,):
                if index is not None and (value := _integer(index)) is not None:
                    self.whole("index", index, str(value + 1))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """A random key used twice; an assignment left out, where the name has a value without it."""
        if [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return
        self._keys(node)
        names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        of_self = any(ast.unparse(target).startswith("self.") for target in node.targets)
        if len(self.bound) > 1 and names <= self.bound[-1] and not of_self:
            self.left_out(node)
        self.bound[-1] |= names
        self.generic_visit(node)

    def _keys(self, node: ast.Assign) -> None:
        (target, *_), value = node.targets, node.value
        called = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
        if not called.endswith("random.split"):
            return
        end = self.span(node)[1]
        if isinstance(target, ast.Tuple) and all(isinstance(name, ast.Name) for name in target.elts):
            first, *_, last = (self.text(name) for name in target.elts)
            self.add("key", end, end, f"; {last} = {first}")
        elif isinstance(target, ast.Name) and b"import jax.numpy as jnp" in self.source:
            name = target.id
            self.add("key", end, end, f"; {name} = jnp.broadcast_to({name}[:1], {name}.shape)")

    def visit_Raise(self, node: ast.Raise) -> None:
        """The error left out; its arguments are left alone."""
        self.left_out(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """A sign, or the statement left out."""
        if type(node.op) in SIGNS:
            before, after = SIGNS[type(node.op)]
            self.between("sign", node.target, node.value, f"{before}=", f"{after}=")
        self.left_out(node)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """The statement left out, unless it is a docstring."""
        if not isinstance(node.value, ast.Constant):
            if not isinstance(node.value, ast.Yield | ast.YieldFrom):
                self.left_out(node)
            self.generic_visit(node)

    def left_out(self, node: ast.stmt) -> None:
        """The edit that leaves a statement out."""
        if package_of(self.path) != "plotting":
            self.whole("left out", node, "pass")


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _integer(node: ast.AST) -> int | None:
    """The value of a literal such as 1 or -1."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _integer(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return None


def all_mutations(root: Path, chosen: Callable[[str], bool] = lambda path: True) -> Iterator[Mutation]:
    """The edits of all files of `evojax_align` below a root."""
    for file in sorted((root / "evojax_align").rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if chosen(path):
            yield from mutations(path, file.read_bytes())
