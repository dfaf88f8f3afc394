"""How many networks PADAWANN judges a second, in turns with a loop in PyTorch over the same networks and images.

    python -m experiments.benchmarks.padawann --out experiments/benchmarks/results/padawann.json

A generation breeds 14 children of `models.MnistNet`, whose weights share one of three values, and judges them; PyTorch
only judges. What a trial of the preset `paper` would take follows: 50 generations and a first one that costs two, on
700 images of each of ten classes for two tasks. Images are random, and their labels what the network says; both get the
same accuracies. Needs the extra `benchmarks` (PyTorch).
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import lab, pruning
from evojax_align.evolution import Padawann
from evojax_align.evolution.padawann import padawann as module
from evojax_align.lab.report import text_table
from evojax_align.pruning import Task
from experiments.benchmarks.pytorch import mnist_net
from experiments.benchmarks.timing import compare, store, times_compiled

LAYERS = ("conv_0", "conv_1", "dense", "output")
CHUNK = 1000
"""Images at a time."""
GENERATIONS, IMAGES = 52, 2 * 7000
"""Of a trial of the thesis."""


def main(argv: list[str] | None = None) -> int:
    """Run both in turns, and print what they reach."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", help="write the rows to this JSON file too")
    arguments = parser.parse_args(argv)
    lab.use_all_cores()
    rows = [run(arguments.rounds, arguments.images)]
    print(text_table(rows))
    store(arguments.out, rows, {"rounds": arguments.rounds, "images": arguments.images})
    return 0


def run(rounds: int, images: int) -> dict[str, Any]:
    """Medians of both and of their ratio."""
    network = ea.models.MnistNet()
    x = jax.random.normal(jax.random.key(0), (images, 28, 28))
    params = network.init(jax.random.key(1), x[:1])
    synapses = pruning.find(params)
    algorithm = Padawann(network.apply, synapses, mesh=ea.population.devices())
    kept = ea.population.stack([pruning.basis(synapses, params)])
    logits: Any = network.apply(params, x)
    task = Task(x, jnp.argmax(logits, axis=-1))
    state = algorithm.init(jax.random.key(2), kept, [task])
    children = module._bred(algorithm, jax.random.key(3), state)
    judged, *_ = module._evaluated(algorithm, children.kept, children.masks, (task,))
    peer = in_torch(children.kept, children.masks, algorithm.values, x, task.y)
    agree = float(np.abs(np.asarray(judged.accuracy)[:, 0] - peer()).max())
    found = compare(partial(algorithm.step, jax.random.key(3), state, (task,)), peer, repeats=rounds)
    count = algorithm.children * len(algorithm.values) * images
    figures = {
        "images judged a second": count / found.ours,
        "PyTorch": count / found.peer,
        "ratio": found.ratio,
        "lowest": found.spread[0],
        "highest": found.spread[1],
        "minutes of a trial": found.ours * GENERATIONS * IMAGES / images / 60,
        "accuracies within": agree,
    }
    return {name: float(f"{value:.3g}") for name, value in figures.items()} | {
        "compiled, times": times_compiled(module._step)
    }


def in_torch(kept: Any, masks: Any, values: tuple[float, ...], x: jax.Array, y: jax.Array) -> Callable[[], np.ndarray]:
    """The same networks one after the other, with weights put in their places: accuracies, [networks, values]."""
    torch: Any = __import__("torch")
    net, fill = mnist_net()
    sparse = jax.tree.map(np.asarray, pruning.masked(masks, kept))["params"]
    images, labels = torch.from_numpy(np.array(x)[:, None]), torch.from_numpy(np.array(y)).long()

    def judge() -> np.ndarray:
        found = []
        with torch.no_grad():
            for member in range(sparse["output"]["bias"].shape[0]):
                for value in values:
                    kernels = [sparse[name]["kernel"][member].astype(np.float32) * np.float32(value) for name in LAYERS]
                    fill(kernels, [sparse[name]["bias"][member] for name in LAYERS])
                    answers = torch.cat([net(part).argmax(1) for part in images.split(CHUNK)])
                    found.append(float((answers == labels).float().mean()))
        return np.reshape(found, (-1, len(values)))

    return judge


if __name__ == "__main__":
    sys.exit(main())
