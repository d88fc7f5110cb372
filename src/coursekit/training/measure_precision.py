"""Choose the precision of a run by measuring: a processor that has bf16 may still be faster in float32."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from msgspec import structs
from torch import nn

from coursekit.core import distributed
from coursekit.core.device import half_precision, is_out_of_memory
from coursekit.data.boxes import Target
from coursekit.training.clock import Clock
from coursekit.training.micro_batches import LocalBatch, accumulate, moved_batch
from coursekit.training.run_state import Run
from coursekit.training.torch_compile import stop_compiled

ROUNDS = 2  # the first one warms up


def settle_precision(run: Run) -> None:
    """Replace a precision of "auto" by the faster of "fp32" and the device's 16 bits. Process 0 measures and decides.

    Weights, optimizer and random states stay exactly as they are.
    """
    if run.config.precision != "auto":
        return
    half = half_precision(run.device)
    seconds = {"fp32": 0.0} if half is None or distributed.rank() > 0 else _measure(run, ["fp32", half])
    run.use_precision(distributed.broadcast(min(seconds, key=lambda precision: seconds[precision])))
    if len(seconds) > 1:
        measured = ", ".join(f"{precision} {value:.3g} s" for precision, value in seconds.items())
        run.events.append(f"precision auto: {run.config.precision}, measured to be the faster one ({measured} a step).")


def _measure(run: Run, candidates: list[str]) -> dict[str, float]:
    """Return the seconds of forward and backward of a micro-batch in each precision, infinite if memory runs out."""
    batch = _random_batch(run)
    seconds = dict.fromkeys(reversed(candidates), float("inf"))  # 16 bits first: they win if nothing fits
    with _nothing_changes(run.model, run.device):
        for _ in range(ROUNDS):
            for precision in candidates:
                seconds[precision] = min(seconds[precision], _seconds(run, batch, precision))
    return seconds


def _random_batch(run: Run) -> LocalBatch:
    """Make a micro-batch of noise with the sizes of the first images, and an object in each."""
    dataset, generator = run.loader.dataset, torch.Generator().manual_seed(0)
    sizes = [dataset.size(index % len(dataset)) for index in range(run.micro_batch)]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    boxes = [torch.tensor([[0.0, 0.0, width / 2, height / 2]]) for height, width in sizes]
    label, no_crowd = torch.ones(1, dtype=torch.int64), torch.zeros(0, 4)
    targets: list[Target] = [{"boxes": box, "labels": label, "crowd_boxes": no_crowd, "image_id": 0} for box in boxes]
    return moved_batch(run, images, targets, len(images))


def _seconds(run: Run, batch: LocalBatch, precision: str) -> float:
    config = structs.replace(run.config, precision=precision)
    scaler = torch.amp.GradScaler(run.device.type, enabled=False)
    trial = replace(run, config=config, scaler=scaler, clock=Clock(run.device))
    _wait_for(run.device)
    start = time.perf_counter()
    try:
        accumulate(trial, batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("inf")
    finally:
        run.optimizer.zero_grad(set_to_none=True)
    _wait_for(run.device)
    return time.perf_counter() - start


@contextmanager
def _nothing_changes(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore buffers (a batch norm counts its batches) and random states afterward. The compiler sees none of it."""
    dense, buffers = getattr(model, "dense", None), [(buffer, buffer.clone()) for buffer in model.buffers()]
    stop_compiled(model)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        if dense is not None:
            model.dense = dense


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
