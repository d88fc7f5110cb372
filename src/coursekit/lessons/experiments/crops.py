"""Which class is this cut-out object? A quick way to ask what a backbone knows. Lesson 02."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2.functional import resized_crop
from tqdm.auto import tqdm

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.data import CocoDataset
from coursekit.detector.backbone import IMAGENET_MEAN, IMAGENET_STD
from coursekit.detector.timm_models import timm_features
from coursekit.lessons.experiments.side_by_side import side_by_side
from coursekit.lessons.notebooks.short_form import short_form

SIDE, SMALLEST = 64, 16  # of a crop, and of an object to cut out, in pixels
BATCH = 32
CHANNELS = 320  # of the last map of EfficientNet-Lite0
MEAN, STD = (torch.tensor(three)[:, None, None] for three in (IMAGENET_MEAN, IMAGENET_STD))

Classify = Callable[[Tensor], Tensor]


def normalized(image: Tensor) -> Tensor:
    """Scale (..., 3, H, W) from 0 … 255 to what the pretrained weights expect."""
    return (image / 255 - MEAN) / STD


@dataclass(frozen=True)
class Crops:
    """Objects cut out of their images.

    Attributes:
        images: (N, 3, SIDE, SIDE) normalized, channels last.
        labels: (N,) the class of each, from 0.
        classes: names of the classes.
    """

    images: Tensor
    labels: Tensor
    classes: list[str]

    def panels(self, count: int) -> dict[str, tuple[Tensor, None, list[str]]]:
        """Return the first crops as `show.image_row` takes them."""
        pixels = ((self.images[:count] * STD + MEAN) * 255).clamp(0, 255).byte()
        names = [self.classes[label] for label in self.labels[:count]]
        return {f"{n}: {name}": (pixels[n - 1], None, []) for n, name in enumerate(names, 1)}


def cut_out(dataset: CocoDataset) -> Crops:
    """Cut each object that is not tiny out of its image, with some margin, and print how many there are."""
    images, labels = [], []
    for image, target in (dataset[index] for index in range(len(dataset))):
        for box, label in zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True):
            edge = int(1.1 * max(box[2] - box[0], box[3] - box[1])) + 1
            if edge > SMALLEST:
                top, left = int((box[1] + box[3] - edge) / 2), int((box[0] + box[2] - edge) / 2)
                images.append(resized_crop(normalized(image), top, left, edge, edge, [SIDE, SIDE]))
                labels.append(label - 1)
    print(f"{len(images)} objects from {len(dataset)} images")
    stacked = torch.stack(images).contiguous(memory_format=torch.channels_last)
    return Crops(stacked, torch.tensor(labels), dataset.classes)


def new_body(pretrained: bool) -> Any:
    """Return EfficientNet-Lite0 with ImageNet weights, or with random ones, the same each time."""
    torch.manual_seed(0)
    return timm_features(DEFAULT_BACKBONE, pretrained).to(memory_format=torch.channels_last)


def new_head(classes: int) -> nn.Linear:
    """Return a linear layer from the backbone's features to classes, the same each time."""
    torch.manual_seed(0)
    return nn.Linear(CHANNELS, classes)


@torch.no_grad()
def features_of(body: nn.Module, images: Tensor) -> Tensor:
    """Return (N, CHANNELS): the mean of the last map of each image, in eval mode."""
    body.eval()
    return torch.cat([body(some)[-1].mean((2, 3)) for some in images.split(128)])


@torch.no_grad()
def accuracy(body: nn.Module, classify: Classify, crops: Crops) -> float:
    """Return the share of crops whose class is right. It is measured in eval mode, and the body stays in it."""
    answers = classify(features_of(body, crops.images)).argmax(1)
    return (answers == crops.labels).float().mean().item()


@dataclass(frozen=True)
class Learned:
    """A classifier and how it learned.

    Attributes:
        curve: (step, share of unseen objects whose class is right), the last one at the end.
        classify: (N, CHANNELS) features → (N, classes) logits.
    """

    curve: list[tuple[int, float]]
    classify: Classify

    @property
    def accuracy(self) -> float:
        """The share at the end."""
        return self.curve[-1][1]


def train_all(
    title: str,
    body: nn.Module,
    train: Crops,
    test: Crops,
    steps: int,
    *,
    lr: float = 1e-3,
    batch: int = BATCH,
    norm_frozen: bool = False,
    look_every: int | None = None,
) -> Learned:
    """Train a backbone, except for its frozen weights, with a linear layer behind it; print a line about it.

    Args:
        title: of the line; without one, nothing is printed.
        body: from `new_body`; trained in place.
        train: crops to train on.
        test: other crops, to measure on.
        steps: optimizer steps.
        lr: learning rate of the body; that of the linear layer is ten times as high.
        batch: crops per step.
        norm_frozen: leave batch norm in eval mode.
        look_every: steps between two measurements; by default, there is one at the end.
    """
    start, head = time.perf_counter(), new_head(len(train.classes))
    generator, curve = torch.Generator().manual_seed(0), []
    optimizer = _optimizer(body, head, lr)
    for step in tqdm(range(1, steps + 1), title, disable=not title, leave=False):
        body.train(not norm_frozen)
        rows = torch.randint(len(train.labels), (batch,), generator=generator)
        logits = head(body(train.images[rows])[-1].mean((2, 3)))
        _update(optimizer, functional.cross_entropy(logits, train.labels[rows]))
        if step == steps or (look_every and step % look_every == 0):
            curve.append((step, accuracy(body, head, test)))
    learned = Learned(curve, head)
    _report(title, learned, start)
    return learned


def train_head(title: str, body: nn.Module, train: Crops, test: Crops, epochs: int) -> Learned:
    """Freeze a backbone, compute its features once, and train a linear layer on them; print a line about it.

    Args:
        title: of the line.
        body: from `new_body`.
        train: crops to train on.
        test: other crops, to measure on.
        epochs: passes over the features.
    """
    start, features = time.perf_counter(), features_of(body, train.images)
    head, middle, spread = new_head(len(train.classes)), features.mean(0), features.std(0) + 1e-6
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(epochs):
        for rows in torch.randperm(len(features)).split(BATCH):
            logits = head((features[rows] - middle) / spread)
            _update(optimizer, functional.cross_entropy(logits, train.labels[rows]))

    def classify(some: Tensor) -> Tensor:
        logits: Tensor = head((some - middle) / spread)
        return logits

    learned = Learned([(epochs, accuracy(body, classify, test))], classify)
    _report(title, learned, start)
    return learned


def batches_of_two(
    train: Crops, test: Crops, lrs: Sequence[float], norm_frozen: Iterable[bool], steps: int
) -> dict[tuple[float, bool], float]:
    """Train the pretrained backbone on two crops at a time, with each learning rate and each mode of batch norm.

    Args:
        train: crops to train on.
        test: other crops, to measure on.
        lrs: learning rates of the backbone.
        norm_frozen: whether batch norm keeps its stored statistics (True), or uses those of the batch (False).
        steps: optimizer steps.

    Returns:
        (learning rate, norm frozen) → share of unseen objects whose class is right; a table of it is printed.
    """
    modes = list(norm_frozen)
    pairs = list(product(lrs, modes))
    jobs = [(pair, new_body(pretrained=True)) for pair in pairs]

    def work(job: tuple[tuple[float, bool], Any]) -> float:
        (lr, frozen), body = job
        return train_all("", body, train, test, steps, lr=lr, batch=2, norm_frozen=frozen).accuracy

    shares = dict(zip(pairs, side_by_side(work, jobs), strict=True))
    print("learning rate  " + "".join(f"{'frozen' if mode else 'by the batch':>14}" for mode in modes))
    for lr in lrs:
        print(f"{lr:<15}" + "".join(f"{shares[lr, mode]:14.0%}" for mode in modes))
    print(short_form(), end="")
    return shares


def _optimizer(body: nn.Module, head: nn.Module, lr: float) -> torch.optim.Optimizer:
    trained = [parameter for parameter in body.parameters() if parameter.requires_grad]
    groups = [{"params": trained, "lr": lr}, {"params": list(head.parameters()), "lr": 10 * lr}]
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _report(title: str, learned: Learned, start: float) -> None:
    if title:
        seconds = time.perf_counter() - start
        print(f"{title:24} {learned.accuracy:4.0%} of the unseen objects right, after {seconds:.0f} s")
