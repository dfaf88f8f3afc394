"""The operations of random programs, and the builder that draws their operands."""

import contextlib
import dataclasses
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.symmetry.interpreter import run

LARGEST = 800
"""No value has more entries."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation; its result is multiplied by `scale`, so that values neither grow nor vanish."""

    kind: str
    text: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    scale: float


@dataclasses.dataclass(frozen=True)
class Program:
    """Steps from the inputs and parameters to the outputs."""

    seed: int
    params: dict[str, np.ndarray]
    x: np.ndarray
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]

    def apply(self, params: dict[str, Any], x: Any) -> tuple[Any, ...]:
        """The outputs."""
        values = {**params, "x": x}
        for number, step in enumerate(self.steps):
            values[f"v{number}"] = step.scale * step.function(*(values[name] for name in step.inputs))
        return tuple(values[name] for name in self.outputs)

    def listing(self) -> str:
        """The program as text, one step per line."""
        lines = [f"seed {self.seed}", f"x {self.x.shape}"]
        lines += [f"{name} {leaf.shape}" for name, leaf in self.params.items()]
        for number, step in enumerate(self.steps):
            lines.append(f"v{number} = {step.scale:g} * {step.text.format(*step.inputs)}  # {step.shape}")
        return "\n".join([*lines, f"return {', '.join(self.outputs)}"])


class Builder:
    """Draws operands and weights, and adds steps whose values are neither constant, nor too large, nor mostly noise."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random, self.numbers = seed, random.Random(seed), np.random.default_rng(seed)
        self.n = self.random.choice([4, 4, 6])  # the length that most axes have
        self.params: dict[str, np.ndarray] = {}
        self.steps: list[Step] = []
        self.values: dict[str, Any] = {}
        self.x = np.zeros(())
        self.outputs: list[str] = []

    def start(self, shape: tuple[int, ...]) -> None:
        """Draw the inputs."""
        self.x = self.values["x"] = self.numbers.normal(size=shape)

    def length(self) -> int:
        """A length, for which the program's own is the likeliest."""
        return self.n if self.random.random() < 0.65 else self.random.choice([2, 3, 4, 2 * self.n])

    def axis(self, name: str) -> int:
        """One of the axes of a value."""
        return self.random.randrange(len(self.shape(name)))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a value."""
        return np.shape(self.values[name])

    def weight(self, *shape: int) -> str:
        """A parameter of this shape: a new one, or one that there is already."""
        same = [name for name, leaf in self.params.items() if leaf.shape == shape]
        if same and self.random.random() < 0.3:
            return self.random.choice(same)
        return self.new_weight(*shape)

    def new_weight(self, *shape: int) -> str:
        """A new parameter of this shape."""
        name = f"w{len(self.params)}"
        spread = 1 / math.sqrt(max(1, math.prod(shape[:-1]))) if len(shape) > 1 else 1.0
        self.params[name] = self.values[name] = self.numbers.normal(size=shape) * spread
        return name

    def value(self, least: int = 1, most: int = 3, fits: Callable[[tuple[int, ...]], bool] = lambda shape: True) -> str:
        """An earlier value of so many axes that fits, most often a late one; else an error that ends the operation."""
        fitting = [name for name in self.values if least <= len(self.shape(name)) <= most and fits(self.shape(name))]
        if not fitting:
            raise NothingFits
        unused = [name for name in fitting if name in self.unused()]
        late = unused[-2:] or [name for name in fitting if name[0] == "v"][-2:]
        return self.random.choice(late if late and self.random.random() < 0.75 else fitting)

    def unused(self) -> list[str]:
        """The results that no step uses."""
        used = {name for step in self.steps for name in step.inputs}
        return [name for name in (f"v{number}" for number in range(len(self.steps))) if name not in used]

    def add(self, kind: str, text: str, function: Callable[..., Any], *inputs: str) -> str:
        """Add a step, and give its name."""
        made = np.asarray(run(function, *(self.values[name] for name in inputs)), np.float64)
        size = np.sqrt(np.mean(made**2)) if made.size else 0.0
        entries = np.abs(made[made != 0])
        if not np.isfinite(made).all() or not 1e-4 < size < 1e4 or entries.min() < 1e-8 * size or made.size > LARGEST:
            raise NothingFits
        scale = float(f"{1 / size:.2g}")
        name = f"v{len(self.steps)}"
        self.steps.append(Step(kind, text, function, inputs, made.shape, scale))
        self.values[name] = scale * made
        return name

    def dense(self, width: int, name: str = "x", axis: int = -1) -> str:
        """A product of one axis of a value with a weight."""
        size = self.shape(name)[axis]
        return self.add("dense", f"dense({{0}}, {{1}}, axis={axis})", dense_along(axis), name, self.weight(size, width))

    def read_out(self, sure: bool) -> None:
        """The outputs: most of the results that no step uses, each summed against a weight; sometimes as they are."""
        last = self.unused()[-1]
        for name in self.unused():
            if name != last and self.random.random() < 0.3:
                continue
            if sure or self.random.random() < 0.7:
                weight = self.weight(*self.shape(name)) if self.shape(name) else name
                with contextlib.suppress(NothingFits):
                    name = self.add("read out", "vdot({0}, {1})", lambda v, w: jnp.sum(v * w), name, weight)
            self.outputs.append(name)

    def program(self) -> Program:
        """What was built."""
        return Program(self.seed, self.params, self.x, tuple(self.steps), tuple(self.outputs))


class NothingFits(Exception):
    """No earlier value fits the operation, or its result is of no use."""


OPERATIONS: dict[str, Callable[[Builder], None]] = {}
EASY: list[str] = []
"""Operations under which something can be permuted, as often as they are to be drawn."""
ANY: list[str] = []
"""All operations, as often as they are to be drawn."""


def operation(easy: int = 0, count: int = 1) -> Callable[[Callable[[Builder], Any]], Callable[[Builder], Any]]:
    """Register an operation by the name of its function."""

    def register(draw: Callable[[Builder], Any]) -> Callable[[Builder], Any]:
        name = draw.__name__.strip("_")

        def attempt(build: Builder) -> None:
            steps = len(build.steps)
            try:
                draw(build)
            except NothingFits:
                del build.steps[steps:]
                for number in range(steps, steps + 4):
                    build.values.pop(f"v{number}", None)

        OPERATIONS[name] = attempt
        EASY.extend([name] * easy)
        ANY.extend([name] * count)
        return draw

    return register


@jax.custom_vjp
def _cube(v):
    return v**3 / (1 + v**2)


_cube.defvjp(lambda v: (_cube(v), v), lambda v, g: (g * v,))

UNARY = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "sin": jnp.sin,
    "square": jnp.square,
    "sigmoid": jax.nn.sigmoid,
    "custom_vjp": _cube,
    "jit": jax.jit(lambda v: v * jnp.cos(v)),
    "checkpoint": jax.checkpoint(lambda v: jnp.exp(-jnp.square(v))),
    "vmap": jax.vmap(lambda row: row / (1 + jnp.abs(row))),
    "round": lambda v: jnp.floor(3 * v) + 0.1 * v,
}
BINARY = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "maximum": jnp.maximum,
    "where": lambda v, w: jnp.where(v > w, jnp.sin(v), w),
    "divide": lambda v, w: v / (1 + jnp.square(w)),
}
REDUCTIONS = {
    "sum": jnp.sum,
    "max": jnp.max,
    "min": jnp.min,
    "mean": jnp.mean,
    "std": jnp.std,
    "logsumexp": jax.nn.logsumexp,
    "prod": lambda v, axis, keepdims: jnp.prod(0.5 + jnp.tanh(v), axis=axis, keepdims=keepdims),
}


def dense_along(axis):
    return lambda v, w: jnp.moveaxis(jnp.tensordot(v, w, (axis, 0)), -1, axis)


def _expand(v, axes, rank):
    """The axes of `v` at these places of a larger rank."""
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    return jnp.expand_dims(jnp.transpose(v, order), [i for i in range(rank) if i not in axes])


def _letters(build, shape, other, letters):
    """Subscripts for a second operand: axes of equal length may be those of the first."""
    free, found = list(range(len(letters))), []
    for size in shape:
        same = [i for i in free if other[i] == size]
        if same and build.random.random() < 0.7:
            chosen = build.random.choice(same)
            free.remove(chosen)
            found.append(letters[chosen])
        else:
            found.append("uvwxyz"[len(found)])
    return found


@operation(easy=5)
def unary(build):
    name = build.random.choice([*UNARY])
    build.add("elementwise", name + "({0})", UNARY[name], build.value(1 if name == "vmap" else 0, 4))


@operation(easy=3)
def binary(build):
    """Two values; the axes of one may lie at any places of the other that have their lengths."""
    first = build.value(1, 4)
    shape = build.shape(first)

    def places(of):
        found = itertools.permutations(range(len(shape)), len(of))
        return [p for p in found if all(size in (1, shape[i]) for size, i in zip(of, p, strict=True))]

    second = build.value(1, 4, lambda of: bool(places(of)))
    axes = build.random.choice(places(build.shape(second)))
    name = build.random.choice([*BINARY])
    function = lambda v, w: BINARY[name](v, _expand(w, axes, len(shape)))
    build.add("elementwise", f"{name}({{0}}, {{1}} along axes {axes})", function, first, second)


@operation(easy=3)
def vector(build):
    """A bias or a scale of its own for each place along one axis."""
    value = build.value(1, 4)
    axis, rank = build.axis(value), len(build.shape(value))
    name = build.random.choice([*BINARY])
    function = lambda v, w: BINARY[name](v, _expand(w, (axis,), rank))
    weight = build.weight(build.shape(value)[axis])
    build.add("elementwise", f"{name}({{0}}, {{1}} along axis {axis})", function, value, weight)


@operation(easy=5)
def dense(build):
    value = build.value()
    build.dense(build.length(), value, build.axis(value))


@operation(easy=3)
def einsum(build):
    first = build.value(1, 3)
    shape = build.shape(first)
    if build.random.random() < 0.5:
        sizes = [build.random.choice(shape), *(build.length() for _ in range(build.random.randint(0, 2)))]
        second = build.weight(*build.random.sample(sizes, len(sizes)))
    else:
        second = build.value(1, 3)
    left = list("abc"[: len(shape)])
    right = _letters(build, build.shape(second), shape, left)
    sizes = dict(zip(left + right, shape + build.shape(second), strict=True))
    kept = [x for x in sizes if build.random.random() < (0.35 if x in left and x in right else 0.9)]
    if build.random.random() < 0.3:
        build.random.shuffle(kept)
    if len(kept) > 3 or math.prod(sizes[x] for x in kept) > LARGEST // 2:
        raise NothingFits
    subscripts = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    build.add(
        "einsum", f"einsum('{subscripts}', {{0}}, {{1}})", lambda v, w: jnp.einsum(subscripts, v, w), first, second
    )


@operation(easy=1)
def gram(build):
    value = build.value(2, 3)
    build.add("product", "tanh({0} @ {0}.mT)", lambda v: jnp.tanh(v @ jnp.swapaxes(v, -1, -2)), value)


@operation()
def diagonal(build):
    value = build.value(2, 3, lambda shape: shape[-1] == shape[-2])
    build.add("product", "einsum('...ii->...i', {0})", lambda v: jnp.einsum("...ii->...i", v), value)


def _factorised(build, size, rank):
    """Lengths with this product, at most so many."""
    found = []
    while size > 1 and len(found) < rank - 1:
        factor = build.random.choice([f for f in range(2, size + 1) if size % f == 0])
        found.append(factor)
        size //= factor
    return (*found, size) if size > 1 or not found else tuple(found)


@operation(easy=1)
def merge(build):
    value = build.value(2, 4)
    shape = build.shape(value)
    axis = build.random.randrange(len(shape) - 1)
    new = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
    build.add("reshape", f"reshape({{0}}, {new})", lambda v: jnp.reshape(v, new), value)


@operation(easy=1)
def split_axis(build):
    value = build.value(1, 3, lambda shape: any(size > 3 for size in shape))
    shape = build.shape(value)
    axis = build.random.choice([i for i, size in enumerate(shape) if size > 3])
    new = (*shape[:axis], *_factorised(build, shape[axis], 2), *shape[axis + 1 :])
    build.add("reshape", f"reshape({{0}}, {new})", lambda v: jnp.reshape(v, new), value)


@operation()
def reshape(build):
    value = build.value(1, 4)
    shape = build.shape(value)
    new = _factorised(build, math.prod(shape), 3)
    order = tuple(build.random.sample(range(len(shape)), len(shape)))
    text = f"lax.reshape({{0}}, {new}, dimensions={order})"
    build.add("reshape", text, lambda v: jax.lax.reshape(v, new, dimensions=order), value)


@operation(easy=1)
def there_and_back(build):
    """Something done to every block of an axis."""
    value = build.value(1, 3, lambda shape: shape[-1] in (4, 6, 8, 12))
    shape = build.shape(value)
    blocks = (*shape[:-1], *_factorised(build, shape[-1], 2))
    name = build.random.choice(["max", "mean", "std"])
    axis = build.random.randrange(len(blocks))
    function = lambda v: v - 0.7 * REDUCTIONS[name](v, axis=axis, keepdims=True)
    text = f"{{0}} as {blocks} less 0.7 {name} along {axis}"
    build.add("reshape", text, lambda v: jnp.reshape(function(jnp.reshape(v, blocks)), shape), value)


@operation(easy=2)
def transpose(build):
    value = build.value(2, 4)
    order = tuple(build.random.sample(range(len(build.shape(value))), len(build.shape(value))))
    build.add("transpose", f"transpose({{0}}, {order})", lambda v: jnp.transpose(v, order), value)


@operation(easy=1)
def expand(build):
    value = build.value(0, 2)
    axis = build.random.randint(0, len(build.shape(value)))
    build.add("reshape", f"expand_dims({{0}}, {axis})", lambda v: jnp.expand_dims(v, axis), value)


@operation(easy=2)
def concatenate(build):
    value = build.value(1, 3)
    shape, axis = build.shape(value), build.axis(value)
    rest = lambda s: (*s[:axis], *s[axis + 1 :])
    other = build.value(len(shape), len(shape), lambda s: rest(s) == rest(shape))
    names = [value, other, *([value] if build.random.random() < 0.2 else [])]
    text = f"concatenate([{', '.join(f'{{{i}}}' for i in range(len(names)))}], axis={axis})"
    build.add("concatenate", text, lambda *parts: jnp.concatenate(parts, axis), *names)


@operation(easy=1)
def stack(build):
    value = build.value(1, 2)
    other = build.value(1, 2, lambda shape: shape == build.shape(value))
    axis = build.random.randint(0, len(build.shape(value)))
    build.add("concatenate", f"stack([{{0}}, {{1}}], axis={axis})", lambda *parts: jnp.stack(parts, axis), value, other)


@operation(easy=1)
def slices(build):
    value = build.value(1, 3, lambda shape: max(shape) > 2)
    shape = build.shape(value)
    axis = build.random.choice([i for i, size in enumerate(shape) if size > 2])
    start = build.random.randint(0, shape[axis] // 2)
    stop = build.random.randint(start + 1, shape[axis])
    stride = build.random.choice([1, 1, 1, 2])
    text = f"slice({{0}}, {start}, {stop}, {stride}, axis={axis})"
    build.add("slice", text, lambda v: jax.lax.slice_in_dim(v, start, stop, stride, axis), value)


@operation(easy=2)
def gated_halves(build):
    value = build.value(1, 3, lambda shape: any(size % 2 == 0 for size in shape))
    axis = build.random.choice([i for i, size in enumerate(build.shape(value)) if size % 2 == 0])

    def function(v):
        left, right = jnp.split(v, 2, axis)
        return left * jax.nn.sigmoid(right)

    build.add("slice", f"gated halves of {{0}}, axis={axis}", function, value)


@operation()
def parts_exchanged(build):
    value = build.value(1, 3, lambda shape: max(shape) > 2)
    shape = build.shape(value)
    axis = build.random.choice([i for i, size in enumerate(shape) if size > 2])
    place = build.random.randint(1, shape[axis] - 1)

    def function(v):
        left, right = jnp.split(v, [place], axis)
        return jnp.concatenate([jnp.tanh(right), left], axis)

    build.add("slice", f"parts of {{0}} exchanged at {place}, axis={axis}", function, value)


@operation(easy=1)
def pad(build):
    value = build.value(1, 3)
    settings = [(0, 0, 0)] * len(build.shape(value))
    draw = build.random
    low, high, between = draw.choice([0, 1, 2, -1]), draw.choice([0, 1, 2, -1]), draw.choice([0, 0, 0, 1])
    axis = build.axis(value)
    if build.shape(value)[axis] + low + high < 1:
        high = 1  # nothing would be left
    settings[axis] = low, high, between
    filling = draw.choice([0.0, 1.5])
    text = f"pad({{0}}, {filling}, {settings})"
    build.add("pad", text, lambda v: jax.lax.pad(v, jnp.asarray(filling, v.dtype), settings), value)


@operation()
def repeat(build):
    value = build.value(1, 2)
    axis = build.axis(value)
    build.add("tile", f"repeat({{0}}, 2, axis={axis})", lambda v: jnp.repeat(v, 2, axis), value)


@operation(easy=1)
def tile(build):
    value = build.value(1, 2)
    counts = tuple(build.random.choice([1, 2]) for _ in build.shape(value))
    build.add("tile", f"tile({{0}}, {counts})", lambda v: jnp.tile(v, counts), value)


@operation(count=2)
def moved(build):
    value = build.value(1, 3)
    axis = build.axis(value)
    name, function = build.random.choice(
        [
            ("flip", lambda v: jnp.flip(v, axis)),
            ("roll", lambda v: jnp.roll(v, 1, axis)),
            ("neighbours", lambda v: v + jnp.roll(v, 1, axis)),
        ]
    )
    build.add("slice", f"{name}({{0}}, axis={axis})", function, value)


@operation()
def triangle(build):
    value = build.value(2, 3)
    build.add("constant", "tril({0})", jnp.tril, value)


@operation(easy=1)
def constant(build):
    """A constant: of one value, of equal rows, or of entries that all differ."""
    value = build.value(1, 3)
    shape, axis = build.shape(value), build.axis(value)
    kind = build.random.choice(["uniform", "differs along", "differs except along"])
    entries = build.numbers.uniform(0.5, 1.5, shape)
    if kind != "uniform":
        others = [i for i in range(len(shape)) if (i == axis) == (kind == "differs except along")]
        entries = np.broadcast_to(entries.mean(axis=tuple(others), keepdims=True), shape)
    else:
        entries = np.full(shape, 1.3)
    build.add("constant", f"{{0}} * constant that {kind} {axis}", lambda v: v * entries, value)


@operation()
def position(build):
    value = build.value(1, 3)
    axis, shape = build.axis(value), build.shape(value)
    iota = lambda v: v + jax.lax.broadcasted_iota(v.dtype, shape, axis)
    build.add("constant", f"{{0}} + iota along {axis}", iota, value)


@operation(count=4)
def take(build):
    """Places given by a constant, by a sort, or by the largest entries of another value."""
    value = build.value(1, 3)
    shape, axis = build.shape(value), build.axis(value)
    kind = build.random.choice(["constant", "sorted", "largest", "pairs", "rows"])
    size = shape[axis]
    index = build.numbers.integers(0, size, size=build.random.choice([2, size]))
    if kind == "constant":
        build.add("gather", f"take({{0}}, {index}, axis={axis})", lambda v: jnp.take(v, index, axis), value)
    elif kind == "sorted":
        function = lambda v: jnp.take_along_axis(v, jnp.argsort(jnp.sin(3 * v), axis=axis), axis)
        build.add("gather", f"take_along_axis({{0}}, argsort(sin(3 * {{0}})), axis={axis})", function, value)
    elif kind == "largest":
        other = build.value(1, 2)
        function = lambda v, w: jnp.take(v, jnp.argmax(w, axis=-1) % size, axis)
        build.add("gather", f"take({{0}}, argmax({{1}}, -1) % {size}, axis={axis})", function, value, other)
    elif kind == "pairs":
        value = build.value(2, 3)
        shape = build.shape(value)
        i, j = (build.numbers.integers(0, size, size=3) for size in shape[:2])
        build.add("gather", f"{{0}}[{i}, {j}]", lambda v: v[i, j], value)
    else:
        value = build.value(2, 3)
        index = build.numbers.integers(0, build.shape(value)[1], size=build.shape(value)[0])
        build.add("gather", f"vmap(take)({{0}}, {index})", lambda v: jax.vmap(lambda row, i: row[i])(v, index), value)


@operation(count=5)
def scatter(build):
    value = build.value(1, 3)
    shape, axis = build.shape(value), build.axis(value)
    index = build.numbers.integers(0, shape[axis], size=shape[axis])
    how = build.random.choice(["add", "set", "max", "multiply"])
    if how == "set":
        index = build.numbers.permutation(shape[axis])[: build.random.choice([1, shape[axis]])]
    other = build.value(len(shape), len(shape), lambda s: s == shape)

    def function(v, w):
        front, new = jnp.moveaxis(v, axis, 0), jnp.moveaxis(w, axis, 0)[: len(index)]
        return jnp.moveaxis(getattr(front.at[index], how)(jnp.tanh(new)), 0, axis)

    build.add("scatter", f"{{0}}.at[{index}].{how}(tanh({{1}})), axis={axis}", function, value, other)


@operation()
def dynamic(build):
    value = build.value(1, 3, lambda shape: max(shape) > 2)
    shape = build.shape(value)
    axis = build.random.choice([i for i, size in enumerate(shape) if size > 2])
    update = build.random.random() < 0.5

    def function(v):
        start = jnp.argmax(jnp.sum(jnp.abs(v), axis=[i for i in range(v.ndim) if i != axis])) // 2
        part = jax.lax.dynamic_slice_in_dim(v, start, shape[axis] - 1, axis)
        return jax.lax.dynamic_update_slice_in_dim(v, jnp.sin(part), 0, axis) if update else part

    text = f"dynamic_{'update_' if update else ''}slice({{0}}, axis={axis})"
    build.add("gather", text, function, value)


@operation(easy=2)
def recurrent(build):
    """A simple or a gated cell along the first axis of rows."""
    value = build.value(2, 3)
    shape = build.shape(value)
    width = build.length()
    weights = build.weight(shape[-1], width), build.weight(width, width)
    reverse = build.random.random() < 0.3
    last = build.random.random() < 0.4
    start = build.random.choice([0.0, 0.5])

    def function(v, w, u):
        def step(state, row):
            state = jnp.tanh(state @ u + row @ w)
            return state, state

        state, states = jax.lax.scan(step, jnp.full((*shape[1:-1], width), start), v, reverse=reverse)
        return state if last else states

    text = f"recurrent({{0}}, {{1}}, {{2}}, start={start}, reverse={reverse}, last={last})"
    build.add("scan", text, function, value, *weights)


@operation()
def scan(build):
    """The first axis gone along; what is carried is mixed with a row in some way."""
    value = build.value(2, 3)
    shape = build.shape(value)
    kinds = {
        "leaky": lambda c, row: 0.5 * c + row,
        "turned": lambda c, row: jnp.roll(c, 1, -1) + row,
        "maximum": jnp.maximum,
        "transposed": lambda c, row: jnp.tanh(c.T if c.ndim == 2 and c.shape[0] == c.shape[1] else c) + row,
        "summed": lambda c, row: jnp.tanh(jnp.mean(c, -1, keepdims=True)) + row,
        "inner scan": lambda c, row: (
            jax.lax.scan(lambda d, e: (d + jnp.tanh(e), d), jnp.zeros(c.shape[1:]), c)[1] + row
        ),
    }
    kind = build.random.choice([*kinds])

    def function(v):
        return jax.lax.scan(lambda c, row: (kinds[kind](c, row), jnp.sin(c)), jnp.zeros(shape[1:]), v)[1]

    build.add("scan", f"scan of {kind} over {{0}}", function, value)


@operation(easy=1)
def layers_of_a_scan(build):
    value = build.value(1, 2)
    size = build.shape(value)[-1]
    weight = build.weight(build.random.choice([2, size]), size, size)
    function = lambda v, w: jax.lax.scan(lambda c, layer: (jnp.tanh(c @ layer), None), v, w)[0]
    build.add("scan", "layers {1} of a scan on {0}", function, value, weight)


BRANCHES = {
    "same": lambda v: v,
    "negative": lambda v: -v,
    "flipped": lambda v: jnp.flip(v, -1),
    "centred": lambda v: v - 0.5 * jnp.mean(v, -1, keepdims=True),
    "cumsum": lambda v: jnp.cumsum(v, -1),
    "transposed": lambda v: v.T if v.shape == v.shape[::-1] else jnp.cos(v),
    "constant": lambda v: jnp.ones_like(v),
    "softmax": lambda v: jax.nn.softmax(v, -1),
}
HARMLESS = ["same", "negative", "centred", "constant", "softmax"]


def _branches(build, count):
    names = HARMLESS if build.random.random() < 0.7 else [*BRANCHES]
    return [build.random.choice(names) for _ in range(count)]


@operation(easy=1)
def cond(build):
    value, other = build.value(1, 3), build.value(1, 3)
    names = _branches(build, build.random.choice([2, 3]))

    def function(v, w):
        index = jnp.where(jnp.mean(w) > 0, 0, len(names) - 1) if len(names) > 2 else (jnp.sum(w) > 0).astype(int)
        return jax.lax.switch(index, [BRANCHES[name] for name in names], v)

    build.add("cond", f"switch by the mean of {{1}} to {names} of {{0}}", function, value, other)


@operation(easy=1)
def whiles(build):
    value = build.value(1, 3)
    (name,) = _branches(build, 1)
    bound = build.random.choice([2.0, 8.0])

    def function(v):
        going = lambda carried: (jnp.sum(carried[1] ** 2) > bound) & (carried[0] < 5)
        body = lambda carried: (carried[0] + 1, 0.6 * jnp.tanh(BRANCHES[name](carried[1])))
        return jax.lax.while_loop(going, body, (0, v))[1]

    build.add("while", f"while the squares of {{0}} exceed {bound}: {name}", function, value)


@operation(easy=1)
def loop_of_products(build):
    value = build.value(1, 2)
    size = build.shape(value)[-1]
    weight = build.weight(size, size)
    body = lambda i, carried: (jnp.tanh(carried[0] @ carried[1]), carried[1])
    function = lambda v, w: jax.lax.fori_loop(0, jnp.where(v.ravel()[0] > 0, 2, 3), body, (v, w))[0]
    build.add("while", "two or three products of {0} with {1}", function, value, weight)


@operation(count=4)
def sort(build):
    value = build.value(1, 3)
    axis = build.axis(value)
    kind = build.random.choice(["sort", "two", "top_k", "argmax", "argsort"])
    if kind == "sort":
        build.add("sort", f"sort({{0}}, axis={axis})", lambda v: jnp.sort(v, axis), value)
    elif kind == "two":
        other = build.value(1, 3, lambda shape: shape == build.shape(value))
        function = lambda v, w: jax.lax.sort((jnp.sin(5 * v), w), dimension=axis, num_keys=1)[1]
        build.add("sort", f"{{1}} in the order of sin(5 * {{0}}), axis={axis}", function, value, other)
    elif kind == "top_k":
        count = build.random.randint(1, build.shape(value)[-1])
        build.add("sort", f"top_k({{0}}, {count})", lambda v: jax.lax.top_k(v, count)[0], value)
    elif kind == "argmax":
        function = lambda v: v + jnp.expand_dims(jnp.argmax(v, axis), axis)
        build.add("sort", f"{{0}} + argmax({{0}}, axis={axis})", function, value)
    else:
        build.add("sort", f"1 + argsort({{0}}, axis={axis})", lambda v: 1.0 + jnp.argsort(v, axis), value)


@operation(count=2)
def cumulate(build):
    value = build.value(1, 3)
    axis = build.axis(value)
    name = build.random.choice(["cumsum", "cummax", "cumlogsumexp"])
    function = getattr(jax.lax, name)
    build.add("cumulative", f"{name}({{0}}, axis={axis})", lambda v: function(v, axis), value)


def _layout(build, letters):
    return "".join(build.random.sample(letters, len(letters)))


@operation(easy=2)
def convolution(build):
    """Channels, places and samples in any order; plain, grouped, depthwise, strided, dilated."""
    value = build.value(2, 3)
    given = build.shape(value)
    if len(given) == 2:
        given = (1, *given)
    layout = _layout(build, "NWC"), _layout(build, "WIO"), _layout(build, "NWC")
    channels = given[layout[0].index("C")]
    groups = build.random.choice([1, 1, 1, *([2] if channels % 2 == 0 else []), channels])
    made = groups * build.random.choice([1, 2]) if groups > 1 else build.length()
    lengths = {"W": build.random.randint(1, 3), "I": channels // groups, "O": made}
    weight = build.weight(*(lengths[letter] for letter in layout[1]))
    draw = build.random
    padding, dilation = draw.choice([("SAME", 1), ("SAME", 1), ("VALID", 1), ([(2, 0)], 1), ([(1, 1)], 2)])
    settings = {
        "window_strides": (draw.choice([1, 1, 1, 2]),),
        "padding": padding,
        "lhs_dilation": (dilation,),
        "rhs_dilation": (draw.choice([1, 1, 1, 2]),),
        "feature_group_count": groups,
    }
    if groups == 1 and given[layout[0].index("N")] % 2 == 0 and made % 2 == 0 and draw.random() < 0.1:
        settings["batch_group_count"] = 2

    def function(v, w):
        v = v if v.ndim == 3 else v[None]
        return jax.lax.conv_general_dilated(v, w, dimension_numbers=layout, **settings)

    text = f"convolution({{0}}, {{1}}, {layout}, {list(settings.values())})"
    build.add("convolution", text, function, value, weight)


@operation()
def pool(build):
    value = build.value(1, 3)
    axis, rank = build.axis(value), len(build.shape(value))
    window = tuple(2 if i == axis else 1 for i in range(rank))
    strides = tuple(build.random.choice([1, 2]) if i == axis else 1 for i in range(rank))
    padding = build.random.choice(["SAME", "VALID"])
    function = lambda v: jax.lax.reduce_window(v, -jnp.inf, jax.lax.max, window, strides, padding)
    build.add("pool", f"max_pool({{0}}, {window}, {strides}, {padding})", function, value)


@operation(easy=2)
def normalise(build):
    value = build.value(1, 3)
    rank = len(build.shape(value))
    axes = tuple(sorted(build.random.sample(range(rank), build.random.randint(1, rank))))
    kind = build.random.choice(["centre", "standardise", "root mean square", "softmax", "log_softmax"])

    def function(v):
        if kind == "softmax":
            return jax.nn.softmax(v, axes)
        if kind == "log_softmax":
            return jax.nn.log_softmax(v, axes)
        centred = v if kind == "root mean square" else v - 0.9 * jnp.mean(v, axes, keepdims=True)
        return centred if kind == "centre" else centred / jnp.sqrt(0.1 + jnp.mean(centred**2, axes, keepdims=True))

    build.add("normalisation", f"{kind}({{0}}, axes={axes})", function, value)


@operation(easy=1)
def group_norm(build):
    value = build.value(2, 3, lambda shape: shape[-1] % 2 == 0)
    weight = build.weight(build.shape(value)[-1])
    shape = build.shape(value)

    def function(v, w):
        blocks = v.reshape(*shape[:-1], 2, -1)
        blocks = blocks / (0.5 + jnp.std(blocks, axis=-1, keepdims=True))
        return blocks.reshape(shape) * _expand(w, (len(shape) - 1,), len(shape))

    build.add("normalisation", "group_norm({0}, scale={1})", function, value, weight)


@operation(easy=1)
def reduction(build):
    value = build.value(1, 4)
    rank = len(build.shape(value))
    axes = tuple(sorted(build.random.sample(range(rank), 1 if build.random.random() < 0.8 else rank)))
    name, kept = build.random.choice([*REDUCTIONS]), build.random.random() < 0.4
    function = lambda v: REDUCTIONS[name](v, axis=axes, keepdims=kept)
    build.add("reduction", f"{name}({{0}}, axes={axes}, keepdims={kept})", function, value)


@operation(easy=1)
def attention(build):
    """Two heads of products of a value with weights, one of them shared or not."""
    value = build.value(2, 2)
    size = build.shape(value)[-1]
    heads, depth = build.random.choice([(2, 2), (2, 3), (3, 2), (2, build.n)])
    weights = [build.weight(size, heads, depth) for _ in range(3)]

    def function(v, *of):
        query, key, carried = (jnp.einsum("ti,ihd->thd", v, w) for w in of)
        weights = jax.nn.softmax(jnp.einsum("thd,shd->hts", query, key), axis=-1)
        return jnp.einsum("hts,shd->thd", weights, carried)

    build.add("attention", "attention({0}, {1}, {2}, {3})", function, value, *weights)


@operation()
def gradient(build):
    """The programs that JAX derives have operations that nobody writes."""
    value = build.value(2, 2)
    size = build.shape(value)[-1]
    weight = build.weight(size, size)
    index = build.numbers.integers(0, size, size=size)
    kinds = {
        "dense": lambda v, w: jnp.tanh(v @ w),
        "take": lambda v, w: jnp.sin(v[:, index]) @ w,
        "sort": lambda v, w: jnp.sort(v, 1) @ w,
        "cumsum": lambda v, w: jnp.cumsum(v, 1) ** 2 @ w,
        "softmax": lambda v, w: jax.nn.softmax(v, 1) @ w,
        "slice": lambda v, w: jnp.tanh(v[:, 1:]) @ w[1:],
        "scan": lambda v, w: jax.lax.scan(lambda c, row: (jnp.tanh(c @ w + row), c), jnp.zeros(size), v)[1],
        "convolution": lambda v, w: jnp.tanh(
            jax.lax.conv_general_dilated(v[None], w[None], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
        ),
        "max": lambda v, w: jnp.max(v @ w, axis=1),
        "reshape": lambda v, w: jnp.sin(v.reshape(-1)) * (v @ w).reshape(-1),
    }
    kind = build.random.choice([*kinds])
    which = build.random.choice([0, 1])
    function = jax.grad(lambda v, w: jnp.sum(jnp.sin(kinds[kind](v, w))), which)
    build.add("gradient", f"gradient of {kind}({{0}}, {{1}}) by {('{0}', '{1}')[which]}", function, value, weight)
