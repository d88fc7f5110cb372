# %% [markdown]
# # 07 · The detector
#
# **150 minutes, 3 of them for this opening · you need lessons 03 to 06 · no GPU needed**
#
# You have a pyramid, a network that proposes boxes, and patches with a head that looks at them. What's missing is the glue: what the
# head learns from, how wrong it is, and how its predictions become a short list of boxes. Write that, put all parts together, and you
# have a detector. Then it has to prove itself three times: against torchvision, on 16 images, and on scenes it has never seen.
#
# When you're done, you can
#
# - say what the second stage is trained on, and why the ground truth is added to the proposals,
# - read a loss: what it should be at the start, and what it looks like when something is wrong,
# - turn thousands of predictions into a few detections,
# - assemble a two-stage detector, and test it before you spend an hour training it.
#
# Terms that are new to you are in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import os

import coursekit.show as show
from coursekit.data import load
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
classes = len(train_set.classes)  # K, without the background
lesson_map(7)

# %% [markdown]
# Here is today's path. Left is what the first stage returns (in this picture: random boxes around the objects). Right is what should
# come out.

# %% tags=["call"]
from coursekit.lessons.experiments.oracle_box_head import around, know, score_oracle

image, target = train_set.first(13)[12]
near = around(target, each=8, spread=0.15, seed=7)  # boxes; the label and box of their object
titles = "proposals", "what should come out"
show.before_after(image, near[0], target, train_set.classes, titles)

# %% [markdown]
# ## 7.1 · What does the head learn from? · 21 min
#
# The head gets a patch and names a class. To learn that, it needs patches whose class is known. Patches of the ground-truth boxes? Those
# are too good: at test time it gets proposals, which are a bit off, and most of which show nothing. So it learns **from proposals**.
# Each gets the label of the object that it overlaps, or the label 0, **background**. From here on, these boxes are the RoIs of lesson 06.
#
# But what does a first stage propose that has learned nothing yet? **Guess:** what share of the objects has at least one proposal with an
# IoU of 0.5 or more? And what share of the proposals fits any object?

# %% tags=["write"]
my_guess = {"objects with a proposal": 0.5, "proposals with an object": 0.5}  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.untrained_rpn import untrained_rpn

untrained_rpn(train_set.head(quick(40, 8)), size=256)
print("your guess:", my_guess)

# %% [markdown]
# So few proposals fit an object: hardly anything to learn a class from. ([How that was
# measured](../src/coursekit/lessons/experiments/untrained_rpn.py).) The way out is a small trick: **add the ground-truth boxes to the
# proposals**. Then each object has an RoI that fits, from the first step on. Later, when the RPN has learned, they do no harm.
#
# Even so, nearly everything is background. So you draw a sample, as you did for the anchors: 64 RoIs per image, at most a quarter of
# them with an object. You wrote both functions in lesson 04. Two things are different here. The limit is **0.5 for both thresholds**, so
# nothing is ignored. And an object's best box gets no privilege below that limit (`allow_low_quality_matches` is `False`), because the
# ground truth is there anyway. **What will `match_anchors` return for these three boxes, with that privilege and without it?**

# %% tags=["read"]
import torch

from my_detector import FPN, BoxHead, RPNHead, box_iou, encode_boxes, match_anchors, nms

square = torch.tensor([[0.0, 0.0, 20.0, 20.0]])  # an object
three = torch.tensor([[0.0, 0.0, 20.0, 9.0], [0.0, 0.0, 20.0, 8.0], [60.0, 60.0, 80.0, 80.0]])
print("IoU               ", [round(iou, 2) for iou in box_iou(three, square).flatten().tolist()])
for words, low_quality in (("with the privilege", True), ("as we need it     ", False)):
    print(words, match_anchors(three, square, 0.5, 0.5, low_quality).tolist())

# %% [markdown]
# ### Exercise 7.1 · `sample_rois` · ●●○ · 15 min · by hand
#
# What label and what box does a background RoI get? The label is 0. Nobody asks for its box, but three tensors of the same length are
# easier to handle. So its box is the RoI itself.

# %%
recall("match_anchors", "sample_balanced")

# %%
# %%exercise sample_rois
import torch
from torch import Tensor

from my_detector import match_anchors, sample_balanced


def sample_rois(
    proposals: Tensor,
    boxes: Tensor,
    labels: Tensor,
    batch_size_per_image: int = 64,
    positive_fraction: float = 0.25,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample the RoIs of one image that the second stage learns from.

    An RoI with an IoU of 0.5 or more with an object is positive; all others are background. Of
    objects with the same IoU, an RoI belongs to the first.

    Args:
        proposals: (P, 4) float xyxy in pixels, on any device. The ground-truth boxes are added to them here.
        boxes: (G, 4) float xyxy in pixels, the ground truth. G may be 0.
        labels: (G,) int64 from 1.
        batch_size_per_image: RoIs to sample, at most.
        positive_fraction: the share of batch_size_per_image that may be positive, at most.

    Returns:
        rois (R, 4); their labels (R,) int64, 0 for background; and their target boxes (R, 4): the
        box of the object, or for background the RoI itself. In any order, the same in all three.

    Example:
        One proposal of (60, 60, 80, 80), and an object of label 3 at (0, 0, 20, 20):
        rois [[0, 0, 20, 20], [60, 60, 80, 80]], labels [3, 0], boxes the same as rois.
    """
    ### BEGIN SOLUTION
    rois = torch.cat([proposals, boxes])
    matches = match_anchors(rois, boxes, 0.5, 0.5, False)
    positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
    gt_index = matches[positives]
    return (
        rois[torch.cat([positives, negatives])],
        torch.cat([labels[gt_index], torch.zeros_like(negatives)]),
        torch.cat([boxes[gt_index], rois[negatives]]),
    )
    ### END SOLUTION


# %%

check("sample_rois")

# %% tags=["call"]
far = around(target, each=10, spread=0.6, seed=8)
torch.manual_seed(1)
sample = sample_rois(torch.cat([near[0], far[0]]), target["boxes"], target["labels"], 32)
rois, roi_labels, roi_boxes = sample
show.rois(image, rois, roi_labels, train_set.classes)

# %% [markdown]
# Look at the right picture: much of this "background" contains half an object. That's what makes the head careful.
#
# **Now write the test.** An assistant gives you a `sample_rois`. The single input below lets several wrong versions through. Add inputs
# until none gets through. Think of an image without objects, of one with many, of an IoU of exactly 0.5.

# %% tags=["write"]
one_object = square, torch.tensor([3])
catch("sample_rois", (three[2:], *one_object))  # yours: more inputs

# %% [markdown]
# ## 7.2 · How wrong is it? · 31 min
#
# The head makes two predictions for each RoI. For each of the K + 1 classes (the background is number 0) it gives a logit. **Softmax**
# turns the logits into probabilities: exp of each, divided by their sum. And for each class it gives four deltas. So there are two losses.
#
# **Class.** The loss is **cross-entropy**: −log of the probability given to the correct class. **Predict:** the head knows nothing and gives
# all classes the same logit. What's its loss?

# %% tags=["write"]
my_guess = 1.0  # yours: the loss of a head that knows nothing

# %% tags=["read"]
import math

import torch.nn.functional as F

no_idea, correct = torch.zeros(1, classes + 1), torch.tensor([2])
confident = 8 * F.one_hot(correct, classes + 1).float()
print(f"no idea              {F.cross_entropy(no_idea, correct):.3f}   your guess {my_guess}")
print(f"log(K + 1)           {math.log(classes + 1):.3f}")
print(f"confident and right  {F.cross_entropy(confident, correct):.3f}")
print(f"confident and wrong  {F.cross_entropy(confident.roll(1, 1), correct):.3f}")

# %% [markdown]
# That's a test you get for free in every training: **the first loss of a classifier should be near log(K + 1)**. If it's much larger, the
# head is confident of something wrong before it has seen anything.
#
# **Box.** The predicted deltas are compared with those that lead from the RoI to its object, as `encode_boxes` computes them. The loss is
# **smooth L1**, as in lesson 05. One detail is new: a good proposal is nearly right, so these deltas are tiny. The second stage multiplies
# them by **weights of (10, 10, 5, 5)**, which spreads them to about 1 (Girshick, *Fast R-CNN*, 2015, section 2.3, does so by dividing by
# their standard deviation). Look at ours:

# %% tags=["read"]
weights = (10.0, 10.0, 5.0, 5.0)
is_object = roi_labels > 0
for name, factors in (("without", (1.0,) * 4), ("with", weights)):
    deltas = encode_boxes(roi_boxes[is_object], rois[is_object], factors)
    print(f"{name:8} weights: spread of dx, dy, dw, dh", deltas.std(0).numpy().round(2))

# %% [markdown]
# ### Exercise 7.2 · `detection_losses` · ●●○ · 25 min · explain only
#
# Only RoIs with an object have a box loss, and only the deltas of the **correct** class count. Both losses are divided by the number of
# **all** RoIs. (Divided by the number of positives, an image with one object would count as much as one with twenty.)

# %%
recall("sample_rois", "encode_boxes")

# %%
# %%exercise detection_losses
import torch
import torch.nn.functional as F
from torch import Tensor

from my_detector import encode_boxes


def detection_losses(
    logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, boxes: Tensor
) -> dict[str, Tensor]:
    """Compute the losses of the second stage.

    Args:
        logits: (R, K + 1) float from `BoxHead`, of all images, on any device.
        deltas: (R, K + 1, 4) float from `BoxHead`, of all images.
        rois: (R, 4) float xyxy in pixels, from `sample_rois`.
        labels: (R,) int64, from `sample_rois`; 0 is background.
        boxes: (R, 4) float xyxy in pixels, from `sample_rois`: the target boxes.

    Returns:
        Two scalars, both divided by R (by 1 if R is 0):
        "loss_classifier", the sum of the cross-entropies of all RoIs;
        "loss_box_reg", the sum over positives of the smooth L1 losses (beta 1/9) of the deltas of
        the true class. Their targets are encoded with the weights (10, 10, 5, 5).

    Example:
        One RoI with label 2, K = 2, logits of 0, and the right deltas:
        {"loss_classifier": log 3 = 1.0986, "loss_box_reg": 0}.
    """
    ### BEGIN SOLUTION
    positive = torch.where(labels > 0)[0]
    pred_deltas = deltas[positive, labels[positive]]
    target_deltas = encode_boxes(boxes[positive], rois[positive], (10.0, 10.0, 5.0, 5.0))
    count = max(1, len(labels))
    class_loss = F.cross_entropy(logits, labels, reduction="sum") / count
    box_loss = F.smooth_l1_loss(pred_deltas, target_deltas, beta=1 / 9, reduction="sum") / count
    return {"loss_classifier": class_loss, "loss_box_reg": box_loss}
    ### END SOLUTION


# %%

check("detection_losses")

# %% [markdown]
# What does each loss look like when something is wrong? Here are six heads, made by hand, for the RoIs of the scene above. Learn to
# recognize them; you'll meet them again in training. **Before you run it: which head has the largest classifier loss, and which fault
# costs nearly as much box loss as leaving the boxes as proposed?**

# %% tags=["variants"]
right_logits = 8 * F.one_hot(roi_labels, classes + 1).float()
right_deltas = encode_boxes(roi_boxes, rois, weights)[:, None].repeat(1, classes + 1, 1)
all_background = 8 * F.one_hot(torch.zeros_like(roi_labels), classes + 1).float()
heads = {
    "knows everything": (right_logits, right_deltas),
    "has no idea": (right_logits * 0, right_deltas * 0),
    "always says background": (all_background, right_deltas * 0),
    "class right, box as proposed": (right_logits, right_deltas * 0),
    "classes off by one": (right_logits.roll(-1, 1), right_deltas),
    "deltas without the weights": (right_logits, right_deltas / torch.tensor(weights)),
}
print(f"{'a head that …':30} classifier   box")
for name, predicted in heads.items():
    loss = detection_losses(*predicted, rois, roi_labels, roi_boxes)
    print(f"{name:30} {loss['loss_classifier']:9.2f} {loss['loss_box_reg']:7.2f}")

# %% [markdown]
# Three lines deserve a second look. **Always says background** costs a quarter of what it costs to be wrong every time, because three
# quarters of the sample *are* background. It's usually the first thing that a detector learns, and a classifier loss that stops falling
# early often means just this. **Classes off by one** costs the most, and the box loss doesn't show it. And **deltas without the weights**
# cost nearly as much as leaving the boxes as they were proposed. A mistake like this looks like slow learning.
#
# ## 7.3 · From predictions to detections · 36 min
#
# At test time, each proposal has K classes, each with a score and a box of its own. With 100 proposals and 16 classes that's 1,600 boxes.
# Most of them are nonsense, and many of the others say the same thing. Four steps:
#
# 1. turn the logits into probabilities by softmax **over all K + 1**, then drop the background's,
# 2. decode a box from the deltas of each class, and clip it to the image,
# 3. drop boxes with a low score, and boxes without area,
# 4. suppress duplicates (NMS) **within each class**, and keep the best hundred.
#
# Why within each class? A person on a bicycle is two objects in one place. **How many boxes does each line keep?**

# %% tags=["read"]
both = torch.tensor([[10.0, 10.0, 30.0, 30.0], [11.0, 10.0, 31.0, 30.0]])  # a person, a bicycle
scores, offsets = torch.tensor([0.9, 0.8]), torch.tensor([[1000.0], [2000.0]])  # by class
print("NMS over all classes keeps     ", nms(both, scores, 0.5).tolist())
print("with each class moved, it keeps", nms(both + offsets, scores, 0.5).tolist())

# %% [markdown]
# That's a neat way to do it: move each class to a place of its own, and suppress once. But mind the distance. It has to be larger than the
# image: 1000 is enough here, but not in an image that is 1200 pixels wide.
#
# ### Exercise 7.3 · `postprocess` · ●●● · 30 min · explain only
#
# Here, the test comes first. This is what the function takes and returns:

# %%
recall("postprocess")

# %% [markdown]
# **Write two inputs on which a careless version would fail.** The input here is harmless: one proposal (its logits, its deltas, its box, and
# the size of the image). Add yours, and see what they catch.

# %% tags=["write"]
one_roi, no_change = torch.tensor([[10.0, 10.0, 30.0, 30.0]]), torch.zeros(1, 3, 4)
harmless = torch.tensor([[0.0, 0.0, 6.0]]), no_change, one_roi, (60, 80)
catch("postprocess", harmless)  # yours: more inputs

# %% [markdown]
# Now write the function. Flatten scores, boxes and labels **in the same order**: all classes of the first proposal, then all of the second.

# %%
recall("decode_boxes", "nms")

# %%
# %%exercise postprocess
import torch
from torch import Tensor

from my_detector import decode_boxes, nms


def postprocess(
    logits: Tensor,
    deltas: Tensor,
    rois: Tensor,
    size: tuple[int, int],
    score_thresh: float = 0.05,
    nms_thresh: float = 0.5,
    detections_per_img: int = 100,
) -> dict[str, Tensor]:
    """Turn the second stage's predictions for one image into detections.

    Args:
        logits: (R, K + 1) float, on any device. R may be 0.
        deltas: (R, K + 1, 4) float. Each RoI may become a detection of every class. The deltas
            were encoded with the weights (10, 10, 5, 5).
        rois: (R, 4) float xyxy in pixels.
        size: (height, width) of the image in pixels. Boxes are clipped to it.
        score_thresh: a detection's score, a softmax probability, must exceed this.
        nms_thresh: IoU above which the worse of two boxes of the same class is dropped.
        detections_per_img: how many detections to keep, at most, all classes together.

    Returns:
        "boxes" (D, 4) xyxy in pixels, with sides of at least 0.01; "labels" (D,) int64 from 1 to K;
        "scores" (D,). Best first.

    Example:
        logits [[0, 0, 6]], deltas of 0 and rois [[10, 10, 30, 30]] in an image of (60, 80):
        boxes [[10, 10, 30, 30]], labels [2], scores [0.9951].
    """
    ### BEGIN SOLUTION
    height, width = size
    scores = logits.softmax(-1)[:, 1:].flatten()
    labels = torch.arange(1, logits.shape[1], device=logits.device).repeat(len(rois))
    boxes = decode_boxes(deltas[:, 1:], rois[:, None], (10.0, 10.0, 5.0, 5.0)).reshape(-1, 4)
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    boxes = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)
    good = (scores > score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)
    boxes, labels, scores = boxes[good], labels[good], scores[good]
    offset = labels[:, None].to(boxes.dtype) * (max(size) + 1)  # no two classes overlap
    kept = nms(boxes + offset, scores, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}
    ### END SOLUTION


# %%

check("postprocess")

# %% [markdown]
# Now a head that knows *nearly* everything looks at the proposals of the first picture: once without NMS (an `nms_thresh` of 1), and once
# with it. **How many boxes will be left?**

# %% tags=["call"]
predicted = know(*near, classes, noise=1.0)  # logits and deltas
heap = postprocess(*predicted, near[0], image.shape[1:], nms_thresh=1.0)
clean = postprocess(*predicted, near[0], image.shape[1:])
titles = "without NMS", "with NMS"
show.before_after(image, heap["boxes"], clean, train_set.classes, titles)

# %% [markdown]
# ## 7.4 · Put it all together · 45 min
#
# Nothing new has to be computed. The work is in **what goes where, and in which shape**. Some things are made once for the whole batch,
# others image by image:
#
#     batch ─► levels ─► logits, deltas           whole batch
#                │          └─► propose           image by image
#                │               └─► sample_rois  image by image (in training only)
#                └─────► box_branch ◄┘            all RoIs in one list
#                          ├─► detection_losses   that list
#                          └─► postprocess        split again, image by image
#
# **Predict before you write:** two images, 150 proposals for each, 16 classes. What's the shape of the logits that `box_branch` returns?
#
# <details><summary>Answer</summary>
#
# (300, 17): the RoIs of both images in one list, and the background is a class, too.
#
# </details>
#
# `options` holds the numbers, under torchvision's names. `rpn_pre_nms_top_n` and `rpn_post_nms_top_n` are pairs: (in training, at test
# time). Each module knows which it is: `self.training`. The docstrings say which number goes where.
#
# ### Exercise 7.4 · `FasterRCNN` · ●●● · 40 min · explain only
#
# The first three methods are given. Write the three that are marked. Mind the anchors: `self.anchors` returns a list with a tensor for
# each level. `propose` and `rpn_losses` want one tensor (`torch.cat`), and `propose` also wants to know how many anchors each level has.

# %%
recall("propose", "rpn_losses", "sample_rois", "pool_levels", "detection_losses", "postprocess")

# %%
# %%exercise FasterRCNN
import torch
from torch import Tensor, nn

from my_detector import (
    detection_losses,
    make_anchors,
    pool_levels,
    postprocess,
    propose,
    rpn_losses,
    sample_rois,
)


class FasterRCNN(nn.Module):
    """A two-stage detector on padded batches.

    Args:
        backbone: (B, 3, H, W) → maps, finest first; `backbone.strides` are their strides.
        fpn: maps → levels, (B, C, H_i, W_i); there may be more levels than maps.
        rpn_head: levels → logits (B, N) and deltas (B, N, 4) of all anchors.
        box_head: patches (R, C, 7, 7) → logits (R, K + 1) and deltas (R, K + 1, 4).
        options: the numbers, see `coursekit.detector.Options`.
    """

    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn = backbone, fpn
        self.rpn_head, self.box_head = rpn_head, box_head
        self.options = options

    def anchors(self, batch, levels) -> list[Tensor]:
        """Return the anchors of each level, (N_i, 4) xyxy: the same for all images of a batch."""
        anchors = []
        for level, sizes in zip(levels, self.options.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            on_level = make_anchors(tuple(level.shape[2:]), stride, sizes, self.options.ratios)
            anchors.append(on_level.to(batch))
        return anchors

    def box_branch(self, levels, boxes) -> tuple[Tensor, Tensor]:
        """Run the second stage on boxes of each image, (R_i, 4) xyxy in pixels of the batch.

        Returns:
            logits (R, K + 1) and deltas (R, K + 1, 4), image after image.
        """
        strides = self.backbone.strides
        levels = levels[: len(strides)]
        return self.box_head(pool_levels(levels, strides, boxes, self.options.canonical_scale))

    def first_stage(self, batch, sizes):
        """Run the detector up to the proposals. Arguments as in `losses`.

        `propose` gets rpn_pre_nms_top_n, rpn_post_nms_top_n, rpn_nms_thresh and rpn_score_thresh of
        options.

        Returns:
            The levels; logits (B, N) and deltas (B, N, 4) of the RPN; the list of anchors of each
            level; and the list of proposals of each image, (P, 4) xyxy.
        """
        ### BEGIN SOLUTION
        options, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = self.anchors(batch, levels)
        level_sizes = [len(on_level) for on_level in anchors]
        top_n = options.rpn_pre_nms_top_n[mode], options.rpn_post_nms_top_n[mode]
        limits = *top_n, options.rpn_nms_thresh, options.rpn_score_thresh
        proposals = [
            propose(logits[image], deltas[image], torch.cat(anchors), level_sizes, size, *limits)
            for image, size in enumerate(sizes)
        ]
        return levels, logits, deltas, anchors, proposals
        ### END SOLUTION

    def losses(self, batch, sizes, targets) -> dict[str, Tensor]:
        """Compute the four losses: two of `rpn_losses`, two of `detection_losses`.

        `rpn_losses` gets rpn_batch_size_per_image of options, and `sample_rois` gets
        box_batch_size_per_image.

        Args:
            batch: (B, 3, H, W) float, normalized, and padded to the right and below.
            sizes: (height, width) of each image in the batch, without padding.
            targets: for each image a dict of "boxes" (G, 4) xyxy in pixels of the batch, and
                "labels" (G,) int64 from 1.
        """
        ### BEGIN SOLUTION
        options = self.options
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        gt_boxes, count = [target["boxes"] for target in targets], options.rpn_batch_size_per_image
        first_losses = rpn_losses(logits, deltas, torch.cat(anchors), gt_boxes, count)
        samples = [
            sample_rois(boxes, target["boxes"], target["labels"], options.box_batch_size_per_image)
            for boxes, target in zip(proposals, targets)
        ]
        rois, labels, boxes = zip(*samples)
        box_logits, box_deltas = self.box_branch(levels, list(rois))
        sample = torch.cat(rois), torch.cat(labels), torch.cat(boxes)
        return {**first_losses, **detection_losses(box_logits, box_deltas, *sample)}
        ### END SOLUTION

    def predict(self, batch, sizes) -> list[dict[str, Tensor]]:
        """Return for each image what `postprocess` returns. Arguments as in `losses`.

        `postprocess` gets box_score_thresh, box_nms_thresh and box_detections_per_img of options.
        """
        ### BEGIN SOLUTION
        options = self.options
        levels, *_, proposals = self.first_stage(batch, sizes)
        counts = [len(rois) for rois in proposals]
        logits, deltas = (output.split(counts) for output in self.box_branch(levels, proposals))
        limits = options.box_score_thresh, options.box_nms_thresh, options.box_detections_per_img
        return [postprocess(*image, *limits) for image in zip(logits, deltas, proposals, sizes)]
        ### END SOLUTION


# %%

check("FasterRCNN")

# %% [markdown]
# Your class works on a batch. A thin wrapper, [`takes_images`](../src/coursekit/lessons/experiments/whole_images.py), does the rest: it
# resizes images of any size and pads them to one batch, and it moves the detections **back into the pixels of each image**. Remember that
# last step. You'll soon see what happens without it. (It also lets torchvision's compiled `nms` and `roi_align` run in place of yours once
# these are correct: the same boxes, sooner.)
#
# **First proof: torchvision.** It has a Faster R-CNN, too. Take one of theirs with random weights, copy the weights into your detector
# (`from_torchvision` sorts them into the parts; your functions do the rest), and show both the same images. **How far apart may their boxes
# be?**

# %% tags=["read"]
from coursekit.detector import from_torchvision
from coursekit.lessons import my_workbook
from coursekit.lessons.experiments.random_twin import (
    compare_detections,
    random_torchvision_detector,
)
from coursekit.lessons.experiments.whole_images import takes_images

Detector = takes_images(FasterRCNN, my_workbook)
theirs = random_torchvision_detector(classes)  # in float64
copied = from_torchvision(theirs)
parts = copied.backbone, copied.fpn, copied.rpn_head, copied.box_head, copied.options
yours = Detector(*parts).double().eval()
compare_detections(yours, theirs, [train_set[0][0].double() / 255, image.double() / 255])

# %% [markdown]
# The same boxes, to the last digits of float64. Whatever may be wrong with your detector now, it isn't the arithmetic at test time.
#
# ## 7.5 · Second proof: can it overfit 16 images? · 4 min
#
# Before you train for an hour, train for a minute on very little. A detector that can't **overfit 16 images** has a bug, and no amount of
# data will fix it. If it can, then gradients flow, labels match, and the boxes are in the right pixels. The score says nothing about
# new images.
#
# **Your guess:** what's its AP50 on the images that it was trained on? (All stages of the backbone stay as pretrained, which saves time.)

# %% tags=["write"]
my_guess = 0.5  # yours

# %% tags=["read"]
from coursekit.detector import load_backbone
from coursekit.lessons import short_form
from coursekit.lessons.experiments import lesson07_run
from coursekit.training import TrainConfig, train


def fresh():
    """Assemble a detector of your parts, ready to be trained."""
    torch.manual_seed(0)
    backbone = load_backbone(frozen_stages=8)
    heads = RPNHead(96, 9), BoxHead(96, classes)
    return Detector(backbone, FPN(backbone.channels, 96), *heads, lesson07_run.options(classes))


# %% tags=["call"]
few, pupil = train_set.first(quick(16, 4)), fresh()
plan = TrainConfig(quick(24, 30), 4, lr=2e-3, warmup_steps=10, flip=False, precision="fp32")
history = train(pupil, few, plan)
show.run_losses(history)
print(short_form(), end="")

# %% [markdown]
# **Read the four curves one by one** before you look at the score. log(K + 1) is 2.83, and the classifier's loss starts at about 2.6: a
# fresh head isn't exactly undecided. Worry about 5, not about 2.6. The loss drops quickly while the head learns to say "background".
# Then it falls more slowly, or even rises for a while, because the RPN proposes better boxes and the question gets harder. The box loss
# *rises* at first: it counts only RoIs with an object, and a better RPN proposes more of them. A loss that rises isn't a bug in itself.
# Ask what it counts.
#
# Now the score. Afterward, score the same detector on images that it has never seen.

# %% tags=["write"]
from coursekit.evaluation import predict, predict_dataset, score

scored = few  # yours: then val_set.head(16)
numbers = score(predict_dataset(pupil, scored), scored)
print(f"AP50 {numbers['AP50']:.2f} on {len(scored)} images; your guess was {my_guess:.2f}")

# %% [markdown]
# ## 7.6 · Third proof: the first score · 4 min
#
# Now scenes that it has never seen. Train once from the start, then compute AP50 on the validation set. **Your prediction** for the mean over
# the classes, before the bar is full? (AP, below it, is the stricter mean over IoU thresholds from 0.50 to 0.95.)

# %% tags=["write"]
my_guess = 0.5  # yours: AP50 on new scenes

# %% tags=["call"]
learner, some = fresh(), train_set.head(quick(*lesson07_run.IMAGES))
plan = TrainConfig(quick(*lesson07_run.EPOCHS), 4, warmup_steps=20, precision="fp32")
history = train(learner, some, plan)
print(f"{short_form()}for lesson 09:", lesson07_run.keep(my_workbook, learner, train_set, plan))

# %% tags=["call"]
unseen = val_set.head(quick(120, 8))
numbers = score(predict_dataset(learner, unseen), unseen)
print(f"{short_form()}{len(history)} steps, {len(unseen)} new images; you guessed {my_guess:.2f}")
print(f"AP50 {numbers['AP50']:.2f}   AP {numbers['AP']:.2f}")

# %% tags=["write"]
samples = [unseen[i] for i in (1, 2, 4, 6)]  # yours: other images, another threshold
found = predict(learner, [picture for picture, _ in samples])
pairs = [(*sample, detection) for sample, detection in zip(samples, found)]
fig = show.draw_ground_truth_and_predictions(pairs, val_set.classes, threshold=quick(0.3, 0.09))
show.figure(fig, alt="Four new scenes: their ground truth, and what the detector found.")

# %% [markdown]
# Every box in these pictures went through code that you wrote, wherever your checks are green. It's a beginning: a short training on few
# images. How to train faster and longer is lesson 08; what kinds of mistakes it makes is lesson 09. (On photographs, expect far less from
# so little: there, a detector needs thousands of images before it finds anything in new ones.)

# %%
journal("07")

# %% [markdown]
# ## 7.7 · What could go wrong · 4 min
#
# These four mistakes are in the issue tracker of every detection library. What they share: **nothing crashes**. Plant them, and see what
# they cost. You don't need to train for that. Take an [oracle](../src/coursekit/lessons/experiments/oracle_box_head.py), a head that knows the ground
# truth, and give its predictions to a `postprocess` with one fault.


# %% tags=["variants"]
def labels_from_0(*head_and_size):
    """Count the classes from 0."""
    detections = postprocess(*head_and_size)
    return detections | {"labels": detections["labels"] - 1}


def background_as_a_class(logits, deltas, rois, size):
    """Read the background's column as if it were the first class."""
    silent = torch.full_like(logits[:, :1], -99)
    logits, deltas = torch.cat([silent, logits], 1), torch.cat([deltas[:, :1], deltas], 1)
    return labels_from_0(logits, deltas, rois, size)


def wrong_pixels(long_side):
    """Leave the boxes in the pixels of the resized image, whose long side is given."""

    def scaled(logits, deltas, rois, size):
        detections = postprocess(logits, deltas, rois, size)
        return detections | {"boxes": detections["boxes"] * long_side / max(size)}

    return scaled


def weights_forgotten(logits, deltas, rois, size):
    """Encode the deltas without the weights; decoding divides them by these weights all the same."""
    return postprocess(logits, deltas / torch.tensor(weights), rois, size)


# %% [markdown]
# The wrong pixels come twice: with a long side of 320, which most of the images have, and with one of 256. **Rank all five before you
# look:** which fault costs the most AP50, and which the least?

# %% tags=["write"]
my_ranking = "labels from 0, background, weights, pixels 320, pixels 256"  # yours: worst first

# %% tags=["call"]
ways = {"no fault": postprocess, "labels from 0": labels_from_0}
ways |= {"background as a class": background_as_a_class, "weights forgotten": weights_forgotten}
ways |= {f"wrong pixels, {side}": wrong_pixels(side) for side in (320, 256)}
show.score_bars(score_oracle(val_set.head(quick(120, 24)), ways), title="an oracle, and one fault")
print("your ranking:", my_ranking)

# %% [markdown]
# - **Labels counted from 0.** Each object gets the name of the class before, AP is close to 0, and the boxes in the picture look perfect. In
#   *training*, the same mistake hides better: class 1 becomes background and is never found
#   ([vision #1952](https://github.com/pytorch/vision/issues/1952)).
# - **The background as a class.** Empty places come out as confident detections, all of one class. The mean over the classes hardly
#   notices. So look at each class by itself.
# - **Boxes in the wrong pixels.** They were found in the resized image and not scaled back. If most images have that size anyway, the
#   score hardly moves. With another size, it collapses. Test with an image of an odd size.
# - **The weights forgotten.** Deltas that were encoded without (10, 10, 5, 5) are divided by them in the end, so each box stays about where
#   its proposal was. AP50 forgives that if the proposals are good. AP, which asks for exact boxes, doesn't.
#
# ## What you learned · 2 min
#
# The second stage learns from a sample of the proposals, to which the ground truth is added. You can read its losses: log(K + 1) at the start,
# then "background", then the classes; and a box loss that counts positives only. Post-processing is softmax, decode, clip, and NMS within each
# class. And you prove a detector in steps that take a minute each: the same weights give the same boxes, a few images can be overfitted, and
# only then comes the score.
#
# **Three questions to think about**
#
# <details><summary>1. Why is the ground truth added to the proposals in training, and not at test time?</summary>
#
# At test time nobody knows it. In training it only makes sure that each object is seen; the labels are known there anyway.
#
# </details>
# <details><summary>2. Why softmax over the classes here, and a sigmoid for each anchor in the RPN?</summary>
#
# An RoI is one of K + 1 things that exclude each other. An anchor answers a single question, object or not, and for two answers a sigmoid
# is the same as a softmax.
#
# </details>
# <details><summary>3. It overfits 16 images, and AP50 on new images is 0. What do you look at first?</summary>
#
# What differs between training and evaluation: eval mode, scaling the boxes back, the labels of the validation set. If the training images
# score well through the *same* evaluation, it's honest overfitting. Then you need more data, more augmentation or fewer steps.
#
# </details>
#
# **Next: 08 · Training.** Your detector is correct. Now make it fast, and make it fit your GPU.
#
# **Read on:** R. Girshick, *Fast R-CNN*, 2015, section 2 with equations 1 to 3 · S. Ren et al., *Faster R-CNN*, 2015, section 3 ·
# A. Karpathy, *A Recipe for Training Neural Networks*, 2019, on the loss at the start and on overfitting one batch.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 150, of which 110 writing. The longest lesson so far: a good place for a break is after `postprocess`.
#
# **What people get wrong.** `sample_rois`: the ground truth isn't added, so at first there is nothing to learn from. `detection_losses`: the
# deltas of all classes get a loss, instead of those of the correct one; the mean is over the positives instead of over all RoIs.
# `postprocess`: the background is kept as a class, one NMS runs over all classes, or the weights (10, 10, 5, 5) are forgotten, which costs AP
# and hardly any AP50.
#
# **Questions to ask.** Which planted fault would you notice in the loss, which only in the score, which in neither? Why must it overfit 16 images
# before it sees more? What would you show someone who doesn't believe that your detector equals torchvision's?
