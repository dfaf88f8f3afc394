"""Random programs on which the inference of symmetry is tested.

A program is a list of 4 to 16 operations on earlier values, in float64. Many of its axes have the same length, so that
nothing can be told by shape. `check` infers the groups of a program and applies random permutations of them; `stack`
makes programs of which the groups are known.

    python -m tests.symmetry.fuzzing --count 2000 --seed 0
"""

import argparse
import collections
import dataclasses
import functools
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from evojax_align import symmetry
from tests.symmetry.interpreter import evaluate, run
from tests.symmetry.operations import ANY, EASY, OPERATIONS, Builder, Program

TOLERANCE = 1e-7
"""Relative change of an output that is still rounding: steps may amplify an error of 1e-16 by cancellation."""
NEAR = 16
"""So many changes of the parameters by rounding are tried: a program that branches on the sign of a sum that is 0 but
for rounding changes under about half of them."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What came out for one program."""

    groups: dict[str, int]
    change: float
    """The largest relative change of an output under random permutations of all groups."""
    undone: bool
    """Whether the inverse permutation gave back every bit of the parameters."""
    unstable: bool
    """Whether the outputs change as much under a relative change of the parameters by 1e-13."""

    @property
    def wrong(self) -> bool:
        """Whether the inferred symmetry is none."""
        return not self.undone or (not self.change < TOLERANCE and not self.unstable)


def program(seed: int) -> Program:
    """A random program; in two of three, most operations are such that something can be permuted."""
    build = Builder(seed)
    draw = build.random
    easy = draw.random() < 0.67
    batch = (draw.choice([2, 3, build.n]),) if draw.random() < 0.6 else (draw.choice([2, 3]), build.n)
    build.start((*batch, build.n))
    build.dense(build.length())
    wanted, tries = draw.randint(4, 16), 0
    while len(build.steps) < wanted and tries < 200:
        names = EASY if easy and draw.random() < 0.8 else ANY
        OPERATIONS[draw.choice(names)](build)
        tries += 1
    build.read_out(sure=easy)
    return build.program()


def check(made: Program, draws: int = 2) -> Finding:
    """Infer the groups of a program, and try random permutations of all of them on two draws of parameters."""
    spec = symmetry.infer(made.apply, made.params, made.x)
    if not spec.groups:
        return Finding({}, 0.0, True, False)
    worst, undone, unstable = 0.0, True, False
    traced = jax.make_jaxpr(made.apply)(made.params, made.x)
    outputs = lambda params: evaluate(traced, *jax.tree.leaves((params, made.x)))
    permute = functools.partial(symmetry.permute, spec)
    for number in range(2):
        numbers = np.random.default_rng([made.seed, number, 1])
        params = made.params if number == 0 else {k: _again(numbers, v) for k, v in made.params.items()}
        expected = outputs(params)
        if not all(np.isfinite(out).all() for out in expected):
            continue
        for _ in range(draws):
            orders = {g: _order(numbers, spec.shape_of(g)) for g in spec.groups}
            moved = run(permute, params, orders)
            back = run(permute, moved, run(functools.partial(symmetry.inverse, spec), orders))
            undone &= all(np.array_equal(params[path], back[path]) for path in params)
            change = _difference(expected, outputs(moved))
            for _ in range(0 if change < TOLERANCE else NEAR):
                near = {k: v * (1 + 1e-13 * numbers.normal(size=v.shape)) for k, v in params.items()}
                unstable |= not _difference(expected, outputs(near)) < TOLERANCE / 10
            worst = max(worst, change)
    return Finding(dict(spec.groups), worst, undone, unstable)


def _again(numbers: np.random.Generator, leaf: np.ndarray) -> np.ndarray:
    return numbers.normal(size=leaf.shape) * leaf.std()


def _order(numbers: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return numbers.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)


def _difference(expected: Sequence[Any], found: Sequence[Any]) -> float:
    gaps = [np.max(np.abs(p - q)) / (1e-3 + np.max(np.abs(p))) for p, q in zip(expected, found, strict=True)]
    return float("inf") if np.isnan(gaps).any() else float(max(gaps))


def main(argv: Sequence[str]) -> int:
    """Check many programs; print each that is wrong, and what was found in all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first program; the others follow")
    parser.add_argument("--show", action="store_true", help="print every program")
    options = parser.parse_args(argv)
    wrong = unstable = with_groups = 0
    used: collections.Counter[str] = collections.Counter()
    began = time.process_time()
    with jax.enable_x64(True):
        for seed in range(options.seed, options.seed + options.count):
            made = program(seed)
            found = check(made)
            used.update(step.kind for step in made.steps)
            wrong, unstable = wrong + found.wrong, unstable + found.unstable
            with_groups += bool(found.groups)
            if found.wrong or options.show:
                print(made.listing(), found, sep="\n", end="\n\n", flush=True)
            if seed % 50 == 49:
                jax.clear_caches()
    seconds = time.process_time() - began
    print(f"{options.count} programs: {wrong} wrong, {unstable} unstable, {with_groups} with groups, {seconds:.0f} s")
    print("steps by kind:", ", ".join(f"{kind} {count}" for kind, count in used.most_common()))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
