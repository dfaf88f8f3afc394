"""The hand-written part of the page of this study."""

from experiments.pages import Page

RUN = "paper-clean-digits.no-factors"
FACTORS = "paper-clean-digits.swing-up-factors"
FOUNDERS = "paper-clean-digits.digits-founders-and-share"

PAGE = Page(
    paper=(
        "The question is that of Thomas Uriot and Dario Izzo (2020), *Safe Crossover of Neural Networks Through Neuron "
        "Alignment*, GECCO, [arXiv:2003.10306](https://arxiv.org/abs/2003.10306), section 6: does safe crossover help "
        "genetic algorithms that evolve weights? The protocol of handwritten digits is that of João Abrantes, Robert "
        "Lange and Yujin Tang (2025), *Competition and Attraction Improve Model Fusion*, GECCO (M2N2)."
    ),
    summary=(
        "Alignment makes the children of two separate runs better in four of five tasks. Inside an evolving population "
        "it speeds up one task of four, handwritten digits, at equal evaluations and at equal seconds.\n\n"
        "Champions of separate runs: children crossed halfway keep more of their parents' score aligned than naive on "
        "swing-up (p = {RUN:transfer_swing_up.p}), double pole (p = "
        "{RUN:transfer_double_pole.p}), acrobot (p = {RUN:transfer_acrobot.p}) and "
        "handwritten digits (p = {RUN:transfer_digits.p}). With the recurrent network, without "
        "velocities, we found no significant difference (p = "
        "{RUN:transfer_double_pole_no_velocities.p}).\n\n"
        "Evolution of digits in M2N2's protocol, at equal evaluations: the mean score over the run is higher with "
        "aligned than with naive crossover by {RUN:speed_digits} (p = "
        "{RUN:speed_digits.p}). At equal seconds the difference is "
        "{RUN:seconds_digits} (p = {RUN:seconds_digits.p}).\n\n"
        "Evolution of policies at equal evaluations: the difference is {RUN:speed_swing_up} on "
        "swing-up, where the one-sided test says reversed and the two-sided one shows no difference, "
        "{RUN:speed_double_pole} on double pole and "
        "{RUN:speed_acrobot} on acrobot. At equal seconds it gains nothing there.\n\n"
        "By their means, without a test: evolution strategies match aligned crossover on digits, and are behind on the "
        "tasks of control. Alignment by weights is not behind naive crossover anywhere at equal evaluations. At equal "
        "seconds it is, by {RUN:seconds_digits_aligned_by_weights_over_naive} on digits (p = "
        "{RUN:seconds_digits_aligned_by_weights_over_naive.p}) and "
        "{RUN:seconds_double_pole_aligned_by_weights_over_naive} on double pole (p = "
        "{RUN:seconds_double_pole_aligned_by_weights_over_naive.p}).\n\n"
        "One factor at a time on digits (exploratory): with one founder, so that all parents are relatives, alignment "
        "still raises the mean score, by {FOUNDERS:speed_digits_aligned_one_founder_over_naive_one_founder} (p = "
        "{FOUNDERS:speed_digits_aligned_one_founder_over_naive_one_founder.p}), about half of the gain with unrelated "
        "founders. Aligning founders once, or a tenth of the matings, gives less than aligning each: "
        "{FOUNDERS:speed_digits_founders_aligned_once_over_aligned} (p = "
        "{FOUNDERS:speed_digits_founders_aligned_once_over_aligned.p}) and "
        "{FOUNDERS:speed_digits_aligned_in_a_tenth_over_aligned} (p = "
        "{FOUNDERS:speed_digits_aligned_in_a_tenth_over_aligned.p}).\n\n"
        "One factor at a time on swing-up (exploratory): with spherical crossover, that of M2N2, alignment "
        "lowers the mean "
        "score. The difference to naive crossover is {FACTORS:speed_swing_up_aligned_rate_1_over_naive_rate_1} (p = "
        "{FACTORS:speed_swing_up_aligned_rate_1_over_naive_rate_1.p}) if all children have two parents, and "
        "{FACTORS:speed_swing_up_aligned_rate_0_5_over_naive_rate_0_5} (p = "
        "{FACTORS:speed_swing_up_aligned_rate_0_5_over_naive_rate_0_5.p}) if half of them have. With a "
        "quarter, and with "
        "uniform, arithmetic and neuron crossover, no difference is shown.\n\n"
        "Aligning the founders once is better than aligning parents at every mating, by "
        "{FACTORS:speed_swing_up_founders_aligned_once_over_aligned} (p = "
        "{FACTORS:speed_swing_up_founders_aligned_once_over_aligned.p}). Networks of 16 and of 64 neurons "
        "show the harm "
        "too. With islands, exact matching and other probes no difference is shown.\n\n"
        "Kinship seems not to explain the harm: with one founder, so that all are relatives, the difference is "
        "{FACTORS:speed_swing_up_aligned_one_founder_over_naive_one_founder}, of the same size, though not "
        "significant. "
        "A possible reason, which no run has tested: children of aligned relatives lie between their parents, so that "
        "the population loses variation."
    )
    .replace("{RUN:", f"{{{RUN}:")
    .replace("{FACTORS:", f"{{{FACTORS}:")
    .replace("{FOUNDERS:", f"{{{FOUNDERS}:"),
    headline=RUN,
    answers=tuple((run, "where aligned crossover helps") for run in (RUN, FOUNDERS, FACTORS)),
    control=(
        "The controls of alignment are naive crossover of the same parents, crossover after a random order of neurons, "
        "and an alignment of dead neurons alone. Mutation only has no crossover at all. All arms of a task have the "
        "same seeds, founders and episodes of the score."
    ),
    scale={
        RUN: "part 1 on five tasks, 20 pairs; part 2 on four tasks with the arms of the table, 20 "
        "seeds; no factors, no safe mutation, no environments of gymnax; most cells ran at commit 2a50856",
        FOUNDERS: "part 2 on digits: the factors founders and share of matings aligned, 20 seeds, "
        "beside the arms naive "
        "and aligned, whose cells were taken over from the first run",
        FACTORS: "part 2 on swing-up: seven factors, one at a time, 20 seeds, beside the arms naive and aligned, whose "
        "cells were taken over from the first run",
        "demo-clean-digits": "part 1 on swing-up alone, 8 pairs, champions of 2560 evaluations; part 2 on handwritten "
        "digits alone, four of the eight arms, 1000 of 5000 evaluations, 8 seeds",
    },
    figures=(
        (
            RUN,
            "transfer",
            "Part 1: a child's score as a share of its parents' mean. A point is a pair of champions of separate runs, "
            "a bar the mean over pairs. The dashed line is the parents.",
        ),
        (
            RUN,
            "speed",
            "Part 2: the score of the fittest network on test data. A line is the interquartile mean over seeds, a "
            "band reaches from the first to the third quartile. The dotted line is the threshold.",
        ),
        (
            FOUNDERS,
            "factors-digits",
            "Part 2 on handwritten digits, two factors. Lines are interquartile means over seeds. Only "
            "the arms naive and "
            "aligned have bands, from the first to the third quartile.",
        ),
        (
            FACTORS,
            "factors-swing-up",
            "Part 2 on swing-up, one factor a panel. Lines are interquartile means over seeds. Only the arms naive and "
            "aligned have bands, from the first to the third quartile.",
        ),
    ),
    differences=(
        (
            "Uriot and Izzo have no experiment with a genetic algorithm, so that no claim has a number of the paper",
            "They leave it to future work.",
        ),
        (
            "Mutation scale and crossover rate are tuned on digits and on swing-up alone; other tasks of control take "
            "those of swing-up",
            "Time. The grid is coarse (three scales, two rates), with three seeds and a fifth of the evaluations, and "
            "several arms have an end of it. Strategies have three trials where arms with crossover have four, and the "
            "learning rate of OpenAI-ES follows its deviation.",
        ),
        (
            "Safe mutation was not run, nor were five factors on digits, and M2N2's own settings and scale",
            "Time: safe mutation takes about ten times as long on digits.",
        ),
        (
            "On double pole the score of a member that has not changed may fall",
            "Its score is computed in another program than its fitness. The task is chaotic, so that rounding counts.",
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
