"""Midpoints of deep networks with batch normalisation: naive, aligned, and mended.

Trains pairs of VGG or ResNet, aligns each pair by activations and by weights, and evaluates the children on the line
between the parents: as they are, with the statistics of batch normalisation estimated again, and repaired (Jordan et
al. 2023, "REPAIR"). The controls are children of parents that were not aligned, mended in the same ways.

    python experiments/deep_midpoints.py
"""

import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: LAPACK's own threads stall beside XLA's

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, plotting, statistics
from evojax_align.alignment import reestimate, repair
from evojax_align.data import Dataset

METHODS = {"none": "naive", "correlation": "aligned by activations", "weights": "aligned by weights"}
MENDS = {"as it is": "as it is", "reestimated": "statistics estimated again", "repair": "REPAIR"}


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one study."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    model: str = "resnet"
    """"vgg" (VGG-11) or "resnet" (ResNet-20)."""
    width: int = 8
    """Channels of the first layer: 64 and 16 in the papers."""
    networks: int = 16
    train_images: int = 1_000_000
    """At most this many are trained on."""
    test_images: int = 1_000_000
    epochs: int = 12
    batch_size: int = 50
    learning_rate: float = 0.05
    statistics_images: int = 500
    """Training images on which neurons are compared and statistics are estimated."""
    ts: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)


PRESETS = {
    "demo": (Config(),),
    "small": (
        Config(
            dataset="cifar10",
            model="vgg",
            width=32,
            networks=4,
            train_images=20_000,
            test_images=5000,
            epochs=15,
            batch_size=100,
        ),
    ),
}
COSTS = {
    "demo": "16 ResNet-20 of width 8 on handwritten digits; 1 min on 2 cores",
    "small": "4 VGG-11 of half width on 20 000 images of CIFAR-10; 39 min on 2 cores that other work shared",
}
MODES = {"clean": "aligned and mended on training images, scored on test images"}


def build(config: Config, classes: int) -> ea.models.VGG | ea.models.ResNet:
    """The network of a study."""
    if _checks.one_of("model", config.model, ("vgg", "resnet")) == "resnet":
        return ea.models.ResNet(width=config.width, classes=classes)
    first = ea.models.VGG11[0][0]
    stages = tuple(tuple(channels * config.width // first for channels in stage) for stage in ea.models.VGG11)
    return ea.models.VGG(stages=stages, classes=classes)


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """Train, align, mend and score; returns everything that figures and claims are made of."""
    network = build(config, data.num_classes)
    x, y = jnp.asarray(data.train.x[: config.train_images]), jnp.asarray(data.train.y[: config.train_images])
    test = jnp.asarray(data.test.x[: config.test_images]), jnp.asarray(data.test.y[: config.test_images])
    sample = x[: config.statistics_images]
    parents, losses = train(config, network, x, y, run)
    parents = ea.population.map(lambda params: reestimate(network.apply, params, sample), parents)
    first, second = ea.population.pairs(parents)

    def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        a, b = ea.population.take(first, number), ea.population.take(second, number)
        for i, method in enumerate(METHODS):
            out = ea.align(network.apply, a, b, sample, method=method)
            for j, t in enumerate(config.ts):
                loss, accuracy = score(network.apply, out.a, out.b, sample, test, t)
                found["loss"][number, i, :, j], found["accuracy"][number, i, :, j] = loss, accuracy
        half = config.ts.index(0.5)
        return found, {name: found["accuracy"][number, i, -1, half] for i, name in enumerate(METHODS)}

    pairs = config.networks // 2
    room = (pairs, len(METHODS), len(MENDS), len(config.ts))
    start = {name: np.full(room, np.nan, np.float32) for name in ("loss", "accuracy")}
    found = run.loop("aligning pairs", start, step, total=pairs)
    names = {"methods": np.array(list(METHODS)), "mends": np.array(list(MENDS)), "ts": np.array(config.ts, np.float32)}
    return found | names | {"training_loss": losses, "dataset": np.array(data.name), "model": np.array(config.model)}


def train(config: Config, network: Any, x: jax.Array, y: jax.Array, run: lab.Run) -> tuple[Any, np.ndarray]:
    """The parents: trained apart, each from its own start, by the statistics of every batch."""

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return network.apply(params, x, train=True, mutable=["batch_stats"])[0]

    key_init, key_fit = jax.random.split(jax.random.key(config.seed))
    start = ea.population.init(lambda key: network.init(key, x[:1]), key_init, config.networks)
    steps = config.epochs * (x.shape[0] // config.batch_size)
    rate = optax.cosine_decay_schedule(config.learning_rate, steps)
    optimizer = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(rate, momentum=0.9, nesterov=True))
    members = ea.training.init(start, optimizer, epochs=config.epochs, key=key_fit)

    def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
        members = ea.training.step_epoch(apply, members, (x, y), optimizer, batch_size=config.batch_size)
        return members, {"loss": float(np.mean(members.history["loss"][:, number]))}

    members = run.loop(f"training {config.networks} networks", members, step, total=config.epochs)
    parents, history = ea.training.finish(members)
    return parents, np.asarray(history.loss)


@partial(jax.jit, static_argnames="apply")
def score(
    apply: Any, a: Any, b: Any, sample: jax.Array, test: tuple[jax.Array, jax.Array], t: float
) -> tuple[jax.Array, jax.Array]:
    """Loss and accuracy of the child at t, mended in every way."""
    child = ea.crossover.arithmetic(a, b, t)
    children = (child, reestimate(apply, child, sample), repair(apply, child, a, b, sample, t))
    scores = [ea.training.evaluate(apply, each, *test) for each in children]
    loss, accuracy = (jnp.stack(column) for column in zip(*scores, strict=True))
    return loss, accuracy


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """Accuracy and loss along the line: the ways of mending side by side."""
    for quantity in ("accuracy", "loss"):
        fig, axes = plotting.figure(1, len(MENDS), width=3.6, height=3.2)
        low, high = float(arrays[quantity].min()), float(arrays[quantity].max())
        for number, (ax, mend) in enumerate(zip(axes[0], MENDS.values(), strict=True)):
            curves = {
                METHODS[name]: arrays[quantity][:, i, number] for i, name in enumerate(arrays["methods"].tolist())
            }
            plotting.plot_sweeps(arrays["ts"], curves, ax, quantity=quantity, title=mend)
            ax.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
        plotting.save(fig, folder / f"{quantity}.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The ordering of the literature, by paired one-sided Wilcoxon tests over pairs of networks, and the table."""
    ts, methods, mends = (arrays[name].tolist() for name in ("ts", "methods", "mends"))
    half = ts.index(0.5)
    accuracy = {
        (method, mend): arrays["accuracy"][:, i, j, half]
        for i, method in enumerate(methods)
        for j, mend in enumerate(mends)
    }

    def above(id: str, statement: str, x: tuple[str, str], y: tuple[str, str]) -> lab.Claim:
        p, q = accuracy[x], accuracy[y]
        share = statistics.win_share(p, q, alternative="greater")
        return lab.claim(id, statement, None, share, statistics.wilcoxon(p, q, alternative="greater"))

    aligned = "correlation"
    claims = [
        above("aligned_beats_naive", "aligned above naive, both as they are", (aligned, mends[0]), ("none", mends[0])),
        above("statistics_help", "statistics estimated again above as it is", (aligned, mends[1]), (aligned, mends[0])),
        above("aligned_beats_naive_mended", "the same of aligned above naive", (aligned, mends[1]), ("none", mends[1])),
        above("repair_helps", "REPAIR above as it is, aligned", (aligned, mends[2]), (aligned, mends[0])),
    ]
    rows = [
        {
            "parents": METHODS[method],
            "child": MENDS[mend],
            "accuracy at t=0": lab.mean(arrays["accuracy"][:, i, j, 0]),
            "accuracy at t=.5": lab.mean(accuracy[method, mend]),
            "accuracy at t=1": lab.mean(arrays["accuracy"][:, i, j, -1]),
            "loss at t=.5": lab.mean(arrays["loss"][:, i, j, half]),
        }
        for i, method in enumerate(methods)
        for j, mend in enumerate(mends)
    ]
    return lab.decide(claims), {"midpoints": rows}


EXPERIMENT = lab.Experiment(
    name="deep_midpoints",
    description="Midpoints of deep networks with batch normalisation: naive, aligned, and mended.",
    presets=PRESETS,
    costs=COSTS,
    modes=MODES,
    run=run,
    plot=plot,
    judge=judge,
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
