"""The genetic encoding of sparse networks: the probability of each synapse of a child, given its parents.

Equations (3) to (7) of Chung et al. 2017, with a setting for every choice that their text does not specify.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._tree import uniforms, with_leaves
from evojax_align._types import Array, ArrayLike, Float, Int, PRNGKey, PyTree
from evojax_align.pruning import Synapses, keep_largest, largest, settled

__all__ = [
    "Conception",
    "Encoding",
    "calibrated",
    "conceive",
]

STRENGTHS = ("magnitude", "signed", "saliency")
SUPPORTS = ("intersection", "mean", "union")
TRUNCATIONS = ("mean", "median", "zero")
SCALES = ("layer", "network")
BUDGETS = ("layer", "network")
DRAWS = ("chance", "exact", "top")
STEPS = 50
"""Number of bisection steps of the calibration."""


@dataclasses.dataclass(frozen=True)
class Encoding:
    """Choices that the equations do not specify.

    Attributes:
        strength: the strength of a synapse: "magnitude", |w|; "signed", the absolute value of the sum of the parents'
            weights, so that opposite signs cancel; or "saliency", |w dL/dw|, which favours synapses that matter for the
            loss.
        support: the synapses that a child may have. "intersection": those of all parents, because the authors' sexual
            generations keep about the square of the fraction of asexual ones (.452 and .663), unlike the other rules;
            "union": those of any parent; "mean": those of any parent, weighted by the shares of the parents with the
            synapse.
        truncation: the strength below which a synapse does not count for its cluster: the "mean" or "median" of the
            living ones in its layer, or "zero", where all count.
        scale: the clusters among which the strongest has probability 1 (Z of equation 6): those of its "layer", as
            layers differ in the number and the size of their weights, or those of the whole "network". The z of
            equation (7) is per layer.
        budget: where the expected number of synapses is fixed: in each "layer", or in the whole "network", as in the
            text of the paper. Children start with weights scaled by the number of living synapses; one factor for the
            whole network then removes more and more of its first layer.
        draw: "chance" draws each synapse independently, as in the equations, so that their number varies; "exact" uses
            the same probabilities with a fixed number; "top" takes the most likely, so that siblings are equal.

    Example:
        >>> import evojax_align as ea
        >>> encoding = ea.evolution.Encoding(draw="exact")
        >>> encoding.draw, encoding.strength, encoding.support
        ('exact', 'magnitude', 'intersection')
    """

    strength: str = "magnitude"
    support: str = "intersection"
    truncation: str = "mean"
    scale: str = "layer"
    budget: str = "layer"
    draw: str = "chance"

    def __post_init__(self) -> None:
        known = (STRENGTHS, SUPPORTS, TRUNCATIONS, SCALES, BUDGETS, DRAWS)
        for field, names in zip(dataclasses.fields(self), known, strict=True):
            _checks.one_of(field.name, getattr(self, field.name), names)


@struct.dataclass
class Conception:
    """The topology of a child, and statistics of its drawing; for several children, with a leading axis.

    Attributes:
        masks: a tree like the parameters, True where the child has a synapse.
        allowed: number of synapses that the parents allow; a sum of shares with the support "mean".
        expected: sum of the calibrated probabilities.
        clusters: number of clusters whose synapses could be drawn.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> parents = {"w": jnp.ones((2, 4, 4))}
        >>> synapses, masks = ea.pruning.find({"w": parents["w"][0]}), ea.pruning.full_masks(parents)
        >>> settings = {"shares": jnp.array([0.5, 0.5]), "synapse_factor": 1.0}
        >>> child = ea.evolution.encoding.conceive(jax.random.key(0), synapses, parents, masks, **settings)
        >>> bool(child.masks["w"].all()), float(child.allowed), int(child.clusters)
        (True, 16.0, 4)
    """

    masks: PyTree
    allowed: Float[Array, "..."]
    expected: Float[Array, "..."]
    clusters: Int[Array, "..."]


def conceive(
    key: PRNGKey,
    synapses: Synapses,
    params: PyTree,
    masks: PyTree,
    *,
    shares: Float[Array, " parents"],
    cluster_shares: Float[Array, " parents"] | None = None,
    synapse_factor: float | Float[Array, ""],
    cluster_factor: float | Float[Array, ""] | None = None,
    encoding: Encoding | None = None,
    gradients: PyTree = None,
) -> Conception:
    """Draw the topology of one child from its parents.

    With the strengths w_k of a synapse in the parents k, and shares a_k and b_k that sum to 1 (equations 4 and 5),

        P(cluster) = exp(sum_i sum_k b_k [w_k,i] / Z - 1)        P(synapse) = exp(sum_k a_k w_k / z - 1),

    where [w] is truncated and Z and z are the largest values, so that probabilities are between 1/e and 1. A synapse
    is drawn with probability min(1, c P(cluster) P(synapse)). The constant c is such that the expected number of
    synapses, in each layer or in all, is `synapse_factor` times the number that the support allows, and at most
    `synapse_factor` times the mean number of the parents; without c, a child would keep about half of that. With a
    `cluster_factor`, clusters are drawn first, with probabilities calibrated in the same way, and then synapses in the
    drawn clusters.

    Args:
        key: a random key.
        synapses: the leaves that are drawn.
        params: parameters of the parents, with a leading axis.
        masks: masks of the parents.
        shares: alpha_s and beta_s of equation (5), for any number of parents.
        cluster_shares: alpha_c and beta_c of equation (4); the same by default.
        synapse_factor: the environmental factor R^s, from 0 to 1; may be traced.
        cluster_factor: R^c likewise; None if clusters are not drawn as a whole.
        encoding: choices that the equations do not specify.
        gradients: gradients of the loss in each parent, for the strength "saliency".

    Returns:
        A `Conception`. Biases of clusters without synapses are masked.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> parents = {"w": jax.random.normal(jax.random.key(0), (2, 8, 8))}
        >>> synapses, masks = ea.pruning.find({"w": parents["w"][0]}), ea.pruning.full_masks(parents)
        >>> settings = {"shares": jnp.array([0.5, 0.5]), "synapse_factor": 0.75}
        >>> child = ea.evolution.encoding.conceive(jax.random.key(1), synapses, parents, masks, **settings)
        >>> float(child.allowed), float(child.expected.round(2))
        (64.0, 48.0)

    References:
        Chung, A., Shafiee, M., Fieguth, P. and Wong, A. The mating rituals of deep neural networks. 2017.
    """
    key = _checks.key("key", key)
    encoding = encoding or Encoding()
    for name, factor in (("synapse_factor", synapse_factor), ("cluster_factor", cluster_factor)):
        if factor is not None and _checks.is_concrete(factor) and not 0 <= np.asarray(factor) <= 1:
            raise _checks.bad(name, factor, "a number from 0 to 1", "The authors use 0.7.")
    if (gradients is not None) != (encoding.strength == "saliency"):
        came = f"{'gradients' if gradients is not None else 'none'} with the strength {encoding.strength!r}"
        raise _checks.bad("gradients", came, "gradients for the strength 'saliency' only", "Leave one of them out.")
    key_clusters, key_synapses = jax.random.split(key)
    alive = synapses.of(masks)
    weights = _weights(synapses, params, alive, gradients)
    both = shares, shares if cluster_shares is None else cluster_shares
    of_synapse, of_cluster = _chances(synapses, encoding, weights, alive, *both)
    allowed = {path: _allowed(encoding.support, mask, shares) for path, mask in alive.items()}
    held = {path: jnp.sum(shares * jnp.sum(mask, axis=tuple(range(1, mask.ndim)))) for path, mask in alive.items()}

    possible = {path: jnp.any(of > 0, axis=synapses.within(of)) for path, of in allowed.items()}
    if cluster_factor is None:
        drawn, factor = possible, of_cluster
    else:
        drawn = _drawn_clusters(key_clusters, encoding, of_cluster, possible, cluster_factor)
        factor = {path: jnp.ones_like(of) for path, of in of_cluster.items()}
    opened = {path: jnp.where(synapses.along(drawn[path], of), of, 0) for path, of in allowed.items()}
    chances = {path: of_synapse[path] * synapses.along(factor[path], of_synapse[path]) for path in alive}
    likely: dict[str, Array] = {}
    for layers in _budgets(encoding, alive):
        part = [{path: of[path] for path in layers} for of in (chances, opened, allowed, held)]
        target = synapse_factor * jnp.minimum(_sum(part[2]), _sum(part[3]))
        scale = calibrated(_flat(part[0]), target, _flat(part[1]))
        likely |= {path: opened[path] * jnp.minimum(1, scale * chances[path]) for path in layers}
    born = _drawn_synapses(key_synapses, synapses, encoding, masks, likely)
    return Conception(settled(synapses, born), _sum(allowed), _sum(likely), _sum(drawn))


def calibrated(
    chances: Float[Array, " n"], target: float | Float[Array, ""], shares: Float[Array, " n"]
) -> Float[Array, ""]:
    """The factor c with sum(shares min(1, c chances)) = target, or one with min(...) = 1 everywhere if there is none.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> chances = jnp.array([0.25, 0.5, 1.0])
        >>> factor = ea.evolution.encoding.calibrated(chances, 2.5, jnp.ones(3))
        >>> float(jnp.minimum(1, factor * chances).sum().round(3))
        2.5
    """
    least = jnp.min(jnp.where((chances > 0) & (shares > 0), chances, jnp.inf))
    most = jnp.where(jnp.isfinite(least), 1 / least, 1.0)

    def halve(_: ArrayLike, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        enough = jnp.sum(shares * jnp.minimum(1, middle * chances)) >= target
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    return jax.lax.fori_loop(0, STEPS, halve, (jnp.zeros_like(most), most))[1]


def _flat(values: dict[str, Array]) -> Array:
    return jnp.concatenate([jnp.ravel(of) for of in values.values()])


def _sum(values: dict[str, Array]) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(of) for of in values.values()]))


def _weights(synapses: Synapses, params: PyTree, alive: dict[str, Array], gradients: PyTree) -> dict[str, Array]:
    """The signed strength of every weight of every parent; 0 for dead synapses."""
    weights = synapses.of(params)
    if gradients is not None:
        slopes = synapses.of(gradients)
        weights = {path: jnp.abs(leaf * slopes[path]) for path, leaf in weights.items()}
    return {path: jnp.where(alive[path], leaf, 0).astype(jnp.float32) for path, leaf in weights.items()}


def _chances(
    synapses: Synapses,
    encoding: Encoding,
    weights: dict[str, Array],
    alive: dict[str, Array],
    shares: Array,
    cluster_shares: Array,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Equations (7) and (6): probabilities of synapses, and of clusters."""
    strengths, clusters = {}, {}
    for path, leaf in weights.items():
        used = leaf if encoding.strength == "signed" else jnp.abs(leaf)
        strengths[path] = jnp.abs(jnp.tensordot(shares, used, axes=1))
        strong = jnp.where(jnp.abs(leaf) >= _threshold(encoding.truncation, leaf, alive[path]), used, 0)
        together = jnp.abs(jnp.tensordot(cluster_shares, strong, axes=1))
        clusters[path] = jnp.sum(together, axis=synapses.within(leaf[0]))
    most = jnp.max(_flat(clusters)) if encoding.scale == "network" else None
    of_synapse = {path: _chance(of, jnp.max(of)) for path, of in strengths.items()}
    of_cluster = {path: _chance(of, jnp.max(of) if most is None else most) for path, of in clusters.items()}
    return of_synapse, of_cluster


def _chance(strength: Array, largest: Array) -> Array:
    return jnp.exp(jnp.where(largest > 0, strength / jnp.where(largest > 0, largest, 1), 0) - 1)


def _threshold(truncation: str, leaf: Array, alive: Array) -> Array:
    """For each parent, the strength below which synapses do not count for their cluster."""
    axes = tuple(range(1, leaf.ndim))
    if truncation == "zero":
        return jnp.zeros((leaf.shape[0],) + (1,) * len(axes))
    known = jnp.where(alive, jnp.abs(leaf), jnp.nan)
    found = (jnp.nanmean if truncation == "mean" else jnp.nanmedian)(known, axis=axes, keepdims=True)
    return jnp.where(jnp.isnan(found), 0, found)


def _allowed(support: str, alive: Array, shares: Array) -> Array:
    """The degree to which each synapse is allowed for the child, from 0 to 1."""
    if support == "mean":
        return jnp.tensordot(shares, alive.astype(jnp.float32), axes=1)
    return (jnp.all if support == "intersection" else jnp.any)(alive, axis=0).astype(jnp.float32)


def _drawn_clusters(
    key: PRNGKey, encoding: Encoding, chances: dict[str, Array], possible: dict[str, Array], factor: float | Array
) -> dict[str, Array]:
    """Draw the clusters of a child."""
    flat, can = _flat(chances), _flat(possible)
    target = factor * jnp.sum(can)
    likely = can * jnp.minimum(1, calibrated(flat, target, can.astype(flat.dtype)) * flat)
    scores = _scores(jax.random.uniform(key, likely.shape), encoding.draw, likely)
    born = scores > 0 if encoding.draw == "chance" else largest(scores, can, jnp.round(target))
    ends = np.cumsum([of.size for of in chances.values()])
    return dict(zip(chances, jnp.split(born, ends[:-1]), strict=True))


def _drawn_synapses(
    key: PRNGKey, synapses: Synapses, encoding: Encoding, masks: PyTree, likely: dict[str, Array]
) -> PyTree:
    """Draw the masks of one child."""
    lots = uniforms(key, likely)
    scores = {path: _scores(lots[path], encoding.draw, of) for path, of in likely.items()}
    like = jax.tree.map(lambda leaf: jnp.any(leaf, axis=0), masks)
    if encoding.draw == "chance":
        return with_leaves(like, {path: of > 0 for path, of in scores.items()})
    born = with_leaves(like, {path: of > 0 for path, of in likely.items()})
    for layers in _budgets(encoding, likely):
        some = dataclasses.replace(synapses, paths=tuple(layers))
        part = [{path: of[path] for path in layers} for of in (scores, likely)]
        born = keep_largest(some, born, part[0], jnp.round(_sum(part[1])).astype(jnp.int32))
    return born


def _budgets(encoding: Encoding, layers: dict[str, Array]) -> list[list[str]]:
    """The layers that share a budget."""
    return [[path] for path in layers] if encoding.budget == "layer" else [list(layers)]


def _scores(lots: Array, draw: str, likely: Array) -> Array:
    """Scores that are positive for drawn entries; with a fixed number, scores of which the largest are taken."""
    if draw == "chance":
        return likely - lots
    if draw == "top":
        return likely
    # Pareto sampling (Rosen 1997): a fixed number with the given inclusion probabilities, certain ones always
    odds = jnp.log(likely) - jnp.log1p(-likely)
    lots = jnp.maximum(lots, jnp.finfo(lots.dtype).tiny)
    return odds - (jnp.log(lots) - jnp.log1p(-lots))
