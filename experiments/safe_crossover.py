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
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: LAPACK's own threads stall beside XLA's

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, statistics
from evojax_align._types import Apply, Array, PyTree
from evojax_align.alignment import GroupMatch, Relation, Settings, match_groups, match_pairs, relate_pairs
from evojax_align.data import Dataset
from evojax_align.interpolation import sweep_pairs
from evojax_align.similarity import CCA
from evojax_align.symmetry import PermutationSpec

sys.path.insert(0, str(Path(__file__).parent))

from safe_crossover_report import METHODS, STRONG, judge, midpoint, plot  # pyright: ignore[reportImplicitRelativeImport]

MODES = {
    "clean": "aligned on training images, scored on test images; the paper's text otherwise",
    "text": "as the paper's text: aligned on the images that score the offspring",
    "code": "as the authors' code: that, deflated and sorted weights, greedy and other-sided semi-matching, ridge / n",
    "all": "text, code and clean, one after the other, on the same parents",
}
MODELS = ("mlp", "lenet", "vgg")
LENET_WIDTHS = (6, 16, 120, 84)
SHOWN = 100
"""The first neurons, or pairs of partners, that Figure 4 shows."""

Orders: TypeAlias = tuple[dict[str, Array], dict[str, Array]]
"""For both sides the old index of the neuron at each place, group by group, with a leading axis of pairs."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one study."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    first: int = 0
    """Number of the first network: part of a larger study is done again by its numbers."""
    networks: int = 40
    model: str = MODELS[0]
    hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers, convolutions before dense ones; in "vgg" each has a stage of its own."""
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int = 5
    rank: int = 64
    """Directions that SVCCA keeps; where no layer has more, it is left out, being the same as CCA."""
    ranks: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 96, 128)
    """Directions of Figure 2."""
    ridges: tuple[float, ...] = (0.01, 0.1, 1.0)
    aligned: int = 10_000
    """Images that an alignment sees, at most."""
    scored: int = 10_000
    """Test images that score, at most."""
    points: int = 31
    """Values of t in [-0.25, 1.25]."""
    at_once: int = 20
    """Pairs that are aligned, or whose parents are trained, at a time: fewer where memory is short."""

    def __post_init__(self) -> None:
        _checks.one_of("model", self.model, MODELS)
        for name in ("networks", "epochs", "batch_size", "patience", "rank", "aligned", "scored", "at_once"):
            _checks.positive(name, getattr(self, name))
        _checks.above_zero("learning_rate", self.learning_rate)
        for name in ("first", "networks"):
            if getattr(self, name) % 2 or self.first < 0:
                raise _checks.bad(name, getattr(self, name), "an even number", "Networks 0 and 1 are the first pair.")
        for name in ("hidden", "ranks", "ridges"):
            values = getattr(self, name)
            if min(values) <= 0 or (name != "hidden" and list(values) != sorted(set(values))):
                expected = "numbers above 0" if name == "hidden" else "rising numbers above 0"
                raise _checks.bad(name, values, expected, f"Write --set '{name}=(2, 8)'.")
        if self.model == "lenet" and len(self.hidden) != len(LENET_WIDTHS):
            came, mend = f"{len(self.hidden)} widths for lenet", f"Write --set 'hidden={LENET_WIDTHS}'."
            raise _checks.bad("hidden", came, "two convolutions and two dense layers", mend)
        if self.aligned <= max(self.hidden) or self.scored < 2:
            name, least = ("scored", 2) if self.scored < 2 else ("aligned", max(self.hidden) + 1)
            raise _checks.bad(name, getattr(self, name), f"at least {least} images", "CCA needs more than neurons.")
        if self.points % 6 != 1 or self.points < 7:
            came, mend = f"{self.points} values of t in [-0.25, 1.25]", "Set points to 7, 13, 19, 25, 31, ..."
            raise _checks.bad("points", came, "values with 0, 0.5 and 1 among them", mend)


MNIST = Config(
    dataset="mnist",
    hidden=(512,),
    epochs=12,
    batch_size=128,
    patience=2,
    rank=256,
    ranks=(2, 10, 20, 30, 40, 50, 100, 256, 512),
)
CIFAR = dataclasses.replace(
    MNIST, dataset="cifar10", hidden=(100, 100, 100), epochs=2, rank=100, ranks=(2, 25, 50, 75, 100)
)
FASHION = dataclasses.replace(MNIST, dataset="fashion_mnist")
CIFAR100 = dataclasses.replace(CIFAR, dataset="cifar100", epochs=5)
REAL = (MNIST, FASHION, CIFAR, CIFAR100)
LENET = dataclasses.replace(
    MNIST,
    model="lenet",
    hidden=LENET_WIDTHS,
    networks=20,
    epochs=4,
    rank=32,
    ranks=(2, 4, 8, 16, 32, 64, 120),
    scored=4000,
    aligned=4000,
    points=13,
    at_once=5,
)
PRESETS = {
    "demo": (Config(),),
    "small": REAL,
    "paper": tuple(dataclasses.replace(config, networks=400, mode="all") for config in REAL),
    "converged": (dataclasses.replace(CIFAR, epochs=60, patience=5, mode="all"),),
    "lenet": (LENET, dataclasses.replace(LENET, dataset="fashion_mnist")),
    "vgg": (dataclasses.replace(LENET, model="vgg", hidden=(16, 32, 64), ranks=(2, 4, 8, 16, 32, 64)),),
}
COSTS = {
    "demo": "40 networks and 20 pairs on handwritten digits; 25 s on 2 cores",
    "small": "40 networks on MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100; 6 min on MNIST, 2 busy cores",
    "paper": "400 networks and 200 pairs on the same, in all modes; MNIST 58 min, CIFAR-10 22 min on 2 busy cores",
    "converged": "40 networks on CIFAR-10, trained until validation stops it, in all modes; 9 min on 2 busy cores",
    "lenet": "20 LeNet-5 on MNIST or Fashion-MNIST; MNIST 9 min on 2 busy cores",
    "vgg": "20 networks of three convolutions on MNIST; 12 min on 2 busy cores",
}


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


def keys_of(config: Config) -> Array:
    """Of the networks' starts, of the order of their batches, and of the control."""
    return jax.random.split(jax.random.key(config.seed), 3)


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


def study(
    config: Config, network: Any, spec: PermutationSpec, parents: PyTree, data: Dataset, run: lab.Run
) -> dict[str, np.ndarray]:
    """All pairs in one mode: arrays with a leading axis of pairs."""
    count = config.networks // 2
    inputs = jnp.asarray((data.train.x if config.mode == "clean" else data.test.x)[: config.aligned])

    def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        here = slice(number * config.at_once, min((number + 1) * config.at_once, count))
        a, b = (
            jax.tree.map(lambda leaf, side=side: jnp.asarray(leaf[2 * here.start + side : 2 * here.stop : 2]), parents)
            for side in (0, 1)
        )
        pairs = config.first // 2 + np.arange(count)[here]
        rows = compare(config, network.apply, spec, a, b, inputs, data, pairs, pictured=number == 0)
        for name, values in rows.items():
            found[name][here if len(found[name]) == count else slice(None)] = values
        middle = rows["loss"][..., midpoint(ts_of(config))].mean(axis=(0, 1))
        shown = ("naive", "one_to_one")
        return found, {name: middle[methods_of(config, spec).index(name)] for name in shown}

    total = -(-count // config.at_once)
    return run.loop(f"aligning pairs, {config.mode}", room(config, spec), step, total=total)


def room(config: Config, spec: PermutationSpec) -> dict[str, np.ndarray]:
    """Where the results of all pairs go."""
    pairs, methods = config.networks // 2, len(methods_of(config, spec))
    shapes = {
        "loss": (pairs, 2, methods, config.points),
        "accuracy": (pairs, 2, methods, config.points),
        "rank_loss": (pairs, len(config.ranks)),
        "ridge_loss": (pairs, len(config.ridges)),
        "significant": (pairs, len(spec.groups)),
        "significant_kept": (pairs, len(spec.groups)),
        "strong": (pairs, len(spec.groups)),
    }
    shown = min(SHOWN, next(iter(spec.groups.values())))
    shapes |= {f"correlation_{name}": (1, shown, shown) for name in ("a", "b", "ab", "cca", "one_to_one")}
    return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}


def compare(
    config: Config,
    apply: Apply,
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    inputs: Array,
    data: Dataset,
    pairs: np.ndarray,
    *,
    pictured: bool,
) -> dict[str, np.ndarray]:
    """The lines between some parents by every method, and halfway by every number of directions and every ridge."""
    relations = relate_pairs(apply, a, b, inputs, spec=spec)
    matches = by_cca(config, relations) | by_correlation(config, relations)
    orders = {name: orders_of(of_method) for name, of_method in matches.items()}
    exact = match_pairs(relations, method="correlation")
    orders["weights"] = by_weights(spec, a, b, {group: m.y for group, m in exact.items()})
    orders["chance"] = by_chance(config, relations, jnp.asarray(pairs))

    def lines(orders: Sequence[Orders], ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy on both halves of the images that score, [pairs, halves, orders, t]."""
        sides = [{g: jnp.stack([order[side][g] for order in orders], axis=1) for g in relations} for side in (0, 1)]
        found = [
            sweep_pairs(apply, a, b, x, y, ts=ts, spec=spec, permutations_a=sides[0], permutations_b=sides[1])
            for x, y in halves(config, data)
        ]
        return np.stack([s.loss for s in found], axis=1), np.stack([s.accuracy for s in found], axis=1)

    halfway = [f"rank {rank}" for rank in config.ranks] + [f"ridge {ridge:g}" for ridge in config.ridges]
    loss, accuracy = lines([orders[name] for name in methods_of(config, spec)], ts_of(config))
    middle = over_halves(
        lines([orders[name] for name in halfway], np.array([0.5], np.float32))[0], halves(config, data)
    )[..., 0]
    rows = {
        "loss": loss,
        "accuracy": accuracy,
        "rank_loss": middle[:, : len(config.ranks)],
        "ridge_loss": middle[:, len(config.ranks) :],
    }
    if pictured:
        rows |= {name: matrix[None] for name, matrix in matrices(config, relations, matches).items()}
    return rows | correspondences(config, relations, matches)


def methods_of(config: Config, spec: PermutationSpec) -> list[str]:
    """The methods of a study: without SVCCA where it would be CCA."""
    return [name for name in METHODS if name != "svcca" or config.rank < max(spec.groups.values())]


@partial(jax.jit, static_argnames="config")
def by_cca(config: Config, relations: dict[str, Relation]) -> dict[str, dict[str, GroupMatch]]:
    """The partners of all pairs by every setting of CCA.

    One program, in which what the settings share, the decomposition of each network's covariance, is done once.
    """

    def one(relations: dict[str, Relation]) -> dict[str, dict[str, GroupMatch]]:
        found: dict[str, dict[str, GroupMatch]] = {}
        for group, relation in relations.items():
            for name, settings in settings_of_cca(config, relation).items():
                found[name] = found.get(name, {}) | match_groups({group: relation}, settings)
        return found

    return ea.population.map(one, relations)


def settings_of_cca(config: Config, relation: Relation) -> dict[str, Settings]:
    """Everything that is tried: a layer has no more directions than neurons."""
    code, width = config.mode == "code", relation.moments.mean_x.shape[-1]
    cca = partial(Settings, "cca", mode="code" if code else "text")
    found = {"cca": cca(), "svcca": cca(rank=min(config.rank, width)), "shown": cca(rank=min(SHOWN, width))}
    found |= {f"rank {rank}": cca(rank=min(rank, width)) for rank in config.ranks}
    return found | {
        f"ridge {ridge:g}": cca(ridge=ridge / relation.samples if code else ridge) for ridge in config.ridges
    }


def by_correlation(config: Config, relations: dict[str, Relation]) -> dict[str, dict[str, GroupMatch]]:
    """The partners of all pairs by the methods that need no CCA, and by structure loadings."""
    code = config.mode == "code"
    loadings = {}
    for group, relation in relations.items():
        rank = max(1, relation.moments.mean_x.shape[-1] // 2)  # with all directions they would be the correlations
        loadings |= match_pairs({group: relation}, method="loadings", rank=rank)
    return {
        "naive": match_pairs(relations, method="none"),
        "one_to_one": match_pairs(relations, method="greedy" if code else "correlation"),
        "semi": match_pairs(relations, method="semi", direction="y" if code else "x"),
        "loadings": loadings,
    }


def orders_of(matches: dict[str, GroupMatch]) -> Orders:
    """The partners as index arrays."""
    return {group: m.x for group, m in matches.items()}, {group: m.y for group, m in matches.items()}


def by_weights(spec: PermutationSpec, a: PyTree, b: PyTree, start: dict[str, Array]) -> Orders:
    """Weight matching: one climb from given orders of b, one from b as it is."""
    found = []
    for number in range(ea.population.size(a)):
        pair = ea.population.take((a, b, start), number)
        found.append(ea.alignment.match_weights(spec, *pair, restarts=2))
    orders = ea.population.stack(found)
    as_they_are = {g: jnp.broadcast_to(jnp.arange(order.shape[-1]), order.shape) for g, order in orders.items()}
    return as_they_are, orders


@partial(jax.jit, static_argnames="config")
def by_chance(config: Config, relations: dict[str, Relation], pairs: Array) -> Orders:
    """The control: dead neurons are paired with each other, all others at random, each pair by its number."""

    def one(relations: dict[str, Relation], pair: Array) -> Orders:
        keys = jax.random.split(jax.random.fold_in(keys_of(config)[2], pair), len(relations))
        found = {}
        for (group, relation), key in zip(relations.items(), keys, strict=True):
            m = relation.moments
            scores = jax.random.uniform(key, m.cross.shape)
            found[group] = ea.matching.greedy_index(scores, dead_x=m.dead_x, dead_y=m.dead_y)
        return {group: m.x for group, m in found.items()}, {group: m.y for group, m in found.items()}

    return ea.population.map(one, relations, pairs)


@partial(jax.jit, static_argnames="rank")
def cca_pairs(relation: Relation, rank: int) -> CCA:
    """CCA of every pair, of some directions."""
    return ea.population.map(lambda r: ea.similarity.cca_of(r.moments, rank), relation)


def correspondences(
    config: Config, relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]
) -> dict[str, np.ndarray]:
    """Numbers of significant canonical relations and of strongly correlated partners, [pairs, groups]."""
    counts: dict[str, list[list[int]]] = {"significant": [], "significant_kept": []}
    strong = []
    for group, relation in relations.items():
        width = relation.moments.mean_x.shape[-1]
        for name, rank in (("significant", width), ("significant_kept", min(config.rank, width))):
            result = cca_pairs(relation, rank)
            ranks = zip(np.asarray(result.rank_x).tolist(), np.asarray(result.rank_y).tolist(), strict=True)
            tests = [
                statistics.bartlett(rho[: min(p, q)], relation.samples, p, q)
                for rho, (p, q) in zip(np.asarray(result.correlations), ranks, strict=True)
            ]
            counts[name].append([test.count for test in tests])
        strong.append(np.sum(np.asarray(matches["one_to_one"][group].score) >= STRONG, axis=1))
    return {name: np.array(of_name).T for name, of_name in counts.items()} | {"strong": np.array(strong).T}


def matrices(
    config: Config, relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]
) -> dict[str, np.ndarray]:
    """Figure 4: the correlations of the first layer's neurons in the first pair, before and after matching."""
    group = next(iter(relations))
    m = ea.population.take(relations[group], 0).moments
    cross = np.asarray(ea.similarity.correlation_of(m))
    found: dict[str, Any] = {"correlation_ab": cross}
    for net, side in (("a", "x"), ("b", "y")):
        found[f"correlation_{net}"] = ea.similarity.within_correlations(m, side)
    for name, method in (("cca", "shown"), ("one_to_one", "one_to_one")):
        match = ea.population.take(matches[method][group], 0)
        first = len(cross) - SHOWN if method == "shown" and config.mode == "code" else 0  # there, pairs come last
        chosen = slice(max(first, 0), None)
        found[f"correlation_{name}"] = cross[np.asarray(match.x)[chosen]][:, np.asarray(match.y)[chosen]]
    return {name: np.asarray(matrix)[:SHOWN, :SHOWN] for name, matrix in found.items()}


def ts_of(config: Config) -> np.ndarray:
    """The paper's range of t."""
    return np.linspace(-0.25, 1.25, config.points, dtype=np.float32)


def halves(config: Config, data: Dataset) -> list[tuple[Array, np.ndarray]]:
    """The images that score, evenly spread, in two parts: what is chosen on one is judged on the other."""
    total = len(data.test.y)
    chosen = np.arange(min(config.scored, total)) * total // min(config.scored, total)
    x, y = np.asarray(data.test.x), np.asarray(data.test.y)
    return [(jnp.asarray(x[part]), y[part]) for part in (chosen[::2], chosen[1::2])]


def over_halves(values: np.ndarray, parts: Sequence[Any]) -> np.ndarray:
    """The means over all images, from those over both parts, which are the second axis."""
    sizes = [len(y) for _, y in parts]
    return np.average(values, axis=1, weights=sizes).astype(values.dtype)


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
