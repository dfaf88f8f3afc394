"""The hand-written part of the page of this study."""

from experiments.pages import Page

PAGE = Page(
    paper=(
        "Nadezhda Dobreva (2022). *Combining knowledge from pre-trained networks and weight agnosticism*. Bachelor's "
        "thesis, Radboud University."
    ),
    summary=(
        "PADAWANN's accuracy on the second task is higher than its network's by "
        "{demo-clean-digits:default_network_accuracy_1.ours} on drawn letters (8 trials, corrected p "
        "{demo-clean-digits:default_network_accuracy_1.p}) and by "
        "{small-clean-mnist:default_network_accuracy_1.ours} on letters of EMNIST (3 trials, not tested; thesis "
        "{small-clean-mnist:default_network_accuracy_1.paper}). But it stays near chance: above guessing (.1) by "
        "{demo-clean-digits:default_guessing_accuracy_1.ours} (p = {demo-clean-digits:default_guessing_accuracy_1.p}) "
        "and by {small-clean-mnist:default_guessing_accuracy_1.ours} (not tested).\n\n"
        "It loses accuracy on the first task. There signs are needed, as in the thesis: without them accuracy is lower "
        "by {demo-clean-digits:default_signs_discarded_accuracy_0.ours} on digits and "
        "{small-clean-mnist:default_signs_discarded_accuracy_0.ours} on MNIST. On the second task this is not shown "
        "({demo-clean-digits:default_signs_discarded_accuracy_1.ours}, p = "
        "{demo-clean-digits:default_signs_discarded_accuracy_1.p}).\n\n"
        "On drawn letters PADAWANN is above random pruning with a shared value by "
        "{demo-clean-digits:default_random_pruning_shared_value_accuracy_1.ours} (p = "
        "{demo-clean-digits:default_random_pruning_shared_value_accuracy_1.p}). An advantage of a shared value over "
        "trained weights is not shown (p = {demo-clean-digits:default_weights_kept_accuracy_1.p}).\n\n"
        "The primary claims are shown from the demo run. Its network and data are not the thesis's, so no number of "
        "the thesis stands beside them. The thesis's numbers stand beside those of small-clean-mnist, under \"What "
        'differs" and "All stored runs".'
    ),
    headline="demo-clean-digits",
    control=(
        "The main control is the same trained network pruned at random to as many synapses, with signs and a shared "
        "value, so that only evolution differs; the thesis's own controls keep the trained weights."
    ),
    scale={
        "demo-clean-digits": "not in the thesis: 8x8 digits and drawn letters, 3 592 synapses for 1.2 million, "
        "8 generations for 50, 8 trials for 10, a trained network for each trial instead of one for all",
        "small-clean-mnist": "the thesis's network on MNIST, 60 images a class for 700, 10 generations for 50, "
        "3 trials for 10 (too few for a test), letters of a smaller EMNIST set",
    },
    figures=(
        (
            "demo-clean-digits",
            "comparison",
            "Digits and letters, 8 trials: accuracy of the best member on training images by generation (faint lines: "
            "trials), at the best shared value.",
        ),
        (
            "small-clean-mnist",
            "course-default",
            "MNIST, 3 trials of the default: accuracy, loss, synapses and fitness of the best member by generation.",
        ),
        (
            "small-clean-mnist",
            "confusion-default",
            "MNIST, 3 trials: which class test images of each data set are taken for by PADAWANN.",
        ),
    ),
    differences=(
        (
            "Accuracy on letters rises less than in the thesis: by {small-clean-mnist:default_network_accuracy_1.ours} "
            "for {small-clean-mnist:default_network_accuracy_1.paper}",
            "Scale: 10 generations for 50, so that {small-clean-mnist:synapses_left.ours} of the synapses are left for "
            "{small-clean-mnist:synapses_left.paper}, and 60 images a class for 700.",
        ),
        (
            "Random pruning keeps the accuracy on MNIST: PADAWANN minus random pruning is "
            "{small-clean-mnist:default_random_pruning_accuracy_0.ours} for "
            "{small-clean-mnist:default_random_pruning_accuracy_0.paper}",
            "Scale: a fifth of the synapses is pruned here, half in the thesis; a network with its weights tolerates a "
            "fifth. With a shared value random pruning does cost accuracy.",
        ),
        (
            "With its trained weights PADAWANN is not worse: default minus weights kept is "
            "{small-clean-mnist:default_weights_kept_accuracy_0.ours} on MNIST for "
            "{small-clean-mnist:default_weights_kept_accuracy_0.paper}, and "
            "{small-clean-mnist:default_weights_kept_accuracy_1.ours} on letters for "
            "{small-clean-mnist:default_weights_kept_accuracy_1.paper}",
            "Cause not known. Fewer generations leave less time to overfit, which is the thesis's explanation.",
        ),
        (
            "The synapses that PADAWANN and other prunings have in common: 19 % for the thesis's 51 and 53 %",
            "Chance gives the share that is pruned: 19 % here, 50 % in the thesis. Both results are what chance "
            "gives, so the thesis's half says nothing about the method.",
        ),
        (
            "The thesis prints a pruning step of 0.025 %",
            "Its numbers of synapses need 2.5 % a step, which its program has; so we take 2.5 %.",
        ),
        (
            "Crossover is done here; in the thesis's program it has no effect",
            "Its child is a copy of one parent. Our mode `code` does so too.",
        ),
    ),
    terms={
        "PADAWANN": "a trained network of which only the signs of the weights are kept: all weights have one shared "
        "absolute value, and evolution prunes synapses so that the network is right on two tasks (the default)",
        "first, second, third task": "the data set that the network was trained on (MNIST or digits), ten letters that "
        "share its ten outputs, and a data set that only the variant for three tasks is evolved on",
        "synapses": "weights of convolutions and dense layers; biases are kept and not pruned",
        "shared value": "each network is tried with the values 0.5, 1 and 2, and the best one on training images is "
        "taken (modes text and code: on test images, as in the thesis)",
        "fitness": "the sum of the accuracies on all tasks, divided by the sum of the error rates",
        "trial": "one population, with a trained network of its own in the mode clean",
        "with its weights, with a shared value": "a control keeps the trained weights of the synapses that are left, "
        "or only their signs",
        "pruned by magnitude": "the synapses of smallest absolute weight are removed",
        "mapping": "which output stands for which letter: in alphabetical order, chosen by eye (given), or the "
        "assignment with the highest accuracy before evolution (optimised); mapping alone is that without evolution",
        "transfer learning": "the output layer is trained on each data set, the rest stays",
        "guessing": "one class of ten: .1",
        "number of a comparison": "the mean difference over trials, first minus second",
    },
    hidden=("best, worst and mean", "McNemar's test, two-sided, of the first trial"),
)
