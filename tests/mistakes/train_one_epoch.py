"""Wrong answers that people really give to `train_one_epoch`; those named `right_…` must pass."""

import math

import torch
from torch import nn


def wrong_never_clears(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_clears_before_the_step(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.zero_grad()
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_schedule_by_epochs(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        history.append(loss.item())
    schedule.step()
    return history


def wrong_looks_at_the_loss_too_late(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        optimizer.zero_grad()
        loss = sum(model(images, targets).values())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
        if not math.isfinite(history[-1]):
            raise FloatingPointError("no number")
    return history


def wrong_looks_for_nan_only(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if torch.isnan(loss):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_no_clipping(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_clips_to_one(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_forgets_train_mode(model, batches, optimizer, schedule):
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_keeps_the_graphs(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not torch.isfinite(loss):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss)
    return history


def wrong_gives_a_mean(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError("no number")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return sum(history) / max(1, len(history))


def right_clears_behind_the_step(model, batches, optimizer, schedule):
    model.train(True)
    optimizer.zero_grad(set_to_none=False)
    history = []
    for images, targets in batches:
        losses = model(images, targets)
        values = [one.item() for one in losses.values()]
        if not all(map(math.isfinite, values)):
            raise FloatingPointError(f"the losses are {values}")
        torch.autograd.backward(list(losses.values()))
        nn.utils.clip_grad_norm_([one for one in model.parameters() if one.grad is not None], 10.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=False)
        history.append(sum(values))
    return history
