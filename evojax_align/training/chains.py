"""Training of a chain of pieces, with one compiled program for each piece and input shape."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from evojax_align._types import Array, ArrayLike, Int, Loss, PRNGKey, PyTree
from evojax_align.training.evaluation import taken
from evojax_align.training.scoring import measures, score, weighted


@runtime_checkable
class Pieced(Protocol):
    """A network that is a chain of Flax modules; its variables are those of its pieces by name.

    Example:
        >>> import evojax_align as ea
        >>> isinstance(ea.models.BlockCNN(((4, 3, 1),)), ea.training.Pieced)
        True
    """

    @property
    def pieces(self) -> Mapping[str, nn.Module]:
        """The modules, each called as `piece(x, train=...)` on the output of the one before it."""
        ...


@struct.dataclass
class InTraining:
    """The state of a network between two epochs of training, for checkpoints.

    Attributes:
        variables: the variables of the network.
        opt_state: for each piece, the leaves of the optimiser's state.
        epoch: number of finished epochs.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> network, adam = ea.models.BlockCNN(((4, 3, 1),), classes=3), optax.adam(1e-3)
        >>> x, y, key = jnp.ones((6, 8, 8, 1)), jnp.arange(6) % 3, jax.random.key(0)
        >>> variables = ea.training.init_pieces(network, key, x)
        >>> state = ea.training.begin_pieces(network, variables, adam)
        >>> len(state.opt_state), int(state.epoch)  # one state of the optimiser for each piece
        (2, 0)
    """

    variables: PyTree
    opt_state: tuple[tuple[ArrayLike, ...], ...]
    epoch: Int[ArrayLike, ""]

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "InTraining":
        """Build a state from nested dictionaries of arrays by field name, as `lab.load(path, build=...)` does."""
        pieces = [tree["opt_state"][str(n)] for n in range(len(tree["opt_state"]))]
        opt_state = tuple(tuple(piece[str(n)] for n in range(len(piece))) for piece in pieces)
        return cls(tree["variables"], opt_state, tree["epoch"])


class Trainee:
    """One network in training: the variables and the optimiser state of each piece."""

    def __init__(
        self,
        network: Pieced,
        state: InTraining,
        key: PRNGKey,
        optimizer: optax.GradientTransformation,
        loss: Loss | None = None,
    ) -> None:
        self._pieces = list(network.pieces.values())
        self._names = list(network.pieces)
        self._own = [own_variables(state.variables, name) for name in self._names]
        self._opt_state = list(state.opt_state)
        self._optimizer, self._key, self._past = optimizer, key, int(np.asarray(state.epoch))
        self._loss = loss
        self._order, self.loss = jnp.zeros((0, 0), int), jnp.zeros(())

    def begin(self, epoch: int, count: int, size: int) -> None:
        """Draw the order of the samples."""
        self._order = _drawn(self._key, self._past + epoch, count, size)
        self.loss = jnp.zeros_like(self.loss)

    def step(self, step: int, x: PyTree, y: PyTree) -> None:
        """Make one training step: forward and backward through all pieces."""
        value, y = _batch(self._order, step, x, y)
        pulls = []
        for number, piece in enumerate(self._pieces[:-1]):
            value, pull, new = _forward(piece, self._own[number], value, needed=number > 0)
            pulls.append((pull, new))
        of_last, gradient, self.loss = _end(self._pieces[-1], self._own[-1]["params"], value, y, self.loss, self._loss)
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
        """The state after `epochs` epochs."""
        kinds = {kind for own in self._own for kind in own}
        variables = {
            kind: {name: own[kind] for name, own in zip(self._names, self._own, strict=True) if kind in own}
            for kind in sorted(kinds)
        }
        return InTraining(variables, tuple(self._opt_state), np.array(self._past + epochs, np.int32))


def own_variables(variables: PyTree, name: str) -> dict[str, PyTree]:
    """The variables of one piece."""
    return {kind: pieces[name] for kind, pieces in variables.items() if name in pieces}


@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})  # used once: compile fast
def initial(piece: nn.Module, key: PRNGKey, x: PyTree) -> dict[str, PyTree]:
    """Initial variables of a piece."""
    return dict(piece.init(key, x))


@partial(jax.jit, static_argnums=0)
def started(optimizer: optax.GradientTransformation, params: PyTree) -> tuple[Array, ...]:
    """The leaves of the initial optimiser state."""
    return tuple(jax.tree.leaves(optimizer.init(params)))


@partial(jax.jit, static_argnames=("count", "size"))
def _drawn(key: PRNGKey, epoch: ArrayLike, count: int, size: int) -> Int[Array, "steps size"]:
    order = jax.random.permutation(jax.random.fold_in(key, epoch), count)
    return order[: count - count % size].reshape(-1, size)


@jax.jit
def _batch(order: Array, step: ArrayLike, x: PyTree, y: PyTree) -> tuple[PyTree, PyTree]:
    index = order[step]
    return taken(x, index), taken(y, index)


@partial(jax.jit, static_argnames=("piece", "needed"))
def _forward(piece: nn.Module, own: dict[str, PyTree], x: PyTree, needed: bool) -> tuple[Array, Any, dict[str, PyTree]]:
    """The output of a piece, its pullback (also for its input, if needed), and its new statistics."""
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


@partial(jax.jit, static_argnames=("piece", "loss"))
def _end(
    piece: nn.Module, params: PyTree, x: Array, y: PyTree, total: Array, loss: Loss | None
) -> tuple[PyTree, Array, Array]:
    """Forward and backward through the last piece; the loss is added to the total."""

    def lost(params: PyTree, x: Array) -> Array:
        return score(lambda params, x: piece.apply({"params": params}, x, train=True), params, x, y, loss=loss).loss

    value, (of_params, of_input) = jax.value_and_grad(lost, argnums=(0, 1))(params, x)
    return of_params, of_input, total + value


@partial(jax.jit, static_argnums=0)
def _descended(
    optimizer: optax.GradientTransformation, params: PyTree, opt_state: tuple[Array, ...], gradient: PyTree
) -> tuple[PyTree, tuple[Array, ...]]:
    """A separate program, so that the programs of pieces do not depend on the optimiser."""
    state = jax.tree.unflatten(jax.tree.structure(jax.eval_shape(optimizer.init, params)), opt_state)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), tuple(jax.tree.leaves(state))


@partial(jax.jit, static_argnums=0)
def inferred(piece: nn.Module, own: dict[str, PyTree], x: PyTree) -> Array:
    """The output of a piece outside training."""
    return jnp.asarray(piece.apply(own, x, train=False))


@partial(jax.jit, static_argnames="loss")
def summed(outputs: Array, y: PyTree, weights: Array, loss: Loss | None) -> dict[str, Array]:
    """Sums of the loss, and of hits if no loss is given, by the names of `measures`."""
    return {name: jnp.sum(weighted(of, weights)) for name, of in measures(outputs, y, loss=loss).items()}
