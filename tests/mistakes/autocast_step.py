"""Wrong answers that people really give to `autocast_step`; those named `right_…` must pass."""

import torch
from torch import nn


def wrong_without_autocast(model, images, targets, optimizer, scaler, dtype):
    loss = sum(model(images, targets).values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def wrong_default_dtype(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu"):
        losses = model(images, targets)
    loss = sum(one.float() for one in losses.values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def wrong_all_inside(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        loss = sum(one.float() for one in model(images, targets).values())
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        scaler.step(optimizer)
        scaler.update()
    return loss.item()


def wrong_half_model(model, images, targets, optimizer, scaler, dtype):
    model.to(dtype)
    loss = sum(one.float() for one in model(images.to(dtype), targets).values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def wrong_scaler_not_used(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
    loss = sum(one.float() for one in losses.values())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    optimizer.step()
    return loss.item()


def wrong_never_unscaled(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
    loss = sum(one.float() for one in losses.values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    optimizer.step()
    return loss.item()


def wrong_clips_what_is_scaled(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
    loss = sum(one.float() for one in losses.values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def wrong_no_update(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
    loss = sum(one.float() for one in losses.values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    return loss.item()


def wrong_gives_the_scaled_loss(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
    loss = scaler.scale(sum(one.float() for one in losses.values()))
    optimizer.zero_grad()
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def right_with_the_sum_inside(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast(device_type=images[0].device.type, dtype=dtype, enabled=True):
        loss = sum(model(images, targets).values())
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach().float().item()


def right_clears_at_the_end(model, images, targets, optimizer, scaler, dtype):
    optimizer.zero_grad()
    cast = torch.autocast(images.device.type, dtype)
    with cast:
        losses = list(model(images, targets).values())
    torch.autograd.backward([scaler.scale(one) for one in losses])
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=10)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return sum(one.item() for one in losses)
