import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import lab, pruning
from evojax_align.evolution import PadawannState, Topology
from experiments.padawann import claims, measures
from experiments.padawann.__main__ import STUDY
from experiments.padawann.config import VARIANTS, Config, Kind
from experiments.padawann.study import Problem, begun, cells, initial, merge, of_each_class, packed, rows, unpacked

TOY = [
    *("variants=('default', 'mapping optimised')", "trials=2", "generations=2", "size=6", "tournament=2", "samples=6"),
    *("tested=90", "widths=(3,4,6)", "learnt=80", "epochs=1", "batch_size=20", "transferred=40", "transfers=1"),
]
FLAGS = [*(part for setting in TOY for part in ("--set", setting)), "--quiet", "--compile-cache", "off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert lab.main(STUDY, [*FLAGS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def sets():
    return [ea.data.load(name) for name in ("digits", "glyphs_10letters", "glyphs_another10")]


def config(**settings):
    known = {"variants": ("default",), "trials": 2, "generations": 2, "size": 6, "tournament": 2, "samples": 4}
    return Config(**known | {"widths": (2, 3, 4), "hidden": 3, "tested": 40} | settings)


def begun_of(problem, variant, key):
    """What a variant keeps of untrained networks, and their masks."""
    params = initial(problem.network(variant.kind)[0], key, problem.image)
    pop = jax.tree.map(lambda leaf: jnp.concatenate([leaf, -leaf][: variant.ancestors]), params)
    words = variant.signs, variant.magnitudes, variant.pruned
    return begun(problem.algorithm(variant), *words, pop, key)


@pytest.mark.slow
def test_accuracies_counts_and_courses_of_a_run_belong_together(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        names = arrays["rows"].tolist()
        assert names == [
            *("default", "mapping optimised", "network", "random pruning", "pruning by magnitude"),
            *("network, shared value", "random pruning, shared value", "by magnitude, shared value", "mapping alone"),
        ]
        right = np.trace(arrays["confusion"], axis1=-2, axis2=-1) / arrays["confusion"].sum((-2, -1))
        np.testing.assert_allclose(right, arrays["accuracy"], rtol=1e-6)
        assert (arrays["confusion"].sum((-2, -1)) == 90).all()
        lead = arrays["alone"] - arrays["alone"].swapaxes(0, 1)  # how many more are right
        first = arrays["accuracy"][:, 0]
        np.testing.assert_allclose(lead / 90, first[:, None] - first[None], atol=1e-6)
        of = dict(zip(names, arrays["synapses"], strict=True))
        full = 9 * 3 + 9 * 3 * 4 + 4 * 4 * 6 + 6 * 10
        assert all((of[name] == full).all() for name in ("network", "network, shared value", "mapping alone"))
        assert all((of[name] == of["default"]).all() for name in claims.CONTROLS) and (of["default"] < full).all()
        common = dict(zip(names, arrays["common"], strict=True))
        assert np.isnan(common["network"]).all()
        assert all(((common[name] >= 0) & (common[name] <= 1)).all() for name in claims.CONTROLS)
        course = arrays["course_accuracy"]
        assert (
            np.isfinite(course[:2, ..., :2]).all() and np.isnan(course[:2, ..., 2]).all() and np.isnan(course[2:]).all()
        )
        assert (np.diff(arrays["course_fitness"][:2], axis=-1) >= 0).all()  # the best stay
        again = np.isfinite(arrays["transfer"]).all(axis=(1, 2))
        assert [name for name, known in zip(names, again, strict=True) if known] == ["default", "network"]
        values = dict(zip(names, arrays["value"], strict=True))
        assert (values["network"] == 1).all() and np.isin(values["default"], (0.5, 1, 2)).all()


@pytest.mark.slow
def test_figures_tables_and_claims_are_made(run):
    shown = ("network", "default", "mapping-optimised", "random-pruning", "pruning-by-magnitude")
    expected = {"comparison", "course-default", "course-mapping-optimised", *(f"confusion-{name}" for name in shown)}
    assert {path.stem for path in (run / "figures").iterdir()} == expected
    results = json.loads((run / "results.json").read_text())
    assert len(results["tables"]) == 5
    for table in results["tables"].values():
        assert table and all(list(row) == list(table[0]) for row in table)
    primary = [claim for claim in results["claims"] if claim["primary"]]
    assert len(primary) == 12 and {claim["unit"] for claim in results["claims"]} == {"trials"}
    assert {claim["verdict"] for claim in results["claims"]} == {"not tested"}  # of two trials


def test_a_population_is_restored_from_what_a_checkpoint_holds():
    rng, size = np.random.default_rng(0), 4
    one = {"kernel": rng.normal(size=(5, 3)).astype(np.float32), "bias": np.ones(3, np.float32)}
    kept = {name: jnp.asarray(np.stack([leaf * n for n in range(size)])) for name, leaf in one.items()}
    masks = {name: jnp.asarray(rng.random(leaf.shape) < 0.5) for name, leaf in kept.items()}
    rates = jnp.ones((size, 2, 3))
    rollouts = pruning.Rollouts(rates, 2 * rates, rates[..., 0])
    members = Topology(kept, masks, rollouts, jnp.arange(4.0), jnp.arange(4))
    alive = PadawannState(members, ea.population.take(members, 2), jnp.array(1), jnp.array(5))
    like = {name: np.ones(leaf.shape, bool) for name, leaf in one.items()}
    for all_kept in (True, False):
        stored = jax.tree.map(np.asarray, packed(alive, all_kept))
        assert stored["bits"].shape == (5, 3)  # 18 masks in 3 bytes, of four members and the champion
        found = unpacked(stored, one, like)
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(alive), strict=True)
        same = [bool((a == b).all()) for a, b in pairs]
        assert all(same) == all_kept and sum(same) == len(same) - (0 if all_kept else 4)  # two leaves, twice


@pytest.mark.slow
def test_cells_that_are_missing_are_unknown(run):
    settings = Config(**json.loads((run / "manifest.json").read_text(), object_hook=tupled)["configuration"])
    with np.load(run / "arrays" / "results.npz") as arrays:
        whole = dict(arrays)
    stored = {cell: lab.load(run / "cells" / f"{cell.name}.npz")[0] for cell in cells(settings)}
    some = merge(settings, {cell: of for cell, of in stored.items() if cell == lab.Cell("default", 1)})
    at = rows(settings).index("default")
    np.testing.assert_array_equal(some["accuracy"][at, 1], whole["accuracy"][at, 1])
    assert np.isnan(some["accuracy"][at, 0]).all() and np.isnan(some["alone"]).all()
    view = claims.View(some)
    assert view.variants == ["default"] and "mapping alone" not in view.rows
    assert claims.tables(view)["accuracy on test images"][0]["digits, sd"] is None


def tupled(record):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}


@pytest.mark.nightly
def test_cells_of_two_folders_merge_to_what_one_run_gives(run, tmp_path):
    for cell, folder in (("default-*", "a"), ("mapping-*", "b")):
        assert lab.main(STUDY, [*FLAGS, "--cells", cell, "--out", str(tmp_path / folder)]) == 0
    assert lab.main(STUDY, ["--merge", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    for name in ("results.json", "arrays/results.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.nightly
def test_every_variant_can_be_begun_and_bred(sets):
    problem = Problem(config(variants=tuple(VARIANTS)), sets)
    for name, variant in VARIANTS.items():
        kept, masks = begun_of(problem, variant, jax.random.key(0))
        outputs = problem.outputs(variant, *ea.population.take((kept, masks), 0))
        tasks = [problem.task(problem.few, place, outputs, variant.apart) for place in variant.tasks]
        algorithm = dataclasses.replace(problem.algorithm(variant), mesh=None)

        def bred(key, a=algorithm, k=kept, m=masks, t=tasks):
            before = a.init(key, k, t, masks=m)
            after = a.step(key, before, t)[0]
            return jax.tree.leaves(before), jax.tree.leaves(after), before.members.rollouts.accuracy

        before, after, accuracy = jax.eval_shape(bred, jax.random.key(2))
        assert [leaf.shape for leaf in before] == [leaf.shape for leaf in after], name
        assert accuracy.shape == (algorithm.size, len(variant.tasks), len(algorithm.values))


@pytest.mark.slow
def test_variants_of_equal_settings_share_an_algorithm_and_its_programs(sets):
    problem = Problem(config(), sets)
    same = ("default", "three tasks", "mapping optimised", "first task alone", "signs discarded")
    assert len({problem.algorithm(VARIANTS[name]) for name in same}) == 1
    assert problem.algorithm(VARIANTS["weights kept"]) is not problem.algorithm(VARIANTS["default"])


@pytest.mark.slow
def test_a_mapping_that_is_optimised_is_right_most_often(sets):
    problem = Problem(config(samples=20), sets)
    variant = VARIANTS["mapping optimised"]
    module, synapses, _ = problem.network(Kind())
    kept, masks = ea.population.take(begun_of(problem, variant, jax.random.key(3)), 0)
    outputs = problem.outputs(variant, kept, masks)
    assert sorted(outputs.tolist()) == list(range(10))
    x, y = problem.few[1]
    said = module.apply(pruning.at_value(synapses, kept, 1.0), x).argmax(axis=1)
    right = int((outputs[y] == said).sum())
    draws = [int((jax.random.permutation(jax.random.key(i), 10)[y] == said).sum()) for i in range(50)]
    assert right >= max(*draws, int((y == said).sum()))


RULES = (("real crossover", "between"), ("ten, whole clusters", "layers"))


def test_each_mode_does_what_it_says(sets):
    letters = dataclasses.replace(sets[1], name="emnist_10letters")
    for mode, expected in {"clean": ("one_point", 0), "text": ("one_point", 0), "code": ("none", 1)}.items():
        problem, trained = Problem(config(mode=mode), [sets[0], letters]), []
        algorithm = problem.algorithm(VARIANTS["default"])
        assert (algorithm.crossover, algorithm.untouched) == expected
        rules = [getattr(problem.algorithm(VARIANTS[name]), rule) for name, rule in RULES]
        assert rules == (["weights", "every"] if mode == "clean" else ["layers", "one"])
        assert problem.algorithm(VARIANTS["ten, uniform crossover"]).between == "weights"
        x, first = problem.train[1][0], sets[0].train.x
        images = (np.concatenate([letters.train.x, letters.validation.x]) - first.mean()) / first.std()
        images = images.swapaxes(1, 2) if mode == "code" else images
        np.testing.assert_allclose(x, images, rtol=1e-6, atol=1e-6)
        problem.trained = lambda run, kind, origin, number, of=trained: of.append(origin) or {"w": np.zeros((1, 2))}
        for trial in (0, 1):
            problem.ancestors(None, VARIANTS["default"], trial)
        assert trained == ([0, 1] if mode == "clean" else [0, 0])


def test_parts_of_an_epoch_are_fair_samples_of_a_set_that_is_sorted(sets, monkeypatch):
    monkeypatch.setattr("experiments.padawann.study.PART", 500)
    problem = Problem(config(), sets)
    x, y = problem.train[0]
    problem.train[0] = (x, np.sort(y))
    parts = problem.learnt[0]
    assert len(parts) == 3 and sum(labels.size for _, labels in parts) == y.size
    assert all(np.unique(labels).size == 10 for _, labels in parts)


def test_grey_and_small_images_are_brought_to_the_shape_of_the_largest_in_colour(sets):
    rng = np.random.default_rng(0)
    part = ea.data.dataset.Part(rng.random((60, 12, 10, 3), np.float32), np.arange(60, dtype=np.int32) % 10)
    colour = ea.data.Dataset(part, part, part, "colour", tuple("abcdefghij"))
    problem = Problem(config(), [colour, sets[0]])
    (first, _), (second, _) = problem.train
    assert first.shape[1:] == second.shape[1:] == (12, 12, 3)
    np.testing.assert_array_equal(second[..., 0], second[..., 2])
    mean, deviation = part.x.mean(), part.x.std()
    digits = np.concatenate([sets[0].train.x, sets[0].validation.x])
    np.testing.assert_allclose(second[:, 2:10, 2:10, 1] * deviation + mean, digits, atol=1e-5)


def test_the_first_images_of_each_class_are_taken_and_too_few_are_refused():
    x, y = np.arange(9.0), np.array([0, 1, 0, 1, 1, 0, 0, 1, 1])
    chosen = of_each_class("these", x, y, 2)
    assert chosen[0].tolist() == [0, 1, 2, 3] and chosen[1].tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="samples: got 5; expected at most 4, as these has"):
        of_each_class("these", x, y, 5)


def test_settings_that_cannot_be_are_refused(sets):
    for settings, match in (
        ({"variants": ("three tasks",)}, "variants: got"),
        ({"variants": ("default", "default")}, "variants: got"),
        ({"variants": ("default", "all")}, "variants: got 'all'"),
        ({"tested": -1}, "tested: got -1"),
        ({"mapping": (0, 0)}, "mapping: got"),
    ):
        with pytest.raises(ValueError, match=match):
            config(**settings)
    with pytest.raises(ValueError, match="second, others: got"):
        Problem(config(), [sets[0], ea.data.load("glyphs")])
    with pytest.raises(ValueError, match="tested: got 5000"):
        Problem(config(tested=5000), sets)


def test_a_task_may_have_fewer_classes_than_the_network_has_outputs(sets):
    problem = Problem(config(), [sets[0], sets[1].only(range(4)), sets[2].only(range(3))])
    for name in ("default", "mapping optimised", "an output layer for each task"):
        variant = VARIANTS[name]
        outputs = problem.outputs(variant, *ea.population.take(begun_of(problem, variant, jax.random.key(0)), 0))
        tasks = [problem.task(problem.few, place, outputs, variant.apart) for place in range(3)]
        assert [of.outputs.size for of in tasks] == [10, 4, 3], name
        assert int(tasks[1].y.max()) == 3 and len(set(outputs.tolist())) == 4


class Loop:
    """A run that keeps nothing."""

    def loop(self, name, state, step, *, total):
        for number in range(total):
            state, _ = step(number, state)
        return state


def answering():
    """A network that is right at the value 2 on images that members are evaluated on, and at 0.5 on test images, which
    are told apart by their first pixel."""

    def apply(params, x):
        tested = x.reshape(x.shape[0], -1)[:, 0] > 50
        value = params["weight"][0, 0]
        right = jnp.where(tested, value < 1, value > 1)
        label = x.reshape(x.shape[0], -1)[:, 1].astype(int)
        return jax.nn.one_hot(jnp.where(right, label, (label + 1) % 10), 10)

    params = {"weight": jnp.ones((1, 1))}
    algorithm = types.SimpleNamespace(apply=apply, synapses=pruning.find(params), biases="kept", over="best")
    return measures.Row("default", algorithm, params, pruning.full_masks(params), (0.5, 2.0), np.arange(10), False)


@pytest.mark.parametrize(("mode", "accuracy", "value"), [("clean", 0.0, 2.0), ("text", 1.0, 0.5), ("code", 1.0, 0.5)])
def test_a_shared_value_is_chosen_on_training_images_in_the_clean_mode_alone(sets, mode, accuracy, value):
    problem = Problem(config(mode=mode), sets)

    def marked(parts, mark):
        parts = [(x.copy(), y) for x, y in parts]
        for x, y in parts:
            x[:, 0, 0], x[:, 0, 1] = mark, y
        return parts

    problem.few, problem.test = marked(problem.few, 0.0), marked(problem.test, 100.0)
    found = measures.examine(problem, Loop(), [answering()])
    assert (found["accuracy"] == accuracy).all() and (found["value"] == value).all()
    assert (found["right"] == accuracy).all()


@pytest.mark.slow
def test_transfer_learning_moves_the_output_layer_alone_and_dead_weights_may_come_back(key):
    network = ea.models.MnistNet((2, 3, 4))
    x = jax.random.normal(key, (40, 8, 8))
    params = network.init(key, x)
    params["params"]["output"]["kernel"] = jnp.zeros((4, 10))
    params["params"]["dense"]["kernel"] = params["params"]["dense"]["kernel"].at[0].set(0.0)
    learnt = measures.learnt(network.apply, 1, params, (x, jnp.arange(40) % 10), key)
    for name in ("conv_0", "conv_1", "dense"):
        for part, leaf in params["params"][name].items():
            np.testing.assert_array_equal(learnt["params"][name][part], leaf)
    assert (learnt["params"]["output"]["kernel"] != 0).any()


@pytest.mark.slow
def test_transfer_begins_anew_each_time_but_in_the_mode_code(sets, key, monkeypatch):
    real, found = measures.learnt, {}
    for mode in ("clean", "code"):
        problem = Problem(config(mode=mode, transfers=2, transferred=40, learnt=40), sets)
        module, starts = problem.network(Kind())[0], []
        params = module.init(key, problem.image)
        algorithm = problem.algorithm(VARIANTS["default"])
        row = measures.Row("default", algorithm, params, pruning.full_masks(params), (1.0,), np.arange(10), False)

        def learnt(apply, epochs, params, data, key, starts=starts):
            assert epochs == 480  # of one step each
            starts.append(params["params"]["output"]["kernel"])
            return real(apply, 1, params, data, key)

        monkeypatch.setattr(measures, "learnt", learnt)
        assert measures.transfer(problem, Loop(), row, np.ones(3), key).shape == (3,)
        found[mode] = [bool((a == b).all()) for a, b in zip(starts[::2], starts[1::2], strict=True)]
    assert found == {"clean": [True] * 3, "code": [False] * 3}


def made(names, trials=8, sets=("mnist", "emnist_10letters"), **changed):
    """Merged arrays in which all networks are alike, but for what is changed."""
    rng, shape = np.random.default_rng(0), (len(names), trials, len(sets))
    arrays = {name: rng.uniform(0.1, 0.11, shape) for name in ("accuracy", "loss", "value", "ensemble", "transfer")}
    arrays |= {f"course_{name}": rng.uniform(1, 1.1, (*shape[:2], 5)) for name in ("fitness", "mean_fitness")}
    arrays |= {"synapses": np.full(shape[:2], 600.0), "common": np.ones(shape[:2]), "found": np.ones(shape[:2])}
    arrays |= {"alone": np.zeros((len(names), len(names), len(sets)))}
    arrays |= {"rows": np.array(names), "variants": np.array(names[:1]), "sets": np.array(sets)}
    return arrays | {"classes": np.array(["0,1,2,3,4,5,6,7,8,9"] * len(sets))} | changed


def decided(arrays):
    view = claims.View(arrays)
    records = lab.decide(claims.PRIMARY, claims.explore(view), view)
    return {record["id"]: record for record in records}


def test_claims_have_the_direction_that_they_state_and_the_paper_s_difference():
    names = ["default", "network", "random pruning", "weights kept"]
    arrays = made(names)
    arrays["accuracy"][0, :, 1] += 0.154
    found = decided(arrays)
    claim = found["default_network_accuracy_1"]
    assert (claim["verdict"], claim["replication"], claim["paper"]) == ("holds", "agrees", 0.1542)
    assert claim["ours"] == pytest.approx(0.154, abs=0.01)
    assert found["default_random_pruning_accuracy_1"]["replication"] == "differs"  # .122 in the thesis
    assert found["default_guessing_accuracy_1"]["verdict"] == "holds"
    arrays["accuracy"][0, :, 1] -= 0.3
    assert decided(arrays)["default_network_accuracy_1"]["verdict"] == "reversed"
    assert found["default_signs_discarded_accuracy_0"]["verdict"] == "not tested"  # it was not run
    assert found["synapses_left"]["ours"] == 1.0 and found["synapses_left"]["replication"] == "differs"


def test_the_thesis_s_numbers_are_compared_on_its_data_sets_alone():
    names = ["default", "network", "three tasks"]
    letters, all_ = ("mnist", "emnist_10letters", "notmnist"), claims.SETS
    numbers = {}
    for sets in (("digits", "glyphs"), letters, all_):
        found = decided(made(names, sets=sets))
        numbers[sets[-1]] = [
            found[f"{name}_accuracy_{p}"]["paper"] for name, p in (("default_network", 1), ("three_tasks_default", 2))
        ]
    assert numbers == {"glyphs": [None, None], "notmnist": [0.1542, None], "fashion_mnist": [0.1542, 0.1056]}


def test_unknown_values_are_not_compared_and_few_trials_are_not_tested():
    names = ["default", "network"]
    arrays = made(names)
    arrays["accuracy"][0, :, 1] += 0.1
    arrays["accuracy"][1, 0, 1] = np.nan
    assert decided(arrays)["default_network_accuracy_1"]["n"] == 7
    arrays["accuracy"][1, :3, 1] = np.nan
    claim = decided(arrays)["default_network_accuracy_1"]
    assert (claim["n"], claim["verdict"]) == (5, "not tested") and claim["ours"] > 0.09


def test_mcnemar_s_test_counts_the_images_on_which_two_networks_differ():
    arrays = made(["default", "network"])
    arrays["alone"][0, 1, 1], arrays["alone"][1, 0, 1] = 29, 5
    row = claims.tables(claims.View(arrays))["McNemar's test, two-sided, of the first trial"][0]
    assert (row["first"], row["right: first alone"], row["second alone"]) == ("default", 29, 5)
    assert row["p"] == pytest.approx(3.85582e-05, rel=1e-4)
