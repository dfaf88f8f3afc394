"""How long one training step of a convolutional network takes on a CPU: ours inside `lax.scan`, PyTorch, native JAX.

    python -m experiments.benchmarks.convolution --out experiments/benchmarks/results/convolution.json

The network is MnistNet of PADAWANN without its dropout (3x3 convolutions of 32 and 64 features, pooling, dense layers
of 128 and 10), trained as there with Adadelta on batches of 100. All contenders start from the same parameters and see
the same random images; the last column says that they compute the same losses. PyTorch's threads wait for each other,
and slow down most where other programs take a core: on a busy machine only the fastest times can be compared.
Needs the extra `benchmarks` (PyTorch).
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align.lab.report import text_table
from experiments.benchmarks.pytorch import mnist_net
from experiments.benchmarks.timing import store, time_of

BATCH = 100
STEPS = 4
ADADELTA = optax.adadelta(1.0, rho=0.9, eps=1e-6)
PEER = "PyTorch"


class MnistNet(nn.Module):
    """The network, of the library's layers or of Flax's."""

    native: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits."""
        layer = nn.Conv if self.native else ea.models.Conv
        x = nn.relu(layer(32, (3, 3), padding="VALID", name="first")(x))
        x = nn.relu(layer(64, (3, 3), padding="VALID", name="second")(x))
        x = nn.max_pool(x, (2, 2), (2, 2)) if self.native else ea.models.max_pool(x, (2, 2))
        x = nn.relu(nn.Dense(128, name="third")(x.reshape(x.shape[0], -1)))
        return nn.Dense(10, name="output")(x)


def main(argv: list[str] | None = None) -> int:
    """Run all contenders in turns, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of one call")
    parser.add_argument("--out", help="write the rows to this JSON file too")
    arguments = parser.parse_args(argv)
    rows = run(arguments.rounds, arguments.batch, arguments.steps)
    print(text_table(rows))
    store(arguments.out, rows, {"rounds": arguments.rounds, "batch": arguments.batch, "steps": arguments.steps})
    return 0


def run(rounds: int, batch: int, steps: int) -> list[dict[str, Any]]:
    """One row for each contender: a step's median time, the median of its ratios to PyTorch's, and the fastest time."""
    x = jax.random.normal(jax.random.key(0), (steps, batch, 28, 28, 1))
    y = jax.random.randint(jax.random.key(1), (steps, batch), 0, 10)
    params = MnistNet().init(jax.random.key(2), x[0])
    contenders = {
        PEER: in_torch(params, x, y),
        "ours, lax.scan": in_scan(MnistNet(), params, x, y),
        "ours, host loop": on_host(MnistNet(), params, x, y),
        "native JAX, lax.scan": in_scan(MnistNet(native=True), params, x, y),
        "native JAX, host loop": on_host(MnistNet(native=True), params, x, y),
    }
    losses = {name: np.asarray(contender()) for name, contender in contenders.items()}
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(time_of(contender) / steps)
    rows = []
    for name, times in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(times, seconds[PEER], strict=True)]
        rows.append(
            {
                "one training step": name,
                "ms": float(f"{1000 * statistics.median(times):.3g}"),
                "times PyTorch's": float(f"{statistics.median(ratios):.3g}"),
                "spread": [float(f"{value:.3g}") for value in (min(ratios), max(ratios))],
                "fastest, ms": float(f"{1000 * min(times):.3g}"),
                "losses within": float(f"{np.abs(losses[name] - losses[PEER]).max():.1e}"),
            }
        )
    return rows


def in_scan(module: nn.Module, params: Any, x: jax.Array, y: jax.Array) -> Callable[[], jax.Array]:
    """All steps in one compiled loop."""
    step = partial(ea.training.step, module.apply, optimizer=ADADELTA)

    @jax.jit
    def steps(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        def body(state: tuple[Any, Any], batch: tuple[jax.Array, jax.Array]) -> tuple[tuple[Any, Any], jax.Array]:
            params, opt_state, score = step(*state, *batch)
            return (params, opt_state), score.loss

        return jax.lax.scan(body, (params, ADADELTA.init(params)), (x, y))[1]

    return lambda: steps(params, x, y)


def on_host(module: nn.Module, params: Any, x: jax.Array, y: jax.Array) -> Callable[[], jax.Array]:
    """One compiled step, called again and again."""
    step = jax.jit(partial(ea.training.step, module.apply, optimizer=ADADELTA))

    def steps() -> jax.Array:
        state: list[Any] = [params, ADADELTA.init(params)]
        losses = []
        for batch in zip(x, y, strict=True):
            *state, (loss, _) = step(*state, *batch)
            losses.append(loss)
        return jnp.stack(losses)

    return steps


def in_torch(params: Any, x: jax.Array, y: jax.Array) -> Callable[[], np.ndarray]:
    """The same steps in PyTorch, on all cores."""
    torch: Any = __import__("torch")
    network, fill = mnist_net()
    images = torch.from_numpy(np.array(x).transpose(0, 1, 4, 2, 3).copy())
    labels = torch.from_numpy(np.array(y)).long()

    def steps() -> np.ndarray:
        kernels = [np.array(params["params"][name]["kernel"]) for name in ("first", "second", "third", "output")]
        fill(kernels, [np.zeros(kernel.shape[-1], np.float32) for kernel in kernels])
        optimiser = torch.optim.Adadelta(network.parameters(), lr=1.0, rho=0.9, eps=1e-6)
        losses = []
        for batch, of_batch in zip(images, labels, strict=True):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(batch), of_batch)
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return torch.stack(losses).numpy()

    return steps


if __name__ == "__main__":
    sys.exit(main())
