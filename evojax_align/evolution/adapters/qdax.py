"""Variation of aligned parents, and mutation, in the form that emitters of QDax take.

Chalumeau, F. et al. QDax: A library for quality-diversity and population-based algorithms with hardware acceleration.
JMLR 25 (2024).
"""

import dataclasses
import importlib.metadata
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from evojax_align import _checks, population
from evojax_align._types import Apply, PRNGKey, PyTree
from evojax_align.alignment import Identity, Method
from evojax_align.alignment.many import align_to
from evojax_align.evolution.neuroevolution.mating import RANDOM, Aligned, Crossover, named
from evojax_align.evolution.neuroevolution.mutating import Function, Gaussian, Mutation
from evojax_align.symmetry import PermutationSpec, permute, random_permutations
from evojax_align.symmetry.checking import ensure_symmetry
from evojax_align.symmetry.inference import remembered

EXTRA = "qdax"
ALONE = (0, 5)
"""From this version on, emitters take only children; before it, they take children and a key."""


def variation(
    apply: Apply,
    x: PyTree,
    *,
    method: str | Method = "mutual",
    crossover: str | Crossover = "neurons",
    spec: PermutationSpec | None = None,
    chunk: int | Literal["auto"] | None = None,
    gives_key: bool | None = None,
) -> "Variation":
    """A `variation_fn` for emitters of QDax, such as `MixingEmitter`, whose parents are aligned before they recombine.

    QDax 0.5 takes only children from it, although its annotations differ; QDax 0.4 takes children and a key.

    Args:
        apply: the network.
        x: inputs on which neurons are compared.
        method: a bijective method of `align`, "none", or "random", the control that gives the second parent's neurons
            a random order.
        crossover: a name that `Neuroevolution` takes, or a function `crossover(key, a, b)` of one pair.
        spec: the symmetry of the network; inferred by default.
        chunk: pairs at once (see `population.map`).
        gives_key: whether to return a key too; by default as the installed QDax expects.

    Returns:
        A function of two populations of parents and a key. For each pair it returns
        `crossover(key, a, align(apply, a, b, x).b)`, with its own key of `jax.random.split(key, pairs)`. With
        `gives_key`, it also returns a key.

    Raises:
        ValueError: for a method that is not bijective, an unknown crossover, or a network without groups of neurons.

    Example:
        >>> import jax, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(8,), classes=2), jax.random.normal(jax.random.key(0), (32, 3))
        >>> x1 = ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 4)
        >>> vary = ea.evolution.adapters.variation(network.apply, x, gives_key=False)
        >>> children = vary(x1, x1, jax.random.key(2))  # of equal parents
        >>> all(bool((p == q).all()) for p, q in zip(jax.tree.leaves(children), jax.tree.leaves(x1)))
        True

    References:
        Uriot, T. and Izzo, D. Safe crossover of neural networks through neuron alignment. GECCO 2020.
    """
    _checks.network(apply)
    _checks.inputs("x", x)
    named(crossover, None)
    when = Aligned(method)
    return Variation(apply, x, when.method, crossover, spec, chunk, _gives_key(gives_key))


def mutation(
    kind: float | Callable | Mutation, apply: Apply | None = None, x: PyTree = None, *, gives_key: bool | None = None
) -> "Mutating":
    """A `mutation_fn` for emitters of QDax.

    Args:
        kind: as `Neuroevolution.mutation`: a standard deviation, a function `mutation(key, params)`, or a value.
        apply: the network, for safe mutation.
        x: inputs of the network, for safe mutation.
        gives_key: as in `variation`.

    Returns:
        A function of a population and a key.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> mutate = ea.evolution.adapters.mutation(0.1, gives_key=False)
        >>> round(float(mutate({"w": jnp.ones((4, 1000))}, jax.random.key(0))["w"].std()), 1)
        0.1
    """
    if isinstance(kind, bool) or (not isinstance(kind, int | float | Mutation) and not callable(kind)):
        expected = "a number, a function mutation(key, params), or a Mutation"
        raise _checks.bad("kind", repr(kind)[:80], expected, "Pass, for example, 0.05.")
    if isinstance(kind, int | float):
        kind = Gaussian(_checks.deviation("kind", float(kind)))
    elif not isinstance(kind, Mutation):
        kind = Function(kind)
    if kind.compares:
        if apply is None:
            raise _checks.bad("apply", None, "the network", "Safe mutation needs it.")
        _checks.inputs("x", x)
    return Mutating(kind, apply, x, _gives_key(gives_key))


@dataclasses.dataclass(frozen=True, eq=False)
class Variation:
    """See `variation`.

    Attributes:
        apply: the network.
        x: inputs on which neurons are compared.
        method: the method that aligns the second parent.
        crossover: the crossover of one pair.
        spec: the symmetry of the network, if given.
        chunk: pairs at once.
        gives_key: whether to return a key too.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(8,), classes=2)
        >>> ea.evolution.adapters.variation(network.apply, jnp.ones((4, 3)), method="random").method
        'random'
    """

    apply: Apply
    x: PyTree
    method: str | Method
    crossover: str | Crossover
    spec: PermutationSpec | None
    chunk: int | Literal["auto"] | None
    gives_key: bool

    def __call__(self, x1: PyTree, x2: PyTree, key: PRNGKey) -> Any:
        """Children of pairs of parents."""
        _checks.same_trees("x1", x1, "x2", x2)
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), x1)
        aligned, spec = not isinstance(self.method, Identity), self.spec
        if aligned or self.crossover == "neurons":
            spec = spec or remembered(self.apply, one, self.x)
            if not spec.groups:
                fix = "Pass method='none' and crossover='uniform'."
                raise _checks.bad("apply", "a network in which no axis can be permuted", "groups of neurons", fix)
            ensure_symmetry(self.spec, self.apply, one, self.x)
        cross = named(self.crossover, spec)

        def child(key: PRNGKey, a: PyTree, b: PyTree) -> PyTree:
            if self.method == RANDOM:
                assert spec is not None  # inferred above
                key, key_order = jax.random.split(key)
                b = permute(spec, b, random_permutations(spec, key_order))
            elif aligned:
                found = align_to(self.apply, a, population.stack([b]), self.x, method=self.method, spec=spec)
                b = population.take(found.networks, 0)
            return cross(key, a, b)

        keys, rest = _keys(key, population.size(x1), self.gives_key)
        children = population.map(child, keys, x1, x2, chunk=self.chunk)
        return (children, rest) if self.gives_key else children


@dataclasses.dataclass(frozen=True, eq=False)
class Mutating:
    """See `mutation`.

    Attributes:
        kind: the mutation.
        apply: the network, for safe mutation.
        x: inputs of the network.
        gives_key: whether to return a key too.

    Example:
        >>> import evojax_align as ea
        >>> ea.evolution.adapters.mutation(0.1).kind
        Gaussian(scale=0.1, relative=False)
    """

    kind: Mutation
    apply: Apply | None
    x: PyTree
    gives_key: bool

    def __call__(self, x: PyTree, key: PRNGKey) -> Any:
        """Return mutated networks."""
        keys, rest = _keys(key, population.size(x), self.gives_key)
        changed = population.map(lambda key, params: self.kind.mutated(key, params, self.apply, self.x), keys, x)
        return (changed, rest) if self.gives_key else changed


def _keys(key: PRNGKey, count: int, gives_key: bool) -> tuple[Any, Any]:
    """A key for each pair and one to return, of the given kind."""
    if gives_key:
        key, used = jax.random.split(key)
        return jax.random.split(_checks.key("key", used), count), key
    return jax.random.split(_checks.key("key", key), count), None


def _gives_key(given: bool | None) -> bool:
    """The given value, or what the installed QDax expects."""
    if given is not None:
        return given
    try:
        version = importlib.metadata.version("qdax")
    except importlib.metadata.PackageNotFoundError:
        _checks.extra("qdax", EXTRA)  # raises
        return False
    return tuple(int(part) for part in version.split(".")[:2]) < ALONE
