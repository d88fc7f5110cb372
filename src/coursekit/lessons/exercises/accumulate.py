"""Exercise 8.5, `accumulate`: the gradients of a large batch in the memory of a small one."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import torch

from coursekit.from_scratch.real_step import accumulate
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.recording_model import SmallModel, backward_of, draw_batch, without_graphs


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a batch of one image", 1, 1)
    yield case("all images in one micro-batch", 3, 3)
    yield case("two images, one at a time", 2, 1)
    yield case("micro-batches of equal size", 4, 2)
    yield case("a last micro-batch that is smaller", 3, 2)
    yield case("a micro-batch larger than the batch", 3, 8)
    yield case("seven images in micro-batches of three", 7, 3)
    yield case("gradients left from before", 4, 3, 1.0)
    yield case("five images, one at a time", 5, 1)


def call(answer: Answer, images: int, micro_batch: int, gradients_before: float = 0.0) -> Any:
    """Return losses and gradients, and the images of the largest micro-batch."""
    model = SmallModel()
    model.set_gradients(gradients_before)
    losses = answer(backward_of(model), *draw_batch(images), micro_batch)
    return {
        "gradients": model.gradients(),
        "losses": without_graphs(losses),
        "most images in a micro-batch": model.largest_batch,
        "calls of backward": model.calls,
    }


def by_images(part, batch, micro_batch, parts):
    """Return a micro-batch's weight: its images divided by those of the batch."""
    return part / batch


def accumulated(
    backward, images, targets, micro_batch, *, weight=by_images, reported_weight=None, always_first=(), drop_last=False,
    only_last_losses=False,
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    totals = {}
    starts = range(0, len(images), micro_batch)
    for start in starts:
        part = slice(start, start + micro_batch)
        length = len(images[part])
        if drop_last and length < min(micro_batch, len(images)):
            break
        image_part, target_part = (slice(length) if name in always_first else part for name in ("images", "targets"))
        sizes = length, len(images), micro_batch, len(starts)
        losses = backward(images[image_part], targets[target_part], weight(*sizes))
        for name, loss in losses.items():
            share = loss * (reported_weight or weight)(*sizes)
            totals[name] = share if only_last_losses else totals.get(name, 0.0) + share
    return totals


def changed(**how):
    """Return `accumulated` with a keyword changed."""
    return lambda *args: accumulated(*args, **how)


def wrong_all_at_once(backward, images, targets, micro_batch):
    return accumulate(backward, images, targets, len(images))


def wrong_divides_by_whole_parts(backward, images, targets, micro_batch):
    parts = len(images) // micro_batch or 1
    return accumulated(backward, images, targets, micro_batch, weight=lambda *_: 1 / parts)


def wrong_returns_the_sum(*args):
    return sum(accumulate(*args).values())


def wrong_returns_a_list(backward, images, targets, micro_batch):
    losses = []

    def recorded(*args):
        losses.append(backward(*args))
        return losses[-1]

    accumulate(recorded, images, targets, micro_batch)
    return losses


def wrong_runs_twice(backward, images, targets, micro_batch):
    accumulate(backward, images, targets, micro_batch)
    return accumulate(backward, images, targets, micro_batch)


def wrong_splits_into_parts(backward, images, targets, micro_batch):
    return accumulate(backward, images, targets, -(-len(images) // micro_batch))


def wrong_skips_the_first(backward, images, targets, micro_batch):
    totals = accumulate(backward, images[:micro_batch], targets[:micro_batch], micro_batch)
    for start in range(micro_batch + 1, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        weight = len(images[part]) / len(images)
        for name, loss in backward(images[part], targets[part], weight).items():
            totals[name] += loss * weight
    return totals


def right_divides_at_the_end(backward, images, targets, micro_batch):
    totals, done = {}, 0
    while done < len(images):
        few = images[done : done + micro_batch]
        losses = backward(few, targets[done : done + len(few)], len(few) / len(images))
        for name in losses:
            totals[name] = totals.get(name, 0.0) + losses[name] * len(few)
        done += len(few)
    return {name: value / len(images) for name, value in totals.items()}


def right_splits(backward, images, targets, micro_batch):
    totals = {}
    for number, part in enumerate(torch.split(images, micro_batch)):
        share = len(part) / len(images)
        losses = backward(part, targets[number * micro_batch : number * micro_batch + len(part)], weight=share)
        totals = {name: totals.get(name, 0) + share * loss for name, loss in losses.items()}
    return totals


def right_with_a_counter(backward, images, targets, micro_batch):
    totals = Counter()
    for start in range(0, len(images), micro_batch):
        few = images[start : start + micro_batch]
        share = len(few) / len(images)
        losses = backward(images=few, targets=targets[start : start + micro_batch], weight=share)
        totals.update({name: share * loss for name, loss in losses.items()})
    return totals


def right_with_a_defaultdict(backward, images, targets, micro_batch):
    totals = defaultdict(float)
    for few, its_targets in zip(
        images.split(micro_batch), [targets[n : n + micro_batch] for n in range(0, len(images), micro_batch)]
    ):
        for name, loss in backward(few, its_targets, len(few) / len(images)).items():
            totals[name] += loss * len(few) / len(images)
    return totals


EXERCISE = Exercise(
    "accumulate",
    lesson=8,
    minutes=15,
    reference=accumulate,
    cases=cases,
    call=call,
    hints=(
        "“It is right for 4 images in micro-batches of 2, and wrong for 3.” A loss is a mean over the images of its "
        "micro-batch. If the last one is smaller, how much should each of its images count?",
        "“The gradients are right, the losses are not.” backward returns the losses of its images, unweighted. The loss of "
        "the batch is their weighted mean, with the weights that the gradients have.",
        "“Nearly there.” for start in range(0, len(images), micro_batch): slice images and targets alike; weight = images of "
        "the micro-batch / images of the batch; losses = backward(these images, these targets, weight); add loss * weight to "
        "the total of its name.",
    ),
    wrong=(
        Wrong(changed(weight=lambda *_: 1.0), "micro-batches are not weighted: the gradient grows with their number"),
        Wrong(
            changed(weight=lambda part, batch, micro_batch, parts: 1 / parts),
            "each micro-batch counts the same, even a last one that is smaller",
        ),
        Wrong(
            changed(weight=lambda part, batch, micro_batch, parts: micro_batch / batch),
            "each micro-batch counts as if it were full",
        ),
        Wrong(
            changed(weight=lambda part, batch, micro_batch, parts: part),
            "each micro-batch is weighted by its images, but not divided by those of the batch",
        ),
        Wrong(
            changed(weight=lambda part, *_: 1 / part), "each micro-batch is divided by its own images, not the batch's"
        ),
        Wrong(changed(drop_last=True), "a last micro-batch that is smaller is left out"),
        Wrong(changed(always_first=("targets",)), "images are sliced, but the targets are always the first ones"),
        Wrong(changed(always_first=("images", "targets")), "each micro-batch is the first one again"),
        Wrong(wrong_skips_the_first, "the first image of each later micro-batch is skipped"),
        Wrong(wrong_all_at_once, "all images go through at once: `micro_batch` is not used"),
        Wrong(
            wrong_splits_into_parts,
            "`micro_batch` is taken as the number of parts: it is the number of images in a part",
        ),
        Wrong(changed(reported_weight=lambda *_: 1.0), "the losses are summed without their weights"),
        Wrong(changed(only_last_losses=True), "it returns the losses of the last micro-batch"),
        Wrong(wrong_returns_the_sum, "it returns one number, where it should be a loss for each name"),
        Wrong(wrong_returns_a_list, "it returns the losses of each micro-batch: return those of the batch"),
        Wrong(wrong_runs_twice, "the batch goes through twice: the gradients are twice as large"),
        Wrong(wrong_divides_by_whole_parts, "the number of micro-batches is rounded down"),
    ),
    right=(right_divides_at_the_end, right_splits, right_with_a_counter, right_with_a_defaultdict),
)
