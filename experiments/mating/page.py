"""The hand-written part of the page of this study."""

from experiments.pages import Page

PAGE = Page(
    paper=(
        "Audrey G. Chung, Mohammad Javad Shafiee, Paul Fieguth and Alexander Wong (2017). *The Mating Rituals of Deep "
        "Neural Networks: Learning Compact Feature Representations through Sexual Evolutionary Synthesis*. ICCV "
        "Workshops. [arXiv:1709.02043](https://arxiv.org/abs/1709.02043)"
    ),
    summary=(
        "The main claim that is reversed is that of the control: networks pruned by magnitude to as many synapses are "
        "more accurate than first children.\n\n"
        "On MNIST, sexual synthesis needs fewer generations than asexual synthesis to lose the same accuracy, and in "
        "each of ten seeds its efficiency grows more steeply. But it was not shown to be more efficient at the same "
        "accuracy (p = {small-clean-mnist:synaptic.p}). At a loss of .024 its median synaptic efficiency is lower: "
        "1.415, and 2.072 for asexual synthesis. No test of this opposite order was stored. At the paper's loss of "
        "accuracy, both stay far below the paper's efficiency.\n\n"
        "The accuracy ends low. It is {small-clean-mnist:ancestor.ours} at first, "
        "{small-clean-mnist:sexual_8_accuracy.ours} at generation 8 of sexual and "
        "{small-clean-mnist:asexual_13_accuracy.ours} at generation 13 of asexual synthesis. Networks pruned by "
        "magnitude to as many synapses are more accurate than children of both kinds in every seed. No significant "
        "difference was found from networks pruned at random."
    ),
    headline="small-clean-mnist",
    control=(
        "The control is a network of the same ancestor, pruned generation by generation to as many synapses as the "
        "first child has, by magnitude or at random, drawn anew with equal weights and trained as long; the paper has "
        "no such control."
    ),
    scale={
        "small-clean-mnist": "a LeNet of half the widths on 2000 of 60 000 images, 3 epochs a generation; ten seeds "
        "for one run",
        "short-clean-mnist": "the paper's LeNet on 10 000 of 60 000 images, 2 epochs a generation; one seed",
        "small-clean-cifar10.3-seeds": "a LeNet of half the widths on 3000 of 50 000 images, 4 epochs; three seeds, "
        "too few for a test",
        "demo-clean-digits": "not in the paper: a small LeNet on 8x8 digits, 6 generations asexual and 4 sexual; eight "
        "seeds, to try it out",
    },
    figures=(
        (
            "small-clean-mnist",
            "generations",
            "MNIST, mean over ten seeds: accuracy and both efficiencies by generation, as in the paper's Figure 4. "
            "Stars are the paper's numbers, of one run each.",
        ),
        (
            "small-clean-mnist",
            "controls",
            "MNIST, mean over ten seeds: accuracy of first children and controls against efficiency. Pruning by "
            "magnitude is above synthesis; pruning at random is not told apart from it. Stars: the paper's numbers.",
        ),
    ),
    differences=(
        (
            "Synaptic efficiency: {small-clean-mnist:sexual_8_synaptic.ours} (sexual, generation 8) and "
            "{small-clean-mnist:asexual_13_synaptic.ours} (asexual, generation 13); the paper has "
            "{small-clean-mnist:sexual_8_synaptic.paper} and {small-clean-mnist:asexual_13_synaptic.paper}",
            "The paper's numbers imply that a generation keeps {small-clean-mnist:sexual_retained.paper} (sexual) or "
            "{small-clean-mnist:asexual_retained.paper} (asexual) of the synapses, although its limit is .70, which we "
            "take. Ours keeps {small-clean-mnist:sexual_retained.ours} (sexual) or "
            "{small-clean-mnist:asexual_retained.ours} (asexual).",
        ),
        (
            "Accuracy: {small-clean-mnist:sexual_8_accuracy.ours} (sexual) and "
            "{small-clean-mnist:asexual_13_accuracy.ours} (asexual) at these generations, of "
            "{small-clean-mnist:ancestor.ours} at first; the paper has {small-clean-mnist:sexual_8_accuracy.paper} and "
            "{small-clean-mnist:asexual_13_accuracy.paper}, of {small-clean-mnist:ancestor.paper}",
            "Mostly the training: 2000 images and 3 epochs. With the paper's LeNet, 10 000 images and 2 epochs, it is "
            "{short-clean-mnist:sexual_8_accuracy.ours} (sexual) and {short-clean-mnist:asexual_13_accuracy.ours} "
            "(asexual), of {short-clean-mnist:ancestor.ours}. Weights that are inherited instead of drawn anew help "
            "more: pruning by magnitude that keeps its weights has .978 at an efficiency of "
            "{short-clean-mnist:sexual_8_synaptic.ours}.",
        ),
        (
            "Cluster efficiency: {small-clean-mnist:sexual_8_cluster.ours} (sexual) and "
            "{small-clean-mnist:asexual_13_cluster.ours} (asexual) at these generations; the paper has "
            "{small-clean-mnist:sexual_8_cluster.paper} and {small-clean-mnist:asexual_13_cluster.paper}",
            "Cause not shown. The paper does not state the scale in the exponent of the synapse probability, which "
            "decides how often whole kernels are left out.",
        ),
        (
            "CIFAR-10: three seeds that begin at an accuracy of {small-clean-cifar10.3-seeds:ancestor.ours}; the paper "
            "begins at {small-clean-cifar10.3-seeds:ancestor.paper}",
            "3000 images and 4 epochs. The run was too short to lose what the paper's second point loses, so that most "
            "comparisons are not known.",
        ),
    ),
    terms={
        "synaptic efficiency": "the ancestor's number of synapses divided by that of a network; the last layer does "
        "not count",
        "cluster efficiency": "the same of kernels that have at least one synapse",
        "asexual, sexual": "children are drawn synapse by synapse by the strengths of one parent, or of two",
        "first child": "the child of a generation that controls are compared with",
        "sexual, union; sexual, mean": "a child may have the synapses of any parent, or those of any in proportion to "
        "how many parents have them; otherwise (sexual) only what both have",
        "number of a comparison": "sexual divided by asexual, where synthesis is compared by generations, efficiency "
        "or steepness. The paper's {small-clean-mnist:generations.paper} is 8 / 13 generations, "
        "{small-clean-mnist:synaptic.paper} is 258.37 / 139 synaptic and {small-clean-mnist:cluster.paper} is 34.29 / "
        "14.1 cluster efficiency, of one run each. Against the authors' efficiency, the number is an efficiency",
        "at the same loss of accuracy": "interpolated between generations; unknown where a run ends before it loses so "
        "much",
        "retained": "the share of its parents' synapses that a child has",
        "magnitude, random": "controls, pruned to the first child's number of synapses; weights are drawn anew unless "
        "they are kept or rewound",
    },
    hidden=("by generation", "all generations", "retention", "by layer, at the end"),
)
