"""Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).

Trains a population, pairs its members, aligns every pair by the paper's methods, and walks the straight line between
the two parents: naive crossover against SC-CCA (all directions, and SVCCA) and SC-PwC (one-to-one, and semi-matching).

    python experiments/safe_crossover.py
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab, plotting, statistics
from evojax_align.alignment import GroupMatch, Relation, match_pairs, relate_pairs
from evojax_align.data import Dataset
from evojax_align.interpolation import Sweep, barrier

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
    points: int = 31
    """Values of t in [-0.25, 1.25]."""


PRESETS = {"demo": Config()}


def run(config: Config, data: Dataset, monitor: lab.Monitor) -> dict[str, np.ndarray]:
    """Train, align and sweep; returns everything that figures and claims are made of."""
    network = ea.models.MLP(hidden=config.hidden, classes=data.num_classes)
    parents, trained = train(config, network, data, monitor)
    first, second = ea.population.pairs(parents)
    scored = data.test
    inputs = data.train.x if config.mode == "clean" else scored.x
    spec = ea.symmetry.infer(network.apply, ea.population.take(parents, 0), inputs[:1])

    with monitor.phase("relating neurons"):
        relations = jax.block_until_ready(relate_pairs(network.apply, first, second, inputs, spec=spec))
    ts = np.linspace(-0.25, 1.25, config.points, dtype=np.float32)
    with monitor.phase("matching", len(METHODS)) as bar:
        matches = {}
        for method in METHODS:
            matches[method] = matched(relations, method, config)
            bar.step()
    sweeps = partial(swept, network, first, second, scored, spec=spec)
    with monitor.phase("sweeping over t"):
        lines = jax.block_until_ready(sweeps(list(matches.values()), ts))
    with monitor.phase("directions of SVCCA", 2) as bar:
        by_rank = [matched(relations, "svcca", dataclasses.replace(config, rank=rank)) for rank in config.ranks]
        bar.step()
        halfway = sweeps(by_rank, np.array([0.0, 0.5, 1.0], np.float32))
        bar.step()

    measured = {
        "ts": ts,
        "methods": np.array(list(matches)),
        "loss": by_method(lines.loss),
        "accuracy": by_method(lines.accuracy),
        **{f"barrier_{kind}": by_method(barrier(lines, kind)) for kind in ("chord", "ends", "accuracy")},
        "ranks": np.array(config.ranks),
        "rank_loss": by_method(halfway.loss)[..., 1],
        "rank_accuracy": by_method(halfway.accuracy)[..., 1],
    }
    return trained | measured | correspondences(relations, matches) | about(config, data)


def train(
    config: Config, network: ea.models.MLP, data: Dataset, monitor: lab.Monitor
) -> tuple[Any, dict[str, np.ndarray]]:
    """The parents: trained apart, each from its own start, with the parameters of its best epoch."""
    key_init, key_fit = jax.random.split(jax.random.key(config.seed))
    start = ea.population.init(lambda key: network.init(key, data.train.x[:1]), key_init, config.networks)
    with monitor.phase(f"training {config.networks} networks", config.epochs) as bar:

        def show(_: int, metrics: dict[str, np.ndarray]) -> None:
            bar.step(
                best=float(np.nanmin(metrics["validation_loss"])), mean=float(np.nanmean(metrics["validation_loss"]))
            )

        parents, history = ea.training.fit(
            network.apply,
            start,
            (data.train.x, data.train.y),
            optax.adam(config.learning_rate),
            epochs=config.epochs,
            batch_size=config.batch_size,
            key=key_fit,
            validation=(data.validation.x, data.validation.y),
            patience=config.patience,
            keep_best=True,
            on_epoch=show,
        )
    return parents, {
        "training_loss": np.asarray(history.loss),
        "validation_loss": np.asarray(history.validation_loss),
        "best_epoch": np.asarray(history.best_epoch),
    }


def matched(relations: dict[str, Relation], method: str, config: Config) -> dict[str, GroupMatch]:
    """The partners of all pairs, group by group, by one of the methods compared."""
    code = config.mode == "code"
    found = {}
    for group, relation in relations.items():
        width = relation.moments.mean_x.shape[-1]
        settings: dict[str, Any] = {
            "naive": {"method": "semi"},
            "cca": {"method": "cca", "mode": "code" if code else "text"},
            "svcca": {"method": "cca", "mode": "code" if code else "text", "rank": min(config.rank, width)},
            "one_to_one": {"method": "greedy" if code else "correlation"},
            "semi": {"method": "semi", "direction": "y" if code else "x"},
        }[method]
        match = match_pairs({group: relation}, **settings)[group]
        if method == "naive":
            same = jnp.broadcast_to(jnp.arange(width), match.x.shape)
            match = dataclasses.replace(match, x=same, y=same)
        found[group] = match
    return found


def swept(
    network: ea.models.MLP,
    first: Any,
    second: Any,
    part: Any,
    matches: list[dict[str, GroupMatch]],
    ts: np.ndarray,
    *,
    spec: ea.symmetry.PermutationSpec,
) -> Sweep:
    """The line between all parents for several matchings at once: arrays [pairs, matchings, t]."""
    groups = list(matches[0])
    of_a, of_b = ({g: jnp.stack([getattr(m[g], side) for m in matches], axis=1) for g in groups} for side in "xy")
    x, y = jnp.asarray(part.x), jnp.asarray(part.y)

    @jax.jit
    def all_pairs(first: Any, second: Any, of_a: dict, of_b: dict) -> Sweep:
        def one(a: Any, b: Any, index_a: dict, index_b: dict) -> Sweep:
            return ea.interpolation.sweep(
                network.apply, a, b, x, y, ts=ts, spec=spec, permutations_a=index_a, permutations_b=index_b
            )

        return ea.population.map(one, first, second, of_a, of_b)

    return all_pairs(first, second, of_a, of_b)


def correspondences(relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]) -> dict[str, np.ndarray]:
    """Significant canonical relations, strongly correlated partners, and Figure 4's matrices of the first pair."""
    canonical = jax.jit(partial(ea.population.map, lambda r: ea.similarity.cca_of(r.moments)))
    counts, strong = [], []
    for relation in relations.values():
        result = canonical(relation)
        tests = [
            statistics.bartlett(rho[: min(p, q)], relation.samples, int(p), int(q))
            for rho, p, q in zip(
                *(np.asarray(v) for v in (result.correlations, result.rank_x, result.rank_y)), strict=True
            )
        ]
        counts.append([test.count for test in tests])
        partners = match_pairs({"": relation}, method="correlation")[""]
        strong.append(np.sum(np.asarray(partners.score) >= STRONG, axis=1))
    group, relation = next(iter(relations.items()))
    m = ea.population.take(relation, 0).moments
    cross = np.asarray(ea.similarity.correlation_of(m))
    within = [ea.similarity.within_correlations(m, side) for side in "xy"]
    partners = {}
    for method in ("svcca", "one_to_one"):
        match = ea.population.take(matches[method][group], 0)
        partners[f"correlation_{method}"] = cross[np.asarray(match.x)][:, np.asarray(match.y)]
    return {
        "groups": np.array(list(relations)),
        "significant": np.array(counts).T,
        "strong": np.array(strong).T,
        "correlation_a": np.asarray(within[0]),
        "correlation_b": np.asarray(within[1]),
        "correlation_ab": cross,
        **partners,
    }


def about(config: Config, data: Dataset) -> dict[str, np.ndarray]:
    """What captions and tables say of the study."""
    return {"dataset": np.array(data.name), "mode": np.array(config.mode), "rank": np.array(config.rank)}


def by_method(values: jax.Array) -> np.ndarray:
    """From [pairs, methods, ...] to [methods, pairs, ...]."""
    return np.swapaxes(np.asarray(values), 0, 1)


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """The paper's Figures 2, 3 and 4, and all methods in one picture."""
    names, ts, rank = arrays["methods"].tolist(), arrays["ts"], int(arrays["rank"])
    naive = arrays["loss"][names.index("naive")][:, midpoint(ts)]
    shares = [statistics.win_share(loss, naive, alternative="less") for loss in arrays["rank_loss"]]
    fig, axes = plotting.figure(width=4.6, height=3.0)
    intervals = np.array([[share.low, share.high] for share in shares])
    estimates, label = np.array([share.estimate for share in shares]), str(arrays["dataset"])
    plotting.plot_win_share(arrays["ranks"], estimates, axes[0, 0], intervals=intervals, label=label)
    plotting.save(fig, folder / "figure-2-directions.png")

    titles = {**METHODS, "svcca": f"SC-CCA, SVCCA of {rank}"}
    fig, axes = plotting.figure(1, len(names), width=3.2, height=2.8)
    highest = 1.25 * arrays["loss"][names.index("naive")].mean(axis=0).max()
    for number, name in enumerate(names):
        loss, accuracy = arrays["loss"][number], arrays["accuracy"][number]
        right = plotting.plot_sweep(ts, loss, accuracy, axes[0, number], title=titles[name])
        right.set_ylim(0, highest)
    plotting.save(fig, folder / "figure-3-sweeps.png")

    panels = (
        ("correlation_a", "(a) within a", "a", "a"),
        ("correlation_b", "(b) within b", "b", "b"),
        ("correlation_ab", "(c) between a and b", "a", "b"),
        ("correlation_svcca", f"(d) partners by SVCCA of {rank}", "a", "b"),
        ("correlation_one_to_one", "(e) partners one-to-one", "a", "b"),
    )
    fig, axes = plotting.figure(1, len(panels), width=2.9, height=2.9)
    images = [
        plotting.plot_correlations(
            arrays[name][:SHOWN, :SHOWN], ax, title=title, x=f"neuron of {x}", y=f"neuron of {y}"
        )
        for ax, (name, title, y, x) in zip(axes[0], panels, strict=True)
    ]
    plotting.color_bar(images[0], axes)
    plotting.save(fig, folder / "figure-4-correlations.png")

    fig, axes = plotting.figure(1, 2, width=4.6, height=3.2)
    for ax, quantity in zip(axes[0], ("loss", "accuracy"), strict=True):
        curves = {titles[name]: arrays[quantity][number] for number, name in enumerate(names)}
        plotting.plot_sweeps(ts, curves, ax, quantity=quantity)
    plotting.save(fig, folder / "sweeps.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The paper's claims, each decided by a paired one-sided Wilcoxon test over pairs, and the tables."""
    names, ts = arrays["methods"].tolist(), arrays["ts"]
    half, start, end = midpoint(ts), int(np.argmin(np.abs(ts))), int(np.argmin(np.abs(ts - 1)))
    loss = {name: arrays["loss"][number] for number, name in enumerate(names)}
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
                "accuracy at t=.5": mean(arrays["accuracy"][number][:, half]),
                "barrier (chord)": mean(arrays["barrier_chord"][number]),
                "below naive": share(middle[name] < middle["naive"]),
            }
            for number, name in enumerate(names)
        ],
        "directions kept by SVCCA": [
            {"directions": int(rank), "loss at t=.5": mean(of_rank), "below naive": share(of_rank < middle["naive"])}
            for rank, of_rank in zip(arrays["ranks"], arrays["rank_loss"], strict=True)
        ],
        "correspondence": [
            {
                "group": str(group),
                "significant canonical correlations (Bartlett)": mean(arrays["significant"][:, number]),
                "the paper's, MNIST": 125,
                f"one-to-one pairs of correlation {STRONG} or more": mean(arrays["strong"][:, number]),
                "the paper's, on MNIST": 203,
            }
            for number, group in enumerate(arrays["groups"])
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
    description="Safe crossover of neural networks through neuron alignment (Uriot & Izzo, GECCO 2020).",
    presets=PRESETS,
    modes=tuple(MODES),
    run=run,
    plot=plot,
    judge=judge,
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
