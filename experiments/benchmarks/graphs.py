"""What a generation of weight agnostic networks costs, beside loops over networks and their nodes in NumPy.

Graphs have grown by so many changes each, as they would in a search. "matrices" is the loop of the authors' program:
for each network, each weight and each node the product of all that was said so far with a column of a matrix. "rows"
adds up only what leads to a node, for all weights at once.

python -m experiments.benchmarks.graphs --out experiments/benchmarks/results/graphs.json
"""

import argparse
import dataclasses
import statistics
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import lab
from evojax_align.evolution import Wann, graph, tasks
from evojax_align.evolution.wann import wann
from evojax_align.evolution.wann.graph import Graph
from experiments.benchmarks.timing import store, time_of, times_compiled

INPUTS, CLASSES = 256, 10
PLAIN = {
    "linear": lambda x: x,
    "sine": lambda x: np.sin(np.pi * x),
    "gaussian": lambda x: np.exp(-x * x / 2),
    "tanh": np.tanh,
    "sigmoid": lambda x: (np.tanh(x / 2) + 1) / 2,
    "inverse": lambda x: -x,
    "absolute": np.abs,
    "relu": lambda x: np.maximum(x, 0),
    "cosine": lambda x: np.cos(np.pi * x),
}


def main(argv: list[str] | None = None) -> int:
    """Time generations, and single networks in loops, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=960)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--changes", type=int, nargs="+", default=[0, 200, 800])
    parser.add_argument("--looped", type=int, default=3, help="networks that the loops run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    lab.use_all_cores()
    key_x, key_y = jax.random.split(jax.random.key(0))
    data = jax.random.uniform(key_x, (5000, INPUTS)), jax.random.randint(key_y, (5000,), 0, CLASSES)
    task = tasks.Classification(arguments.batch)
    settings = {"size": arguments.size, "hidden": 512, "mesh": ea.population.devices()}
    search = Wann(INPUTS, CLASSES, task, enabled=0.05, **settings)
    rows = []
    for changes in arguments.changes:
        state = search.init(jax.random.key(1), data)
        keys = jax.random.split(jax.random.key(2), arguments.size)
        members = ea.population.map(partial(changed, search, changes), keys, state.members)
        state = dataclasses.replace(state, members=members)
        rows.append({"changes": changes} | measured(search, state, data, arguments))
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    store(arguments.out, rows, {"size": arguments.size, "batch": arguments.batch, "repeats": arguments.repeats})
    return 0


def changed(search: Wann, changes: int, key: Any, one: Graph) -> Graph:
    """A graph after so many nodes or connections more."""

    def grow(number: Any, one: Graph) -> Graph:
        own = jax.random.fold_in(key, number)
        event = 10_000 + 2 * number
        ways = [lambda: graph.connect(own, one, event), lambda: graph.split(own, one, len(search.activations), event)]
        return jax.lax.switch(number % 2, ways)

    return jax.lax.fori_loop(0, changes, grow, one)


def measured(search: Wann, state: Any, data: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a generation, and how many times longer the loops would take."""
    keys = iter(jax.random.split(jax.random.key(3), 100))
    x = np.asarray(data[0][: arguments.batch])
    some = [ea.population.take(state.members, place) for place in range(arguments.looped)]
    alike = []  # not all: a deep graph of sines makes much of a rounding error
    for member in some:
        answers = np.asarray(search.forward(member)(jnp.asarray(x)[None]))
        alike += [np.isclose(way(search, member, x), answers, rtol=1e-2, atol=1e-2).mean() for way in (matrices, rows)]
    time_of(lambda: search.step(next(keys), state, data))
    found = {"generation": [], "breeding": [], "matrices": [], "rows": []}
    for _ in range(arguments.repeats):
        found["generation"].append(time_of(lambda: search.step(next(keys), state, data)))
        found["breeding"].append(time_of(lambda: wann._bred(search, next(keys), state)))
        for name, way in (("matrices", matrices), ("rows", rows)):
            spent = time_of(lambda way=way: [way(search, member, x) for member in some])
            found[name].append(spent / arguments.looped * arguments.size)
    seconds = {name: statistics.median(times) for name, times in found.items()}
    return {
        "connections": int(jnp.mean(state.members.connections)),
        "layers": int(jnp.max(state.members.layer)),
        "seconds a generation": round(seconds["generation"], 3),
        "of these breeding": round(seconds["breeding"], 3),
        "generations a second": round(1 / seconds["generation"], 2),
        "matrices, times longer": round(seconds["matrices"] / seconds["generation"], 1),
        "rows, times longer": round(seconds["rows"] / seconds["generation"], 1),
        "answers alike": round(float(np.min(alike)), 4),
        "compiled, times": times_compiled(wann._step),
    }


def layout(search: Wann, member: Graph) -> tuple[np.ndarray, dict[int, list[int]], list[str]]:
    """Computing nodes in an order in which they can be asked, what leads to each, and their activations."""
    enabled, first = np.asarray(member.enabled), member.inputs + 1
    layer = np.asarray(member.layer)
    order = np.argsort(np.where(layer[first:] < 0, layer.size, layer[first:]), kind="stable")
    order = order[: int((layer[first:] >= 0).sum())] + first
    leading: dict[int, list[int]] = {int(node): [] for node in order}
    for source, target in zip(np.asarray(member.source)[enabled], np.asarray(member.target)[enabled], strict=True):
        leading[int(target)].append(int(source))
    return order, leading, [search.activations[kind] for kind in member.activation.tolist()]


def matrices(search: Wann, member: Graph, x: np.ndarray) -> np.ndarray:
    """A matrix of all weights; for each of them, node after node."""
    order, leading, kinds = layout(search, member)
    first, answers = member.inputs + 1, []
    place = {int(node): number for number, node in enumerate([*range(first), *order])}
    weights = np.zeros((len(place), len(place)), np.float32)
    for node, sources in leading.items():
        weights[[place[source] for source in sources], place[node]] = 1
    for value in search.values:
        said = np.zeros((len(x), len(place)), np.float32)
        said[:, : first - 1], said[:, first - 1] = x, 1
        for node in order:
            said[:, place[int(node)]] = PLAIN[kinds[node - first]](value * (said @ weights[:, place[int(node)]]))
        answers.append(said[:, [place[first + output] for output in range(member.outputs)]])
    return np.stack(answers)


def rows(search: Wann, member: Graph, x: np.ndarray) -> np.ndarray:
    """For all weights at once, node after node, the sum of what leads there."""
    order, leading, kinds = layout(search, member)
    values, first = np.array(search.values, np.float32)[:, None], member.inputs + 1
    said = {place: np.broadcast_to(x[:, place], (len(values), len(x))) for place in range(first - 1)}
    said[first - 1] = np.ones((len(values), len(x)), np.float32)
    for node in order:
        total = np.zeros((len(values), len(x)), np.float32)
        for source in leading[int(node)]:
            total += said[source]
        said[int(node)] = PLAIN[kinds[node - first]](values * total)
    return np.stack([said[first + output] for output in range(member.outputs)], axis=2)


if __name__ == "__main__":
    sys.exit(main())
