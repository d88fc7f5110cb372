"""Exercise 10.6: judge a change from pairs of runs."""

import math
import statistics
from collections.abc import Iterator

import numpy as np
import torch

from coursekit.from_scratch.paired import T_975, verdict
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    yield case("two pairs with the same gain", [0.5, 0.25], [0.25, 0.0])
    yield case("three pairs that gain much the same, from baselines far apart", [0.32, 0.19, 0.44], [0.30, 0.17, 0.41])
    yield case("three pairs that lose much the same", [0.30, 0.17, 0.41], [0.32, 0.19, 0.44])
    yield case("gains of 0.05, 0.04 and 0.00", [0.35, 0.32, 0.30], [0.30, 0.28, 0.30])
    yield case("no difference at all", [0.3, 0.2], [0.3, 0.2])
    yield case("two pairs, nearly the same gain", [0.31, 0.33], [0.30, 0.31])
    yield case("four pairs, one of them worse", [0.35, 0.36, 0.34, 0.29], [0.30, 0.30, 0.30, 0.30])
    yield case("pairs whose sorted scores differ by other amounts", [0.30, 0.42, 0.24], [0.28, 0.41, 0.21])
    for pairs in (5, 11):
        baselines = 0.3 + 0.05 * torch.randn(pairs, generator=generator, dtype=torch.float64)
        gains = 0.01 + 0.01 * torch.randn(pairs, generator=generator, dtype=torch.float64)
        yield case(f"{pairs} pairs", (baselines + gains).tolist(), baselines.tolist())
    baselines = (0.3 + 0.05 * torch.randn(4, generator=generator, dtype=torch.float64)).numpy()
    yield case("four pairs, as NumPy arrays", baselines + np.array([0.02, 0.015, 0.03, 0.02]), baselines)


# Wrong answers. `_judged` is right as long as its options are left alone.


def _judged(changes, baselines, *, spread=lambda d: np.std(d, ddof=1), t=lambda n: T_975[n - 2], root=True, limit=0.0):
    differences = np.asarray(changes, float) - np.asarray(baselines, float)
    pairs, mean = len(differences), float(np.mean(differences))
    half = t(pairs) * float(spread(differences)) / (math.sqrt(pairs) if root else 1)
    low, high = mean - half, mean + half
    return "proved" if low > limit else "disproved" if high < -limit else "open", mean, low, high


def _changed(words="", **options):
    return Wrong(lambda changes, baselines: _judged(changes, baselines, **options), words)


def two_groups(changes, baselines):
    """As if nothing were paired."""
    pairs, mean = len(changes), float(np.mean(changes) - np.mean(baselines))
    half = T_975[pairs - 2] * math.sqrt((np.var(changes, ddof=1) + np.var(baselines, ddof=1)) / pairs)
    low, high = mean - half, mean + half
    return "proved" if low > 0 else "disproved" if high < 0 else "open", mean, low, high


def against_the_range_of_baselines(changes, baselines):
    _, mean, low, high = verdict(changes, baselines)
    luck = max(baselines) - min(baselines)
    return "proved" if mean > luck else "disproved" if mean < -luck else "open", mean, low, high


def sorted_first(changes, baselines):
    return verdict(sorted(changes), sorted(baselines))


def the_mean_alone(changes, baselines):
    _, mean, low, high = verdict(changes, baselines)
    return "proved" if mean > 0 else "disproved" if mean < 0 else "open", mean, low, high


def all_pairs_better(changes, baselines):
    _, mean, low, high = verdict(changes, baselines)
    differences = np.asarray(changes) - np.asarray(baselines)
    return "proved" if min(differences) > 0 else "disproved" if max(differences) < 0 else "open", mean, low, high


def baselines_minus_changes(changes, baselines):
    return verdict(baselines, changes)


def without_disproved(changes, baselines):
    words, *numbers = verdict(changes, baselines)
    return ("proved" if words == "proved" else "open", *numbers)


def zero_counts_as_proved(changes, baselines):
    _, mean, low, high = verdict(changes, baselines)
    return "proved" if low >= 0 else "disproved" if high <= 0 else "open", mean, low, high


def only_the_word(changes, baselines):
    return verdict(changes, baselines)[0]


def half_the_width(changes, baselines):
    words, mean, low, _ = verdict(changes, baselines)
    return words, mean, mean - low


def in_percent(changes, baselines):
    words, *numbers = verdict(changes, baselines)
    return (words, *(100 * number for number in numbers))


def smallest_and_largest(changes, baselines):
    differences = np.asarray(changes) - np.asarray(baselines)
    low, high = float(min(differences)), float(max(differences))
    return "proved" if low > 0 else "disproved" if high < 0 else "open", float(differences.mean()), low, high


# Other right answers.


def with_the_statistics_module(changes, baselines):
    differences = [float(after) - float(before) for after, before in zip(changes, baselines)]
    mean = statistics.fmean(differences)
    factor = ([*T_975, *[1.96] * 99])[len(differences) - 2]
    error = factor * statistics.stdev(differences) / len(differences) ** 0.5
    word = "open"
    if mean - error > 0:
        word = "proved"
    elif mean + error < 0:
        word = "disproved"
    return [word, mean, mean - error, mean + error]


def with_torch(changes, baselines):
    differences = torch.tensor(np.asarray(changes)) - torch.tensor(np.asarray(baselines))
    pairs = len(differences)
    t = T_975[pairs - 2] if pairs < 12 else 1.96
    mean, half = differences.mean().item(), (t * differences.std() / pairs**0.5).item()
    words = {(True, True): "proved", (False, False): "disproved"}
    return words.get((mean - half > 0, mean + half >= 0), "open"), mean, mean - half, mean + half


EXERCISE = Exercise(
    "verdict",
    lesson=10,
    minutes=10,
    reference=verdict,
    cases=cases,
    results=("verdict", "mean of the differences", "low end of the interval", "high end of the interval"),
    hints=(
        "“My interval is far too wide.” What do you take the spread of? The baselines differ because of their seeds, and so "
        "do the runs with the change. In a pair the seed is the same: subtract first.",
        "differences = np.asarray(changes) - np.asarray(baselines). Their mean is the result. The interval reaches t · s / √n "
        "to either side, where s is their standard deviation, divided by n - 1: std(ddof=1).",
        "n = len(differences); half = T_975[n - 2] * differences.std(ddof=1) / n**0.5; low, high = mean - half, mean + half. "
        "“proved” if low > 0, “disproved” if high < 0, else “open”.",
    ),
    wrong=(
        Wrong(two_groups, "the pairs are torn apart: the spread is that of the two groups, not of the differences"),
        Wrong(
            against_the_range_of_baselines,
            "the mean is compared with how far the baselines are apart: that throws the pairing away",
        ),
        Wrong(sorted_first, "the scores are sorted first, so runs with other seeds become pairs"),
        Wrong(the_mean_alone, "the sign of the mean decides, however much the pairs disagree"),
        Wrong(all_pairs_better, "it is proved if every pair is better: the interval decides"),
        Wrong(baselines_minus_changes, "the difference has the wrong sign: a change minus its baseline"),
        Wrong(without_disproved, "a change that does harm is “open”: it should be “disproved”"),
        Wrong(zero_counts_as_proved, "an interval that touches 0 is “open”"),
        Wrong(only_the_word, "it returns only the word: the mean, the low and the high end belong to it"),
        Wrong(half_the_width, "it returns half the width of the interval, not its two ends"),
        Wrong(in_percent, "the numbers are in percent"),
        Wrong(smallest_and_largest, "the interval goes from the smallest to the largest difference"),
        _changed("the standard deviation is divided by n: use ddof=1, which divides by n - 1", spread=np.std),
        _changed(
            "the standard deviation isn't divided by √n: that's the spread of one pair, not of the mean", root=False
        ),
        _changed("t is always 1.96: with few pairs it is larger, see T_975", t=lambda n: 1.96),
        _changed("t is for n degrees of freedom: it should be for n - 1", t=lambda n: T_975[min(n - 1, 9)]),
        _changed(
            "t is for n degrees of freedom: it should be for n - 1",
            t=lambda n: T_975[n - 1] if n <= len(T_975) else 1.96,
        ),
        _changed("the variance is used in place of the standard deviation", spread=lambda d: np.var(d, ddof=1)),
        _changed(limit=0.01),
    ),
    right=(with_the_statistics_module, with_torch),
)
