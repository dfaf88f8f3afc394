"""Every public function either becomes one program for a GPU and for a TPU, without calls to the host, or is named here
with the reason why it does not. Programs are lowered, not compiled: that needs no accelerator.

`population.map` with strategy "auto" chooses by the device that is found while tracing: to choose inside the program,
by `lax.platform_dependent`, every function would be traced twice at each level of nesting. So these tests set the
device that would be found on a machine with an accelerator. Who lowers for another platform passes `strategy`.
"""

import inspect

import jax
import pytest

import evojax_align as ea
from tests.public import CLASSES, HOST_FUNCTIONS, calls, public_names

PLATFORMS = ("cuda", "tpu")


@pytest.fixture(scope="module", autouse=True)
def _traced_as_on_an_accelerator():
    """Functions are traced as where the default device is a GPU, and nothing is left of it for other tests."""
    jax.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ea.population._devices, "platform", lambda mesh: "gpu")
        yield
    jax.clear_caches()


def lowered(name, platforms):
    """The program of a function, as text. Leaves are given one by one: records refuse what stands for an array."""
    fn, args = calls()[name]
    leaves, tree = jax.tree.flatten(args)
    traced = jax.jit(lambda *leaves: jax.tree.leaves(fn(*tree.unflatten(leaves)))).trace(*leaves)
    return traced.lower(lowering_platforms=platforms).as_text()


def test_every_public_name_is_lowered_or_has_a_reason_why_not():
    reasons = {name for names in CLASSES.values() for name in names.split()} | set(HOST_FUNCTIONS)
    called = {name.partition(",")[0] for name in calls()}
    public = dict(public_names())
    assert sorted(called | reasons) == sorted(public)
    assert not called & reasons
    assert not [name for name in HOST_FUNCTIONS if inspect.isclass(public[name])]
    assert not [name for names in CLASSES.values() for name in names.split() if not inspect.isclass(public[name])]


PACKAGES = sorted({name.partition(".")[0] for name, _ in public_names()})


@pytest.mark.parametrize(
    "package", [pytest.param(p, marks=pytest.mark.slow if p == "evolution" else (), id=p) for p in PACKAGES]
)
def test_public_functions_are_programs_for_accelerators_without_calls_to_the_host(package):
    failed = {}
    for name in calls():
        if name.startswith(package + "."):
            try:
                if "callback" in lowered(name, PLATFORMS):
                    failed[name] = "calls the host"
            except Exception as error:  # all of them are named, not the first alone
                failed[name] = f"{type(error).__name__}: {error}"
    assert not failed


@pytest.mark.parametrize("name", ["matching.one_to_one", "matching.injective", "alignment.align_pairs"])
def test_a_program_for_a_cpu_calls_the_host_for_large_assignments(name):
    assert "callback" in lowered(name, ("cpu",))


def test_on_a_cpu_map_scans_and_for_an_accelerator_it_is_a_vmap(monkeypatch):
    def program(platform):
        monkeypatch.setattr(ea.population._devices, "platform", lambda mesh: platform)
        return lowered("population.map", ("cuda",))

    assert "stablehlo.while" in program("cpu")
    assert "stablehlo.while" not in program("gpu")
