"""A small study: two arms, three seeds, a shared ancestor for each seed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import lab


@dataclasses.dataclass(frozen=True)
class Config:
    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    rate: float = 0.1
    widths: tuple[int, ...] = (3,)
    repeats: int = 3


@dataclasses.dataclass(frozen=True)
class View:
    at: np.ndarray
    published: str = ""


def cells(config):
    return [lab.Cell(arm, seed) for seed in range(config.repeats) for arm in ("ahead", "behind")]


def walk(number, state):
    """A random walk: every step needs all that came before."""
    key, draw = jax.random.split(state["key"])
    state = {"key": key, "at": state["at"] + jax.random.normal(draw, (3,))}
    return state, {"at": float(state["at"][0])}


def run(problem, cell, run, step=walk):
    config, _ = problem
    start = {"key": jax.random.fold_in(jax.random.key(config.seed), cell.seed), "at": jnp.zeros(3)}
    ancestor = run.loop(f"ancestor {cell.seed}", start, step, total=2, shared=True)
    end = run.loop("walk", start | {"at": ancestor["at"] + 9 * (cell.arm == "ahead")}, step, total=3)
    return {"at": np.asarray(end["at"] * config.rate), "names": np.array(["x", "y", "z"])}


CLAIM = lab.Claim("ahead", "ahead lies above behind", "seeds", lambda view: lab.paired(*view.at[:, :, 0]))
STUDY = lab.Study(
    name="toy",
    title="A toy",
    description="A toy.",
    presets={"demo": (Config(),), "small": (Config(rate=0.2),)},
    costs={"demo": "nothing", "small": "little"},
    modes={"clean": "as it should be", "text": "as it was"},
    cells=cells,
    run=run,
    merge=lambda config, found: lab.by_arm(cells(config), found, ["at"]),
    view=lambda arrays: View(arrays["at"]),
    claims=[CLAIM],
    explore=lambda view: [],
    tables=lambda view: {"means": [{"mean": lab.finite(np.nanmean(view.at))}]},
    figures=lambda view, folder: (folder / "nothing.png").write_bytes(b"\x89PNG"),
    captions={"nothing": "Nothing to see."},
    command="python toy.py",
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Calls the command line of the study, in a temporary folder, with parts of it exchanged."""
    monkeypatch.chdir(tmp_path)

    def call(*flags, **parts):
        return lab.main(dataclasses.replace(STUDY, **parts), ["--quiet", "--compile-cache", "off", *flags])

    return call


@pytest.fixture
def dying():
    """The study's `run`, in which a step of a number raises an error."""

    def make(at):
        steps = 0

        def step(number, state):
            nonlocal steps
            steps += 1
            if steps > at:
                raise RuntimeError("lightning")
            return walk(number, state)

        return functools.partial(run, step=step)

    return make
