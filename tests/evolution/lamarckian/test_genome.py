"""What an architecture search may visit, and how it gets from one network to the next."""

from collections import Counter

import jax
import numpy as np
import pytest

from evojax_align import _checks
from evojax_align.evolution import Block, Exhausted, Genome, Space
from evojax_align.evolution.lamarckian.genome import KINDS, draw

SPACE = Space(filters=(4, 8), longest=3)


def genome(*architecture):
    return Genome(tuple(Block(number, *block) for number, block in enumerate(architecture)))


def by_trial(space, parent, seen, random):
    """The rule of the paper, to the letter: draw until the network is new."""
    while True:
        kind = random.choice(KINDS, p=np.array(space.frequencies) / sum(space.frequencies))
        blocks = list(parent.blocks)
        place = int(random.integers(len(blocks)))
        if kind == "add block":
            new = Block(99, int(random.choice(space.filters)), int(random.choice(space.windows)), 1)
            blocks.insert(random.integers(len(blocks) + 1), new)
            child = Genome(tuple(blocks))
        elif kind == "remove block":
            del blocks[place]
            child = Genome(tuple(blocks))
        elif kind in ("add filters", "remove filters"):
            number = space.filters.index(blocks[place].filters) + (1 if kind == "add filters" else -1)
            if not 0 <= number < len(space.filters):
                continue
            child = parent.replaced(place, filters=space.filters[number])
        elif kind == "change window":
            child = parent.replaced(place, window=int(random.choice(space.windows)))
        else:
            child = parent.replaced(place, stride=int(random.choice(space.strides)))
        if child != parent and space.allows(child) and child.architecture not in seen:
            return kind, child.architecture


@pytest.mark.parametrize("count", [800, pytest.param(4000, marks=pytest.mark.slow)])
def test_mutations_are_as_likely_as_by_drawing_until_one_is_new(count):
    parent = genome((4, 3, 1), (8, 1, 2))
    seen = {parent.architecture, ((8, 3, 1), (8, 1, 2)), ((4, 3, 1),)}
    random = np.random.default_rng(0)
    expected = Counter(by_trial(SPACE, parent, seen, random) for _ in range(count))
    found = Counter()
    for number in range(count):
        kind, child = SPACE.mutate(jax.random.key(number), parent, seen=seen, identity=99)
        found[kind, child.architecture] += 1
    assert set(found) == set(expected)
    for outcome, times in expected.items():
        assert abs(found[outcome] - times) < 5 * np.sqrt(times + found[outcome])


def test_a_walk_never_leaves_the_space_and_never_comes_back():
    child, seen = SPACE.first(jax.random.key(0)), set()
    for number in range(60):
        assert SPACE.allows(child) and child.architecture not in seen
        assert len({block.identity for block in child.blocks}) == len(child.blocks)
        seen.add(child.architecture)
        _, child = SPACE.mutate(jax.random.key(number), child, seen=seen, identity=number + 1)


def test_every_mutation_changes_the_network_in_its_own_way():
    parent = genome((8, 3, 1), (4, 5, 2))
    for number in range(200):
        kind, child = SPACE.mutate(jax.random.key(number), parent, seen=set(), identity=7)
        before, after = parent.blocks, child.blocks
        kept = [block for block in after if block in before]
        if kind == "add block":
            (new,) = (block for block in after if block not in before)
            assert kept == list(before) and (new.identity, new.stride) == (7, 1)
        elif kind == "remove block":
            assert len(after) == 1 and kept == list(after)
        else:
            ((old, new),) = ((p, q) for p, q in zip(before, after, strict=True) if p != q)
            name = {"window": "window", "stride": "stride"}.get(kind.split()[1], "filters")
            assert new == Genome((old,)).replaced(0, **{name: getattr(new, name)}).blocks[0]
            if name == "filters":
                assert (new.filters > old.filters) == (kind == "add filters")


def test_strides_of_two_are_limited():
    parent = genome((4, 3, 2), (8, 3, 2))
    space = Space(filters=(4, 8), halvings=2)
    kinds = {space.mutate(jax.random.key(n), parent, seen=set(), identity=9)[0] for n in range(200)}
    assert kinds == set(KINDS)  # of the strides, back to 1
    children = [space.mutate(jax.random.key(n), parent, seen=set(), identity=9)[1] for n in range(200)]
    assert max(sum(block.stride == 2 for block in child.blocks) for child in children) == 2


def test_where_all_is_known_the_search_ends_with_an_error():
    space = Space(filters=(4,), windows=(1, 3), strides=(1,), longest=1)
    parent = genome((4, 3, 1))
    with pytest.raises(Exhausted, match=r"^space: got a network of 1 blocks all of whose"):
        space.mutate(jax.random.key(0), parent, seen={((4, 1, 1),), parent.architecture}, identity=1)
    with pytest.raises(Exhausted, match=r"^space: got 2 single blocks"):
        space.first(jax.random.key(0), {((4, 1, 1),), parent.architecture})


def test_arrays_hold_a_whole_genome():
    parent = genome((8, 3, 1), (4, 5, 2))
    assert Genome.of(parent.genes) == parent and parent.genes.tolist() == [[0, 8, 3, 1], [1, 4, 5, 2]]


def test_draws_follow_their_weights():
    drawn = np.bincount([draw(jax.random.key(n), np.array([1, 0, 3])) for n in range(400)], minlength=3)
    assert drawn[1] == 0 and abs(drawn[0] - 100) < 45


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("filters", {"filters": (8, 4)}),
        ("filters", {"filters": ()}),
        ("windows", {"windows": (2, 3)}),
        ("strides, halvings", {"strides": (2,)}),
        ("strides, halvings", {"halvings": -1}),
        ("frequencies", {"frequencies": (1, 1)}),
        ("frequencies", {"frequencies": (0, 0, 0, 0, 0, 0)}),
        ("longest", {"longest": 0}),
    ],
)
def test_bad_spaces_are_refused(unchecked, argument, settings):
    with pytest.raises(ValueError, match=f"^{argument}: got"):
        Space(**settings)


def test_a_traced_key_is_refused_by_name(key):
    def first(key):
        return SPACE.first(key).genes

    def mutated(key):
        return SPACE.mutate(key, genome((4, 3, 1)), seen=(), identity=1)[1].genes

    for name, drawn in (("first", first), ("mutate", mutated)):
        with pytest.raises(_checks.NeedsValues, match=rf"^Space\.{name} needs concrete values and cannot be traced"):
            jax.jit(drawn)(key)
