"""The hand-written part of the page of this study."""

from experiments.pages import Page

MAIN, POLE = "small-clean-mnist", "swing_up-clean-digits"
PAGE = Page(
    paper=(
        "Adam Gaier and David Ha (2019). *Weight Agnostic Neural Networks*. NeurIPS. "
        "[arXiv:1906.04358](https://arxiv.org/abs/1906.04358). And chapter 4 of Dobreva (2022), a thesis at "
        "Radboud University, which evolves such networks for two tasks at once."
    ),
    summary=(
        "A network evolved on MNIST at shared weights classifies digits only (accuracy on MNIST "
        f"{{{MAIN}:own_task.ours}}, on letters {{{MAIN}:no_second.ours}}), and better with one random weight for all "
        f"connections than with one for each, in a share of {{{MAIN}:drawn}}. Judging on both tasks costs accuracy on "
        "each; but networks do not favour one task as the thesis's does (reversed). WANN on digits and "
        "JointWANN on letters are far below the thesis's, with a hundredth of its evaluations."
    ),
    headline=MAIN,
    control=(
        "The controls of JointWANN, which is judged on both tasks, are two WANN with the same random keys and first "
        "generation: one judged on the digits alone, and one on the letters alone."
    ),
    scale={
        MAIN: "128 members and 300 generations for 960 and 4096, 4000 training images of each task for all, 200 images "
        "a generation for 1000; 10 seeds for one network",
        POLE: "192 members as the authors, 200 generations for 1024, three shared weights for six; 6 seeds",
        "demo-clean-digits": "not in the paper: 8x8 digits and drawn letters, 48 members, 200 generations, 10 seeds",
    },
    figures=(
        (
            MAIN,
            "weights",
            "Test accuracy at each shared weight on MNIST (left) and on ten letters (right): mean of 10 seeds, and the "
            "thesis's networks (stars). Each search is accurate only on what it was judged on.",
        ),
        (
            "demo-clean-digits",
            "courses",
            "Digits, 10 seeds: the fittest member of each generation, its mean reward, connections and hidden nodes, "
            "of each seed (thin) and their mean (thick). No search has levelled off after 200 generations.",
        ),
        (
            "demo-clean-digits",
            "graphs",
            "Digits: the champion of each search's best seed. Squares are pixels, dark where they are used; the point "
            "below them is the bias. A line has the colour of the node that it leaves. All weights are one shared "
            "number, without a sign.",
        ),
        (
            POLE,
            "pole",
            "The best swing-up champion at its best shared weight: the pole every tenth of a second, and the reward.",
        ),
    ),
    differences=(
        (
            f"WANN reaches {{{MAIN}:own_task.ours}} on MNIST, in the thesis {{{MAIN}:own_task.paper}}",
            "The thesis evaluates the champion that Gaier & Ha published, of 960 members and 4096 generations, with "
            "1849 connections. Ours have about 200 connections, and their reward still rises when the search ends.",
        ),
        (
            "JointWANN does not favour one task; in the thesis it does, with .66 on letters and .11 on digits",
            "The thesis has one run, with one seed. Of our 10 seeds one favours a task by .2. Whether longer searches "
            "diverge is not known.",
        ),
        (
            "PADAWANN has more connections than WANN; the thesis says that it has fewer",
            "The thesis counts the cells of WANN's matrix, 873 x 873 = 762 129. The published champion has 1849 "
            "connections, fewer than PADAWANN's 600 460.",
        ),
        (
            "PADAWANN is not more accurate on letters than WANN",
            "Both are near guessing. Ours prunes a network of 64 hidden units for 10 generations; the study `padawann` "
            "prunes larger ones.",
        ),
    ),
    terms={
        "shared weight": "one value that all connections of a network have; a network is judged at six of them",
        "WANN": "a network whose topology is evolved so that it works at every shared weight",
        "JointWANN": "a WANN judged by the sum of the losses on both tasks; `relative`: by the sum of their logarithms",
        "PADAWANN": "a trained network that keeps its signs and is pruned by evolution, judged at shared weights",
        "best shared weight": "of the six, the one with the highest accuracy on images kept apart for this choice",
        "champion": "the network with the highest reward on those images among the fittest of all generations",
        "reward": "minus the cross-entropy, mean over the shared weights",
        "first images, second images": "digits (MNIST or 8x8 digits), and ten letters (of EMNIST, or drawn)",
    },
)
