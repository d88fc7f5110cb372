"""Wrong answers that people really give to `sample_balanced`; those named `right_…` must pass."""

import torch


def wrong_ignored_are_negatives(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches < 0)[0]
    most = min(len(positives), int(count * positive_share))
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: count - most]]


def wrong_forgets_object_0(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches > 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(count * positive_share))
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: count - most]]


def wrong_fixed_number_of_negatives(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = int(count * positive_share)
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: count - most]]


def wrong_positives_are_repeated_to_fill_their_share(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = int(count * positive_share) if len(positives) else 0
    if most:
        positives = positives[torch.randint(len(positives), (most,), generator=generator)]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: count - most]]


def wrong_only_positives_are_drawn(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(count * positive_share))
    return positives[torch.randperm(len(positives), generator=generator)[:most]], negatives[: count - most]


def wrong_gives_masks(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(count * positive_share))
    yes, no = torch.zeros(len(matches), dtype=torch.bool), torch.zeros(len(matches), dtype=torch.bool)
    yes[positives[torch.randperm(len(positives), generator=generator)[:most]]] = True
    no[negatives[torch.randperm(len(negatives), generator=generator)[: count - most]]] = True
    return yes, no


def wrong_share_of_what_is_there(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = int(min(len(positives), count) * positive_share)
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: count - most]]


def wrong_fails_without_a_positive(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(count * positive_share))
    chosen = positives[torch.multinomial(torch.ones(len(positives)), most, generator=generator)]
    left = min(len(negatives), count - most)
    return chosen, negatives[torch.multinomial(torch.ones(len(negatives)), left, generator=generator)]


def wrong_draws_by_itself(matches, count, positive_share, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(count * positive_share))
    return positives[torch.randperm(len(positives))[:most]], negatives[torch.randperm(len(negatives))[: count - most]]


def right_by_shuffling_all(matches, count, positive_share, generator=None):
    order = torch.randperm(len(matches), generator=generator)
    shuffled = matches[order]
    positives = order[shuffled >= 0][: int(count * positive_share)]
    return positives, order[shuffled == -1][: count - len(positives)]


def right_by_random_keys(matches, count, positive_share, generator=None):
    keys = torch.rand(len(matches), generator=generator)
    positives = torch.nonzero(matches >= 0).flatten()
    negatives = torch.nonzero(matches == -1).flatten()
    positives = positives[keys[positives].argsort()][: int(count * positive_share)]
    return positives, negatives[keys[negatives].argsort()][: count - len(positives)]
