"""Exercise 4.5, `sample_balanced`: a random sample of the anchors, because nearly all are background."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import sample_balanced
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu, on_gpu

BACKGROUND, IGNORED = -1, -2
DRAWS = 60


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
    yield case("no place for positives: half of 1 is less than 1", _matches(3, 4, 0), 1, 0.5)
    yield case("a fraction of 1: all places may be positive", _matches(9, 14, 0), 6, 1.0)
    yield case("one positive and one negative", _matches(1, 1, 1), 2, 0.5)
    yield case("fewer negatives than places", _matches(9, 2, 3), 10, 0.5)
    yield on_a_gpu(_matches(9, 14, 2), 8, 0.5, what="matches")


def _matches(positive: int, negative: int, ignored: int) -> Tensor:
    """Return the matches of these numbers of anchors. The positives match the objects 0, 1, 2, 0, 1, …"""
    parts = [torch.arange(positive) % 3, torch.full((negative,), BACKGROUND), torch.full((ignored,), IGNORED)]
    return torch.cat(parts)


def call(answer: Answer, matches: Tensor, batch_size_per_image: int, positive_fraction: float) -> Any:
    """Return what must hold for any sample: how many of which kind, and whether it is random and repeatable."""
    if is_elsewhere((matches,)):
        args = matches, batch_size_per_image, positive_fraction
        return [anywhere(answer, *args), anywhere(answer, *args, on_gpu(torch.Generator()))]

    def draw(generator: torch.Generator | None) -> list[Tensor]:
        return list(answer(matches, batch_size_per_image, positive_fraction, generator))

    def draws(generators: Sequence[torch.Generator | None]) -> list[list[Tensor]]:
        return [draw(generator) for generator in generators]

    samples = draws([torch.Generator().manual_seed(seed) for seed in range(DRAWS)])
    result = _of_each_kind(samples, matches)
    same = draws([torch.Generator().manual_seed(seed) for seed in range(5)])
    result["the same with the same seed"] = _as_lists(same) == _as_lists(samples[:5])
    generator = torch.Generator().manual_seed(0)
    result["other samples when a generator goes on"] = _differ(draws([generator] * 12))
    torch.manual_seed(0)
    result["other samples each time without a generator"] = _differ(draws([None] * 12))
    state = torch.get_rng_state()
    draw(torch.Generator().manual_seed(0))
    result["torch's own generator stays as it was"] = torch.equal(state, torch.get_rng_state())
    return result


def _of_each_kind(samples: list[list[Tensor]], matches: Tensor) -> dict[str, Any]:
    result: dict[str, Any] = {"how many results": len(samples[0])}
    for place, (name, kind) in enumerate([("positives", matches >= 0), ("negatives", matches == BACKGROUND)]):
        result[f"dimensions of the {name}"] = samples[0][place].ndim
        drawn = [sample[place].flatten() for sample in samples]
        result[f"how many {name}"] = len(drawn[0])
        result[f"dtype of the {name}"] = str(drawn[0].dtype)
        result[f"all {name} are of that kind"] = all(bool(kind[positions].all()) for positions in drawn)
        result[f"no {name} twice"] = all(len(positions.unique()) == len(positions) for positions in drawn)
        result[f"other {name} with other seeds"] = len({tuple(sorted(positions.tolist())) for positions in drawn}) > 1
        if len(matches) < 50:  # then each is drawn at some time, for all practical purposes
            result[f"{name} that are never drawn"] = int(kind.sum()) - len(torch.cat(drawn).unique())
    return result


def _as_lists(samples: list[list[Tensor]]) -> list[list[Any]]:
    return [[positions.flatten().tolist() for positions in sample] for sample in samples]


def _differ(samples: list[list[Tensor]]) -> bool:
    """Return whether the samples are not all the same set."""
    return len({str([sorted(positions) for positions in sample]) for sample in _as_lists(samples)}) > 1


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


def _rest(matches, batch_size_per_image, positive_fraction, generator=None):
    """Draw as the reference does."""
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_a_new_generator_each_time(matches, batch_size_per_image, positive_fraction, generator=None):
    seed = 0 if generator is None else generator.initial_seed()
    return _rest(matches, batch_size_per_image, positive_fraction, torch.Generator().manual_seed(seed))


def wrong_a_fixed_seed(matches, batch_size_per_image, positive_fraction, generator=None):
    return _rest(matches, batch_size_per_image, positive_fraction, torch.Generator().manual_seed(0))


def wrong_a_fixed_seed_without_a_generator(matches, batch_size_per_image, positive_fraction, generator=None):
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return _rest(matches, batch_size_per_image, positive_fraction, generator)


def wrong_seeds_torch(matches, batch_size_per_image, positive_fraction, generator=None):
    torch.manual_seed(0 if generator is None else generator.initial_seed())
    return _rest(matches, batch_size_per_image, positive_fraction)


def wrong_seeds_torch_from_the_generator(matches, batch_size_per_image, positive_fraction, generator=None):
    if generator is not None:
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
    return _rest(matches, batch_size_per_image, positive_fraction)


def wrong_generator_of_the_positives_only(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    some = torch.randperm(len(positives), generator=generator)[:most]
    return positives[some], negatives[torch.randperm(len(negatives))[: batch_size_per_image - most]]


def wrong_a_window(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    others = min(len(negatives), batch_size_per_image - most)
    first = [
        int(torch.randint(max(1, len(kind) - count), (1,), generator=generator))
        for kind, count in ((positives, most), (negatives, others))
    ]
    return positives[first[0] : first[0] + most], negatives[first[1] : first[1] + others]


def wrong_never_the_last(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    some = torch.randperm(max(most, len(positives) - 1), generator=generator)[:most]
    others = min(len(negatives), batch_size_per_image - most)
    return positives[some], negatives[torch.randperm(max(others, len(negatives) - 1), generator=generator)[:others]]


def wrong_always_at_least_one_positive(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), max(1, int(batch_size_per_image * positive_fraction)))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_rounded(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), round(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_positives_fill_up(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = int(batch_size_per_image * positive_fraction)
    most = max(most, batch_size_per_image - len(negatives))
    most = min(most, len(positives))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_all_negatives(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, len(negatives), generator)


def wrong_all_positives(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    return _drawn(positives, negatives, len(positives), max(0, batch_size_per_image - len(positives)), generator)


def wrong_fraction_of_the_negatives(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * (1 - positive_fraction)))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def wrong_one_tensor(matches, batch_size_per_image, positive_fraction, generator=None):
    return [torch.cat(_rest(matches, batch_size_per_image, positive_fraction, generator))]


def wrong_int32(matches, batch_size_per_image, positive_fraction, generator=None):
    return [part.int() for part in _rest(matches, batch_size_per_image, positive_fraction, generator)]


def wrong_columns(matches, batch_size_per_image, positive_fraction, generator=None):
    return [part[:, None] for part in _rest(matches, batch_size_per_image, positive_fraction, generator)]


def wrong_mask_on_the_cpu(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    keys = torch.rand(len(matches), generator=generator)
    order = (keys + 2 * (matches < 0)).argsort()
    others = (keys + 2 * (matches != BACKGROUND)).argsort()
    return order[:most], others[: min(len(negatives), batch_size_per_image - most)]


def wrong_shuffled_on_the_cpu(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    some = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return some, negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]


def right_by_shuffling_all(matches, batch_size_per_image, positive_fraction, generator=None):
    order = torch.randperm(len(matches), generator=generator, device=matches.device)
    shuffled = matches[order]
    positives = order[shuffled >= 0][: int(batch_size_per_image * positive_fraction)]
    return positives, order[shuffled == -1][: batch_size_per_image - len(positives)]


def right_by_random_keys(matches, batch_size_per_image, positive_fraction, generator=None):
    keys = torch.rand(len(matches), generator=generator, device=matches.device)
    positives = torch.nonzero(matches >= 0).flatten()
    negatives = torch.nonzero(matches == -1).flatten()
    positives = positives[keys[positives].argsort()][: int(batch_size_per_image * positive_fraction)]
    return positives, negatives[keys[negatives].argsort()][: batch_size_per_image - len(positives)]


def right_by_multinomial(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = _kinds(matches)
    count = min(int(batch_size_per_image * positive_fraction), positives.numel())
    chosen = []
    for kind, wanted in ((positives, count), (negatives, batch_size_per_image - count)):
        wanted = min(wanted, len(kind))
        weights = torch.ones(len(kind), device=matches.device)
        chosen.append(kind[weights.multinomial(wanted, generator=generator)] if wanted else kind[:0])
    return chosen


def right_by_a_draw_after_another(matches, batch_size_per_image, positive_fraction, generator=None):
    pools = [[i for i, match in enumerate(matches.tolist()) if match >= 0]]
    pools += [[i for i, match in enumerate(matches.tolist()) if match == -1]]
    counts = [min(len(pools[0]), math.floor(batch_size_per_image * positive_fraction))]
    counts += [min(len(pools[1]), batch_size_per_image - counts[0])]
    drawn = []
    for pool, count in zip(pools, counts, strict=True):
        draw = partial(torch.randint, size=(1,), generator=generator, device=matches.device)
        some = [pool.pop(int(draw(high=len(pool)))) for _ in range(count)]
        drawn.append(torch.tensor(some, dtype=torch.int64, device=matches.device))
    return tuple(drawn)


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
        "“Nearly there.” most = min(len(positives), int(batch_size_per_image * positive_fraction)); torch.randperm(n, generator=generator, "
        "device=matches.device)[:most] draws most different numbers below n; use them to index positives. Then the same for "
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
            "the same anchors are drawn each time: nothing is random, or the seed is fixed",
        ),
        Wrong(wrong_drawn_twice, "some are drawn twice (randint instead of randperm)"),
        Wrong(wrong_among_their_kind, "the positions are those among the positives, not among all anchors"),
        Wrong(wrong_without_generator, "the generator is not used: a run can't be repeated"),
        Wrong(wrong_swapped, "negatives come first"),
        Wrong(wrong_share_rounded_up, "the number of positives is rounded up: the fraction is a maximum"),
        Wrong(wrong_positives_are_repeated_to_fill_their_share, "positives are repeated to fill their share"),
        Wrong(wrong_only_positives_are_drawn, "negatives are not drawn at random: the first are taken"),
        Wrong(wrong_gives_masks, "masks are returned, not positions"),
        Wrong(wrong_share_of_what_is_there, "the fraction is taken of the positives that are there, not of the batch"),
        Wrong(wrong_fails_without_a_positive, "it fails if there is no positive or no negative"),
        Wrong(
            wrong_a_new_generator_each_time,
            "the generator starts anew at each call: a generator goes on, so each call draws others",
        ),
        Wrong(wrong_a_fixed_seed),
        Wrong(
            wrong_a_fixed_seed_without_a_generator,
            "without a generator the seed is fixed: torch's own generator should go on",
        ),
        Wrong(wrong_seeds_torch),
        Wrong(wrong_seeds_torch_from_the_generator),
        Wrong(wrong_generator_of_the_positives_only, "only the positives are drawn with the generator"),
        Wrong(wrong_a_window),
        Wrong(wrong_never_the_last, "the last one is never drawn: randperm(n) draws below n"),
        Wrong(wrong_always_at_least_one_positive),
        Wrong(wrong_rounded, "the number of positives is rounded: the fraction is a maximum"),
        Wrong(
            wrong_positives_fill_up, "positives fill up the places that background leaves free, beyond their fraction"
        ),
        Wrong(wrong_all_negatives, "all negatives are taken, not only as many as there are places"),
        Wrong(wrong_all_positives, "all positives are taken, beyond their fraction"),
        Wrong(wrong_fraction_of_the_negatives, "the fraction is taken for that of the negatives"),
        Wrong(wrong_one_tensor, "one tensor is returned, not two"),
        Wrong(wrong_int32),
        Wrong(wrong_columns, "positions have two dimensions, (n, 1): nonzero() returns a column"),
        Wrong(wrong_mask_on_the_cpu),
        Wrong(wrong_shuffled_on_the_cpu),
    ),
    right=(right_by_shuffling_all, right_by_random_keys, right_by_multinomial, right_by_a_draw_after_another),
)
