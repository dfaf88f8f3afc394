"""Small networks, each as a state dict of PyTorch with its function in NumPy, in Flax, and as a module of PyTorch."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import evojax_align as ea
from tests.interop import pytorch_in_numpy as ref


@dataclass(frozen=True)
class Case:
    shapes: dict[str, tuple[int, ...]]
    inputs: tuple[int, ...]  # of one sample, in PyTorch's order
    numpy: Callable  # of a state dict and inputs
    flax: nn.Module
    torch: Callable  # of the module `torch`: a module of PyTorch, and how it is called
    settings: dict[str, Any] = field(default_factory=dict)
    maps_in: bool = False
    maps_out: bool = False
    tokens: int = 0

    def state(self, seed=0):
        rng = np.random.default_rng(seed)
        state = {name: rng.normal(size=shape).astype(np.float32) / 2 for name, shape in self.shapes.items()}
        return {name: np.abs(value) + 0.5 if name.endswith("running_var") else value for name, value in state.items()}

    def x(self, n=4, seed=9):
        rng, shape = np.random.default_rng(seed), (n, *self.inputs)
        return rng.integers(0, self.tokens, shape) if self.tokens else rng.normal(size=shape).astype(np.float32)

    def ours(self, x):
        """Inputs as the network in Flax takes them."""
        return jnp.asarray(np.moveaxis(x, 1, -1) if self.maps_in else x)

    def like(self):
        return jax.eval_shape(self.flax.init, jax.random.key(0), self.ours(self.x()))

    def apply(self, params, x):
        """Outputs of the network in Flax, in PyTorch's order."""
        y = np.asarray(jax.jit(self.flax.apply)(params, self.ours(x)))
        return np.moveaxis(y, -1, 1) if self.maps_out else y


def layer(name, *weight, outputs=None):
    return {f"{name}.weight": weight, f"{name}.bias": (weight[0] if outputs is None else outputs,)}


def norm(name, size):
    return {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}


def cell(name, gates, inputs, hidden, index="_l0"):
    rows = gates * hidden
    weights = {f"{name}.weight_ih{index}": (rows, inputs), f"{name}.weight_hh{index}": (rows, hidden)}
    return weights | {f"{name}.bias_{side}{index}": (rows,) for side in ("ih", "hh")}


class CNN(nn.Module):
    """Convolutions, one of them in groups, a flattened map of 2 x 3 places, and two layers of equal shape after it."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 2), padding="VALID")(x))
        x = nn.max_pool(nn.relu(nn.Conv(6, (1, 2), padding="VALID", feature_group_count=2)(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(nn.Dense(5)(x))
        return nn.Dense(5)(x)


class Nested(nn.Module):
    """Dense layers that Flax counts from the last one."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(5)(nn.relu(nn.Dense(5)(nn.relu(nn.Dense(5)(x)))))


def cnn(state, x):
    x = ref.relu(ref.conv(state, "conv1", x))
    x = ref.max_pool(ref.relu(ref.conv(state, "conv2", x, groups=2))).reshape(len(x), -1)
    return ref.linear(state, "fc3", ref.relu(ref.linear(state, "fc2", ref.relu(ref.linear(state, "fc1", x)))))


def cnn_of_torch(torch):
    t = torch.nn
    layers = {
        **{"conv1": t.Conv2d(2, 4, (3, 2)), "relu1": t.ReLU(), "conv2": t.Conv2d(4, 6, (1, 2), groups=2)},
        **{"relu2": t.ReLU(), "pool": t.MaxPool2d(2), "flatten": t.Flatten(), "fc1": t.Linear(36, 5)},
        **{"relu3": t.ReLU(), "fc2": t.Linear(5, 5), "relu4": t.ReLU(), "fc3": t.Linear(5, 5)},
    }
    return t.Sequential(OrderedDict(layers)), lambda net, x: net(x)


class Normed(nn.Module):
    """Batch normalisation of channels, and of a flattened map."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(3, (2,), padding="VALID", name="conv")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="bn_0")(x)).reshape(len(x), -1)
        x = nn.BatchNorm(use_running_average=True, name="bn_1")(x)
        return nn.Dense(2, use_bias=False, name="fc")(x)


def normed(state, x):
    x = ref.relu(ref.batch_norm(state, "bn1", ref.conv(state, "conv", x))).reshape(len(x), -1)
    return ref.linear(state, "fc", ref.batch_norm(state, "bn2", x))


def normed_of_torch(torch):
    t = torch.nn
    layers = {"conv": t.Conv1d(2, 3, 2), "bn1": t.BatchNorm1d(3), "relu": t.ReLU(), "flatten": t.Flatten()}
    layers |= {"bn2": t.BatchNorm1d(12), "fc": t.Linear(12, 2, bias=False)}
    return t.Sequential(OrderedDict(layers)), lambda net, x: net(x)


class Sequence(nn.Module):
    cell: Any

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, name="out")(nn.RNN(self.cell(3))(x))


def sequence(kind, gates, flax_cell):
    def of_torch(torch):
        make = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind]
        net = torch.nn.ModuleDict({"rnn": make(5, 3, batch_first=True), "out": torch.nn.Linear(3, 2)})
        return net, lambda net, x: net["out"](net["rnn"](x)[0])

    def of_numpy(state, x):
        return ref.linear(state, "out", ref.recurrent(state, "rnn", x, kind))

    return Case(cell("rnn", gates, 5, 3) | layer("out", 2, 3), (4, 5), of_numpy, Sequence(flax_cell), of_torch)


class Words(nn.Module):
    """An embedding, whose table also gives the outputs."""

    @nn.compact
    def __call__(self, x):
        table = nn.Embed(7, 4, name="embed")
        return table.attend(nn.LayerNorm(epsilon=1e-5)(nn.Dense(4)(table(x))))


def words(state, x):
    x = ref.linear(state, "fc", state["embed.weight"][x])
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return ref.linear(state, "head", x * state["norm.weight"] + state["norm.bias"])


def words_of_torch(torch):
    t = torch.nn
    net = t.ModuleDict({"embed": t.Embedding(7, 4), "fc": t.Linear(4, 4), "norm": t.LayerNorm(4)})
    net["head"] = t.Linear(4, 7, bias=False)
    net["head"].weight = net["embed"].weight
    return net, lambda net, x: net["head"](net["norm"](net["fc"](net["embed"](x))))


class Decoder(nn.Module):
    """From a vector to a map of 2 x 3, and up to 5 x 7; the second layer has as many inputs as outputs."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(24, name="fc")(x)).reshape(len(x), 2, 3, 4)
        x = nn.relu(nn.ConvTranspose(3, (3, 3), strides=(2, 2), padding="VALID", name="up")(x))
        x = nn.relu(nn.ConvTranspose(3, (2, 2), padding="VALID")(x))
        return nn.ConvTranspose(2, (1, 2), padding="VALID", transpose_kernel=True, name="last")(x)


def decoder(state, x):
    x = ref.relu(ref.linear(state, "fc", x)).reshape(len(x), 4, 2, 3)
    x = ref.relu(ref.conv_transpose(state, "up1", x, stride=2))
    return ref.conv_transpose(state, "up3", ref.relu(ref.conv_transpose(state, "up2", x)))


def decoder_of_torch(torch):
    t = torch.nn
    layers = {"fc": t.Linear(5, 24), "relu1": t.ReLU(), "map": t.Unflatten(1, (4, 2, 3))}
    layers |= {"up1": t.ConvTranspose2d(4, 3, 3, stride=2), "relu2": t.ReLU()}
    layers |= {"up2": t.ConvTranspose2d(3, 3, 2), "relu3": t.ReLU(), "up3": t.ConvTranspose2d(3, 2, (1, 2))}
    return t.Sequential(OrderedDict(layers)), lambda net, x: net(x)


class Volume(nn.Module):
    """A convolution in three dimensions, and a transposed one in groups, which Flax has no layer for."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (2, 1, 3), padding="VALID", name="conv")(x))
        kernel = self.param("up", nn.initializers.zeros, (1, 2, 2, 2, 6))
        layout, pads = ("NDHWC", "DHWIO", "NDHWC"), ((0, 0), (1, 1), (1, 1))
        return lax.conv_general_dilated(
            x, kernel, (1, 1, 1), pads, (2, 2, 2), dimension_numbers=layout, feature_group_count=2
        )


def volume(state, x):
    x = ref.relu(ref.conv(state, "conv", x))
    return ref.conv_transpose(state | {"up.bias": np.zeros(6, np.float32)}, "up", x, stride=2, groups=2)


def volume_of_torch(torch):
    t = torch.nn
    up = t.ConvTranspose3d(4, 6, (1, 2, 2), stride=2, groups=2, bias=False)
    layers = {"conv": t.Conv3d(2, 4, (2, 1, 3)), "relu": t.ReLU(), "up": up}
    return t.Sequential(OrderedDict(layers)), lambda net, x: net(x)


class Attention(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="out")(nn.MultiHeadDotProductAttention(num_heads=2, name="heads")(x))


def attention(state, x):
    q, k, v = (
        np.moveaxis((x @ w.T + b).reshape(*x.shape[:2], 2, -1), 2, 1)
        for w, b in zip(np.split(state["attn.in_proj_weight"], 3), np.split(state["attn.in_proj_bias"], 3), strict=True)
    )
    scores = np.exp(q @ np.swapaxes(k, 2, 3) / np.sqrt(q.shape[-1]))
    seen = np.moveaxis(scores / scores.sum(-1, keepdims=True) @ v, 1, 2).reshape(x.shape)
    return ref.linear(state, "out", ref.linear(state, "attn.out_proj", seen))


def attention_of_torch(torch):
    t = torch.nn
    net = t.ModuleDict({"attn": t.MultiheadAttention(6, 2, batch_first=True), "out": t.Linear(6, 3)})
    return net, lambda net, x: net["out"](net["attn"](x, x, x, need_weights=False)[0])


def mlp(state, x):
    return ref.linear(state, "2", ref.relu(ref.linear(state, "0", x)))


def mlp_of_torch(torch):
    t = torch.nn
    return t.Sequential(t.Linear(6, 5), t.ReLU(), t.Linear(5, 3)), lambda net, x: net(x)


CASES = {
    "MLP": Case(layer("0", 5, 6) | layer("2", 3, 5), (6,), mlp, ea.models.MLP((5,), 3, output_bias=True), mlp_of_torch),
    "CNN": Case(
        layer("conv1", 4, 2, 3, 2)
        | layer("conv2", 6, 2, 1, 2)
        | layer("fc1", 5, 36)
        | layer("fc2", 5, 5)
        | layer("fc3", 5, 5),
        (2, 6, 8),
        cnn,
        CNN(),
        cnn_of_torch,
        {"flatten": {"fc1": (2, 3)}},
        maps_in=True,
    ),
    "batch normalisation": Case(
        layer("conv", 3, 2, 2) | norm("bn1", 3) | norm("bn2", 12) | {"fc.weight": (2, 12)},
        (2, 5),
        normed,
        Normed(),
        normed_of_torch,
        {"flatten": {"bn2": (4,), "fc": (4,)}},
        maps_in=True,
    ),
    "LSTM": sequence("lstm", 4, nn.LSTMCell),
    "LSTM, optimised": sequence("lstm", 4, nn.OptimizedLSTMCell),
    "GRU": sequence("gru", 3, nn.GRUCell),
    "simple recurrence": sequence("rnn", 1, nn.SimpleCell),
    "embedding, tied": Case(
        {"embed.weight": (7, 4)} | layer("fc", 4, 4) | layer("norm", 4) | {"head.weight": (7, 4)},
        (3,),
        words,
        Words(),
        words_of_torch,
        {"names": {"embed.weight": "params/embed/embedding", "head.weight": "embed/embedding"}},
        tokens=7,
    ),
    "transposed convolution": Case(
        layer("fc", 24, 5)
        | layer("up1", 4, 3, 3, 3, outputs=3)
        | layer("up2", 3, 3, 2, 2)
        | layer("up3", 3, 2, 1, 2, outputs=2),
        (5,),
        decoder,
        Decoder(),
        decoder_of_torch,
        {"unflatten": {"fc": (2, 3)}},
        maps_out=True,
    ),
    "attention": Case(
        {"attn.in_proj_weight": (18, 6), "attn.in_proj_bias": (18,)}
        | layer("attn.out_proj", 6, 6)
        | layer("out", 3, 6),
        (4, 6),
        attention,
        Attention(),
        attention_of_torch,
    ),
    "three dimensions, groups transposed": Case(
        layer("conv", 4, 2, 2, 1, 3) | {"up.weight": (4, 3, 1, 2, 2)},
        (2, 3, 2, 4),
        volume,
        Volume(),
        volume_of_torch,
        {"names": {"up.weight": "params/up"}, "kinds": {"up": "conv_transpose"}},
        maps_in=True,
        maps_out=True,
    ),
}
"""The networks of these tests, by what is particular about them."""
