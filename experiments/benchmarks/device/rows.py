"""What is measured, by group. Each group makes its rows for a `Scale`; data are drawn when a row is prepared."""

import dataclasses
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import alignment, crossover, evolution, interpolation, population, pruning, similarity, symmetry
from evojax_align import training as descent
from experiments.benchmarks.device import peers
from experiments.benchmarks.device.measuring import Row

ADAM = optax.adam(1e-3)
SGD = optax.sgd(0.01, momentum=0.9)
PIXELS, CLASSES = 784, 10
STRATEGIES = ("scan", "vmap")


@dataclasses.dataclass(frozen=True)
class Scale:
    """The sizes of all rows.

    Attributes:
        side: of the matrices that are multiplied.
        products: how many of them in one program.
        hidden: width of the fully connected networks.
        samples: of an epoch of training.
        members: sizes of the populations that are trained.
        swept: samples of a sweep, cut into either of two chunks.
        ts: numbers of children of a sweep.
        pairs: how many are aligned.
        compared: samples on which they are.
        together: pairs of layers in a batch of CCA.
        resnet: width, blocks of each stage, and side of the images.
        images: of a generation of PADAWANN, on a network of these widths.
        graphs: members of WANN, its samples, inputs, capacity for hidden nodes, and the chance of a connection.
        changes: that graphs have grown by, about one connection each: from 130 to 1 000.
        mixed: members of the mixed evolution, samples, widths and side of the blocks.
        sparse: samples of the synthesis, side of the images, and widths.
        convolutional: members of the population of CNNs, samples of a batch, and widths.
    """

    side: int = 8192
    products: int = 10
    hidden: int = 512
    samples: int = 12_800
    members: tuple[int, ...] = (8, 64, 512)
    swept: int = 10_000
    chunks: tuple[int, ...] = (1000, 10_000)
    ts: tuple[int, ...] = (25, 201)
    pairs: tuple[int, ...] = (1, 32, 256)
    compared: int = 2000
    together: tuple[int, ...] = (1, 32)
    resnet: tuple[int, int, int] = (16, 3, 32)
    images: tuple[int, tuple[int, ...]] = (1000, (32, 64, 128))
    graphs: tuple[int, int, int, int, float] = (960, 1000, 256, 512, 0.05)
    changes: tuple[int, ...] = (0, 870)
    mixed: tuple[int, int, tuple[int, int], int] = (20, 10_000, (256, 128), 64)
    sparse: tuple[int, int, tuple[int, ...]] = (10_000, 32, (32, 32, 64, 64))
    convolutional: tuple[int, int, tuple[int, ...]] = (64, 100, (32, 64, 128))


FULL = Scale()
SMALL = Scale(
    side=512,
    products=2,
    hidden=32,
    samples=640,
    members=(2, 4, 8),
    swept=1000,
    chunks=(100, 1000),
    ts=(5, 25),
    pairs=(1, 4, 8),
    compared=200,
    together=(1, 4),
    resnet=(4, 1, 8),
    images=(50, (4, 8, 16)),
    graphs=(32, 50, 64, 64, 0.2),
    changes=(0, 60),
    mixed=(8, 200, (32, 16), 8),
    sparse=(100, 16, (4, 4, 8, 8)),
    convolutional=(4, 10, (4, 8, 16)),
)


def matrices(scale: Scale) -> list[Row]:
    """The rate of matrix products alone, which bounds that of everything else."""

    def prepare(dtype: Any, precision: Any) -> Callable[[], Any]:
        keys = jax.random.split(jax.random.key(0))
        a, b = (jax.random.normal(key, (scale.side, scale.side)) for key in keys)
        a, b = a.astype(dtype), (b / scale.side**0.5).astype(dtype)

        @jax.jit
        def chain(a: jax.Array, b: jax.Array) -> jax.Array:
            return jax.lax.fori_loop(0, scale.products, lambda _, a: jnp.matmul(a, b, precision=precision), a)

        return lambda: chain(a, b)

    kinds = {
        "float32": (jnp.float32, jax.lax.Precision.HIGHEST),
        "float32 at the default precision (TF32 on GPUs that have it)": (jnp.float32, jax.lax.Precision.DEFAULT),
        "bfloat16": (jnp.bfloat16, jax.lax.Precision.DEFAULT),
    }
    work = 2 * scale.side**3 * scale.products / 1e12
    name = f"matrix product of side {scale.side}"
    return [Row(f"{name}, {kind}", "matrices", work, "TFLOP", partial(prepare, *how)) for kind, how in kinds.items()]


def training(scale: Scale) -> list[Row]:
    """An epoch of populations of fully connected networks, and of the same in PyTorch."""
    network = ea.models.MLP(hidden=(scale.hidden,))

    def prepare(members: int, strategy: str) -> Callable[[], Any]:
        x, y = samples(scale.samples)
        pop, keys = networks(network, members), jax.random.split(jax.random.key(2), members)

        def one(params: Any, key: Any) -> Any:
            return descent.descend(network.apply, params, x, y, ADAM, epochs=1, batch_size=peers.BATCH, key=key)[1]

        run = jax.jit(partial(population.map, one, strategy=strategy))
        return lambda: run(pop, keys)

    def peer(way: Callable, members: int, **settings: Any) -> Callable[[], Any]:
        x, y = (np.array(part) for part in samples(scale.samples))
        return way(members, scale.hidden, x, y, **settings)

    def row(members: int, how: str, prepare: Callable[[], Callable[[], Any]], peer: bool = False) -> Row:
        name = f"training {members} x {PIXELS}-{scale.hidden}-{CLASSES}, {how}"
        return Row(name, f"training, {how}", members * scale.samples, "samples", prepare, mean_loss, peer)

    found = []
    for members in scale.members:
        found += [row(members, strategy, partial(prepare, members, strategy)) for strategy in reversed(STRATEGIES)]
        found.append(row(members, "PyTorch, batched products", partial(peer, peers.batched, members), True))
    fewest = scale.members[0]
    for how, compiled in (("PyTorch, loop", False), ("PyTorch, loop with torch.compile", True)):
        found.append(row(fewest, how, partial(peer, peers.loop, fewest, compiled=compiled), True))
    return found


def mean_loss(value: Any) -> dict[str, Any]:
    """Of all members, so that ways can be compared by what they reach."""
    return {"loss": float(np.mean(np.asarray(value)))}


def sweeps(scale: Scale) -> list[Row]:
    """Children along the line through two networks."""
    network = ea.models.MLP(hidden=(scale.hidden,))

    def prepare(count: int, chunk: int, strategy: str) -> Callable[[], Any]:
        (x, y), (a, b) = samples(scale.swept), population.unstack(networks(network, 2))
        settings: dict[str, Any] = {"ts": jnp.linspace(-0.25, 1.25, count), "chunk": chunk, "strategy": strategy}
        return lambda: interpolation.sweep(network.apply, a, b, x, y, **settings).loss

    return [
        Row(
            f"sweep of {count} t, {scale.swept} samples, chunks of {chunk}, {strategy}",
            f"sweeps, chunks of {chunk}, {strategy}",
            count * scale.swept,
            "evaluations",
            partial(prepare, count, chunk, strategy),
        )
        for count in scale.ts
        for chunk in scale.chunks
        for strategy in STRATEGIES
    ]


def aligning(scale: Scale) -> list[Row]:
    """Pairs of networks by the correlation of their neurons, with either solver of assignments."""
    network = ea.models.MLP(hidden=(scale.hidden,))

    def prepare(pairs: int, engine: str) -> Callable[[], Any]:
        x, _ = samples(scale.compared)
        a, b = population.pairs(networks(network, 2 * pairs))
        method = alignment.Correlation(engine=engine)
        return lambda: ea.align_pairs(network.apply, a, b, x, method=method).b

    return [
        Row(
            f"aligning {pairs} pairs of {PIXELS}-{scale.hidden}-{CLASSES}, {engine} assignment",
            f"aligning, {engine}",
            pairs,
            "pairs",
            partial(prepare, pairs, engine),
        )
        for pairs in scale.pairs
        for engine in ("host", "compiled")
    ]


def cca(scale: Scale) -> list[Row]:
    """Canonical correlation analysis of pairs of layers."""

    def prepare(pairs: int) -> Callable[[], Any]:
        keys = jax.random.split(jax.random.key(0))
        x, y = (jax.random.normal(key, (pairs, scale.compared, scale.hidden)) for key in keys)
        run = jax.jit(partial(population.map, lambda x, y: similarity.cca(x, y).correlations))
        return lambda: run(x, y)

    name = f"{scale.compared} x {scale.hidden}"
    return [Row(f"CCA of {n} pairs of {name}", "cca", n, "pairs", partial(prepare, n)) for n in scale.together]


def weights(scale: Scale) -> list[Row]:
    """Matching of two residual networks by their weights."""
    width, blocks, side = scale.resnet

    def prepare(engine: str) -> Callable[[], Any]:
        network, shape = ea.models.ResNet(width, blocks), (side, side, 3)
        a, b = population.unstack(networks(network, 2, shape))
        spec = symmetry.infer(network.apply, a, jnp.zeros((1, *shape)))
        start = symmetry.identity(spec)
        match = partial(alignment.match_weights, spec, restarts=8, engine=engine)
        run = jax.jit(match) if engine == "compiled" else match
        return lambda: run(a, b, start)

    name = f"weight matching of ResNet{6 * blocks + 2}, width {width}, 8 starts"
    return [
        Row(f"{name}, {engine} assignment", f"weights, {engine}", 1, "pairs", partial(prepare, engine))
        for engine in ("host", "compiled")
    ]


def generations(scale: Scale) -> list[Row]:
    """One generation of each evolutionary algorithm."""
    size, drawn, *_ = scale.graphs
    rows = [(f"PADAWANN, 20 CNNs on {scale.images[0]} images", "padawann", partial(padawann, scale))]
    for changes in scale.changes:
        name = f"WANN of {size} graphs grown by {changes} changes, {drawn} samples"
        rows.append((name, "wann", partial(wann, scale, changes)))
    rows.append(
        (f"mixed evolution of {scale.mixed[0]} networks, {scale.mixed[1]} samples", "mixed", partial(mixed, scale))
    )
    rows.append((f"synthesis of 2 sparse networks, {scale.sparse[0]} samples", "synthesis", partial(synthesis, scale)))
    return [
        Row(f"a generation of {name}", family, 1, "generations", prepare, connections) for name, family, prepare in rows
    ]


def connections(state: Any) -> dict[str, Any]:
    """Of graphs, their mean number."""
    members = getattr(state, "members", None)
    if not isinstance(members, evolution.graph.Graph):
        return {}
    return {"connections": float(jnp.mean(members.connections))}


def padawann(scale: Scale) -> Callable[[], Any]:
    """Networks for MNIST that share one weight."""
    count, widths = scale.images
    network = ea.models.MnistNet(widths)
    x, y = samples(count, (28, 28))
    params = population.take(networks(network, 1, (28, 28)), 0)
    synapses = pruning.find(params)
    algorithm = evolution.Padawann(network.apply, synapses)
    task = pruning.Task(x, y)
    state = algorithm.init(jax.random.key(2), population.stack([pruning.basis(synapses, params)]), [task])
    return lambda: algorithm.step(jax.random.key(3), state, [task])[0]


def wann(scale: Scale, changes: int) -> Callable[[], Any]:
    """Weight agnostic networks, after they have grown."""
    size, drawn, inputs, hidden, enabled = scale.graphs
    task = evolution.tasks.Classification(drawn)
    algorithm = evolution.Wann(inputs, CLASSES, task, size=size, hidden=hidden, enabled=enabled)
    data = samples(5 * drawn, (inputs,))
    state = algorithm.init(jax.random.key(1), data)
    keys = jax.random.split(jax.random.key(2), size)
    members = jax.jit(partial(population.map, partial(grown, changes, len(algorithm.activations))))(keys, state.members)
    state = dataclasses.replace(state, members=members)
    return lambda: algorithm.step(jax.random.key(3), state, data)[0]


def grown(changes: int, activations: int, key: Any, one: Any) -> Any:
    """A graph after so many connections or nodes more."""
    graph = evolution.graph

    def grow(number: Any, one: Any) -> Any:
        own, event = jax.random.fold_in(key, number), 10_000 + 2 * number
        ways = [lambda: graph.connect(own, one, event), lambda: graph.split(own, one, activations, event)]
        return jax.lax.switch(number % 2, ways)

    return jax.lax.fori_loop(0, changes, grow, one)


def mixed(scale: Scale) -> Callable[[], Any]:
    """Blocks of weights as genes, and two immigrants, as the authors of mixed evolution have them."""
    size, count, hidden, block = scale.mixed
    network = ea.models.MLP(hidden, output_bias=True, start="fan_in")
    data, judge = samples(count), samples(count // 5)
    init_fn = initialised(network, (PIXELS,))
    genes = crossover.block_genes(jax.eval_shape(init_fn, jax.random.key(0)), block=block)
    algorithm = evolution.Recombination(network.apply, init_fn, genes, SGD, size=size, immigrants=2)
    state = algorithm.init(jax.random.key(1), judge)
    return lambda: algorithm.step(jax.random.key(2), state, data, judge)[0]


def synthesis(scale: Scale) -> Callable[[], Any]:
    """Two sparse networks with two parents each."""
    count, side, widths = scale.sparse
    network = ea.models.LeNet(widths)
    data, judge = samples(count, (side, side)), samples(count // 5, (side, side))
    init_fn = initialised(network, (side, side))
    synapses = pruning.find(jax.eval_shape(init_fn, jax.random.key(0)))
    algorithm = evolution.Synthesis(network.apply, init_fn, synapses, SGD)
    state = algorithm.init(jax.random.key(1), data, judge)
    return lambda: algorithm.step(jax.random.key(2), state, data, judge)[0]


def convolution(scale: Scale) -> list[Row]:
    """A training step of many CNNs: with vmap their convolutions become grouped ones, or one product of patches."""
    members, count, widths = scale.convolutional

    def prepare(strategy: str, method: str) -> Callable[[], Any]:
        network = ea.models.MnistNet(widths, method=method)
        x, y = samples(count, (28, 28, 1))
        pop = networks(network, members, (28, 28, 1))

        def one(params: Any) -> Any:
            return descent.step(network.apply, params, ADAM.init(params), x, y, ADAM)[0]

        run = jax.jit(partial(population.map, one, strategy=strategy))
        return lambda: run(pop)

    name = f"a training step of {members} CNNs on {count} images"
    ways = {
        "scanned": ("scan", "native"),
        "grouped (vmap)": ("vmap", "native"),
        "products of patches (vmap)": ("vmap", "patches"),
    }
    return [
        Row(f"{name}, {how}", f"convolution, {how}", members * count, "samples", partial(prepare, *way))
        for how, way in ways.items()
    ]


def samples(count: int, shape: tuple[int, ...] = (PIXELS,)) -> tuple[jax.Array, jax.Array]:
    """Random inputs and labels."""
    key_x, key_y = jax.random.split(jax.random.key(count))
    return jax.random.uniform(key_x, (count, *shape)), jax.random.randint(key_y, (count,), 0, CLASSES)


def networks(network: Any, count: int, shape: tuple[int, ...] = (PIXELS,)) -> Any:
    """Untrained ones."""
    return _population(network, count, shape)(jax.random.key(1))


@lru_cache
def _population(network: Any, count: int, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    return jax.jit(lambda key: population.init(initialised(network, shape), key, count))


def initialised(network: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """The function from a key to the parameters of a network for inputs of this shape."""
    return lambda key: network.init(key, jnp.zeros((1, *shape)))
