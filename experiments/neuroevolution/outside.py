"""Evolution strategies of evosax, as algorithms of this study."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evojax_align._types import Array, PRNGKey, PyTree
from evojax_align.evolution import adapters

NAMES = {"open_es": "Open_ES", "sep_cma_es": "Sep_CMA_ES"}


def strategy(
    name: str,
    draw: Callable[[PRNGKey], PyTree],
    fitness: Callable[..., Any],
    *,
    size: int,
    scale: float,
    chunk: int | None = None,
) -> "Strategic | None":
    """A strategy of evosax; None where that package is not installed.

    Args:
        name: "open_es" or "sep_cma_es".
        draw: draws one network, where the search begins.
        fitness: of one network; larger is better.
        size: networks in a generation, an even number.
        scale: the standard deviation of the search at the beginning.
        chunk: networks evaluated at once (see `population.map`).
    """
    if importlib.util.find_spec("evosax") is None:
        return None
    options = {"optimizer": optax.adam(scale / 2)} if name == "open_es" else {}
    found = adapters.Strategy(NAMES[name], size, deviation=scale, options=options, chunk=chunk)
    return Strategic(found, draw, fitness)


@dataclasses.dataclass(frozen=True, eq=False)
class Strategic:
    """A strategy with the methods that the study calls.

    Attributes:
        strategy: with the interface of `Neuroevolution`.
        draw: draws the first mean.
        fitness: of one network.
    """

    strategy: adapters.Strategy
    draw: Callable[[PRNGKey], PyTree]
    fitness: Callable[..., Any]

    @property
    def asked(self) -> int:
        """Evaluations in a generation."""
        return self.strategy.size

    def init(self, key: PRNGKey, data: PyTree) -> PyTree:
        """The state around one network that is drawn."""
        return self.strategy.init(key, self.draw)

    def step(self, key: PRNGKey, state: PyTree, data: PyTree) -> tuple[PyTree, dict[str, Array]]:
        """One generation."""
        state, _ = self.strategy.step(jax.random.fold_in(key, state.generation), state, self.fitness, data)
        return state, {"crossed": jnp.array(0), "unrelated": jnp.array(0)}

    def fittest(self, state: PyTree) -> PyTree:
        """The mean of the search, which is scored."""
        return self.strategy.mean(state)
