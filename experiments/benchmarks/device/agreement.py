"""Whether a device computes what a CPU computed. Inputs are drawn by NumPy, so that they are the same everywhere.

The values of a CPU lie in `reference.npz`; `python -m experiments.benchmarks.accelerator --store-reference` makes it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import interpolation, similarity, training
from experiments.benchmarks.device.measuring import Row

REFERENCE = Path(__file__).parent / "reference.npz"
TOLERANCES = {
    "highest": {"permutations": 0.0, "total": 1e-4, "sweep": 1e-4, "correlations": 1e-4, "loss": 1e-4},
    "default": {"permutations": 0.0, "total": 2e-3, "sweep": 2e-3, "correlations": 2e-3, "loss": 2e-3},
}
"""The largest difference that is allowed, by the precision of matrix products; "default" allows for TF32, whose numbers
have ten bits. Permutations are equal. The total is a mean correlation; sweeps and losses are mean cross-entropies."""
INPUTS, HIDDEN, CLASSES, SAMPLES, STEPS = 64, 48, 10, 1000, 5
NOISE = 0.1
"""Of the weights of a permuted copy, as a share of their standard deviation: too little to change partners."""
NETWORK = ea.models.MLP(hidden=(HIDDEN,), classes=CLASSES)
SGD = optax.sgd(0.1)


def rows(_: object) -> list[Row]:
    """One check for each precision of matrix products."""
    return [
        Row(f"agreement with a CPU, products of {precision} precision", "agreement", 1, "checks", prepare, check)
        for precision in TOLERANCES
        for prepare, check in [(partial(_prepared, precision), partial(compared, precision))]
    ]


def store() -> Path:
    """Write the values of this CPU."""
    if jax.devices()[0].platform != "cpu":
        raise SystemExit(f"JAX runs on {jax.devices()[0].platform}; expected cpu. Set JAX_PLATFORMS=cpu.")
    np.savez_compressed(REFERENCE, **measured("highest"))  # pyright: ignore[reportArgumentType]
    return REFERENCE


def measured(precision: str) -> dict[str, np.ndarray]:
    """What is compared, by name; of each name several arrays, told apart by what follows a colon."""
    a, planted, other, x, y = _problem()
    ts = jnp.linspace(-0.25, 1.25, 25)
    with jax.default_matmul_precision(precision):
        found = {}
        for engine in ("host", "compiled"):
            method = ea.alignment.Correlation(engine=engine)
            copies = ea.align(NETWORK.apply, a, planted, x, method=method)
            found[f"permutations:{engine}"] = copies.permutations_b["hidden_0"]
            strangers = ea.align(NETWORK.apply, a, other, x, method=method)
            found[f"total:{engine}"] = jnp.mean(strangers.scores["hidden_0"])
        for strategy in ("scan", "vmap"):
            sweep = interpolation.sweep(NETWORK.apply, a, other, x, y, ts=ts, chunk=300, strategy=strategy)
            found[f"sweep:{strategy}"] = sweep.loss
        layers = [x @ params["params"]["hidden_0"]["kernel"] for params in (a, other)]
        found["correlations:cca"] = similarity.cca(*layers).correlations
        found["loss:steps"] = _losses(a, x, y)
    return {name: np.asarray(value) for name, value in found.items()}


def compared(precision: str, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The largest difference from the stored values by name; an error if one is beyond its tolerance."""
    differences: dict[str, float] = {}
    with np.load(REFERENCE, allow_pickle=False) as stored:
        if set(stored.files) != set(found):
            raise ValueError(f"{REFERENCE.name} holds {sorted(stored.files)}; expected {sorted(found)}. Store it anew.")
        for name, value in found.items():
            apart = (
                np.max(np.abs(value.astype(np.float64) - stored[name])) if value.shape == stored[name].shape else np.inf
            )
            differences[name] = float(apart)
    limits = {name: TOLERANCES[precision][name.partition(":")[0]] for name in differences}
    wrong = [
        f"{name}: {differences[name]:.3g} > {limit:g}"
        for name, limit in limits.items()
        if not differences[name] <= limit
    ]
    if wrong:
        raise ValueError(f"differences from the values of a CPU: {'; '.join(wrong)}")
    return {"differences": differences, "tolerances": limits}


def _prepared(precision: str) -> Callable[[], dict[str, np.ndarray]]:
    return partial(measured, precision)


def _problem() -> tuple[Any, Any, Any, jax.Array, jax.Array]:
    """A network, a permuted and noisy copy, another network, and data."""
    random = np.random.default_rng(0)
    a, other = _network(random), _network(random)
    order = random.permutation(HIDDEN)
    copied = {name: value + NOISE * value.std() * random.standard_normal(value.shape) for name, value in a.items()}
    planted = {"kernel": copied["kernel"][:, order], "bias": copied["bias"][order], "output": copied["output"][order]}
    x = random.standard_normal((SAMPLES, INPUTS)).astype(np.float32)
    y = random.integers(0, CLASSES, SAMPLES)
    return *map(_as_params, (a, planted, other)), jnp.asarray(x), jnp.asarray(y)


def _network(random: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"kernel": (INPUTS, HIDDEN), "bias": (HIDDEN,), "output": (HIDDEN, CLASSES)}
    return {name: random.standard_normal(shape) / shape[0] ** 0.5 for name, shape in shapes.items()}


def _as_params(values: Mapping[str, np.ndarray]) -> Any:
    kernel, bias, output = (jnp.asarray(values[name], jnp.float32) for name in ("kernel", "bias", "output"))
    return {"params": {"hidden_0": {"kernel": kernel, "bias": bias}, "output": {"kernel": output}}}


@jax.jit
def _losses(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Before each of some training steps."""

    def step(state: tuple[Any, Any], _: Any) -> tuple[tuple[Any, Any], jax.Array]:
        params, opt_state, score = training.step(NETWORK.apply, *state, x, y, SGD)
        return (params, opt_state), score.loss

    return jax.lax.scan(step, (params, SGD.init(params)), length=STEPS)[1]
