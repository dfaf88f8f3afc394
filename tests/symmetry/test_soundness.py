"""Networks on which an inference that is almost right goes wrong: each of these once did."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import symmetry

RNG = np.random.default_rng(0)


def w(*shape):
    return RNG.normal(size=shape).astype(np.float32)


X = w(5, 3)
ZEROS = jnp.array([0.0, -0.0, 0.0, -0.0])


def blurred(p, x):
    """A kernel that is the same for every channel does not make the channels the same."""
    layout = ("NWC", "WIO", "NWC")
    h = jnp.tanh(x @ p["w"])[None]
    blur = jax.lax.conv_general_dilated(
        h, jnp.ones((3, 1, 6)) / 3, (1,), "SAME", dimension_numbers=layout, feature_group_count=6
    )
    return blur[0] @ p["o"]


def last_token(p, x):
    """Nor does an index that is the same for every neuron."""
    h = jnp.tanh(jnp.einsum("bti,ih->bth", jnp.stack([x, 2 * x], 1), p["w"]))
    index = jnp.broadcast_to(jnp.argmax(x, 1)[:, None, None] % 2, (5, 1, 6))
    return jnp.take_along_axis(h, index, axis=1)[:, 0] @ p["o"]


def parts_after_freezing(p, x):
    """An axis that was frozen gets new parts later."""
    h = jnp.pad(jnp.tanh(jnp.einsum("bi,iad->bad", x, p["w"])), ((0, 0), (0, 0), (0, 2)))
    g = (h.reshape(5, 10) + p["s"][None]).reshape(5, 2, 5)
    return jnp.einsum("bad,d->ba", jnp.cumsum(g, -1) * jnp.tanh(jnp.cumsum(h, -1)), p["o"]).sum(-1)


def another_head(p, x):
    """Channels of one head meet those of all others."""
    v = jnp.einsum("bi,ihd->bhd", x, p["w"])
    return jnp.einsum("bhk->b", jnp.tanh(jnp.tile(v, (1, 1, 4)) * v.reshape(5, 1, 12)))


def heads_twice_on_one_axis(p, x):
    """Two halves of heads, and another axis of heads beside them."""
    g = jax.nn.sigmoid(x @ p["g"])
    v = jnp.einsum("bi,ihd->bhd", x, p["w"]) * g[:, :, None]
    u = jnp.concatenate([v, jnp.tanh(v)], 1).reshape(5, -1)
    return jnp.einsum("bkh,kho->bo", jnp.tanh(u)[:, :, None] * g[:, None], p["o"])


def heads_on_two_axes(p, x):
    a = jnp.tanh(x @ p["g"])
    b = jnp.einsum("bi,ihd->bhd", x, p["w"]) * a[:, :, None]
    return jnp.einsum("bhk,ko->bho", jnp.tanh(a[:, :, None] + b.reshape(5, 1, -1)), p["o"]).sum(1)


def signed_zeros(p, x):
    """Zeros of both signs are equal, and one over them is not."""
    return jnp.maximum(x @ p["w"], jax.lax.clamp(-1.0, 1 / ZEROS, 1.0)[None]) @ p["o"]


NETWORKS = {
    "blurred": (blurred, {"w": w(3, 6), "o": w(6, 2)}),
    "last token": (last_token, {"w": w(3, 6), "o": w(6, 2)}),
    "parts after freezing": (parts_after_freezing, {"w": w(3, 2, 3), "s": w(10), "o": w(5)}),
    "another head": (another_head, {"w": w(3, 4, 3)}),
    "heads twice on one axis": (heads_twice_on_one_axis, {"w": w(3, 4, 3), "g": w(3, 4), "o": w(24, 4, 2)}),
    "heads on two axes": (heads_on_two_axes, {"w": w(3, 4, 3), "g": w(3, 4), "o": w(12, 2)}),
    "signed zeros": (signed_zeros, {"w": w(3, 4), "o": w(4, 2)}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_neither_outputs_nor_activations_are_wrong(name, change, groups_that_follow):
    apply, params = NETWORKS[name]
    spec = symmetry.infer(apply, params, X)
    assert change(spec, apply, params, X, draws=5) < 1e-4
    groups_that_follow(spec, apply, params, X, symmetry.random_permutations(spec, jax.random.key(1)))


def test_axes_without_entries_do_no_harm(change):
    params = {"w": w(3, 4), "o": w(4, 2), "z": w(0, 6)}
    apply = lambda p, x: (
        jnp.tanh(x @ p["w"]) @ p["o"] + p["z"].reshape(-1).sum() + jnp.zeros((0, 4)).reshape(2, 0, 2).sum()
    )
    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {"w": 4}
    assert change(spec, apply, params, X) < 1e-5
