"""The inference on random programs, and on random networks of which the groups are known."""

import jax
import numpy as np
import pytest

from evojax_align import symmetry
from evojax_align.symmetry import following, nesting, rules
from evojax_align.symmetry.classes import Classes
from tests.symmetry.fuzzing import check, program
from tests.symmetry.interpreter import evaluate
from tests.symmetry.stacks import stack


@pytest.fixture(autouse=True)
def _in_float64():
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with enable(True):
        yield


def _are_sound(seeds):
    """Asserts that no inferred symmetry is wrong; gives the number of programs that have one."""
    with_groups = unstable = 0
    for seed in seeds:
        made = program(seed)
        found = check(made)
        assert not found.wrong, f"{made.listing()}\n{found}"
        with_groups, unstable = with_groups + bool(found.groups), unstable + found.unstable
    assert unstable <= 0.01 * len(seeds)
    return with_groups


@pytest.mark.slow
def test_what_is_inferred_for_random_programs_leaves_their_outputs_unchanged():
    assert _are_sound(range(12)) >= 6


@pytest.mark.slow
def test_what_is_inferred_for_many_random_programs_leaves_their_outputs_unchanged():
    assert _are_sound(range(12, 162)) >= 100


def _with_other_groups(seeds):
    """What is inferred for the networks whose groups are not the known ones."""
    stacks = [stack(seed) for seed in seeds]
    specs = [(symmetry.infer(made.apply, made.params, made.x), made, sizes) for made, sizes in stacks]
    return [f"{made.listing()}\n{spec}" for spec, made, sizes in specs if sorted(spec.groups.values()) != sizes]


def test_all_groups_of_random_networks_of_ordinary_layers_are_found():
    assert _with_other_groups(range(20)) == []


@pytest.mark.slow
def test_all_groups_of_many_random_networks_of_ordinary_layers_are_found():
    assert _with_other_groups(range(20, 220)) == []


def test_permuting_the_known_groups_leaves_the_outputs_unchanged():
    for seed in range(5):
        found = check(stack(seed)[0])
        assert found.groups
        assert not found.wrong


def test_a_program_from_a_seed_is_the_same_each_time():
    assert program(3).listing() == program(3).listing()
    assert program(3).listing() != program(4).listing()


def test_the_evaluation_in_numpy_agrees_with_jax():
    for seed in range(4):
        made = program(seed)
        found = evaluate(jax.make_jaxpr(made.apply)(made.params, made.x), *jax.tree.leaves((made.params, made.x)))
        for p, q in zip(jax.jit(made.apply)(made.params, made.x), found, strict=True):
            np.testing.assert_allclose(q, p, rtol=1e-9, atol=1e-9)


def _kept(equation, axes, shapes, classes):
    return [axes[0]] * len(equation.outputs)


def _first_only(equation, axes, shapes, classes):
    given = zip(*(value for value in axes if value), strict=True)
    return [tuple(next((node for node in nodes if node is not None), None) for nodes in given)]


def _free_iota(equation, axes, shapes, classes):
    return [(None,) * len(equation.params["shape"])]


FAULTS = {  # where, what is broken there, and the kind of operation that shows it
    "sums of two values": (rules.RULES, {"add": _first_only}, "elementwise"),
    "reversal": (rules.RULES, {"rev": _kept}, "slice"),
    "sorting": (rules.RULES, {"sort": _kept}, "sort"),
    "cumulative sums": (rules.RULES, {"cumsum": _kept}, "cumulative"),
    "scatter": (rules.RULES, dict.fromkeys(("scatter", "scatter-add", "scatter-mul", "scatter-max"), _kept), "scatter"),
    "positions": (rules.RULES, {"iota": _free_iota}, "constant"),
    "the axis of a scan": (Classes, {"order": lambda self, node: None}, "scan"),
    "what a loop carries": (following, {"_tied": lambda carried, out, classes: carried}, "scan"),
    "constants": (following, {"_all_equal": lambda entries, axis: True}, "constant"),
    "groups in groups": (nesting, {"_in_step": lambda *given: True}, "concatenate"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_an_inference_with_a_fault_is_found_out(name, monkeypatch):
    where, faults, kind = FAULTS[name]
    for entry, fault in faults.items():
        (monkeypatch.setitem if isinstance(where, dict) else monkeypatch.setattr)(where, entry, fault)
    assert any(_is_found_out(program(seed), kind) for seed in range(300))


def _is_found_out(made, kind):
    if kind not in {step.kind for step in made.steps}:
        return False
    try:
        return check(made, draws=1).wrong
    except ValueError:  # a specification that contradicts itself
        return True
