"""The hand-written part of the page of this study."""

from experiments.store import Page

PAGE = Page(
    paper=(
        "Audrey G. Chung, Mohammad Javad Shafiee, Paul Fieguth and Alexander Wong (2017). *The Mating Rituals of Deep "
        "Neural Networks: Learning Compact Feature Representations through Sexual Evolutionary Synthesis*. ICCV "
        "Workshops. [arXiv:1709.02043](https://arxiv.org/abs/1709.02043)"
    ),
    summary=(
        "Sexual synthesis needs fewer generations than asexual synthesis to lose the same accuracy, and in each of ten "
        "seeds its efficiency grows more steeply. But it was not shown to be more efficient at the same accuracy "
        "(p = {small-clean-mnist:synaptic.p}), and both stay far below the paper's efficiency. Networks pruned by "
        "magnitude to as many synapses are more accurate than children of both kinds in every seed, and no "
        "significant difference was found from networks pruned at random."
    ),
    headline="small-clean-mnist",
    control=(
        "The control is a network of the same ancestor, pruned generation by generation to as many synapses as the "
        "first child has, by magnitude or at random, drawn anew with equal weights and trained as long; the paper has "
        "no such control."
    ),
    scale={
        "small-clean-mnist": "a LeNet of half the widths on 2000 of 60 000 images, 3 epochs a generation; ten seeds "
        "for "
        "one run",
        "short-clean-mnist": "the paper's LeNet on 10 000 of 60 000 images, 2 epochs a generation; one seed",
        "small-clean-cifar10.3-seeds": "a LeNet of half the widths on 3000 of 50 000 images, 4 epochs; three seeds, "
        "too "
        "few for a test",
        "demo-clean-digits": "not in the paper: a small LeNet on 8x8 digits, 6 generations asexual and 4 sexual; eight "
        "seeds, to try it out",
    },
    figures=(
        (
            "small-clean-mnist",
            "generations",
            "MNIST, mean and standard deviation over ten seeds: accuracy and both efficiencies by generation, as in "
            "the "
            "paper's Figure 4. If a child may have what either parent has (union), or the mean of both, sexual "
            "synthesis "
            "is no steeper than asexual synthesis.",
        ),
        (
            "small-clean-mnist",
            "controls",
            "Accuracy of first children and controls against efficiency. Pruning by magnitude is above synthesis; "
            "pruning "
            "at random is not told apart from it.",
        ),
    ),
    differences=(
        (
            "Synaptic efficiency: 81 at generation 8 (sexual) and 72 at 13 (asexual); the paper has 258 and 139",
            "The paper's numbers imply that a generation keeps .663 of the synapses (asexual) or .452 (sexual), "
            "although "
            "its limit is .70, which we take.",
        ),
        (
            "Accuracy: .23 and .24 at these generations, of .89 at first; the paper has .97 of .995",
            "Mostly the training: 2000 images and 3 epochs. With the paper's LeNet, 10 000 images and 2 epochs, it is "
            ".74 "
            "and .72 of .983. Weights that are inherited instead of drawn anew help more: pruning by magnitude that "
            "keeps "
            "its weights has .978 at an efficiency of 80.",
        ),
        (
            "Cluster efficiency: 5.0 and 4.3 at these generations; the paper has 34.3 and 14.1",
            "Cause not shown. The paper does not state the scale in the exponent of the synapse probability, which "
            "decides how often whole kernels are left out.",
        ),
        (
            "CIFAR-10: three seeds that begin at .39 accuracy; the paper begins at .771",
            "3000 images and 4 epochs; the run was too short to lose what the paper's second point loses, so that most "
            "comparisons are not known.",
        ),
    ),
    terms={
        "synaptic efficiency": "the ancestor's number of synapses divided by that of a network; the last layer does "
        "not "
        "count",
        "cluster efficiency": "the same of kernels that have at least one synapse",
        "asexual, sexual": "children are drawn synapse by synapse by the strengths of one parent, or of two",
        "first child": "the child of a generation that controls are compared with",
        "sexual, union; sexual, mean": "a child may have the synapses of any parent, or those of any in proportion to "
        "how many parents have them; otherwise (sexual) only what both have",
        "at the same loss of accuracy": "interpolated between generations; unknown where a run ends before it loses so "
        "much",
        "retained": "the share of its parents' synapses that a child has",
        "magnitude, random": "controls, pruned to the first child's number of synapses; weights are drawn anew unless "
        "they are kept or rewound",
    },
    hidden=("by generation", "all generations", "retention", "by layer, at the end"),
)
