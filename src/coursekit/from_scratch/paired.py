"""Judge a change from pairs of runs: the reference of an exercise of lesson 10."""

import math
from collections.abc import Sequence

import numpy as np

# 97.5 % points of Student's t distribution for 1, 2, … degrees of freedom; beyond the last, that of the normal one.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
NORMAL_975 = 1.960


def verdict(changes: Sequence[float], baselines: Sequence[float]) -> tuple[str, float, float, float]:
    """Judge a change from runs in pairs: the same seed, with the change and without it.

    The differences of the pairs count, not the two groups of scores: what a seed does to both runs cancels.

    Args:
        changes: scores of the runs with the change, at least two.
        baselines: scores of the runs without it, in the same order of seeds.

    Returns:
        "proved", "disproved" or "open"; the mean difference; and the low and high end of its 95 % interval, the mean
        ± t · s / √n: n pairs, s the standard deviation of their differences (divided by n - 1), t from Student's
        distribution with n - 1 degrees of freedom. It is proved if the whole interval is above 0, disproved if it is
        below 0, open otherwise.
    """
    differences = np.asarray(changes, float) - np.asarray(baselines, float)
    pairs = len(differences)
    t = T_975[pairs - 2] if pairs - 1 <= len(T_975) else NORMAL_975
    mean, half = float(differences.mean()), t * float(differences.std(ddof=1)) / math.sqrt(pairs)
    low, high = mean - half, mean + half
    return "proved" if low > 0 else "disproved" if high < 0 else "open", mean, low, high
