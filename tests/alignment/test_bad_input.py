import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import symmetry
from evojax_align.alignment import CCA, Correlation, Loadings, Method, Semi, Weights, match, relate
from evojax_align.alignment.methods import NAMES as METHODS
from evojax_align.alignment.methods import named


def changed(network, leaf, change):
    """The network with one array replaced; `leaf` as "0/kernel"."""
    layer, name = leaf.split("/")
    copy = [dict(part) for part in network]
    copy[int(layer)][name] = change(np.array(copy[int(layer)][name]))
    return copy


def put(bad):
    """Write a value into an array."""

    def change(leaf):
        leaf[0, 1] = bad
        return leaf

    return change


def test_parents_of_different_shape_name_the_leaf(apply, x, shallow):
    a, b = shallow
    b = changed(b, "0/bias", lambda leaf: leaf[:5])
    for call in (ea.align, jax.jit(ea.align, static_argnums=0)):
        with pytest.raises(ValueError, match=r"a, b: got shape \(6,\) and \(5,\) at the leaf '0/bias'"):
            call(apply, a, b, x)


def test_parents_of_different_dtype_name_the_leaf(apply, x, shallow):
    a, b = shallow
    b = changed(b, "1/kernel", lambda leaf: leaf.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match=r"a, b: got dtype float32 and bfloat16 at the leaf '1/kernel'"):
        ea.align(apply, a, b, x)


def test_parents_of_different_structure_name_the_leaf(apply, x, shallow):
    a, b = shallow
    b = [b[0], {"kernel": b[1]["kernel"], "bias": jnp.zeros(3)}]
    with pytest.raises(ValueError, match=r"a, b: got the leaf '1/bias' in b only"):
        ea.align(apply, a, b, x)


def test_inputs_that_do_not_fit_the_network_are_refused(apply, x, shallow):
    with pytest.raises(ValueError, match=r"apply, params, x: got .* x of shapes \[\(60, 3\)\]"):
        ea.align(apply, *shallow, x[:, :3])
    network = ea.models.MLP(hidden=(5,))
    a, b = (network.init(jax.random.key(seed), x) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"apply, params, x: got .* x of shapes \[\(60, 3\)\]"):
        ea.align(network.apply, a, b, x[:, :3])


def test_no_inputs_are_refused(apply, x, shallow):
    for call in (ea.align, jax.jit(ea.align, static_argnums=0)):
        with pytest.raises(ValueError, match=r"x: got shapes \[\(0, 4\)\].*at least one"):
            call(apply, *shallow, x[:0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("method", METHODS)
def test_parameters_that_are_not_finite_name_the_leaf(method, bad, apply, x, shallow):
    a, b = shallow
    for leaf in ("0/kernel", "1/kernel"):  # the second reaches no activation
        broken = changed(b, leaf, put(bad))
        with pytest.raises(ValueError, match=f"b: got 1 values that are NaN or infinite at the leaf '{leaf}'"):
            ea.align(apply, a, broken, x, method=method)


def test_under_a_trace_the_result_tells_what_was_not_finite(apply, x, shallow):
    a, b = shallow
    align = jax.jit(lambda a, b, x: ea.align(apply, a, b, x))
    assert align(a, b, x).all_finite
    for broken in (changed(b, leaf, put(np.nan)) for leaf in ("0/kernel", "1/kernel")):
        out = align(a, broken, x)
        assert not out.all_finite and out.valid and np.isfinite(out.scores["0"]).all()
    assert not align(a, b, x.at[0, 0].set(np.inf)).all_finite


def test_activations_that_are_not_finite_are_refused(apply, x, shallow):
    a, b = shallow
    with pytest.raises(ValueError, match=r"x: got 1 values that are NaN or infinite; expected finite"):
        ea.align(apply, a, b, x.at[3, 0].set(np.nan))
    loud = changed(b, "0/kernel", lambda leaf: leaf * 1e38)
    with pytest.raises(ValueError, match=r"b: got activations in group '0' that are not finite, or beyond 1e19"):
        ea.align(apply, a, loud, x)


@pytest.mark.parametrize("method", [CCA, Loadings])
def test_too_few_samples_for_cca_are_refused_unless_a_ridge_or_a_rank_makes_them_enough(method, apply, x, shallow):
    with pytest.raises(ValueError, match=r"x: got 6 samples for 6 neurons.*ridge > 0, or a rank"):
        ea.align(apply, *shallow, x[:6], method=method())

    def align(**settings):  # traced only: that is where it is refused
        call = lambda a, b: jax.tree.leaves(ea.align(apply, a, b, x[:6], method=method(**settings)))
        return jax.eval_shape(call, *shallow)

    assert align(ridge=0.1) and align(rank=3)
    with pytest.raises(ValueError, match="more samples than neurons"):
        align(rank=6)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_of_dead_neurons_is_refused(method, apply, x, shallow):
    a, b = shallow
    dead = changed(a, "0/bias", lambda leaf: leaf - 100)
    with pytest.raises(ValueError, match=r"a: got only dead neurons .* in group '0'; expected at least one"):
        ea.align(apply, dead, b, x, method=method)
    with pytest.raises(ValueError, match="b: got only dead"):
        ea.align(apply, a, dead, x, method=method)


def test_one_sample_tells_nothing(apply, x, shallow):
    with pytest.raises(ValueError, match=r"only dead neurons .constant over the samples."):
        ea.align(apply, *shallow, x[:1])


@pytest.mark.parametrize("rank", [0, -2, 7])
def test_a_rank_outside_the_width_is_refused(rank, apply, x, shallow):
    with pytest.raises(ValueError, match=f"rank: got {rank}; expected"):
        ea.align(apply, *shallow, x, method=CCA(rank=rank))


@pytest.mark.parametrize("ridge", [-1.0, np.nan])
def test_a_ridge_that_is_negative_or_not_finite_is_refused(ridge, apply, x, shallow):
    with pytest.raises(ValueError, match=r"ridge: got .*; expected a finite number of at least 0"):
        ea.align(apply, *shallow, x, method=CCA(ridge=float(ridge)))


@pytest.mark.parametrize(
    ("setting", "value", "near", "call"),
    [
        ("method", "corelation", "correlation", match),
        ("method", "loading", "loadings", match),
        ("mode", "txt", "text", lambda _, value: CCA(mode=value)),
        ("engine", "compile", "compiled", lambda _, value: Correlation(value)),
        ("engine", "compile", "compiled", lambda _, value: Loadings(engine=value)),
        ("engine", "compile", "compiled", lambda _, value: Weights(engine=value)),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(setting, value, near, call):
    with pytest.raises(ValueError, match=f"{setting}: got '{value}'; expected one of .*Did you mean '{near}'"):
        call({}, value)
    with pytest.raises(ValueError, match=r"direction: got 'z'; expected one of 'x', 'y'"):
        Semi(direction="z")


def test_what_is_no_method_is_refused_with_the_fix(apply, x, shallow):
    class Loose(Method):
        __hash__ = None

    class Empty(Method):
        pass

    for wrong, message in (
        (CCA, r"method: got the class CCA; expected a Method, or one of .* Call the class"),
        (lambda relation: relation, "method: got <function .*Inherit from alignment.Method"),
        (Loose(), "method: got a Loose without a hash; .*frozen dataclass"),
    ):
        with pytest.raises(ValueError, match=message):
            named(wrong)
    with pytest.raises(NotImplementedError, match="Empty defines neither `scores` nor `match`"):
        ea.align(apply, *shallow, x, method=Empty())


def test_statistics_alone_do_not_suffice_for_matching_by_weights(apply, x, shallow, many):
    spec = symmetry.infer(apply, shallow[0], x)
    for networks in (shallow, many):
        relations = relate(spec, apply, *networks, x, covariances=False)
        for call in (
            lambda relations=relations: match(relations, "weights"),
            lambda relations=relations: match(relations, Weights(engine="compiled")),
            lambda relations=relations: jax.eval_shape(lambda relations: match(relations, "weights"), relations),
        ):
            with pytest.raises(ValueError, match=r"method: got 'weights'.*`align` or `match_weights`"):
                call()


def test_one_network_is_no_population_and_the_other_way_round(apply, x, shallow, many):
    spec = symmetry.infer(apply, shallow[0], x)
    with pytest.raises(ValueError, match="a: got one network; expected a population"):
        ea.align_pairs(apply, *shallow, x, spec=spec)
    deeper = jax.tree.map(lambda leaf: leaf[None], many)
    with pytest.raises(ValueError, match=r"a: got shape \(1, 3, .*at the leaf '0/"):
        ea.align(apply, *deeper, x, spec=spec)


@pytest.mark.parametrize("chunk", [0, -5])
def test_a_chunk_without_samples_is_refused(chunk, apply, x, shallow):
    with pytest.raises(ValueError, match=f"chunk: got {chunk}; expected an integer of at least 1"):
        ea.align(apply, *shallow, x, chunk=chunk)


def test_a_network_that_is_no_key_is_refused_with_the_mend(x, shallow):
    class Network:
        __hash__ = None

        def __call__(self, params, x):
            return x

    with pytest.raises(ValueError, match=r"apply: got an object without a hash .*def apply"):
        ea.align(Network(), *shallow, x)
