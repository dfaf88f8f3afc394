"""Training of networks that are chains of pieces, by programs of the pieces: for a search among architectures.

A program of a whole network is compiled anew for every architecture. A piece has few forms, so that most of the pieces
of a new architecture are known already: here each is compiled once, forward and backward, for each form and shape of
its input, and the host calls one after the other. `experiments/benchmarks/architectures.py` measures both ways.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Float, Int, PRNGKey, PyTree
from evojax_align.training._checking import check_data
from evojax_align.training.evaluation import batches, taken
from evojax_align.training.scoring import CHUNK, Score, measures, score, weighted

WHOLE = "inside, train the whole network, by training.descend."
"""What is said to those who trace the training of pieces."""


@runtime_checkable
class Pieced(Protocol):
    """A network that is a chain of Flax modules, and whose variables are those of its pieces by their names."""

    @property
    def pieces(self) -> Mapping[str, nn.Module]:
        """The modules, each called as `piece(x, train=...)` on the output of the one before; the last gives logits."""
        ...


@struct.dataclass
class InTraining:
    """A network between two epochs of its training: what a checkpoint holds.

    Attributes:
        variables: as the network takes them.
        opt_state: for each piece the leaves of the optimiser's state.
        epoch: how many are over.
    """

    variables: PyTree
    opt_state: tuple[tuple[ArrayLike, ...], ...]
    epoch: Int[ArrayLike, ""]

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "InTraining":
        """From nested dictionaries of arrays by the names of the fields, as `lab.load(path, build=...)` gives them."""
        pieces = [tree["opt_state"][str(n)] for n in range(len(tree["opt_state"]))]
        opt_state = tuple(tuple(piece[str(n)] for n in range(len(piece))) for piece in pieces)
        return cls(tree["variables"], opt_state, tree["epoch"])


def fit_pieces(
    networks: Sequence[Pieced],
    variables: Sequence[PyTree],
    data: Iterable[Any],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    keys: Sequence[PRNGKey],
    devices: Sequence[Any] = (),
) -> tuple[list[PyTree], Float[np.ndarray, "networks epochs"]]:
    """Train networks of any architectures together. A host function.

    The same as `begin_pieces` for each network, and `train_pieces` for all epochs, whose arguments it takes.

    Args:
        networks: such as `models.BlockCNN`.
        variables: of each, as it was initialised: `params`, and `batch_stats` where it has some.
        data: see `train_pieces`.
        optimizer: see `train_pieces`; its state starts fresh.
        epochs: see `train_pieces`.
        batch_size: see `train_pieces`.
        keys: see `train_pieces`.
        devices: see `train_pieces`.

    Returns:
        The trained variables, and the mean loss of each epoch.
    """
    _checks.refuse_trace("fit_pieces", WHOLE, variables, data, keys)
    _alike(networks, variables=variables)
    starts = [begin_pieces(network, own, optimizer) for network, own in zip(networks, variables, strict=True)]
    settings = {"epochs": epochs, "batch_size": batch_size, "keys": keys, "devices": devices}
    states, losses = train_pieces(networks, starts, data, optimizer, **settings)
    return [state.variables for state in states], losses


def begin_pieces(network: Pieced, variables: PyTree, optimizer: optax.GradientTransformation) -> InTraining:
    """The state of a network before its first epoch, with a fresh state of the optimiser."""
    _checks.refuse_trace("begin_pieces", WHOLE, variables)
    opt_state = [_started(optimizer, _of(variables, name)["params"]) for name in network.pieces]
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
    devices: Sequence[Any] = (),
) -> tuple[list[InTraining], Float[np.ndarray, "networks epochs"]]:
    """Train networks of any architectures together for some epochs, one step of each in turn. A host function.

    Main arguments:
        networks: such as `models.BlockCNN`.
        states: of each, from `begin_pieces` or an earlier call.
        data: inputs and integer labels, shared by all; each network sees them in an order of its own.
        optimizer: any optax optimiser that treats every parameter by itself, such as Adam. Its programs are kept for
            this very object: make it once.
        epochs: passes over the data.
        batch_size: samples a step. What does not fill the last step of a pass is left out of it, others each time.
        keys: one for each network, the same in all calls.

    Other arguments:
        devices: networks are dealt out to these, and train in parallel. Programs are compiled for each device.

    Returns:
        The new states, and the mean loss of each epoch. A network's result does not depend on the others; n epochs and
        then m give the same bits as n + m.

    Raises:
        ValueError: for lists that do not fit each other, no data, and labels out of range.
    """
    _checks.refuse_trace("train_pieces", WHOLE, states, data, keys)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        _checks.positive(name, value)
    _alike(networks, states=states, keys=keys)
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    for network, own in _unlike(networks, [state.variables for state in states]):
        check_data("data", partial(_logits, network), own, x, y)
    places = [devices[number % len(devices)] if devices else None for number in range(len(networks))]
    shared = {place: (x, y) if place is None else jax.device_put((x, y), place) for place in set(places)}
    trainees = []
    for network, state, key, place in zip(networks, states, keys, places, strict=True):
        start, order = (state, key) if place is None else jax.device_put((state, key), place)
        trainees.append(_Trainee(network, start, order, optimizer))
    size = min(batch_size, y.shape[0])
    losses = np.zeros((len(networks), epochs))
    for epoch in range(epochs):
        for trainee in trainees:
            trainee.begin(epoch, y.shape[0], size)
        steps = y.shape[0] // size
        for step in range(steps):
            for trainee, place in zip(trainees, places, strict=True):
                trainee.step(step, *shared[place])
        losses[:, epoch] = [float(trainee.loss) / steps for trainee in trainees]
    return [trainee.state(epochs) for trainee in trainees], losses


def init_pieces(network: Pieced, key: PRNGKey, x: PyTree) -> PyTree:
    """Newly drawn variables, from a key for each piece; not the bits of `network.init`, which compiles anew."""
    _checks.refuse_trace("init_pieces", "inside, use network.init(key, x).", key, x)
    key = _checks.key("key", key)
    found: dict[str, dict[str, PyTree]] = {}
    for number, (name, piece) in enumerate(network.pieces.items()):
        x = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape[1:]), leaf.dtype), x)  # of inputs only shapes matter
        own = _initial(piece, jax.random.fold_in(key, number), x)
        x = jax.eval_shape(partial(_inferred, piece), own, x)
        for kind, leaves in own.items():
            found.setdefault(kind, {})[name] = leaves
    return found


def evaluate_pieces(
    network: Pieced, variables: PyTree, x: ArrayLike, y: Int[ArrayLike, " n"], *, chunk: int = CHUNK
) -> Score:
    """Mean cross-entropy and accuracy of one network on a whole data set, as `evaluate`. A host function."""
    _checks.refuse_trace("evaluate_pieces", "inside, use training.evaluate.", variables, x, y)
    x, y = jnp.asarray(x), jnp.asarray(y)
    logits = partial(_logits, network)
    check_data("y", logits, variables, x, y)
    index, weights = batches(jnp.arange(y.shape[0]), min(_checks.positive("chunk", chunk), y.shape[0]))
    found = [_judged(logits(variables, x[i]), y[i], w) for i, w in zip(index, weights, strict=True)]
    loss, accuracy = np.sum(np.asarray(found, np.float64), axis=0) / y.shape[0]
    return Score(jnp.asarray(loss, jnp.float32), jnp.asarray(accuracy, jnp.float32))


def run_pieces(network: Pieced, variables: PyTree, x: PyTree) -> dict[str, Array]:
    """The output of each piece, by programs of the pieces; the last are the logits `network.apply(variables, x)`."""
    _checks.refuse_trace("run_pieces", "inside, use network.apply(variables, x).", variables, x)
    return _run(network, variables, x)


def _run(network: Pieced, variables: PyTree, x: PyTree) -> dict[str, Array]:
    given = {}
    for name, piece in network.pieces.items():
        given[name] = x = _inferred(piece, _of(variables, name), x)
    return given


def _alike(networks: Sequence[Pieced], **lists: Sequence[Any]) -> None:
    """Refuse lists that do not have one entry for each network."""
    for name, values in lists.items():
        if len(values) != len(networks):
            came, expected = f"{len(values)} of them", f"one for each of {len(networks)} networks"
            raise _checks.bad(name, came, expected, "Pass lists of equal length.")


def _unlike(networks: Sequence[Pieced], variables: Sequence[PyTree]) -> list[tuple[Pieced, PyTree]]:
    """One network of those with equal last pieces: all others take the same labels."""
    pairs = zip(networks, variables, strict=True)
    return list({list(network.pieces.values())[-1]: (network, own) for network, own in pairs}.values())


def _logits(network: Pieced, variables: PyTree, x: PyTree) -> Array:
    return list(_run(network, variables, x).values())[-1]


class _Trainee:
    """One network in training: for each piece its variables and the state of the optimiser."""

    def __init__(
        self, network: Pieced, state: InTraining, key: PRNGKey, optimizer: optax.GradientTransformation
    ) -> None:
        self._pieces = list(network.pieces.values())
        self._names = list(network.pieces)
        self._own = [_of(state.variables, name) for name in self._names]
        self._opt_state = list(state.opt_state)
        self._optimizer, self._key, self._past = optimizer, key, int(np.asarray(state.epoch))
        self._order, self.loss = jnp.zeros((0, 0), int), jnp.zeros(())

    def begin(self, epoch: int, count: int, size: int) -> None:
        """Draw the order of the samples."""
        self._order = _drawn(self._key, self._past + epoch, count, size)
        self.loss = jnp.zeros_like(self.loss)

    def step(self, step: int, x: PyTree, y: Array) -> None:
        """Forward through all pieces, and backward."""
        value, y = _batch(self._order, step, x, y)
        pulls = []
        for number, piece in enumerate(self._pieces[:-1]):
            value, pull, new = _forward(piece, self._own[number], value, needed=number > 0)
            pulls.append((pull, new))
        of_last, gradient, self.loss = _end(self._pieces[-1], self._own[-1]["params"], value, y, self.loss)
        self._own[-1] = {"params": self._descended(-1, of_last)}
        for number, (pull, new) in reversed(list(enumerate(pulls))):
            of_piece, gradient = _backward(pull, gradient)
            self._own[number] = {"params": self._descended(number, of_piece), **new}

    def _descended(self, number: int, gradient: PyTree) -> PyTree:
        """The parameters of a piece after a step of the optimiser."""
        params, opt_state = self._own[number]["params"], self._opt_state[number]
        params, self._opt_state[number] = _descended(self._optimizer, params, opt_state, gradient)
        return params

    def state(self, epochs: int) -> InTraining:
        """After so many epochs."""
        kinds = {kind for own in self._own for kind in own}
        variables = {
            kind: {name: own[kind] for name, own in zip(self._names, self._own, strict=True) if kind in own}
            for kind in sorted(kinds)
        }
        return InTraining(variables, tuple(self._opt_state), np.array(self._past + epochs, np.int32))


def _of(variables: PyTree, name: str) -> dict[str, PyTree]:
    """The variables of one piece."""
    return {kind: pieces[name] for kind, pieces in variables.items() if name in pieces}


@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})  # used once: compile fast
def _initial(piece: nn.Module, key: PRNGKey, x: PyTree) -> dict[str, PyTree]:
    return dict(piece.init(key, x))


@partial(jax.jit, static_argnums=0)
def _started(optimizer: optax.GradientTransformation, params: PyTree) -> tuple[Array, ...]:
    return tuple(jax.tree.leaves(optimizer.init(params)))


@partial(jax.jit, static_argnames=("count", "size"))
def _drawn(key: PRNGKey, epoch: ArrayLike, count: int, size: int) -> Int[Array, "steps size"]:
    order = jax.random.permutation(jax.random.fold_in(key, epoch), count)
    return order[: count - count % size].reshape(-1, size)


@jax.jit
def _batch(order: Array, step: ArrayLike, x: PyTree, y: Array) -> tuple[PyTree, Array]:
    index = order[step]
    return taken(x, index), y[index]


@partial(jax.jit, static_argnames=("piece", "needed"))
def _forward(piece: nn.Module, own: dict[str, PyTree], x: PyTree, needed: bool) -> tuple[Array, Any, dict[str, PyTree]]:
    """The output of a piece, its pullback (for its input too, if needed), and its new statistics."""
    rest = {kind: of_kind for kind, of_kind in own.items() if kind != "params"}

    def run(params: PyTree, x: PyTree) -> tuple[Array, dict[str, PyTree]]:
        given, new = piece.apply({"params": params, **rest}, x, train=True, mutable=list(rest))
        return given, dict(new)

    if needed:
        return jax.vjp(run, own["params"], x, has_aux=True)
    return jax.vjp(lambda params: run(params, x), own["params"], has_aux=True)


@jax.jit
def _backward(pull: Any, gradient: Array) -> tuple[PyTree, Array | None]:
    """The gradients of the piece's parameters, and of its input if that was needed."""
    of_params, *of_input = pull(gradient)
    return of_params, of_input[0] if of_input else None


@partial(jax.jit, static_argnums=0)
def _end(piece: nn.Module, params: PyTree, x: Array, y: Array, total: Array) -> tuple[PyTree, Array, Array]:
    """Forward and backward through the piece that gives logits; the loss is added to the total."""

    def lost(params: PyTree, x: Array) -> Array:
        return score(lambda params, x: piece.apply({"params": params}, x, train=True), params, x, y).loss

    loss, (of_params, of_input) = jax.value_and_grad(lost, argnums=(0, 1))(params, x)
    return of_params, of_input, total + loss


@partial(jax.jit, static_argnums=0)
def _descended(
    optimizer: optax.GradientTransformation, params: PyTree, opt_state: tuple[Array, ...], gradient: PyTree
) -> tuple[PyTree, tuple[Array, ...]]:
    """A program by itself, so that the programs of pieces serve every optimiser."""
    state = jax.tree.unflatten(jax.tree.structure(jax.eval_shape(optimizer.init, params)), opt_state)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), tuple(jax.tree.leaves(state))


@partial(jax.jit, static_argnums=0)
def _inferred(piece: nn.Module, own: dict[str, PyTree], x: PyTree) -> Array:
    return jnp.asarray(piece.apply(own, x, train=False))


@jax.jit
def _judged(logits: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Sums of loss and of hits."""
    found = measures(logits, y)
    return jnp.sum(weighted(found["loss"], weights)), jnp.sum(weighted(found["accuracy"], weights))
