"""05 · The RPN."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.detector import box_iou, decode_boxes, encode_boxes, match_anchors, nms, sample_balanced
from coursekit.detector.boxes import clip_boxes
from coursekit.detector.rpn import RPNHead, propose, rpn_losses
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, clusters, xyxy

CHAIN = xyxy((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))  # IoU of neighbours 0.43, of the ends 0.11


def _nms_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("two that are far apart", xyxy((0, 0, 10, 10), (50, 50, 60, 60)), torch.tensor([0.9, 0.8]), 0.5)
    yield case(
        "two that are the same, the second surer", xyxy((0, 0, 9, 9), (0, 0, 9, 9)), torch.tensor([0.2, 0.8]), 0.5
    )
    yield case("a chain of three: the first drops the second", CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.4)
    yield case("the same chain, the middle one surest", CHAIN, torch.tensor([0.7, 0.9, 0.8]), 0.4)
    yield case(
        "two of one score: the first comes first", xyxy((0, 0, 9, 9), (1, 0, 10, 9)), torch.tensor([0.5, 0.5]), 0.5
    )
    yield case("far apart, two of one score", xyxy((0, 0, 9, 9), (50, 0, 59, 9)), torch.tensor([0.5, 0.5]), 0.5)
    halves = xyxy((0, 0, 10, 10), (0, 0, 10, 5))
    yield case("an IoU that is exactly the threshold", halves, torch.tensor([0.9, 0.8]), 0.5)
    yield case("scores below 0, as logits are", CHAIN, torch.tensor([-3.0, -1.0, -2.0]), 0.4)
    yield case("a threshold of 0, and two that touch", xyxy((0, 0, 5, 5), (5, 0, 9, 5)), torch.tensor([0.9, 0.8]), 0.0)
    yield case("one box", xyxy((0, 0, 10, 10)), torch.tensor([0.3]), 0.5)
    yield case("none", torch.empty(0, 4), torch.empty(0), 0.5)
    yield case("thirty in clusters", *clusters(generator, 3, 10), 0.6)
    yield case("thirty in clusters, a low threshold", *clusters(generator, 6, 5), 0.3)
    found, scores = clusters(generator, 20, 5)
    yield case("a hundred, many of one score", found, (scores * 10).round() / 10, 0.5)
    yield case("a hundred in float64", found.double(), scores.double(), 0.7)


def _suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, order: Tensor, chained: bool = True) -> Tensor:
    overlaps = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1)
    if not chained:
        return order[~overlaps.any(0)]
    kept = torch.ones(len(order), dtype=torch.bool)
    for row in range(len(order)):
        if kept[row]:
            kept &= ~overlaps[row]
    return order[kept]


def _best_first(scores: Tensor) -> Tensor:
    return scores.argsort(descending=True, stable=True)


def _one_shot(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return _suppress(boxes, scores, iou_threshold, _best_first(scores), chained=False)


def _unsorted(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return _suppress(boxes, scores, iou_threshold, torch.arange(len(boxes)))


def _worst_first(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return _suppress(boxes, scores, iou_threshold, scores.argsort(stable=True))


def _or_equal(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return nms(boxes, scores, iou_threshold - 1e-6)


def _by_position(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return nms(boxes, scores, iou_threshold).sort()[0]


def _ranks(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.where(torch.isin(_best_first(scores), nms(boxes, scores, iou_threshold)))[0]


def _the_boxes(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return boxes[nms(boxes, scores, iou_threshold)]


def _a_mask(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.isin(torch.arange(len(boxes)), nms(boxes, scores, iou_threshold))


def _last_of_equals(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return _suppress(boxes, scores, iou_threshold, scores.argsort(stable=True).flip(0))


def _positive_only(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    kept = nms(boxes, scores, iou_threshold)
    return kept[scores[kept] > 0]


def _one_best(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    order = _best_first(scores)
    if not len(order):
        return order
    apart = box_iou(boxes[order[:1]], boxes[order])[0] <= iou_threshold
    apart[0] = True
    return order[apart]


NMS = Exercise(
    "nms",
    lesson=5,
    minutes=20,
    reference=nms,
    cases=_nms_cases,
    library=("torchvision.ops.nms", "torchvision.ops.batched_nms"),
    twin=ops.nms,
    hints=(
        "“It drops too many.” Three boxes in a chain: the first overlaps the second, the second the third, the first not the "
        "third. The first drops the second. Who is left to drop the third?",
        "“The positions are wrong.” You sorted the boxes, so your positions are those among the sorted ones. order[…] leads "
        "back; and of equal scores the first stays first: argsort(descending=True, stable=True).",
        "“Nearly there.” order = …; kept = []; while len(order): best = order[0]; kept.append(best); rest = order[1:]; then "
        "order = those of rest whose box_iou with boxes[best] is not above the threshold. In the end torch.stack(kept), and "
        "for no boxes an empty int64 tensor.",
    ),
    mistakes=(
        Mistake("one-shot suppression: a box that was dropped itself still drops others", _one_shot),
        Mistake("the boxes are not sorted by score", _unsorted),
        Mistake("it begins with the least sure box", _worst_first),
        Mistake("an IoU of exactly the threshold is dropped (>= for >)", _or_equal),
        Mistake("the positions come out sorted by place, not best first", _by_position),
        Mistake("positions among the sorted boxes, not among those that came in", _ranks),
        Mistake("it gives the boxes, not their positions", _the_boxes),
        Mistake("it gives a mask, not positions", _a_mask),
        Mistake("of equal scores the last comes first", _last_of_equals),
        Mistake("scores below 0 are dropped: they may be logits", _positive_only),
        Mistake("only the best box of all drops others", _one_best),
    ),
)


def _head_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a map of one cell", 2, 3, _positions((1, 1)), "position")
    yield case(
        "a map of 2 × 3 cells, in which every cell says its row and column", 2, 2, _positions((2, 3)), "position"
    )
    yield case("two levels, each cell of which says its place", 2, 2, _positions((2, 3), (1, 2)), "position")
    yield case(
        "two images", 2, 3, [one.repeat(2, 1, 1, 1) * _steps(2) for one in _positions((2, 3), (1, 2))], "position"
    )
    yield case("random weights", 8, 3, [torch.randn(2, 8, 5, 7, generator=generator)], "random")
    sizes = ((9, 12), (5, 6), (3, 3))
    yield case("three levels", 6, 5, [torch.randn(2, 6, *size, generator=generator) for size in sizes], "random")


def _steps(count: int) -> Tensor:
    return torch.arange(1.0, count + 1)[:, None, None, None]


def _positions(*sizes: tuple[int, int]) -> list[Tensor]:
    """(1, 2, H, W) maps; a cell holds 10 * row + column in its first channel, counted from 1, and 0 in the second."""
    maps = []
    for height, width in sizes:
        place = 10 * torch.arange(1.0, height + 1)[:, None] + torch.arange(1.0, width + 1)
        maps.append(torch.stack([place, torch.zeros_like(place)])[None])
    return maps


def _use_head(answer: Answer, channels: int, anchors: int, levels: list[Tensor], weights: str) -> Any:
    """What a head says of levels, with weights that tell its layers apart by their shapes alone.

    Args:
        answer: the class.
        channels, anchors: for it.
        levels: what it looks at.
        weights: "position": it hands on the first channel, and adds 100 for the second anchor, 200 for the third, and a
            tenth for dy, two for dw and so on. Or "random".
    """
    head = answer(channels, anchors)
    if not isinstance(head, nn.Module):
        raise TypeError(f"RPNHead(…) should make an nn.Module, and made a {type(head).__name__}")
    shapes, start = sorted(tuple(one.shape) for one in head.parameters()), _start_of(head)
    with torch.no_grad():
        for one in head.parameters():
            drawn = torch.Generator().manual_seed(sum(one.shape))
            if weights == "random":
                one.copy_(torch.randn(one.shape, generator=drawn) / one[0].numel() ** 0.5)
            else:
                _say_position(one, channels, anchors)
    said = head([one.clone() for one in levels])
    if not isinstance(said, list | tuple) or len(said) != 2:
        raise TypeError("RPNHead(…)(levels) should give two tensors: logits and deltas")
    return {"logits": said[0], "deltas": said[1], "shapes of the weights": shapes, "weights at the start": start}


def _start_of(head: nn.Module) -> str:
    weights = [one.detach() for one in head.parameters() if one.ndim > 1]
    if any(bool(one.detach().any()) for one in head.parameters() if one.ndim == 1):
        return "biases that are not 0"
    small = all(0.004 < one.square().mean().sqrt() < 0.022 for one in weights if one.numel() >= 40)
    return "a spread of 0.01, biases 0" if small else "a spread that is not 0.01"


def _say_position(weight: Tensor, channels: int, anchors: int) -> None:
    weight.zero_()
    if weight.ndim == 1:
        if len(weight) == anchors and anchors != channels:
            weight.copy_(100.0 * torch.arange(anchors))
        elif len(weight) == 4 * anchors:
            weight.copy_((100.0 * torch.arange(anchors)[:, None] + torch.arange(4) / 10).flatten())
    elif weight.shape[-1] > 1:
        weight[0, 0, weight.shape[2] // 2, weight.shape[3] // 2] = 1
    else:
        weight[:, 0] = 1


class _Head(RPNHead):
    """The reference, of which a mistake changes a part."""

    def maps(self, levels: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """(B, A, H, W) and (B, 4A, H, W) of each level."""
        hidden = [self.hidden(level).relu() for level in levels]
        return [(self.objectness(one), self.deltas(one)) for one in hidden]


class _ChannelsFirst(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        maps = self.maps(levels)
        return torch.cat([a.flatten(1) for a, _ in maps], 1), torch.cat([b.reshape(len(b), -1, 4) for _, b in maps], 1)


class _DeltasUnordered(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        return super().forward(levels)[0], torch.cat([b.reshape(len(b), -1, 4) for _, b in self.maps(levels)], 1)


class _AnchorByAnchor(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        maps = self.maps(levels)
        deltas = [b.unflatten(1, (-1, 4)).permute(0, 1, 3, 4, 2).reshape(len(b), -1, 4) for _, b in maps]
        return torch.cat([a.flatten(1) for a, _ in maps], 1), torch.cat(deltas, 1)


class _FourFirst(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        deltas = [b.unflatten(1, (4, -1)).permute(0, 3, 4, 2, 1).reshape(len(b), -1, 4) for _, b in self.maps(levels)]
        return super().forward(levels)[0], torch.cat(deltas, 1)


class _ColumnByColumn(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        maps = self.maps(levels)
        logits = [a.permute(0, 3, 2, 1).flatten(1) for a, _ in maps]
        return torch.cat(logits, 1), torch.cat([b.permute(0, 3, 2, 1).reshape(len(b), -1, 4) for _, b in maps], 1)


class _NoRelu(_Head):
    def maps(self, levels: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        return [(self.objectness(self.hidden(one)), self.deltas(self.hidden(one))) for one in levels]

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        return _ordered(self.maps(levels))


class _ReluAtTheEnd(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        return _ordered([(a.relu(), b.relu()) for a, b in self.maps(levels)])


class _Sigmoid(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(levels)
        return logits.sigmoid(), deltas


class _CoarsestFirst(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        return super().forward(levels[::-1])


class _LevelByLevel(_Head):
    def forward(self, levels: list[Tensor]) -> Any:
        logits, deltas = zip(*(super(_LevelByLevel, self).forward([one]) for one in levels), strict=True)
        return list(logits), list(deltas)


class _OneColumn(_Head):
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(levels)
        return logits[..., None], deltas


class _NoPadding(_Head):
    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__(channels, anchors)
        self.hidden.padding = (0, 0)


class _OneByOne(_Head):
    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__(channels, anchors)
        self.hidden = nn.Conv2d(channels, channels, 1)
        nn.init.normal_(self.hidden.weight, std=0.01)
        nn.init.zeros_(self.hidden.bias)  # type: ignore[arg-type]


class _AsTorchBegins(_Head):
    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__(channels, anchors)
        for layer in (self.hidden, self.objectness, self.deltas):
            layer.reset_parameters()


def _ordered(maps: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    logits = [a.permute(0, 2, 3, 1).flatten(1) for a, _ in maps]
    return torch.cat(logits, 1), torch.cat([b.permute(0, 2, 3, 1).reshape(len(b), -1, 4) for _, b in maps], 1)


HEAD = Exercise(
    "RPNHead",
    lesson=5,
    minutes=15,
    reference=RPNHead,
    cases=_head_cases,
    call=_use_head,
    library=("torchvision.models.detection.rpn.RPNHead",),
    tolerance=1e-4,
    hints=(
        "“The right numbers, in another order.” A map is (B, A, H, W): its last axis runs fastest when it is flattened. In "
        "the order of the anchors, what runs fastest, what slowest? permute puts the axes into that order.",
        "“The deltas are mixed up.” Channels 4a to 4a+3 belong to anchor a. Move the channels to the end, as for the logits; "
        "then reshape(B, -1, 4) cuts them into fours, cell after cell.",
        "“Nearly there.” For each level: hidden = self.hidden(level).relu(); its logits self.objectness(hidden)"
        ".permute(0, 2, 3, 1).flatten(1); its deltas likewise, with reshape(len(level), -1, 4). Then torch.cat(…, 1) over "
        "the levels. In __init__: nn.init.normal_(layer.weight, std=0.01), nn.init.zeros_(layer.bias).",
    ),
    mistakes=(
        Mistake("flattened as the maps lie, anchor by anchor, where anchors go cell by cell", _ChannelsFirst),
        Mistake("the logits are in order, the deltas were cut into fours without moving their axis", _DeltasUnordered),
        Mistake("all cells of the first anchor, then all of the second: it goes the other way round", _AnchorByAnchor),
        Mistake("the channels of the deltas are read as (4, A); they are (A, 4)", _FourFirst),
        Mistake("column by column, where the anchors go row by row", _ColumnByColumn),
        Mistake("there is no ReLU between the layers", _NoRelu),
        Mistake("a ReLU at the end: no logit and no delta can be negative", _ReluAtTheEnd),
        Mistake("a sigmoid in the head: the loss takes logits", _Sigmoid),
        Mistake("the levels come out coarsest first", _CoarsestFirst),
        Mistake("a list of levels, where one tensor for all of them is wanted", _LevelByLevel),
        Mistake("the logits have a last axis of one", _OneColumn),
        Mistake("the 3 × 3 convolution has no padding, and the border's cells are missing", _NoPadding),
        Mistake("the hidden layer is 1 × 1: it looks at no neighbour", _OneByOne),
        Mistake("the weights begin as torch draws them, not with a spread of 0.01 and biases of 0", _AsTorchBegins),
    ),
)

GRID = xyxy((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (0, 20, 10, 30))
NEAR = xyxy((0, 0, 10, 9), (41, 0, 51, 10))


def _losses_cases(generator: torch.Generator) -> Iterator[Case]:
    def said(anchors: Tensor, images: int) -> tuple[Tensor, Tensor]:
        logits = 2 * torch.randn(images, len(anchors), generator=generator)
        return logits, torch.randn(images, len(anchors), 4, generator=generator) / 3

    zeros = torch.zeros(1, 4), torch.zeros(1, 4, 4)
    yield case("a head that says 0 of all, and no object", *zeros, GRID, [torch.empty(0, 4)])
    yield case("a head that says 0, and an object just like the second anchor", *zeros, GRID, [GRID[1:2]])
    right = torch.tensor([[-9.0, 9.0, -9.0, -9.0]])
    yield case("a head that is right of that object", right, torch.zeros(1, 4, 4), GRID, [GRID[1:2]])
    yield case("the same head, and the object at the first anchor", right, torch.zeros(1, 4, 4), GRID, [GRID[:1]])
    yield case("an object that lies a little lower than its anchor", *zeros, GRID, [xyxy((20, 1, 30, 11))])
    yield case("one that is half as large again: a large error", *zeros, GRID, [xyxy((18, -2, 33, 13))])
    yield case("two objects, the later anchor's first", *said(GRID, 1), GRID, [NEAR.flip(0)])
    band = xyxy((0, 0, 10, 10), (0, 0, 10, 5), (40, 0, 50, 10))
    yield case("an anchor in the ignored band", *said(band, 1), band, [band[:1]])
    yield case("two images, one without objects", *said(GRID, 2), GRID, [NEAR, torch.empty(0, 4)])
    yield case("two images of which one has an ignored anchor", *said(band, 2), band, [band[2:], band[:1]])
    far, here = GRID[1:2].repeat(20, 1), GRID[:1].repeat(6, 1)
    alike = torch.tensor([[1.0] * 6 + [-0.5] * 20]), torch.full((1, 26, 4), 0.2)
    yield case("6 anchors on an object and 20 off it, 8 to be sampled", *alike, torch.cat([here, far]), [here[:1]], 8)
    yield case("the same, a quarter of the 8 positive", *alike, torch.cat([here, far]), [here[:1]], 8, 0.25)
    many = boxes(generator, 60)
    yield case("many anchors, three images", *said(many, 3), many, [boxes(generator, n) for n in (5, 1, 8)], 256)


def _use_losses(answer: Answer, logits: Tensor, deltas: Tensor, *rest: Any) -> Any:
    """The losses, and what they would change: a loss that is right and teaches nothing is of no use."""
    logits, deltas = logits.clone().requires_grad_(), deltas.clone().requires_grad_()
    losses = answer(logits, deltas, *rest)
    if not isinstance(losses, dict) or any(not isinstance(one, Tensor) for one in losses.values()):
        raise TypeError("rpn_losses(…) should give a dict of two tensors")
    found: dict[str, Any] = {name: losses[name].detach() for name in sorted(losses)}
    total = torch.stack([one.sum() for one in losses.values()]).sum()
    grads: Sequence[Tensor | None] = (None, None)
    if total.requires_grad:
        grads = torch.autograd.grad(total, (logits, deltas), allow_unused=True)
    for name, said, grad in zip(("logits", "deltas"), (logits, deltas), grads, strict=True):
        found[f"gradient of the {name}, summed over the anchors"] = (
            torch.zeros_like(said) if grad is None else grad
        ).sum(1)
    return found


Drawn = tuple[Tensor, Tensor, Tensor, Tensor]


def _sampled(
    logits: Tensor, deltas: Tensor, anchors: Tensor, boxes: list[Tensor], count: int, share: float
) -> list[Drawn]:
    """Of each image: logits and labels of its sample, deltas said and meant at its positives."""
    drawn = []
    for image, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        positives, negatives = sample_balanced(matches, count, share)
        labels = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])
        meant = encode_boxes(truth[matches[positives]], anchors[positives])
        drawn.append((logits[image, torch.cat([positives, negatives])], labels, deltas[image, positives], meant))
    return drawn


def _summed(drawn: Sequence[Drawn], beta: float = 1 / 9) -> dict[str, Tensor]:
    logits, labels, said, meant = (torch.cat(each) for each in zip(*drawn, strict=True))
    box = F.smooth_l1_loss(said, meant, beta=beta, reduction="sum") / len(labels)
    return _two(F.binary_cross_entropy_with_logits(logits, labels), box)


def _two(objectness: Tensor, box: Tensor) -> dict[str, Tensor]:
    return {"loss_objectness": objectness, "loss_rpn_box_reg": box}


def _by_positives(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    drawn = _sampled(logits, deltas, anchors, boxes, count, share)
    everyone, positives = sum(len(one[1]) for one in drawn), sum(len(one[2]) for one in drawn)
    losses = _summed(drawn)
    return losses | {"loss_rpn_box_reg": losses["loss_rpn_box_reg"] * everyone / max(positives, 1)}


def _mean_of_fours(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    drawn = _sampled(logits, deltas, anchors, boxes, count, share)
    said, meant = (torch.cat(each) for each in list(zip(*drawn, strict=True))[2:])
    box = F.smooth_l1_loss(said, meant, beta=1 / 9)
    return rpn_losses(logits, deltas, anchors, boxes, count, share) | {"loss_rpn_box_reg": box}


def _beta_one(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return _summed(_sampled(logits, deltas, anchors, boxes, count, share), 1.0)


def _plain_l1(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return _summed(_sampled(logits, deltas, anchors, boxes, count, share), 0.0)


def _image_by_image(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    each = [_summed([one]) for one in _sampled(logits, deltas, anchors, boxes, count, share)]
    return {name: torch.stack([one[name] for one in each]).mean() for name in each[0]}


def _not_sampled(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return rpn_losses(logits, deltas, anchors, boxes, 10**6, 1.0)


def _all_positives(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return rpn_losses(logits, deltas, anchors, boxes, count, 1.0)


def _band_is_background(
    logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5
) -> Any:
    drawn = []
    for image, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth).clamp(min=-1)
        positives, negatives = sample_balanced(matches, count, share)
        labels = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])
        meant = encode_boxes(truth[matches[positives]], anchors[positives])
        drawn.append((logits[image, torch.cat([positives, negatives])], labels, deltas[image, positives], meant))
    return _summed(drawn)


def _swapped_labels(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    drawn = _sampled(logits, deltas, anchors, boxes, count, share)
    return _summed([(one, 1 - labels, said, meant) for one, labels, said, meant in drawn])


def _sigmoid_twice(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return rpn_losses(logits.sigmoid(), deltas, anchors, boxes, count, share)


def _boxes_in_turn(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    """The first positive gets the first box, the second the second: who matches whom is forgotten."""
    drawn = []
    for image, (truth, one) in enumerate(
        zip(boxes, _sampled(logits, deltas, anchors, boxes, count, share), strict=True)
    ):
        matches = match_anchors(anchors, truth)
        positives = torch.where(matches >= 0)[0][: len(one[2])]
        turn = torch.arange(len(positives)) % max(len(truth), 1)
        drawn.append((*one[:2], deltas[image, positives], encode_boxes(truth[turn], anchors[positives])))
    return _summed(drawn)


def _in_pixels(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    drawn = []
    for image, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        positives, negatives = sample_balanced(matches, count, share)
        labels = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])
        pixels = decode_boxes(deltas[image, positives], anchors[positives])
        drawn.append((logits[image, torch.cat([positives, negatives])], labels, pixels, truth[matches[positives]]))
    return _summed(drawn)


def _also_background(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    """The boxes of background anchors are trained, too: towards no change."""
    drawn = _sampled(logits, deltas, anchors, boxes, count, share)
    everyone = sum(len(one[1]) for one in drawn)
    extra = deltas.new_zeros(())
    for image, truth in enumerate(boxes):
        _, negatives = sample_balanced(match_anchors(anchors, truth), count, share)
        said = deltas[image, negatives]
        extra = extra + F.smooth_l1_loss(said, torch.zeros_like(said), beta=1 / 9, reduction="sum")
    losses = _summed(drawn)
    return losses | {"loss_rpn_box_reg": losses["loss_rpn_box_reg"] + extra / everyone}


def _sum_of_logits(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    drawn = _sampled(logits, deltas, anchors, boxes, count, share)
    everyone = sum(len(one[1]) for one in drawn)
    losses = rpn_losses(logits, deltas, anchors, boxes, count, share)
    return losses | {"loss_objectness": losses["loss_objectness"] * everyone}


def _first_image(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return rpn_losses(logits[:1], deltas[:1], anchors, boxes[:1], count, share)


def _detached(logits: Any, deltas: Any, anchors: Any, boxes: Any, count: int = 256, share: float = 0.5) -> Any:
    return rpn_losses(logits.detach(), deltas.detach(), anchors, boxes, count, share)


LOSSES = Exercise(
    "rpn_losses",
    lesson=5,
    minutes=20,
    reference=rpn_losses,
    cases=_losses_cases,
    call=_use_losses,
    hints=(
        "“The box loss is too large, by the same factor each time.” By what is it divided? By all sampled anchors of all "
        "images together, not by the positives, and not by their fours of numbers. Let smooth_l1_loss give the sum.",
        "“An anchor is compared with the wrong box.” matches[positives] says, for each positive anchor, which box it is "
        "responsible for. And the ignored ones are in no sample: sample_balanced has seen to that.",
        "“Nearly there.” For each image: matches = …; positives, negatives = sample_balanced(matches, count, positive_fraction); "
        "collect logits[image, torch.cat([positives, negatives])], as many ones and zeros, deltas[image, positives] and "
        "encode_boxes(truth[matches[positives]], anchors[positives]). After the loop torch.cat, then "
        'F.binary_cross_entropy_with_logits and F.smooth_l1_loss(…, beta=1 / 9, reduction="sum") / how many were sampled.',
    ),
    mistakes=(
        Mistake("the box loss is divided by the number of positives, not of all sampled anchors", _by_positives),
        Mistake("the box loss is a mean over all numbers of the positives (reduction='mean')", _mean_of_fours),
        Mistake("beta is left at 1: small errors hardly count", _beta_one),
        Mistake("a plain L1 loss: nothing is round at 0", _plain_l1),
        Mistake(
            "each image is averaged by itself, then the images: an anchor's weight depends on its image",
            _image_by_image,
        ),
        Mistake("nothing is sampled: all anchors count, and nearly all of them are background", _not_sampled),
        Mistake("positive_fraction is not used", _all_positives),
        Mistake("ignored anchors (-2) are taken for background", _band_is_background),
        Mistake("object and background are exchanged: 1 is the object", _swapped_labels),
        Mistake("a sigmoid before binary_cross_entropy_with_logits, which has one of its own", _sigmoid_twice),
        Mistake(
            "the boxes are taken in turn: matches[positives] says which box belongs to which anchor", _boxes_in_turn
        ),
        Mistake("the box loss compares pixels, not deltas", _in_pixels),
        Mistake("background anchors have a box loss, too: there is no box that they should give", _also_background),
        Mistake("the objectness loss is a sum, not a mean", _sum_of_logits),
        Mistake("only the first image of the batch counts", _first_image),
        Mistake("no gradient reaches the head (detach, item() or a new tensor on the way)", _detached),
    ),
)


def _propose_cases(generator: torch.Generator) -> Iterator[Case]:
    def said(anchors: Tensor, spread: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
        logits = torch.randperm(len(anchors), generator=generator) / len(anchors) * 6 - 4
        return logits, spread * torch.randn(len(anchors), 4, generator=generator), anchors

    four, still = GRID + 5, torch.zeros(4, 4)
    sure = torch.tensor([0.1, 2.0, -1.0, 0.5])
    yield case("four boxes apart, deltas of 0", sure, still, four, [4], (60, 60))
    moved = still.clone()
    moved[0, 0], moved[3, 3] = 0.5, 0.7
    yield case("the same, of which two are to be moved or grown", sure, moved, four, [4], (60, 60))
    yield case(
        "two boxes that are nearly one", sure[:2], still[:2], xyxy((5, 5, 25, 25), (5, 5, 25, 24)), [2], (60, 60)
    )
    over = xyxy((-6, -4, 10, 12), (40, 20, 70, 50))
    yield case("boxes over the edges of an image 30 high and 60 wide", sure[:2], still[:2], over, [2], (30, 60))
    outside = xyxy((70, 5, 90, 20), (5, 5, 20, 20))
    yield case("a box that lies outside altogether", sure[:2].flip(0), still[:2], outside, [2], (60, 60))
    same = xyxy((5, 5, 25, 25), (40, 40, 50, 50), (5, 5, 25, 25), (30, 0, 40, 10))
    yield case("the same box on two levels", sure, still, same, [2, 2], (60, 60))
    yield case("two levels, the second one surer", sure.sort()[0], still, four, [3, 1], (60, 60))
    yield case("only the best of each level goes in", sure, still, four, [2, 2], (60, 60), 1)
    pair = xyxy((5, 5, 25, 25), (5, 5, 25, 24), (40, 40, 50, 50), (30, 0, 40, 10))
    order = torch.tensor([3.0, 2.0, 1.0, 0.0])
    yield case("two are wanted, and the best two are nearly one", order, still, pair, [4], (60, 60), 500, 2)
    yield case("an objectness of at least 0.5", sure, still, four, [4], (60, 60), 500, 300, 0.7, 0.5)
    long = xyxy((0, 0, 20, 10), (0, 0, 60, 10))
    yield case("boxes that are one only once they were cut", sure[:2], still[:2], long, [2], (60, 22))
    yield case(
        "a lower threshold", *said(clusters(generator, 4, 8)[0].clamp(min=0)), [20, 12], (300, 300), 500, 300, 0.3
    )
    found = clusters(generator, 12, 10)[0]
    yield case("many, on three levels", *said(found), [70, 40, 10], (180, 240), 30, 25)
    yield case("many, of which few go in", *said(found, 0.6), [60, 50, 10], (150, 260), 8, 300, 0.5)


def _use_propose(answer: Answer, logits: Tensor, deltas: Tensor, *rest: Any) -> Any:
    proposals = answer(logits.clone().requires_grad_(), deltas.clone().requires_grad_(), *rest)
    if not isinstance(proposals, Tensor):
        return proposals
    return {"proposals": proposals.detach(), "a gradient flows": proposals.requires_grad}


def _decoded(logits: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return clip_boxes(decode_boxes(deltas.detach(), anchors), size), logits.detach().sigmoid()


def _one_level(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    """Suppression over all levels at once; the best of each level go in as they should."""
    best = _best_of_each(o, n, before)
    found, scores = _decoded(o[best], d[best], a[best], size)
    sound = (found[:, 2:] - found[:, :2] >= 1e-3).all(1) & (scores >= least)
    found, scores = found[sound], scores[sound]
    return found[nms(found, scores, iou)[:after]]


def _best_of_each(logits: Tensor, level_sizes: Sequence[int], before: int) -> Tensor:
    chosen, start = [], 0
    for length in level_sizes:
        chosen.append(logits[start : start + length].topk(min(before, length)).indices + start)
        start += length
    return torch.cat(chosen)


def _best_of_all(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    among = o.topk(min(before, len(o))).indices
    low = torch.full_like(o, -99.0).index_copy(0, among, o[among])
    return propose(low, d, a, n, size, 10**6, after, iou, max(least, 1e-9))


def _uncut(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    far = 10**4
    moved = propose(o, d, a + far, n, (2 * far, 2 * far), before, after, iou, least)
    return moved - far


def _swapped_axes(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, d, a, n, size[::-1], before, after, iou, least)


def _cut_last(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    found = clip_boxes(_uncut(o, d, a, n, size, before, 10**6, iou, least), size)
    return found[(found[:, 2:] - found[:, :2] >= 1e-3).all(1)][:after]


def _few_too_early(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    among = o.topk(min(after, len(o))).indices
    low = torch.full_like(o, -99.0).index_copy(0, among, o[among])
    return propose(low, d, a, n, size, before, after, iou, max(least, 1e-9))


def _all_of_them(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, d, a, n, size, before, 10**6, iou, least)


def _before_unused(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, d, a, n, size, 10**6, after, iou, least)


def _no_offset(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    """A position on its level is used as if it were one among all."""
    best, start, local = _best_of_each(o, n, before), 0, []
    for length in n:
        inside = best[(best >= start) & (best < start + length)]
        local.append(inside - start)
        start += length
    counts = [len(one) for one in local]
    at = torch.cat(local)
    return propose(o[at], d[at], a[at], counts, size, 10**6, after, iou, least)


def _level_after_level(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    parts = zip(o.split(n), d.split(n), a.split(n), strict=True)
    return torch.cat([propose(*one, [len(one[0])], size, before, after, iou, least) for one in parts])[:after]


def _least_of_logits(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    sure = torch.where(o.detach() >= least, o.detach(), -99.0)
    return propose(sure, d, a, n, size, before, after, iou, 1e-9)


def _empty_ones_too(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    found, order = [], []
    for one in zip(o.detach().split(n), d.split(n), a.split(n), strict=True):
        best = one[0].topk(min(before, len(one[0]))).indices
        level, scores = _decoded(one[0][best], one[1][best], one[2][best], size)
        level, scores = level[scores >= least], scores[scores >= least]
        kept = nms(level, scores, iou)
        found.append(level[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True, stable=True)[:after]]


def _always_07(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, d, a, n, size, before, after, 0.7, least)


def _anchors_alone(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, torch.zeros_like(d), a, n, size, before, after, iou, least)


def _unsuppressed(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, d, a, n, size, before, after, 1.0, least)


def _with_gradient(
    o: Any, d: Any, a: Any, n: Any, size: Any, before: int = 500, after: int = 300, iou: float = 0.7, least: float = 0.0
) -> Any:
    return propose(o, d, a, n, size, before, after, iou, least) + 0 * d.sum()


PROPOSE = Exercise(
    "propose",
    lesson=5,
    minutes=25,
    reference=propose,
    cases=_propose_cases,
    call=_use_propose,
    hints=(
        "“A large object drops a small one.” Suppression runs on each level by itself, and so does the choice of the best "
        "`before`. Split all three tensors by level_sizes first; only at the very end is there one list again.",
        "“I have the right boxes, and too many or too few.” The order of the steps: best by logit, decode, cut at the image's "
        "edges, drop what has hardly a side left or too little objectness, suppress. Then all levels together: sort by "
        "score, take `after`. size is height, then width; x goes with width.",
        "“Nearly there.” for said, shift, guess in zip(*(one.detach().split(list(level_sizes)) for one in …)): best = "
        "said.topk(min(before, len(said))).indices; boxes = decode_boxes(shift[best], guess[best]), then clamp; a mask; "
        "kept = nms(boxes, scores, threshold). Collect boxes[kept] and scores[kept], torch.cat both, argsort(descending=True).",
    ),
    mistakes=(
        Mistake("suppression over all levels at once: a box of one level drops one of another", _one_level),
        Mistake("the best `before` of all levels together, where each level has its own", _best_of_all),
        Mistake("the boxes are not cut at the edges of the image", _uncut),
        Mistake("height and width are swapped where boxes are cut", _swapped_axes),
        Mistake("the boxes are cut after the suppression, not before", _cut_last),
        Mistake("only `after` boxes go into the suppression: the limit comes after it", _few_too_early),
        Mistake("`after` is not used", _all_of_them),
        Mistake("`before` is not used", _before_unused),
        Mistake("positions on a level are used as if they were positions among all anchors", _no_offset),
        Mistake("level after level, not the best of all levels first", _level_after_level),
        Mistake("box_score_thresh is compared with logits: it means a probability", _least_of_logits),
        Mistake("boxes of which nothing is left after cutting stay", _empty_ones_too),
        Mistake("the threshold is always 0.7", _always_07),
        Mistake("the anchors come out as they are: the deltas are not used", _anchors_alone),
        Mistake("nothing is suppressed", _unsuppressed),
        Mistake("a gradient flows through the proposals: detach is missing", _with_gradient),
    ),
)

EXERCISES = (HEAD, LOSSES, NMS, PROPOSE)
