"""The tasks: networks, fitness, and the score by which networks are compared, on test data or fresh episodes."""

import dataclasses
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import evojax_align as ea
from evojax_align._types import Array, PRNGKey, PyTree
from evojax_align.data import Dataset, embedded
from evojax_align.evolution import adapters, tasks

SUPERVISED = ("digits", "images", "M2N2")
ALL = 10**9
PROBE, SEQUENCES = 256, (8, 32)
"""Random inputs on which neurons are compared, and sequences of them for a recurrent network."""
SPECIES = 64
"""Observations of each episode that are kept."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        title: for figures.
        evaluations: of networks in one run, besides the founders.
        every: evaluations between two scores.
        size: members.
        children: in a generation, elites that are evaluated again among them.
        elites: members that may stay.
        width: of the hidden layer.
        threshold: of the score, stated before the runs.
        floor: the score that counts as 0 in ratios and over tasks.
        top: the score that counts as 1 over tasks.
        noisy: whether elites are evaluated again.
        control: of control: the task, and that of the score; or a function that makes them.
        founders: unrelated networks among the founders; 0 if all are.
        drawn: standard deviation of all parameters of founders; 0 for the initialisation of the network.
        needs: a package without which the task is left out.
    """

    title: str
    evaluations: int
    every: int
    size: int
    children: int
    elites: int
    width: int
    threshold: float
    floor: float
    top: float
    noisy: bool = False
    control: tuple[Any, ...] | Callable[[], tuple[Any, Any]] = ()
    founders: int = 0
    drawn: float = 0.0
    needs: str = ""

    @property
    def missing(self) -> bool:
        """Whether the package is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None


def environments(name: str, limit: int) -> tuple[Any, Any]:
    """An environment of gymnax for the fitness, and for the score."""
    return adapters.Gymnax(name, starts=2, limit=limit), adapters.Gymnax(name, starts=16, limit=limit)


GENETIC: dict[str, Any] = {"size": 64, "children": 64, "elites": 4, "every": 256, "width": 32}
RECURRENT: dict[str, Any] = GENETIC | {"every": 512, "width": 16}
TASKS = {
    "digits": Task("handwritten digits", 5000, 200, 20, 1, 20, 256, threshold=0.6, floor=0.1, top=1.0),
    "images": Task("images", 12_800, 512, 64, 64, 4, 32, threshold=0.6, floor=0.1, top=1.0, noisy=True),
    "swing-up": Task(
        "swing-up",
        6400,
        **GENETIC,
        threshold=300.0,
        floor=0.0,
        top=500.0,
        noisy=True,
        control=(tasks.SwingUp(starts=2, limit=500), tasks.SwingUp(starts=16, limit=500)),
    ),
    "double pole": Task(
        "double pole",
        6400,
        **GENETIC,
        threshold=1000.0,
        floor=0.0,
        top=1000.0,
        control=(tasks.DoublePole(limit=1000),) * 2,
    ),
    "acrobot": Task(
        "acrobot",
        3840,
        **GENETIC,
        threshold=-75.0,
        floor=-200.0,
        top=0.0,
        noisy=True,
        control=(tasks.Acrobot(starts=2, limit=200), tasks.Acrobot(starts=16, limit=200)),
    ),
    "double pole, no velocities": Task(
        "double pole, no velocities",
        12_800,
        **RECURRENT,
        threshold=0.1,
        floor=0.0,
        top=1.0,
        control=(tasks.DoublePole(velocities=False),) * 2,
    ),
    "M2N2": Task(
        "handwritten digits, the settings of M2N2",
        50_000,
        2000,
        20,
        1,
        20,
        256,
        threshold=0.8,
        floor=0.1,
        top=1.0,
        founders=2,
        drawn=0.01,
    ),
    "cart-pole": Task(
        "cart-pole, gymnax",
        3840,
        **GENETIC,
        threshold=475.0,
        floor=0.0,
        top=500.0,
        noisy=True,
        needs="gymnax",
        control=partial(environments, "CartPole-v1", 500),
    ),
    "breakout": Task(
        "MinAtar's Breakout, gymnax",
        6400,
        **GENETIC,
        threshold=5.0,
        floor=0.0,
        top=10.0,
        noisy=True,
        needs="gymnax",
        control=partial(environments, "Breakout-MinAtar", 500),
    ),
}
"""Elites of tasks with chance are evaluated again in every generation. A score of control is the mean over 16 fresh
episodes, of at most 500 steps in cart-pole and Breakout. Double pole has one start, so that its score is the fitness:
steps in which the poles stay up, at most 1000, or, without velocities, the fitness of Gruau et al., at least 0.1 for a
network that keeps them up.

The task "M2N2" has the settings of that program: pixels from 0 to 16, the first four fifths of the images to evolve on,
the others for the score, two founders whose parameters are all drawn with a standard deviation of 0.01, and the same
noise as mutation (see `tuned`)."""


class Judge:
    """One task with its network of one width: how networks are drawn, evaluated, and scored."""

    def __init__(self, name: str, data: Dataset, width: int = 0) -> None:
        self.task = TASKS[name]
        self.width = width or self.task.width
        self.data: PyTree = None
        self.recurrent = name == "double pole, no velocities"
        if self.task.control:
            train, test = self.task.control() if callable(self.task.control) else self.task.control
            inputs, outputs = len(train.INPUTS), train.OUTPUTS
            if self.recurrent:
                self.network: Any = ea.models.Recurrent(hidden=self.width, outputs=outputs)
            else:
                self.network = ea.models.MLP(hidden=(self.width,), classes=outputs, output_bias=True)
            policy = self.network if self.recurrent else self.network.apply
            self.fitness: Any = train.fitness(policy, visited=SPECIES)
            self.unseen = train.fitness(policy, visited=0)
            self.like = jnp.zeros((1, 1, inputs) if self.recurrent else (1, inputs))
            self._score: Any = test.fitness(policy, visited=0)
        else:
            parts = published(data) if name == "M2N2" else (data.train, data.validation, data.test)
            self.data, self.validation, self.test = (tuple(map(jnp.asarray, part)) for part in parts)
            self.network = ea.models.MLP(hidden=(self.width,), classes=data.num_classes, output_bias=name == "M2N2")
            self.fitness = tasks.Supervised(batch=500 if name == "images" else ALL).fitness(self.network.apply)
            self.unseen = self.fitness
            self.like = self.data[0][:1]
            self._score = tasks.Supervised(batch=ALL).fitness(self.network.apply)
        self.apply: Callable[..., Any] = self.network.apply
        self.draw = partial(drawn, self.network, self.like, self.task.drawn)

    def score(self, key: PRNGKey, params: PyTree, test: PyTree) -> Array:
        """The score of one network; that of one that failed is the floor."""
        found = self._score(key, params) if test is None else self._score(key, params, test)
        return jnp.nan_to_num(found.fitness, nan=self.task.floor)

    @property
    def held_out(self) -> PyTree:
        """The data of the score."""
        return None if self.data is None else self.test

    @property
    def kept(self) -> PyTree:
        """The data on which settings are tuned."""
        return None if self.data is None else self.validation

    def random_inputs(self, key: PRNGKey) -> Array:
        """Inputs that are drawn at random: normal, or pixels from 0 to 1."""
        if self.data is not None:
            return jax.random.uniform(key, (PROBE, *self.like.shape[1:]), maxval=jnp.max(self.data[0]))
        shape = (*SEQUENCES, self.like.shape[-1]) if self.recurrent else (PROBE, self.like.shape[-1])
        return jax.random.normal(key, shape)

    def seen(self, key: PRNGKey, *networks: PyTree) -> PyTree:
        """Inputs that networks see: states that they visited, or samples of the data."""
        if self.data is not None:
            chosen = jax.random.choice(key, self.data[1].shape[0], (PROBE,), replace=False)
            return self.data[0][chosen]
        return jnp.concatenate([self.fitness(key, params).states for params in networks])


def drawn(network: Any, like: Array, deviation: float, key: PRNGKey) -> PyTree:
    """The parameters of one network: all normal, where there is a deviation."""
    params = network.init(key, like)
    if not deviation:
        return params
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [deviation * jax.random.normal(of, leaf.shape) for of, leaf in zip(keys, leaves, strict=True)]
    return structure.unflatten(drawn)


def published(data: Dataset) -> tuple[tuple, tuple, tuple]:
    """Handwritten digits as M2N2 cuts them; the last two parts are the same."""
    x, y = embedded.digits().train
    x, cut = 16 * x.reshape(len(x), *data.image_shape), int(0.8 * len(x))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:]), (x[cut:], y[cut:])
