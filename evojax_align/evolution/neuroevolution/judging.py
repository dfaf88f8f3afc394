"""Tracing of fitness functions, so that equal code is compiled once even if the function is a new object."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._types import Array, PRNGKey, PyTree
from evojax_align.evolution.evaluation import Evaluation

KEPT = 32
"""Number of traces that are cached."""

LOOKS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
"""The errors that JAX raises if a traced function needs concrete values."""

_traces: OrderedDict[Any, tuple["Program", list[Any]]] = OrderedDict()


class Program:
    """A traced fitness function, which is equal to others with the same operations.

    The arrays that the function closes over are not part of it: they are passed at each call.

    Attributes:
        shapes: the shapes of its result, as an `Evaluation`.
    """

    def __init__(self, jaxpr: Any, out: Any) -> None:
        self.jaxpr, self.out, self.shapes = jaxpr, jax.tree.structure(out), out
        text = str(jaxpr)
        # callbacks and jitted functions inside are printed without what they close over
        self.key = (text, self.out, jaxpr if "callback" in text else tuple(map(_content, _nested(jaxpr))))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key

    @property
    def dtype(self) -> Any:
        """The dtype of the fitness."""
        return self.shapes.fitness.dtype

    def __call__(self, constants: list[Any], key: PRNGKey, params: PyTree, data: PyTree) -> Evaluation:
        """Evaluate one network."""
        run = core.jaxpr_as_fun(core.ClosedJaxpr(self.jaxpr, constants))
        return jax.tree.unflatten(self.out, run(*jax.tree.leaves((key, params, data))))


def traced(fitness: Callable[..., Any], key: PRNGKey, params: PyTree, data: PyTree) -> tuple[Program, list[Any]]:
    """The program of a fitness function for networks of these shapes, and the arrays that the function closes over.

    Raises:
        ValueError: for a function that is not traceable, or that returns neither a number nor an `Evaluation`.
    """
    if not callable(fitness):
        fix = "Pass fitness(key, params) or fitness(key, params, data)."
        raise _checks.bad("fitness", repr(fitness)[:80], "a function", fix)
    key, params, data = jax.tree.map(jnp.asarray, (key, params, data))
    leaves, structure = jax.tree.flatten((key, params, data))
    types = (str(jax.typeof(leaf)) for leaf in leaves)  # inside `shard_map`, with the devices that they vary over
    known = (_identity(fitness), structure, *types, _wide())
    if known in _traces:
        _traces.move_to_end(known)
        return _traces[known]

    def evaluate(key: PRNGKey, params: PyTree, data: PyTree) -> Evaluation:
        return evaluation(fitness(key, params) if data is None else fitness(key, params, data))

    try:
        closed, out = jax.make_jaxpr(evaluate, return_shape=True)(key, params, data)
    except LOOKS as error:
        fix = "Evaluate it outside: population, state = ask(key, state), then tell(key, population, values, state)."
        came = f"a function that needs concrete values ({str(error).splitlines()[0][:120]})"
        raise _checks.bad("fitness", came, "a function that JAX can trace", fix) from error
    found = Program(closed.jaxpr, out), list(closed.consts)
    if _checks.is_concrete(closed.consts):
        _traces[known] = found
        if len(_traces) > KEPT:
            _traces.popitem(last=False)
    return found


def _nested(jaxpr: Any) -> Iterator[Any]:
    """The arrays that functions inside a program close over."""
    programs = (core.ClosedJaxpr, core.Jaxpr)
    for equation in jaxpr.eqns:
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda of: isinstance(of, programs)):
            if isinstance(value, core.ClosedJaxpr):
                yield from value.consts
            if isinstance(value, programs):
                yield from _nested(value.jaxpr if isinstance(value, core.ClosedJaxpr) else value)


def _content(value: Any) -> Any:
    """A hashable stand-in for the values of an array; unique if the values are not known."""
    if not _checks.is_concrete(value):
        return value
    if jnp.issubdtype(jnp.result_type(value), jax.dtypes.prng_key):
        return str(jnp.result_type(value)), _content(jax.random.key_data(value))
    plain = np.asarray(value)
    return plain.shape, str(plain.dtype), hashlib.sha256(plain.tobytes()).hexdigest()


def _wide() -> bool:
    """Whether 64-bit numbers are enabled, which a trace depends on."""
    return jnp.result_type(float) == jnp.float64


def _identity(fitness: Callable) -> Any:
    try:
        hash(fitness)
    except TypeError as error:
        fix = "Wrap it once: def fitness(key, params): ..."
        raise _checks.bad("fitness", f"an object without a hash ({error})", "a function", fix) from error
    return fitness


def evaluation(found: Any) -> Evaluation:
    """The result of a fitness function as an `Evaluation`, with the fitness in at least 32 bits."""
    if not isinstance(found, Evaluation):
        found = Evaluation(found)
    value = found.fitness
    shape = jnp.shape(value) if isinstance(value, int | float) or hasattr(value, "dtype") else None
    if shape != ():
        came = f"{type(value).__name__}" if shape is None else f"an array of shape {shape}"
        fix = "Take a mean, or return evolution.Evaluation(fitness=number, scores=..., states=...)."
        raise _checks.bad("fitness", came, "one number, or an Evaluation", fix)
    if jnp.issubdtype(jnp.result_type(value), jnp.complexfloating):
        raise _checks.bad("fitness", "a complex number", "a real one", "Take its real part, or its absolute value.")
    dtype = jnp.promote_types(jnp.result_type(value), jnp.float32)
    return Evaluation(jnp.asarray(value, dtype), found.scores, found.states)


def evaluate_all(
    program: Program,
    constants: list[Any],
    key: PRNGKey,
    members: PyTree,
    data: PyTree,
    *,
    samples: int,
    chunk: int | Literal["auto"] | None,
    mesh: Mesh | None,
) -> Evaluation:
    """Evaluate every network with the same key; the mean over `samples` evaluations."""

    def one(params: PyTree) -> Evaluation:
        if samples == 1:
            return program(constants, key, params, data)
        return mean(population.map(lambda key: program(constants, key, params, data), jax.random.split(key, samples)))

    return population.map(one, members, chunk=chunk, mesh=mesh)


def mean(evaluations: Evaluation) -> Evaluation:
    """Combine several evaluations of one network: means of the numbers, and the states of the first."""

    def over(leaf: Array) -> Array:
        return jnp.mean(leaf, axis=0)

    states = jax.tree.map(lambda leaf: leaf[0], evaluations.states)
    return Evaluation(over(evaluations.fitness), jax.tree.map(over, evaluations.scores), states)
