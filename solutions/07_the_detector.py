# %% [markdown]
# # 07 · The detector
#
# **130 minutes, 3 of them for this opening · you need lessons 03 to 06 · no GPU needed**
#
# You have a pyramid, a network that proposes, and patches with a head that judges them. What is still missing is the glue: what
# the head learns from, how wrong it is, and how its opinions become a short list of boxes. Write that, put everything together, and
# it is a detector. Then let it prove itself three times: against torchvision, on 16 images, and on scenes it has never seen.
#
# When you are done, you can
#
# - say what the second stage of a detector is trained on, and why the truth is mixed in,
# - read a loss: what it should be at the start, and what it is when something is wrong,
# - turn thousands of opinions into a few detections,
# - assemble a two-stage detector, and test it before you spend an hour on training it.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(7)

# %% [markdown]
# **Using an AI assistant here:** it may write, and *you* write the test. Let it have its say, then find an input that would show it
# wrong. `catch`, in 7.1 and 7.3, is your training ground. Hints open with the button under a check, or with `hint("postprocess")`.
#
# Here is the way you will go today. Left, what the first stage hands over (here drawn by chance around the objects); right, what shall
# come out.

# %%
import os

import torch
from matplotlib.figure import Figure

from coursekit.data import load

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
classes = len(train_set.classes)


def around(boxes, each, spread, generator):
    """Move and stretch copies of each box by up to about `spread` of its sides: (N * each, 4)."""
    boxes = boxes.repeat_interleave(each, 0)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + spread * sides * torch.randn(boxes.shape, generator=generator).clamp(-2, 2)


image, target = train_set.first(6)[5]
gt_boxes, labels = target["boxes"], target["labels"]
names = [train_set.classes[label - 1] for label in labels]
generator = torch.Generator().manual_seed(7)
proposals = around(gt_boxes, 8, 0.15, generator)

fig = Figure(figsize=(9, 3.5), layout="constrained")
left, right = fig.subplots(1, 2)
show.draw_boxes(left, image, proposals, [""] * len(proposals), title=f"{len(proposals)} proposals")
show.draw_boxes(right, image, gt_boxes, names, title="what shall come out")
show.figure(fig, alt="A scene twice: left under a heap of nameless boxes, right with one box each.")

# %% [markdown]
# ## 7.1 · What does the head learn from? · 18 min
#
# The head gets a patch and says a class. To learn that, it needs patches whose class is known. Patches of the true boxes? Those are
# too good: later it will get proposals, which are a bit off, and most of which show nothing. So it learns **from proposals**, each
# with the label of the object that it overlaps, or with label 0, **background**. A box that the second stage looks at is called an
# **RoI**, a region of interest.
#
# But what does a first stage propose that has learned nothing yet? **Guess:** which share of the objects has at least one proposal
# that overlaps it by half? And which share of the proposals fits any object?

# %%
from coursekit.detector import Options, load_backbone
from coursekit.detector.resize import resize_boxes, resize_targets, to_batch
from my_detector import FPN, BoxHead, RPNHead, box_iou, make_anchors, propose

long_side = 256  # pixels: images are brought to this size, which saves time
torch.manual_seed(0)
backbone = load_backbone().eval()
fpn, rpn_head = FPN(backbone.channels, 96), RPNHead(96, 9)
sides = tuple([1.5 * stride, 2.5 * stride, 4.0 * stride] for stride in backbone.strides)

has_proposal, is_positive = [], []
with torch.no_grad():
    for i in range(min(quick(40, 8), len(train_set))):
        scene, scene_target = train_set[i]
        limits = long_side, long_side
        batch, (size,) = to_batch([scene / 255], *limits, backbone.mean, backbone.std)
        levels = fpn(backbone(batch))
        anchors = [
            make_anchors(tuple(level.shape[2:]), (2**k, 2**k), sizes, (0.5, 1.0, 2.0))
            for k, level, sizes in zip((3, 4, 5), levels, sides)
        ]
        logits, deltas = (output[0] for output in rpn_head(levels))
        counts = [len(boxes) for boxes in anchors]
        proposed = propose(logits, deltas, torch.cat(anchors), counts, size, 150, 150)
        resized = resize_boxes(scene_target["boxes"], scene.shape[1:], size)
        fits = box_iou(resized, proposed) >= 0.5
        has_proposal += fits.any(1).tolist()
        is_positive += fits.any(0).tolist()
count = len(has_proposal)
print(f"{sum(has_proposal) / count:.0%} of {count} objects have a proposal that fits")
count = len(is_positive)
print(f"{sum(is_positive) / count:.1%} of {count} proposals fit an object")

# %% [markdown]
# Hardly anything to learn a class from. The way out is a small trick: **the true boxes are mixed in** with the proposals. Then every
# object has an RoI that is right, from the first step on. Later, when the RPN has learned, they do no harm.
#
# And still nearly everything is background. So, as for the anchors, a sample is drawn: 64 RoIs for each image, at most a quarter of
# them with an object. Both pieces you have written in lesson 04. Here they are on a tiny case. Two differences to the RPN: the
# limit is **0.5 for both**, so that nothing is ignored, and an object's best box gets no privilege below it: the truth is there anyway.

# %%
from my_detector import match_anchors, sample_balanced

square = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
three = torch.tensor([[0.0, 0.0, 20.0, 18.0], [0.0, 0.0, 20.0, 8.0], [60.0, 60.0, 80.0, 80.0]])
print("overlaps", box_iou(three, square).flatten().tolist())
print("matches", match_anchors(three, square, 0.5, 0.5, False).tolist())

# %% [markdown]
# ### Exercise 7.1 · `sample_rois` · ●●○ · 15 min
#
# What label and what box does a background RoI get? The label is 0. No box is asked of it, but three tensors of one length are
# easier to handle: give it itself.

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
        proposals: (P, 4) float xyxy in pixels. The ground-truth boxes are added to them here.
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

# %%
torch.manual_seed(1)
anywhere = around(gt_boxes[torch.randint(len(gt_boxes), (60,))], 1, 0.6, generator)
rois, roi_labels, roi_boxes = sample_rois(torch.cat([proposals, anywhere]), gt_boxes, labels, 32)
is_object = roi_labels > 0

fig = Figure(figsize=(9, 3.5), layout="constrained")
left, right = fig.subplots(1, 2)
texts = [train_set.classes[label - 1] for label in roi_labels[is_object]]
show.draw_boxes(left, image, rois[is_object], texts, title=f"{len(texts)} RoIs with an object")
few = rois[~is_object][:14]
title = f"{int((~is_object).sum())} of the background (14 shown)"
show.draw_boxes(right, image, few, [""] * len(few), title=title, dashed=True)
show.figure(fig, alt="One scene twice: RoIs with an object and its name; RoIs of the background.")

# %% [markdown]
# Look at the right picture: much "background" contains half an object. That is what makes the head careful.
#
# **Your turn to test.** An assistant hands you a `sample_rois`. The one input below lets several wrong versions through. Add inputs
# until none does: think of an image without objects, of a full house, of an overlap of just 0.5.

# %%
one_object = square, torch.tensor([3])
catch("sample_rois", (three[2:], *one_object))

# %% [markdown]
# ## 7.2 · How wrong is it? · 28 min
#
# The head says two things of each RoI. For each of the K + 1 classes, the background being number 0, a **logit**: any number, the larger the
# surer; **softmax** (exp of each, divided by their sum) turns the logits into probabilities. And for each class four **deltas**. So there are
# two losses.
#
# **Class.** Cross-entropy: minus the logarithm of the probability given to the right class. **Predict:** the head knows nothing, and gives
# all classes the same. What is its loss?

# %%
import math

import torch.nn.functional as F

no_idea = torch.zeros(1, classes + 1)
right_class = torch.tensor([2])
print("no idea          ", F.cross_entropy(no_idea, right_class).item())
print("log of K + 1     ", math.log(classes + 1))
confident = F.one_hot(right_class, classes + 1).float() * 8
print("sure and right   ", F.cross_entropy(confident, right_class).item())
print("sure and wrong   ", F.cross_entropy(confident.roll(1, 1), right_class).item())

# %% [markdown]
# That is a test you get for free in every training: **the first loss of a classifier should be near log(K + 1)**. If it is much
# larger, it is sure of something wrong before it has seen anything.
#
# **Box.** Deltas are compared with those that would lead from the RoI to its object, in the sense of `encode_boxes`. Two details:
#
# - With weights of 1, these deltas are tiny: a proposal is already nearly right. So the second stage takes **weights of (10, 10, 5, 5)**, which
#   spread them to about 1. Look at ours.
# - The loss is **smooth L1**: a parabola near 0, a line beyond `beta`. One box that is far off doesn't drown all others.

# %%
from my_detector import decode_boxes, encode_boxes

plain = encode_boxes(roi_boxes[is_object], rois[is_object])
weighted = encode_boxes(roi_boxes[is_object], rois[is_object], (10.0, 10.0, 5.0, 5.0))
print("spread of dx, dy, dw, dh       ", [round(std, 2) for std in plain.std(0).tolist()])
print("with weights of (10, 10, 5, 5) ", [round(std, 2) for std in weighted.std(0).tolist()])

fig = Figure(figsize=(5.6, 3), layout="constrained")
axes = fig.subplots()
off = torch.linspace(-1.2, 1.2, 200)
zero = torch.zeros_like(off)
squared = off.square()
smooth = F.smooth_l1_loss(off, zero, beta=1 / 9, reduction="none")
axes.plot(off, squared, color="#E69F00", linestyle="dashed", label="squared")
axes.plot(off, smooth, color="#0072B2", label="smooth L1, beta 1/9")
axes.set(xlabel="prediction minus target", ylabel="loss", title="far off: a line, not a parabola")
axes.legend()
show.figure(fig, alt="Squared error grows ever faster; smooth L1 is round at 0, then a line.")

# %% [markdown]
# ### Exercise 7.2 · `detection_losses` · ●●○ · 25 min
#
# Only RoIs with an object have a box loss, and only the deltas of the **true** class are asked. Both losses are divided by the number of
# **all** RoIs. (By the positives alone, an image with a single object would shout as loud as one with twenty.)

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
        logits: (R, K + 1) float from `BoxHead`, of all images.
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
# What does each loss *feel* like when something is wrong? Here are six heads, made by hand, that look at the RoIs of the scene above. No
# training is needed to know them again later.

# %%
weights = (10.0, 10.0, 5.0, 5.0)
best_logits = F.one_hot(roi_labels, classes + 1).float() * 8
best_deltas = encode_boxes(roi_boxes, rois, weights)[:, None].repeat(1, classes + 1, 1)
nothing = torch.zeros_like(roi_labels)
heads = {
    "knows all": (best_logits, best_deltas),
    "has no idea": (best_logits * 0, best_deltas * 0),
    "says background, always": (F.one_hot(nothing, classes + 1).float() * 8, best_deltas * 0),
    "class right, box as proposed": (best_logits, best_deltas * 0),
    "classes off by one": (best_logits.roll(-1, 1), best_deltas),
    "deltas without the weights": (best_logits, best_deltas / torch.tensor(weights)),
}
print(f"{'a head that …':30} classifier   box")
for name, (pred_logits, pred_deltas) in heads.items():
    loss = detection_losses(pred_logits, pred_deltas, rois, roi_labels, roi_boxes)
    print(f"{name:30} {loss['loss_classifier']:9.2f} {loss['loss_box_reg']:7.2f}")

# %% [markdown]
# Three lines deserve a second look. **Background, always** costs far less than eight for each object, because three quarters of the sample
# are background: in training it is the first thing that every detector learns, and a classifier loss that has stopped falling early often
# means just this. **Classes off by one** costs most of all, and no box loss shows it. And **without the weights** costs
# nearly as much as the boxes as proposed: such a mistake looks like slow learning.
#
# ## 7.3 · From opinions to detections · 33 min
#
# At test time each proposal has K opinions, each with a box of its own. Of 100 proposals and 16 classes that makes 1,600 boxes. Most of
# them are nonsense, and the rest say the same thing many times. Four steps:
#
# 1. probabilities by softmax **over all K + 1**, then drop the background's;
# 2. a box from each class's deltas, cut at the edges of the image;
# 3. drop what is unsure, or has no extent;
# 4. suppress doubles (NMS) **within each class**, and keep the best hundred.
#
# Why within each class? A person on a bicycle is two objects in one place. On a tiny case:

# %%
from my_detector import nms

both = torch.tensor([[10.0, 10.0, 30.0, 30.0], [11.0, 10.0, 31.0, 30.0]])  # a person, a bicycle
scores = torch.tensor([0.9, 0.8])
print("NMS across classes keeps", nms(both, scores, 0.5).tolist())
apart = both + 1000 * torch.tensor([[1], [2]])
print("moved apart, it keeps   ", nms(apart, scores, 0.5).tolist())

# %% [markdown]
# That is a neat way to do it: move each class to a place of its own, where no other class is, and suppress once. But mind how far. Classes must
# lie further apart than the image is large: 1000 will do here, and not in an image of 1200 pixels.
#
# ### Exercise 7.3 · `postprocess` · ●●● · 30 min
#
# Flatten scores, boxes and labels **in the same order**: all classes of the first proposal, then all of the second. Let
# the assistant write it, if you like; but first write down two inputs on which a careless version would fail. The one below is harmless: a
# single proposal (logits, deltas, its box, the size of the image). Add yours, and see what they catch.

# %%
one_roi, still = torch.tensor([[10.0, 10.0, 30.0, 30.0]]), torch.zeros(1, 3, 4)
harmless = torch.tensor([[0.0, 0.0, 6.0]]), still, one_roi, (60, 80)
catch("postprocess", harmless)

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
        logits: (R, K + 1) float. R may be 0.
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
# Let the head that knows all look at the proposals of the first picture, and do it again without any suppression (an `nms_thresh` of 1).

# %%
size = tuple(image.shape[1:])
target_boxes = gt_boxes.repeat_interleave(8, 0)  # what each proposal should become
pred_logits = F.one_hot(labels.repeat_interleave(8), classes + 1).float() * 8
pred_logits += torch.randn(pred_logits.shape, generator=generator)  # it knows nearly all
pred_deltas = encode_boxes(target_boxes, proposals, weights)[:, None].repeat(1, classes + 1, 1)
pred_deltas += 0.3 * torch.randn(pred_deltas.shape, generator=generator)
heap = postprocess(pred_logits, pred_deltas, proposals, size, nms_thresh=1.0)
clean = postprocess(pred_logits, pred_deltas, proposals, size)

fig = Figure(figsize=(9, 3.5), layout="constrained")
for axes, result, title in zip(fig.subplots(1, 2), (heap, clean), ("no suppression", "with NMS")):
    pairs = zip(result["labels"].tolist(), result["scores"].tolist())
    texts = [f"{train_set.classes[label - 1]} {value:.2f}" for label, value in pairs]
    if result is heap:
        texts = [""] * len(texts)
    title = f"{title}: {len(result['boxes'])} boxes for {len(gt_boxes)} objects"
    show.draw_boxes(axes, image, result["boxes"], texts, title=title, dashed=True)
words = f"left {len(heap['boxes'])} boxes, right {len(clean['boxes'])} for {len(gt_boxes)} objects"
show.figure(fig, alt=f"A scene twice: {words}.")

# %% [markdown]
# Is there a box more than there are objects? Look at its class and its score. The head knows only *nearly* all: here and there it gives a second
# class a little more than `box_score_thresh`, and a box of another class drops nobody. AP hardly minds, for such a box stands far down the list.

# %% [markdown]
# ## 7.4 · Everything in one place · 34 min
#
# Now put it together. Nothing new has to be computed; the work is in **what goes where, and in which shape**. Some things
# are made once for the whole batch, others image by image:
#
#     batch ─► levels ─► logits, deltas      whole batch
#                │          └─► propose        image by image
#                │               └─► sample_rois   (in training only)
#                └─────► box_branch ◄┘            all RoIs in one list
#                          ├─► detection_losses    that list
#                          └─► postprocess     parted again, image by image
#
# **Predict before you write:** two images, 150 proposals for each, 16 classes. What is the shape of the logits that `box_branch` gives?
#
# ### Exercise 7.4 · `FasterRCNN` · ●●● · 30 min
#
# The first methods are given. Write the three that are marked. `options` holds the numbers: print one, `Options(16, ((12.0,),))`, to see
# them all. Pairs in it are (in training, at test time), and every module knows which it is: `self.training`.
#
# `help(propose)` shows what it takes, and in which order; the same for `rpn_losses`, `sample_rois`, `pool_levels`. Mind the anchors: `self.anchors`
# gives a list, a tensor for each level. `propose` and `rpn_losses` want one tensor (`torch.cat`), and `propose` also how many are of each level.

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
# Around it a thin coat, which is given: images of any size go in, are resized and padded to one batch, and the boxes found are led **back into the
# pixels of each image**. Mind that last line; you will see in a moment what happens without it.


# %%
class Detector(FasterRCNN):
    """(3, H, W) images in 0 to 1 → losses in training, else detections in each image's pixels."""

    def forward(self, images, targets=None):
        limits, body = (self.options.min_size, self.options.max_size), self.backbone
        batch, sizes = to_batch(images, *limits, body.mean, body.std)
        with torch.autocast(batch.device.type, enabled=False):  # plain float32 throughout
            if self.training:
                return self.losses(batch, sizes, resize_targets(targets, images, sizes))
            detections = self.predict(batch, sizes)
        return [
            detection | {"boxes": resize_boxes(detection["boxes"], size, tuple(image.shape[1:]))}
            for detection, size, image in zip(detections, sizes, images)
        ]


# %% [markdown]
# **First proof: torchvision.** It has a Faster R-CNN, too. Take one of theirs with random weights, put the same weights into your
# assembly, and show both the same picture. (`from_torchvision` copies the weights into the parts; your functions do the rest.) **How far
# apart may they be?**

# %%
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from coursekit.detector import from_torchvision

torch.manual_seed(3)
body = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
few = {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 50, "box_score_thresh": 0.2}
theirs = detection.FasterRCNN(body, classes + 1, min_size=160, max_size=224, **few).double().eval()
with torch.no_grad():  # random weights give scores that are all alike; spread them
    theirs.roi_heads.box_predictor.cls_score.weight *= 30
    theirs.roi_heads.box_predictor.bbox_pred.weight *= 5
copied = from_torchvision(theirs)
parts = copied.backbone, copied.fpn, copied.rpn_head, copied.box_head
yours = Detector(*parts, copied.options).double().eval()

pictures = [train_set[0][0].double() / 255, image.double() / 255]
with torch.no_grad():
    for a, b in zip(yours(pictures), theirs(pictures)):
        same = len(a["boxes"]) == len(b["boxes"]) and torch.equal(a["labels"], b["labels"])
        apart = (a["boxes"] - b["boxes"]).abs().max().item() if same else float("nan")
        print(f"{len(a['boxes'])} and {len(b['boxes'])} detections, labels alike: {same},", end=" ")
        print(f"corners at most {apart:.1e} pixels apart")

# %% [markdown]
# The same boxes, to the last digits of a float64. Whatever can be wrong with your detector now, it is not the arithmetic at test
# time.
#
# ## 7.5 · Second proof: can it learn 16 images by heart? · 4 min
#
# Before you train for an hour, train for a minute on very little. A detector that can't learn **16 images by heart** has a fault, and no
# amount of data mends it. One that can has sound gradients, matching labels and boxes in the right frame. The score here says
# nothing about new images. **Your guess:** its AP50 on the images that it learned?
#
# The backbone stays as it was pre-trained, all of it. Lesson 02 found that to cost nothing that could be seen, and it saves time.

# %%
from coursekit.evaluation import predict_dataset, score
from coursekit.training import TrainConfig, train


def fresh():
    """Make a detector of your parts. All eight stages of its backbone stay as pretrained."""
    torch.manual_seed(0)
    body = load_backbone(frozen_stages=8)
    numbers = {"rpn_pre_nms_top_n": (150, 150), "rpn_post_nms_top_n": (150, 100)}
    return Detector(
        body,
        FPN(body.channels, 96),
        RPNHead(96, 9),
        BoxHead(96, classes),
        Options(classes, sides, min_size=long_side, max_size=long_side, **numbers),
    )


by_heart = train_set.first(quick(16, 4))
pupil = fresh()
epochs = quick(24, 1)
plan = TrainConfig(
    epochs=epochs, batch_size=4, flip=False, precision="fp32", lr=2e-3, warmup_steps=10
)
history = train(pupil, by_heart, plan)

# %%
numbers = score(predict_dataset(pupil, by_heart), by_heart)
times = "once" if epochs == 1 else f"{epochs} times"
print(f"{len(by_heart)} images, each seen {times}: AP50 {numbers['AP50']:.2f} on these")
fig = show.loss_curves(
    [step.step for step in history],
    {name: [step.losses[name] for step in history] for name in history[0].losses},
    [step.lr for step in history],
)
show.figure(
    fig,
    alt="Four losses over the training steps; the classifier's falls, the boxes' first rises.",
)
begin = history[0].losses["loss_classifier"]
print(f"the classifier's loss began at {begin:.2f}; log(K + 1) is {math.log(classes + 1):.2f}")

# %% [markdown]
# Read the four curves one by one. The classifier's drops at once: it learns to say "background". Then it stalls, or even rises, because the
# RPN proposes better boxes and the question grows harder; then it falls for good. The box loss *rises* at first: it counts
# only RoIs with an object, and the better the RPN becomes, the more there are of
# them. A loss that rises is no fault in itself; ask what it counts.
#
# ## 7.6 · Third proof: the first score · 4 min
#
# Now scenes that it has never seen. One short training from the start, then AP50 on the validation set. **Your prediction** for the mean over
# the classes, before the bar is full? Write it into the cell.

# %%
from coursekit.lessons.experiments.lesson07_run import EPOCHS, IMAGES  # lesson 09 uses them, too

my_guess = 0.5  # yours

learner = fresh()
shown = train_set.head(quick(*IMAGES))
epochs = quick(*EPOCHS)
plan = TrainConfig(epochs=epochs, batch_size=4, precision="fp32", warmup_steps=20)
history = train(learner, shown, plan)

# %%
from coursekit.evaluation import predict

unseen = val_set.head(quick(120, 8))
results = predict_dataset(learner, unseen)
numbers = score(results, unseen)
print(f"AP50 {numbers['AP50']:.2f} on {len(unseen)} unseen images; your guess was {my_guess:.2f}")
print(f"AP   {numbers['AP']:.2f}, the stricter mean over overlaps from 0.5 to 0.95")
print(f"{history[-1].images / history[-1].seconds:.1f} images a second in training")

samples = [unseen[i] for i in (1, 2, 4, 6)]
detections = predict(learner, [picture for picture, _ in samples])
pairs = [(*sample, detection) for sample, detection in zip(samples, detections)]
fig = show.draw_ground_truth_and_predictions(pairs, val_set.classes, threshold=0.3)
show.figure(fig, alt="Four unseen scenes, each with its true boxes and with what was found.")

# %%
from coursekit.lessons import my_workbook
from coursekit.lessons.experiments.lesson07_run import keep

print(f"saved in {keep(my_workbook, learner, train_set, plan)}: lesson 09 examines it")

# %% [markdown]
# Every box in these pictures went through code that you wrote, wherever your checks are green. It is a beginning: a short training, few images.
# How to train longer, and faster, is lesson 08; what kinds of mistakes it makes, lesson 09. (On photographs expect far less from so
# little: there, thousands of images are needed before anything is found in new ones.)

# %%
journal("07")

# %% [markdown]
# ## What could go wrong · 4 min
#
# These four mistakes are in the bug trackers of every detection library. What they share: **nothing crashes**. Plant them, and see what they
# cost. No training is needed: take an **oracle**, a head that knows all, let `postprocess` do its work, and spoil one thing at a time.

# %%
from coursekit.evaluation import to_coco_results


def oracle(dataset, fault=""):
    """Return COCO's numbers for a head that knows all, with one fault planted."""
    generator = torch.Generator().manual_seed(0)
    detections = []
    for i in range(len(dataset)):
        target, (height, width) = dataset.target(i), dataset.size(i)
        rois = around(target["boxes"], 4, 0.1, generator)
        corner = torch.rand(6, 2, generator=generator) * torch.tensor([width, height]) * 0.7
        rois = torch.cat([rois, torch.cat([corner, corner + 25], 1)])  # six of the background
        kind = torch.cat([target["labels"].repeat_interleave(4), torch.zeros(6, dtype=torch.int64)])
        target_boxes = torch.cat([target["boxes"].repeat_interleave(4, 0), rois[-6:]])
        logits = F.one_hot(kind, classes + 1).float() * 9
        scale = (1.0,) * 4 if fault == "weights forgotten" else weights
        deltas = encode_boxes(target_boxes, rois, scale)[:, None].repeat(1, classes + 1, 1)
        if fault == "background as a class":  # a silent class stands where the background was
            logits = torch.cat([torch.full_like(logits[:, :1], -99), logits], 1)
            deltas = torch.cat([deltas[:, :1], deltas], 1)
        detection = postprocess(logits, deltas, rois, (height, width))
        if fault in ("background as a class", "labels from 0"):
            detection["labels"] = detection["labels"] - 1
        if fault.startswith("wrong frame"):
            # resized to this long side, and never led back
            ratio = int(fault.split()[-1]) / max(height, width)
            detection["boxes"] = detection["boxes"] * ratio
        detections.append(detection)
    ids = [dataset.target(i)["image_id"] for i in range(len(dataset))]
    return score(to_coco_results(detections, ids, dataset.category_ids), dataset)


FAULTS = (
    "none",
    "labels from 0",
    "background as a class",
    "wrong frame, 320",
    "wrong frame, 256",
    "weights forgotten",
)
some = val_set.head(quick(120, 24))
costs = {fault: oracle(some, fault) for fault in FAULTS}

fig = Figure(figsize=(7.4, 3.8), layout="constrained")
axes = fig.subplots()
styles = (("AP50", 0.2, "#0072B2", ""), ("AP", -0.2, "#E69F00", "//"))
for name, shift, color, hatch in styles:
    values = [max(0, costs[fault][name]) for fault in FAULTS]
    at = [-row + shift for row in range(len(FAULTS))]
    bars = axes.barh(at, values, 0.38, color=color, hatch=hatch, edgecolor="white", label=name)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
axes.set_yticks([-row for row in range(len(FAULTS))], labels=FAULTS)
axes.set(xlim=(0, 1.25), xlabel="score", title="a head that knows all, and one fault")
axes.legend(loc="lower right", fontsize=8)
words = [f"{fault}: AP50 {cost['AP50']:.2f}, AP {cost['AP']:.2f}" for fault, cost in costs.items()]
show.figure(fig, alt="Bars of AP50 and AP with one fault each. " + "; ".join(words))

# %% [markdown]
# - **Labels counted from 0.** Everything has the name of the class before, AP is as good as 0, and the boxes in the picture look perfect
#   ([vision #2192](https://github.com/pytorch/vision/issues/2192) is of this family). In *training* it is worse hidden: class 1
#   becomes background, and is never found.
# - **The background as a class.** Empty places come out as sure detections, all of one class. The mean over the classes hardly
#   notices: look at each class by itself.
# - **Boxes in the wrong frame.** Found in the resized image, never led back. With a size that most images have anyway, the score hardly
#   moves; with another, it breaks down. Test with an image of an odd size.
# - **The weights forgotten.** Deltas that were encoded without (10, 10, 5, 5) are divided by them in the end: each box stays about where its
#   proposal was. AP50 forgives that where the proposals are good. AP, which asks for exact boxes, does not.
#
# A last one, from lesson 06: **the scale of the feature map forgotten.** Boxes are in pixels, the map has a cell for 8 of them. A map of
# ones should give patches of ones:

# %%
from my_detector import roi_align

ones = torch.ones(1, image.shape[1] // 8, image.shape[2] // 8)
for words, scale in (("scale 1/8", 1 / 8), ("scale forgotten", 1.0)):
    patches = roi_align(ones, gt_boxes, scale).flatten(1).mean(1)
    print(f"{words:16} {int((patches < 0.01).sum())} of {len(gt_boxes)} patches are empty")

# %% [markdown]
# Ask of a patch first: is anything in it?
#
# ## What you learned · 2 min
#
# The second stage learns from a sample of proposals into which the truth is mixed. Its losses can be read: log(K + 1) at the start, then
# "background", then classes; a box loss that counts positives only. Post-processing is softmax, decode, cut, suppress within each
# class. And a detector is proved in steps that cost a minute each: the same weights give the same boxes, a few images are learned by
# heart, and only then comes the score.
#
# **Three questions to think about**
#
# <details><summary>1. Why are the true boxes mixed in when training, and not at test time?</summary>
#
# At test time nobody knows them. In training they only make sure that each object is seen; the labels are known there anyway.
#
# </details>
# <details><summary>2. Why softmax over the classes here, and a sigmoid for each anchor in the RPN?</summary>
#
# An RoI is one of K + 1 things, and they exclude each other. An anchor answers a single question, object or not, for which a sigmoid is
# a softmax over two.
#
# </details>
# <details><summary>3. It learns 16 images by heart, and AP50 on new ones is 0. What do you look at first?</summary>
#
# Training and evaluation differ: eval mode, resizing back, label numbers of the validation set. If training images score well through the
# *same* evaluation, it is honest overfitting: more data, more flips, fewer steps.
#
# </details>
#
# **Next: 08 · Training.** The detector is right. Now make it fast, and make it fit.
#
# **To read on:** R. Girshick, *Fast R-CNN*, 2015, sections 2.1 to 2.3 with equations 1 to 3 · S. Ren et al., *Faster R-CNN*, 2015, section
# 3 · A. Karpathy, *A Recipe for Training Neural Networks*, 2019, on learning a single batch by heart.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 130, of which 100 writing. The longest lesson: a good place to break is after `postprocess`.
#
# **What people get wrong.** `sample_rois`: the truth not mixed in, so that at first there is nothing to learn from. `detection_losses`: offsets of all
# classes punished, not those of the true one; the mean over positives where it is over all. `postprocess`: the background kept as a class, one
# suppression over all classes, the weights (10, 10, 5, 5) forgotten, which costs AP and hardly AP50.
#
# **Questions to ask.** Which planted fault would you notice in the loss, which only in the score, which in neither? Why must it overfit 16 images before
# it sees more? What would you show someone who does not believe that your detector equals torchvision's?
