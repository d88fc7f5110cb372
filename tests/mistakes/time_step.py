"""Wrong answers that people really give to `time_step`; those named `right_…` must pass."""

import time

import torch


def wrong_clock_starts_behind_the_data(model, batches, optimizer, clock):
    images, targets = next(batches)
    start = clock()
    ready = clock()
    losses = model(images, targets)
    said = clock()
    optimizer.zero_grad()
    sum(losses.values()).backward()
    known = clock()
    optimizer.step()
    return {"data": ready - start, "forward": said - ready, "backward": known - said, "optimizer": clock() - known}


def wrong_its_own_clock(model, batches, optimizer, clock):
    start = time.perf_counter()
    images, targets = next(batches)
    ready = time.perf_counter()
    losses = model(images, targets)
    said = time.perf_counter()
    optimizer.zero_grad()
    sum(losses.values()).backward()
    known = time.perf_counter()
    optimizer.step()
    end = time.perf_counter()
    return {"data": ready - start, "forward": said - ready, "backward": known - said, "optimizer": end - known}


def wrong_since_the_start(model, batches, optimizer, clock):
    found = {}
    start = clock()
    images, targets = next(batches)
    found["data"] = clock() - start
    loss = sum(model(images, targets).values())
    found["forward"] = clock() - start
    optimizer.zero_grad()
    loss.backward()
    found["backward"] = clock() - start
    optimizer.step()
    found["optimizer"] = clock() - start
    return found


def wrong_a_loop_over_all(model, batches, optimizer, clock):
    found = dict.fromkeys(("data", "forward", "backward", "optimizer"), 0.0)
    start = clock()
    for images, targets in batches:
        found["data"] += clock() - start
        start = clock()
        loss = sum(model(images, targets).values())
        found["forward"] += clock() - start
        start = clock()
        optimizer.zero_grad()
        loss.backward()
        found["backward"] += clock() - start
        start = clock()
        optimizer.step()
        found["optimizer"] += clock() - start
        start = clock()
    return found


def wrong_no_zero_grad(model, batches, optimizer, clock):
    times = [clock()]
    images, targets = next(batches)
    times.append(clock())
    loss = sum(model(images, targets).values())
    times.append(clock())
    loss.backward()
    times.append(clock())
    optimizer.step()
    times.append(clock())
    parts = [after - before for before, after in zip(times, times[1:])]
    return dict(zip(("data", "forward", "backward", "optimizer"), parts))


def wrong_backward_with_forward(model, batches, optimizer, clock):
    times = [clock()]
    images, targets = next(batches)
    times.append(clock())
    optimizer.zero_grad()
    sum(model(images, targets).values()).backward()
    times += [clock(), clock()]
    optimizer.step()
    times.append(clock())
    parts = [after - before for before, after in zip(times, times[1:])]
    return dict(zip(("data", "forward", "backward", "optimizer"), parts))


def wrong_a_tuple(model, batches, optimizer, clock):
    times = [clock()]
    images, targets = next(batches)
    times.append(clock())
    loss = sum(model(images, targets).values())
    times.append(clock())
    optimizer.zero_grad()
    loss.backward()
    times.append(clock())
    optimizer.step()
    times.append(clock())
    return tuple(after - before for before, after in zip(times, times[1:]))


def right_with_a_list(model, batches, optimizer, clock):
    optimizer.zero_grad()
    times = [clock()]
    images, targets = next(batches)
    times.append(clock())
    loss = sum(model(images, targets).values())
    times.append(clock())
    loss.backward()
    times.append(clock())
    optimizer.step()
    times.append(clock())
    parts = [after - before for before, after in zip(times, times[1:])]
    return dict(zip(("data", "forward", "backward", "optimizer"), parts))


def right_with_a_loop_that_is_left(model, batches, optimizer, clock):
    found, start = {}, clock()
    for images, targets in batches:
        found["data"], start = clock() - start, clock()
        loss = torch.stack(list(model(images, targets).values())).sum()
        found["forward"], start = clock() - start, clock()
        loss.backward()
        found["backward"], start = clock() - start, clock()
        optimizer.step()
        optimizer.zero_grad()
        found["optimizer"] = clock() - start
        return found
