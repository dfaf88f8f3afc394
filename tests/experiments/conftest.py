"""Scripts of experiments, which belong to no package."""

import importlib.util
import sys
from pathlib import Path

import pytest

from evojax_align import lab

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="session")
def load():
    """Imports a script by its path in `experiments`, without suffix."""

    def imported(script):
        path = EXPERIMENTS / f"{script}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module

    return imported


@pytest.fixture
def goes_on(monkeypatch):
    """Breaks off a run of a script at a step, resumes it, and compares it with one that was not; returns the name of
    the phase that it was in."""

    def again(script, flags, folder, expected, stop):
        loop, calls = lab.Run.loop, []

        def breaking(self, name, state, step, **settings):
            def counted(number, state):
                calls.append(name)
                if stop(calls):
                    raise KeyboardInterrupt
                return step(number, state)

            return loop(self, name, state, counted, **settings)

        every = ["--checkpoint-every", "0", "--quiet"]
        with monkeypatch.context() as patch:
            patch.setattr(lab.Run, "loop", breaking)
            assert script.main([*flags, *every, "--out", str(folder)]) == 130
        assert script.main(["--resume", str(folder), *every]) == 0
        for name in ("results.json", "arrays/results.npz"):
            assert (folder / name).read_bytes() == (expected / name).read_bytes()
        return calls[-1]

    return again
