"""Exercise 8.6, `accumulate`: the gradients of a large batch in the memory of a small one."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import torch

from coursekit.from_scratch.training import accumulate
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.small_model import SmallModel, draw_batch, total, without_graphs


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
    """Return losses and gradients, and how many micro-batches were in memory at once."""
    model = SmallModel()
    model.set_gradients(gradients_before)
    before = model.weights()
    losses = answer(model, *draw_batch(images), micro_batch)
    return {
        "gradients": model.gradients(),
        "losses": without_graphs(losses),
        "most images in a micro-batch": model.largest_batch,
        "micro-batches in memory at once": model.most_in_memory,
        "weights changed": not torch.equal(before, model.weights()),
    }


def by_images(part, batch, micro_batch, parts):
    """Return a micro-batch's weight: its images divided by those of the batch."""
    return part / batch


def accumulated(
    model, images, targets, micro_batch, *, weight=by_images, reported_weight=None, always_first=(), drop_last=False,
    clear=False, backward_at_end=False, only_last_losses=False, value=lambda loss: loss.item(),
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    totals, waiting = {}, []
    starts = range(0, len(images), micro_batch)
    for start in starts:
        part = slice(start, start + micro_batch)
        length = len(images[part])
        if drop_last and length < min(micro_batch, len(images)):
            break
        image_part, target_part = (slice(length) if name in always_first else part for name in ("images", "targets"))
        losses = model(images[image_part], targets[target_part])
        sizes = length, len(images), micro_batch, len(starts)
        if clear:
            model.zero_grad()
        waiting.append(total(losses) * weight(*sizes))
        if not backward_at_end:
            waiting.pop().backward()
        for name, loss in losses.items():
            share = value(loss) * (reported_weight or weight)(*sizes)
            totals[name] = share if only_last_losses else totals.get(name, 0.0) + share
    if waiting:
        torch.stack(waiting).sum().backward()
    return totals


def changed(**how):
    """Return `accumulated` with a keyword changed."""
    return lambda *args: accumulated(*args, **how)


def wrong_graph_retained(model, images, targets, micro_batch):
    totals = {}
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        losses = model(images[part], targets[part])
        weight = len(images[part]) / len(images)
        (total(losses) * weight).backward(retain_graph=True)
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0.0) + loss.item() * weight
    return totals


def wrong_sum_of_losses_first(model, images, targets, micro_batch):
    totals, whole = {}, 0
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        losses, weight = model(images[part], targets[part]), len(images[part]) / len(images)
        whole = whole + total(losses) * weight
        totals = {name: totals.get(name, 0) + loss.item() * weight for name, loss in losses.items()}
    whole.backward()
    return totals


def wrong_averages_gradients(model, images, targets, micro_batch):
    totals = accumulated(model, images, targets, micro_batch, weight=lambda *_: 1.0, reported_weight=by_images)
    parts = -(-len(images) // micro_batch)
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= parts
    return totals


def wrong_gradients_replaced(model, images, targets, micro_batch):
    totals = {}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        losses, weight = model(images[part], targets[part]), len(images[part]) / len(images)
        for whole, gradient in zip(sums, torch.autograd.grad(total(losses) * weight, parameters)):
            whole += gradient
        totals = {name: totals.get(name, 0) + loss.item() * weight for name, loss in losses.items()}
    for parameter, whole in zip(parameters, sums):
        parameter.grad = whole
    return totals


def wrong_takes_a_step(model, images, targets, micro_batch):
    totals = accumulate(model, images, targets, micro_batch)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return totals


def wrong_in_eval_mode(model, images, targets, micro_batch):
    with torch.no_grad():
        totals = {name: loss.item() for name, loss in model(images, targets).items()}
    accumulate(model, images, targets, micro_batch)
    return totals


def wrong_all_at_once(model, images, targets, micro_batch):
    return accumulate(model, images, targets, len(images))


def wrong_cleared_first(model, images, targets, micro_batch):
    model.zero_grad()
    return accumulate(model, images, targets, micro_batch)


def wrong_divides_by_whole_parts(model, images, targets, micro_batch):
    parts = len(images) // micro_batch or 1
    return accumulated(model, images, targets, micro_batch, weight=lambda *_: 1 / parts)


def wrong_returns_the_sum(model, images, targets, micro_batch):
    return sum(accumulate(model, images, targets, micro_batch).values())


def right_divides_at_the_end(model, images, targets, micro_batch):
    totals, done = {}, 0
    while done < len(images):
        few = images[done : done + micro_batch]
        losses = model(few, targets[done : done + len(few)])
        torch.autograd.backward([loss * (len(few) / len(images)) for loss in losses.values()])
        for name in losses:
            totals[name] = totals.get(name, 0.0) + losses[name].item() * len(few)
        done += len(few)
    return {name: value / len(images) for name, value in totals.items()}


def right_splits(model, images, targets, micro_batch):
    totals = {}
    for number, part in enumerate(torch.split(images, micro_batch)):
        its_targets = targets[number * micro_batch : number * micro_batch + len(part)]
        losses = model(part, its_targets)
        share = len(part) / len(images)
        sum(losses.values()).backward(torch.tensor(share))
        totals = {name: totals.get(name, 0) + share * loss.item() for name, loss in losses.items()}
    return totals


def right_with_a_counter(model, images, targets, micro_batch):
    totals = Counter()
    for start in range(0, len(images), micro_batch):
        few = images[start : start + micro_batch]
        losses = model(images=few, targets=targets[start : start + micro_batch])
        share = len(few) / len(images)
        (share * total(losses)).backward()
        totals.update({name: share * float(loss.detach()) for name, loss in losses.items()})
    return totals


def right_with_a_defaultdict(model, images, targets, micro_batch):
    totals = defaultdict(float)
    for few, its_targets in zip(
        images.split(micro_batch), [targets[n : n + micro_batch] for n in range(0, len(images), micro_batch)]
    ):
        losses = model(few, its_targets)
        for name, loss in losses.items():
            totals[name] += loss.item() * len(few) / len(images)
        torch.stack(list(losses.values())).sum().mul(len(few) / len(images)).backward()
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
        "“The gradients are right, but the memory is as full as before.” backward() frees what forward stored. Call it for "
        "each micro-batch, before the next forward. Gradients add up by themselves, so clear nothing in between.",
        "“Nearly there.” for start in range(0, len(images), micro_batch): slice images and targets alike; weight = images of "
        "the micro-batch / images of the batch; (sum of the losses * weight).backward(); add loss.item() * weight to the "
        "totals.",
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
        Wrong(changed(drop_last=True), "a last micro-batch that is smaller is left out"),
        Wrong(changed(always_first=("targets",)), "images are sliced, but the targets are always the first ones"),
        Wrong(changed(always_first=("images", "targets")), "each micro-batch is the first one again"),
        Wrong(changed(clear=True), "gradients are cleared before each micro-batch: only the last one counts"),
        Wrong(
            changed(backward_at_end=True), "backward runs once at the end: all micro-batches are in memory until then"
        ),
        Wrong(wrong_all_at_once, "all images go through at once: `micro_batch` is not used"),
        Wrong(wrong_cleared_first, "gradients left from before are cleared"),
        Wrong(changed(reported_weight=lambda *_: 1.0), "the losses are summed without their weights"),
        Wrong(changed(only_last_losses=True), "it returns the losses of the last micro-batch"),
        Wrong(changed(value=lambda loss: loss), "the losses are tensors that hold their graphs"),
        Wrong(
            wrong_graph_retained,
            "backward with retain_graph=True: what a forward pass stored is still in memory during the next one",
        ),
        Wrong(wrong_gradients_replaced),
        Wrong(wrong_returns_the_sum, "it returns one number, where it should be a loss for each name"),
        Wrong(wrong_takes_a_step, "the weights change: that is the optimizer's task"),
        Wrong(wrong_divides_by_whole_parts, "the number of micro-batches is rounded down"),
        Wrong(wrong_averages_gradients),
        Wrong(wrong_sum_of_losses_first),
        Wrong(wrong_in_eval_mode),
    ),
    right=(right_divides_at_the_end, right_splits, right_with_a_counter, right_with_a_defaultdict),
)
