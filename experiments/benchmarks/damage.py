"""Damage checkpoints at random, and count those that are read as if they were whole but hold something else.

python -m experiments.benchmarks.damage --count 1500

Each time one file of a checkpoint has a bit flipped, is cut short, has a block overwritten with zeros, loses bytes
inside, is replaced by the same file of an older checkpoint, or is deleted. A checkpoint is read right if it gives the
bits that were saved, the newest or the older ones, or is refused as damaged.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align.lab import checkpoint

KINDS = ("bit", "cut", "zeros", "hole", "older", "gone")


def main(argv: Sequence[str] | None = None) -> int:
    """Damage, read, compare; 1 if anything was read wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(Path(folder), arguments.count, random.Random(arguments.seed))
    for kind in KINDS:
        print(f"{kind:<6}" + ", ".join(f"{found[kind, what]} {what}" for what in ("refused", "unharmed", "wrong")))
    wrong = sum(found[kind, "wrong"] for kind in KINDS)
    print(f"{arguments.count} damaged checkpoints: {wrong} wrong")
    return int(wrong > 0)


def outcomes(folder: Path, count: int, chance: random.Random) -> Counter[tuple[str, str]]:
    """How often each kind of damage was refused, did no harm, or was read as something else."""
    limit, checkpoint.PART = checkpoint.PART, 4000  # so that a small state is several files
    try:
        path, found = folder / "state.npz", Counter()
        checkpoint.save(path, state(1), {"step": 1})
        older = {file.name: file.read_bytes() for file in folder.iterdir()}
        checkpoint.save(path, state(2), {"step": 2})
        whole = {file.name: file.read_bytes() for file in folder.iterdir()}
        right = [same_bits(state(number)) for number in (1, 2)]
        for number in range(count):
            for name, content in whole.items():
                (folder / name).write_bytes(content)
            kind = KINDS[number % len(KINDS)]
            damage(kind, folder / chance.choice(sorted(whole)), older, chance)
            try:
                read, notes = checkpoint.load(path, state(2))
                equal = same_bits(read) == right[notes["step"] - 1]
                found[kind, "unharmed" if equal else "wrong"] += 1
            except (checkpoint.Damaged, FileNotFoundError):
                found[kind, "refused"] += 1
        return found
    finally:
        checkpoint.PART = limit


def state(seed: int) -> dict[str, Any]:
    """A state of many kinds of leaves, larger than one file may be."""
    key = jax.random.key(seed)
    return {
        "weights": jax.random.normal(key, (50, 60)),
        "half": jax.random.normal(key, (30,)).astype(jnp.bfloat16),
        "key": key,
        "rows": np.arange(700.0) + seed,
        "mask": jax.random.bernoulli(key, shape=(40,)),
    }


def same_bits(tree: dict[str, Any]) -> list[bytes]:
    """The bits of all leaves."""
    plain = tree | {"key": jax.random.key_data(tree["key"])}
    return [np.asarray(plain[name]).tobytes() for name in sorted(plain)]


def damage(kind: str, file: Path, older: dict[str, bytes], chance: random.Random) -> None:
    """Harm one file."""
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    if kind == "gone":
        file.unlink()
        return
    if kind == "bit":
        content[place] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "zeros":
        end = min(len(content), place + chance.randrange(1, 500))
        content[place:end] = bytes(end - place)
    elif kind == "hole":
        del content[place : place + chance.randrange(1, 50)]
    else:
        content = bytearray(older[file.name])
    file.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
