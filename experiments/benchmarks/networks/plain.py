"""Networks that are functions on dictionaries and lists of arrays."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import Apply, Builder, normals, reals, tokens

ONES = ("scale", "variance")


def drawn(shapes: Any) -> Any:
    """Parameters for a tree of shapes: `scale` and `variance` ones, vectors zero, all else normal by its fan-in."""
    flat, structure = jax.tree_util.tree_flatten_with_path(shapes, is_leaf=lambda node: isinstance(node, tuple))
    noises = normals(jax.random.key(0), [shape for _, shape in flat])
    return structure.unflatten(_leaf(path[-1], noise) for (path, _), noise in zip(flat, noises, strict=True))


def _leaf(name: Any, noise: np.ndarray) -> jax.Array:
    if getattr(name, "key", None) in ONES:
        return jnp.ones(noise.shape)
    return jnp.zeros(noise.shape) if noise.ndim == 1 else jnp.asarray(noise / math.sqrt(math.prod(noise.shape[:-1])))


def batched(forward: Callable[[Any, jax.Array], jax.Array]) -> Apply:
    """A function of one example, lifted to a batch."""
    return jax.vmap(forward, in_axes=(None, 0))


# --- Dense layers


def dense_shapes(*sizes: int) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of dense layers between the sizes."""
    return [{"w": (n_in, n_out), "b": (n_out,)} for n_in, n_out in itertools.pairwise(sizes)]


def dense(params: Any, x: jax.Array) -> jax.Array:
    """A dense layer on the last axis."""
    y = x @ params["w"]
    return y + jnp.broadcast_to(params["b"], y.shape)


def mlp(params: Any, x: jax.Array) -> jax.Array:
    """Dense layers with rectifiers between them, on one example."""
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def split_mlp(params: Any, x: jax.Array) -> jax.Array:
    """Hidden layers in parts, each a gene of its own, whose outputs are concatenated."""
    for parts in params["hidden"]:
        x = jnp.concatenate([jnp.tanh(dense(part, x)) for part in parts], axis=-1)
    return dense(params["out"], x)


def split_mlp_shapes(n_in: int, parts: Sequence[Sequence[int]], n_out: int) -> Any:
    """The shapes of a network with parts of the given sizes."""
    hidden = []
    for sizes in parts:
        hidden.append([dense_shapes(n_in, size)[0] for size in sizes])
        n_in = sum(sizes)
    return {"hidden": hidden, "out": dense_shapes(n_in, n_out)[0]}


def tied_autoencoder(params: Any, x: jax.Array) -> jax.Array:
    """An autoencoder whose decoder is the transpose of its encoder, with biases of its own."""
    for w, b in zip(params["w"], params["encoder"], strict=True):
        x = jax.nn.sigmoid(x @ w + b)
    for w, b in zip(reversed(params["w"]), params["decoder"], strict=True):
        x = jax.nn.sigmoid(x @ w.T + b)
    return x


def scanned_mlp(params: Any, x: jax.Array) -> jax.Array:
    """Residual blocks with stacked weights, run by a scan."""

    def block(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
        return x + dense(layer["down"], jax.nn.gelu(dense(layer["up"], x))), None

    x, _ = jax.lax.scan(block, dense(params["embed"], x), params["blocks"])
    return dense(params["out"], x)


def remat_mlp(params: Any, x: jax.Array) -> jax.Array:
    """Dense layers whose activations are computed again in the backward pass."""

    @jax.checkpoint
    def layer(params: Any, x: jax.Array) -> jax.Array:
        return jax.nn.silu(dense(params, x))

    for each in params[:-1]:
        x = layer(each, x)
    return dense(params[-1], x)


def mixture(params: Any, x: jax.Array) -> jax.Array:
    """A mixture of experts: a softmax weighs small networks that all see the input."""
    weights = jax.nn.softmax(dense(params["gate"], x))
    hidden = jax.nn.relu(jnp.einsum("bi,eih->beh", x, params["up"]) + params["bias"][None])
    return jnp.einsum("be,beh,eho->bo", weights, hidden, params["down"])


# --- Convolutions: images have axes (batch, height, width, channels)


def convolution(w: jax.Array, x: jax.Array, stride: int = 1) -> jax.Array:
    """A convolution with weights (height, width, in, out)."""
    return jax.lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(x: jax.Array) -> jax.Array:
    """The maximum over windows of 2 by 2."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def vgg(params: Any, x: jax.Array) -> jax.Array:
    """Stages of convolutions and a pooling, then dense layers on the flattened image."""
    for stage in params["stages"]:
        for layer in stage:
            x = jax.nn.relu(convolution(layer["w"], x, 1) + layer["b"][None, None, None])
        x = max_pool(x)
    x = x.reshape(x.shape[0], -1)
    for layer in params["dense"][:-1]:
        x = jax.nn.relu(dense(layer, x))
    return dense(params["dense"][-1], x)


def vgg_shapes(channels: int, stages: Sequence[Sequence[int]], pixels: int, hidden: int, classes: int) -> Any:
    """The shapes of a network whose last stage leaves the given number of pixels."""
    widths = [channels, *(width for stage in stages for width in stage)]
    pairs = itertools.pairwise(widths)
    convolutions = [[{"w": (3, 3, *next(pairs)), "b": (width,)} for width in stage] for stage in stages]
    return {"stages": convolutions, "dense": dense_shapes(pixels * widths[-1], hidden, classes)}


def batch_norm(params: Any, x: jax.Array) -> jax.Array:
    """Batch normalisation by the running statistics."""
    mean, variance, scale, bias = (params[name][None, None, None] for name in ("mean", "variance", "scale", "bias"))
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + bias


def residual(params: Any, x: jax.Array, stride: int) -> jax.Array:
    """A basic block with the shortcut A of He et al.: every other pixel, and zeros for the channels that are new."""
    y = jax.nn.relu(batch_norm(params["norm_1"], convolution(params["conv_1"], x, stride)))
    y = batch_norm(params["norm_2"], convolution(params["conv_2"], y))
    new = y.shape[-1] - x.shape[-1]
    shortcut = jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))
    return jax.nn.relu(y + shortcut)


def resnet(params: Any, x: jax.Array) -> jax.Array:
    """Basic blocks in stages; the first of each later stage halves the image."""
    x = jax.nn.relu(batch_norm(params["norm"], convolution(params["conv"], x)))
    for number, stage in enumerate(params["stages"]):
        for index, block in enumerate(stage):
            x = residual(block, x, 2 if number > 0 and index == 0 else 1)
    return dense(params["out"], jnp.mean(x, axis=(1, 2)))


def resnet_shapes(channels: int, widths: Sequence[int], blocks: int, classes: int) -> Any:
    """The shapes of a network with stages of the given widths."""

    def norm(width: int) -> dict[str, tuple[int, ...]]:
        return {name: (width,) for name in ("mean", "variance", "scale", "bias")}

    def block(n_in: int, n_out: int) -> dict[str, Any]:
        convolutions = {"conv_1": (3, 3, n_in, n_out), "conv_2": (3, 3, n_out, n_out)}
        return convolutions | {"norm_1": norm(n_out), "norm_2": norm(n_out)}

    before = [widths[0], *widths[:-1]]
    return {
        "conv": (3, 3, channels, widths[0]),
        "norm": norm(widths[0]),
        "stages": [
            [block(n_in, n_out), *(block(n_out, n_out) for _ in range(blocks - 1))]
            for n_in, n_out in zip(before, widths, strict=True)
        ],
        "out": dense_shapes(widths[-1], classes)[0],
    }


# --- Sequences: the functions see one sequence, (tokens, channels)


def layer_norm(params: Any, x: jax.Array) -> jax.Array:
    """Layer normalisation of the last axis."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    normed = centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
    return normed * params["scale"][None] + params["bias"][None]


def rms_norm(scale: jax.Array, x: jax.Array) -> jax.Array:
    """Normalisation of the last axis by its root mean square."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6) * scale[None]


def causal_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Attention of each token to those before it, for arrays (tokens, heads, channels)."""
    scores = jnp.einsum("qhd,khd->hqk", q, k) / jnp.sqrt(q.shape[-1])
    seen = jnp.tril(jnp.ones(scores.shape[1:], bool))
    return jnp.einsum("hqk,khd->qhd", jax.nn.softmax(jnp.where(seen[None], scores, -jnp.inf)), v)


def gpt(params: Any, x: jax.Array, *, heads: int) -> jax.Array:
    """Blocks with one matrix for queries, keys and values, and an output tied to the embedding, as in nanoGPT."""
    length = x.shape[0]
    x = params["tokens"][x] + params["positions"][:length]
    for block in params["blocks"]:
        q, k, v = jnp.split(dense(block["qkv"], layer_norm(block["norm_1"], x)), 3, axis=-1)
        q, k, v = (each.reshape(length, heads, -1) for each in (q, k, v))
        x = x + dense(block["out"], causal_attention(q, k, v).reshape(length, -1))
        x = x + dense(block["down"], jax.nn.gelu(dense(block["up"], layer_norm(block["norm_2"], x))))
    return layer_norm(params["norm"], x) @ params["tokens"].T


def gpt_shapes(vocabulary: int, length: int, width: int, hidden: int, blocks: int) -> Any:
    """The shapes of a network on sequences of at most the given length."""

    def norm() -> dict[str, tuple[int, ...]]:
        return {"scale": (width,), "bias": (width,)}

    def block() -> dict[str, Any]:
        sizes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, hidden), "down": (hidden, width)}
        return {"norm_1": norm(), "norm_2": norm()} | {name: dense_shapes(*size)[0] for name, size in sizes.items()}

    tables = {"tokens": (vocabulary, width), "positions": (length, width)}
    return tables | {"blocks": [block() for _ in range(blocks)], "norm": norm()}


def rotated(x: jax.Array) -> jax.Array:
    """Rotary embedding of an array (tokens, heads, channels): channel i turns with channel i + half."""
    half = x.shape[-1] // 2
    angles = jnp.outer(jnp.arange(x.shape[0]), 10000.0 ** (-jnp.arange(half) / half))
    angles = jnp.concatenate([angles, angles], axis=-1)[:, None]
    turned = jnp.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * jnp.cos(angles) + turned * jnp.sin(angles)


def llama(params: Any, x: jax.Array, *, heads: int, groups: int) -> jax.Array:
    """Blocks with root-mean-square norms, rotary embedding, keys and values shared in groups, and gated layers."""
    length = x.shape[0]
    x = params["tokens"][x]
    for block in params["blocks"]:
        y = rms_norm(block["norm_1"]["scale"], x)
        q = rotated((y @ block["q"]).reshape(length, heads, -1))
        k = rotated((y @ block["k"]).reshape(length, groups, -1))
        v = (y @ block["v"]).reshape(length, groups, -1)
        k, v = (jnp.repeat(each, heads // groups, axis=1) for each in (k, v))
        x = x + causal_attention(q, k, v).reshape(length, -1) @ block["o"]
        y = rms_norm(block["norm_2"]["scale"], x)
        x = x + (jax.nn.silu(y @ block["gate"]) * (y @ block["up"])) @ block["down"]
    return rms_norm(params["norm"]["scale"], x) @ params["out"]


def llama_shapes(vocabulary: int, width: int, heads: int, groups: int, size: int, hidden: int, blocks: int) -> Any:
    """The shapes of a network with heads of the given size."""
    block = {
        "norm_1": {"scale": (width,)},
        "q": (width, heads * size),
        "k": (width, groups * size),
        "v": (width, groups * size),
        "o": (heads * size, width),
        "norm_2": {"scale": (width,)},
        "gate": (width, hidden),
        "up": (width, hidden),
        "down": (hidden, width),
    }
    ends = {"tokens": (vocabulary, width), "norm": {"scale": (width,)}, "out": (width, vocabulary)}
    return ends | {"blocks": [block] * blocks}


def text_classifier(params: Any, x: jax.Array) -> jax.Array:
    """The mean of the embeddings of a text's tokens, then dense layers; token 0 is padding."""
    present = (x != 0).astype(jnp.float32)
    words = jnp.take(params["embedding"], x, axis=0) * present[:, None]
    return mlp(params["dense"], jnp.sum(words, axis=0) / jnp.maximum(jnp.sum(present), 1.0))


def _build(apply: Apply, shapes: Any, x: Callable[[], jax.Array]) -> tuple[Apply, Any, jax.Array]:
    return apply, drawn(shapes), x()


def _scanned_shapes(n_in: int, width: int, hidden: int, blocks: int, n_out: int) -> Any:
    embed, up, down, out = dense_shapes(n_in, width, hidden, width, n_out)
    stacked = {
        name: {leaf: (blocks, *shape) for leaf, shape in layer.items()} for name, layer in (("up", up), ("down", down))
    }
    return {"embed": embed, "blocks": stacked, "out": out}


BUILDERS: dict[str, Builder] = {
    "mlp": partial(_build, batched(mlp), dense_shapes(6, 12, 10, 4), partial(reals, 5, 6)),
    "split_mlp": partial(_build, split_mlp, split_mlp_shapes(6, ((5, 3, 4), (4, 6)), 3), partial(reals, 5, 6)),
    "tied_autoencoder": partial(
        _build,
        batched(tied_autoencoder),
        {"w": [(9, 7), (7, 4)], "encoder": [(7,), (4,)], "decoder": [(7,), (9,)]},
        partial(reals, 5, 9),
    ),
    "scanned_mlp": partial(_build, scanned_mlp, _scanned_shapes(6, 10, 12, 3, 4), partial(reals, 5, 6)),
    "remat_mlp": partial(_build, remat_mlp, dense_shapes(6, 12, 10, 4), partial(reals, 5, 6)),
    "mixture_of_experts": partial(
        _build,
        mixture,
        {"gate": dense_shapes(6, 5)[0], "up": (5, 6, 7), "bias": (5, 7), "down": (5, 7, 4)},
        partial(reals, 3, 6),
    ),
    "vgg": partial(_build, vgg, vgg_shapes(3, ((6, 8), (10,)), 6, 12, 5), partial(reals, 2, 8, 12, 3)),
    "resnet20_option_a": partial(_build, resnet, resnet_shapes(3, (6, 10, 14), 3, 5), partial(reals, 2, 8, 12, 3)),
    "gpt": partial(
        _build,
        batched(partial(gpt, heads=3)),
        gpt_shapes(11, 8, 12, 20, 2),
        partial(tokens, 3, 7, vocabulary=11),
    ),
    "llama": partial(
        _build,
        batched(partial(llama, heads=4, groups=2)),
        llama_shapes(11, 12, 4, 2, 6, 14, 2),
        partial(tokens, 3, 7, vocabulary=11),
    ),
    "text_classifier": partial(
        _build,
        batched(text_classifier),
        {"embedding": (9, 8), "dense": dense_shapes(8, 10, 3)},
        partial(tokens, 4, 12, vocabulary=9),
    ),
}
