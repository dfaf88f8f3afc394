"""Networks of haiku."""

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from . import QUICK, Apply, Builder, randomised, reals, tokens


def mlp(x: jax.Array) -> jax.Array:
    """Dense layers with rectifiers between them."""
    return hk.nets.MLP([12, 10, 4])(x)


def lenet(x: jax.Array) -> jax.Array:
    """LeNet-5 with smaller layers."""
    return hk.Sequential(
        [
            hk.Conv2D(6, 5),
            jax.nn.relu,
            hk.MaxPool((1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
            hk.Conv2D(8, 5, padding="VALID"),
            jax.nn.relu,
            hk.AvgPool((1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
            hk.Flatten(),
            hk.nets.MLP([12, 10, 4]),
        ]
    )(x)


def resnet18(x: jax.Array, is_training: bool = False) -> jax.Array:
    """A ResNet-18 of small widths."""
    network = hk.nets.ResNet(
        blocks_per_group=(2, 2, 2, 2),
        num_classes=5,
        bottleneck=False,
        channels_per_group=(8, 10, 12, 14),
        use_projection=(False, True, True, True),
        logits_config={"w_init": None},
        initial_conv_config={"output_channels": 8, "kernel_shape": 3, "stride": 1},
    )
    return network(x, is_training=is_training)


def gpt(x: jax.Array) -> jax.Array:
    """A causal transformer with an output of its own."""
    vocabulary, width = 11, 12
    _, length = x.shape

    def norm(x: jax.Array) -> jax.Array:
        return hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(x)

    positions = hk.get_parameter("positions", (length, width), init=hk.initializers.TruncatedNormal(0.02))
    mask = jnp.tril(jnp.ones((1, 1, length, length)))
    x = hk.Embed(vocabulary, width)(x) + positions[None]
    for hidden in (20, 14):
        attention = hk.MultiHeadAttention(2, 5, model_size=width, w_init=hk.initializers.VarianceScaling())
        y = norm(x)
        x = x + attention(y, y, y, mask=mask)
        x = x + hk.Sequential([hk.Linear(hidden), jax.nn.gelu, hk.Linear(width)])(norm(x))
    return hk.Linear(vocabulary)(norm(x))


def lstm(x: jax.Array) -> jax.Array:
    """A recurrent layer, and a dense one on every state, for a batch (sequences, steps, channels)."""
    core = hk.LSTM(10)
    outputs, _ = hk.dynamic_unroll(core, x, core.initial_state(x.shape[0]), time_major=False)
    return hk.Linear(4)(outputs)


def gru(x: jax.Array) -> jax.Array:
    """A recurrent layer, and a dense one on its last state, for a batch (sequences, steps, channels)."""
    core = hk.GRU(10)
    _, state = hk.dynamic_unroll(core, x, core.initial_state(x.shape[0]), time_major=False)
    return hk.Linear(4)(state)


def _build(forward: Callable[[jax.Array], jax.Array], x: Callable[[], jax.Array]) -> tuple[Apply, Any, jax.Array]:
    batch = x()
    network = hk.without_apply_rng(hk.transform(forward))
    return network.apply, jax.jit(network.init, compiler_options=QUICK)(jax.random.key(0), batch), batch


def _apply_normed(apply: Callable[..., Any], variables: Any, x: jax.Array) -> jax.Array:
    return apply(variables["params"], variables["state"], x)[0]


def _build_normed(forward: Callable[..., jax.Array], x: Callable[[], jax.Array]) -> tuple[Apply, Any, jax.Array]:
    batch = x()
    network = hk.without_apply_rng(hk.transform_with_state(forward))
    many = reals(32, *batch.shape[1:])
    init = jax.jit(partial(network.init, is_training=True), compiler_options=QUICK)
    params, state = init(jax.random.key(0), many)
    # The statistics are those of disturbed parameters: the disturbance to come makes activations larger.
    train = jax.jit(partial(network.apply, is_training=True), compiler_options=QUICK)
    _, state = train(randomised(params, jax.random.key(3)), state, many)
    return partial(_apply_normed, network.apply), {"params": params, "state": state}, batch


BUILDERS: dict[str, Builder] = {
    "mlp": partial(_build, mlp, partial(reals, 5, 6)),
    "lenet": partial(_build, lenet, partial(reals, 2, 16, 20, 1)),
    "resnet18": partial(_build_normed, resnet18, partial(reals, 2, 16, 12, 3)),
    "gpt": partial(_build, gpt, partial(tokens, 3, 7, vocabulary=11)),
    "lstm": partial(_build, lstm, partial(reals, 3, 7, 6)),
    "gru": partial(_build, gru, partial(reals, 3, 7, 6)),
}
