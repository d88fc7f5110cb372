"""Wrong answers that people really give to `sample_balanced`; those named `right_…` must pass."""

import torch


def wrong_ignored_are_negatives(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches < 0)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]


def wrong_forgets_object_0(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches > 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]


def wrong_fixed_number_of_negatives(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = int(batch_size_per_image * positive_fraction)
    positives = positives[torch.randperm(len(positives), generator=generator)[:most]]
    return positives, negatives[torch.randperm(len(negatives), generator=generator)[: batch_size_per_image - most]]


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


def wrong_draws_by_itself(matches, batch_size_per_image, positive_fraction, generator=None):
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return positives[torch.randperm(len(positives))[:most]], negatives[
        torch.randperm(len(negatives))[: batch_size_per_image - most]
    ]


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
