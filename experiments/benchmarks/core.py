"""How fast the core is beside its peers, measured in one run: training, CCA, sweeps, alignment, assignment.

    python -m experiments.benchmarks.core --data-dir DIR

Needs the extra `benchmarks` (PyTorch) and MNIST, as `DIR/mnist.npz` or through tensorflow-datasets.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import linear_sum_assignment
from threadpoolctl import ThreadpoolController

import evojax_align as ea
from evojax_align.lab.report import text_table
from experiments.benchmarks.timing import Comparison, compare, store

NETWORK = ea.models.MLP(hidden=(512,))
ADAM = optax.adam(1e-3)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks that are asked for, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", help="folder with mnist.npz")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--out", help="write the rows to this JSON file too")
    arguments = parser.parse_args(argv)
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    for library in ThreadpoolController().lib_controllers:
        if "scipy.libs" in library.filepath:  # the LAPACK that JAX calls; NumPy's own keeps all cores
            library.set_num_threads(1)
    data = ea.data.load("mnist", data_dir=arguments.data_dir)
    rows = []
    for name in arguments.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += BENCHMARKS[name](data, arguments.repeats)
    print(text_table(rows))
    store(arguments.out, rows, {"repeats": arguments.repeats})
    return 0


def row(what: str, peer: str, at_least: float, found: Comparison, check: str) -> dict[str, Any]:
    """One line of the table."""
    return {
        "what": what,
        "peer": peer,
        "ours, s": float(f"{found.ours:.3g}"),
        "peer, s": float(f"{found.peer:.3g}"),
        "times faster": float(f"{found.ratio:.3g}"),
        "spread": [float(f"{value:.3g}") for value in found.spread],
        "asked": at_least,
        "check": check,
    }


def training(data: ea.data.Dataset, repeats: int) -> list[dict[str, Any]]:
    """One epoch of eight networks against a loop in PyTorch, data in memory on both sides."""
    torch: Any = __import__("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    pop = population(8)
    x, y = np.array(data.train.x).reshape(len(data.train.y), -1), np.array(data.train.y)
    x_torch, y_torch = torch.from_numpy(x), torch.from_numpy(y).long()
    x_jax, y_jax = jnp.asarray(x), jnp.asarray(y)
    losses: dict[str, float] = {}
    mesh = jax.make_mesh((jax.device_count(),), ("members",))

    def ours() -> Any:
        trained, history = ea.training.fit(
            NETWORK.apply, pop, (x_jax, y_jax), ADAM, epochs=1, batch_size=128, key=jax.random.key(1), mesh=mesh
        )
        losses["ours"] = float(history.loss.mean())
        return trained

    def peer() -> None:
        total = 0.0
        for _ in range(8):
            layers = [torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10, bias=False)]
            network = torch.nn.Sequential(*layers)
            for layer in (layers[0], layers[2]):
                torch.nn.init.xavier_uniform_(layer.weight)
            optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
            for index in torch.randperm(len(y_torch)).split(128):
                optimiser.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(x_torch[index]), y_torch[index])
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(index)
        losses["peer"] = total / 8 / len(y_torch)

    found = compare(ours, peer, repeats=min(repeats, 3))
    check = f"mean loss {losses['ours']:.4f} and {losses['peer']:.4f}"
    return [row("train 8 x 784-512-10, one epoch of 50 000", "PyTorch loop", 2.5, found, check)]


def cca(data: ea.data.Dataset, repeats: int) -> list[dict[str, Any]]:
    """CCA and SVCCA of two trained layers on 10 000 images, against the covariance method in NumPy."""
    x, y = activations(data)
    x_numpy, y_numpy = np.asarray(x), np.asarray(y)
    rows = []
    for rank, name, at_least in ((None, "CCA", 3.0), (256, "SVCCA, 256 directions", 5.0)):
        found = compare(
            lambda rank=rank: ea.similarity.cca(x, y, rank=rank),
            lambda rank=rank: numpy_cca(x_numpy, y_numpy, rank),
            repeats=repeats,
        )
        # The peer weighs neurons by their variance, which SVCCA's choice of directions depends on and CCA does not.
        check = ""
        if rank is None:
            ours, theirs = np.asarray(ea.similarity.cca(x, y).correlations), numpy_cca(x_numpy, y_numpy, None)[0]
            live = min(int((theirs > 0).sum()), int((ours > 0).sum()))
            check = f"correlations within {np.abs(ours[:live] - theirs[:live]).max():.1e}"
        rows.append(row(f"{name} of two 10 000 x 512", "NumPy, covariances", at_least, found, check))
    return rows


def numpy_cca(x: np.ndarray, y: np.ndarray, rank: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CCA by the steps of the program that came with SVCCA (google/svcca), for neurons in rows: the joint covariance,
    scaled; pseudo-inverses; their roots; one SVD; the coefficients of all neurons, and the neurons' means."""
    x, y = x.T, y.T
    if rank is not None:
        x, y = (m - m.mean(axis=1, keepdims=True) for m in (x, y))
        (_, s, v), (_, t, w) = (np.linalg.svd(m, full_matrices=False) for m in (x, y))
        x, y = np.dot(s[:rank] * np.eye(rank), v[:rank]), np.dot(t[:rank] * np.eye(rank), w[:rank])
    width = x.shape[0]
    covariance = np.cov(x, y)
    within_x, between, within_y = covariance[:width, :width], covariance[:width, width:], covariance[width:, width:]
    scale_x, scale_y = np.abs(within_x).max(), np.abs(within_y).max()
    root_x, root_y = inverse_root(within_x / scale_x), inverse_root(within_y / scale_y)
    u, s, v = np.linalg.svd(np.dot(root_x, np.dot(between / np.sqrt(scale_x * scale_y), root_y)))
    means = np.mean(x, axis=1, keepdims=True), np.mean(y, axis=1, keepdims=True)
    del means  # that program returns them
    return s, np.dot(root_x, u), np.dot(root_y, v.T)


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    """The root of the pseudo-inverse of a covariance matrix."""
    values, vectors = np.linalg.eigh(np.linalg.pinv(matrix, rcond=1e-10))
    return np.dot(vectors, np.dot(np.diag(np.sqrt(np.maximum(values, 0))), vectors.T))


def sweeping(data: ea.data.Dataset, repeats: int) -> list[dict[str, Any]]:
    """A sweep of 25 points, against building and evaluating each child in one compiled program."""
    a, b = trained(data)
    x, y, ts = jnp.asarray(data.test.x), jnp.asarray(data.test.y), jnp.linspace(-0.25, 1.25, 25)

    @jax.jit
    def child(t: jax.Array) -> jax.Array:
        logits = NETWORK.apply(ea.crossover.arithmetic(a, b, t), x)
        return optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(logits), y).mean()

    def ours() -> jax.Array:
        return ea.interpolation.sweep(NETWORK.apply, a, b, x, y, ts=ts).loss

    def peer() -> jax.Array:
        return jnp.stack([child(t) for t in ts])

    found = compare(ours, peer, repeats=repeats)
    check = f"losses within {float(jnp.abs(ours() - peer()).max()):.1e}"
    return [row("sweep of 25 t, 784-512-10, 10 000 images", "each child evaluated", 4.5, found, check)]


def aligning(data: ea.data.Dataset, repeats: int) -> list[dict[str, Any]]:
    """32 pairs in one call against a loop of single calls."""
    first, second = ea.population.pairs(population(64))
    x = jnp.asarray(data.train.x[:2000])
    singles = list(zip(ea.population.unstack(first), ea.population.unstack(second), strict=True))
    traces = 0

    def apply(params: Any, inputs: Any) -> Any:
        nonlocal traces
        traces += 1
        return NETWORK.apply(params, inputs)

    ea.align(apply, *singles[0], x)
    before = traces
    found = compare(
        lambda: ea.align_pairs(NETWORK.apply, first, second, x),
        lambda: [ea.align(apply, a, b, x) for a, b in singles],
        repeats=min(repeats, 3),
    )
    check = f"{traces - before} traces after the first pair"
    return [row("align 32 pairs of 784-512-10, 2000 images", "loop of single calls", 1.0, found, check)]


def assignment(data: ea.data.Dataset, repeats: int) -> list[dict[str, Any]]:
    """The exact matching of real correlations against bare scipy."""
    scores = ea.similarity.correlation(*activations(data))
    scores_numpy = np.asarray(scores)
    found = compare(
        lambda: ea.matching.one_to_one(scores),
        lambda: linear_sum_assignment(scores_numpy, maximize=True),
        repeats=5 * repeats,
    )
    total = float(scores_numpy[np.arange(512), np.asarray(ea.matching.one_to_one(scores).y)].sum())
    best = float(scores_numpy[linear_sum_assignment(scores_numpy, maximize=True)].sum())
    check = f"totals {total:.4f} and {best:.4f}"
    return [row("exact assignment 512 x 512", "scipy alone", round(1 / 1.2, 3), found, check)]


def population(size: int) -> Any:
    """Untrained networks."""
    return ea.population.init(lambda key: NETWORK.init(key, jnp.zeros((1, 784))), jax.random.key(0), size)


def trained(data: ea.data.Dataset) -> tuple[Any, Any]:
    """Two networks after three epochs."""
    pop, _ = ea.training.fit(
        NETWORK.apply,
        population(2),
        (data.train.x, data.train.y),
        ADAM,
        epochs=3,
        batch_size=128,
        key=jax.random.key(1),
    )
    return ea.population.take(pop, 0), ea.population.take(pop, 1)


def activations(data: ea.data.Dataset) -> list[jax.Array]:
    """The hidden layers of two trained networks on 10 000 images."""
    a, b = trained(data)
    x = jnp.asarray(data.test.x)
    spec = ea.symmetry.infer(NETWORK.apply, a, x[:1])
    return [next(iter(ea.symmetry.activations(spec, NETWORK.apply, p, x).values())) for p in (a, b)]


BENCHMARKS: dict[str, Callable[[ea.data.Dataset, int], list[dict[str, Any]]]] = {
    "training": training,
    "cca": cca,
    "sweep": sweeping,
    "align": aligning,
    "assignment": assignment,
}

if __name__ == "__main__":
    sys.exit(main())
