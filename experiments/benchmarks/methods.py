"""Deep networks on real data aligned by every method, with times; and the permutations of stored pairs.

    python -m experiments.benchmarks.methods --data-dir DIR                # ResNet-20 and a ViT of six layers
    python -m experiments.benchmarks.methods --data-dir DIR --store FILE   # pairs of MNIST and CIFAR-10
    python -m experiments.benchmarks.methods --compare FILE                # the same pairs again, with this version

The file holds the parents, the inputs and the permutations, so that another version aligns the same networks.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import alignment, population, training
from experiments.benchmarks.networks.linen import TransformerBlock
from experiments.pages import table

METHODS: dict[str, Any] = {
    "none": "none",
    "correlation": "correlation",
    "semi": "semi",
    "mutual": "mutual",
    "greedy": "greedy",
    "cca": alignment.CCA(ridge=0.1),
    "loadings": alignment.Loadings(ridge=0.1),
    "weights": "weights",
}


class ViT(nn.Module):
    """Patches of 4 x 4, pre-norm blocks, the mean over positions."""

    width: int = 64
    layers: int = 6
    heads: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits."""
        x = nn.Conv(self.width, (4, 4), strides=(4, 4), padding="VALID")(x)
        x = x.reshape((x.shape[0], -1, self.width))
        x = x + self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(self.layers):
            x = TransformerBlock(self.heads, 4 * self.width)(x)
        return nn.Dense(10)(nn.LayerNorm()(x).mean(axis=1))


@dataclasses.dataclass(frozen=True)
class Parents:
    """Two trained networks, and what they are compared and scored on."""

    name: str
    apply: Any
    a: Any
    b: Any
    x: jax.Array
    test: tuple[jax.Array, jax.Array]


def deep(data: ea.data.Dataset, images: int, epochs: int) -> Iterator[Parents]:
    """A pair of each architecture."""
    train = jnp.asarray(data.train.x[:images]), jnp.asarray(data.train.y[:images])
    test = jnp.asarray(data.test.x[:1000]), jnp.asarray(data.test.y[:1000])
    resnet, vit = ea.models.ResNet(), ViT()

    def learning(params: Any, x: jax.Array) -> jax.Array:
        return resnet.apply(params, x, train=True, mutable=["batch_stats"])[0]

    for name, network, apply in (("ResNet-20", resnet, learning), ("ViT, 6 layers", vit, vit.apply)):
        pop = population.init(lambda key, network=network: network.init(key, train[0][:1]), jax.random.key(0), 2)
        optimizer = optax.adam(1e-3)
        pop, _ = training.fit(apply, pop, train, optimizer, epochs=epochs, batch_size=64, key=jax.random.key(1))
        x = train[0][:512]
        a, b = (
            alignment.reestimate(network.apply, params, x) if network is resnet else params
            for params in population.unstack(pop)
        )
        yield Parents(name, network.apply, a, b, x, test)


def row(parents: Parents, name: str) -> dict[str, Any]:
    """One method on one pair."""
    apply = parents.apply

    def timed() -> tuple[alignment.Alignment, float]:
        start = time.perf_counter()
        out = ea.align(apply, parents.a, parents.b, parents.x, method=METHODS[name])
        jax.block_until_ready(out.b)
        return out, time.perf_counter() - start

    (out, first), *repeats = (timed() for _ in range(3))
    changed = [
        float(jnp.abs(apply(new, parents.x) - apply(old, parents.x)).max())
        for new, old in ((out.a, parents.a), (out.b, parents.b))
    ]
    a, b = out.a, out.b
    middle = ea.crossover.arithmetic(a, b, 0.5)
    if isinstance(middle, dict) and "batch_stats" in middle:
        middle = alignment.reestimate(apply, middle, parents.x)
    ends = [float(training.evaluate(apply, params, *parents.test).loss) for params in (parents.a, parents.b)]
    score = training.evaluate(apply, middle, *parents.test)
    return {
        "network": parents.name,
        "method": name,
        "groups": len(out.scores),
        "unmatched": len(out.unmatched),
        "first call, s": round(first, 2),
        "repeat, s": round(min(seconds for _, seconds in repeats), 3),
        "mean correlation": round(float(np.mean([np.mean(of) for of in out.scores.values()])), 3),
        "outputs change by": f"{max(changed):.1e}" if out.bijective else "semi",
        "loss of parents": round(sum(ends) / 2, 3),
        "loss of the midpoint": round(float(score.loss), 3),
    }


def pairs(name: str, data_dir: str, count: int) -> dict[str, np.ndarray]:
    """Pairs of the networks of safe crossover, trained for two epochs, and their inputs."""
    data = ea.data.load(name, data_dir=data_dir)
    network = ea.models.MLP((512,) if name == "mnist" else (100, 100, 100))
    train = tuple(jnp.asarray(part[:5000]) for part in (data.train.x, data.train.y))
    pop = population.init(lambda key: network.init(key, train[0][:1]), jax.random.key(0), 2 * count)
    key = jax.random.key(1)
    pop, _ = training.fit(network.apply, pop, train, optax.adam(1e-3), epochs=2, batch_size=128, key=key)
    leaves = jax.tree.leaves(pop)
    return {f"{name}/x": np.asarray(train[0][:2000])} | {
        f"{name}/leaf{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)
    }


def permutations(name: str, stored: Any) -> dict[str, np.ndarray]:
    """The permutations of all pairs by every method."""
    network, x = ea.models.MLP((512,) if name == "mnist" else (100, 100, 100)), jnp.asarray(stored[f"{name}/x"])
    structure = jax.tree.structure(jax.eval_shape(network.init, jax.random.key(0), x[:1]))
    leaves = [jnp.asarray(stored[f"{name}/leaf{i}"]) for i in range(structure.num_leaves)]
    a, b = population.pairs(jax.tree.unflatten(structure, leaves))
    found = {}
    for label, method in METHODS.items():
        out = ea.align_pairs(network.apply, a, b, x, method=method)
        for side, orders in (("a", out.permutations_a), ("b", out.permutations_b)):
            found |= {f"{name}/{label}/{side}/{group}": np.asarray(order) for group, order in orders.items()}
    return found


def compared(stored: Any) -> list[dict[str, Any]]:
    """How many of the partners are the stored ones."""
    rows = []
    for name in ("mnist", "cifar10"):
        found = permutations(name, stored)
        for label in METHODS:
            same = pairs_same = total = 0
            keys = [key for key in found if key.startswith(f"{name}/{label}/a/") and key in stored]
            for key in keys:
                other = key.replace("/a/", "/b/")
                for pair in range(len(found[key])):
                    now, before = (dict(zip(of[key][pair], of[other][pair], strict=True)) for of in (found, stored))
                    equal = sum(before.get(i) == j for i, j in now.items())
                    same, total, pairs_same = same + equal, total + len(now), pairs_same + (equal == len(now))
            if keys:
                layers = len(keys)
                rows.append(
                    {
                        "data": name,
                        "method": label,
                        "pairs": len(found[keys[0]]),
                        "layers": layers,
                        "layers of pairs equal": f"{pairs_same} of {layers * len(found[keys[0]])}",
                        "partners equal": f"{same / total:.4f}",
                    }
                )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder that holds cifar10, and mnist for --store")
    parser.add_argument("--images", type=int, default=5000, help="of CIFAR-10, for training")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--store", help="train pairs, and write their permutations to this file")
    parser.add_argument("--compare", help="align the pairs of this file again")
    given = parser.parse_args()
    if given.compare:
        with np.load(given.compare) as stored:
            print(table(compared(dict(stored))))
    elif given.store:
        found: dict[str, np.ndarray] = {}
        for name in ("mnist", "cifar10"):
            found |= pairs(name, given.data_dir, given.pairs)
            found |= permutations(name, found)
        np.savez_compressed(given.store, allow_pickle=False, **found)
    else:
        rows = []
        for parents in deep(ea.data.load("cifar10", data_dir=given.data_dir), given.images, given.epochs):
            for name in METHODS:
                rows.append(row(parents, name))
                print(rows[-1], flush=True)
        print(table(rows))


if __name__ == "__main__":
    main()
