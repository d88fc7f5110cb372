"""Wrong answers that people really give to `warmup_cosine`; those named `right_…` must pass."""

import math

import torch


def wrong_stands_still_at_first(step, total, warmup):
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * min(1, (step - warmup) / max(1, total - warmup)))) / 2


def wrong_arrives_a_step_early(step, total, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * min(1, (step - warmup) / max(1, total - warmup)))) / 2


def wrong_cosine_of_the_whole(step, total, warmup):
    return min((step + 1) / (warmup + 1), (1 + math.cos(math.pi * min(1, step / total))) / 2)


def wrong_product_of_both(step, total, warmup):
    return min(1, (step + 1) / (warmup + 1)) * (1 + math.cos(math.pi * min(1, step / total))) / 2


def wrong_goes_up_again(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


def wrong_in_degrees(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(180 * min(1, (step - warmup) / max(1, total - warmup)))) / 2


def wrong_divides_by_nothing(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * min(1, (step - warmup) / (total - warmup)))) / 2


def wrong_whole_numbers(step, total, warmup):
    if step < warmup:
        return (step + 1) // (warmup + 1)
    return (1 + math.cos(math.pi * min(1, (step - warmup) // max(1, total - warmup)))) / 2


def right_by_a_square(step, total, warmup):
    if step < warmup:
        return 1 - (warmup - step) / (warmup + 1)
    way = min(step - warmup, total - warmup) / max(total - warmup, 1)
    return math.cos(math.pi / 2 * way) ** 2


def right_by_tensors(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    way = torch.tensor((step - warmup) / max(1, total - warmup)).clamp(max=1)
    return float(0.5 * (1 + torch.cos(math.pi * way)))
