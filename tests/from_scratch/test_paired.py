import math

import numpy as np
import pytest
import torch

from coursekit.from_scratch.paired import T_975, verdict


def test_pairs_decide_where_groups_could_not():
    baselines, changes = [0.30, 0.17, 0.41], [0.32, 0.19, 0.44]
    word, mean, low, high = verdict(changes, baselines)
    assert word == "proved"
    assert mean == pytest.approx(0.07 / 3)
    assert (low + high) / 2 == pytest.approx(mean)
    assert verdict(baselines, changes)[0] == "disproved"
    assert verdict(changes[::-1], baselines)[0] == "open"  # the pairs torn apart


def test_an_interval_that_touches_0_is_open():
    assert verdict([0.2, 0.2], [0.2, 0.2]) == ("open", 0.0, 0.0, 0.0)


def test_t_is_student_s():
    """The share of the t distribution below each point, by integrating its density."""
    for degrees, t in enumerate(T_975, 1):
        x = np.linspace(0, t, 200_001)
        factor = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
        density = factor * (1 + x**2 / degrees) ** (-(degrees + 1) / 2)
        assert 0.5 + np.trapezoid(density, x) == pytest.approx(0.975, abs=2e-5)


def test_of_changes_that_do_nothing_about_one_in_twenty_is_judged():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 2000, 4, generator=generator, dtype=torch.float64)
    words = [verdict(*pair)[0] for pair in zip(*noise.tolist(), strict=True)]
    assert 0.03 < 1 - words.count("open") / len(words) < 0.07
