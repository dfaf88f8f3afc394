import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import lab

pytestmark = pytest.mark.usefixtures("hasty_compiler")

TOY = [
    "repeats=2", "asexual=4", "sexual=3", "samples=60", "widths=(4,4,6,6)", "epochs=2", "batch_size=20",
    "losses=(0.01,0.1)", "controls=('magnitude','magnitude, kept','magnitude, rewound','random')",
]  # fmt: skip
FLAGS = [part for setting in TOY for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("mating")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert script.main([*FLAGS, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_controls_have_exactly_as_many_synapses_as_the_first_child(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        synapses, arms = arrays["synapses"], arrays["arms"].tolist()
        assert arms == ["asexual", "sexual", "sexual, mean", "sexual, union"] and synapses.shape == (4, 2, 4, 6)
        known = [synapses[0], synapses[1][:, :3]]
        assert np.isnan(synapses[1][:, 3]).all() and np.isnan(synapses[2][..., 2:]).all()
        np.testing.assert_array_equal(arrays["layers"].sum(axis=-1), synapses)
        for of in known:
            np.testing.assert_array_equal(of[..., 2:], np.repeat(of[..., :1], 4, axis=-1))
            assert (np.diff(of, axis=1) < 0).all()
        assert (arrays["connected"][0] <= synapses[0]).all()
        assert (arrays["kernels"][0] <= synapses[0]).all()
        retained = arrays["retained"][0][:, 1:]
        np.testing.assert_allclose(retained, synapses[0][:, 1:, :2] / synapses[0][:, :-1, :2], rtol=1e-5)
        np.testing.assert_allclose(arrays["expected"][0][:, 1:], 0.7, rtol=1e-3)


@pytest.mark.slow
def test_children_begin_with_the_ancestor_and_the_second_generation_is_the_same_for_both(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        for name in ("accuracy", "synapses", "kernels"):
            first, second = (arrays[name][:2, :, generation] for generation in (0, 1))
            np.testing.assert_array_equal(first[0], first[1])
            assert (first == first[..., :1]).all()
            np.testing.assert_array_equal(second[0][:, :2], second[1][:, :2])


@pytest.mark.slow
def test_the_figures_and_tables_of_the_paper_are_made(run):
    assert {path.stem for path in (run / "figures").iterdir()} == {"generations", "controls"}
    results = json.loads((run / "results.json").read_text())
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    assert len({claim["id"] for claim in results["claims"]}) == len(results["claims"]) == 2 * 3 + 3 + 16 + 4


@pytest.mark.slow
def test_a_run_that_was_stopped_in_the_middle_of_a_training_goes_on_to_the_same_bits(script, run, tmp_path, goes_on):
    assert goes_on(script, FLAGS, tmp_path / "run", run, lambda calls: len(calls) == 2 + 6) == "asexual"


@pytest.mark.slow
def test_all_networks_of_a_run_are_trained_by_one_program(script):
    from evojax_align.training import members

    jax.clear_caches()
    config = script.Config(
        repeats=1, asexual=3, sexual=3, samples=40, widths=(3, 3, 4, 4), epochs=2, batch_size=20, enlarged=2, side=16
    )
    study = script.Study(config, ea.data.load("digits", seed=0))

    class Loop:
        def loop(self, name, state, step, *, total):
            for number in range(total):
                state, _ = step(number, state)
            return state

    ancestors = study.ancestors(Loop(), jax.random.key(0))
    for name, arm in study.arms.items():
        study.evolve(Loop(), name, arm, jax.random.key(1), ancestors)
    assert members._step_epoch._cache_size() == 1


@pytest.mark.slow
def test_every_choice_of_the_second_study_can_be_bred(script):
    config = script.Config(study="choices", widths=(3, 3, 4, 4), enlarged=2, side=16, samples=20)
    study = script.Study(config, ea.data.load("digits", seed=0))
    for arm in study.arms.values():
        algorithm = study.algorithm(arm)

        def bred(key, a=algorithm):
            ancestors = a.founders(key)
            state = a.admit(ancestors, ancestors.population, ancestors.before, generation=jnp.array(1))
            children = a.breed(key, state, study.train)
            return ancestors.masks, children.masks, children.parents

        before, after, parents = jax.eval_shape(bred, jax.random.key(0))
        chex.assert_trees_all_equal_shapes(before, after)
        assert parents.shape == (arm.size, dict(arm.settings).get("parents", 2))


def test_what_the_second_study_finds_is_drawn_and_judged(script, load, tmp_path):
    arms = load("mating_populations").arms_of(script.Config(study="choices"))
    report, rng = load("mating_report"), np.random.default_rng(0)
    arrays = {name: rng.uniform(0.1, 0.9, (len(arms), 7, 13, 6)) for name in (*script.MEASURES, *script.SHARES)}
    arrays["layers"] = np.ones((len(arms), 7, 13, 6, 4))
    for name in ("synapses", "kernels", "clusters", "connected"):
        arrays[name] = np.broadcast_to(1000 * 0.5 ** np.arange(13)[:, None], arrays[name].shape)
    arrays |= {
        "arms": np.array(list(arms)),
        "generations": np.array([arm.generations for arm in arms.values()]),
        "sizes": np.array([arm.size for arm in arms.values()]),
        "controlled": np.zeros(len(arms), bool),
        "controls": np.array(["magnitude"]),
        "losses": np.array([0.1]),
        "study": np.array("choices"),
        "dataset": np.array("digits"),
    }
    report.plot(arrays, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"choices"}
    claims, tables = report.judge(arrays)
    assert len({claim["id"] for claim in claims}) == len(claims) == len(arms) - 1 + 2
    assert all(claim["n"] == 7 for claim in claims)
    for rows in tables.values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    named = {arm for of_theme in report.THEMES.values() for arm in of_theme}
    assert named | {"sexual"} == set(arms)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"study": "other"}, "study: got 'other'"),
        ({"sexual": 2}, "sexual: got 2; expected at least 3"),
        ({"controls": ("random",)}, "controls: .*'magnitude' among them"),
        ({"controls": ("magnitude", "l1")}, "controls: got 'l1'"),
        ({"losses": (0.0,)}, "losses: got 0.0"),
        ({"optimizer": "lion"}, "optimizer: got 'lion'"),
        ({"samples": -1}, "samples: got -1"),
        ({"start": "inherited"}, "start: got 'inherited'"),
        ({"synapse_factor": 0.0}, "synapse_factor: got 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(script, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(script.Config(), **settings)


def test_images_are_enlarged_and_framed_and_too_large_ones_are_refused(script, load):
    framed = load("mating_study").framed
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 2, 2)
    np.testing.assert_array_equal(
        framed(x, 2, 5)[0],
        [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [3, 3, 4, 4, 0], [3, 3, 4, 4, 0], [0, 0, 0, 0, 0]],
    )
    assert framed(np.ones((3, 28, 28, 3), np.float32), 1, 32).shape == (3, 32, 32, 3)
    with pytest.raises(ValueError, match="side: got 8; expected at least 28"):
        framed(np.ones((3, 28, 28), np.float32), 1, 8)


def view_of(load, accuracy, synapses):
    """Two populations of one network and one seed each, from their curves."""
    count = len(accuracy)
    arrays = {
        "arms": np.array([f"arm {i}" for i in range(count)]),
        "generations": np.array([len(curve) for curve in accuracy]),
        "sizes": np.ones(count, int),
        "controlled": np.zeros(count, bool),
        "controls": np.array(["magnitude"]),
        "losses": np.array([0.1]),
        "dataset": np.array("mnist"),
        "accuracy": np.array(accuracy)[:, None, :, None],
        "synapses": np.array(synapses, float)[:, None, :, None],
    }
    return load("mating_view").View(arrays)


def test_networks_are_compared_where_their_accuracy_is_equal(load):
    view = view_of(load, [[0.9, 0.85, 0.75], [0.9, 0.7, 0.88]], [[1000, 100, 10], [1000, 500, 250]])
    np.testing.assert_allclose(view.generations_at_loss("arm 0", 0.1), [2.5])
    np.testing.assert_allclose(view.efficiency_at_loss("arm 0", 0.1), [np.sqrt(10 * 100)])
    assert np.isinf(view.efficiency_at_loss("arm 1", 0.1)).all()  # a dip is not the end
    np.testing.assert_allclose(view.accuracy_at("arm 0", np.sqrt(10)), [0.875])
    assert np.isnan(view.accuracy_at("arm 1", 10)).all()
    np.testing.assert_allclose(view.exponent("arm 0"), np.log(10))
    np.testing.assert_allclose(view.exponent("arm 1"), np.log(2))


def test_runs_that_end_before_they_lose_the_accuracy_are_compared_as_far_as_they_go(load):
    comparable = load("mating_view").comparable
    x, y = comparable(
        np.array([3.0, np.inf, np.inf, 9.0, np.inf]), np.array([2.0, 4.0, 6.0, np.inf, np.inf]),
        np.full(5, 5.0), np.full(5, 8.0),
    )  # fmt: skip
    np.testing.assert_array_equal(x, [3, np.inf, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(y, [2, 4, np.nan, np.nan, np.nan])
    assert lab.above("a", "", x, y).n == 2


def test_controls_are_what_they_are_called(script, load):
    config = script.Config(enlarged=2, side=16, samples=40, widths=(3, 3, 4, 4), batch_size=20, epochs=2)
    study = script.Study(config, ea.data.load("digits", seed=0))
    algorithm = study.algorithm(study.arms["asexual"])
    dense = algorithm.founders(jax.random.key(0))
    grown = jax.tree.map(lambda leaf: leaf + 0.01, dense.population)
    state = algorithm.admit(dense, grown, dense.before, generation=jnp.array(1, jnp.int32))
    first = ea.population.take(algorithm.breed(jax.random.key(1), state, study.train), slice(0, 1))
    other = jax.tree.map(lambda leaf: leaf[:1] * 2 + 0.1, grown)
    before = [(other, ea.population.take(dense.masks, slice(0, 1)))] * 4
    found = dict(zip(config.controls, study.rivals(jax.random.key(2), first, tuple(before)), strict=True))
    count = int(ea.pruning.total(study.synapses, ea.population.take(first.masks, 0)))
    largest = ea.pruning.magnitude(study.synapses, *(ea.population.take(of, 0) for of in (before[0][1], other)), count)
    for name, (params, masks, keys) in found.items():
        mask = ea.population.take(masks, 0)
        assert int(ea.pruning.total(study.synapses, mask)) == count
        same = jax.tree.map(lambda p, q: bool((p == q).all()), mask, largest)
        assert jax.tree.all(same) == (name != "random")
        assert (jax.random.key_data(keys) == jax.random.key_data(first.keys)).all()
        begun = study.synapses.of(params)["params/conv_1/kernel"]
        is_own = bool((begun == study.synapses.of(other)["params/conv_1/kernel"]).all())
        is_origin = bool((begun == study.synapses.of(first.origin)["params/conv_1/kernel"]).all())
        assert (is_own, is_origin) == (name == "magnitude, kept", name == "magnitude, rewound")


def test_idle_networks_are_shared_out_among_the_devices(load):
    for devices, most in ((1, 6), (2, 6), (2, 5), (4, 6)):
        places = load("mating_study").places_of(most, devices)
        assert sorted(places) == list(range(len(places))) and len(places) % devices == 0 and len(places) >= most
        assert [int(place) // (len(places) // devices) for place in places[:devices]] == list(range(devices))


def test_in_the_mode_of_the_text_all_images_are_learnt_from_and_the_test_images_judge(script):
    data = ea.data.load("digits", seed=0)
    sizes = {}
    for mode in ("clean", "text"):
        study = script.Study(script.Config(samples=100, mode=mode), data)
        sizes[mode] = study.train[1].size, study.judge[1].size
    assert sizes == {"clean": (90, 10), "text": (100, len(data.test.y))}
    with pytest.raises(ValueError, match=r"samples: got .* expected at most"):
        script.Study(script.Config(samples=10**6), data)


def test_every_choice_comes_as_far_as_the_efficiency_at_which_they_are_compared(script, load):
    (config,) = script.PRESETS["choices"]
    for arm in load("mating_populations").arms_of(config).values():
        assert config.synapse_factor ** (1 - arm.generations) > load("mating_report").EQUAL
