import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from evojax_align import _checks
from evojax_align.evolution import express
from evojax_align.evolution import graph as graphs
from evojax_align.evolution.wann.graph import ACTIVATIONS

NAMES = tuple(ACTIVATIONS)
VALUES = (-2.0, -0.5, 1.0)
EVENT = 1000
PLAIN = {
    "linear": lambda x: x,
    "sine": lambda x: np.sin(np.pi * x),
    "gaussian": lambda x: np.exp(-x * x / 2),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "inverse": lambda x: -x,
    "absolute": np.abs,
    "relu": lambda x: np.maximum(x, 0),
    "cosine": lambda x: np.cos(np.pi * x),
    "step": lambda x: (x > 0) * 1.0,
}


split = jax.jit(graphs.split, static_argnums=2)
change = jax.jit(graphs.change, static_argnums=2)
connect, enable, cross = jax.jit(graphs.connect), jax.jit(graphs.enable), jax.jit(graphs.cross)


@jax.jit
def mutated(key, graph, event):
    key_kind, key = jax.random.split(key)
    ways = [
        lambda: graphs.connect(key, graph, event),
        lambda: graphs.split(key, graph, len(NAMES), event),
        lambda: graphs.enable(key, graph),
        lambda: graphs.change(key, graph, len(NAMES)),
    ]
    return jax.lax.switch(jax.random.randint(key_kind, (), 0, 4), ways)


def grown(seed, steps, *, hidden=20, genes=80):
    """A graph after so many mutations."""
    graph = graphs.minimal(jax.random.key(seed), 3, 2, hidden=hidden, genes=genes, enabled=0.6)
    for step in range(steps):
        graph = mutated(jax.random.fold_in(jax.random.key(seed + 1), step), graph, jnp.array(EVENT + 2 * step))
    return graph


def edges(graph, *, enabled=True):
    """Connections as a list of (source, target)."""
    chosen = np.asarray(graph.enabled if enabled else graph.innovation >= 0)
    return list(zip(np.asarray(graph.source)[chosen].tolist(), np.asarray(graph.target)[chosen].tolist(), strict=True))


def answered(graph, x, value):
    """The outputs of one sample, node by node: each asks the nodes that lead to it."""
    names = [NAMES[kind] for kind in graph.activation.tolist()]
    leading = {}
    for source, target in edges(graph):
        leading.setdefault(target, []).append(source)
    given = [*x, 1.0]

    def says(node):
        if node < len(given):
            return float(given[node])
        return float(PLAIN[names[node - len(given)]](value * sum(says(source) for source in leading.get(node, []))))

    return [says(len(given) + output) for output in range(graph.outputs)]


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))]


def same(new, old):
    for ours, theirs in zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_network_answers_as_one_that_is_asked_node_by_node(seed):
    graph = grown(seed, 25)
    x = jax.random.normal(jax.random.key(9), (4, 3))
    found = graphs.forward(graph, jnp.array(VALUES), NAMES)(x[None])
    plain = np.array([[answered(graph, sample, value) for sample in np.asarray(x)] for value in VALUES])
    np.testing.assert_allclose(found, plain, rtol=2e-4, atol=2e-4)
    more = jax.tree.map(lambda count: count + 7, graphs.steps_of(graph))
    np.testing.assert_array_equal(graphs.forward(graph, jnp.array(VALUES), NAMES, more)(x[None]), found)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 32])
@pytest.mark.parametrize("seed", SEEDS)
def test_on_an_accelerator_a_network_answers_the_same_by_blocks_of_nodes(seed, size, monkeypatch):
    graph = grown(seed, 25)
    x = jax.random.normal(jax.random.key(9), (1, 4, 3))
    values, more = jnp.array(VALUES), jax.tree.map(lambda count: count + 7, graphs.steps_of(graph))
    expected = graphs.forward(graph, values, NAMES)(x)
    monkeypatch.setattr("evojax_align.evolution.wann.graph.running.BLOCK", size)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *arrays, cpu, default: default(*arrays))
    layers = int(jnp.max(graph.layer))
    assert int(graphs.steps_of(graph).blocks) >= layers + (size == 1)  # several blocks in a layer
    for steps in (None, more):
        np.testing.assert_allclose(graphs.forward(graph, values, NAMES, steps)(x), expected, rtol=1e-5, atol=1e-5)


def test_steps_are_counted_by_hand():
    """Ten inputs lead to 9 outputs each by its own gene; a split puts a node in the place of one of them."""
    graph = graphs.minimal(jax.random.key(0), 9, 9, hidden=6, genes=130, enabled=1.0)
    assert [int(count) for count in jax.tree.leaves(graphs.steps_of(graph))] == [90, 9, 1]
    for number in range(5):
        graph = graphs.split(jax.random.key(number), graph, 1, jnp.array(90 + 2 * number))
    inner = int(jnp.sum(graph.enabled & (graph.source > 9)))
    found = graphs.steps_of(graph)
    assert int(found.inputs) == int(graph.connections) - inner and int(found.sums) == 14
    assert int(found.blocks) == int(jnp.max(graph.layer))


def test_values_that_would_overflow_are_limited_alike_on_every_platform(monkeypatch):
    """A chain of linear nodes that doubles its input from 1e28, and an output to which none of them leads."""
    graph = graphs.minimal(jax.random.key(0), 1, 2, hidden=20, genes=60, enabled=1.0)
    graph = graph.replace(enabled=jnp.arange(60) == 0)
    for number in range(20):
        graph = graphs.split(jax.random.key(number), graph, 1, jnp.array(4 + 2 * number))
    x, values, linear = jnp.array([[[1e35]]]), jnp.array([2.0, -2.0]), ("linear",)
    found = graphs.forward(graph, values, linear)(x)
    assert found.shape == (2, 1, 2) and (found[..., 1] == 0).all() and (abs(found[..., 0]) > 1e28).all()
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *arrays, cpu, default: default(*arrays))
    np.testing.assert_allclose(graphs.forward(graph, values, linear)(x), found, rtol=1e-6)


def test_more_steps_than_a_full_graph_has_change_nothing():
    full = graphs.minimal(jax.random.key(0), 2, 1, hidden=1, genes=3, enabled=1.0)
    more = jax.tree.map(lambda count: count + 7, graphs.steps_of(full))
    run = graphs.forward(full, jnp.array([1.0, -2.0]), ("linear",), more)
    assert run(jnp.array([[[2.0, 3.0]]]))[:, 0, 0].tolist() == [6.0, -12.0]


def test_a_node_to_which_many_nodes_lead_takes_several_sums():
    graph = graphs.minimal(jax.random.key(0), 1, 1, hidden=9, genes=40, enabled=1.0)
    for number in range(9):  # each new node takes the place of the connection of the input or of the bias
        gene = jnp.arange(40) < 2
        graph = graph.replace(enabled=graph.enabled | gene)
        only = graph.replace(enabled=gene & (jnp.arange(40) == number % 2))
        split = graphs.split(jax.random.key(number), only, 1, jnp.array(2 + 2 * number))
        graph = split.replace(enabled=graph.enabled | split.enabled)
    found = graphs.steps_of(graph)  # nine nodes lead to the output: three sums, and one for each node
    assert int(found.sums) == 9 + 9 // 4 + 1 and int(found.blocks) == 2
    x = jnp.array([[[2.0]]])
    assert graphs.forward(graph, jnp.array([1.0]), ("linear",))(x).item() == 3 + 5 * 2 + 4 * 1


def test_for_a_gpu_the_loop_runs_over_blocks_and_for_a_cpu_over_connections():
    leaves, tree = jax.tree.flatten(grown(0, 25))  # records refuse what stands for an array
    run = jax.jit(lambda x, *leaves: graphs.forward(tree.unflatten(leaves), jnp.array(VALUES), NAMES)(x))
    traced = run.trace(jnp.zeros((1, 4, 3)), *leaves)
    of_gpu, of_cpu = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cuda", "cpu"))
    assert of_gpu.count("stablehlo.while") == 1 and of_cpu.count("stablehlo.while") == 2
    assert "dot_general" in of_gpu and "dot_general" not in of_cpu


def test_inputs_may_differ_at_each_value():
    graph = grown(3, 20)
    run = graphs.forward(graph, jnp.array(VALUES), NAMES)
    x = jax.random.normal(jax.random.key(9), (3, 5, 3))
    one_by_one = [run(x[number][None])[number] for number in range(3)]
    np.testing.assert_allclose(run(x), jnp.stack(one_by_one), rtol=1e-5, atol=1e-6)


def test_inputs_of_half_precision_are_answered_in_it():
    run = graphs.forward(grown(3, 20), jnp.array(VALUES), NAMES)
    x = jax.random.normal(jax.random.key(9), (1, 5, 3))
    half = run(x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), run(x), rtol=0.1, atol=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_there_is_never_a_cycle_and_layers_are_longest_ways(seed):
    graph = graphs.minimal(jax.random.key(seed), 3, 2, hidden=20, genes=80, enabled=0.6)
    for step in range(40):
        graph = mutated(jax.random.fold_in(jax.random.key(seed), step), graph, jnp.array(EVENT + 2 * step))
        layer, known = np.asarray(graph.layer), edges(graph, enabled=False)
        assert len(set(known)) == len(known)
        first, hidden = graph.inputs + 1, int(graph.hidden)
        names = list(range(first + graph.outputs, first + graph.outputs + hidden))
        longest = dict.fromkeys(range(first), 0)
        while len(longest) < first + hidden:  # would not end in a cycle
            ready = [n for n in names if n not in longest and all(s in longest for s, t in known if t == n)]
            assert ready
            longest |= {n: 1 + max(longest[s] for s, t in known if t == n) for n in ready}
        assert [longest[n] for n in (*range(first), *names)] == layer[[*range(first), *names]].tolist()
        assert set(layer[first : first + graph.outputs]) == {max(longest.values()) + 1}
        assert np.all(layer[first + graph.outputs + hidden :] == -1)


def test_splitting_puts_a_node_between_and_enables_one_connection_more():
    graph = grown(0, 10)
    new = split(jax.random.key(5), graph, len(NAMES), jnp.array(EVENT + 500))
    (lost,) = set(edges(graph)) - set(edges(new))
    node = graph.inputs + 1 + graph.outputs + int(graph.hidden)
    assert set(edges(new)) - set(edges(graph)) == {(lost[0], node), (node, lost[1])}
    assert int(new.hidden) == int(graph.hidden) + 1 and int(new.genes) == int(graph.genes) + 2
    assert new.innovation[new.innovation >= 0].tolist() == sorted(new.innovation[new.innovation >= 0].tolist())


def test_connecting_draws_all_sources_that_can_lead_further_alike():
    graph = grown(1, 14)
    layer, known = np.asarray(graph.layer), set(edges(graph, enabled=False))
    open_to = {
        source: [t for t in range(len(layer)) if layer[t] > layer[source] and (source, t) not in known]
        for source in range(len(layer))
        if layer[source] >= 0
    }
    open_to = {source: targets for source, targets in open_to.items() if targets}
    keys = jax.random.split(jax.random.key(2), 4000)
    place = int(graph.genes)
    drawn = jax.jit(jax.vmap(lambda key: graphs.connect(key, graph, jnp.array(EVENT + 500))))(keys)
    sources, targets = np.asarray(drawn.source[:, place]), np.asarray(drawn.target[:, place])
    assert set(zip(sources.tolist(), targets.tolist(), strict=True)) == {(s, t) for s in open_to for t in open_to[s]}
    shares = np.array([np.mean(sources == source) for source in open_to])
    np.testing.assert_allclose(shares, 1 / len(open_to), atol=5 * np.sqrt(1 / len(open_to) / 4000))


def test_where_nothing_can_be_connected_nothing_happens():
    graph = graphs.minimal(jax.random.key(0), 3, 2, hidden=4, genes=20, enabled=0.5)  # all is connected, if not enabled
    for new in (connect(jax.random.key(1), graph, jnp.array(99)), change(jax.random.key(1), graph, 3)):
        same(new, graph)
    silent = graphs.minimal(jax.random.key(0), 3, 2, hidden=4, genes=20, enabled=0.0)
    new = split(jax.random.key(1), silent, 3, jnp.array(99))
    same(new, silent)
    assert int(enable(jax.random.key(1), silent).connections) == 1


@pytest.mark.slow
def test_a_full_graph_stays_as_it_is_and_grows_on_once_it_is_enlarged():
    graph = grown(2, 60, hidden=3, genes=16)
    assert int(graph.hidden) <= 3 and int(graph.genes) <= 16
    full = split(jax.random.key(1), graph, 3, jnp.array(5000))
    same(full, graph)
    larger = graphs.enlarge(graph, hidden=8, genes=40)
    x = jax.random.normal(jax.random.key(9), (1, 4, 3))
    before, after = (graphs.forward(one, jnp.array(VALUES), NAMES)(x) for one in (graph, larger))
    np.testing.assert_array_equal(before, after)
    assert int(split(jax.random.key(1), larger, 3, jnp.array(5000)).hidden) == int(graph.hidden) + 1
    with pytest.raises(ValueError, match="A capacity cannot be reduced"):
        graphs.enlarge(graph, hidden=2, genes=40)


def test_crossing_keeps_the_structure_of_the_first_and_mixes_what_both_have():
    base = grown(4, 12)
    a = mutated(jax.random.key(50), base, jnp.array(7000))
    b = enable(jax.random.key(8), change(jax.random.key(51), base, len(NAMES)))
    children = [cross(jax.random.key(number), a, b) for number in range(30)]
    for child in children:
        for name in ("source", "target", "innovation", "event", "layer"):
            np.testing.assert_array_equal(getattr(child, name), getattr(a, name))
        for gene in np.flatnonzero(np.asarray(a.innovation) >= 0):
            same = np.flatnonzero(np.asarray(b.innovation) == int(a.innovation[gene]))
            either = {bool(a.enabled[gene]), *(bool(b.enabled[place]) for place in same)}
            assert bool(child.enabled[gene]) in either
    assert len({np.asarray(child.enabled).tobytes() for child in children}) > 1
    assert len({np.asarray(child.activation).tobytes() for child in children}) > 1


def test_capacity_below_the_first_genes_is_refused():
    with pytest.raises(ValueError, match="at least 8"):
        graphs.minimal(jax.random.key(0), 3, 2, hidden=4, genes=7, enabled=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_expressed_answers_as_the_graph_and_has_gradients(seed):
    graph = grown(seed, 25)
    network = express(graph, NAMES)
    x = jax.random.normal(jax.random.key(9), (6, 3))
    found = graphs.forward(graph, jnp.array(VALUES), NAMES)(x[None])
    for value, ours in zip(VALUES, found, strict=True):
        np.testing.assert_allclose(network.apply(network.shared(value), x), ours, rtol=2e-4, atol=2e-4)
        matrices = network.dense(network.shared(value))
        np.testing.assert_allclose(network.apply_dense(matrices, x), ours, rtol=2e-4, atol=2e-4)
    assert network.connections <= int(graph.connections)
    assert sum(int(jnp.sum(m != 0)) for m in matrices.values()) == network.connections
    assert np.all(network.layer[network.source] < network.layer[network.target])
    params = network.shared(0.3)
    slope = jax.grad(lambda p: jnp.sum(network.apply(p, x) ** 2))(params)["weights"]
    step = 1e-2 * jax.random.normal(jax.random.key(1), slope.shape)
    ends = [jnp.sum(network.apply({"weights": params["weights"] + s * step}, x) ** 2) for s in (1, -1)]
    np.testing.assert_allclose((ends[0] - ends[1]) / 2, jnp.sum(slope * step), rtol=5e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_all_nodes_together_answer_as_one_after_the_other_with_gradients_too(seed):
    graph = grown(seed, 25)
    network, layers = express(graph, NAMES), int(graph.layer.max())
    x = jax.random.normal(jax.random.key(9), (6, 3))
    for value in VALUES:
        together = graphs.apply(graph, jnp.full(graph.source.shape, value), x, NAMES, layers + 2)
        np.testing.assert_allclose(together, network.apply(network.shared(value), x), rtol=2e-4, atol=2e-4)

    def loss(weights):
        return jnp.sum(graphs.apply(graph, weights, x, NAMES, layers) ** 2)

    slope = jax.grad(loss)(jnp.full(graph.source.shape, 0.3))
    assert np.all(np.asarray(slope)[~np.asarray(graph.enabled)] == 0)
    theirs = jax.grad(lambda p: jnp.sum(network.apply(p, x) ** 2))(network.shared(0.3))["weights"]
    np.testing.assert_allclose(np.sort(slope[slope != 0]), np.sort(theirs[theirs != 0]), rtol=1e-3, atol=1e-4)


def test_inputs_and_weights_that_do_not_fit_are_refused():
    network = express(grown(0, 10), NAMES)
    with pytest.raises(ValueError, match="expected 3"):
        network.apply(network.shared(1.0), jnp.ones((2, 4)))
    with pytest.raises(ValueError, match="Start from `shared"):
        network.apply({"weights": jnp.ones(3)}, jnp.ones((2, 3)))


def test_expressing_a_traced_graph_is_refused_by_name():
    with pytest.raises(_checks.NeedsValues, match=r"^express needs concrete values .*graph\.forward"):
        jax.jit(lambda graph: express(graph, NAMES).apply({"weights": jnp.ones(8)}, jnp.ones((1, 3))))(grown(0, 1))


WAYS = {
    "connect": lambda key, graph: graphs.connect(key, graph, jnp.array(EVENT)),
    "split": lambda key, graph: graphs.split(key, graph, len(NAMES), jnp.array(EVENT)),
    "enable": graphs.enable,
    "change": lambda key, graph: graphs.change(key, graph, len(NAMES)),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_mutations_of_graphs_stay_in_32_bits_in_64_bit_mode(way):
    graph = grown(0, 6)
    with jax.enable_x64(True):
        found = WAYS[way](jax.random.key(3), graph)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.int32), jnp.dtype(bool)}
        assert found.connections.dtype == jnp.int32


@pytest.mark.slow
@pytest.mark.parametrize("way", ["connect", "split"])
def test_a_shard_map_gives_each_device_its_own_mutation_of_one_graph(way):
    graph, mesh, spec = (
        grown(0, 6),
        jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,)),
        PartitionSpec("devices"),
    )

    def mutants(keys):
        return jax.lax.map(lambda key: WAYS[way](key, graph), keys)

    keys = jax.random.split(jax.random.key(3), 2)
    found = jax.jit(jax.shard_map(mutants, mesh=mesh, in_specs=spec, out_specs=spec))(keys)
    expected = jax.vmap(lambda key: WAYS[way](key, graph))(keys)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
