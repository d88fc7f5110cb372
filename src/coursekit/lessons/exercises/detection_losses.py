"""Exercise 7.2: compute the two losses of the second stage."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.detector import detection_losses, encode_boxes
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    roi, box = xyxy((0, 0, 20, 10)), xyxy((2, 1, 22, 13))
    confident = torch.tensor([[0.0, 0.0, 4.0]])
    right = torch.zeros(1, 3, 4)
    right[0, 2] = encode_boxes(box, roi, WEIGHTS)[0]
    label, background = torch.tensor([2]), torch.tensor([0])
    yield case("a confident head with the right box", confident, right, roi, label, box)
    yield case("a head that gives all classes the same logit", torch.zeros(1, 3), torch.zeros(1, 3, 4), roi, label, roi)
    yield case("background, whatever box is predicted", confident, right, roi, background, roi)
    yield case("the right box, predicted for another class", confident, right.roll(-1, 1), roi, label, box)
    yield case("a box that is off by a little", confident, right + 0.05, roi, label, box)
    yield case("a box that is off by a lot", confident, right + 3, roi, label, box)
    rois, labels = xyxy((0, 0, 30, 10), *[(40, 40, 60, 60)] * 3), torch.tensor([1, 0, 0, 0])
    logits, deltas = torch.randn(4, 2, generator=generator), torch.randn(4, 2, 4, generator=generator)
    yield case("one object, three times background", logits, deltas, rois, labels, torch.cat([box, rois[1:]]))
    yield case("no RoIs", torch.zeros(0, 3), torch.zeros(0, 3, 4), roi[:0], label[:0], roi[:0])
    rois, labels = case_inputs.boxes(generator, 40), torch.randint(0, 6, (40,), generator=generator)
    moved = torch.cat([rois[:, :2] + 1, rois[:, 2:] + 3], 1)
    logits, deltas = torch.randn(40, 6, generator=generator), torch.randn(40, 6, 4, generator=generator)
    yield case("40 RoIs", logits, deltas, rois, labels, torch.where(labels[:, None] > 0, moved, rois))
    huge = torch.tensor([[-200.0, 0.0, 200.0], [200.0, 0.0, -200.0]])
    two, labels_of_two = roi.repeat(2, 1), torch.tensor([2, 2])
    yield case("logits of 200 and -200, one of two RoIs wrong", huge, torch.zeros(2, 3, 4), two, labels_of_two, two)
    yield case("float64", logits.double(), deltas.double(), rois.double(), labels, moved.double())
    yield on_a_gpu(logits, deltas, rois, labels, moved, what="predictions and boxes")


def call(answer: Answer, logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, boxes: Tensor) -> Any:
    """Return the losses, and the gradients that reach logits and deltas: a loss without them is useless."""
    if is_elsewhere((logits,)):
        return anywhere(answer, logits, deltas, rois, labels, boxes)
    logits, deltas = logits.clone().requires_grad_(), deltas.clone().requires_grad_()
    losses = answer(logits, deltas, rois, labels, boxes)
    if not isinstance(losses, dict) or any(not isinstance(loss, Tensor) for loss in losses.values()):
        return losses
    inputs = {"logits": logits} if len(labels) else {}
    inputs |= {"deltas": deltas} if bool((labels > 0).any()) else {}  # only positives have a box loss
    values: dict[str, Any] = {name: losses[name].detach() for name in sorted(losses)}
    return values | (gradients(losses, inputs) if inputs else {})


# Wrong answers. `_losses` is right as long as its options are left alone.


def _smooth_l1(pred_deltas, target_deltas, beta=1 / 9):
    return F.smooth_l1_loss(pred_deltas, target_deltas, beta=beta, reduction="sum")


def _losses(logits, deltas, rois, labels, boxes, *, weights=WEIGHTS, box_loss=_smooth_l1, column=None):
    positive, count = torch.where(labels > 0)[0], max(1, len(labels))
    pred_deltas = deltas[positive, (labels if column is None else column)[positive]]
    target_deltas = encode_boxes(boxes[positive], rois[positive], weights)
    class_loss = F.cross_entropy(logits, labels, reduction="sum") / count
    return {"loss_classifier": class_loss, "loss_box_reg": box_loss(pred_deltas, target_deltas) / count}


def _changed(words="", **options):
    return Wrong(partial(_losses, **options), words)


def divided_by_positives(logits, deltas, rois, labels, boxes):
    losses = _losses(logits, deltas, rois, labels, boxes)
    positives = int((labels > 0).sum())
    return losses | {"loss_box_reg": losses["loss_box_reg"] * max(1, len(labels)) / max(1, positives)}


def class_before(logits, deltas, rois, labels, boxes):
    return _losses(logits, deltas, rois, labels, boxes, column=(labels - 1).clamp(min=0))


def class_1(logits, deltas, rois, labels, boxes):
    return _losses(logits, deltas, rois, labels, boxes, column=torch.ones_like(labels))


def predicted_class(logits, deltas, rois, labels, boxes):
    return _losses(logits, deltas, rois, labels, boxes, column=logits.argmax(1))


def boxes_of_background(logits, deltas, rois, labels, boxes):
    pred_deltas = deltas[torch.arange(len(labels), device=labels.device), labels]
    box_loss = _smooth_l1(pred_deltas, encode_boxes(boxes, rois, WEIGHTS)) / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_box_reg": box_loss}


def classes_of_positives(logits, deltas, rois, labels, boxes):
    is_object = labels > 0
    class_loss = F.cross_entropy(logits[is_object], labels[is_object], reduction="sum") / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_classifier": class_loss}


def roi_and_box_swapped(logits, deltas, rois, labels, boxes):
    return _losses(logits, deltas, boxes, labels, rois)


def softmax_first(logits, deltas, rois, labels, boxes):
    return _losses(logits.softmax(1), deltas, rois, labels, boxes)


def nan_without_rois(logits, deltas, rois, labels, boxes):
    losses = _losses(logits, deltas, rois, labels, boxes)
    return {name: loss * max(1, len(labels)) / len(labels) for name, loss in losses.items()}


def means_by_torch(logits, deltas, rois, labels, boxes):
    positive = torch.where(labels > 0)[0]
    target_deltas = encode_boxes(boxes[positive], rois[positive], WEIGHTS)
    box_loss = F.smooth_l1_loss(deltas[positive, labels[positive]], target_deltas, beta=1 / 9)
    return {"loss_classifier": F.cross_entropy(logits, labels), "loss_box_reg": box_loss}


def all_classes(logits, deltas, rois, labels, boxes):
    positive = torch.where(labels > 0)[0]
    target_deltas = encode_boxes(boxes[positive], rois[positive], WEIGHTS)[:, None].expand_as(deltas[positive])
    box_loss = _smooth_l1(deltas[positive], target_deltas) / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_box_reg": box_loss}


def boxes_in_pixels(logits, deltas, rois, labels, boxes):
    positive = torch.where(labels > 0)[0]
    box_loss = _smooth_l1(deltas[positive, labels[positive]], boxes[positive]) / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_box_reg": box_loss}


def nan_without_positives(logits, deltas, rois, labels, boxes):
    def box_loss(pred_deltas, target_deltas):
        return F.smooth_l1_loss(pred_deltas, target_deltas, beta=1 / 9) * pred_deltas.numel()

    return _losses(logits, deltas, rois, labels, boxes, box_loss=box_loss)


def logits_detached(logits, deltas, rois, labels, boxes):
    return _losses(logits.detach(), deltas, rois, labels, boxes)


def deltas_detached(logits, deltas, rois, labels, boxes):
    return _losses(logits, deltas.detach(), rois, labels, boxes)


def both_detached(logits, deltas, rois, labels, boxes):
    return _losses(logits.detach(), deltas.detach(), rois, labels, boxes)


def numbers(*args):
    return {name: loss.item() for name, loss in _losses(*args).items()}


def logarithm_of_softmax(logits, deltas, rois, labels, boxes):
    right = logits.softmax(1)[torch.arange(len(labels), device=labels.device), labels]
    class_loss = -right.log().sum() / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_classifier": class_loss}


def sum_of_classes(logits, deltas, rois, labels, boxes):
    losses = _losses(logits, deltas, rois, labels, boxes)
    return losses | {"loss_classifier": losses["loss_classifier"] * max(1, len(labels))}


def sum_of_boxes(logits, deltas, rois, labels, boxes):
    losses = _losses(logits, deltas, rois, labels, boxes)
    return losses | {"loss_box_reg": losses["loss_box_reg"] * max(1, len(labels))}


def divided_by_four_too(logits, deltas, rois, labels, boxes):
    positive = torch.where(labels > 0)[0]
    losses = _losses(logits, deltas, rois, labels, boxes)
    return losses | {"loss_box_reg": losses["loss_box_reg"] * max(1, len(labels)) / max(1, 4 * len(positive))}


def class_loss_over_positives(logits, deltas, rois, labels, boxes):
    losses = _losses(logits, deltas, rois, labels, boxes)
    positives = max(1, int((labels > 0).sum()))
    return losses | {"loss_classifier": losses["loss_classifier"] * max(1, len(labels)) / positives}


def binary_cross_entropy(logits, deltas, rois, labels, boxes):
    targets = F.one_hot(labels, logits.shape[1]).to(logits)
    class_loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_classifier": class_loss}


def without_log_softmax(logits, deltas, rois, labels, boxes):
    class_loss = F.nll_loss(logits, labels, reduction="sum") / max(1, len(labels))
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_classifier": class_loss}


def means_of_classes(logits, deltas, rois, labels, boxes):
    return _losses(logits, deltas, rois, labels, boxes) | {"loss_classifier": F.cross_entropy(logits, labels)}


def names_swapped(*args):
    return dict(zip(("loss_box_reg", "loss_classifier"), _losses(*args).values()))


def other_names(*args):
    return dict(zip(("loss_cls", "loss_box"), _losses(*args).values()))


def a_tuple(*args):
    return tuple(_losses(*args).values())


# Other right answers.


def without_loss_functions(logits, deltas, rois, labels, boxes):
    rows, count = torch.arange(len(labels), device=labels.device), max(1, len(labels))
    off = (deltas[rows, labels] - encode_boxes(boxes, rois, WEIGHTS)).abs()
    each = torch.where(off < 1 / 9, 4.5 * off**2, off - 1 / 18) * (labels > 0)[:, None]
    class_loss = -logits.log_softmax(1)[rows, labels].sum() / count
    return {"loss_box_reg": each.sum() / count, "loss_classifier": class_loss}


def in_a_loop(logits, deltas, rois, labels, boxes):
    class_loss, box_loss = logits.sum() * 0, deltas.sum() * 0
    for row, label in enumerate(labels.tolist()):
        class_loss = class_loss + F.cross_entropy(logits[row], labels[row])
        if label:
            target_deltas = encode_boxes(boxes[row, None], rois[row, None], WEIGHTS)[0]
            box_loss = box_loss + _smooth_l1(deltas[row, label], target_deltas)
    count = max(len(labels), 1)
    return {"loss_classifier": class_loss / count, "loss_box_reg": box_loss / count}


EXERCISE = Exercise(
    "detection_losses",
    lesson=7,
    minutes=25,
    reference=detection_losses,
    cases=cases,
    call=call,
    hints=(
        "“The right box still has a loss.” The head predicts deltas, so encode the ground-truth boxes against their RoIs, with "
        "the weights (10, 10, 5, 5). Compare them with the deltas of the true class only.",
        "“The values are a few times too large.” Divide both losses by the number of all RoIs, background included: then an "
        "image with one object doesn't count as much as an image with ten. Without any RoI, divide by 1.",
        "“Nearly there.” positive = torch.where(labels > 0)[0]; deltas[positive, labels[positive]] picks a row and a class for "
        "each positive; F.smooth_l1_loss(pred_deltas, target_deltas, beta=1 / 9, reduction='sum'); "
        "F.cross_entropy(logits, labels, reduction='sum').",
    ),
    wrong=(
        Wrong(divided_by_positives, "the box loss is divided by the number of positives, not of all RoIs"),
        _changed("the boxes are encoded without the weights (10, 10, 5, 5)", weights=(1.0,) * 4),
        Wrong(class_before, "the deltas of the class before: class 0 is the background, and it has deltas, too"),
        Wrong(class_1, "the deltas of class 1, whatever the object is"),
        Wrong(predicted_class, "the deltas of the predicted class, not of the true one"),
        _changed("plain L1, not smooth L1", box_loss=lambda pred, target: (pred - target).abs().sum()),
        _changed("smooth L1 with a beta of 1 instead of 1/9", box_loss=partial(_smooth_l1, beta=1.0)),
        _changed(
            "the mean over the four deltas of a box instead of their sum",
            box_loss=lambda pred, target: _smooth_l1(pred, target) / 4,
        ),
        Wrong(boxes_of_background, "background RoIs have a box loss, too"),
        Wrong(classes_of_positives, "background RoIs have no class loss"),
        Wrong(roi_and_box_swapped, "RoI and box are swapped in encode_boxes"),
        Wrong(nan_without_rois, "0 / 0 where there is no RoI: the loss becomes NaN"),
        Wrong(softmax_first, "softmax before cross_entropy, which takes logits"),
        Wrong(both_detached, "no gradient reaches the head (detach, item() or a new tensor on the way)"),
        Wrong(deltas_detached, "no gradient reaches the deltas (detach, item() or a new tensor on the way)"),
        Wrong(logits_detached, "no gradient reaches the logits (detach, item() or a new tensor on the way)"),
        Wrong(numbers, "the losses are plain numbers (item()): no gradient can reach the head"),
        Wrong(logarithm_of_softmax, "the logarithm of a softmax: at large logits that is log(0), and infinite"),
        Wrong(sum_of_classes, "the class loss is a sum: divide it by the number of RoIs"),
        Wrong(sum_of_boxes, "the box loss is a sum: divide it by the number of RoIs"),
        Wrong(means_by_torch, "both losses are torch's means: over the positives, and over nothing without RoIs"),
        Wrong(divided_by_four_too, "the box loss is a mean over all numbers of the positives (reduction='mean')"),
        Wrong(class_loss_over_positives, "the class loss is divided by the number of positives, not of all RoIs"),
        Wrong(all_classes, "the deltas of all classes have a loss: only those of the true class should"),
        Wrong(boxes_in_pixels, "the deltas are compared with boxes in pixels: encode them first"),
        Wrong(names_swapped, "the names of the losses are swapped"),
        Wrong(a_tuple, "it returns a tuple, not a dict"),
        _changed(
            "the error of each number is squared, not smooth L1",
            box_loss=lambda pred, target: ((pred - target) ** 2).sum(),
        ),
        _changed("the weights are (5, 5, 10, 10): dx and dy have 10", weights=(5.0, 5.0, 10.0, 10.0)),
        _changed(
            "huber_loss is smooth L1 times beta", box_loss=lambda p, t: F.huber_loss(p, t, delta=1 / 9, reduction="sum")
        ),
        _changed("smooth L1 with a beta of 9 instead of 1/9", box_loss=partial(_smooth_l1, beta=9.0)),
        Wrong(binary_cross_entropy, "binary cross-entropy of each class: softmax, and so cross_entropy, is asked"),
        Wrong(without_log_softmax, "nll_loss of plain logits: it takes their log_softmax"),
        Wrong(means_of_classes, "the class loss is a mean by torch, which is NaN without RoIs"),
        Wrong(nan_without_positives),
        Wrong(other_names),
    ),
    right=(without_loss_functions, in_a_loop),
)
