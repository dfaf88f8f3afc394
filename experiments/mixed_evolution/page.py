"""The hand-written part of the page of this study."""

from experiments.pages import Page

PAGE = Page(
    paper=(
        "Gavin Cooke and Luca de Alfaro. *Experiments on Mixed Genetic and Gradient-Driven Evolution for Machine "
        "Learning*. Their code: [github.com/GavinCooke2000/Genetic_ML](https://github.com/GavinCooke2000/Genetic_ML)"
    ),
    summary=(
        "On MNIST the main result is reproduced: after six generations the best member is as accurate as a network "
        "trained alone, within .005. Untrained children resist attacks on each other more than members do: accuracy "
        "{paper-code-mnist:horizontal_children.ours} against {paper-code-mnist:horizontal_others.ours} (paper "
        "{paper-code-mnist:horizontal_children.paper} against {paper-code-mnist:horizontal_others.paper}).\n\n"
        "Aligned parents have more accurate children before training: share {paper-code-mnist:aligned_untrained} with "
        "blocks as genes, {cross-clean-mnist:aligned_untrained} over three kinds of genes. After training, members are "
        "more accurate too, by little: shares {paper-code-mnist:aligned_accuracy.ours} and "
        "{cross-clean-mnist:aligned_accuracy.ours}. But with blocks, untrained children of aligned parents resist "
        "attacks on each other less: accuracy .036 against {paper-code-mnist:horizontal_children.ours}. This was not "
        "tested.\n\n"
        "The run over three kinds of genes has the same order in attacks for blocks and neurons. For layers without a "
        "bonus the order is the other way round: .073 with aligned parents, .054 without."
    ),
    headline="paper-code-mnist",
    control=(
        "The control of each population are networks of the same kind that are trained alone for as many epochs; the "
        "control of selection is a population whose parents and survivors are drawn at random; aligned parents are "
        "compared with parents that are crossed as they are, from the same first generation."
    ),
    scale={
        "paper-code-mnist": "the paper's: 20 networks 784-256-128-10, 6 generations of an epoch on MNIST, and 4 more; "
        "ten seeds for one run",
        "cross-clean-mnist": "not in the paper: the same networks, layers, blocks or neurons as genes, aligned or not, "
        "with and without a bonus for being different; eight seeds",
        "demo-clean-digits": "not in the paper: 12 networks 64-64-32-10 on 8x8 digits, 8 generations, to try it out",
    },
    figures=(
        (
            "paper-code-mnist",
            "accuracy",
            "MNIST, mean over ten seeds: test accuracy of the members, and of children before training. Pale bars: "
            "from the worst to the best member in the authors' notebook. Children of aligned parents begin far better. "
            "After training the populations differ little: their mean accuracies at generation 6 are within .004, and "
            "that with aligned parents is the highest.",
        ),
        (
            "paper-code-mnist",
            "diversity",
            "Mean cosine similarity of two members, and effective number of founders, by generation. At generation 10 "
            "members are alike, but not yet nearly identical.",
        ),
        (
            "paper-code-mnist",
            "attacks",
            "Accuracy under FGSM attacks of growing strength, on the network that is attacked and on others, on a "
            "logarithmic axis. Stars are the authors' numbers, at their strength of .1623.",
        ),
    ),
    differences=(
        (
            "Beyond six generations the members are not nearly identical (cosine "
            "{paper-code-mnist:horizontal_collapse.ours} at generation 10); the paper's often were",
            "Probably the kind of genes. The paper's text describes whole layers, its code blocks of 64 x 64 weights "
            "and two new networks a generation, as here.",
        ),
        (
            "Untrained children of generation 6 have an accuracy of {paper-code-mnist:horizontal_clean.ours} without "
            "an attack; about {paper-code-mnist:horizontal_clean.paper} in the notebook",
            "Cause not known. The notebook shows a single run; ours vary with how alike the parents are.",
        ),
        (
            "Attacks on another network at generation 6: members of the horizontal population have an accuracy of "
            "{paper-code-mnist:horizontal_others.ours} for {paper-code-mnist:horizontal_others.paper}, the vertical "
            "one's children {paper-code-mnist:vertical_children.ours} for {paper-code-mnist:vertical_children.paper}",
            "The notebook attacks one network of one run with its own draw of parents. Our arrays of this run were not "
            "kept, so that no interval tells whether the difference is more than its spread.",
        ),
        (
            "Images",
            "As in the authors' code, .05 is added to images scaled as if they had been normalised, which is .1623 in "
            "the network's input, and images that the network gets wrong are not changed. In the mode `clean` they are "
            "all attacked, and clipped to the range of images.",
        ),
    ),
    terms={
        "gene": "what a child inherits whole from one of its two parents: a layer, a block of weights, or a neuron",
        "horizontal, vertical": "the paper's two networks; the vertical one has its second layer in two halves, which "
        "are genes of their own",
        "notebook": "the authors' published notebook, in the repository named above; it shows one run of each network",
        "last generation": "the paper's is 6, and claims that name no generation are of generation 6. In the claim on "
        "cosine similarity the last generation is 10, where our longer run ends. On digits they are 4 and 8",
        "number of a claim": "the share of seeds. If the statement has a bound (.005, .01, .05 or .95), it is the mean "
        "of what is bounded; in claims that untrained children resist attacks more than members do, the children's "
        "accuracy",
        "children untrained": "in tables: accuracy of children before training, mean over generations 2 to 6",
        "alone": "networks that are trained for as many epochs without recombination",
        "aligned parents": "the second parent's neurons are permuted to match the first one's before genes are mixed",
        "naive": "parents are crossed with their neurons as they are",
        "groups": "members whose layers have a cosine similarity of at least .9, directly or through others",
        "founders": "effective number of first members that the weights of a layer come from (1: all from one)",
        "cosine, aligned or not": "similarity of two members' layers, with neurons as they are or aligned, whichever "
        "is larger",
        "FGSM, PGD": "attacks that change the image by at most epsilon in each pixel, in one step or several",
        "bonus": "fitness gains .05 times the mean difference from the other members",
    },
    hidden=("by generation", "under attack", "all generations", "all attacks"),
)
