"""Figures, claims and tables of `mixed_evolution.py`, from the stored arrays of a study alone."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting, statistics
from evojax_align.evolution import diversity

TARGETS = ("best member", "other members", "child", "other children", "grown child", "other grown children")
"""Networks that are attacked, each followed by those that have to answer to the same images."""
NOTEBOOK = {
    "horizontal": ((91.87, 91.36), (93.89, 92.89), (94.96, 94.15), (95.90, 94.68), (96.58, 95.69), (96.91, 96.19)),
    "vertical": ((91.64, 91.08), (93.84, 92.68), (94.83, 93.71), (95.80, 94.60), (96.38, 95.55), (96.87, 96.29)),
}
"""Best and worst test accuracy per generation in the authors' notebook, in percent; on MNIST, with blocks as genes."""
PUBLISHED = {
    "best member": {"horizontal": 0.0061, "vertical": 0.0063},
    "other members": {"horizontal": 0.031, "vertical": 0.0154},
    "other children": {"horizontal": 0.0970, "vertical": 0.0436},
}
"""Accuracy under attack there; the middle of the range where they give one, the mean of ten children."""
LINKED = 0.9
"""Members whose layers have at least this cosine similarity belong to one group."""
COLLAPSED = 0.95
"""A population is all alike where its members' mean cosine similarity is above this."""
NEAR = 0.005
"""Accuracies nearer than this are alike."""


class View:
    """The arrays of a study, with what is computed of them."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.arms = arrays["arms"].tolist()
        self.marks = arrays["marks"].tolist()
        self.networks = arrays["networks"].tolist()
        self.published = str(arrays["dataset"]) == "mnist" and str(arrays["mode"]) == "code"

    def of(self, arm: str, name: str) -> np.ndarray:
        """An array of one population, with a leading axis of repeats."""
        return self.arrays[name][self.arms.index(arm)]

    def network(self, arm: str) -> int:
        """The number of an arm's network."""
        return int(self.arrays["network"][self.arms.index(arm)])

    def layers(self, arm: str) -> list[str]:
        """Names of the layers of a population's network, as its tree has them."""
        return str(self.arrays["layers"][self.network(arm)]).split(",")

    @property
    def all_layers(self) -> list[str]:
        """Names of the layers of all networks, the output last."""
        names = dict.fromkeys(name for layers in self.arrays["layers"] for name in str(layers).split(","))
        return sorted(names, key=lambda name: (name == "output", name))

    def accuracy(self, arm: str, how: str = "mean", generation: int | None = None) -> np.ndarray:
        """Test accuracy of the best or worst member by fitness, or the mean of all, [repeats]."""
        place = self.marks[0] if generation is None else generation
        of_members, fitness = (self.of(arm, name)[:, place] for name in ("accuracy", "fitness"))
        if how == "mean":
            return of_members.mean(axis=-1)
        chosen = np.nanargmax(fitness, axis=-1) if how == "best" else np.nanargmin(fitness, axis=-1)
        return np.take_along_axis(of_members, chosen[:, None], axis=-1)[:, 0]

    def cosine(self, arm: str, generation: int | None = None) -> np.ndarray:
        """Mean cosine similarity of two members, layer by layer, [repeats, layers]."""
        matrices = self.of(arm, "layer_cosine")[:, self.marks[0] if generation is None else generation]
        return np.asarray(diversity.mean_of_pairs(jnp.asarray(matrices)))[:, : len(self.layers(arm))]

    def alike(self, arm: str, mark: int = 0) -> np.ndarray:
        """Mean cosine similarity of two members, as they are or in the order of the best, whichever is larger, mean of
        the layers, [repeats]: relatives share places by descent, strangers only once they are aligned."""
        as_they_are = self.of(arm, "layer_cosine")[:, self.marks[mark]]
        matrices = [self.by_fitness(arm, as_they_are, mark), self.of(arm, "aligned_cosine")[:, mark]]
        larger = np.maximum(*matrices)[:, : len(self.layers(arm))]
        return np.asarray(diversity.mean_of_pairs(jnp.asarray(larger))).mean(axis=-1)

    def by_fitness(self, arm: str, matrices: np.ndarray, mark: int) -> np.ndarray:
        """Similarities with members in the order of their fitness, as the aligned ones have them."""
        order = np.argsort(-self.of(arm, "fitness")[:, self.marks[mark]], axis=-1, kind="stable")
        rows = np.take_along_axis(matrices, order[:, None, :, None], axis=2)
        return np.take_along_axis(rows, order[:, None, None, :], axis=3)

    def groups(self, arm: str, generation: int | None = None) -> np.ndarray:
        """Number of groups of members, layer by layer, [repeats, layers]."""
        matrices = self.of(arm, "layer_cosine")[:, self.marks[0] if generation is None else generation]
        found = diversity.clusters(jnp.asarray(matrices), threshold=LINKED)
        return np.asarray(found)[:, : len(self.layers(arm))]

    def alleles(self, arm: str, generation: int | None = None) -> np.ndarray:
        """Effective number of founders, layer by layer, [repeats, layers]."""
        found = self.of(arm, "alleles")[:, self.marks[0] if generation is None else generation]
        return found[:, : len(self.layers(arm))]

    def untrained(self, arm: str) -> np.ndarray:
        """Accuracy of children before training, whose parents were trained, mean over generations, [repeats]."""
        return self.of(arm, "untrained")[:, 1 : self.marks[0]].mean(axis=(1, 2))

    def attacked(self, arm: str, target: str, mark: int = 0, attack: int | None = None) -> np.ndarray:
        """Accuracy under attack, by FGSM with the authors' epsilon unless told otherwise, [repeats]."""
        return self.of(arm, "attack")[:, mark, self.usual if attack is None else attack, TARGETS.index(target)]

    @property
    def usual(self) -> int:
        """The number of the authors' epsilon among all."""
        return int(np.argmin(np.abs(self.arrays["epsilons"] - self.arrays["published"])))

    @property
    def attacks(self) -> list[str]:
        """Names of all attacks."""
        names = [f"FGSM, {epsilon:g}" for epsilon in self.arrays["epsilons"]]
        return [*names, f"PGD, {float(self.arrays['published']):g}"]

    @property
    def were_attacked(self) -> bool:
        """Whether attacks were part of the study."""
        return bool(np.isfinite(self.arrays["attack"]).any())

    def alone(self, arm: str, name: str = "accuracy") -> np.ndarray:
        """Of networks that train alone, an array with a leading axis of repeats."""
        return self.arrays[f"alone_{name}"][self.network(arm)]


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """Accuracy, similarity, the paper's clouds and histograms, and attacks."""
    view = View(arrays)
    plot_generations(view, folder)
    plot_similarity(view, folder)
    if view.were_attacked:
        plot_attacks(view, folder)
    if str(arrays["study"]) != "paper":
        plot_comparison(view, folder)


def plot_generations(view: View, folder: Path) -> None:
    """Accuracy and diversity of all populations, generation by generation."""
    count = view.arrays["accuracy"].shape[2]
    generations = np.arange(1, count)
    for name, pictures in {
        "accuracy": {
            "test accuracy, mean of the members": lambda arm: view.of(arm, "accuracy")[:, 1:].mean(axis=-1),
            "children before training": lambda arm: view.of(arm, "untrained").mean(axis=-1),
        },
        "diversity": {
            "cosine similarity, mean of the layers": lambda arm: np.stack(
                [view.cosine(arm, g).mean(axis=-1) for g in generations], axis=1
            ),
            "effective founders, mean of the layers": lambda arm: np.stack(
                [view.alleles(arm, g).mean(axis=-1) for g in generations], axis=1
            ),
        },
    }.items():
        fig, axes = plotting.figure(1, 2, width=4.8, height=2.6 + 0.12 * len(view.arms))
        for ax, (title, of) in zip(axes[0], pictures.items(), strict=True):
            curves = {arm: of(arm) for arm in view.arms}
            if title.startswith("test"):
                for number, network in enumerate(view.networks):
                    curves[f"alone, {network}"] = view.arrays["alone_accuracy"][number].mean(axis=-1)
            plotting.plot_trend(generations, curves, ax, x="generation", y=title)
        plotting.save(fig, folder / f"{name}.png")


def plot_similarity(view: View, folder: Path) -> None:
    """How alike the members of the first repeat are, as the paper draws it: by their rows of cosine similarities."""
    last = view.arrays["accuracy"].shape[2] - 1
    shown = sorted({0, view.marks[0] // 2, view.marks[0], last})
    for arm in [arm for arm in ("horizontal", "vertical") if arm in view.arms] or view.arms[:1]:
        layers = view.layers(arm)
        matrices = view.of(arm, "layer_cosine")[0, shown]
        places = np.array(
            [[diversity.principal_components(jnp.asarray(m)) for m in row[: len(layers)]] for row in matrices]
        )
        reach = 1.05 * float(np.abs(places).max())
        fig, axes = plotting.figure(2 * len(shown), len(layers), width=2.3, height=1.7)
        for column, layer in enumerate(sorted(layers, key=lambda name: name == "output")):
            number = layers.index(layer)
            for row, generation in enumerate(shown):
                title = f"generation {generation}, {layer}"
                plotting.plot_points(places[row, number], axes[2 * row, column], reach=reach, title=title)
                pairs = matrices[row, number][np.triu_indices(matrices.shape[-1], 1)]
                plotting.plot_histogram(pairs, axes[2 * row + 1, column], x="cosine", y="pairs", span=(-0.1, 1.0))
        plotting.save(fig, folder / f"similarity-{arm.replace(' ', '-').replace(',', '')}.png")


def plot_attacks(view: View, folder: Path) -> None:
    """Accuracy under attack against its strength, at every mark."""
    arms = view.arms if str(view.arrays["study"]) == "paper" else view.arms[:2]
    count = len(view.arrays["epsilons"])
    fig, axes = plotting.figure(len(view.marks), len(arms), width=3.9, height=2.4)
    for row, mark in enumerate(view.marks):
        for ax, arm in zip(axes[row], arms, strict=True):
            curves = {target: view.of(arm, "attack")[:, row, :count, i] for i, target in enumerate(TARGETS)}
            title = f"{arm}, generation {mark}"
            plotting.plot_trend(view.arrays["epsilons"], curves, ax, x="epsilon", y="accuracy", title=title)
    plotting.save(fig, folder / "attacks.png")


def plot_comparison(view: View, folder: Path) -> None:
    """All populations by what they gain and what they keep."""
    fig, axes = plotting.figure(1, 2, width=4.8, height=2.6 + 0.12 * len(view.arms))
    similar = {arm: view.alike(arm) for arm in view.arms}
    clouds = {arm: (similar[arm], view.accuracy(arm)) for arm in view.arms}
    labels = {"x": "cosine similarity, aligned or not, mean of the layers"}
    plotting.plot_clouds(clouds, axes[0, 0], **labels, y="test accuracy, mean of the members")
    if view.were_attacked:
        clouds = {arm: (similar[arm], view.attacked(arm, "other members")) for arm in view.arms}
        plotting.plot_clouds(clouds, axes[0, 1], **labels, y="accuracy of others, attacked")
    plotting.save(fig, folder / "comparison.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The claims of the paper and of this project, each decided over seeds; and the tables."""
    view, study = View(arrays), str(arrays["study"])
    claims = {"paper": paper_claims, "cross": cross_claims, "cures": cure_claims}[study](view)
    long = study != "paper"  # tables of so many populations are kept, but too long for a page
    tables = {
        "populations": [summary(view, arm) for arm in view.arms],
        "networks that train alone": [row for name in view.networks for row in alone_rows(view, name)],
        "all generations" if long else "by generation": [
            row for arm in view.arms for row in generation_rows(view, arm)
        ],
    }
    if view.were_attacked:
        tables["all attacks" if long else "under attack"] = [row for arm in view.arms for row in attack_rows(view, arm)]
    return lab.decide(claims), tables


def above(name: str, statement: str, x: np.ndarray, y: np.ndarray | float, paper: float | None = None) -> lab.Claim:
    """That x is above y in most repeats, which are paired."""
    y = np.broadcast_to(y, x.shape)
    share = statistics.win_share(x, y, alternative="greater")
    return lab.claim(name, statement, paper, share, statistics.wilcoxon(x, y, alternative="greater"))


def below(name: str, statement: str, x: np.ndarray, y: np.ndarray | float, paper: float | None = None) -> lab.Claim:
    """That x is below y in most repeats, which are paired."""
    return above(name, statement, np.broadcast_to(y, x.shape), x, paper)


def paper_claims(view: View) -> list[lab.Claim]:
    """What the authors say, of both networks; then of the controls, and of aligned parents."""
    claims = [claim for arm in ("horizontal", "vertical") for claim in claims_of(view, arm)]
    best, chance, aligned = "horizontal", "random selection", "aligned parents"
    claims += [
        above(
            "selection",
            "better with selection than by chance without newcomers",
            view.accuracy(best),
            view.accuracy(chance),
        ),
        above(
            "aligned_untrained",
            "children before training: better of aligned parents",
            view.untrained(aligned),
            view.untrained(best),
        ),
        above("aligned_accuracy", "members: better of aligned parents", view.accuracy(aligned), view.accuracy(best)),
    ]
    return claims


def claims_of(view: View, arm: str) -> list[lab.Claim]:
    """What the authors say of one network; the statements name the generations that were looked at."""
    first, last = view.marks[0], view.marks[-1]
    best, layers = view.accuracy(arm, "best"), view.layers(arm)
    rival = view.alone(arm)[:, first - 1].mean(axis=-1)
    cosine, later = view.cosine(arm), view.cosine(arm, last)
    output = layers.index("output")
    others = np.delete(cosine, output, axis=1).max(axis=1)
    groups, elsewhere = view.groups(arm)[:, output], np.delete(view.groups(arm), output, axis=1).min(axis=1)
    size = view.arrays["accuracy"].shape[-1]
    divided = ((groups > 1) & (groups <= size // 2)).astype(float)
    claims = [
        below(f"{arm}_near", f"{arm}: best within {NEAR:g} of a network alone", np.abs(best - rival), NEAR),
        above(f"{arm}_better", f"{arm}: best above a network alone", best, rival),
        below(
            f"{arm}_ensemble",
            f"{arm}: the population as an ensemble below one of networks alone",
            view.of(arm, "together")[:, 0],
            view.alone(arm, "together")[:, 0],
        ),
        above(f"{arm}_alike", f"{arm}: layers more alike than at first", cosine.mean(1), view.cosine(arm, 0).mean(1)),
        above(f"{arm}_output", f"{arm}: the output layer the most alike", cosine[:, output], others),
        below(f"{arm}_fewest", f"{arm}: fewer groups in the output layer than in any other", groups, elsewhere),
        lab.claim(
            f"{arm}_groups",
            f"{arm}: 2 to {size // 2} groups in the output layer at generation {first}",
            None,
            statistics.win_share(divided, np.zeros_like(divided), alternative="greater"),
            statistics.sign_test(divided, np.full_like(divided, 0.5), alternative="greater"),
        ),
    ]
    if last > first:
        statement = f"{arm}: all alike (above {COLLAPSED:g}) at generation {last}"
        claims.append(above(f"{arm}_collapse", statement, later.mean(1), COLLAPSED))
    return claims + (attack_claims(view, arm) if view.were_attacked else [])


def attack_claims(view: View, arm: str) -> list[lab.Claim]:
    """The four questions of the authors, and whether it is being untrained that makes children resist."""
    own, others, children, grown = (
        view.attacked(arm, target)
        for target in ("best member", "other members", "other children", "other grown children")
    )
    strangers = view.alone(arm, "attack")[:, 0, view.usual, 1]
    claims = [
        above(f"{arm}_strangers", f"{arm}: others resist more than networks that trained alone", others, strangers),
        below(f"{arm}_own", f"{arm}: below .01 under an attack on itself", own, 0.01),
        below(f"{arm}_others", f"{arm}: others below .05 under the best one's", others, 0.05),
        above(f"{arm}_children", f"{arm}: children resist each other's more than members", children, others),
        above(f"{arm}_grown", f"{arm}: grown children resist each other's more than members", grown, others),
    ]
    if len(view.marks) > 1:
        later = view.attacked(arm, "other children", -1)
        statement = f"{arm}: children resist less at generation {view.marks[-1]} than at {view.marks[0]}"
        claims.append(below(f"{arm}_later", statement, later, children))
    return claims


def cross_claims(view: View) -> list[lab.Claim]:
    """Aligned against naive for each kind of genes, and what a bonus does to the mean of the three kinds."""
    kinds = list(dict.fromkeys(arm.split(",")[0] for arm in view.arms))
    ends = ("", ", bonus")

    def both(kind: str, way: str, of: Any) -> np.ndarray:
        """The mean of the same seed with and without a bonus, so that a seed counts once."""
        return np.mean([of(f"{kind}, {way}{end}") for end in ends], axis=0)

    claims = []
    for kind in kinds:
        for name, statement, of in (
            ("untrained", "children before training better of aligned parents", view.untrained),
            ("accuracy", "members better of aligned parents", view.accuracy),
        ):
            aligned, naive = (both(kind, way, of) for way in ("aligned", "naive"))
            claims.append(above(f"{kind}_{name}", f"{kind}: {statement}", aligned, naive))
    for way in ("naive", "aligned"):
        with_, without = (
            {name: np.concatenate([of(f"{kind}, {way}{end}") for kind in kinds]) for name, of in measures(view).items()}
            for end in (", bonus", "")
        )
        claims += [
            below(f"bonus_{way}_alike", f"{way}: less alike with a bonus", with_["alike"], without["alike"]),
            below(f"bonus_{way}_cost", f"{way}: less accurate with a bonus", with_["accuracy"], without["accuracy"]),
        ]
        if view.were_attacked:
            statement = f"{way}: others resist the best one's attack more with a bonus"
            claims.append(above(f"bonus_{way}_resist", statement, with_["resist"], without["resist"]))
    return claims


def measures(view: View) -> dict[str, Any]:
    """What a cure is judged by."""
    return {
        "accuracy": view.accuracy,
        "alike": view.alike,
        "resist": lambda arm: view.attacked(arm, "other members"),
    }


def cure_claims(view: View) -> list[lab.Claim]:
    """Each cure against the population without any."""
    usual, *cures = view.arms
    of = measures(view)
    claims = []
    for arm in cures:
        name = arm.replace(" ", "_")
        claims.append(below(f"{name}_alike", f"{arm}: less alike", of["alike"](arm), of["alike"](usual)))
        claims.append(above(f"{name}_accuracy", f"{arm}: more accurate", of["accuracy"](arm), of["accuracy"](usual)))
    return claims


def summary(view: View, arm: str) -> dict[str, Any]:
    """One population at the first mark, by all that counts."""
    layers = view.layers(arm)
    row = {
        "population": arm,
        "genes": str(view.arrays["genes"][view.arms.index(arm)]),
        "best": lab.mean(view.accuracy(arm, "best")),
        "mean": lab.mean(view.accuracy(arm)),
        "worst": lab.mean(view.accuracy(arm, "worst")),
        "children untrained": lab.mean(view.untrained(arm)),
        "ensemble": lab.mean(view.of(arm, "together")[:, 0]),
        "cosine": lab.mean(view.cosine(arm)),
        "cosine, aligned or not": lab.mean(view.alike(arm)),
        "founders": lab.mean(view.alleles(arm)),
        "groups, output": lab.mean(view.groups(arm)[:, layers.index("output")]),
    }
    if view.were_attacked:
        row |= {"others, attacked": lab.mean(view.attacked(arm, "other members"))}
        row |= {"children, attacked": lab.mean(view.attacked(arm, "other children"))}
    return row


def alone_rows(view: View, network: str) -> list[dict[str, Any]]:
    """Networks that train alone, at every mark."""
    rows, number = [], view.networks.index(network)
    accuracy, together, attacked = (view.arrays[f"alone_{name}"][number] for name in ("accuracy", "together", "attack"))
    for place, mark in enumerate(view.marks):
        row = {
            "network": network,
            "generation": mark,
            "accuracy": lab.mean(accuracy[:, mark - 1]),
            "ensemble": lab.mean(together[:, place]),
        }
        if view.were_attacked:
            attack = attacked[:, place, view.usual]
            row |= {"attacked itself": lab.mean(attack[:, 0]), "others, attacked": lab.mean(attack[:, 1])}
        rows.append(row)
    return rows


def generation_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy and diversity of one population, generation by generation."""
    rows = []
    for generation in range(1, view.arrays["accuracy"].shape[2]):
        known = NOTEBOOK.get(arm, ()) if view.published else ()
        notebook = known[generation - 1] if generation <= len(known) else (None, None)
        row = {"population": arm, "generation": generation}
        for how, theirs in (("best", notebook[0]), ("worst", notebook[1])):
            row[how] = lab.mean(view.accuracy(arm, how, generation))
            if view.published:
                row[f"{how}, notebook"] = None if theirs is None else lab.rounded(theirs / 100)
        row["mean"] = lab.mean(view.accuracy(arm, "mean", generation))
        row["children untrained"] = lab.mean(view.of(arm, "untrained")[:, generation - 1])
        row["cosine of genes"] = lab.rounded(np.nanmean(view.of(arm, "gene_cosine")[:, generation]))
        for what, of in (("cosine", view.cosine), ("founders", view.alleles), ("groups", view.groups)):
            known = dict(zip(view.layers(arm), of(arm, generation).mean(axis=0), strict=True))
            for layer in view.all_layers:
                row[f"{what}, {layer}"] = lab.rounded(known[layer]) if layer in known else None
        rows.append(row)
    return rows


def attack_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy of all targets under all attacks, at every mark."""
    rows = []
    for place, mark in enumerate(view.marks):
        children, grown = view.of(arm, "child_accuracy")[:, place].mean(axis=0)
        for number, attack in enumerate(view.attacks):
            row: dict[str, Any] = {"population": arm, "generation": mark, "attack": attack}
            for target in TARGETS:
                row[target] = lab.mean(view.attacked(arm, target, place, number))
                if view.published and target in PUBLISHED:
                    theirs = PUBLISHED[target].get(arm) if (place, number) == (0, view.usual) else None
                    row[f"{target}, notebook"] = theirs
            rows.append(row | {"children, clean": lab.rounded(children), "grown, clean": lab.rounded(grown)})
    return rows
