"""Wrong answers that people really give to `accumulate`; those named `right_…` must pass."""

import math

import torch


def wrong_no_weights(model, images, targets, micro_batch):
    totals = {}
    for start in range(0, len(images), micro_batch):
        losses = model(images[start : start + micro_batch], targets[start : start + micro_batch])
        sum(losses.values()).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss.item()
    return totals


def wrong_divides_by_the_number_of_parts(model, images, targets, micro_batch):
    parts, totals = math.ceil(len(images) / micro_batch), {}
    for start in range(0, len(images), micro_batch):
        losses = model(images[start : start + micro_batch], targets[start : start + micro_batch])
        (sum(losses.values()) / parts).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss.item() / parts
    return totals


def wrong_divides_by_whole_parts(model, images, targets, micro_batch):
    parts, totals = len(images) // micro_batch or 1, {}
    for start in range(0, len(images), micro_batch):
        losses = model(images[start : start + micro_batch], targets[start : start + micro_batch])
        (sum(losses.values()) / parts).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss.item() / parts
    return totals


def wrong_backward_at_the_end(model, images, targets, micro_batch):
    totals, whole = {}, 0
    for start in range(0, len(images), micro_batch):
        part = images[start : start + micro_batch]
        losses = model(part, targets[start : start + micro_batch])
        for name, loss in losses.items():
            whole = whole + loss * len(part) / len(images)
            totals[name] = totals.get(name, 0) + loss.item() * len(part) / len(images)
    whole.backward()
    return totals


def wrong_keeps_graphs(model, images, targets, micro_batch):
    totals = {}
    for start in range(0, len(images), micro_batch):
        part = images[start : start + micro_batch]
        losses = model(part, targets[start : start + micro_batch])
        weight = len(part) / len(images)
        (sum(losses.values()) * weight).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss * weight
    return totals


def wrong_clears_on_the_way(model, images, targets, micro_batch):
    totals = {}
    for start in range(0, len(images), micro_batch):
        part = images[start : start + micro_batch]
        losses = model(part, targets[start : start + micro_batch])
        weight = len(part) / len(images)
        model.zero_grad()
        (sum(losses.values()) * weight).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss.item() * weight
    return totals


def wrong_one_big_batch(model, images, targets, micro_batch):
    losses = model(images, targets)
    sum(losses.values()).backward()
    return {name: loss.item() for name, loss in losses.items()}


def wrong_gives_the_sum(model, images, targets, micro_batch):
    total = 0.0
    for start in range(0, len(images), micro_batch):
        part = images[start : start + micro_batch]
        loss = sum(model(part, targets[start : start + micro_batch]).values()) * (len(part) / len(images))
        loss.backward()
        total += loss.item()
    return total


def wrong_targets_not_cut(model, images, targets, micro_batch):
    totals = {}
    for start in range(0, len(images), micro_batch):
        part = images[start : start + micro_batch]
        losses = model(part, targets[: len(part)])
        weight = len(part) / len(images)
        (sum(losses.values()) * weight).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0) + loss.item() * weight
    return totals


def right_divides_at_the_end(model, images, targets, micro_batch):
    totals, done = {}, 0
    while done < len(images):
        few = images[done : done + micro_batch]
        losses = model(few, targets[done : done + len(few)])
        torch.autograd.backward([one * (len(few) / len(images)) for one in losses.values()])
        for name in losses:
            totals[name] = totals.get(name, 0.0) + losses[name].item() * len(few)
        done += len(few)
    return {name: value / len(images) for name, value in totals.items()}


def right_splits(model, images, targets, micro_batch):
    totals = {}
    for number, part in enumerate(torch.split(images, micro_batch)):
        its = targets[number * micro_batch : number * micro_batch + len(part)]
        losses = model(part, its)
        share = len(its) / len(targets)
        loss = sum(losses.values())
        loss.backward(torch.tensor(share))
        totals = {name: totals.get(name, 0) + share * one.item() for name, one in losses.items()}
    return totals
