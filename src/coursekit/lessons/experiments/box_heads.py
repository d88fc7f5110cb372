"""Box heads trained on patches that were read in different ways, right and wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.lessons.experiments.cached_features import CachedFeatures
from coursekit.lessons.notebooks.short_form import short_form

Pool = Callable[[list[Tensor], list[int], list[Tensor]], Tensor]
BATCH, LR = 32, 1e-3
BLOCK = 8  # steps that are averaged in the table


@dataclass(frozen=True)
class TrainedHead:
    """How a head learned.

    Attributes:
        losses: the loss of each step.
        accuracy: the share of new objects that it names correctly.
    """

    losses: list[float]
    accuracy: float


def train_heads(
    ways: Mapping[str, Pool],
    make_head: Callable[[], nn.Module],
    pyramid: nn.Module,
    train_cached: CachedFeatures,
    val_cached: CachedFeatures,
    epochs: int,
) -> dict[str, TrainedHead]:
    """Train the classifier of a head on the ground-truth boxes, once for each way to read patches. Print a table.

    Args:
        ways: name → function of (levels, strides, boxes) that returns (R, C, 7, 7) patches.
        make_head: returns a new head: patches → class_logits (R, K + 1) and deltas.
        pyramid: turns the cached maps into levels; it isn't trained.
        train_cached: what the heads learn from.
        val_cached: objects that they have not seen.
        epochs: passes over the objects.

    Returns:
        For each way, its head's losses and accuracy.
    """
    labels, answers = _labels(train_cached), _labels(val_cached)
    trained, rows = {}, []
    for name, pool in tqdm(ways.items(), "heads", unit="head"):
        patches = _patches(pool, pyramid, train_cached)
        head, losses = _train(make_head, patches, labels, epochs)
        with torch.no_grad():
            predicted = head(_patches(pool, pyramid, val_cached))[0].argmax(1)
        trained[name] = TrainedHead(losses, (predicted == answers).float().mean().item())
        rows.append(_row(name, patches, trained[name]))
    print(f"{'':16} empty patches   loss at first   at the end   new objects named correctly", *rows, sep="\n")
    common = torch.bincount(answers).max().item() / len(answers)
    print(f"If you always named the class that is most common among the new objects, {common:.0%} would be correct.")
    print(short_form(), end="")
    return trained


def _labels(cached: CachedFeatures) -> Tensor:
    return torch.cat([target["labels"] for target in cached.targets])


@torch.no_grad()
def _patches(pool: Pool, pyramid: nn.Module, cached: CachedFeatures) -> Tensor:
    levels = pyramid([level.float() for level in cached.maps])
    return pool(levels, cached.strides, [target["boxes"] for target in cached.targets])


def _train(
    make_head: Callable[[], nn.Module], patches: Tensor, labels: Tensor, epochs: int
) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(0)  # the same weights and the same order for each way
    head, losses = make_head(), []
    optimizer = torch.optim.AdamW(head.parameters(), lr=LR)
    for _ in range(epochs):
        for rows in torch.randperm(len(patches)).split(BATCH):
            loss = F.cross_entropy(head(patches[rows])[0], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return head, losses


def _row(name: str, patches: Tensor, head: TrainedHead) -> str:
    empty = (patches == 0).flatten(1).all(1).float().mean().item()
    last = head.losses[-BLOCK:]
    end = sum(last) / len(last)
    return f"{name:16} {empty:13.0%}   {head.losses[0]:13.2f}   {end:10.2f}   {head.accuracy:27.0%}"
