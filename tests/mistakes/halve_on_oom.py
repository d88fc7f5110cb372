"""Wrong answers that people really give to `halve_on_oom`; those named `right_…` must pass."""

import math

import torch

from my_detector import accumulate


def wrong_leaves_the_failed_gradients(model, images, targets, micro_batch):
    model.zero_grad()
    while True:
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = math.ceil(micro_batch / 2)


def wrong_tries_again_inside_except(model, images, targets, micro_batch):
    model.zero_grad()
    try:
        return accumulate(model, images, targets, micro_batch), micro_batch
    except torch.OutOfMemoryError:
        if micro_batch == 1:
            raise
        return wrong_tries_again_inside_except(model, images, targets, math.ceil(micro_batch / 2))


def wrong_keeps_the_error(model, images, targets, micro_batch):
    failed = None
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError as error:
            failed = error
        if micro_batch == 1:
            raise failed
        micro_batch = math.ceil(micro_batch / 2)


def wrong_halves_the_batch(model, images, targets, micro_batch):
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = math.ceil(micro_batch / 2)
        images, targets = images[:micro_batch], targets[:micro_batch]


def wrong_every_error(model, images, targets, micro_batch):
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except Exception:
            if micro_batch == 1:
                raise
        micro_batch = math.ceil(micro_batch / 2)


def wrong_for_ever(model, images, targets, micro_batch):
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            micro_batch = max(1, math.ceil(micro_batch / 2))


def wrong_down_to_nothing(model, images, targets, micro_batch):
    while micro_batch:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            pass
        micro_batch //= 2


def wrong_forgets_what_fitted(model, images, targets, micro_batch):
    now = micro_batch
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, now), micro_batch
        except torch.OutOfMemoryError:
            if now == 1:
                raise
        now = math.ceil(now / 2)


def wrong_one_less_each_time(model, images, targets, micro_batch):
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch -= 1


def right_with_a_flag(model, images, targets, micro_batch):
    losses = None
    while losses is None:
        for one in model.parameters():
            one.grad = None
        try:
            losses = accumulate(model, images, targets, micro_batch)
        except torch.OutOfMemoryError:
            if micro_batch <= 1:
                raise
        if losses is None:
            micro_batch = (micro_batch + 1) // 2
    return losses, micro_batch


def right_by_recursion_outside(model, images, targets, micro_batch):
    model.zero_grad()
    try:
        return accumulate(model, images, targets, micro_batch), micro_batch
    except torch.OutOfMemoryError as error:
        if micro_batch == 1:
            raise error
    return right_by_recursion_outside(model, images, targets, micro_batch - micro_batch // 2)
