"""The hand-written part of the page of this study."""

from experiments.pages import Page


def after(network: str) -> str:
    """The accuracy on letters after transfer learning."""
    column = "emnist_10letters, after"
    return f"{{short-clean-mnist#transfer learning of the output layer#network={network}#{column}}}"


PAGE = Page(
    paper=(
        "Nadezhda Dobreva (2022). *Combining knowledge from pre-trained networks and weight agnosticism*. Bachelor's "
        "thesis, Radboud University."
    ),
    summary=(
        "On MNIST with ten letters of EMNIST as the second task (8 trials), PADAWANN's accuracy on the letters is "
        "higher than its network's by {short-clean-mnist:default_network_accuracy_1.ours} (corrected p "
        "{short-clean-mnist:default_network_accuracy_1.p}; thesis "
        "{short-clean-mnist:default_network_accuracy_1.paper}). But it stays near chance: above guessing (.1) by "
        "{short-clean-mnist:default_guessing_accuracy_1.ours} in the mean of 8 trials (exploratory, p = "
        "{short-clean-mnist:default_guessing_accuracy_1.p}: 8 trials are too few to show a claim among so many).\n\n"
        "It loses {short-clean-mnist:network_default_accuracy_0.ours} of accuracy on the first task. There signs are "
        "needed, as in the thesis: without them accuracy is lower by "
        "{short-clean-mnist:default_signs_discarded_accuracy_0.ours}. On the second task this is not shown "
        "({short-clean-mnist:default_signs_discarded_accuracy_1.ours}, p = "
        "{short-clean-mnist:default_signs_discarded_accuracy_1.p}; thesis "
        "{short-clean-mnist:default_signs_discarded_accuracy_1.paper}).\n\n"
        "On the letters PADAWANN is above random pruning with a shared value by "
        "{short-clean-mnist:default_random_pruning_shared_value_accuracy_1.ours} (p = "
        "{short-clean-mnist:default_random_pruning_shared_value_accuracy_1.p}). An advantage of a shared value over "
        "trained weights is not shown (p = {short-clean-mnist:default_weights_kept_accuracy_1.p}). After training of "
        "the output layer the trained network is far ahead of PADAWANN on letters, by "
        "{short-clean-mnist:network_default_transfer_1.ours} (thesis "
        "{short-clean-mnist:network_default_transfer_1.paper}).\n\n"
        "The network is smaller than the thesis's, and evolved for fewer generations on fewer images (see Scale). On "
        "digits and drawn letters (demo-clean-digits) PADAWANN is above guessing by "
        "{demo-clean-digits:default_guessing_accuracy_1.ours} (p = "
        "{demo-clean-digits:default_guessing_accuracy_1.p}, not shown)."
    ),
    headline="short-clean-mnist",
    control=(
        "The main control is the same trained network pruned at random to as many synapses, with signs and a shared "
        "value, so that only evolution differs; the thesis's own controls keep the trained weights."
    ),
    scale={
        "short-clean-mnist": "37 508 synapses for 1.2 million, on MNIST, 50 images a class for 700, 27 generations for "
        "50, 8 trials for 10, a trained network for each trial instead of one for all, letters of a smaller EMNIST set",
        "demo-clean-digits": "not in the thesis: 8x8 digits and drawn letters, 3 592 synapses for 1.2 million, "
        "8 generations for 50, 8 trials for 10, a trained network for each trial instead of one for all",
        "small-clean-mnist": "the thesis's network on MNIST, 60 images a class for 700, 10 generations for 50, "
        "3 trials for 10 (too few for a test), letters of a smaller EMNIST set",
    },
    figures=(
        (
            "short-clean-mnist",
            "comparison",
            "Accuracy on the test images of each data set: a point for each of 8 trials, a bar for their mean, and a "
            "star for the thesis's mean. Blue: champions of populations. Grey: controls.",
        ),
        (
            "short-clean-mnist",
            "course-default",
            "MNIST, 8 trials of the default: accuracy, loss, synapses and fitness of the best member by generation.",
        ),
        (
            "short-clean-mnist",
            "confusion-default",
            "MNIST, 8 trials: which class test images of each data set are taken for by PADAWANN.",
        ),
    ),
    differences=(
        (
            "Accuracy on letters rises less than in the thesis: by {short-clean-mnist:default_network_accuracy_1.ours} "
            "for {short-clean-mnist:default_network_accuracy_1.paper}",
            "Probably scale: 27 generations for 50, so that {short-clean-mnist:synapses_left.ours} of the synapses are "
            "left for {short-clean-mnist:synapses_left.paper}; 50 images a class for 700; a smaller network.",
        ),
        (
            "Random pruning costs as much accuracy on MNIST as PADAWANN does: the difference is "
            "{short-clean-mnist:default_random_pruning_accuracy_0.ours} for "
            "{short-clean-mnist:default_random_pruning_accuracy_0.paper}",
            "Probably scale: a quarter of the synapses is pruned here, half in the thesis. Accuracy is "
            "{short-clean-mnist#accuracy on test images#network=network#mnist} for the network, "
            "{short-clean-mnist#accuracy on test images#network=random pruning#mnist} after random pruning.",
        ),
        (
            "With its trained weights PADAWANN is not worse: default minus weights kept is "
            "{short-clean-mnist:default_weights_kept_accuracy_0.ours} on MNIST for "
            "{short-clean-mnist:default_weights_kept_accuracy_0.paper}, and "
            "{short-clean-mnist:default_weights_kept_accuracy_1.ours} on letters for "
            "{short-clean-mnist:default_weights_kept_accuracy_1.paper}",
            "Cause not known. Fewer generations leave less time to overfit, which is the thesis's explanation.",
        ),
        (
            "After training of the output layer the network is ahead on letters by "
            "{short-clean-mnist:network_default_transfer_1.ours} for "
            "{short-clean-mnist:network_default_transfer_1.paper}",
            "Most of the difference is that of the shared value: on letters PADAWANN with its trained weights reaches "
            f"{after('weights kept')}, with a shared value {after('default')}, the network {after('network')}. Why the "
            "thesis's PADAWANN loses less is not known.",
        ),
        (
            "The share of PADAWANN's lost synapses that random pruning and pruning by magnitude lose too: "
            "{short-clean-mnist#accuracy on test images#network=random pruning#lost in common with default} and "
            "{short-clean-mnist#accuracy on test images#network=pruning by magnitude#lost in common with default} "
            "for the thesis's .51 and .53",
            "Chance gives the share that is pruned: "
            "{short-clean-mnist#accuracy on test images#network=random pruning#in common by chance} here, half in the "
            "thesis. Both results are what chance gives, so the thesis's half says nothing about the method.",
        ),
        (
            "The images of letters are turned upright, and all test images of the smaller EMNIST set are used",
            "The thesis's program does not turn the images, which the file has transposed; its test sets are the first "
            "7 999 and the next 7 999 images of the file. Our mode `code` transposes them too.",
        ),
        (
            "Three rules of the thesis's program are in the modes `text` and `code` alone: a cut between layers in "
            "one-point crossover, whole clusters lost by one drawn layer a step, and one network for all trials",
            "Most weights are in one layer, so that cuts between weights mix more. No stored run has these modes.",
        ),
        (
            "The thesis's mapping by visual similarity has no number here",
            'It is printed as a figure only; the variant "mapping given" has one that we chose.',
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
        "first, second, third, fourth task": "the data set that the network was trained on (MNIST or digits); ten "
        "letters that share its ten outputs; one that only the variant for three tasks is evolved on (notMNIST); and "
        "one that no variant is evolved on (Fashion-MNIST)",
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
