"""Exercise 4.5, `sample_balanced`: a random sample of the anchors, because nearly all are background."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import sample_balanced
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case

BACKGROUND, IGNORED = -1, -2


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("two positives, many negatives", _matches(2, 18, 0), 8, 0.5)
    yield case("more positives than allowed", _matches(9, 14, 0), 8, 0.5)
    yield case("a fraction of a quarter", _matches(9, 14, 0), 8, 0.25)
    yield case("some ignored anchors", _matches(3, 12, 8), 10, 0.5)
    yield case("an odd batch size: half of 7 is at most 3", _matches(9, 14, 0), 7, 0.5)
    yield case("no positive", _matches(0, 18, 5), 8, 0.5)
    yield case("no negative", _matches(12, 0, 5), 8, 0.5)
    yield case("fewer anchors than wanted", _matches(3, 4, 2), 100, 0.5)
    yield case("only ignored anchors", _matches(0, 0, 6), 8, 0.5)
    yield case("one object only, number 0", torch.tensor([0, -1, 0, -1, -1, 0, 0, -2]), 4, 0.5)
    mixed = torch.cat([_matches(60, 900, 90), torch.full((20,), 7)])
    yield case("many anchors, shuffled", mixed[torch.randperm(len(mixed), generator=generator)], 64, 0.5)


def _matches(positive: int, negative: int, ignored: int) -> Tensor:
    """Return the matches of these numbers of anchors. The positives match the objects 0, 1, 2, 0, 1, …"""
    parts = [torch.arange(positive) % 3, torch.full((negative,), BACKGROUND), torch.full((ignored,), IGNORED)]
    return torch.cat(parts)


def call(answer: Answer, matches: Tensor, batch_size_per_image: int, positive_fraction: float) -> Any:
    """Return what must hold for any sample: how many of which kind, and whether it is random and repeatable."""

    def draw(seed: int) -> list[Tensor]:
        positives, negatives = answer(
            matches, batch_size_per_image, positive_fraction, torch.Generator().manual_seed(seed)
        )
        return [positives, negatives]

    draws = [draw(seed) for seed in range(25)]
    answer(matches, batch_size_per_image, positive_fraction)
    result: dict[str, Any] = {}
    for place, (name, kind) in enumerate([("positives", matches >= 0), ("negatives", matches == BACKGROUND)]):
        samples = [sample[place] for sample in draws]
        result[f"how many {name}"] = len(samples[0])
        result[f"dtype of the {name}"] = str(samples[0].dtype)
        result[f"all {name} are of that kind"] = all(bool(kind[sample].all()) for sample in samples)
        result[f"no {name} twice"] = all(len(sample.unique()) == len(sample) for sample in samples)
        result[f"other {name} with other seeds"] = len({tuple(sorted(sample.tolist())) for sample in samples}) > 1
    again = [draw(seed) for seed in range(25)]
    same = [
        torch.equal(a, b)
        for first, second in zip(draws, again, strict=True)
        for a, b in zip(first, second, strict=True)
    ]
    return result | {"the same with the same seed": all(same)}


def _drawn(
    positives: Tensor, negatives: Tensor, most: int, others: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    some = torch.randperm(len(positives), generator=generator)[:most]
    return positives[some], negatives[torch.randperm(len(negatives), generator=generator)[:others]]


def _kinds(matches: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(matches >= 0)[0], torch.where(matches == BACKGROUND)[0]


def wrong_ignored_too(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    return sample_balanced(matches.clamp(min=BACKGROUND), batch_size_per_image, positive_fraction, generator)


def wrong_without_first(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = torch.where(matches > 0)[0], torch.where(matches == BACKGROUND)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_no_share(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    return sample_balanced(matches, batch_size_per_image, 1.0, generator)


def wrong_not_filled(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    most = int(batch_size_per_image * positive_fraction)
    return _drawn(*_kinds(matches), most, batch_size_per_image - most, generator)


def wrong_as_many_of_each(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, most, generator)


def wrong_first_ones(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return positives[:most], negatives[: batch_size_per_image - most]


def wrong_drawn_twice(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    if not len(positives) or not len(negatives):
        return sample_balanced(matches, batch_size_per_image, positive_fraction, generator)
    some = torch.randint(len(positives), (most,), generator=generator)
    return positives[some], negatives[
        torch.randint(len(negatives), (batch_size_per_image - most,), generator=generator)
    ]


def wrong_among_their_kind(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(
        torch.arange(len(positives)), torch.arange(len(negatives)), most, batch_size_per_image - most, generator
    )


def wrong_without_generator(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    return sample_balanced(matches, batch_size_per_image, positive_fraction)


def wrong_swapped(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    return sample_balanced(matches, batch_size_per_image, positive_fraction, generator)[::-1]


def wrong_share_rounded_up(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), math.ceil(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_positives_are_repeated_to_fill_their_share(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = int(batch_size_per_image * positive_fraction) if len(positives) else 0
    if most:
        positives = positives[torch.randint(len(positives), (most,), generator=generator)]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]


def wrong_only_positives_are_drawn(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return positives[torch.randperm(len(positives), generator=generator)[:most]], negatives[
        : batch_size_per_image - most
    ]


def wrong_gives_masks(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    yes, no = torch.zeros(len(matches), dtype=torch.bool), torch.zeros(len(matches), dtype=torch.bool)
    yes[positives[torch.randperm(len(positives), generator=generator)[:most]]] = True
    no[negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]] = True
    return yes, no


def wrong_share_of_what_is_there(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = int(min(len(positives), batch_size_per_image) * positive_fraction)
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]


def wrong_fails_without_a_positive(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    chosen = positives[torch.multinomial(torch.ones(len(positives)), most, generator=generator)]
    left = min(len(negatives), batch_size_per_image - most)
    return chosen, negatives[torch.multinomial(torch.ones(len(negatives)), left, generator=generator)]


def right_by_shuffling_all(matches, batch_size_per_image, positive_fraction, generator=None):
    order = torch.randperm(len(matches), generator=generator)
    shuffled = matches[order]
    positives = order[shuffled >= 0][: int(batch_size_per_image * positive_fraction)]
    return positives, order[shuffled == -1][: batch_size_per_image - len(positives)]


def right_by_random_keys(matches, batch_size_per_image, positive_fraction, generator=None):
    keys = torch.rand(len(matches), generator=generator)
    positives = torch.nonzero(matches >= 0).flatten()
    negatives = torch.nonzero(matches == -1).flatten()
    positives = positives[keys[positives].argsort()][: int(batch_size_per_image * positive_fraction)]
    return positives, negatives[keys[negatives].argsort()][: batch_size_per_image - len(positives)]


EXERCISE = Exercise(
    "sample_balanced",
    lesson=4,
    minutes=10,
    reference=sample_balanced,
    cases=cases,
    call=call,
    library=("torchvision.models.detection._utils.BalancedPositiveNegativeSampler",),
    hints=(
        "“Too few in total.” If there are only 3 positives, what fills the places they leave free? Work out how many "
        "positives you take before you decide on the negatives.",
        "“Some are of the wrong kind.” There are three kinds: 0 or more is positive, -1 negative, -2 neither. torch.where(mask)[0] "
        "gives the positions of one kind.",
        "“Nearly there.” most = min(len(positives), int(batch_size_per_image * positive_fraction)); torch.randperm(n, generator=generator)"
        "[:most] draws most different numbers below n; use them to index positives. Then the same for "
        "batch_size_per_image - most negatives.",
    ),
    wrong=(
        Wrong(wrong_ignored_too, "ignored anchors (-2) are drawn as background"),
        Wrong(wrong_without_first, "the anchors of object 0 are left out (> 0 instead of >= 0)"),
        Wrong(wrong_no_share, "positives may fill the whole sample: `positive_fraction` is not used"),
        Wrong(wrong_not_filled, "background does not fill up the places that positives leave free"),
        Wrong(wrong_as_many_of_each, "only as many negatives as positives are drawn"),
        Wrong(
            wrong_first_ones,
            "nothing is random: the same anchors each time, such as the first, which are all in one corner",
        ),
        Wrong(wrong_drawn_twice, "some are drawn twice (randint instead of randperm)"),
        Wrong(wrong_among_their_kind, "the positions are those among the positives, not among all anchors"),
        Wrong(wrong_without_generator, "the generator is not used: a run can't be repeated"),
        Wrong(wrong_swapped, "negatives come first"),
        Wrong(wrong_share_rounded_up, "the number of positives is rounded up: the fraction is a maximum"),
        Wrong(wrong_positives_are_repeated_to_fill_their_share),
        Wrong(wrong_only_positives_are_drawn),
        Wrong(wrong_gives_masks),
        Wrong(wrong_share_of_what_is_there),
        Wrong(wrong_fails_without_a_positive),
    ),
    right=(
        right_by_shuffling_all,
        right_by_random_keys,
    ),
)
