"""Exercise 5.2, `rpn_losses`: how wrong the RPN is about a sample of its anchors."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.detector import decode_boxes, encode_boxes, match_anchors, sample_balanced
from coursekit.detector.rpn import rpn_losses
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import NONE
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

DRAWS = 5
GRID = xyxy((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (0, 20, 10, 30))
NEAR = xyxy((0, 0, 10, 9), (41, 0, 51, 10))


def cases(generator: torch.Generator) -> Iterator[Case]:
    def predicted(anchors: Tensor, images: int) -> tuple[Tensor, Tensor]:
        logits = 2 * torch.randn(images, len(anchors), generator=generator)
        return logits, torch.randn(images, len(anchors), 4, generator=generator) / 3

    zeros = torch.zeros(1, 4), torch.zeros(1, 4, 4)
    yield case("all predictions 0, and no object", *zeros, GRID, [torch.empty(0, 4)])
    yield case("all predictions 0, and an object exactly at the second anchor", *zeros, GRID, [GRID[1:2]])
    right = torch.tensor([[-9.0, 9.0, -9.0, -9.0]])
    yield case("a head that is right about that object", right, torch.zeros(1, 4, 4), GRID, [GRID[1:2]])
    yield case("the same head, and the object at the first anchor", right, torch.zeros(1, 4, 4), GRID, [GRID[:1]])
    yield case("an object a little lower than its anchor", *zeros, GRID, [xyxy((20, 1, 30, 11))])
    yield case("an object half as large again: a large error", *zeros, GRID, [xyxy((18, -2, 33, 13))])
    yield case("two objects, that of the later anchor first", *predicted(GRID, 1), GRID, [NEAR.flip(0)])
    band = xyxy((0, 0, 10, 10), (0, 0, 10, 5), (40, 0, 50, 10))
    yield case("an anchor in the ignored band", *predicted(band, 1), band, [band[:1]])
    yield case("two images, one without objects", *predicted(GRID, 2), GRID, [NEAR, torch.empty(0, 4)])
    yield case("two images, one with an ignored anchor", *predicted(band, 2), band, [band[2:], band[:1]])
    far, here = GRID[1:2].repeat(20, 1), GRID[:1].repeat(6, 1)
    alike = torch.tensor([[1.0] * 6 + [-0.5] * 20]), torch.full((1, 26, 4), 0.2)
    yield case("6 anchors on an object and 20 away from it, 8 to sample", *alike, torch.cat([here, far]), [here[:1]], 8)
    yield case("the same, a quarter of the 8 positive", *alike, torch.cat([here, far]), [here[:1]], 8, 0.25)
    both, two = [torch.cat([part, part.flip(1)]) for part in alike], [here[:1], torch.empty(0, 4)]
    yield case(
        "two images, 8 anchors to sample in each, the second without objects", *both, torch.cat([here, far]), two, 8
    )
    off, most = torch.cat([here[:1], far, GRID[2:3].repeat(380, 1)]), torch.full((1, 401), -0.5)
    yield case("401 anchors: if nothing else is said, 256 are sampled", most, torch.zeros(1, 401, 4), off, [here[:1]])
    some = torch.randn(1, 26, generator=generator), torch.full((1, 26, 4), 0.2)
    yield case("the same batch several times: each time another sample", *some, torch.cat([here, far]), [here[:1]], 8)
    huge = torch.tensor([[-200.0, 200.0, 200.0, -200.0]])
    yield case("logits of 200 and -200, two of them wrong", huge, torch.zeros(1, 4, 4), GRID, [GRID[:2]])
    yield case("float64", *(part.double() for part in predicted(GRID, 1)), GRID.double(), [NEAR.double()])
    many = random_boxes(generator, 60)
    yield case(
        "many anchors, three images", *predicted(many, 3), many, [random_boxes(generator, n) for n in (5, 1, 8)], 256
    )
    yield on_a_gpu(*predicted(GRID, 2), GRID, [NEAR, torch.empty(0, 4)], what="predictions and boxes")


def call(answer: Answer, logits: Tensor, deltas: Tensor, *rest: Any) -> Any:
    """Return the losses and their gradients: a correct loss without gradients is useless."""
    if is_elsewhere((logits,)):
        return anywhere(answer, logits, deltas, *rest)
    if _depends_on_the_sample(logits, rest):
        drawn = [answer(logits, deltas, *rest)["loss_objectness"] for _ in range(DRAWS)]
        return {"another sample each time": not all(torch.equal(drawn[0], loss) for loss in drawn)}
    logits, deltas = logits.clone().requires_grad_(), deltas.clone().requires_grad_()
    losses = answer(logits, deltas, *rest)
    if not isinstance(losses, dict) or any(not isinstance(loss, Tensor) for loss in losses.values()):
        raise TypeError("rpn_losses(…) should return a dict of two tensors")
    result: dict[str, Any] = {name: losses[name].detach() for name in sorted(losses)}
    total = torch.stack([loss.sum() for loss in losses.values()]).sum()
    grads: Sequence[Tensor | None] = (None, None)
    if total.requires_grad:
        grads = torch.autograd.grad(total, (logits, deltas), allow_unused=True)
    for name, tensor, grad in zip(("logits", "deltas"), (logits, deltas), grads, strict=True):
        key = f"gradient of the {name}, summed over the anchors"
        is_needed = name == "logits" or any(map(len, rest[1]))  # without objects, deltas have no loss
        result[key] = grad.sum(1) if grad is not None else NONE if is_needed else torch.zeros_like(tensor).sum(1)
    return result


def _depends_on_the_sample(logits: Tensor, rest: Sequence[Any]) -> bool:
    """Return whether not all anchors are sampled, and not all of a kind have the same logit."""
    return len(rest) > 2 and rest[2] < logits.shape[1] and len(logits.unique()) > 2


# Wrong answers: the right one with one part changed.


def labels_of(positives, negatives, logits):
    return torch.cat([torch.ones_like(positives), torch.zeros_like(negatives)]).to(logits)


def samples_of(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5, match=match_anchors):
    """Return for each image: logits and labels of its sample, predicted and target deltas of its positives."""
    samples = []
    for image, gt_boxes in enumerate(boxes):
        matches = match(anchors, gt_boxes)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        labels = labels_of(positives, negatives, logits)
        target_deltas = encode_boxes(gt_boxes[matches[positives]], anchors[positives])
        sampled = torch.cat([positives, negatives])
        samples.append((logits[image, sampled], labels, deltas[image, positives], target_deltas))
    return samples


def losses_of(samples, beta=1 / 9, divide_by=None):
    logits, labels, pred_deltas, target_deltas = (torch.cat(parts) for parts in zip(*samples, strict=True))
    box_loss = F.smooth_l1_loss(pred_deltas, target_deltas, beta=beta, reduction="sum")
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(logits, labels),
        "loss_rpn_box_reg": box_loss / (len(labels) if divide_by is None else divide_by(pred_deltas)),
    }


def changed(**how):
    """Return the right answer with a keyword of `losses_of` changed."""
    return lambda *args: losses_of(samples_of(*args), **how)


def called_with(change):
    """Return an answer that calls the reference with changed arguments."""

    def answer(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
        return rpn_losses(*change(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction))

    return answer


def wrong_mean_of_images(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    losses = [losses_of([sample]) for sample in samples]
    return {name: torch.stack([loss[name] for loss in losses]).mean() for name in losses[0]}


def wrong_objectness_mean_of_images(*args):
    return rpn_losses(*args) | {"loss_objectness": wrong_mean_of_images(*args)["loss_objectness"]}


def wrong_box_mean_of_images(*args):
    return rpn_losses(*args) | {"loss_rpn_box_reg": wrong_mean_of_images(*args)["loss_rpn_box_reg"]}


def wrong_ignored_as_background(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    def match(anchors, gt_boxes):
        return match_anchors(anchors, gt_boxes).clamp(min=-1)

    return losses_of(samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction, match))


def wrong_swapped_labels(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    return losses_of([(logits, 1 - labels, *rest) for logits, labels, *rest in samples])


def wrong_boxes_in_turn(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = []
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        labels = labels_of(positives, negatives, logits)
        turn = torch.arange(len(positives)) % max(len(gt_boxes), 1)
        target_deltas = encode_boxes(gt_boxes[turn], anchors[positives])
        sampled = torch.cat([positives, negatives])
        samples.append((logits[image, sampled], labels, deltas[image, positives], target_deltas))
    return losses_of(samples)


def wrong_boxes_in_pixels(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = []
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        labels = labels_of(positives, negatives, logits)
        pred_boxes = decode_boxes(deltas[image, positives], anchors[positives])
        sampled = torch.cat([positives, negatives])
        samples.append((logits[image, sampled], labels, pred_boxes, gt_boxes[matches[positives]]))
    return losses_of(samples)


def wrong_background_has_boxes_too(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    losses, extra = losses_of(samples), 0
    for image, gt_boxes in enumerate(boxes):
        _, negatives = sample_balanced(match_anchors(anchors, gt_boxes), batch_size_per_image, positive_fraction)
        pred_deltas = deltas[image, negatives]
        extra = extra + F.smooth_l1_loss(pred_deltas, torch.zeros_like(pred_deltas), beta=1 / 9, reduction="sum")
    losses["loss_rpn_box_reg"] = losses["loss_rpn_box_reg"] + extra / sum(len(sample[1]) for sample in samples)
    return losses


def wrong_every_anchor_counts(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = []
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)
        positives = torch.where(matches >= 0)[0]
        target_deltas = encode_boxes(gt_boxes[matches[positives]], anchors[positives])
        samples.append((logits[image], (matches >= 0).float(), deltas[image, positives], target_deltas))
    return losses_of(samples)


def wrong_sum_of_objectness(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    losses = losses_of(samples)
    return losses | {"loss_objectness": losses["loss_objectness"] * sum(len(sample[1]) for sample in samples)}


def per_batch(count_of):
    """Return an answer that samples once from all images together, as many as `count_of(number, images)` says."""

    def answer(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
        matches = [match_anchors(anchors, gt_boxes) for gt_boxes in boxes]
        positives, negatives = sample_balanced(
            torch.cat(matches), count_of(batch_size_per_image, len(boxes)), positive_fraction
        )
        target_deltas = torch.empty(0, 4, dtype=deltas.dtype)
        for place in positives.tolist():
            image, row = divmod(place, len(anchors))
            target = encode_boxes(boxes[image][matches[image][row], None], anchors[row, None])
            target_deltas = torch.cat([target_deltas, target])
        labels = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))]).to(logits)
        sampled = torch.cat([positives, negatives])
        return losses_of([(logits.flatten()[sampled], labels, deltas.flatten(0, 1)[positives], target_deltas)])

    return answer


def wrong_divided_by_what_was_asked(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    return losses_of(samples, divide_by=lambda pred_deltas: batch_size_per_image * len(boxes))


def wrong_logarithm_of_sigmoid(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    logits, labels = (torch.cat([sample[k] for sample in samples]) for k in (0, 1))
    right = torch.where(labels > 0, logits.sigmoid(), 1 - logits.sigmoid())
    return losses_of(samples) | {"loss_objectness": -right.log().mean()}


def wrong_sigmoid_and_bce(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    logits, labels = (torch.cat([sample[k] for sample in samples]) for k in (0, 1))
    return losses_of(samples) | {"loss_objectness": F.binary_cross_entropy(logits.sigmoid(), labels.to(logits))}


def wrong_objectness_without_gradient(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    return rpn_losses(logits.detach(), deltas, anchors, boxes, batch_size_per_image, positive_fraction)


def wrong_l2(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    box_loss = sum(((pred - target) ** 2).sum() for *_, pred, target in samples)
    return losses_of(samples) | {"loss_rpn_box_reg": box_loss / sum(len(sample[1]) for sample in samples)}


def wrong_box_and_anchor_swapped(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = []
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        labels = labels_of(positives, negatives, logits)
        target_deltas = encode_boxes(anchors[positives], gt_boxes[matches[positives]])
        sampled = torch.cat([positives, negatives])
        samples.append((logits[image, sampled], labels, deltas[image, positives], target_deltas))
    return losses_of(samples)


def wrong_mean_over_the_four(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    losses = rpn_losses(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    return losses | {"loss_rpn_box_reg": losses["loss_rpn_box_reg"] / 4}


def wrong_weights_of_the_second_stage(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    return losses_of([(*rest, target * target.new_tensor([10, 10, 5, 5])) for *rest, target in samples])


def wrong_skips_images_without_objects(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    used = [image for image, gt_boxes in enumerate(boxes) if len(gt_boxes)]
    some = logits[used], deltas[used], anchors, [boxes[image] for image in used]
    return losses_of(samples_of(*some, batch_size_per_image, positive_fraction))


def wrong_clamped_sigmoid(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    samples = samples_of(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)
    logits, labels = (torch.cat([sample[k] for sample in samples]) for k in (0, 1))
    objectness = F.binary_cross_entropy(logits.sigmoid().clamp(1e-7, 1 - 1e-7), labels)
    return losses_of(samples) | {"loss_objectness": objectness}


def wrong_fresh_generator(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    generators = [torch.Generator(logits.device).manual_seed(0) for _ in boxes]
    return rpn_losses(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction, generators)


def other_names(losses):
    return dict(zip(("objectness", "box"), losses.values()))


def wrong_fails_without_objects(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    for gt_boxes in boxes:
        gt_boxes[match_anchors(anchors, gt_boxes)]  # also at the background, where -1 is the last of no boxes
    return rpn_losses(logits, deltas, anchors, boxes, batch_size_per_image, positive_fraction)


def wrong_box_loss_without_gradient(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    return rpn_losses(logits, deltas.detach(), anchors, boxes, batch_size_per_image, positive_fraction)


def right_written_out(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    objectness, box_loss, count = 0, 0, 0
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        objectness = (
            objectness + F.softplus(-logits[image, positives]).sum() + F.softplus(logits[image, negatives]).sum()
        )
        error = (deltas[image, positives] - encode_boxes(gt_boxes[matches[positives]], anchors[positives])).abs()
        box_loss = box_loss + torch.where(error < 1 / 9, 4.5 * error**2, error - 1 / 18).sum()
        count += len(positives) + len(negatives)
    return {"loss_rpn_box_reg": box_loss / count, "loss_objectness": objectness / count}


def right_with_a_label_for_each_anchor(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    labels, targets = torch.full_like(logits, -1), torch.zeros_like(deltas)
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        labels[image, positives], labels[image, negatives] = 1.0, 0.0
        targets[image, positives] = encode_boxes(gt_boxes[matches[positives]], anchors[positives])
    used, positive = labels >= 0, labels == 1
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(logits[used], labels[used]),
        "loss_rpn_box_reg": F.smooth_l1_loss(deltas[positive], targets[positive], beta=1 / 9, reduction="sum")
        / used.sum(),
    }


EXERCISE = Exercise(
    "rpn_losses",
    lesson=5,
    minutes=25,
    reference=rpn_losses,
    cases=cases,
    call=call,
    hints=(
        "“The box loss is too large, always by the same factor.” What is it divided by? By all sampled anchors of all images "
        "together, not by the positives, and not by the four numbers of each. Let smooth_l1_loss return the sum.",
        "“An anchor is compared with the wrong box.” matches[positives] says, for each positive anchor, which box it is "
        "responsible for. Ignored anchors are in no sample: sample_balanced has taken care of that.",
        "“Nearly there.” For each image: matches = …; positives, negatives = sample_balanced(matches, batch_size_per_image, "
        "positive_fraction); collect logits[image, torch.cat([positives, negatives])], as many ones and zeros, deltas[image, "
        "positives] and encode_boxes(boxes[image][matches[positives]], anchors[positives]). After the loop torch.cat, then "
        'F.binary_cross_entropy_with_logits and F.smooth_l1_loss(…, beta=1 / 9, reduction="sum") / number of sampled anchors.',
    ),
    wrong=(
        Wrong(
            changed(divide_by=lambda pred_deltas: max(1, len(pred_deltas))),
            "the box loss is divided by the number of positives instead of all sampled anchors",
        ),
        Wrong(
            changed(divide_by=torch.numel),
            "the box loss is a mean over all numbers of the positives (reduction='mean')",
        ),
        Wrong(changed(beta=1.0), "beta is left at 1: small errors hardly count"),
        Wrong(changed(beta=0.0), "a plain L1 loss, which is not quadratic near 0"),
        Wrong(
            wrong_mean_of_images,
            "each image is averaged first, then the images: the mean of the images' means isn't the mean over the batch's sample",
        ),
        Wrong(
            wrong_objectness_mean_of_images,
            "the objectness loss is the mean of the images' means, which isn't the mean over the batch's sample",
        ),
        Wrong(
            wrong_box_mean_of_images,
            "the box loss is divided in each image, then averaged: divide its sum by the batch's whole sample",
        ),
        Wrong(
            called_with(lambda *args: (*args[:4], 10**6, 1.0)),
            "nothing is sampled: all anchors count, and nearly all of them are background",
        ),
        Wrong(called_with(lambda *args: (*args[:5], 1.0)), "positive_fraction is not used"),
        Wrong(wrong_ignored_as_background, "ignored anchors (-2) count as background"),
        Wrong(wrong_swapped_labels, "object and background are swapped: 1 is the object"),
        Wrong(
            called_with(lambda logits, *rest: (logits.sigmoid(), *rest)),
            "there is a sigmoid before binary_cross_entropy_with_logits, which applies its own",
        ),
        Wrong(
            wrong_boxes_in_turn,
            "the boxes are taken in turn: matches[positives] says which box belongs to which anchor",
        ),
        Wrong(wrong_boxes_in_pixels, "the box loss compares pixels instead of deltas"),
        Wrong(
            wrong_background_has_boxes_too,
            "background anchors have a box loss too: there is no box that they should predict",
        ),
        Wrong(wrong_sum_of_objectness, "the objectness loss is a sum instead of a mean"),
        Wrong(
            called_with(
                lambda logits, deltas, anchors, boxes, *rest: (logits[:1], deltas[:1], anchors, boxes[:1], *rest)
            ),
            "only the first image of the batch counts",
        ),
        Wrong(
            called_with(lambda logits, deltas, *rest: (logits.detach(), deltas.detach(), *rest)),
            "no gradient reaches the head (detach, item() or a new tensor on the way)",
        ),
        Wrong(wrong_box_loss_without_gradient, "no gradient reaches the deltas (detach, item() or a new tensor)"),
        Wrong(wrong_objectness_without_gradient, "no gradient reaches the logits (detach, item() or a new tensor)"),
        Wrong(
            per_batch(lambda number, images: number),
            "one sample for the whole batch: batch_size_per_image is for each image",
        ),
        Wrong(
            wrong_divided_by_what_was_asked,
            "the box loss is divided by batch_size_per_image, not by the anchors that were sampled",
        ),
        Wrong(wrong_logarithm_of_sigmoid, "the logarithm of a sigmoid: at large logits that is log(0), and infinite"),
        Wrong(
            wrong_sigmoid_and_bce,
            "sigmoid, then binary_cross_entropy: at large logits the loss ends at 100, without a gradient",
        ),
        Wrong(wrong_l2, "a squared error instead of smooth L1"),
        Wrong(wrong_box_and_anchor_swapped, "box and anchor are swapped in encode_boxes"),
        Wrong(wrong_mean_over_the_four, "the mean over the four deltas of an anchor instead of their sum"),
        Wrong(wrong_every_anchor_counts, "every anchor counts, the ignored ones too: nothing is sampled"),
        Wrong(
            wrong_weights_of_the_second_stage, "the targets are encoded with the second stage's weights, (10, 10, 5, 5)"
        ),
        Wrong(changed(divide_by=lambda pred_deltas: 1), "the box loss is not divided by the number of sampled anchors"),
        Wrong(wrong_skips_images_without_objects, "images without objects are skipped: their anchors are background"),
        Wrong(
            wrong_clamped_sigmoid, "the sigmoid is clamped before its logarithm: at large logits the loss is too small"
        ),
        Wrong(
            wrong_fresh_generator,
            "the same sample each time: sample_balanced draws anew if it is given no generator, or one that goes on",
        ),
        Wrong(lambda *args: other_names(rpn_losses(*args))),
        Wrong(per_batch(lambda number, images: number * images)),
        Wrong(wrong_fails_without_objects),
    ),
    right=(right_written_out, right_with_a_label_for_each_anchor),
)
