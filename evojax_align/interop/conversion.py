"""Weights of one network in PyTorch and in JAX: which tensor is which leaf, and how its axes are read."""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import leaves_by_path
from evojax_align._types import PyTree
from evojax_align.interop.kinds import NAMES, Link, Reorder, Shape, to_leaves, to_tensors
from evojax_align.interop.layers import of_tensors
from evojax_align.interop.pairing import Given, Pairing
from evojax_align.interop.tensors import as_arrays, as_tensor, check_names, is_tensor

_COUNTER = "num_batches_tracked"


class Converter:
    """Converts state dicts of PyTorch to parameters and back; made by `converter`. `print` shows it as a table.

    Attributes:
        leaves: for each tensor the paths of the leaves that hold its weights.
        kept: tensors that no leaf holds, by name. `to_state_dict` returns them as they came.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(4,), classes=2, output_bias=True)
        >>> params = network.init(jax.random.key(0), jnp.ones((1, 3)))
        >>> shapes = {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,)}
        >>> state = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        >>> conversion = ea.interop.converter(state, params)
        >>> conversion.leaves["0.weight"]
        ('params/hidden_0/kernel',)
        >>> print(conversion)
        0.weight  (4, 3)  params/hidden_0/kernel  (3, 4)  linear
        0.bias    (4,)    params/hidden_0/bias    (4,)    same
        2.weight  (2, 4)  params/output/kernel    (4, 2)  linear
        2.bias    (2,)    params/output/bias      (2,)    same
    """

    def __init__(
        self,
        links: Sequence[Link],
        params: PyTree,
        tensors: Mapping[str, np.ndarray],
        kept: Mapping[str, Any],
        order: Sequence[str],
        is_torch: bool,
    ) -> None:
        self.leaves = {name: link.leaves for link in links for name in link.tensors}
        self.kept = dict(kept)
        self._links, self._is_torch = tuple(sorted(links, key=lambda link: order.index(link.tensors[0]))), is_torch
        self._structure = jax.tree.structure(params)
        self._like = {
            path: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))
            for path, leaf in leaves_by_path(params).items()
        }
        self._tensors = {name: (array.shape, array.dtype) for name, array in tensors.items()}
        self._order = tuple(order)

    def to_params(self, state: Mapping[str, Any]) -> PyTree:
        """The parameters that hold the weights of a state dict.

        Args:
            state: tensors of the names and shapes that the converter was made from.

        Returns:
            A tree of the structure, shapes and types of `params`.

        Raises:
            ValueError: if a tensor is missing, has no place, or is of another shape, and if tensors that share a leaf
                differ.
        """
        arrays = as_arrays("state", state, skip=self.kept)
        like = {name: shape for name, (shape, _) in self._tensors.items()}
        _same_shapes("state", {name: array.shape for name, array in arrays.items()}, like)
        found: dict[str, Any] = {}
        for link in self._links:
            tensors = [arrays[name] for name in link.tensors]
            if not link.summed and not all(np.array_equal(tensors[0], other, equal_nan=True) for other in tensors[1:]):
                came, fix = f"different values of {', '.join(link.tensors)}", "Name one of them; skip the others."
                raise _checks.bad("state", came, f"equal ones, for they share the leaf {link.leaves[0]}", fix)
            leaves = to_leaves(link, tensors, [self._like[path].shape for path in link.leaves])
            for path, leaf in zip(link.leaves, leaves, strict=True):
                # A copy: a leaf must not share the memory of a tensor that is trained further.
                found[path] = jnp.array(leaf, self._like[path].dtype, copy=True)
        return self._structure.unflatten([found[path] for path in self._like])

    def to_state_dict(self, params: PyTree) -> dict[str, Any]:
        """The state dict that holds the weights of parameters.

        Args:
            params: of the structure and shapes that the converter was made from.

        Returns:
            Tensors of the names, shapes and types of `state`: of PyTorch if those were, and else of NumPy. What
            `to_params` adds up, such as the two biases of a recurrent layer, comes back as the sum and zeros.

        Raises:
            ValueError: for parameters of another structure or shape.
        """
        leaves = {path: np.asarray(leaf) for path, leaf in leaves_by_path(params).items()}
        like = {path: leaf.shape for path, leaf in self._like.items()}
        _same_shapes("params", {path: leaf.shape for path, leaf in leaves.items()}, like)
        found = {name: _copy(value) for name, value in self.kept.items()}
        for link in self._links:
            shapes = [self._tensors[name][0] for name in link.tensors]
            tensors = to_tensors(link, [leaves[path] for path in link.leaves], shapes)
            for name, tensor in zip(link.tensors, tensors, strict=True):
                # A copy in any case: tensors must not share the memory of JAX's arrays, which never change.
                array = np.array(tensor, self._tensors[name][1], order="C")
                found[name] = as_tensor(array) if self._is_torch else array
        return {name: found[name] for name in self._order}

    def __str__(self) -> str:
        rows = []
        for link in self._links:
            kind = link.kind + "".join(f", map {reorder.space}" for reorder in link.reorder)
            for n in range(max(len(link.tensors), len(link.leaves))):
                name, leaf = (part[n] if n < len(part) else "" for part in (link.tensors, link.leaves))
                shapes = [str(self._tensors[name][0]) if name else "", str(self._like[leaf].shape) if leaf else ""]
                rows.append((name, shapes[0], leaf, shapes[1], kind if n == 0 else ""))
        rows += [(name, "", "", "", "kept") for name in self.kept]
        widths = [max(len(row[n]) for row in rows) if rows else 0 for n in range(5)]
        lines = (
            f"{name:{widths[0]}}  {shape:{widths[1]}}  {leaf:{widths[2]}}  {size:{widths[3]}}  {kind}".rstrip()
            for name, shape, leaf, size, kind in rows
        )
        return "\n".join(lines)


def converter(
    state: Mapping[str, Any],
    params: PyTree,
    *,
    names: Mapping[str, str] | None = None,
    flatten: Mapping[str, Sequence[int]] | None = None,
    unflatten: Mapping[str, Sequence[int]] | None = None,
    kinds: Mapping[str, str] | None = None,
    skip: Collection[str] = (),
) -> Converter:
    """Find which tensor of a state dict of PyTorch is which leaf of a tree of parameters.

    A layer is what shares a prefix: `fc1` of `fc1.weight`, `params/Dense_0` of `params/Dense_0/kernel`; layer 0 of an
    LSTM `rnn` is `rnn.l0`. Layers get partners in this order:

    1. as `names` says;
    2. by equal names, such as `block.0.conv` and `params/block_0/conv`;
    3. by shapes, if one layer alone fits. Layers of equal shapes are taken in the order of the numbers in their names
       if they differ in nothing else. Otherwise the error asks for `names`.

    Axes are read by the name of the leaf, as in Flax and Haiku: `kernel` and `w` hold inputs before outputs. Leaves
    named `weight`, `scale` and `embedding` have the axes of the tensor, as in Equinox. Cells of Flax (`LSTMCell`,
    `OptimizedLSTMCell`, `GRUCell`, `SimpleCell`) take the gates of PyTorch's recurrent layers, and its
    `MultiHeadDotProductAttention` the joined rows of `MultiheadAttention`. Two biases of PyTorch that are only ever
    added become one: their sum.

    Args:
        state: `module.state_dict()`, or arrays by name, such as `read_safetensors` returns. Counters of batches
            (`num_batches_tracked`) are kept, and need no leaf.
        params: parameters of the network in JAX, or their shapes from `jax.eval_shape`.
        names: layers or tensors of `state`, each with its layer or leaf of `params`. Tensors that are tied share a
            leaf: `{"embed.weight": "params/embed/embedding", "head.weight": "params/embed/embedding"}`.
        flatten: layers that take a flattened feature map, with its spatial shape: `{"fc1": (7, 7)}`. PyTorch flattens
            channels first, JAX channels last. `()` stands for inputs that are no feature map.
        unflatten: layers whose outputs are reshaped to a feature map, likewise.
        kinds: of tensors or layers whose axes are not read rightly: "same", "linear", "conv" or "conv_transpose".
            A transposed convolution whose leaf is not named like one, such as `ConvTranspose_0`, needs it where
            numbers of channels are equal, or where there are groups.
        skip: tensors, or layers and all below them, that have no leaf.

    Returns:
        The converter. It holds no weights, except for skipped tensors.

    Raises:
        ValueError: if something has no certain partner, if shapes do not fit, and if a layer takes a number of features
            that no other gives and a flattened feature map can, and `flatten` does not name it.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(4,), classes=2, output_bias=True)
        >>> params = jax.eval_shape(network.init, jax.random.key(0), jnp.ones((1, 3)))
        >>> shapes = {"fc1.weight": (4, 3), "fc1.bias": (4,), "fc2.weight": (2, 4), "fc2.bias": (2,)}
        >>> state = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        >>> conversion = ea.interop.converter(state, params)
        >>> params = conversion.to_params(state)
        >>> params["params"]["hidden_0"]["kernel"].shape
        (3, 4)
        >>> conversion.to_state_dict(params)["fc1.weight"].shape
        (4, 3)
    """
    check_names("state", state)
    kept = [name for name in state if _is_skipped(name, skip)]
    arrays = as_arrays("state", state, skip=kept)
    _checks.arrays("params", params)
    tensors = {name: array.shape for name, array in arrays.items()}
    layers = of_tensors(tensors)
    leaves = {path: jnp.shape(leaf) for path, leaf in leaves_by_path(params).items()}
    for name in skip:
        if not any(_is_skipped(tensor, (name,)) for tensor in kept):
            _checks.one_of("skip", name, [*layers, *arrays])
    for name, kind in (kinds or {}).items():
        _checks.one_of("kinds", name, [*layers, *arrays])
        _checks.one_of(f"kinds[{name!r}]", kind, NAMES)
    maps = {"flatten": flatten or {}, "unflatten": unflatten or {}}
    for argument, spaces in maps.items():
        for name in spaces:
            _checks.one_of(argument, name, layers)
    pairing = Pairing(tensors, leaves, Given(names or {}, kinds or {}))
    pairing.check()
    home = {name: (layer, role) for layer, roles in layers.items() for role, name in roles.items()}
    links = [link._replace(reorder=_reorders(link, tensors, home, maps)) for link in pairing.links]
    _check_channels_last(links, tensors, maps)
    _check_flattened(links, tensors, leaves, home, maps["flatten"])
    values = {name: _copy(state[name]) for name in kept}
    return Converter(links, params, arrays, values, list(state), any(map(is_tensor, state.values())))


def _is_skipped(name: str, skip: Collection[str]) -> bool:
    return name.rpartition(".")[2] == _COUNTER or any(name == part or name.startswith(f"{part}.") for part in skip)


def _copy(value: Any) -> Any:
    return value.detach().clone() if is_tensor(value) else copy.deepcopy(value)


def _reorders(
    link: Link,
    tensors: Mapping[str, Shape],
    home: Mapping[str, tuple[str, str]],
    maps: Mapping[str, Mapping[str, Sequence[int]]],
) -> tuple[Reorder, ...]:
    """The flattened feature maps along axes of the tensors of a link."""
    layer, role = home[link.tensors[0]]
    shape = tensors[link.tensors[0]]
    weight = next((tensors[name] for name, at in home.items() if at == (layer, "weight") and name in tensors), ())
    axes = {
        "flatten": {"weight": len(shape) - 1, "weight_ih": 1}.get(role, 0 if len(weight) == 1 else None),
        "unflatten": 0 if len(weight) == 2 else None,
    }
    found = []
    for argument, axis in axes.items():
        space = tuple(maps[argument].get(layer, ()))
        if not space or axis is None:
            continue
        _checks.widths(f"{argument}[{layer!r}]", space)
        if shape[axis] % math.prod(space):
            came = f"{space} for {link.tensors[0]} of shape {shape}"
            fix = "Pass height and width of the map as the flattening finds it, without channels."
            raise _checks.bad(argument, came, f"a spatial shape that divides {shape[axis]}", fix)
        found.append(Reorder(axis, space))
    return tuple(found)


def _check_channels_last(
    links: Sequence[Link], tensors: Mapping[str, Shape], maps: Mapping[str, Mapping[str, Sequence[int]]]
) -> None:
    """Refuse feature maps where convolutions have the axes of PyTorch: those maps are in its order already."""
    kinds = {link.kind for link in links if len(tensors[link.tensors[0]]) > 2}
    given = {layer: tuple(space) for spaces in maps.values() for layer, space in spaces.items() if space}
    if given and kinds == {"same"}:
        argument = "flatten" if any(maps["flatten"].values()) else "unflatten"
        expected = "none, since the convolutions in params have the axes of PyTorch, as in Equinox"
        raise _checks.bad(argument, given, expected, "Leave it out: both networks flatten channels first.")


def _check_flattened(
    links: Sequence[Link],
    tensors: Mapping[str, Shape],
    leaves: Mapping[str, Shape],
    home: Mapping[str, tuple[str, str]],
    flatten: Mapping[str, Sequence[int]],
) -> None:
    """Refuse features that no layer gives, and that a flattened map of some convolution can be.

    Normalisations are looked at only where they stand before a layer that `flatten` names: those of concatenated maps
    have sizes of no layer as well.
    """
    given, maps = set(), set()
    taken: list[tuple[str, int]] = []
    norms: list[tuple[str, int]] = []
    for link in links:
        shape, (layer, role) = tensors[link.tensors[0]], home[link.tensors[0]]
        if link.kind in ("conv", "conv_transpose"):
            maps.add(max(leaves[link.leaves[0]][-1], 1))
        elif role == "weight_hh":
            given.add(shape[1])
        elif role in ("weight_ih", "in_proj_weight") or link.kind == "linear":
            taken.append((layer, shape[1]))
            given |= {shape[0]} if link.kind == "linear" else set()
        elif role == "weight" and len(shape) == 2:
            given.add(shape[1])
        elif role == "weight" and len(shape) == 1:
            norms.append((layer, shape[0]))
    flattened = {features for layer, features in taken if flatten.get(layer)}
    taken += [(layer, features) for layer, features in norms if features in flattened]
    for layer, features in taken:
        if layer not in flatten and features not in given | maps and any(features % size == 0 for size in maps):
            size = max(size for size in maps if features % size == 0)
            came = (
                f"{layer!r}, which takes {features} features, perhaps the {features // size} places of {size} channels"
            )
            fix = f"Pass the map's height and width: flatten={{{layer!r}: (h, w)}}; () if it takes no flattened map."
            raise _checks.bad("flatten", came, "the spatial shape of what is flattened", fix)


def _same_shapes(argument: str, came: Mapping[str, Shape], like: Mapping[str, Shape]) -> None:
    """Require the names and shapes that the converter was made from."""
    wrong = [f"no {name}" for name in like if name not in came]
    wrong += [f"{name}, which has no place" for name in came if name not in like]
    wrong += [
        f"{name} of shape {came[name]}, not {like[name]}" for name in like if came.get(name, like[name]) != like[name]
    ]
    if wrong:
        shown = "; ".join(wrong[:8]) + ("; ..." if len(wrong) > 8 else "")
        fix = "Make a converter for this network; members of a population one by one: population.unstack(pop)."
        raise _checks.bad(argument, shown, "the names and shapes that the converter was made from", fix)
