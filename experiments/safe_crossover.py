"""Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).

Trains a population, pairs its members, aligns every pair by the paper's methods, and walks the straight line between
the two parents: naive crossover against SC-CCA (all directions, and SVCCA) and SC-PwC (one-to-one, and semi-matching).

    python experiments/safe_crossover.py
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: LAPACK's own threads stall beside XLA's

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab, plotting, statistics
from evojax_align.alignment import GroupMatch, Relation, match_pairs, relate_pairs
from evojax_align.data import Dataset
from evojax_align.interpolation import Sweep, barrier, sweep_pairs
from evojax_align.similarity import CCA

METHODS = {
    "naive": "naive crossover",
    "cca": "SC-CCA, all directions",
    "svcca": "SC-CCA, SVCCA",
    "one_to_one": "SC-PwC, one-to-one",
    "semi": "SC-PwC, semi-matching",
}
MODES = {
    "clean": "aligned on training images, scored on test images; the paper's text otherwise",
    "text": "as the paper's text: aligned on the images that score the offspring",
    "code": "as the authors' code: that, sorted weights, greedy matching, semi-matching of the other side",
}
SHOWN = 100
"""The first neurons, or pairs of partners, that Figure 4 shows."""
STRONG = 0.7
"""The paper counts pairs of neurons of at least this correlation."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one study."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    networks: int = 40
    hidden: tuple[int, ...] = (128,)
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int = 5
    rank: int = 64
    """Directions that SVCCA keeps."""
    ranks: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 96, 128)
    """Directions of Figure 2."""
    at_once: int = 20
    """Pairs that are aligned between two checkpoints."""
    points: int = 31
    """Values of t in [-0.25, 1.25]."""


PRESETS = {"demo": Config()}
COSTS = {"demo": "40 networks and 20 pairs on handwritten digits; 20 s on 2 cores"}


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """Train, align and sweep; returns everything that figures and claims are made of."""
    network = ea.models.MLP(hidden=config.hidden, classes=data.num_classes)
    parents, trained = train(config, network, data, run)
    inputs = jnp.asarray(data.train.x if config.mode == "clean" else data.test.x)
    spec = ea.symmetry.infer(network.apply, ea.population.take(parents, 0), inputs[:1])
    first, second = ea.population.pairs(parents)

    def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        here = slice(number * config.at_once, (number + 1) * config.at_once)
        a, b = ea.population.take(first, here), ea.population.take(second, here)
        relations = relate_pairs(network.apply, a, b, inputs, spec=spec)
        matches = {method: matched(config, relations, method) for method in METHODS}
        rows = compare(config, network, spec, a, b, relations, matches, data) | correspondences(relations, matches)
        if number == 0:
            rows |= {name: matrix[None] for name, matrix in matrices(relations, matches).items()}
        for name, values in rows.items():
            found[name][here] = values
        naive, best = (rows["loss"][:, name, config.points // 2].mean() for name in (0, 3))
        return found, {"naive": naive, "one_to_one": best}

    found = run.loop("aligning pairs", empty(config, spec), step, total=-(-config.networks // 2 // config.at_once))
    lines = Sweep(*(jnp.asarray(v) for v in (ts_of(config), found["loss"], found["accuracy"])))
    for kind in ("chord", "ends", "accuracy"):
        found[f"barrier_{kind}"] = np.asarray(barrier(lines, kind))
    constants = {
        "ts": ts_of(config),
        "methods": np.array(list(METHODS)),
        "ranks": np.array(config.ranks),
        "groups": np.array(list(spec.groups)),
        "dataset": np.array(data.name),
        "rank": np.array(config.rank),
    }
    return trained | found | constants


def train(config: Config, network: ea.models.MLP, data: Dataset, run: lab.Run) -> tuple[Any, dict[str, np.ndarray]]:
    """The parents: trained apart, each from its own start, with the parameters of its best epoch."""
    key_init, key_fit = jax.random.split(jax.random.key(config.seed))
    start = ea.population.init(lambda key: network.init(key, data.train.x[:1]), key_init, config.networks)
    optimizer = optax.adam(config.learning_rate)
    members = ea.training.init(start, optimizer, epochs=config.epochs, key=key_fit, validated=True, keep_best=True)
    part, validation = (jax.tree.map(jnp.asarray, tuple(p)) for p in (data.train, data.validation))

    def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
        members = ea.training.step_epoch(
            network.apply,
            members,
            part,
            optimizer,
            batch_size=config.batch_size,
            validation=validation,
            patience=config.patience,
        )
        losses = np.asarray(members.history["validation_loss"][:, number])
        return members, {"best": float(np.nanmin(losses)), "mean": float(np.nanmean(losses))}

    members = run.loop(
        f"training {config.networks} networks",
        members,
        step,
        total=config.epochs,
        done=lambda members: not np.asarray(members.active).any(),
    )
    parents, history = ea.training.finish(members)
    return parents, {
        "training_loss": np.asarray(history.loss),
        "validation_loss": np.asarray(history.validation_loss),
        "best_epoch": np.asarray(history.best_epoch),
    }


def compare(
    config: Config,
    network: ea.models.MLP,
    spec: ea.symmetry.PermutationSpec,
    a: Any,
    b: Any,
    relations: dict[str, Relation],
    matches: dict[str, dict[str, GroupMatch]],
    data: Dataset,
) -> dict[str, np.ndarray]:
    """The lines between some parents by every method, and halfway by every number of directions."""

    def lines(matches: list[dict[str, GroupMatch]], ts: np.ndarray) -> Sweep:
        of_a, of_b = (
            {g: jnp.stack([getattr(m[g], side) for m in matches], axis=1) for g in relations} for side in "xy"
        )
        chosen = {"spec": spec, "permutations_a": of_a, "permutations_b": of_b}
        return sweep_pairs(network.apply, a, b, jnp.asarray(data.test.x), data.test.y, ts=ts, **chosen)

    methods = lines([matches[method] for method in METHODS], ts_of(config))
    ranks = [matched(dataclasses.replace(config, rank=rank), relations, "svcca") for rank in config.ranks]
    halfway = lines(ranks, np.array([0.5], np.float32))
    return {
        "loss": np.asarray(methods.loss),
        "accuracy": np.asarray(methods.accuracy),
        "rank_loss": np.asarray(halfway.loss)[..., 0],
        "rank_accuracy": np.asarray(halfway.accuracy)[..., 0],
    }


def matched(config: Config, relations: dict[str, Relation], method: str) -> dict[str, GroupMatch]:
    """The partners of all pairs, group by group, by one of the methods compared."""
    code = config.mode == "code"
    found = {}
    for group, relation in relations.items():
        rank = min(config.rank, relation.moments.mean_x.shape[-1])
        settings: dict[str, Any] = {
            "naive": {"method": "none"},
            "cca": {"method": "cca", "mode": "code" if code else "text"},
            "svcca": {"method": "cca", "mode": "code" if code else "text", "rank": rank},
            "one_to_one": {"method": "greedy" if code else "correlation"},
            "semi": {"method": "semi", "direction": "y" if code else "x"},
        }[method]
        found |= match_pairs({group: relation}, **settings)
    return found


@jax.jit
def cca_pairs(relation: Relation) -> CCA:
    """CCA of all directions, of every pair."""
    return ea.population.map(lambda r: ea.similarity.cca_of(r.moments), relation)


def correspondences(relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]) -> dict[str, np.ndarray]:
    """Numbers of significant canonical relations and of strongly correlated partners, [pairs, groups]."""
    counts, strong = [], []
    for group, relation in relations.items():
        result = cca_pairs(relation)
        ranks = zip(np.asarray(result.rank_x).tolist(), np.asarray(result.rank_y).tolist(), strict=True)
        tests = [
            statistics.bartlett(rho[: min(p, q)], relation.samples, p, q)
            for rho, (p, q) in zip(np.asarray(result.correlations), ranks, strict=True)
        ]
        counts.append([test.count for test in tests])
        strong.append(np.sum(np.asarray(matches["one_to_one"][group].score) >= STRONG, axis=1))
    return {"significant": np.array(counts).T, "strong": np.array(strong).T}


def matrices(relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]) -> dict[str, np.ndarray]:
    """Figure 4: the correlations of the first layer's neurons in the first pair, before and after matching."""
    group = next(iter(relations))
    m = ea.population.take(relations[group], 0).moments
    cross = np.asarray(ea.similarity.correlation_of(m))
    found: dict[str, Any] = {"correlation_ab": cross}
    for net, side in (("a", "x"), ("b", "y")):
        found[f"correlation_{net}"] = ea.similarity.within_correlations(m, side)
    for method in ("svcca", "one_to_one"):
        match = ea.population.take(matches[method][group], 0)
        found[f"correlation_{method}"] = cross[np.asarray(match.x)][:, np.asarray(match.y)]
    return {name: np.asarray(matrix) for name, matrix in found.items()}


def empty(config: Config, spec: ea.symmetry.PermutationSpec) -> dict[str, np.ndarray]:
    """Room for the results of all pairs."""
    pairs, width = config.networks // 2, next(iter(spec.groups.values()))
    room = {
        "loss": (pairs, len(METHODS), config.points),
        "accuracy": (pairs, len(METHODS), config.points),
        "rank_loss": (pairs, len(config.ranks)),
        "rank_accuracy": (pairs, len(config.ranks)),
        "significant": (pairs, len(spec.groups)),
        "strong": (pairs, len(spec.groups)),
    }
    shown = ("a", "b", "ab", "svcca", "one_to_one")
    room |= {f"correlation_{name}": (1, width, width) for name in shown}
    return {name: np.full(shape, np.nan, np.float32) for name, shape in room.items()}


def ts_of(config: Config) -> np.ndarray:
    """The paper's range of t."""
    return np.linspace(-0.25, 1.25, config.points, dtype=np.float32)


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """The paper's Figures 2, 3 and 4, and all methods in one picture."""
    names, ts, rank = arrays["methods"].tolist(), arrays["ts"], int(arrays["rank"])
    naive = arrays["loss"][:, names.index("naive"), midpoint(ts)]
    shares = [statistics.win_share(loss, naive, alternative="less") for loss in arrays["rank_loss"].T]
    fig, axes = plotting.figure(width=4.6, height=3.0)
    intervals = np.array([[share.low, share.high] for share in shares])
    estimates, label = np.array([share.estimate for share in shares]), str(arrays["dataset"])
    plotting.plot_win_share(arrays["ranks"], estimates, axes[0, 0], intervals=intervals, label=label)
    plotting.save(fig, folder / "figure-2-directions.png")

    titles = {**METHODS, "svcca": f"SC-CCA, SVCCA of {rank}"}
    fig, axes = plotting.figure(2, 3, width=3.2, height=2.6)
    axes[-1, -1].set_visible(False)
    highest = 1.25 * arrays["loss"][:, names.index("naive")].mean(axis=0).max()
    for number, name in enumerate(names):
        loss, accuracy = arrays["loss"][:, number], arrays["accuracy"][:, number]
        right = plotting.plot_sweep(ts, loss, accuracy, axes.flat[number], title=titles[name])
        right.set_ylim(0, highest)
    plotting.save(fig, folder / "figure-3-sweeps.png")

    panels = (
        ("correlation_a", "(a) within a", "a", "a"),
        ("correlation_b", "(b) within b", "b", "b"),
        ("correlation_ab", "(c) between a and b", "a", "b"),
        ("correlation_svcca", f"(d) partners by SVCCA of {rank}", "a", "b"),
        ("correlation_one_to_one", "(e) partners one-to-one", "a", "b"),
    )
    fig, axes = plotting.figure(2, 3, width=3.0, height=3.0)
    axes[-1, -1].set_visible(False)
    images = [
        plotting.plot_correlations(
            arrays[name][0, :SHOWN, :SHOWN], ax, title=title, x=f"neuron of {x}", y=f"neuron of {y}"
        )
        for ax, (name, title, y, x) in zip(axes.flat, panels, strict=False)
    ]
    plotting.color_bar(images[0], axes)
    plotting.save(fig, folder / "figure-4-correlations.png")

    fig, axes = plotting.figure(1, 2, width=4.6, height=3.2)
    for ax, quantity in zip(axes[0], ("loss", "accuracy"), strict=True):
        curves = {titles[name]: arrays[quantity][:, number] for number, name in enumerate(names)}
        plotting.plot_sweeps(ts, curves, ax, quantity=quantity)
    plotting.save(fig, folder / "sweeps.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The paper's claims, each decided by a paired one-sided Wilcoxon test over pairs, and the tables."""
    names, ts = arrays["methods"].tolist(), arrays["ts"]
    half, start, end = midpoint(ts), int(np.argmin(np.abs(ts))), int(np.argmin(np.abs(ts - 1)))
    loss = {name: arrays["loss"][:, number] for number, name in enumerate(names)}
    middle = {name: values[:, half] for name, values in loss.items()}
    better_parent = np.minimum(loss["naive"][:, start], loss["naive"][:, end])

    def lower(id: str, statement: str, paper: float | None, x: np.ndarray, y: np.ndarray) -> lab.Claim:
        share = statistics.win_share(x, y, alternative="less")
        return lab.claim(id, statement, paper, share, statistics.wilcoxon(x, y, alternative="less"))

    one_to_one, svcca, cca = middle["one_to_one"], middle["svcca"], middle["cca"]
    claims = [
        lower("svcca_beats_naive", "t=.5: SVCCA below naive in loss", 0.985, svcca, middle["naive"]),
        lower("cca_beats_naive", "t=.5: CCA of all directions below naive", 0.925, cca, middle["naive"]),
        lower("svcca_beats_cca", "t=.5: SVCCA below CCA of all directions", None, svcca, cca),
        lower("one_to_one_beats_naive", "t=.5: one-to-one below naive", None, one_to_one, middle["naive"]),
        lower("semi_beats_naive", "t=.5: semi-matching below naive", None, middle["semi"], middle["naive"]),
        lower("one_to_one_beats_svcca", "t=.5: one-to-one below SVCCA", None, one_to_one, svcca),
        lower("child_beats_parents", "t=.5: one-to-one below both parents", None, one_to_one, better_parent),
    ]
    tables = {
        "methods": [
            {
                "method": METHODS[name],
                "loss at t=0": mean(loss[name][:, start]),
                "loss at t=.5": mean(middle[name]),
                "loss at t=1": mean(loss[name][:, end]),
                "accuracy at t=.5": mean(arrays["accuracy"][:, number, half]),
                "barrier (chord)": mean(arrays["barrier_chord"][:, number]),
                "below naive": share(middle[name] < middle["naive"]),
            }
            for number, name in enumerate(names)
        ],
        "directions kept by SVCCA": [
            {"directions": int(rank), "loss at t=.5": mean(of_rank), "below naive": share(of_rank < middle["naive"])}
            for rank, of_rank in zip(arrays["ranks"], arrays["rank_loss"].T, strict=True)
        ],
        "correspondence": [
            {"group": str(group), "mean over pairs of": what, "ours": mean(arrays[name][:, number]), "paper": paper}
            for number, group in enumerate(arrays["groups"])
            for name, what, paper in (
                ("significant", "significant canonical correlations (Bartlett)", 125),
                ("strong", f"one-to-one partners of correlation {STRONG} or more", 203),
            )
        ],
    }
    return lab.decide(claims), tables


def midpoint(ts: np.ndarray) -> int:
    """The place of t = .5."""
    return int(np.argmin(np.abs(ts - 0.5)))


def mean(values: np.ndarray) -> float:
    """Rounded, so that tables hold what they show."""
    return float(f"{float(np.mean(values)):.6g}")


def share(wins: np.ndarray) -> str:
    """Wins out of all."""
    return f"{int(np.sum(wins))}/{len(wins)}"


EXPERIMENT = lab.Experiment(
    name="safe_crossover",
    description="Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).\n"
    "The paper's values are those of its MNIST study.",
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
