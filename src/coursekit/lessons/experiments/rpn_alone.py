"""An RPN without a second stage: trained on cached features, and what its proposals find."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.config import TrainConfig
from coursekit.data.boxes import Target
from coursekit.detector.boxes import Part
from coursekit.evaluation.proposal_recall import recall_by_size
from coursekit.lessons.experiments.cached_features import CachedFeatures
from coursekit.lessons.notebooks.short_form import short_form
from coursekit.lessons.workbook.callers import twins_at_work
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.training.forward_backward import update
from coursekit.training.optimizer import warmup_cosine

SIZES = {"small": 0, "medium": 32, "large": 96}  # from this √area in pixels, as in COCO
EDGES = (*SIZES.values(), 10_000)
LR, BATCH = 2e-3, 4  # peak learning rate; images per step


@dataclass(frozen=True)
class RPNRun:
    """An RPN that was trained, and what it proposes.

    Attributes:
        rpn: the trained RPN.
        before, after: the proposals for each validation image before and after training: (P, 4) xyxy in pixels of the
            cached square, best first, P ≤ 300.
        history: (steps, 2), the objectness loss and the box loss of each step.
    """

    rpn: nn.Module
    before: list[Tensor]
    after: list[Tensor]
    history: Tensor


def run_rpn(
    make_rpn: Callable[[list[int]], nn.Module],
    train_cached: CachedFeatures,
    val_cached: CachedFeatures,
    anchors: Sequence[Tensor],
    rpn_losses: Part,
    propose: Part,
    workbook: Workbook | None = None,
    *,
    epochs: int,
    **sampling: Any,
) -> RPNRun:
    """Train an RPN from seed 0, and let it propose boxes before and after.

    Args:
        make_rpn: takes the channels of the maps. Its module turns maps into logits (B, N) and deltas (B, N, 4).
        train_cached, val_cached: features to train on, and to propose boxes for.
        anchors: (N_i, 4) xyxy in pixels for each level.
        rpn_losses, propose: the functions to use, such as your own.
        workbook: where these are yours. Where they call correct parts that have a compiled twin, such as `nms`, the
            twin runs, and a line says so.
        epochs: passes over the data set.
        sampling: passed to `rpn_losses`, such as `batch_size_per_image=256`.
    """
    torch.manual_seed(0)
    rpn = make_rpn(train_cached.channels)
    with one_thread(), twins_at_work(workbook) if workbook else nullcontext() as twins:
        for name in twins or ():
            print(f"{name}: its compiled twin runs in place of yours, which gives the same results")
        before = propose_all(rpn, propose, val_cached, anchors)
        history = train_rpn(rpn, rpn_losses, train_cached, torch.cat(list(anchors)), epochs, **sampling)
        after = propose_all(rpn, propose, val_cached, anchors)
    print(short_form(), end="")
    return RPNRun(rpn, before, after, history)


def train_rpn(
    rpn: nn.Module, rpn_losses: Part, cached: CachedFeatures, anchors: Tensor, epochs: int, **sampling: Any
) -> Tensor:
    """Train an RPN in place with AdamW: 10 steps of warm-up, then a cosine down to 0.

    Arguments as in `run_rpn`; `anchors` are those of all levels, (N, 4).

    Returns:
        (steps, 2): the objectness loss and the box loss of each step.
    """
    optimizer = torch.optim.AdamW(rpn.parameters(), lr=LR, weight_decay=1e-4)
    steps = torch.cat([torch.randperm(len(cached)) for _ in range(epochs)]).split(BATCH)
    history = []
    for step, rows in enumerate(tqdm(steps, "training", unit="step")):
        optimizer.param_groups[0]["lr"] = LR * warmup_cosine(step, len(steps), 10)
        boxes = [cached.targets[i]["boxes"] for i in rows.tolist()]
        losses = rpn_losses(*rpn([level[rows] for level in cached.maps]), anchors, boxes, **sampling)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        update(optimizer, rpn.parameters(), TrainConfig().clip_norm)
        history.append([losses["loss_objectness"].item(), losses["loss_rpn_box_reg"].item()])
    return torch.tensor(history)


@torch.no_grad()
def propose_all(rpn: nn.Module, propose: Part, cached: CachedFeatures, anchors: Sequence[Tensor]) -> list[Tensor]:
    """Return the proposals for all cached images: at most 300 of the best 200 anchors of each level.

    Arguments as in `run_rpn`.
    """
    all_anchors, counts = torch.cat(list(anchors)), [len(level) for level in anchors]
    proposals: list[Tensor] = []
    for rows in tqdm(torch.arange(len(cached)).split(8), "proposals", unit="batch", leave=False):
        outputs = zip(*rpn([level[rows] for level in cached.maps]), rows.tolist(), strict=True)
        proposals += [propose(*arguments, all_anchors, counts, cached.sizes[i], 200, 300) for *arguments, i in outputs]
    return proposals


def recall_table(
    runs: Mapping[str, Sequence[Tensor]], targets: Sequence[Target], ks: Sequence[int], recall_at: Part
) -> dict[str, Tensor]:
    """Print the recall of each run by number of proposals and by size of the objects.

    Args:
        runs: name → proposals of each image, best first.
        targets: targets of each image, in the same pixels.
        ks: how many proposals of each image count.
        recall_at: the function to use, such as your own.

    Returns:
        For each run (number of ks, 3): recall of small, medium and large objects. NaN where there are none.
    """
    recalls = {
        name: torch.tensor([recall_by_size(proposals, targets, EDGES, k, recall_at=recall_at) for k in ks])
        for name, proposals in runs.items()
    }
    width = max(map(len, runs)) + 2
    print(f"{'recall':{width}} {'proposals':>9}" + "".join(f"{size:>9}" for size in SIZES))
    for name, recall in recalls.items():
        for k, row in zip(ks, recall.tolist(), strict=True):
            print(f"{name:{width}} {k:9}" + "".join(f"{value:9.2f}" for value in row))
    print(short_form(), end="")
    return recalls


def compare_rpns(runs: Mapping[str, RPNRun], targets: Sequence[Target], k: int, recall_at: Part) -> None:
    """Print for each run its losses (mean of the last 20 steps), and the recall of its best k proposals by size.

    Args:
        runs: name → run.
        targets: targets of each validation image.
        k: how many proposals of each image count.
        recall_at: the function to use, such as your own.
    """
    width = max(map(len, runs)) + 2
    print(f"{'':{width}} objectness loss   box loss   recall at {k}:" + "".join(f"{size:>8}" for size in SIZES))
    for name, run in runs.items():
        objectness, box = run.history[-20:].mean(0).tolist()
        recall = recall_by_size(run.after, targets, EDGES, k, recall_at=recall_at)
        shares = "".join(f"{value:8.2f}" for value in recall)
        print(f"{name:{width}} {objectness:15.4f} {box:10.4f} {'':{12 + len(str(k))}}" + shares)
    print(short_form(), end="")


def loss_table(heads: Mapping[str, tuple[Tensor, Tensor]], rpn_losses: Part, anchors: Tensor, boxes: Tensor) -> None:
    """Print the two losses of heads that all predict for one image.

    Args:
        heads: name → (logits (N,), deltas (N, 4)) of the head.
        rpn_losses: the function to use, such as your own.
        anchors: (N, 4) xyxy in pixels.
        boxes: (G, 4) xyxy, the ground truth.
    """
    print(f"{'the head':44} objectness loss   box loss")
    for name, (logits, deltas) in heads.items():
        torch.manual_seed(0)  # the same sample of anchors for all
        losses = rpn_losses(logits[None], deltas[None], anchors, [boxes])
        print(f"{name:44} {losses['loss_objectness']:15.3f} {losses['loss_rpn_box_reg']:10.3f}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: on maps so small, threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
