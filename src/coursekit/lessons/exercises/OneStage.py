"""Exercise 11.6, `OneStage`: the head that predicts classes, a box and its centerness in every cell."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector.one_stage import (
    OneStage,
    assign_cells,
    cell_points,
    centerness,
    decode_distances,
    encode_distances,
    focal_loss,
    giou_loss,
)
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import module_anywhere, on_a_gpu

GRIDS = ((4, 5), (2, 3))  # of two levels, with strides of 8 and 16
OUTPUTS = ("class_logits", "distances", "centerness_logits")


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield channels, classes, convolutions in a tower, levels, and the ground truth as in `losses`."""

    def maps(images: int, channels: int, *grids: tuple[int, int]) -> list[Tensor]:
        return [torch.randn(images, channels, *grid, generator=generator) for grid in grids]

    one = _objects([[(10, 8, 30, 25)]], [[2]])
    yield case("one image with one object", 6, 3, 2, maps(1, 6, *GRIDS), *one)
    two = _objects([[(10, 8, 30, 25), (4, 2, 15, 14)], [(1, 3, 38, 30), (0, 0, 0, 0)]], [[1, 3], [2, 0]])
    yield case("two images, of which one has a box of padding", 6, 3, 1, maps(2, 6, *GRIDS), *two)
    none = _objects([[(10, 8, 30, 25)], [(0, 0, 0, 0)]], [[3], [0]])
    yield case("an image without objects beside one with", 6, 3, 1, maps(2, 6, *GRIDS), *none)
    yield case("no objects at all", 6, 3, 1, maps(1, 6, *GRIDS), *_objects([[]], [[]]))
    yield case("`convs` left out", 6, 3, None, maps(1, 6, *GRIDS), *one)
    yield case("48 channels, which 32 doesn't divide", 48, 2, 1, maps(1, 48, *GRIDS), *one)
    doubles = [part.double() if part.is_floating_point() else part for part in two]
    yield case("float64", 6, 3, 1, [level.double() for level in maps(2, 6, *GRIDS)], *doubles)
    yield on_a_gpu(6, 3, 1, maps(2, 6, *GRIDS), *two, what="the head, its levels and the objects")


def _objects(boxes: list[list[tuple[int, ...]]], labels: list[list[int]]) -> tuple[Tensor, ...]:
    """Return points, strides and ranges of both levels, boxes (B, G, 4) and labels (B, G)."""
    points = [cell_points(grid, stride) for grid, stride in zip(GRIDS, (8, 16), strict=True)]
    strides = [torch.full((len(of_level),), stride) for of_level, stride in zip(points, (8.0, 16.0), strict=True)]
    ranges = [torch.tensor([[0.0, 20.0]]).repeat(len(points[0]), 1)]
    ranges += [torch.tensor([[20.0, math.inf]]).repeat(len(points[1]), 1)]
    found = torch.tensor(boxes, dtype=torch.float32).reshape(len(boxes), -1, 4)
    return (
        torch.cat(points),
        torch.cat(strides),
        torch.cat(ranges),
        found,
        torch.tensor(labels).reshape(len(boxes), -1).long(),
    )


def call(
    answer: Answer,
    channels: int,
    num_classes: int,
    convs: int | None,
    levels: list[Tensor],
    points: Tensor,
    strides: Tensor,
    ranges: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
) -> Any:
    """Return what a head predicts, with weights that depend on their shapes only, and its losses for made-up outputs."""
    head = answer(channels, num_classes) if convs is None else answer(channels, num_classes, convs)
    if not isinstance(head, nn.Module):
        raise TypeError(f"OneStage(…) should make an nn.Module, and made a {type(head).__name__}")
    objects = points, strides, ranges, gt_boxes, gt_labels
    if is_elsewhere((levels,)):
        return module_anywhere(_Both(head), levels, *objects)
    shapes, start = sorted(tuple(parameter.shape) for parameter in head.parameters()), _start_of(head)
    _set_weights(head)
    result = head.to(levels[0].dtype)(levels)
    if not isinstance(result, list | tuple) or len(result) != 3:
        raise TypeError(f"OneStage(…)(levels) should return three tensors: {', '.join(OUTPUTS)}")
    predicted = dict(zip(OUTPUTS, map(_detached, result), strict=True))
    reached = _reached(head, result)
    values = predicted | {"shapes of the weights": shapes, "weights at the start": start} | reached
    return values | _losses(head, len(points), num_classes, objects)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else [_detached(part) for part in value]


class _Both(nn.Module):
    """A head whose outputs and losses come from one call."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, levels: list[Tensor], *objects: Tensor) -> list[Tensor]:
        outputs = self.head(levels)
        return [*outputs, *self.head.losses(outputs, *objects).values()]


def _set_weights(head: nn.Module) -> None:
    with torch.no_grad():
        for parameter in head.parameters():
            drawn = torch.Generator().manual_seed(sum(parameter.shape))
            parameter.copy_(torch.randn(parameter.shape, generator=drawn) * 1.5 / parameter[0].numel() ** 0.5)


def _losses(head: Any, cells: int, num_classes: int, objects: tuple[Tensor, ...]) -> dict[str, Any]:
    """Return the losses of made-up outputs, and the gradients of those."""
    generator, images, dtype = torch.Generator().manual_seed(1), len(objects[3]), objects[0].dtype
    made = [torch.randn(images, cells, num_classes, generator=generator) - 1]
    made += [
        3 * torch.rand(images, cells, 4, generator=generator) + 0.1,
        torch.randn(images, cells, generator=generator),
    ]
    outputs = tuple(value.to(dtype).requires_grad_() for value in made)
    losses = head.losses(outputs, *objects)
    if not isinstance(losses, dict):
        return {"losses": losses}
    losses = dict(sorted(losses.items()))
    return {"losses": losses} | gradients(losses, dict(zip(OUTPUTS, outputs, strict=True)))


def _reached(head: nn.Module, result: Any) -> dict[str, int]:
    """Return how many weights each output depends on, and how many two of them share."""
    parameters = [parameter for parameter in head.parameters() if parameter.requires_grad]
    behind: list[set[int]] = []
    for value in result:
        grads: tuple[Any, ...] = (None,) * len(parameters)
        if isinstance(value, Tensor) and value.requires_grad:
            grads = torch.autograd.grad(value.sum(), parameters, retain_graph=True, allow_unused=True)
        behind.append({number for number, grad in enumerate(grads) if grad is not None})
    counts = {f"weights that {name} depends on": len(found) for name, found in zip(OUTPUTS, behind, strict=True)}
    counts["weights that class_logits and distances share"] = len(behind[0] & behind[1])
    return counts | {"weights that distances and centerness_logits share": len(behind[1] & behind[2])}


def _start_of(head: nn.Module) -> str:
    """Return in words how the weights start."""
    parameters = [parameter.detach() for parameter in head.parameters()]
    spreads = {_spread_of(parameter) for parameter in parameters if parameter.ndim > 1} - {""}
    words = sorted(spreads) or ["weights of convolutions with a spread of 0.01"]
    vectors = Counter(_value_of(parameter) for parameter in parameters if parameter.ndim == 1)
    return "; ".join([words[0], *(_vectors(count, value) for value, count in sorted(vectors.items()))])


def _vectors(count: int, value: str) -> str:
    return f"{count} vector{'' if count == 1 else 's'} of {value}"


def _spread_of(weight: Tensor) -> str:
    chance = 5 / weight.numel() ** 0.5  # five standard deviations
    spread = float(weight.square().mean().sqrt()) / 0.01
    is_off = (weight.numel() >= 40 and abs(spread - 1) > chance) or abs(float(weight.mean())) > 0.01 * chance
    return "weights of convolutions that are not drawn with a mean of 0 and a spread of 0.01" if is_off else ""


def _value_of(vector: Tensor) -> str:
    return f"{float(vector[0]):.3f}" if bool((vector == vector[0]).all()) else "different numbers"


# Wrong answers: the reference in steps, each of which can be replaced.


class Head(OneStage):
    """The reference, whose losses can be changed in places."""

    def losses(self, outputs, points, strides, ranges, gt_boxes, gt_labels):
        class_logits, distances, centerness_logits = outputs
        matches = torch.stack([assign_cells(points, strides, ranges, boxes) for boxes in gt_boxes])
        image, cell = torch.where(matches >= 0)
        matched = matches[image, cell]
        boxes, labels = gt_boxes[image, matched], gt_labels[image, matched]
        classes = torch.zeros_like(class_logits)
        self.mark(classes, image, cell, labels)
        count = self.count(matches)
        encoded = encode_distances(points[cell], strides[cell], boxes)
        return {
            "classification": self.class_loss(class_logits, classes, matches) / count,
            "bbox_regression": self.box_loss(points[cell], strides[cell], distances[image, cell], boxes) / count,
            "bbox_ctrness": self.center_loss(centerness_logits[image, cell], encoded) / count,
        }

    def mark(self, classes, image, cell, labels):
        classes[image, cell, labels - 1] = 1

    def count(self, matches):
        return max(1, int((matches >= 0).sum()))

    def class_loss(self, logits, classes, matches):
        return focal_loss(logits, classes).sum()

    def box_loss(self, points, strides, distances, boxes):
        return giou_loss(decode_distances(points, strides, distances), boxes).sum()

    def center_loss(self, logits, encoded):
        return F.binary_cross_entropy_with_logits(logits, centerness(encoded), reduction="sum")


class wrong_divided_by_all_cells(Head):
    def count(self, matches):
        return matches.numel()


class wrong_not_divided(Head):
    def count(self, matches):
        return 1


class wrong_divided_by_the_images(Head):
    def count(self, matches):
        return len(matches)


class wrong_divided_by_the_objects(Head):
    def count(self, matches):
        return max(1, sum(len(row[row >= 0].unique()) for row in matches))


class wrong_divided_by_zero(Head):
    def count(self, matches):
        return (matches >= 0).sum()


class wrong_labels_from_zero(Head):
    def mark(self, classes, image, cell, labels):
        classes[image, cell, labels] = 1


class wrong_every_class_marked(Head):
    def mark(self, classes, image, cell, labels):
        classes[image, cell] = 1


class wrong_no_class_marked(Head):
    def mark(self, classes, image, cell, labels):
        return


class wrong_classes_of_positives_only(Head):
    def class_loss(self, logits, classes, matches):
        return focal_loss(logits[matches >= 0], classes[matches >= 0]).sum()


class wrong_classes_averaged(Head):
    def class_loss(self, logits, classes, matches):
        return focal_loss(logits, classes).mean()


class wrong_plain_cross_entropy(Head):
    def class_loss(self, logits, classes, matches):
        return F.binary_cross_entropy_with_logits(logits, classes, reduction="sum")


class wrong_smooth_l1(Head):
    def box_loss(self, points, strides, distances, boxes):
        return F.smooth_l1_loss(distances, encode_distances(points, strides, boxes), reduction="sum")


class wrong_giou_of_distances(Head):
    def box_loss(self, points, strides, distances, boxes):
        return giou_loss(distances, encode_distances(points, strides, boxes)).sum()


class wrong_giou_of_distances_and_boxes(Head):
    def box_loss(self, points, strides, distances, boxes):
        return giou_loss(distances, boxes).sum()


class wrong_boxes_averaged(Head):
    def box_loss(self, points, strides, distances, boxes):
        losses = giou_loss(decode_distances(points, strides, distances), boxes)
        return losses.mean() if len(losses) else losses.sum()


class wrong_boxes_in_pixels(Head):
    def box_loss(self, points, strides, distances, boxes):
        return giou_loss(decode_distances(points, torch.ones_like(strides), distances), boxes).sum()


class wrong_boxes_weighted(Head):
    def box_loss(self, points, strides, distances, boxes):
        weights = centerness(encode_distances(points, strides, boxes))
        return (weights * giou_loss(decode_distances(points, strides, distances), boxes)).sum()


class wrong_boxes_detached(Head):
    def box_loss(self, points, strides, distances, boxes):
        return giou_loss(decode_distances(points, strides, distances.detach()), boxes).sum()


class wrong_target_of_one(Head):
    def center_loss(self, logits, encoded):
        return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="sum")


class wrong_centerness_averaged(Head):
    def center_loss(self, logits, encoded):
        if not len(logits):
            return logits.sum()
        return F.binary_cross_entropy_with_logits(logits, centerness(encoded))


class wrong_squared_error(Head):
    def center_loss(self, logits, encoded):
        return F.mse_loss(logits.sigmoid(), centerness(encoded), reduction="sum")


class wrong_centerness_without_sigmoid(Head):
    def center_loss(self, logits, encoded):
        return F.mse_loss(logits, centerness(encoded), reduction="sum")


class wrong_boxes_of_the_first_image(OneStage):
    def losses(self, outputs, points, strides, ranges, gt_boxes, gt_labels):
        first = gt_boxes[:1].expand_as(gt_boxes), gt_labels[:1].expand_as(gt_labels)
        return super().losses(outputs, points, strides, ranges, *first)


class wrong_names(OneStage):
    def losses(self, *args):
        classes, boxes, centers = super().losses(*args).values()
        return {"loss_classification": classes, "loss_box_reg": boxes, "loss_centerness": centers}


class wrong_sum_of_the_losses(OneStage):
    def losses(self, *args):
        return sum(super().losses(*args).values())


class wrong_fails_without_objects(OneStage):
    def losses(self, outputs, points, strides, ranges, gt_boxes, gt_labels):
        if not gt_boxes.shape[1]:
            raise IndexError("index 0 is out of bounds for dimension 1 with size 0")
        return super().losses(outputs, points, strides, ranges, gt_boxes, gt_labels)


def flattened(layer, hidden):
    """Return a layer's outputs, (B, H * W, channels)."""
    return layer(hidden).flatten(2).transpose(1, 2)


class Predicting(OneStage):
    """The reference, whose predictions can be changed in places."""

    def forward(self, levels):
        each = [self.of_level(level) for level in levels]
        classes, distances, centers = (torch.cat(parts, 1) for parts in zip(*each))
        return classes, distances, centers.squeeze(2)

    def of_level(self, level):
        hidden = self.box_tower(level)
        distances = self.positive(flattened(self.distances, hidden))
        return flattened(self.class_logits, self.class_tower(level)), distances, flattened(self.centerness, hidden)

    def positive(self, distances):
        return distances.relu()


class wrong_distances_of_any_sign(Predicting):
    def positive(self, distances):
        return distances


class wrong_exponential(Predicting):
    def positive(self, distances):
        return distances.exp()


class wrong_probabilities(Predicting):
    def forward(self, levels):
        classes, distances, centers = super().forward(levels)
        return classes.sigmoid(), distances, centers.sigmoid()


class wrong_flattened_as_stored(Predicting):
    def of_level(self, level):
        hidden, images = self.box_tower(level), len(level)
        classes = self.class_logits(self.class_tower(level))
        distances = self.distances(hidden).relu().reshape(images, -1, 4)
        return classes.reshape(images, -1, classes.shape[1]), distances, self.centerness(hidden).reshape(images, -1, 1)


class wrong_columns_before_rows(Predicting):
    def of_level(self, level):
        hidden = self.box_tower(level)
        maps = self.class_logits(self.class_tower(level)), self.distances(hidden).relu(), self.centerness(hidden)
        return [flattened(nn.Identity(), values.mT) for values in maps]


class wrong_coarsest_first(OneStage):
    def forward(self, levels):
        return super().forward(levels[::-1])


class wrong_lists_of_levels(Predicting):
    def forward(self, levels):
        classes, distances, centers = zip(*[self.of_level(level) for level in levels])
        return list(classes), list(distances), list(centers)


class wrong_centerness_in_a_column(OneStage):
    def forward(self, levels):
        classes, distances, centers = super().forward(levels)
        return classes, distances, centers[..., None]


class wrong_centerness_from_the_class_tower(Predicting):
    def of_level(self, level):
        classes, distances, _ = super().of_level(level)
        return classes, distances, flattened(self.centerness, self.class_tower(level))


class wrong_one_tower(Predicting):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes, convs)
        self.class_tower = self.box_tower


class wrong_three_towers(Predicting):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes, convs)
        self.third_tower = OneStage(channels, num_classes, convs).box_tower

    def of_level(self, level):
        classes, distances, _ = super().of_level(level)
        return classes, distances, flattened(self.centerness, self.third_tower(level))


def with_layers(change):
    """Return the reference whose layers are replaced: `change` turns a layer of a tower into another one."""

    class Changed(OneStage):
        def __init__(self, channels, num_classes, convs=4):
            super().__init__(channels, num_classes, convs)
            self.class_tower, self.box_tower = (
                nn.Sequential(*(change(layer) for layer in tower)) for tower in (self.class_tower, self.box_tower)
            )

    return Changed


def norm_replaced(make):
    """Return a function that replaces the norm of a tower by what `make` returns for its channels."""
    return lambda layer: make(layer.num_channels) if isinstance(layer, nn.GroupNorm) else layer


class wrong_norm_behind_the_relu(OneStage):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes, convs)
        for name in ("class_tower", "box_tower"):
            layers = list(getattr(self, name))
            triples = [(layers[i], layers[i + 2], layers[i + 1]) for i in range(0, len(layers), 3)]
            setattr(self, name, nn.Sequential(*(layer for triple in triples for layer in triple)))


class wrong_five_convolutions(OneStage):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes, convs + 1)


class wrong_always_four(OneStage):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes, 4)


class wrong_background_as_a_class(OneStage):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes + 1, convs)


class wrong_one_by_one_outputs(OneStage):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__(channels, num_classes, convs)
        for name in ("class_logits", "distances", "centerness"):
            old = getattr(self, name)
            new = nn.Conv2d(channels, old.out_channels, 1)
            nn.init.normal_(new.weight, std=0.01)
            new.bias = old.bias
            setattr(self, name, new)


def with_start(start):
    """Return the reference, which `start` changes once it is made."""

    class Started(OneStage):
        def __init__(self, channels, num_classes, convs=4):
            super().__init__(channels, num_classes, convs)
            with torch.no_grad():
                start(self)

    return Started


def convolutions_of(head):
    return [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]


def start_as_torch_does(head):
    for layer in convolutions_of(head):
        bias = layer.bias.clone()
        layer.reset_parameters()
        layer.bias.copy_(bias)


def start_ten_times_as_wide(head):
    for layer in convolutions_of(head):
        layer.weight *= 10


class wrong_hidden_detached(Predicting):
    def of_level(self, level):
        hidden = self.box_tower(level).detach()
        distances = flattened(self.distances, hidden).relu()
        return flattened(self.class_logits, self.class_tower(level)), distances, flattened(self.centerness, hidden)


class wrong_without_gradient(OneStage):
    def forward(self, levels):
        with torch.no_grad():
            return super().forward(levels)


class wrong_targets_on_the_cpu(Head):
    def class_loss(self, logits, classes, matches):
        targets = torch.zeros(classes.shape, dtype=classes.dtype)
        targets[:] = classes
        return focal_loss(logits, targets).sum()


# Other right answers.


class right_image_by_image(nn.Module):
    def __init__(self, channels, num_classes, convs=4):
        super().__init__()
        towers = [[], []]
        for layers in towers:
            for _ in range(convs):
                layers += [nn.Conv2d(channels, channels, 3, padding=1)]
                layers += [nn.GroupNorm(math.gcd(32, channels), channels), nn.ReLU(inplace=True)]
        self.score_tower, self.place_tower = nn.Sequential(*towers[0]), nn.Sequential(*towers[1])
        self.score = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.place, self.center = nn.Conv2d(channels, 4, 3, padding=1), nn.Conv2d(channels, 1, 3, padding=1)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 4:
                nn.init.normal_(parameter, 0, 0.01)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        nn.init.constant_(self.score.bias, math.log(0.01 / 0.99))

    def forward(self, levels):
        classes, distances, centers = [], [], []
        for level in levels:
            scores, places = self.score_tower(level), self.place_tower(level)
            classes.append(self.score(scores).permute(0, 2, 3, 1).flatten(1, 2))
            distances.append(self.place(places).clamp(min=0).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
            centers.append(self.center(places).flatten(1))
        return [torch.cat(classes, 1), torch.cat(distances, 1), torch.cat(centers, 1)]

    def losses(self, outputs, points, strides, ranges, gt_boxes, gt_labels):
        totals, count = [0.0, 0.0, 0.0], 0
        for logits, distances, centers, boxes, labels in zip(*outputs, gt_boxes, gt_labels):
            matches = assign_cells(points, strides, ranges, boxes)
            own = matches >= 0
            count += int(own.sum())
            targets = torch.zeros_like(logits)
            targets[own, labels[matches[own]] - 1] = 1
            target_boxes = boxes[matches[own]]
            target_centers = centerness(encode_distances(points[own], strides[own], target_boxes))
            pred_boxes = decode_distances(points[own], strides[own], distances[own])
            totals[0] = totals[0] + focal_loss(logits, targets).sum()
            totals[1] = totals[1] + giou_loss(pred_boxes, target_boxes).sum()
            totals[2] = totals[2] + F.binary_cross_entropy_with_logits(centers[own], target_centers, reduction="sum")
        names = "classification", "bbox_regression", "bbox_ctrness"
        return {name: total / max(count, 1) for name, total in zip(names, totals)}


EXERCISE = Exercise(
    "OneStage",
    lesson=11,
    minutes=25,
    regions=3,
    reference=OneStage,
    cases=cases,
    call=call,
    library=("torchvision.models.detection.fcos.FCOSHead",),
    tolerance=1e-4,
    hints=(
        "“The right numbers, in another order.” A map is (B, K, H, W). The cells come row by row, so flatten H and W, and move "
        "the channels to the end: flatten(2).transpose(1, 2). Then join the levels along axis 1.",
        "“My classification loss is about 50.” Start the class logits' bias at −log((1 − π) / π), which is −4.6. If the loss is "
        "tiny instead, you divided by all cells: divide sums by the number of positives, and by 1 where there are none.",
        "“Nearly there.” matches = torch.stack([assign_cells(points, strides, ranges, boxes) for boxes in gt_boxes]); image, "
        "cell = torch.where(matches >= 0); matched = matches[image, cell]. Then gt_boxes[image, matched] are the target boxes, "
        "and target_classes[image, cell, gt_labels[image, matched] - 1] = 1.",
    ),
    wrong=(
        Wrong(
            wrong_divided_by_all_cells, "the losses are divided by all cells, not by those that answer for an object"
        ),
        Wrong(wrong_not_divided, "the losses are not divided by the number of cells that answer for an object"),
        Wrong(wrong_divided_by_the_images, "the losses are divided by the number of images"),
        Wrong(
            wrong_divided_by_the_objects,
            "the losses are divided by the number of objects: several cells answer for one",
        ),
        Wrong(wrong_divided_by_zero, "without objects it divides by 0: divide by 1 at least"),
        Wrong(wrong_labels_from_zero, "labels count from 1, but the classes of the logits from 0: subtract 1"),
        Wrong(wrong_every_class_marked, "the target is 1 for all classes, where it should be for that of the object"),
        Wrong(wrong_no_class_marked, "all class targets are 0: no cell ever learns a class"),
        Wrong(
            wrong_classes_of_positives_only,
            "only cells with an object have a class loss: the others must learn to say no",
        ),
        Wrong(wrong_classes_averaged, "the focal loss is averaged and then divided: sum it up"),
        Wrong(wrong_plain_cross_entropy, "classification is plain cross-entropy, not your focal loss"),
        Wrong(wrong_smooth_l1, "the distances have a smooth L1 loss, where the boxes should have the GIoU loss"),
        Wrong(
            wrong_giou_of_distances, "the GIoU loss compares distances, which are no corners: decode them into boxes"
        ),
        Wrong(
            wrong_giou_of_distances_and_boxes,
            "the GIoU loss compares distances with boxes: decode the distances into boxes first",
        ),
        Wrong(wrong_boxes_averaged, "the GIoU loss is averaged and then divided: sum it up"),
        Wrong(wrong_boxes_in_pixels, "the distances are decoded as pixels, but they are strides"),
        Wrong(wrong_boxes_weighted, "the GIoU loss is weighted with the centerness, as in the paper's code: not here"),
        Wrong(wrong_boxes_detached, "no gradient flows through the distances (detach on the way)"),
        Wrong(wrong_target_of_one, "the target of the centerness is 1 everywhere"),
        Wrong(wrong_centerness_averaged, "the loss of the centerness is averaged and then divided: sum it up"),
        Wrong(wrong_squared_error, "the centerness has a squared error, where it should have binary cross-entropy"),
        Wrong(wrong_centerness_without_sigmoid),
        Wrong(wrong_boxes_of_the_first_image, "the objects of the first image are used for all images"),
        Wrong(wrong_names, "the losses have other names: classification, bbox_regression, bbox_ctrness"),
        Wrong(wrong_sum_of_the_losses, "`losses` returns one number, where it should return three by name"),
        Wrong(wrong_fails_without_objects, "it fails if no image has an object"),
        Wrong(wrong_distances_of_any_sign, "distances can be negative: there is no ReLU at their end"),
        Wrong(wrong_exponential, "the distances are exp(…), as in the paper's first version; here it is a ReLU"),
        Wrong(wrong_probabilities, "there is a sigmoid in the head: the losses take logits"),
        Wrong(
            wrong_flattened_as_stored,
            "the maps are flattened as they are stored, channel by channel: cells come first",
        ),
        Wrong(wrong_columns_before_rows, "column by column, where the cells go row by row"),
        Wrong(wrong_coarsest_first, "the levels come out coarsest first"),
        Wrong(wrong_lists_of_levels, "it returns lists of levels instead of one tensor for all of them"),
        Wrong(wrong_centerness_in_a_column, "the centerness has an extra last axis of 1"),
        Wrong(
            wrong_centerness_from_the_class_tower,
            "the centerness comes from the tower of the classes, not of the boxes",
        ),
        Wrong(wrong_one_tower, "classes and boxes share one tower, where each should have its own"),
        Wrong(wrong_three_towers, "the centerness has a tower of its own, where it shares that of the boxes"),
        Wrong(with_layers(norm_replaced(lambda channels: nn.Identity())), "there is no GroupNorm in the towers"),
        Wrong(with_layers(norm_replaced(nn.BatchNorm2d)), "the norms are batch norms, where they should be GroupNorms"),
        Wrong(
            with_layers(norm_replaced(lambda channels: nn.GroupNorm(1, channels))),
            "the GroupNorm has one group, not math.gcd(32, channels)",
        ),
        Wrong(
            with_layers(norm_replaced(lambda channels: nn.GroupNorm(channels, channels))),
            "the GroupNorm has a group for each channel, not math.gcd(32, channels)",
        ),
        Wrong(
            with_layers(lambda layer: nn.Identity() if isinstance(layer, nn.ReLU) else layer),
            "there is no ReLU in the towers",
        ),
        Wrong(wrong_norm_behind_the_relu, "the GroupNorm comes behind the ReLU, where it should be before it"),
        Wrong(wrong_five_convolutions, "each tower has one convolution too many"),
        Wrong(wrong_always_four, "each tower has four convolutions, whatever `convs` is"),
        Wrong(
            wrong_background_as_a_class, "there is a logit for the background: here background is a no to all classes"
        ),
        Wrong(wrong_one_by_one_outputs, "the last layers are 1 × 1, but they should be 3 × 3"),
        Wrong(
            with_start(lambda head: head.class_logits.bias.zero_()),
            "the bias of the class logits starts at 0: each cell starts with 50 % for each class",
        ),
        Wrong(
            with_start(lambda head: head.class_logits.bias.neg_()),
            "the bias of the class logits has the wrong sign: each cell starts with 99 % for each class",
        ),
        Wrong(
            with_start(lambda head: head.class_logits.bias.fill_(0.01)),
            "the bias of the class logits is π itself: it should be −log((1 − π) / π)",
        ),
        Wrong(
            with_start(lambda head: head.centerness.bias.fill_(-math.log(99))),
            "the centerness starts with the bias of the classes: only class logits do",
        ),
        Wrong(with_start(start_as_torch_does), "the weights start as torch draws them, not with a spread of 0.01"),
        Wrong(with_start(start_ten_times_as_wide)),
        Wrong(wrong_hidden_detached, "no gradient reaches the tower of the boxes (detach on the way)"),
        Wrong(wrong_without_gradient, "no gradient reaches the weights (detach or no_grad on the way)"),
        Wrong(wrong_targets_on_the_cpu),
    ),
    right=(right_image_by_image,),
)
