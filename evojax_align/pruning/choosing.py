"""Pruning to an exact number of synapses: by magnitude, at random, or by any score."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import nothing, uniforms, with_leaves
from evojax_align._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, PyTree
from evojax_align.pruning.synapses import Synapses, settled

AMONG = ("all", "living")
LAYERS = ("every", "one")


def keep_largest(synapses: Synapses, masks: PyTree, scores: PyTree, count: Int[ArrayLike, ""] | int) -> PyTree:
    """Keep the living synapses with the largest scores, over all layers together.

    Args:
        synapses: the leaves that are pruned.
        masks: the present masks; dead synapses stay dead.
        scores: a tree like the masks, or only the scores of the synapses, by path. NaN is the lowest score.
        count: number of synapses to keep; may be traced.

    Returns:
        Masks with exactly `count` synapses, or with all living ones if these are fewer. Among equal scores, the earlier
        leaf, and in it the earlier entry, is kept. Biases of clusters without synapses are masked too.

    Raises:
        ValueError: for a negative count.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.zeros((2, 2))}
        >>> synapses, masks = ea.pruning.find(params), ea.pruning.full_masks(params)
        >>> scores = {"w": jnp.array([[0.1, 0.9], [0.7, 0.3]])}
        >>> ea.pruning.keep_largest(synapses, masks, scores, 2)["w"].tolist()
        [[False, True], [True, False]]
    """
    if _checks.is_concrete(count) and np.asarray(count) < 0:
        raise _checks.bad("count", count, "a number of at least 0", "It is the number to keep, not to remove.")
    alive = synapses.of(masks)
    known = scores if isinstance(scores, dict) and set(scores) == set(alive) else synapses.of(scores)
    return settled(synapses, with_leaves(masks, largest_together(known, alive, count)))


def largest_together(
    scores: dict[str, Array], alive: dict[str, Array], count: Int[ArrayLike, ""] | int
) -> dict[str, Array]:
    """`largest` over several arrays together, by name."""
    flat, living = (jnp.concatenate([jnp.ravel(of[name]) for name in alive]) for of in (scores, alive))
    ends = np.cumsum([of.size for of in alive.values()])
    parts = jnp.split(largest(flat, living, count), ends[:-1])
    return {name: part.reshape(of.shape) for (name, of), part in zip(alive.items(), parts, strict=True)}


def largest(
    scores: Float[Array, " n"], alive: Bool[Array, " n"], count: Int[ArrayLike, ""] | Float[ArrayLike, ""] | int
) -> Bool[Array, " n"]:
    """Select the `count` largest scores among the living entries; NaN is the lowest, ties go to the earlier entry.

    The smallest selected score is found bit by bit, with one pass over all entries for each bit. For many entries this
    is much less work than sorting.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> scores, alive = jnp.array([3.0, 9.0, 2.0, 1.0]), jnp.array([True, False, True, True])
        >>> ea.pruning.largest(scores, alive, 2).tolist()
        [True, False, True, False]
    """
    ranks = _ordered_bits(jnp.where(jnp.isnan(scores), -jnp.inf, scores))
    bits, count = jnp.iinfo(ranks.dtype).bits, jnp.ceil(jnp.asarray(count)).astype(jnp.int32)

    def settle(place: Array, known: Array) -> Array:
        tried = known | (jnp.ones((), ranks.dtype) << (bits - 1 - place).astype(ranks.dtype))
        return jnp.where(jnp.sum(alive & (ranks >= tried), dtype=jnp.int32) >= count, tried, known)

    last = jax.lax.fori_loop(0, bits, settle, nothing((ranks, alive, count)).astype(ranks.dtype))
    above, level = alive & (ranks > last), alive & (ranks == last)
    left = count - jnp.sum(above, dtype=jnp.int32)
    return above | (level & (jnp.cumsum(level, dtype=jnp.int32) <= left))


def _ordered_bits(scores: Float[Array, " n"]) -> Array:
    """Unsigned integers in the order of the scores; 0 and -0 are the same."""
    wide = jnp.promote_types(scores.dtype, jnp.float32)
    unsigned = jnp.uint64 if wide == jnp.float64 else jnp.uint32
    raw = jax.lax.bitcast_convert_type(scores.astype(wide) + 0.0, unsigned)
    top = jnp.ones((), unsigned) << (jnp.iinfo(unsigned).bits - 1)
    return jnp.where(raw >= top, ~raw, raw | top)


def magnitude(synapses: Synapses, masks: PyTree, params: PyTree, count: Int[ArrayLike, ""] | int) -> PyTree:
    """Keep the synapses of largest magnitude (Han et al. 2015): `keep_largest` with the scores |w|.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.array([[0.1, -0.9], [0.7, 0.3]])}
        >>> masks = ea.pruning.magnitude(ea.pruning.find(params), ea.pruning.full_masks(params), params, 2)
        >>> masks["w"].tolist()
        [[False, True], [True, False]]
    """
    return keep_largest(synapses, masks, {path: jnp.abs(leaf) for path, leaf in synapses.of(params).items()}, count)


def at_random(key: PRNGKey, synapses: Synapses, masks: PyTree, count: Int[ArrayLike, ""] | int) -> PyTree:
    """Keep random synapses, all with equal probability.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.zeros((4, 4))}
        >>> masks = ea.pruning.at_random(jax.random.key(0), ea.pruning.find(params), ea.pruning.full_masks(params), 5)
        >>> int(masks["w"].sum())
        5
    """
    key = _checks.key("key", key)
    return keep_largest(synapses, masks, uniform_scores(key, synapses, masks), count)


def lose(
    key: PRNGKey,
    synapses: Synapses,
    masks: PyTree,
    share: float,
    *,
    among: str = "all",
    whole_clusters: bool = False,
    layers: str = "every",
) -> PyTree:
    """One step of random pruning: a fraction of the synapses is drawn, and the drawn ones are pruned.

    Args:
        key: a random key.
        synapses: the leaves that are pruned. Biases are not changed, even those of clusters without synapses.
        masks: the present masks.
        share: fraction that is drawn over all layers together, rounded to a number of synapses.
        among: "all" draws among all synapses, so that fewer and fewer living ones are pruned; "living" draws only
            among the living ones.
        whole_clusters: whether to draw whole clusters: this fraction of those of a layer, rounded.
        layers: with whole clusters, "every" layer loses some, or "one" that is drawn.

    Returns:
        Masks. With "living", exactly the drawn number of synapses is pruned.

    Raises:
        ValueError: for an invalid share, or an unknown option.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.zeros((4, 4))}
        >>> synapses, masks = ea.pruning.find(params), ea.pruning.full_masks(params)
        >>> masks = ea.pruning.lose(jax.random.key(0), synapses, masks, 0.25)
        >>> int(ea.pruning.total(synapses, masks))
        12
    """
    key = _checks.key("key", key)
    _checks.one_of("among", among, AMONG)
    check_layers(layers, whole_clusters)
    if not 0 <= share <= 1:
        raise _checks.bad("share", share, "a number from 0 to 1", "The authors use 0.025.")
    alive = synapses.of(masks)
    if whole_clusters:
        units = {path: jnp.any(mask, axis=synapses.within(mask)) for path, mask in alive.items()}
        lots = uniforms(key, units)
        gone = {path: largest(lots[path], *_drawn_from(units[path], share, among)) for path in units}
        if layers == "one":
            drawn = jax.random.randint(jax.random.fold_in(key, len(gone)), (), 0, len(gone))
            gone = {path: of & (drawn == number) for number, (path, of) in enumerate(gone.items())}
        gone = {path: synapses.along(gone[path], mask) for path, mask in alive.items()}
    else:
        flat = jnp.concatenate([jnp.ravel(mask) for mask in alive.values()])
        open_, count = _drawn_from(flat, share, among)
        ends = np.cumsum([mask.size for mask in alive.values()])[:-1]
        places = dict(zip(alive, jnp.split(open_, ends), strict=True))
        places = {path: places[path].reshape(mask.shape) for path, mask in alive.items()}
        gone = largest_together(uniforms(key, alive), places, count)
    return with_leaves(masks, {path: mask & ~gone[path] for path, mask in alive.items()})


def check_layers(layers: str, whole_clusters: bool) -> None:
    """Raise an error for an unknown rule, and for one without whole clusters."""
    _checks.one_of("layers", layers, LAYERS)
    if layers == "one" and not whole_clusters:
        fix = "Single synapses are drawn over all layers together: leave it out, or pass whole_clusters=True."
        raise _checks.bad("layers", "'one' without whole clusters", "'every'", fix)


def _drawn_from(alive: Bool[Array, " n"], share: float, among: str) -> tuple[Array, Array]:
    """The entries that can be drawn, and the number to draw."""
    open_ = alive if among == "living" else jnp.ones_like(alive)
    return open_, jnp.round(share * jnp.sum(open_)).astype(jnp.int32)


def uniform_scores(key: PRNGKey, synapses: Synapses, masks: PyTree) -> dict[str, Float[Array, "..."]]:
    """A random number from 0 to 1 for each synapse, by path."""
    key = _checks.key("key", key)
    return uniforms(key, synapses.of(masks))
