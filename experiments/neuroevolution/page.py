"""The hand-written part of the page of this study."""

from experiments.pages import Page

PAGE = Page(
    paper=(
        "The question is that of Thomas Uriot and Dario Izzo (2020), *Safe Crossover of Neural Networks Through Neuron "
        "Alignment*, GECCO, [arXiv:2003.10306](https://arxiv.org/abs/2003.10306), section 6: does safe crossover help "
        "genetic algorithms that evolve weights? The protocol of handwritten digits is that of João Abrantes, Robert "
        "Lange and Yujin Tang (2025), *Competition and Attraction Improve Model Fusion*, GECCO (M2N2)."
    ),
    summary=(
        "Only the demo is stored: small, on two tasks. It says where to look, not what holds on all tasks.\n\n"
        "Part 1, swing-up: children of champions crossed halfway keep more of their parents' score when aligned, but "
        "among ten primary claims this is not significant (p = {demo-clean-digits:transfer_swing_up.p}, n = "
        "{demo-clean-digits:transfer_swing_up.n} pairs). The interquartile mean is "
        "{demo-clean-digits#part 1: what children keep#method=naive#halfway, interquartile mean} naive, "
        "{demo-clean-digits#part 1: what children keep#method=aligned on visited states#halfway, interquartile mean} "
        "aligned on visited states and "
        "{demo-clean-digits#part 1: what children keep#method=aligned on random states#halfway, interquartile mean} on "
        "random states.\n\n"
        "Part 2, handwritten digits: with aligned crossover the mean score over the run is higher than with naive "
        "crossover at equal evaluations, by {demo-clean-digits:speed_digits} (p = "
        "{demo-clean-digits:speed_digits.p}). At equal seconds we found no significant difference "
        "({demo-clean-digits:seconds_digits}, p = {demo-clean-digits:seconds_digits.p}): an evaluation takes longer "
        "where neurons are matched."
    ),
    headline="demo-clean-digits",
    control=(
        "The controls of alignment are naive crossover of the same parents, crossover after a random order of neurons, "
        "and an alignment of dead neurons alone. Mutation only has no crossover at all. All arms of a task have the "
        "same seeds, founders and episodes of the score."
    ),
    scale={
        "demo-clean-digits": "part 1 on swing-up alone, 8 pairs, champions of 2560 evaluations; part 2 on handwritten "
        "digits alone, four of the eight arms, 1000 of 5000 evaluations, 8 seeds",
    },
    figures=(
        (
            "demo-clean-digits",
            "transfer",
            "Part 1: a child's score as a share of its parents' mean. A point is a pair of champions of separate runs, "
            "a bar the mean over pairs. The dashed line is the parents.",
        ),
        (
            "demo-clean-digits",
            "speed",
            "Part 2: the score of the fittest network on test data. A line is the interquartile mean over seeds, a "
            "band reaches from the first to the third quartile. The dotted line is the threshold.",
        ),
    ),
    differences=(
        (
            "Uriot and Izzo have no experiment with a genetic algorithm, so that no claim has a number of the paper",
            "They leave it to future work.",
        ),
        (
            "OpenAI-ES and sep-CMA-ES are left out of this run",
            "The package evosax was not installed. The table *left out* of a run names them where they were asked for.",
        ),
        (
            "Handwritten digits: networks are scored on test images, evolved and aligned on others",
            "M2N2 scores on test images too. Mutation scale and crossover rate are ours, tuned on validation images "
            "with other seeds, with the same grid for each arm.",
        ),
    ),
    terms={
        "score": "of the fittest network: accuracy on test images; the mean reward over 16 fresh episodes of swing-up "
        "and acrobot; on double pole, which has one start, the fitness",
        "share of the parents' score": "a child's score divided by the mean of its parents', after the floor of the "
        "task is subtracted from all: 0 for swing-up and double pole, the chance of 0.1 for digits, -200 for acrobot. "
        "A pair whose parents are no better than the floor is left out",
        "aligned": "the second parent takes the order of neurons of the first, matched by correlation on samples of "
        "the data, or on states that both parents visited",
        "area under the curve": "the mean score over the run",
        "equal seconds": "both arms are read off where the cheaper of their whole runs ends, by the stored table of "
        "seconds per evaluation",
        "unrelated parents": "the share of matings whose parents have no common ancestor",
        "threshold": "a score that was stated before the runs: 0.6 on digits, 300 on swing-up, 1000 on double pole, "
        "-75 on acrobot",
        "helps, harms": "the test of the row, corrected for all rows of the table by Holm's method, shows that "
        "direction; otherwise no difference is shown",
    },
)
