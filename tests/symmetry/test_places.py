"""Networks that address, order and count: graph networks, dispatch to experts, order statistics, transforms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import evojax_align as ea
from evojax_align import symmetry

N, FEATURES = 24, 6
RECEIVERS = np.arange(N) * 7 % 10


def drawn(seed, **shapes):
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: jax.random.normal(key, shape) / np.sqrt(shape[0])
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def messages(params, x):
    """A graph network: messages are summed at their receivers, and the largest are taken too."""
    sent = jnp.tanh(x @ params["send"])
    summed = jax.ops.segment_sum(sent, RECEIVERS, num_segments=10)
    largest = jax.ops.segment_max(sent, RECEIVERS, num_segments=10)
    return jnp.tanh((summed + jnp.where(jnp.isfinite(largest), largest, 0)) @ params["update"]) @ params["out"]


def experts(params, x):
    """Samples are dispatched to the buffers of experts, and read again."""
    hidden, expert = jax.nn.relu(x @ params["w"]), jnp.argmax(x @ params["gate"], axis=1)
    buffers = jnp.zeros((3, 8)).at[expert].add(hidden)
    return (jnp.tanh(buffers)[expert] + hidden) @ params["out"]


def overwritten(params, x):
    """Rows of a value are set one after the other; those of the parameters go along."""
    hidden = jnp.tanh(x @ params["w"])
    return jnp.zeros((N, 8)).at[RECEIVERS].set(hidden) @ params["out"]


def transformed(params, x):
    """A transform over positions, channel by channel."""
    hidden = jnp.tanh(x.reshape(N, 3, 2) @ params["w"])
    return jnp.fft.fft(hidden, axis=1).real.reshape(N, 3 * 7) @ jnp.tile(params["out"], (3, 1))


def statistics(params, x):
    """The median, the two largest and the spread of a layer's values, beside the values themselves."""
    hidden = jnp.tanh(x @ params["w"])
    ranked = jnp.sort(hidden, axis=1)
    told = jnp.stack([jnp.median(hidden, axis=1), ranked[:, -2], ranked[:, -1] - ranked[:, 0]], axis=1)
    return told @ params["told"] + hidden @ params["out"]


def best_three(params, x):
    hidden = jnp.tanh(x @ params["w"])
    return jax.lax.top_k(hidden, 3)[0] @ params["told"] + hidden @ params["out"]


def medians(params, x):
    """Nothing but medians tells of the layer: of parts of three, and of all of it."""
    hidden = jnp.tanh(x @ params["w"])
    return jnp.median(hidden.reshape(-1, 4, 2), axis=2) @ params["out"]


def median_alone(params, x):
    return jnp.median(jnp.tanh(x @ params["w"]), axis=1, keepdims=True) * params["told"][None]


def spectral(params, x):
    """A product of complex numbers between two transforms over positions."""
    hidden = jnp.fft.rfft(jnp.tanh(x.reshape(N, 3, 2) @ params["w"]), axis=1)
    return jnp.fft.irfft(hidden @ (params["real"] + 1j * params["imaginary"]), n=3, axis=1).mean(axis=1) @ params["out"]


def along(params, x):
    """The gradient of a choice along an axis: a scatter with batching dimensions into zeros."""

    def chosen(hidden):
        places = jnp.full((N, 8, 1), 2)
        return jnp.sum(jnp.take_along_axis(hidden[..., None] * jnp.ones((1, 1, 4)), places, axis=-1) ** 2)

    return jax.grad(chosen)(jnp.tanh(x @ params["w"])) @ params["out"]


def each_its_own(params, x):
    """A scatter under vmap, at one place for all samples."""
    hidden, places = jnp.tanh(x @ params["w"]), jnp.full((N,), 2)
    rows = jax.vmap(lambda zeros, place, row: zeros.at[place].add(row))(jnp.zeros((N, 4, 8)), places, hidden)
    return rows[:, 2] @ params["out"]


def centred(params, x):
    """A mean over an axis of vmap."""

    def one(x):
        hidden = jnp.tanh(x @ params["w"])
        return (hidden - jax.lax.pmean(hidden, "samples")) @ params["out"]

    return jax.vmap(one, axis_name="samples")(x)


def on_devices(params, x):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

    def one(params, x):
        hidden = jnp.tanh(x @ params["w"])
        return jax.lax.psum(hidden.mean(axis=0, keepdims=True), "data") @ params["out"] + hidden @ params["out"]

    specs = PartitionSpec(), PartitionSpec("data")
    return jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("data"))(params, x)


LAYER = {"w": (FEATURES, 8), "out": (8, 2)}
NETWORKS = {
    "messages": (messages, {"send": (FEATURES, 7), "update": (7, 8), "out": (8, 2)}, {"send": 7, "update": 8}),
    "experts": (experts, LAYER | {"gate": (FEATURES, 3)}, {"w": 8}),
    "overwritten": (overwritten, LAYER, {"w": 8}),
    "transformed": (transformed, {"w": (2, 7), "out": (7, 2)}, {"w": 7}),
    "statistics": (statistics, LAYER | {"told": (3, 2)}, {"w": 8}),
    "best three": (best_three, LAYER | {"told": (3, 2)}, {"w": 8}),
    "medians": (medians, {"w": (FEATURES, 8), "out": (4, 2)}, {"w": 4, "w[1].inner": 2}),
    "median alone": (median_alone, {"w": (FEATURES, 8), "told": (2,)}, {"w": 8}),
    "spectral": (
        spectral,
        {"w": (2, 7), "real": (7, 8), "imaginary": (7, 8), "out": (8, 2)},
        {"w": 7, "imaginary": 8},
    ),
    "along": (along, LAYER, {"w": 8}),
    "each its own": (each_its_own, LAYER, {"w": 8}),
    "centred": (centred, LAYER, {"w": 8}),
    "on devices": (on_devices, LAYER, {"w": 8}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_their_groups_are_found_and_a_permuted_copy_is_matched_back(name):
    apply, shapes, groups = NETWORKS[name]
    x, params = jax.random.normal(jax.random.key(0), (N, FEATURES)), drawn(1, **shapes)
    spec = symmetry.infer(apply, params, x)
    assert dict(spec.groups) == groups
    assert float(symmetry.verify(spec, apply, params, x, key=jax.random.key(1))) < 1e-5
    copy = symmetry.permute(spec, params, symmetry.random_permutations(spec, jax.random.key(2)))
    out = ea.align(apply, params, copy, x)
    assert all((p == q).all() for p, q in zip(*map(jax.tree.leaves, (out.a, out.b)), strict=True))
    assert out.unmatched == {}


WRONG = {
    "places of the largest": lambda p, x: jax.lax.top_k(jnp.tanh(x @ p["w"]), 3)[1].astype(jnp.float32),
    "sorted beside something": lambda p, x: jax.lax.sort((jnp.tanh(x @ p["w"]), x[:, :1] + jnp.arange(8.0)[None]))[1],
    "a transform along the layer": lambda p, x: jnp.fft.fft(jnp.tanh(x @ p["w"]), axis=1).real,
    "added at numbered places": lambda p, x: jnp.zeros((N, 9)).at[:, jnp.arange(8)].add(jnp.tanh(x @ p["w"]))[:, :1],
    "part of the layer": lambda p, x: jnp.zeros((N, 8)).at[:, :3].add(jnp.tanh(x @ p["w"])[:, :3]) @ jnp.ones((8, 1)),
    "rows set one after the other": lambda p, x: (
        jnp.zeros((1, 3)).at[jnp.zeros(8, int)].set(jnp.tanh(p["w"].T @ jnp.ones((FEATURES, 3))))
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_depends_on_the_order_freezes_it(name):
    apply, params = WRONG[name], drawn(1, w=(FEATURES, 8))
    x = jax.random.normal(jax.random.key(0), (N, FEATURES))
    spec = symmetry.infer(apply, params, x)
    assert 8 not in spec.groups.values()
    assert float(symmetry.verify(spec, apply, params, x, key=jax.random.key(1))) < 1e-5


def test_every_axis_that_stays_has_a_reason():
    def apply(params, x):
        hidden = jnp.tanh(x @ params["w"])
        return hidden @ params["out"], {"mean": hidden.mean(axis=0)}

    x, params = jax.random.normal(jax.random.key(0), (N, FEATURES)), drawn(1, **LAYER)
    spec = symmetry.infer(apply, params, x)
    assert spec.groups == {} and spec.frozen == ()
    reasons = {place: freeze.primitive for freeze in spec.fixed for place in freeze.axes}
    assert reasons == {("w", 0): "data", ("w", 1): "output", ("out", 0): "output", ("out", 1): "output"}
    assert "fixed  output" in str(spec)
    with pytest.warns(UserWarning, match=r"no axis can be permuted: axis . of '.*' is fixed by .*"):
        ea.align(apply, params, drawn(2, **LAYER), x)
    assert dict(symmetry.infer(lambda params, x: apply(params, x)[0], params, x).groups) == {"w": 8}
