"""The study of neuroevolution: one toy run, and claims from hand-made arrays."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import lab
from experiments.neuroevolution import arms, claims, config, evolving, figures, study, tuned
from experiments.neuroevolution.__main__ import STUDY
from experiments.neuroevolution.tasks import TASKS, Judge
from experiments.neuroevolution.view import View

TOY = [
    "pairs=1", "transfer=('acrobot',)", "champions=0.01", "children=2", "repeats=2", "block=1",
    "tasks=('acrobot',)", "arms=('naive','OpenAI-ES')", "budget=0.13", "size=16",
]  # fmt: skip
FLAGS = [part for setting in TOY for part in ("--set", setting)] + ["--quiet", "--compile-cache", "off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run, as without evosax."""
    folder = tmp_path_factory.mktemp("run") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evolving, "strategy", lambda *args, **settings: None)
        assert lab.main(STUDY, [*FLAGS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def arrays(run):
    with np.load(run / "arrays" / "results.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def digits():
    return ea.data.load("digits", seed=0)


@pytest.mark.slow
def test_a_run_has_all_parts_and_names_the_arms_that_were_left_out(run, arrays):
    view = View(arrays)
    assert view.crossed == ["acrobot"] and view.arms == ["acrobot: naive"]
    assert arrays["score"].shape == (2, 2, 3) and np.isfinite(arrays["score"][0]).all()
    assert not (arrays["score"][0, 0] == arrays["score"][0, 1]).all()
    results = json.loads((run / "results.json").read_text())
    assert view.left_out == ["acrobot: OpenAI-ES"]
    assert results["tables"]["left out"] == [{"arm": "acrobot: OpenAI-ES", "because": "evosax was not installed"}]
    assert [claim["n"] for claim in results["claims"] if claim["id"] == "transfer_acrobot"] == [1]
    assert {path.stem for path in (run / "figures").iterdir()} == {"transfer", "speed", "profiles"}
    assert "NaN" not in (run / "results.json").read_text()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(digits, stopped_between, tmp_path):
    problem = study.Problem(config.Config(tasks=("digits",), budget=0.12), digits)
    keys = problem.keys("digits", [0, 1])
    whole = config.points(problem.config, "digits", 0.12)

    def use(run):
        return problem.evolved(run, "evolution", "digits", arms.ARMS["aligned"], keys, whole)[1]

    found, steps = stopped_between(use, tmp_path / "stopped")
    again, _ = stopped_between(use, tmp_path / "again")
    assert steps == [0, 1, 2]
    for name, values in found.items():
        np.testing.assert_array_equal(values, again[name])


def test_arms_of_a_task_begin_with_the_same_keys_and_champions_have_their_own(digits):
    problem = study.Problem(config.Config(), digits)
    keys = [jax.random.key_data(problem.keys(task, [0, 1])) for task in ("digits", "swing-up")]
    assert not (keys[0] == keys[1]).all() and not (keys[0][0] == keys[0][1]).all()
    blocks = [jax.random.key_data(problem.keys("digits", [seed]))[0] for seed in (0, 1)]
    np.testing.assert_array_equal(keys[0], blocks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one founder", "two founders"])
def test_founders_are_copies_of_so_many_networks(digits, name):
    judge = Judge("acrobot", digits)
    arm = arms.both(name, founders=1 if name.startswith("one") else 2)[f"naive, {name}"]
    algorithm = evolving.algorithm(judge, arm, (0.1, 1.0), size=16)
    state = evolving.begin(algorithm, jax.random.split(jax.random.key(0), 1), None)
    kernel = np.asarray(state.members["params"]["output"]["kernel"])[0, :, :, 0]
    assert len(np.unique(kernel, axis=0)) == arm.founders
    same = (kernel[:, None] == kernel[None]).all(axis=-1)
    related = np.asarray(state.ancestors[0]) >= 0
    np.testing.assert_array_equal(related | np.eye(16, dtype=bool), same)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["digits", "swing-up"])
def test_every_arm_of_every_factor_can_be_made_and_has_scores_at_equal_evaluations(digits, task):
    problem = study.Problem(config.Config(tasks=(task,), factors=config.FACTORS), digits)
    for name, (_, _, arm) in config.populations(problem.config).items():
        found = problem.algorithm(task, arm)
        if found is None:
            assert arm.strategy, name
            continue
        every = evolving.generations_between(found, TASKS[task].every)
        assert every * found.asked == TASKS[task].every, name


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"transfer": ("cart",)}, "transfer: got 'cart'"),
        ({"factors": ("age",)}, "factors: got 'age'"),
        ({"arms": ("best",)}, "arms: got 'best'"),
        ({"block": 3}, "block: got 3; expected a divisor of 20"),
        ({"size": 1}, "size: got 1"),
        ({"width": -1}, "width: got -1"),
        ({"matcher": "cca"}, "matcher: got 'cca'"),
        ({"budget": 0.0}, "budget: got 0.0"),
        ({"tasks": ("images",)}, "tasks: got 'images' with the data set 'digits'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(config.Config(), **settings)


def test_a_size_that_gives_other_points_is_refused(digits):
    judge = Judge("acrobot", digits)
    found = evolving.algorithm(judge, arms.ARMS["naive"], (0.1, 1.0), size=48)
    with pytest.raises(ValueError, match="size: got 48 evaluations in a generation; expected a divisor of 256"):
        evolving.generations_between(found, judge.task.every)


SETTINGS = config.Config(
    pairs=15, transfer=("swing-up", "digits"), repeats=15, tasks=("digits", "swing-up"), factors=config.FACTORS
)


def made(better=0.0, shift=0.0, seconds=None):
    """Arrays in which aligned children keep more, by `better`, and aligned arms score more, by `shift`."""
    random, found = np.random.default_rng(0), {}
    for cell in study.cells(SETTINGS):
        one = {name: random.normal(0, 0.01, of.shape) for name, of in study.unknown(SETTINGS, cell).items()}
        if cell.arm.startswith(study.CROSSING):
            gain = better * np.array([name.startswith("aligned") for name in config.METHODS])
            one |= {name: one[name] + 0.4 + gain for name in ("halfway", "exchanged")} | {"parents": np.full(2, 0.9)}
        else:
            task, name, _ = config.populations(SETTINGS)[cell.arm]
            score = one["score"] + 0.5 + shift * name.startswith("aligned")
            one |= {"score": score * (1 if task == "digits" else 300), "left_out": np.zeros(SETTINGS.block)}
        found[cell] = one
    arrays = study.merge(SETTINGS, found)
    if seconds is not None:
        slow = np.array([name.startswith("aligned") for name in arrays["names"]])
        arrays["seconds"] = np.where(slow, seconds, 1.0)
    return arrays


def decided(arrays):
    view = View(arrays)
    return {record["id"]: record for record in lab.decide(claims.PRIMARY, claims.explore(view), view)}


@pytest.mark.parametrize(("gain", "verdict"), [(0.2, "holds"), (-0.2, "reversed"), (0.0, "undecided")])
def test_a_claim_says_what_the_arrays_say(gain, verdict):
    found = decided(made(gain, gain))
    for name in ("transfer_swing_up", "transfer_digits", "speed_digits", "speed_swing_up"):
        assert found[name]["verdict"] == verdict and found[name]["n"] == 15, name
    assert found["transfer_acrobot"]["verdict"] == "not tested" and found["transfer_acrobot"]["n"] == 0
    rows = claims.answers(View(made(gain, gain)))
    words = {"holds": "helps", "reversed": "harms", "undecided": "no difference shown"}
    assert {row["verdict"] for row in rows if row["task and condition"].endswith(", evolution")} == {words[verdict]}


def test_at_equal_seconds_a_slow_arm_is_read_off_earlier():
    """A curve that rises by .01 at each point; an arm that takes five times as long has a fifth of its points."""
    arrays = made(seconds=5.0)
    rising = 0.01 * np.arange(26)
    arrays["score"][:] = rising
    view = View(arrays)
    both = ["digits: naive", "digits: aligned"]
    np.testing.assert_allclose(view.in_time(*both), 0.25)
    np.testing.assert_allclose(view.in_time(*both[::-1]), 0.05)
    assert view.in_time("digits: naive", "digits: none") is None
    assert decided(arrays)["seconds_digits"]["verdict"] == "reversed"
    arrays["seconds"][:] = np.nan
    assert View(arrays).in_time(*both) is None and decided(arrays)["seconds_digits"]["n"] == 0


def test_a_threshold_that_is_never_reached_counts_as_never():
    arrays = made()
    arrays["score"][:] = 0.01 * np.arange(26)
    place = arrays["arms"].tolist().index("digits: naive")
    arrays["threshold"][place] = 0.095
    view = View(arrays)
    np.testing.assert_array_equal(view.reached("digits: naive"), 2000)
    np.testing.assert_array_equal(view.reached("digits: aligned"), np.inf)
    rows = {row["arm"]: row for row in claims.tables(view)["part 2: all populations"] if row["task"] == "digits"}
    assert rows["naive"]["median evaluations to it"] == 2000 and rows["aligned"]["median evaluations to it"] is None
    assert (rows["naive"]["at the threshold, share"], rows["aligned"]["at the threshold, share"]) == (1, 0)


@pytest.mark.slow
def test_cells_that_are_missing_are_unknown_and_all_the_rest_is_drawn(tmp_path):
    arrays = made(0.2, 0.1)
    arrays["score"][:, 7:] = np.nan
    arrays["halfway"][1, 4:] = np.nan
    view = View(arrays)
    found = decided(arrays)
    assert found["speed_digits"]["n"] == 7 and found["transfer_digits"]["n"] == 4
    assert found["transfer_digits"]["verdict"] == "not tested"
    figures.draw(view, tmp_path)
    names = {"transfer", "speed", "profiles", "factors-digits", "factors-swing-up"}
    assert {path.stem for path in tmp_path.iterdir()} == names
    for rows in claims.tables(view).values():
        assert "NaN" not in json.dumps(rows) and all(list(row) == list(rows[0]) for row in rows)


def test_a_large_population_is_scored_once_in_a_generation():
    large = config.Config(size=1024)
    assert config.interval(large, "swing-up") == 1024 and config.interval(large, "digits") == 200
    assert config.points(large, "swing-up", 1.0) == 6 and config.points(large, "digits", 0.2) == 5


def test_cells_of_primary_claims_come_first():
    order = [cell.arm for cell in study.cells(config.PRESETS["paper"][0])]
    first = [name.startswith(study.CROSSING) for name in order]
    assert first == sorted(first, reverse=True)
    names = [name.partition(": ")[2] for name in order if not name.startswith(study.CROSSING)]
    ranks = [0 if name in study.FIRST else 1 if name in arms.ARMS else 2 for name in names]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("preset", ["demo", "small", "paper"])
def test_a_preset_has_units_enough_for_its_claims_to_hold(preset):
    for settings in config.PRESETS[preset]:
        assert min(settings.repeats, settings.pairs) >= lab.units_needed(len(claims.PRIMARY))
    assert set(config.COSTS) == set(config.PRESETS)


def test_every_tuned_setting_is_one_of_the_grid():
    for task, of_task in tuned.TUNED.items():
        assert task in TASKS and set(of_task) <= set(arms.ARMS)
        for name, (scale, rate) in of_task.items():
            assert scale in tuned.GRID["scale"], name
            assert rate in tuned.GRID["rate"], name


@pytest.mark.slow
def test_the_settings_of_m2n2_are_its_own(digits):
    judge = Judge("M2N2", digits)
    (x, _), (test, _) = judge.data, judge.test
    assert x.shape == (1437, 8, 8) and test.shape == (360, 8, 8) and float(x.max()) == 16
    whole = ea.data.embedded.digits().train
    np.testing.assert_array_equal(np.concatenate([x, test]), 16 * whole[0])
    params = judge.draw(jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 65 * 256 + 257 * 10
    for leaf in jax.tree.leaves(params):
        assert 0.5 < float(jnp.std(leaf)) / 0.01 < 1.5
    found = evolving.algorithm(judge, arms.ARMS["naive"], tuned.setting("M2N2", "naive"))
    assert found.ga.mutation.scale == 0.01 and found.ga.crossover_rate == 1
    members = found.init(jax.random.key(1), judge.data).members
    assert len(np.unique(np.asarray(members["params"]["output"]["bias"]), axis=0)) == 2


def test_arms_of_m2n2_stand_beside_its_figures():
    settings = config.Config(repeats=10, tasks=("M2N2",), arms=("naive", "aligned"))
    found = {cell: study.unknown(settings, cell) for cell in study.cells(settings)}
    for one in found.values():
        one["score"] = np.broadcast_to(np.linspace(0.1, 0.6, 26), (5, 26))
        one["left_out"] = np.zeros(5)
    naive, aligned = claims.beside_published(View(study.merge(settings, found)))
    assert (naive["ours at 10000"], naive["ours at 50000"], naive["seeds"]) == (0.2, 0.6, 10)
    assert (naive["theirs at 10000"], aligned["theirs at 10000"]) == (0.82, None)


@pytest.mark.parametrize("task", ["cart-pole", "breakout"])
def test_a_task_of_a_package_that_is_missing_is_left_out(task, digits, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    settings = config.Config(tasks=(task,), repeats=1, block=1, budget=0.1)
    assert study.Problem(settings, digits).algorithm(task, arms.ARMS["naive"]) is None


@pytest.mark.slow
@pytest.mark.parametrize("task", ["cart-pole", "breakout"])
def test_policies_evolve_in_environments_of_gymnax(task, digits):
    pytest.importorskip("gymnax", reason="gymnax (extra `gymnax`) is not installed")
    judge = Judge(task, digits)
    found = evolving.algorithm(judge, arms.ARMS["aligned"], (0.1, 1.0))
    keys = jax.random.split(jax.random.key(0), 1)
    _, told = evolving.advance(found, judge, 1, keys, evolving.begin(found, keys, None), None, None)
    assert np.isfinite(told["score"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["OpenAI-ES", "sep-CMA-ES"])
def test_a_strategy_of_evosax_is_an_arm(arm, digits):
    pytest.importorskip("evosax", reason="evosax (extra `evosax`) is not installed")
    judge = Judge("acrobot", digits)
    found = evolving.algorithm(judge, arms.ARMS[arm], (0.1, 1.0), size=16)
    keys = jax.random.split(jax.random.key(0), 1)
    states, told = evolving.advance(found, judge, 2, keys, evolving.begin(found, keys, None), None, None)
    assert states.evaluations.tolist() == [32] and np.isfinite(told["score"]).all()
