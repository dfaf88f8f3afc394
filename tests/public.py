"""Every public function of the library, as a function of arrays, for tests that go through all of them."""

import types
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import (
    alignment,
    crossover,
    evolution,
    interpolation,
    matching,
    pruning,
    similarity,
    symmetry,
    training,
)
from evojax_align.evolution import diversity, encoding, fitness, graph, mutation, selection, tasks

HOST_PACKAGES = {
    "evolution.adapters": "packages that extras install",
    "data": "reads files",
    "interop": "arrays of NumPy and of PyTorch, and files",
    "lab": "folders, logs and checkpoints",
    "plotting": "matplotlib",
    "statistics": "tests of scipy, on NumPy arrays",
}
CLASSES = {
    "record of arrays": """
        alignment.Alignment alignment.GroupMatch alignment.ManyAlignment alignment.Relation alignment.Reordered
        alignment.UnequalAlignment crossover.Genes evolution.Births evolution.Evaluation evolution.Individual
        evolution.LamarckianState evolution.NeuroevolutionInfo evolution.NeuroevolutionState
        evolution.PadawannInfo evolution.PadawannOffspring evolution.PadawannState evolution.RecombinationInfo
        evolution.RecombinationOffspring evolution.RecombinationState evolution.SearchHistory evolution.SynthesisInfo
        evolution.SynthesisOffspring evolution.SynthesisState evolution.Topology evolution.WannInfo
        evolution.WannState evolution.encoding.Conception evolution.graph.Graph evolution.graph.Steps
        evolution.tasks.Links evolution.tasks.Pole evolution.tasks.Poles interpolation.Sweep matching.Injection
        matching.Matching matching.SemiMatching pruning.Answers pruning.Census pruning.Extract pruning.Rollouts
        pruning.Task similarity.CanonicalDirections similarity.Moments training.History training.InTraining
        training.Member training.Score
    """,
    "settings, fixed when a program is traced": """
        alignment.CCA alignment.Correlation alignment.DeadOnly alignment.Greedy alignment.Identity alignment.Loadings
        alignment.Method alignment.Mutual alignment.Semi alignment.Weights evolution.Aligned evolution.Block
        evolution.Encoding evolution.Fronts evolution.Gaussian evolution.Genome evolution.Islands
        evolution.LamarckianOffspring evolution.Mutation evolution.Niches evolution.ParentAlignment
        evolution.SafeGradient evolution.SafeRescaling evolution.Selection evolution.Space evolution.Tournament
        evolution.Truncation
        evolution.encoding.Encoding evolution.tasks.Control pruning.Synapses symmetry.Frozen symmetry.PermutationSpec
        training.Pieced
        """,
    "exception": "evolution.Exhausted",
    "host loop over networks of different shapes": "evolution.Lamarckian",
}
HOST_FUNCTIONS = {
    "alignment.align_many": "repeats rounds on the host until no partner changes",
    "alignment.align_unequal": "shapes of its result depend on the networks; NumPy gathers",
    "evolution.express": "layers of its result depend on the graph",
    "evolution.inherit": "NumPy, for shapes that change all the time",
    "evolution.splice": "shapes of its result depend on the cut",
    "interpolation.bend": "trains; its one program is lowered through `training.epoch`",
    "population.devices": "gives a mesh",
    "population.spread": "puts arrays on devices",
    "population.size": "gives a Python number",
    "pruning.extract": "shapes of its result depend on the masks",
    "pruning.find": "gives names of leaves",
    "similarity.one_blas_thread": "a context for calls on the host",
    "symmetry.infer": "gives a record that is no array",
    "training.begin_pieces": "runs one program for each piece",
    "training.evaluate_pieces": "runs one program for each piece",
    "training.finish": "looks at the number of epochs that ran",
    "training.fit": "compiles one epoch, `step_epoch`, and repeats it on the host",
    "training.fit_pieces": "runs one program for each piece",
    "training.init_pieces": "runs one program for each piece",
    "training.run_pieces": "runs one program for each piece",
    "training.train_pieces": "runs one program for each piece",
}


def product(w, x):
    """A network of one layer."""
    return x @ w


def public_names():
    """(name, object) of all that the package offers, each object once, under the package that it is documented in."""
    return sorted(_public(ea, ""))


def _public(module, prefix):
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    for name in getattr(module, "__all__", [name for name in own if not name.startswith("_")]):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            if prefix + name not in HOST_PACKAGES:
                yield from _public(value, f"{prefix}{name}.")
        elif callable(value) and (prefix or not hasattr(ea.alignment, name)):
            yield prefix + name, value


@cache
def calls(hidden=(18,)):
    """For each function that can be a program, or class whose objects can be called in one: a function of arrays, and
    arrays or their shapes.

    Args:
        hidden: widths of the layers of the network that most functions are called with; by default wider than what
            "auto" leaves to a compiled assignment on a CPU.
    """
    key, image = jax.random.key(0), jnp.zeros((2, 8, 8, 1))
    x, y = jax.random.uniform(jax.random.key(1), (40, 6)), jnp.arange(40) % 3
    data, task, halves, values = (x, y), pruning.Task(x, y), jnp.full(4, 0.5), (0.5, 1.0)
    network = ea.models.MLP(hidden=hidden, classes=3)
    apply, adam, kinds = network.apply, optax.adam(1e-3, eps_root=1e-8), ("linear", "tanh")

    def init_fn(key):
        return network.init(key, jnp.zeros((1, 6)))

    a = jax.eval_shape(init_fn, key)
    pop = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((4, *leaf.shape), leaf.dtype), a)
    masks = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, bool), a)
    spec, synapses, genes = symmetry.infer(apply, a, x), pruning.find(a), crossover.layer_genes(a)
    order = {group: jax.ShapeDtypeStruct((size,), jnp.int32) for group, size in spec.groups.items()}
    square, ts = jax.ShapeDtypeStruct((20, 20), jnp.float32), jnp.linspace(0.0, 1.0, 5)
    normed = ea.models.ResNet(width=4, blocks=1)
    normed = normed.apply, (jax.eval_shape(normed.init, key, image), image)
    masks_of_pop = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, bool), pop)
    known = {"spec": spec, "verify": False}
    # Of few directions: in 64 bits a few more rise above rounding noise, and are matched.
    main_directions = alignment.CCA(rank=min((8, *hidden)), ridge=0.1)

    def relations(a, b):
        return alignment.relate(spec, apply, a, b, x)

    def moments(x):
        return similarity.moments(x, jnp.sin(5 * x) + x[::-1] ** 2)

    def a_graph(key):
        return graph.minimal(key, 6, 3, hidden=4, genes=40, enabled=0.5)

    remembering = ea.models.Recurrent(4)

    def module(module, x):
        shapes = jax.eval_shape(module.init, key, x)  # not drawn, which would compile; variances are above 0
        return module.apply, (jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1, leaf.dtype), shapes), x)

    mixing = evolution.Recombination(
        apply, init_fn, genes, adam, size=4, batch_size=20, alignment="correlation", spec=spec
    )
    sparse = evolution.Synthesis(apply, init_fn, synapses, adam, batch_size=20, alignment="correlation", spec=spec)
    padawann = evolution.Padawann(apply, synapses, size=4, tournament=2)
    wann = evolution.Wann(6, 3, tasks.Classification(20), size=8, hidden=4, tournament=2, enabled=0.5)
    expressed = evolution.Expressed(2, 1, (("tanh",), ("linear",)), np.array([0, 1, 3]), np.array([3, 3, 4]))

    def generation_of_padawann(key, a):
        kept = jax.tree.map(lambda leaf: leaf[None], pruning.basis(synapses, a))
        return padawann.step(key, padawann.init(key, kept, [task]), [task])

    ga = evolution.Neuroevolution(apply, size=4, crossover="neurons", alignment="mutual", probe=x)

    def small(key, params):
        return -jnp.mean(apply(params, x) ** 2)

    def one_epoch(pop, key):
        members = training.init(pop, adam, epochs=1, key=key)
        return training.step_epoch(apply, members, data, adam, batch_size=20)

    def conceived(key, pop, masks):
        settings = {"shares": halves / 2, "synapse_factor": 0.7, "cluster_factor": 0.9}
        return encoding.conceive(key, synapses, pop, masks, **settings)

    def of_founders(pop):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.int32), pop)

    return {
        "alignment.align": (lambda a, b: alignment.align(apply, a, b, x, **known), (a, a)),
        "alignment.align, by weights": (
            lambda a, b: alignment.align(apply, a, b, x, method="weights", **known),
            (a, a),
        ),
        "alignment.align_pairs": (lambda p, q: alignment.align_pairs(apply, p, q, x, **known), (pop, pop)),
        "alignment.align_pairs, by CCA": (
            lambda p, q: alignment.align_pairs(apply, p, q, x, method=main_directions, **known),
            (pop, pop),
        ),
        "alignment.align_to": (lambda a, pop: alignment.align_to(apply, a, pop, x, spec=spec), (a, pop)),
        "alignment.match": (lambda a, b: alignment.match(relations(a, b)), (a, a)),
        "alignment.match, many pairs": (lambda p, q: alignment.match(jax.vmap(relations)(p, q)), (pop, pop)),
        "alignment.match_weights": (
            lambda a, b, order: alignment.match_weights(spec, a, b, order, restarts=2),
            (a, a, order),
        ),
        "alignment.rearrange": (
            lambda a, b: alignment.rearrange(spec, a, b, alignment.match(relations(a, b), "none")),
            (a, a),
        ),
        "alignment.reestimate": (partial(alignment.reestimate, *normed[:1]), normed[1]),
        "alignment.relate": (partial(alignment.relate, spec, apply), (a, a, x)),
        "alignment.relate, many pairs": (partial(alignment.relate, spec, apply), (pop, pop, x)),
        "alignment.repair": (partial(alignment.repair, apply), (a, a, a, x)),
        "attacks.fgsm": (partial(ea.attacks.fgsm, apply, epsilon=0.1), (a, x, y)),
        "attacks.pgd": (lambda a, x, key: ea.attacks.pgd(apply, a, x, y, epsilon=0.1, key=key), (a, x, key)),
        "crossover.arithmetic": (crossover.arithmetic, (a, a, 0.5)),
        "crossover.average": (crossover.average, (pop,)),
        "crossover.block_genes": (crossover.block_genes, (a,)),
        "crossover.blocks": (crossover.blocks, (key, a, a)),
        "crossover.layer_genes": (crossover.layer_genes, (a,)),
        "crossover.layers": (crossover.layers, (key, a, a)),
        "crossover.lerp": (crossover.lerp, (x, x, 0.5)),
        "crossover.line": (crossover.line, (key, a, a)),
        "crossover.mix": (partial(crossover.mix, genes), (jnp.arange(len(genes.names)) < 1, a, a)),
        "crossover.neuron_genes": (lambda a: crossover.neuron_genes(a, spec=spec), (a,)),
        "crossover.neurons": (partial(crossover.neurons, spec=spec), (key, a, a)),
        "crossover.one_point": (crossover.one_point, (key, a, a)),
        "crossover.spherical": (partial(crossover.spherical, split=9), (a, a, 0.5)),
        "crossover.spherical_split": (crossover.spherical_split, (key, a, a)),
        "crossover.uniform": (crossover.uniform, (key, a, a)),
        "evolution.Expressed": (expressed.apply, ({"weights": jnp.ones(3)}, x[:, :2])),
        "evolution.Neuroevolution": (lambda key, pop: ga.step(key, ga.init(key, pop, small), small), (key, pop)),
        "evolution.Padawann": (generation_of_padawann, (key, a)),
        "evolution.Recombination": (lambda key: mixing.step(key, mixing.init(key, data), data, data), (key,)),
        "evolution.Synthesis": (lambda key: sparse.step(key, sparse.init(key, data, data), data, data), (key,)),
        "evolution.Wann": (lambda key: wann.step(key, wann.init(key, data), data), (key,)),
        "evolution.diversity.clusters": (diversity.clusters, (square,)),
        "evolution.diversity.cosines": (lambda pop: diversity.cosines(pop, genes), (pop,)),
        "evolution.diversity.disagreement": (diversity.disagreement, (jnp.zeros((4, 9), jnp.int32),)),
        "evolution.diversity.effective_alleles": (
            lambda pop: diversity.effective_alleles(of_founders(pop), genes),
            (pop,),
        ),
        "evolution.diversity.mean_of_pairs": (diversity.mean_of_pairs, (square,)),
        "evolution.diversity.principal_components": (diversity.principal_components, (x,)),
        "evolution.diversity.scored": (
            lambda f, m: diversity.scored("sharing", f, 0.1, alike=m, hybrid=f, differ=m),
            (halves, jnp.ones((4, 4))),
        ),
        "evolution.diversity.within_pairs": (lambda a, b: diversity.within_pairs(a, b, genes), (a, a)),
        "evolution.encoding.calibrated": (encoding.calibrated, (halves, 0.5, halves)),
        "evolution.encoding.conceive": (conceived, (key, pop, masks_of_pop)),
        "evolution.fitness.accuracies": (partial(fitness.accuracies, apply), (pop, x, y)),
        "evolution.fitness.fitness_of": (partial(fitness.fitness_of, apply), (a, x, y)),
        "evolution.fitness.joint": (lambda found: fitness.joint("ratio", found, [10, 20]), (halves[:2],)),
        "evolution.graph.apply": (lambda key, w: graph.apply(a_graph(key), w, x, kinds, layers=2), (key, jnp.ones(40))),
        "evolution.graph.change": (lambda key: graph.change(key, a_graph(key), 2), (key,)),
        "evolution.graph.connect": (lambda key, event: graph.connect(key, a_graph(key), event), (key, y[0])),
        "evolution.graph.cross": (lambda key: graph.cross(key, a_graph(key), a_graph(key)), (key,)),
        "evolution.graph.enable": (lambda key: graph.enable(key, a_graph(key)), (key,)),
        "evolution.graph.enlarge": (lambda key: graph.enlarge(a_graph(key), hidden=6, genes=50), (key,)),
        "evolution.graph.forward": (lambda key: graph.forward(a_graph(key), halves, kinds)(x[None]), (key,)),
        "evolution.graph.layered": (lambda key: graph.layered(a_graph(key)), (key,)),
        "evolution.graph.minimal": (a_graph, (key,)),
        "evolution.graph.steps_of": (lambda key: graph.steps_of(a_graph(key)), (key,)),
        "evolution.graph.split": (lambda key, event: graph.split(key, a_graph(key), 2, event), (key, y[0])),
        "evolution.mutation.gaussian": (lambda key, a: mutation.gaussian(key, a, genes, scale=0.1), (key, a)),
        "evolution.mutation.isotropic": (partial(mutation.isotropic, scale=0.1), (key, a)),
        "evolution.mutation.mean_square": (mutation.mean_square, (x, x**2)),
        "evolution.mutation.safe_gradient": (
            lambda key, a: mutation.safe_gradient(key, apply, a, x, scale=0.1),
            (key, a),
        ),
        "evolution.mutation.safe_gradient, second": (
            lambda key, a: mutation.safe_gradient(key, apply, a, x, scale=0.1, kind="second"),
            (key, a),
        ),
        "evolution.mutation.safe_rescaling": (
            lambda key, a: mutation.safe_rescaling(key, apply, a, x, divergence=0.1),
            (key, a),
        ),
        "evolution.mutation.sensitivity": (partial(mutation.sensitivity, apply, chunk=2), (a, x)),
        "evolution.mutation.sensitivity, absolute": (
            partial(mutation.sensitivity, apply, kind="absolute", chunk=7),
            (a, x),
        ),
        "evolution.selection.attraction": (lambda s, first: selection.attraction(s, first), (x, y[0])),
        "evolution.selection.best": (lambda f: selection.best(f, 2), (halves,)),
        "evolution.selection.by_dominance": (selection.by_dominance, (x,)),
        "evolution.selection.competition": (selection.competition, (x,)),
        "evolution.selection.couples": (lambda key, pool: selection.couples(key, pool, 2), (key, jnp.arange(4))),
        "evolution.selection.crowding": (selection.crowding, (x, y)),
        "evolution.selection.failed_last": (selection.failed_last, (halves,)),
        "evolution.selection.fronts": (selection.fronts, (x,)),
        "evolution.selection.proportional": (lambda key, f: selection.proportional(key, f, 3), (key, halves)),
        "evolution.selection.survivors": (lambda f: selection.survivors(f, 9), (x,)),
        "evolution.selection.tournaments": (lambda key, f: selection.tournaments(key, f, 2, 3), (key, halves)),
        "evolution.tasks.Acrobot": (
            lambda key, w: tasks.Acrobot(limit=4).fitness(product)(key, w),
            (key, jnp.ones((6, 1))),
        ),
        "evolution.tasks.Classification": (
            lambda key: tasks.Classification(20)(key, graph.forward(a_graph(key), halves, kinds), data),
            (key,),
        ),
        "evolution.tasks.DoublePole": (
            lambda key, w: tasks.DoublePole(velocities=False, limit=4).fitness(product)(key, w),
            (key, jnp.ones((3, 1))),
        ),
        "evolution.tasks.Fitness": (
            lambda key, p: tasks.SwingUp(limit=5).fitness(remembering)(key, p),
            (key, jax.eval_shape(remembering.init, key, jnp.zeros((1, 1, 5)))),
        ),
        "evolution.tasks.Supervised": (
            lambda key, a: tasks.Supervised(batch=10).fitness(apply, visited=4)(key, a, data),
            (key, a),
        ),
        "evolution.tasks.SupervisedFitness": (
            lambda key, a: tasks.Supervised(loss=training.cross_entropy).fitness(apply)(key, a, data),
            (key, a),
        ),
        "evolution.tasks.SwingUp": (
            lambda key, w: tasks.SwingUp(limit=5)(key, lambda seen: seen @ w),
            (key, jnp.ones((5, 1))),
        ),
        "interpolation.barrier": (lambda v: interpolation.barrier(interpolation.Sweep(ts, v, v)), (ts,)),
        "interpolation.bezier": (interpolation.bezier, (a, a, a, 0.5)),
        "interpolation.sweep": (partial(interpolation.sweep, apply, ts=ts), (a, a, x, y)),
        "interpolation.sweep, all t at once": (
            partial(interpolation.sweep, apply, ts=ts, strategy="vmap"),
            (a, a, x, y),
        ),
        "interpolation.sweep_curve": (partial(interpolation.sweep_curve, apply, ts=ts), (a, a, a, x, y)),
        "interpolation.sweep_pairs": (partial(interpolation.sweep_pairs, apply, ts=ts), (pop, pop, x, y)),
        "matching.canonical": (matching.canonical, (square, square)),
        "matching.greedy_index": (matching.greedy_index, (square,)),
        "matching.injective": (lambda scores: matching.injective(scores[:18]), (square,)),
        "matching.mutual": (matching.mutual, (square,)),
        "matching.one_to_one": (
            lambda scores, x, y: matching.one_to_one(scores, dead_x=x, dead_y=y),
            (square, jnp.arange(20) < 2, jnp.arange(20) < 2),
        ),
        "matching.semi": (matching.semi, (square,)),
        "models.BlockCNN": module(ea.models.BlockCNN(((4, 3, 1),), classes=3), image),
        "models.Conv": module(ea.models.Conv(4, (3, 3)), image),
        "models.LeNet": module(ea.models.LeNet((4, 4, 4, 8)), jnp.zeros((2, 16, 16, 1))),
        "models.LeNet5": module(ea.models.LeNet5(), jnp.zeros((2, 28, 28, 1))),
        "models.MLP": (apply, (a, x)),
        "models.MnistNet": module(ea.models.MnistNet(), jnp.zeros((2, 28, 28, 1))),
        "models.Recurrent": module(ea.models.Recurrent(4, 2), jnp.zeros((2, 5, 3))),
        "models.ResNet": module(ea.models.ResNet(width=4, blocks=1), image),
        "models.SplitMLP": module(ea.models.SplitMLP(8, (4, 4), 3), x),
        "models.VGG": module(ea.models.VGG(((4,),)), image),
        "models.conv": (ea.models.conv, (image, jnp.ones((3, 3, 1, 2)))),
        "models.max_pool": (lambda x: ea.models.max_pool(x, (2, 2)), (image,)),
        "population.init": (lambda key: ea.population.init(init_fn, key, 4), (key,)),
        "population.map": (lambda pop: ea.population.map(lambda p: apply(p, x), pop), (pop,)),
        "population.pairs": (ea.population.pairs, (pop,)),
        "population.split": (ea.population.split, (x,)),
        "population.stack": (lambda a, b: ea.population.stack([a, b]), (a, a)),
        "population.take": (ea.population.take, (pop, jnp.array([2, 0]))),
        "population.unstack": (ea.population.unstack, (pop,)),
        "pruning.answers": (lambda k: pruning.answers(apply, synapses, k, values, task), (a,)),
        "pruning.at_random": (lambda key, m: pruning.at_random(key, synapses, m, 5), (key, masks)),
        "pruning.at_value": (lambda k: pruning.at_value(synapses, k, 0.5), (a,)),
        "pruning.basis": (partial(pruning.basis, synapses), (a,)),
        "pruning.census": (partial(pruning.census, synapses), (masks,)),
        "pruning.connected": (partial(pruning.connected, spec, synapses), (masks,)),
        "pruning.full_masks": (pruning.full_masks, (a,)),
        "pruning.keep_largest": (lambda m, s: pruning.keep_largest(synapses, m, s, 5), (masks, a)),
        "pruning.largest": (lambda s, alive: pruning.largest(s, alive, 3), (halves, halves < 1)),
        "pruning.lose": (lambda key, m: pruning.lose(key, synapses, m, 0.1, whole_clusters=True), (key, masks)),
        "pruning.magnitude": (lambda m, p: pruning.magnitude(synapses, m, p, 5), (masks, a)),
        "pruning.masked": (pruning.masked, (masks, a)),
        "pruning.rollouts": (lambda k: pruning.rollouts(apply, synapses, k, values, task), (a,)),
        "pruning.scaled": (partial(pruning.scaled, synapses), (masks, a)),
        "pruning.settled": (partial(pruning.settled, synapses), (masks,)),
        "pruning.total": (partial(pruning.total, synapses), (masks,)),
        "similarity.cca": (similarity.cca, (x, jnp.sin(5 * x) + x[::-1] ** 2)),
        "similarity.cca_of": (lambda x: similarity.cca_of(moments(x)), (x,)),
        "similarity.correlation": (similarity.correlation, (x, x)),
        "similarity.correlation_of": (lambda x: similarity.correlation_of(moments(x)), (x,)),
        "similarity.deflated": (similarity.deflated, (square,)),
        "similarity.merge": (lambda x: similarity.merge(moments(x), moments(x)), (x,)),
        "similarity.moments": (similarity.moments, (x, x)),
        "similarity.pool": (lambda x: similarity.pool([moments(x), moments(x)]), (x,)),
        "similarity.structure_scores": (lambda x: similarity.structure_scores(similarity.cca_of(moments(x))), (x,)),
        "similarity.within_correlations": (lambda x: similarity.within_correlations(moments(x), "x"), (x,)),
        "symmetry.activations": (partial(symmetry.activations, spec, apply), (a, x)),
        "symmetry.compose": (partial(symmetry.compose, spec), (order, order)),
        "symmetry.identity": (lambda: symmetry.identity(spec), ()),
        "symmetry.inverse": (partial(symmetry.inverse, spec), (order,)),
        "symmetry.permute": (partial(symmetry.permute, spec), (a, order)),
        "symmetry.random_permutations": (partial(symmetry.random_permutations, spec), (key,)),
        "symmetry.select": (partial(symmetry.select, spec), (a, order)),
        "symmetry.verify": (lambda a, key: symmetry.verify(spec, apply, a, x, key=key, draws=2), (a, key)),
        "training.cross_entropy": (training.cross_entropy, (jnp.zeros((5, 3)), jnp.zeros(5, int))),
        "training.descend": (
            lambda a, key: training.descend(apply, a, x, y, adam, epochs=1, batch_size=20, key=key),
            (a, key),
        ),
        "training.epoch": (
            lambda a, key: training.epoch(apply, a, adam.init(a), x, y, adam, batch_size=20, key=key),
            (a, key),
        ),
        "training.evaluate": (partial(training.evaluate, apply), (a, x, y)),
        "training.evaluate_ensemble": (partial(training.evaluate_ensemble, apply), (pop, x, y)),
        "training.in_chunks": (lambda x: training.in_chunks(lambda part: part + 1, x, chunk=9), (x,)),
        "training.in_precision": (training.in_precision(apply), (a, x)),
        "training.init": (lambda pop, key: training.init(pop, adam, epochs=1, key=key), (pop, key)),
        "training.measures": (training.measures, (jnp.zeros((5, 3)), jnp.zeros(5, int))),
        "training.score": (partial(training.score, apply), (a, x, y)),
        "training.step": (lambda a, x: training.step(apply, a, adam.init(a), x, y, adam), (a, x)),
        "training.step_epoch": (one_epoch, (pop, key)),
    }
