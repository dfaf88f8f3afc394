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
def stopped_between():
    """Calls `use(run)` in a run that dies after its first step, then again in one that goes on from there; returns what
    the second one gives, and the numbers of all steps that were done."""

    def again(use, folder):
        steps = []

        class Dying(lab.Run):
            def loop(self, name, state, step, **settings):
                def counted(number, state):
                    if dies and steps:
                        raise KeyboardInterrupt
                    steps.append(number)
                    return step(number, state)

                return super().loop(name, state, counted, **settings)

        files = lab.RunFolder.create(folder, "toy")
        for dies in (True, False):
            run = Dying(files, quiet=True, every=0.0)
            run.begin(lab.Cell("arm", 0))
            try:
                found = use(run)
            except KeyboardInterrupt:
                assert dies
        return found, steps

    return again
