"""Memory and communication of one generation of each algorithm, read from the compiled program of its step.

python -m experiments.benchmarks.traffic --out experiments/benchmarks/results/traffic.json

Each number is of one of several simulated devices, and in units of the bytes of the whole population's parameters. So a
row says at once how it grows: with the population, or with the part of it on one device. Times mean nothing here.
"""

import argparse
import collections
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from evojax_align import crossover, evolution, models, population, pruning, training
from experiments.benchmarks.timing import store
from experiments.pages import table

DEVICES = (2, 4, 8)
SIZE, INPUTS, HIDDEN, CLASSES, SAMPLES = 64, 32, 256, 10, 256
KINDS = "all-gather|all-reduce|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
RESULT = re.compile(rf"= (.*?) ({KINDS})\(")
ASYNCHRONOUS = re.compile(rf" ({KINDS})-start\(")
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4}
BYTES |= dict.fromkeys(("f64", "s64", "u64"), 8)
NETWORK = models.MLP(hidden=(HIDDEN,), classes=CLASSES)
OPTIMIZER = optax.adam(1e-3)

COPIES = {
    "Neuroevolution": (1, 2),
    "Neuroevolution, parents aligned": (1, 5),
    "Recombination": (2, 4),
    "Synthesis": (2.25, 2.25),
    "Padawann": (1, 1.75),
    "Wann": (1, 2),
    "fit": (3, 0),
}
"""By how many copies of the population the formulas count: distributed between steps, and gathered in a step."""
POPULATIONS = {
    "100 000 networks of 10 000 parameters": (100_000, 10_000),
    "1 000 ResNet20": (1_000, 272_474),
    "100 ResNet50": (100, 25_557_032),
}
"""Members and parameters of each."""
MANY = (8, 64, 256)

Made = tuple[Any, Callable[[jax.Array, Any], Any], str]


def main(argv: list[str] | None = None) -> int:
    """Compile the steps, each number of devices in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES)
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS))
    parser.add_argument("--size", type=int, default=SIZE, help="members, a multiple of all numbers of devices")
    parser.add_argument("--out")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process
    arguments = parser.parse_args(argv)
    if any(arguments.size % devices for devices in arguments.devices):
        parser.error(f"--size: got {arguments.size}; expected a multiple of {arguments.devices}")
    if arguments.here:
        for name in arguments.algorithms:
            print(*traffic(name, arguments.size).values(), sep="\t", flush=True)
        return 0
    rows = []
    print(f"{'algorithm':<40} devices  state  formula  memory  communication  formula")
    for devices in arguments.devices:
        flags = f"--xla_force_host_platform_device_count={devices} " + os.environ.get("XLA_FLAGS", "")
        env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        command = [sys.executable, "-m", __spec__.name, "--here", "--devices", str(devices)]
        command += ["--size", str(arguments.size), "--algorithms"]
        done = subprocess.run([*command, *arguments.algorithms], env=env, check=True, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            name, *numbers = line.split("\t")
            state, memory, communication = map(float, numbers)
            row = {"algorithm": name, "devices": devices}
            rows.append(row | {"state": state, "memory": memory, "communication": communication})
            held, gathered = COPIES[name]
            found = f"{state:>5.2f}  {held / devices:>7.2f}  {memory:>6.2f}  {communication:>13.2f}  {gathered:>7.2f}"
            print(f"{name:<40} {devices:>7}  {found}", flush=True)
    store(arguments.out, rows, {"members": arguments.size, "hidden": HIDDEN, "samples": SAMPLES})
    return 0


def costs(rows: Sequence[Mapping[str, Any]]) -> str:
    """All rows as a table in Markdown, with the formulas for d devices."""
    devices = sorted({row["devices"] for row in rows})
    lines = []
    for name, (held, gathered) in COPIES.items():
        of = [row for count in devices for row in rows if (row["algorithm"], row["devices"]) == (name, count)]
        state, memory, communication = (
            ", ".join(f"{row[what]:.2f}" for row in of) for what in ("state", "memory", "communication")
        )
        line = {"algorithm": f"`{name}`" if "," not in name else "`" + name.replace(",", "`,", 1)}
        line |= {"state": state, "formula": f"{held:g} / d", "memory": memory}
        lines.append(line | {"communication": communication, "its formula": f"{gathered:g}"})
    return table(lines)


def capacity(rows: Sequence[Mapping[str, Any]]) -> str:
    """What some populations need on each of many devices, in Markdown, from the memory of `Neuroevolution`."""
    of = [row for row in rows if row["algorithm"] == "Neuroevolution"]
    parts, whole = np.polyfit([1 / row["devices"] for row in of], [row["memory"] for row in of], 1)
    lines = []
    for name, (members, parameters) in POPULATIONS.items():
        size = members * parameters * 4 / 1e9
        line = {"population": name, "parameters, GB": f"{size:.1f}"}
        lines.append(line | {f"{d} devices, GB each": f"{size * (whole + parts / d):.1f}" for d in MANY})
    return table(lines)


def traffic(name: str, size: int) -> dict[str, Any]:
    """What one device holds and receives in a generation.

    Returns:
        The name; and in units of the bytes of the population's parameters: `state`, the arrays between two generations;
        `memory`, these and all that the step needs besides; `communication`, the results of collective
        operations (see `communicated`).
    """
    mesh = jax.make_mesh((jax.device_count(),), ("members",))
    state, step, members = ALGORITHMS[name](mesh, size)
    compiled = jax.jit(step).lower(jax.random.key(0), state).compile()
    state, _ = compiled(jax.random.key(0), state)
    whole = _bytes(getattr(state, members))
    own = sum(_shard_bytes(leaf) for leaf in jax.tree.leaves(state))
    analysis, text = compiled.memory_analysis(), compiled.as_text()
    assert analysis is not None and text is not None  # every backend that XLA comes with has both
    needed = own + analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    received = sum(communicated(text).values())
    return {"algorithm": name, "state": own / whole, "memory": needed / whole, "communication": received / whole}


def communicated(text: str) -> dict[str, int]:
    """For each kind of collective operation in the text of a compiled program: the bytes of all its results.

    The device's own part is counted too, both branches of a condition, and what is in a loop once.
    """
    if ASYNCHRONOUS.search(text):  # their results hold the operands too
        raise ValueError("text: got asynchronous collective operations; expected the text of a program for CPUs")
    found: collections.Counter[str] = collections.Counter()
    for result, kind in RESULT.findall(text):
        for dtype, lengths in ARRAY.findall(result):
            found[kind] += math.prod(map(int, filter(None, lengths.split(",")))) * BYTES[dtype]
    return dict(found)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * _item(leaf) for leaf in jax.tree.leaves(tree))


def _shard_bytes(leaf: jax.Array) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * _item(leaf)


def _item(leaf: jax.Array) -> int:
    return 8 if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.dtype.itemsize


def _data() -> tuple[jax.Array, jax.Array]:
    x = jax.random.normal(jax.random.key(0), (SAMPLES, INPUTS))
    return x, jax.random.randint(jax.random.key(1), (SAMPLES,), 0, CLASSES)


def _draw(key: jax.Array) -> Any:
    return NETWORK.init(key, jnp.zeros((1, INPUTS)))


def _neuroevolution(mesh: Mesh, size: int, **parts: Any) -> Made:
    def fitness(key: jax.Array, params: Any, data: tuple[jax.Array, jax.Array]) -> jax.Array:
        outputs: Any = NETWORK.apply(params, data[0])
        return -optax.softmax_cross_entropy_with_integer_labels(outputs, data[1]).mean()

    ga, data = evolution.Neuroevolution(NETWORK.apply, size=size, mesh=mesh, **parts), _data()
    state = ga.init(jax.random.key(0), _draw, fitness, data)
    return state, lambda key, state: ga.step(key, state, fitness, data), "members"


def _aligned(mesh: Mesh, size: int) -> Made:
    return _neuroevolution(mesh, size, crossover="arithmetic", alignment="mutual", probe=_data()[0])


def _recombination(mesh: Mesh, size: int) -> Made:
    genes = crossover.layer_genes(_draw(jax.random.key(0)))
    r = evolution.Recombination(NETWORK.apply, _draw, genes, OPTIMIZER, size=size, batch_size=64, mesh=mesh)
    return r.init(jax.random.key(0), _data()), lambda key, state: r.step(key, state, _data(), _data()), "population"


def _synthesis(mesh: Mesh, size: int) -> Made:
    settings = {"size": size, "parents": 2, "batch_size": 64, "mesh": mesh}
    s = evolution.Synthesis(NETWORK.apply, _draw, pruning.find(_draw(jax.random.key(0))), OPTIMIZER, **settings)
    state = s.init(jax.random.key(0), _data(), _data())
    return state, lambda key, state: s.step(key, state, _data(), _data()), "population"


def _padawann(mesh: Mesh, size: int) -> Made:
    params = _draw(jax.random.key(0))
    synapses, judged = pruning.find(params), [pruning.Task(*_data())]
    p = evolution.Padawann(NETWORK.apply, synapses, size=size, mesh=mesh)
    state = p.init(jax.random.key(0), population.stack([pruning.basis(synapses, params)]), judged)
    return state, lambda key, state: p.step(key, state, judged), "members"


def _wann(mesh: Mesh, size: int) -> Made:
    task = evolution.tasks.Classification(SAMPLES)
    w = evolution.Wann(INPUTS, CLASSES, task, size=size, hidden=64, enabled=0.5, mesh=mesh)
    return w.init(jax.random.key(0), _data()), lambda key, state: w.step(key, state, _data()), "members"


def _fit(mesh: Mesh, size: int) -> Made:
    drawn = population.spread(population.init(_draw, jax.random.key(0), size), mesh)
    state = training.init(drawn, OPTIMIZER, epochs=1, key=jax.random.key(1))
    state = population.spread(state, mesh)

    def step(key: jax.Array, state: Any) -> Any:
        return training.step_epoch(NETWORK.apply, state, _data(), OPTIMIZER, batch_size=64, mesh=mesh), ()

    return state, step, "params"


ALGORITHMS: dict[str, Callable[[Mesh, int], Made]] = {
    "Neuroevolution": _neuroevolution,
    "Neuroevolution, parents aligned": _aligned,
    "Recombination": _recombination,
    "Synthesis": _synthesis,
    "Padawann": _padawann,
    "Wann": _wann,
    "fit": _fit,
}

if __name__ == "__main__":
    sys.exit(main())
