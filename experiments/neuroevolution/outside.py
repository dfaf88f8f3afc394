"""Evolution strategies of evosax, as algorithms of this study. The only place that knows that package."""

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evojax_align import population
from evojax_align._types import Array, PRNGKey, PyTree

WORST = 1e9
NAMES = {"open_es": "Open_ES", "sep_cma_es": "Sep_CMA_ES"}


def strategy(
    name: str, draw: Callable[[PRNGKey], PyTree], fitness: Callable[..., Any], *, size: int, scale: float
) -> "Strategy | None":
    """A strategy of evosax; None where that package is not installed.

    Args:
        name: "open_es" or "sep_cma_es".
        draw: draws one network, where the search begins.
        fitness: of one network; larger is better.
        size: networks in a generation, an even number.
        scale: the standard deviation of the search at the beginning.
    """
    if importlib.util.find_spec("evosax") is None:
        return None
    kind = getattr(importlib.import_module("evosax.algorithms"), NAMES[name])
    like = draw(jax.random.key(0))
    if name == "open_es":
        found = kind(size, like, optimizer=optax.adam(scale / 2), std_schedule=optax.constant_schedule(scale))
        return Strategy(found, found.default_params, draw, fitness, size)
    found = kind(size, like)
    return Strategy(found, found.default_params.replace(std_init=scale), draw, fitness, size)


@dataclasses.dataclass(frozen=True, eq=False)
class Strategy:
    """A strategy with the methods that the study calls.

    Attributes:
        strategy: of evosax.
        params: its parameters.
        draw: draws the first mean.
        fitness: of one network.
        asked: evaluations in a generation.
    """

    strategy: Any
    params: Any
    draw: Callable[[PRNGKey], PyTree]
    fitness: Callable[..., Any]
    asked: int

    def init(self, key: PRNGKey, data: PyTree) -> PyTree:
        """The state around one network that is drawn."""
        key_draw, key_init = jax.random.split(key)
        state = self.strategy.init(key_init, self.draw(key_draw), self.params)
        return jax.tree.map(jnp.asarray, (state, jnp.array(0, jnp.int32)))

    def step(self, key: PRNGKey, state: PyTree, data: PyTree) -> tuple[PyTree, dict[str, Array]]:
        """One generation."""
        state, number = state
        key_ask, key_judge, key_tell = jax.random.split(jax.random.fold_in(key, number), 3)
        asked, state = self.strategy.ask(key_ask, state, self.params)

        def one(params: PyTree) -> Array:
            return self.fitness(key_judge, params, *(() if data is None else (data,))).fitness

        values = population.map(one, asked, chunk=self.asked if data is None else None)
        costs = jnp.where(jnp.isnan(values), WORST, -values)
        state, _ = self.strategy.tell(key_tell, asked, costs, state, self.params)
        return (state, number + 1), {"unrelated": jnp.array(0.0)}

    def fittest(self, state: PyTree) -> PyTree:
        """The mean of the search, which is scored."""
        return self.strategy.get_mean(state[0])
