"""Mutation operators. Your own is a function `mutation(key, params)`, or inherits from `Mutation`."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from evojax_align import _checks
from evojax_align._types import PRNGKey, PyTree
from evojax_align.crossover import layer_genes
from evojax_align.evolution import mutation
from evojax_align.evolution.mutation.safe_gradient import KINDS


class Mutation:
    """A random change of one network. Instances must be hashable, as frozen dataclasses are.

    Attributes:
        compares: whether the mutation runs the network on inputs (`Neuroevolution.probe`).

    Example:
        >>> import dataclasses, jax, jax.numpy as jnp, evojax_align as ea
        >>> @dataclasses.dataclass(frozen=True)
        ... class Shrinking(ea.evolution.Mutation):
        ...     def mutated(self, key, params, apply, x):
        ...         return jax.tree.map(lambda leaf: 0.5 * leaf, params)
        >>> ga = ea.evolution.Neuroevolution(size=2, elites=0, mutation=Shrinking())
        >>> state = ga.init(jax.random.key(0), {"w": jnp.array([8.0, 8.0])})
        >>> for _ in range(3):
        ...     state, _ = ga.step(jax.random.key(1), state, lambda key, params: params["w"])
        >>> state.members["w"].tolist()
        [2.0, 2.0]
    """

    compares: ClassVar[bool] = False

    def mutated(self, key: PRNGKey, params: PyTree, apply: Any, x: PyTree) -> PyTree:
        """Return the mutated network."""
        raise NotImplementedError(f"{type(self).__name__} does not define `mutated`")


@dataclasses.dataclass(frozen=True)
class Function(Mutation):
    """A function `mutation(key, params)`.

    Attributes:
        function: a function of a key and a network.
    """

    function: Callable[[PRNGKey, PyTree], PyTree]

    def mutated(self, key: PRNGKey, params: PyTree, apply: Any, x: PyTree) -> PyTree:
        """Return the mutated network."""
        return self.function(key, params)


@dataclasses.dataclass(frozen=True)
class Gaussian(Mutation):
    """Gaussian noise on every weight.

    Attributes:
        scale: its standard deviation.
        relative: whether the scale is relative to the root mean square of each leaf.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> params = {"small": {"w": jnp.full(1000, 0.1)}, "large": {"w": jnp.full(1000, 10.0)}}
        >>> mutation = ea.evolution.Gaussian(0.1, relative=True)
        >>> new = mutation.mutated(jax.random.key(0), params, None, None)
        >>> round(float(new["small"]["w"].std()), 2), round(float(new["large"]["w"].std()))
        (0.01, 1)
    """

    scale: float = 0.05
    relative: bool = False

    def __post_init__(self) -> None:
        _checks.deviation("scale", self.scale)

    def mutated(self, key: PRNGKey, params: PyTree, apply: Any, x: PyTree) -> PyTree:
        """Return the mutated network."""
        if self.relative:
            return mutation.gaussian(key, params, layer_genes(params), scale=self.scale)
        return mutation.isotropic(key, params, scale=self.scale)


@dataclasses.dataclass(frozen=True)
class SafeGradient(Mutation):
    """Gaussian noise, smaller for weights to which the outputs on the probe are more sensitive (SM-G, Lehman et al.).

    Attributes:
        scale: standard deviation of the noise of a weight of sensitivity 1.
        kind: the kind of sensitivity (see `mutation.safe_gradient`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> safe, params = ea.evolution.SafeGradient(0.1), {"w": jnp.ones(1000)}
        >>> apply = lambda params, x: x * 5 * params["w"][None]
        >>> new = safe.mutated(jax.random.key(0), params, apply, jnp.ones((20, 1)))
        >>> round(float(new["w"].std()), 2)  # 0.1, divided by the sensitivity
        0.02

    References:
        Lehman, J., Chen, J., Clune, J. and Stanley, K. O. (2018). Safe mutations for deep and recurrent neural
        networks through output gradients. GECCO.
    """

    compares: ClassVar[bool] = True
    scale: float = 0.05
    kind: str = "absolute"

    def __post_init__(self) -> None:
        _checks.deviation("scale", self.scale)
        _checks.one_of("kind", self.kind, KINDS)

    def mutated(self, key: PRNGKey, params: PyTree, apply: Any, x: PyTree) -> PyTree:
        """Return the mutated network."""
        return mutation.safe_gradient(key, apply, params, x, scale=self.scale, kind=self.kind)


@dataclasses.dataclass(frozen=True)
class SafeRescaling(Mutation):
    """Gaussian noise, scaled so that the outputs on the probe change by a given amount (SM-R, Lehman et al.).

    Attributes:
        divergence: the change of the outputs (see `mutation.safe_rescaling`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply, x = lambda params, x: x @ params["w"], jnp.ones((20, 3))
        >>> mutation = ea.evolution.SafeRescaling(0.01)
        >>> new = mutation.mutated(jax.random.key(0), {"w": jnp.ones((3, 2))}, apply, x)
        >>> round(float(jnp.mean((apply(new, x) - 3.0) ** 2)), 3)
        0.01

    References:
        Lehman, J., Chen, J., Clune, J. and Stanley, K. O. (2018). Safe mutations for deep and recurrent neural
        networks through output gradients. GECCO.
    """

    compares: ClassVar[bool] = True
    divergence: float = 0.1

    def __post_init__(self) -> None:
        _checks.above_zero("divergence", self.divergence)

    def mutated(self, key: PRNGKey, params: PyTree, apply: Any, x: PyTree) -> PyTree:
        """Return the mutated network."""
        return mutation.safe_rescaling(key, apply, params, x, divergence=self.divergence)
