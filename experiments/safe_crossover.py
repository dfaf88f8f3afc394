"""Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).

Trains a population, pairs its members, aligns every pair by the paper's methods, and walks the straight line between
the two parents: naive crossover against SC-CCA (all directions, SVCCA, ridge) and SC-PwC (one-to-one, semi-matching).
Beside them stand structure loadings, weight matching, and a control that does no more than keep dead neurons from live
ones. Every network depends on the seed and on its own number alone.

    python experiments/safe_crossover.py
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
from evojax_align import lab
from evojax_align._types import Array, PyTree
from evojax_align.data import Dataset

sys.path.insert(0, str(Path(__file__).parent))

from safe_crossover_pairs import halves, methods_of, study, ts_of  # pyright: ignore[reportImplicitRelativeImport]
from safe_crossover_report import judge, plot  # pyright: ignore[reportImplicitRelativeImport]
from safe_crossover_settings import CIFAR, COSTS, MNIST, MODES, PRESETS, Config, keys_of  # pyright: ignore[reportImplicitRelativeImport]


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """Train, align and sweep; returns everything that figures and claims are made of."""
    network = build(config, data.num_classes)
    parents, trained = train(config, network, data, run)
    spec = ea.symmetry.infer(network.apply, ea.population.take(parents, 0), jnp.asarray(data.train.x[:1]))
    modes = ("text", "code", "clean") if config.mode == "all" else (config.mode,)
    found = [study(dataclasses.replace(config, mode=mode), network, spec, parents, data, run) for mode in modes]
    rows = {name: np.stack([of_mode[name] for of_mode in found]) for name in found[0]}
    constants = {
        "modes": np.array(modes),
        "methods": np.array(methods_of(config, spec)),
        "groups": np.array(list(spec.groups)),
        "ranks": np.array(config.ranks),
        "ridges": np.array(config.ridges),
        "ts": ts_of(config),
        "parts": np.array([len(y) for _, y in halves(config, data)]),
        "pairs": config.first // 2 + np.arange(config.networks // 2),
        "dataset": np.array(data.name),
        "rank": np.array(config.rank),
        "published": np.array(config.dataset if published(config) else ""),
    }
    return trained | rows | constants


def published(config: Config) -> bool:
    """Whether the paper has a study of these networks, trained this long, and these directions."""
    of_paper = {one.dataset: one for one in (MNIST, CIFAR)}.get(config.dataset)
    names = ("model", "hidden", "epochs", "patience", "batch_size", "learning_rate", "rank")
    return of_paper is not None and all(getattr(config, name) == getattr(of_paper, name) for name in names)


def build(config: Config, classes: int) -> Any:
    """The network of a study."""
    if config.model == "mlp":
        return ea.models.MLP(hidden=config.hidden, classes=classes)
    if config.model == "lenet":
        return ea.models.LeNet5(widths=config.hidden, classes=classes)
    return ea.models.VGG(stages=tuple((width,) for width in config.hidden), classes=classes, batch_norm=False)


def train(config: Config, network: Any, data: Dataset, run: lab.Run) -> tuple[PyTree, dict[str, np.ndarray]]:
    """The parents: each from its own start, with the parameters of its best epoch.

    Those of `at_once` pairs go through their epochs together, then the next ones.
    """
    together = min(2 * config.at_once, config.networks)
    key_init, key_fit, _ = keys_of(config)
    optimizer = optax.adam(config.learning_rate)
    part, validation = (jax.tree.map(jnp.asarray, tuple(p)) for p in (data.train, data.validation))

    def places(number: int) -> np.ndarray:
        """Which networks train together; the last ones repeat the last network if their number does not fit."""
        return np.minimum(number * together + np.arange(together), config.networks - 1)

    def begin(chosen: np.ndarray) -> ea.training.Member:
        names = jnp.asarray(config.first + chosen)
        keys_init, keys_fit = (jax.vmap(partial(jax.random.fold_in, key))(names) for key in (key_init, key_fit))
        start = ea.population.map(lambda key: network.init(key, part[0][:1]), keys_init)
        return ea.training.init(start, optimizer, epochs=config.epochs, key=keys_fit, validated=True, keep_best=True)

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        number, epoch = divmod(number, config.epochs)
        members = state["members"] if epoch else begin(places(number))
        if np.asarray(members.active).any():
            members = ea.training.step_epoch(
                network.apply,
                members,
                part,
                optimizer,
                batch_size=config.batch_size,
                validation=validation,
                patience=config.patience,
            )
        if epoch == config.epochs - 1:
            trained = {"parents": members.best_params, "best_epoch": members.best_epoch, **members.history}
            for whole, part_of_it in zip(jax.tree.leaves(state["trained"]), jax.tree.leaves(trained), strict=True):
                whole[places(number)] = np.asarray(part_of_it)
        best = np.asarray(members.best_loss)
        return state | {"members": members}, {"best": float(best.min()), "mean": float(best.mean())}

    def room(leaf: Array) -> np.ndarray:
        return np.zeros((config.networks, *leaf.shape[1:]), leaf.dtype)

    members = begin(places(0))
    trained = {"parents": members.params, "best_epoch": members.best_epoch, **members.history}
    state = {"members": members, "trained": jax.tree.map(room, trained)}
    total = -(-config.networks // together) * config.epochs
    state = run.loop(f"training {config.networks} networks", state, step, total=total)
    parents = state["trained"].pop("parents")
    return parents, {f"training_{name}": rows for name, rows in state["trained"].items()}


EXPERIMENT = lab.Experiment(
    name="safe_crossover",
    description="Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).",
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
