"""Training of networks that are chains of pieces, with compiled programs of the pieces, for architecture search.

A program of a whole network must be compiled for every architecture. Pieces have few variants, so that most pieces of a
new architecture have been compiled before: here each is compiled once, forward and backward, for each variant and input
shape, and the host calls one after the other. `experiments/benchmarks/architectures.py` measures both methods.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import _checks
from evojax_align._types import Array, Float, Loss, PRNGKey, PyTree
from evojax_align.training._checking import check_data
from evojax_align.training.chains import (
    InTraining,
    Pieced,
    Trainee,
    inferred,
    initial,
    own_variables,
    started,
    summed,
)
from evojax_align.training.evaluation import batches, taken
from evojax_align.training.scoring import CHUNK, Score, of_means

WHOLE = "inside, train the whole network, by training.descend."
"""The fix in the error for tracing the training of pieces."""


def fit_pieces(
    networks: Sequence[Pieced],
    variables: Sequence[PyTree],
    data: Iterable[Any],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    keys: Sequence[PRNGKey],
    loss: Loss | None = None,
    devices: Sequence[Any] = (),
) -> tuple[list[PyTree], Float[np.ndarray, "networks epochs"]]:
    """Train networks of any architectures together. A host function.

    Equivalent to `begin_pieces` for each network, and `train_pieces` for all epochs.

    Args:
        networks: chains of pieces, such as `models.BlockCNN`.
        variables: initial variables of each network: `params`, and `batch_stats` if it has some.
        data: see `train_pieces`.
        optimizer: see `train_pieces`.
        epochs: see `train_pieces`.
        batch_size: see `train_pieces`.
        keys: see `train_pieces`.
        loss: see `train_pieces`.
        devices: see `train_pieces`.

    Returns:
        The trained variables, and the mean loss of each epoch.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> variables = ea.training.init_pieces(network, key, x)
        >>> settings = {"epochs": 2, "batch_size": 3, "keys": [key]}
        >>> (trained,), losses = ea.training.fit_pieces([network], [variables], (x, y), adam, **settings)
        >>> losses.shape, jax.tree.structure(trained) == jax.tree.structure(variables)
        ((1, 2), True)
    """
    _checks.refuse_trace("fit_pieces", WHOLE, variables, data, keys)
    _check_lengths(networks, variables=variables)
    starts = [begin_pieces(network, own, optimizer) for network, own in zip(networks, variables, strict=True)]
    settings = {"epochs": epochs, "batch_size": batch_size, "keys": keys, "loss": loss, "devices": devices}
    states, losses = train_pieces(networks, starts, data, optimizer, **settings)
    return [state.variables for state in states], losses


def begin_pieces(network: Pieced, variables: PyTree, optimizer: optax.GradientTransformation) -> InTraining:
    """The state of a network before its first epoch, with the initial state of the optimiser.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> variables = ea.training.init_pieces(network, key, x)
        >>> int(ea.training.begin_pieces(network, variables, adam).epoch)
        0
    """
    _checks.refuse_trace("begin_pieces", WHOLE, variables)
    opt_state = [started(optimizer, own_variables(variables, name)["params"]) for name in network.pieces]
    return InTraining(variables, tuple(opt_state), np.zeros((), np.int32))


def train_pieces(
    networks: Sequence[Pieced],
    states: Sequence[InTraining],
    data: Iterable[Any],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    keys: Sequence[PRNGKey],
    loss: Loss | None = None,
    devices: Sequence[Any] = (),
) -> tuple[list[InTraining], Float[np.ndarray, "networks epochs"]]:
    """Train networks of any architectures together for some epochs, one step of each in turn. A host function.

    Main arguments:
        networks: chains of pieces, such as `models.BlockCNN`.
        states: the state of each network, from `begin_pieces` or an earlier call.
        data: inputs and integer labels, or the targets that the loss takes, common to all networks; each network has
            its own order of the samples.
        optimizer: any optax optimiser that treats every parameter independently, such as Adam. Make it once and reuse
            it: programs are compiled for this object.
        epochs: passes over the data.
        batch_size: samples in a training step. Samples that do not fill the last step of an epoch are omitted from it,
            different ones in each epoch.
        keys: random keys, one for each network, the same in all calls.

    Other arguments:
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy with labels by default.
        devices: devices over which networks are distributed, to train in parallel. Programs are compiled for each.

    Returns:
        The new states, and the mean loss of each epoch. A network's result does not depend on the others; n epochs and
        then m give the same bits as n + m.

    Raises:
        ValueError: for lists of different lengths, no data, labels out of range, and a loss that does not return one
            number for each sample.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> state = ea.training.begin_pieces(network, ea.training.init_pieces(network, key, x), adam)
        >>> settings = {"epochs": 2, "batch_size": 3, "keys": [key]}
        >>> (state,), losses = ea.training.train_pieces([network], [state], (x, y), adam, **settings)
        >>> losses.shape, int(state.epoch)
        ((1, 2), 2)
    """
    _checks.refuse_trace("train_pieces", WHOLE, states, data, keys)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        _checks.positive(name, value)
    _check_lengths(networks, states=states, keys=keys)
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    for network, own in _distinct(networks, [state.variables for state in states]):
        check_data("data", partial(_outputs, network), own, x, y, loss, batch_size=batch_size)
    places = [devices[number % len(devices)] if devices else None for number in range(len(networks))]
    shared = {place: (x, y) if place is None else jax.device_put((x, y), place) for place in set(places)}
    trainees = []
    for network, state, key, place in zip(networks, states, keys, places, strict=True):
        start, order = (state, key) if place is None else jax.device_put((state, key), place)
        trainees.append(Trainee(network, start, order, optimizer, loss))
    count = jax.tree.leaves(x)[0].shape[0]
    size = min(batch_size, count)
    losses = np.zeros((len(networks), epochs))
    for epoch in range(epochs):
        for trainee in trainees:
            trainee.begin(epoch, count, size)
        steps = count // size
        for step in range(steps):
            for trainee, place in zip(trainees, places, strict=True):
                trainee.step(step, *shared[place])
        losses[:, epoch] = [float(trainee.loss) / steps for trainee in trainees]
    return [trainee.state(epochs) for trainee in trainees], losses


def init_pieces(network: Pieced, key: PRNGKey, x: PyTree) -> PyTree:
    """Initial variables, with a key for each piece; unlike `network.init`, it does not compile for each architecture.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> variables = ea.training.init_pieces(network, key, x)
        >>> jax.tree.map(jnp.shape, variables["params"]["head"])
        {'output': {'bias': (3,), 'kernel': (4, 3)}}
    """
    _checks.refuse_trace("init_pieces", "inside, use network.init(key, x).", key, x)
    key = _checks.key("key", key)
    found: dict[str, dict[str, PyTree]] = {}
    for number, (name, piece) in enumerate(network.pieces.items()):
        x = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape[1:]), leaf.dtype), x)  # only the shapes of inputs matter
        own = initial(piece, jax.random.fold_in(key, number), x)
        x = jax.eval_shape(partial(inferred, piece), own, x)
        for kind, leaves in own.items():
            found.setdefault(kind, {})[name] = leaves
    return found


def evaluate_pieces(
    network: Pieced, variables: PyTree, x: PyTree, y: PyTree = None, *, loss: Loss | None = None, chunk: int = CHUNK
) -> Score:
    """Mean loss and accuracy of one network on a whole data set, like `evaluate`. A host function.

    Args:
        network: a chain of pieces, such as `models.BlockCNN`.
        variables: variables of the network.
        x: inputs.
        y: integer labels, or the targets that the loss takes.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy with labels by default.
        chunk: samples at a time.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> variables = ea.training.init_pieces(network, key, x)
        >>> ea.training.evaluate_pieces(network, variables, x, y).loss.shape
        ()
    """
    _checks.refuse_trace("evaluate_pieces", "inside, use training.evaluate.", variables, x, y)
    x, y = jax.tree.map(jnp.asarray, (x, y))
    outputs = partial(_outputs, network)
    check_data("y", outputs, variables, x, y, loss, chunk=chunk)
    count = jax.tree.leaves(x)[0].shape[0]
    index, weights = batches(jnp.arange(count), min(_checks.positive("chunk", chunk), count))
    found = [summed(outputs(variables, taken(x, i)), taken(y, i), w, loss) for i, w in zip(index, weights, strict=True)]
    sums = jax.tree.map(lambda *parts: np.sum(np.asarray(parts, np.float64)), *found)
    return of_means({name: jnp.asarray(value / count, jnp.float32) for name, value in sums.items()})


def run_pieces(network: Pieced, variables: PyTree, x: PyTree) -> dict[str, Array]:
    """The output of each piece, with compiled programs of the pieces; the last is `network.apply(variables, x)`.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> variables = ea.training.init_pieces(network, key, x)
        >>> {name: outputs.shape for name, outputs in ea.training.run_pieces(network, variables, x).items()}
        {'block_0': (6, 8, 8, 4), 'head': (6, 3)}
    """
    _checks.refuse_trace("run_pieces", "inside, use network.apply(variables, x).", variables, x)
    return _run(network, variables, x)


def _run(network: Pieced, variables: PyTree, x: PyTree) -> dict[str, Array]:
    given = {}
    for name, piece in network.pieces.items():
        given[name] = x = inferred(piece, own_variables(variables, name), x)
    return given


def _check_lengths(networks: Sequence[Pieced], **lists: Sequence[Any]) -> None:
    """Require lists with one entry for each network."""
    for name, values in lists.items():
        if len(values) != len(networks):
            came, expected = f"{len(values)} of them", f"one for each of {len(networks)} networks"
            raise _checks.bad(name, came, expected, "Pass lists of equal length.")


def _distinct(networks: Sequence[Pieced], variables: Sequence[PyTree]) -> list[tuple[Pieced, PyTree]]:
    """One network of all with equal last pieces, which take the same labels."""
    pairs = zip(networks, variables, strict=True)
    return list({list(network.pieces.values())[-1]: (network, own) for network, own in pairs}.values())


def _outputs(network: Pieced, variables: PyTree, x: PyTree) -> Array:
    return list(_run(network, variables, x).values())[-1]
