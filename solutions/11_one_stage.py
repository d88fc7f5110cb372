# %% [markdown]
# # 11 · One stage
#
# **130 minutes, 2 of them for this opening · optional · you need lessons 05, 07 and 09 · no GPU needed**
#
# Your detector looks twice. The first stage says *there's something here*, the second looks again and says what it is. Does it have
# to? SSD, RetinaNet, YOLO and FCOS look once: every cell of the feature maps names a class and draws a box, and that's the
# answer. They are **one-stage detectors**. In this lesson you build one, FCOS, on your own pyramid. It is **anchor-free**, too: no
# anchors, no proposals, no RoIAlign. Six short parts replace all of that.
#
# Then both kinds train on the same images with the same processor time, and you measure which one is better here, instead of taking anybody's
# word for it.
#
# When you're done, you can
#
# - decide which cell of a pyramid answers for which object, without an anchor,
# - say what focal loss and a bias prior are for, and show both in numbers,
# - write the head of a one-stage detector, and show that its parts give torchvision's losses,
# - compare two kinds of detectors fairly, with seeds and intervals.
#
# Terms that are new to you are in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import os

import coursekit.show as show
from coursekit.data import load
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
lesson_map(11)

# %% [markdown]
# ## 11.1 · Which cell answers? · 34 min
#
# In lesson 04, thousands of anchors waited for an object that they overlap. Now only the cells themselves are left: one point every 8
# pixels on the finest level, every 16 on the next, every 32 on the coarsest. Each point answers for one object, or for none.
#
# Where is the point of a cell? **Column j, row i of a level with stride s is at (s · j, s · i)**, so the first point is in the corner of
# the image, as for your anchors. That's torchvision's rule, and ours, because you'll compare the two. (The paper puts it half a stride
# further right and down. Either works, if training and prediction agree.)
#
# **Guess:** the scene below is 320 × 240 pixels and has 9 objects. How many cells does it have, and how many of them will answer for any
# object? (With two anchors in each cell, as in lesson 05, there were twice as many boxes as cells.)

# %% tags=["write"]
my_guess_cells, my_guess_answering = 1000, 500  # yours

# %% tags=["read"]
import torch

from coursekit.lessons.experiments.cells_of_objects import cells_of

STRIDES = (8, 16, 32)
image, target = train_set.first(115)[114]
gt_boxes, gt_labels = target["boxes"], target["labels"]
points, strides, ranges = cells_of(image.shape[1:], STRIDES)  # (N, 2), (N,) and (N, 2)
print(f"{len(points):,} cells; you guessed {my_guess_cells:,}")
for stride in STRIDES:
    is_level = strides == stride
    low, high = ranges[is_level][0].tolist()
    first = points[is_level][:3].long().tolist()
    print(f"stride {stride:2}: points {first} …, limits {low:g} and {high:g} pixels")

# %% tags=["call"]
nobody = torch.full((len(points),), -1)
show.cells_to_objects(image, points, strides, nobody, gt_boxes)

# %% [markdown]
# There they are, level by level, and none of them answers for anything yet. A cell can answer for an object if it passes three tests:
#
# 1. **Inside.** Its point is inside the object's box. Otherwise its distances to the four sides wouldn't all be positive.
# 2. **Near the center.** In x and in y, the point is less than 1.5 strides from the center of the box. This is **center sampling**: near the
#    side of a box, a cell sees mostly what's beside the object.
# 3. **The right level.** The largest of its distances to the four sides is between the two *limits* that you see above. So small objects go
#    to the finest level, and large ones to the coarsest, as with `level_for_box`.
#
# And if it passes for two objects, say a ball in front of a person? **The one with the smallest area wins.** The person has other cells.
#
# Try it by hand. On a level with a stride of 8 and limits 0 and 32, there are two boxes: 0 is (2, 2, 44, 44), and 1 is (6, 6, 30, 34).
# **For which box does the point (16, 16) answer, and for which the point (32, 24)?** And what about (40, 40)? Write −1 for none.

# %% tags=["write"]
my_answers = [0, 0, 0]  # yours: for (16, 16), (32, 24) and (40, 40)

# %% [markdown]
# ### Exercise 11.1 · `assign_cells` · ●●● · 25 min · by hand
#
# All three tests are strict: a point *on* a side isn't inside, and one exactly 1.5 strides away isn't near. Mind the image without objects.

# %%
# %%exercise assign_cells
import torch
from torch import Tensor


def assign_cells(points: Tensor, strides: Tensor, ranges: Tensor, gt_boxes: Tensor) -> Tensor:
    """Choose the ground-truth box that each cell answers for.

    A cell can answer for a box if its point is inside the box, less than 1.5 strides from the center
    of the box in x and in y, and if the largest of its distances to the four sides is between the
    two limits of its level. All of that is strict: equal isn't enough. Of several such boxes, the one
    with the smallest area wins, and of equal areas the first one.

    Args:
        points: (N, 2) float, x and y of each cell in pixels, on any device; the other tensors are on
            the same one.
        strides: (N,) float, pixels per cell of each cell's level.
        ranges: (N, 2) float, lower and upper limit of each cell's level, in pixels. The upper one
            may be infinite.
        gt_boxes: (G, 4) xyxy in pixels. G may be 0.

    Returns:
        (N,) int64, the position in `gt_boxes` for each cell, or -1 if it answers for none.
    """
    ### BEGIN SOLUTION
    if not len(gt_boxes):
        return torch.full((len(points),), -1, device=points.device)
    x, y = points[:, :1], points[:, 1:]  # (N, 1) each
    x1, y1, x2, y2 = gt_boxes.unbind(1)  # (G,) each
    distances = torch.stack([x - x1, y - y1, x2 - x, y2 - y])  # (4, N, G)
    from_center = torch.maximum((x - (x1 + x2) / 2).abs(), (y - (y1 + y2) / 2).abs())
    farthest = distances.amax(0)
    is_inside = distances.amin(0) > 0
    is_near = from_center < 1.5 * strides[:, None]
    is_of_level = (farthest > ranges[:, :1]) & (farthest < ranges[:, 1:])
    areas = ((x2 - x1) * (y2 - y1)).expand_as(farthest)
    areas = areas.masked_fill(~(is_inside & is_near & is_of_level), torch.inf)
    smallest, match = areas.min(1)
    return torch.where(smallest < torch.inf, match, -1)
    ### END SOLUTION


# %%
check("assign_cells")

# %% [markdown]
# **Now you're the examiner.** Which boxes would expose the wrong answers that people have handed in? Here are four cells of one level. The
# single box below lets most of them through. Add boxes: one in another, one across a limit, none at all.

# %% tags=["write"]
four = torch.tensor([[8.0, 8.0], [16.0, 8.0], [8.0, 16.0], [16.0, 16.0]])
of_four = torch.full((4,), 8.0), torch.tensor([[0.0, 32.0]]).repeat(4, 1)
catch("assign_cells", (four, *of_four, torch.tensor([[4.0, 4.0, 20.0, 20.0]])))

# %% [markdown]
# Did many get through? The docstring says that all three tests are *strict*, that the smallest *area* wins, and *of equal areas the first*. Which
# boxes show each of these?

# %% tags=["read"]
from my_detector import assign_cells

by_hand = torch.tensor([[16.0, 16.0], [32.0, 24.0], [40.0, 40.0]])
pair = torch.tensor([[2.0, 2.0, 44.0, 44.0], [6.0, 6.0, 30.0, 34.0]])
limits = torch.tensor([[0.0, 32.0]]).repeat(3, 1)
computed = assign_cells(by_hand, strides[:3], limits, pair)
print(f"by hand: {my_answers}, computed: {computed.tolist()}")
matches = assign_cells(points, strides, ranges, gt_boxes)
print(f"in the scene, {(matches >= 0).sum()} cells answer; you guessed {my_guess_answering}")

# %% tags=["call"]
show.cells_to_objects(image, points, strides, matches, gt_boxes)

# %% [markdown]
# A cell's label is the number of its object. Is there an object that has cells on two levels? And one that has hardly any, because a smaller one
# is in front of it? Now think of the whole data set. An object without a cell is never learned, because nothing else can take its place:
# there's no rule like "the best anchor, however bad" here. **Guess: how many of a thousand objects have no cell at all?**

# %% tags=["write"]
my_guess_without = 10  # yours, of 1,000

# %% tags=["call"]
from coursekit.lessons.experiments.cells_of_objects import objects_without_a_cell

objects_without_a_cell(train_set.head(quick(240, 24)), assign_cells, STRIDES, my_guess_without)

# %% [markdown]
# An object loses its cells in two ways: all points near its center belong to a smaller object in front of it, or no point is inside at
# all, which takes a box thinner than the stride.
#
# ## 11.2 · A box as four distances · 10 min
#
# A cell that answers for an object has to say where its box is. Not by deltas from an anchor, as there is none: by its **distances to the
# four sides**, left, top, right, bottom. They are given in strides, not in pixels. Why? All levels share one head. An object on the coarsest
# level is larger in pixels, but not in strides, so the head can use the same numbers everywhere.
#
# **By hand:** the point (24, 16) is on a level with a stride of 8. Its box is (20, 4, 64, 24). What are its four distances?

# %% tags=["write"]
my_distances = [0.0, 0.0, 0.0, 0.0]  # yours: left, top, right, bottom, in strides

# %% [markdown]
# ### Exercise 11.2 · `encode_distances` · ●○○ · 4 min · by hand

# %%
# %%exercise encode_distances
import torch
from torch import Tensor


def encode_distances(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    """Encode boxes as distances from points to their four sides, in strides.

    Args:
        points: (..., 2) x and y in pixels, on any device.
        strides: (...) pixels per cell.
        boxes: (..., 4) xyxy in pixels.

    Returns:
        (..., 4) left, top, right, bottom in strides. All are greater than 0 if the point is inside the
        box; otherwise some are negative.
    """
    ### BEGIN SOLUTION
    left_top = points - boxes[..., :2]
    right_bottom = boxes[..., 2:] - points
    return torch.cat([left_top, right_bottom], dim=-1) / strides[..., None]
    ### END SOLUTION


# %%
check("encode_distances")

# %% [markdown]
# ### Exercise 11.3 · `decode_distances` · ●○○ · 4 min · by hand

# %%
# %%exercise decode_distances
import torch
from torch import Tensor


def decode_distances(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    """Decode distances into boxes: the inverse of `encode_distances`.

    Args:
        points: (..., 2) x and y in pixels, on any device.
        strides: (...) pixels per cell.
        distances: (..., 4) left, top, right, bottom in strides.

    Returns:
        (..., 4) xyxy in pixels.
    """
    ### BEGIN SOLUTION
    in_pixels = distances * strides[..., None]
    return torch.cat([points - in_pixels[..., :2], points + in_pixels[..., 2:]], dim=-1)
    ### END SOLUTION


# %%
check("decode_distances")

# %% tags=["read"]
from my_detector import decode_distances, encode_distances

at, stride = torch.tensor([24.0, 16.0]), torch.tensor(8.0)
encoded = encode_distances(at, stride, torch.tensor([20.0, 4.0, 64.0, 24.0]))
print(f"by hand: {my_distances}, computed: {encoded.tolist()}")
print("and back:", decode_distances(at, stride, encoded).tolist())
answers = matches >= 0
of_scene = encode_distances(points[answers], strides[answers], gt_boxes[matches[answers]])
print(f"in the scene: distances from {of_scene.min():.2f} to {of_scene.max():.2f} strides")

# %% [markdown]
# Decoding can't tell a good box from a bad one. A cell at the rim of an object predicts a box with the same confidence as one in its middle.
#
# ## 11.3 · How central is a cell? · 10 min
#
# Several cells answer for one dog, so several boxes come out, and NMS keeps the one with the best score. It should be the one from the
# middle: boxes from off-center cells are worse, because one side is far away. So the head predicts a third thing, **centerness**, which is 1
# in the center of the box and falls to 0 at its sides. From the distances l, t, r, b (Tian et al., 2019, equation 3):
#
# $$\text{centerness} = \sqrt{\frac{\min(l, r)}{\max(l, r)} \cdot \frac{\min(t, b)}{\max(t, b)}}$$
#
# At test time, the score of a box is √(class probability · centerness). A sure cell at the rim loses to a sure cell in the middle. **Guess:**
# how large is the centerness halfway up a box, a quarter of its width from the left?

# %% tags=["write"]
my_guess_quarter = 0.5  # yours

# %% [markdown]
# ### Exercise 11.4 · `centerness` · ●○○ · 8 min · by hand

# %%
# %%exercise centerness
import torch
from torch import Tensor


def centerness(distances: Tensor) -> Tensor:
    """Return how central a point is in its box: 1 in the center, toward 0 at the sides.

    Args:
        distances: (..., 4) left, top, right, bottom, all greater than 0, in any unit and on any
            device.

    Returns:
        (...) the square root of min(left, right) / max(left, right) · min(top, bottom) / max(top,
        bottom).
    """
    ### BEGIN SOLUTION
    across, down = distances[..., [0, 2]], distances[..., [1, 3]]
    return (across.amin(-1) / across.amax(-1) * (down.amin(-1) / down.amax(-1))).sqrt()
    ### END SOLUTION


# %%
check("centerness")

# %% tags=["call"]
from my_detector import centerness

quarter = centerness(torch.tensor([[1.0, 1.0, 3.0, 1.0]])).item()
print(f"a quarter from the left: {quarter:.2f}; you guessed {my_guess_quarter:.2f}")
show.centerness_map(centerness)

# %% [markdown]
# The ratio of the two distances is 1/3 there; the root softens it. Even so, being off the center costs a box a good part of its score.
#
# ## 11.4 · A loss for 'no, no, no, yes, no' · 18 min
#
# Each cell answers K yes-or-no questions, one for each class. In the scene above, that's 1,580 cells times 16 classes: 25,280 questions. The
# correct answer is *yes* to 65 of them, and *no* to all others. In lesson 05 you drew a sample of the anchors, at most half of them positive. A
# one-stage detector counts them all, and lets the *loss* pay less attention to what's easy.
#
# Imagine a head that has learned a little: it gives 2 % to each class of a background cell, and 50 % to the correct class of an object's cell.
# **Guess which share of its cross-entropy comes from the background**, whose answers are as good as right.

# %% tags=["write"]
my_guess_share = 0.5  # yours, from 0 to 1

# %% [markdown]
# **Focal loss** multiplies the cross-entropy of each answer by two factors (Lin et al., 2017, equation 5):
#
# $$\text{FL}(p_t) = -\alpha_t \, (1 - p_t)^\gamma \log(p_t)$$
#
# Here p_t is the probability given to the *correct* answer: p for a yes, 1 − p for a no. If p_t is 0.98, then with γ = 2 the answer counts
# 0.02² = 0.0004 times as much. α_t is α for a yes and 1 − α for a no. The usual α = 0.25 gives a *no* three times the weight of a *yes*: it
# returns a part of what (1 − p_t)^γ took away.
#
# ### Exercise 11.5 · `focal_loss` · ●●○ · 12 min · by hand
#
# A logit of −200 must give a finite loss. The sigmoid of it is 0, and 0 has no logarithm. What did you use in `rpn_losses`?

# %%
# %%exercise focal_loss
import torch
import torch.nn.functional as F
from torch import Tensor


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Compute the focal loss of each logit: cross-entropy · (1 − p_t)^γ · α_t.

    Args:
        logits: float, of any shape, on any device.
        targets: of the same shape and type, 1 for yes and 0 for no.
        alpha: weight of the logits whose target is 1; 1 − alpha is that of the others.
        gamma: how little easy answers count; 0 gives weighted cross-entropy.

    Returns:
        The losses, of the same shape: neither summed nor averaged.
    """
    ### BEGIN SOLUTION
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = logits.sigmoid()
    wrongness = torch.where(targets == 1, 1 - p, p)  # 1 - p_t
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * wrongness**gamma * loss
    ### END SOLUTION


# %%
check("focal_loss")

# %% [markdown]
# Here's your focal loss for four γ, without α. In the shaded part, the correct answer has a probability of 0.6 or more: that's *easy*. Read off
# the right plot: **how much less does an answer with 0.9 count at γ = 2 than with cross-entropy?**

# %% tags=["call"]
from my_detector import focal_loss

show.focal_shapes(focal_loss)

# %% tags=["read"]
import torch.nn.functional as F

classes = len(train_set.classes)  # K
target_classes = torch.zeros(len(points), classes)
target_classes[answers, gt_labels[matches[answers]] - 1] = 1
logits = torch.where(target_classes == 1, 0.5, 0.02).logit()  # the head that has learned a little
plain = F.binary_cross_entropy_with_logits(logits, target_classes, reduction="none")
print(f"{target_classes.numel():,} questions, {target_classes.sum():.0f} of them with a yes")
print(f"your guess of the share of the no, with cross-entropy: {my_guess_share:.0%}")
for name, loss in {"cross-entropy": plain, "focal": focal_loss(logits, target_classes)}.items():
    share = loss[target_classes == 0].sum() / loss.sum()
    print(f"{name:13}: {share:.0%} comes from a no")

# %% [markdown]
# With cross-entropy, this head would spend its effort on being a little surer about the background. With focal loss, what's left to learn is
# the objects.
#
# ## 11.5 · The head · 33 min
#
# Two **towers** of convolutions run over each level, one for *what*, one for *where*:
#
#               ┌─ (3 × 3, GroupNorm, ReLU) × 4 ─► 3 × 3, K channels ─► class logits
#     level ────┤
#               └─ (3 × 3, GroupNorm, ReLU) × 4 ─┬► 3 × 3, 4 channels, ReLU ─► distances
#                                                └► 3 × 3, 1 channel ────────► centerness, as a logit
#
# - **GroupNorm** normalizes groups of channels within one image. Batch norm would depend on the other images of the batch, and detectors train
#   with few. torchvision takes 32 groups; yours are `math.gcd(32, channels)`, so that they divide any number of channels.
# - The ReLU at the end of the distances keeps them at 0 or more.
# - **The bias prior.** A fresh head would give 50 % to every class in every cell. So the bias of the class logits starts at −log((1 − π) / π) with
#   π = 0.01: each class starts at 1 %.
#
# And three losses. Nothing is sampled and nothing is averaged: each loss is a **sum, divided by the number of positives**, the cells that
# answer for an object.
#
# | | loss | of which cells |
# |---|---|---|
# | `classification` | focal loss | all, all classes |
# | `bbox_regression` | GIoU loss | positives |
# | `bbox_ctrness` | binary cross-entropy | positives |
#
# The **GIoU loss** is 1 − GIoU (Rezatofighi et al., 2019). GIoU is your IoU, minus the share of the smallest box around both that neither
# covers. So two boxes that don't touch still have a gradient, which pulls them together. It is given, from torchvision.
#
# **Guess the classification loss of a fresh head** for the scene above: with the prior, and without it, when every class starts at 50 %. It's a
# short calculation, so estimate: there are 25,280 questions and 65 positives.

# %% tags=["write"]
my_guess_prior, my_guess_no_prior = 1.0, 1.0  # yours

# %% [markdown]
# ### Exercise 11.6 · `OneStage` · ●●● · 25 min · explain only
#
# All images of a batch have the same cells. Their boxes are padded to one number with boxes of zeros, which have no point inside, so your
# `assign_cells` never chooses them.

# %%
recall("assign_cells", "encode_distances", "centerness", "focal_loss")

# %%
# %%exercise OneStage
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss  # (pred_boxes, target_boxes, reduction="sum")

from my_detector import assign_cells, centerness, decode_distances, encode_distances, focal_loss


class OneStage(nn.Module):
    """Predict classes, a box and its centerness for each cell, with the same layers on all levels.

    Args:
        channels: C, channels of the levels.
        num_classes: K, without the background.
        convs: convolutions in each tower.

    Two towers, one for the classes, one for box and centerness. Each convolution in them is 3 × 3
    with padding 1 and C channels, and is followed by a GroupNorm of math.gcd(32, C) groups and a
    ReLU. The class logits are a 3 × 3 convolution (padding 1, K channels) of the first tower;
    distances (4 channels) and centerness (1 channel) are 3 × 3 convolutions of the second. All
    convolutions have a bias. Their weights are initialized from a normal distribution with a
    standard deviation of 0.01, their biases with 0, except for the class logits' bias: it starts at
    -log((1 - 0.01) / 0.01).
    """

    def __init__(self, channels: int, num_classes: int, convs: int = 4) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        layers = []
        for _ in range(2 * convs):
            convolution = nn.Conv2d(channels, channels, 3, padding=1)
            norm = nn.GroupNorm(math.gcd(32, channels), channels)
            layers.append(nn.Sequential(convolution, norm, nn.ReLU()))
        self.what, self.where = nn.Sequential(*layers[:convs]), nn.Sequential(*layers[convs:])
        self.to_classes = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.to_distances = nn.Conv2d(channels, 4, 3, padding=1)
        self.to_centerness = nn.Conv2d(channels, 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.to_classes.bias, -math.log(99))
        ### END SOLUTION

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Predict for all cells of all levels.

        Args:
            levels: (B, C, H_i, W_i) float, finest first, on any device: that of the weights.

        Returns:
            class_logits (B, N, K), distances (B, N, 4) in strides, at least 0, and
            centerness_logits (B, N), where N is the number of cells of all levels. The order is level
            by level, row by row, cell by cell.
        """
        ### BEGIN SOLUTION
        outputs = []
        for level in levels:
            what, where = self.what(level), self.where(level)
            maps = self.to_classes(what), self.to_distances(where).relu(), self.to_centerness(where)
            outputs.append([values.permute(0, 2, 3, 1).flatten(1, 2) for values in maps])
        classes, distances, centers = (torch.cat(parts, 1) for parts in zip(*outputs))
        return classes, distances, centers[..., 0]
        ### END SOLUTION

    def losses(
        self,
        outputs: tuple[Tensor, Tensor, Tensor],
        points: Tensor,
        strides: Tensor,
        ranges: Tensor,
        gt_boxes: Tensor,
        gt_labels: Tensor,
    ) -> dict[str, Tensor]:
        """Compute three losses: sums, divided by the number of cells that answer for an object.

        Args:
            outputs: what `forward` returned.
            points, strides, ranges: of the N cells, as in `assign_cells`.
            gt_boxes: (B, G, 4) xyxy in pixels. Images with fewer boxes are padded with boxes of zeros.
            gt_labels: (B, G) int64 from 1 to K; 0 in the padding.

        Returns:
            Three scalars. classification: `focal_loss` of every class in every cell. bbox_regression:
            GIoU loss of the decoded boxes of the cells that answer. bbox_ctrness: binary cross-entropy
            of their centerness, with the centerness of their encoded ground-truth box as its target.
            All are divided by the number of these cells in the batch, or by 1 if there are none.
        """
        ### BEGIN SOLUTION
        class_logits, distances, centerness_logits = outputs
        each = [assign_cells(points, strides, ranges, boxes) for boxes in gt_boxes]
        own = torch.stack(each)  # (B, N)
        images, cells = torch.nonzero(own >= 0, as_tuple=True)  # of the positives
        objects = own[images, cells]
        boxes, labels = gt_boxes[images, objects], gt_labels[images, objects]
        yes = torch.zeros_like(class_logits)
        yes[images, cells, labels - 1] = 1
        places = points[cells], strides[cells]
        decoded = decode_distances(*places, distances[images, cells])
        central = centerness(encode_distances(*places, boxes))
        sums = {
            "classification": focal_loss(class_logits, yes).sum(),
            "bbox_regression": generalized_box_iou_loss(decoded, boxes, reduction="sum"),
            "bbox_ctrness": F.binary_cross_entropy_with_logits(
                centerness_logits[images, cells], central, reduction="sum"
            ),
        }
        return {name: total / max(1, len(cells)) for name, total in sums.items()}
        ### END SOLUTION


# %%
check("OneStage")

# %% tags=["read"]
import math

from my_detector import OneStage

torch.manual_seed(0)
head = OneStage(32, classes)
height, width = image.shape[1:]
sizes = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES]
with torch.no_grad():
    class_logits, *others = head([torch.randn(1, 32, *size) for size in sizes])
    no_prior = class_logits + math.log(0.99 / 0.01)  # as if the bias had started at 0
    objects = points, strides, ranges, gt_boxes[None], gt_labels[None]
    with_prior, without = (head.losses((c, *others), *objects) for c in (class_logits, no_prior))
name = "classification"
print(f"with the prior: {name} {with_prior[name]:.2f}; you guessed {my_guess_prior}")
print(f"without:        {name} {without[name]:.2f}; you guessed {my_guess_no_prior}")
print(
    f"in both: bbox_regression {without['bbox_regression']:.2f}, "
    f"bbox_ctrness {without['bbox_ctrness']:.2f}"
)

# %% [markdown]
# Without the prior, thousands of undecided answers drown out the few cells with an object, and the first steps of a training do nothing but
# push all classes down. With it, that's already done. Remember the number with the prior: a fresh head that starts far above it has lost its
# bias. The other two losses don't depend on it. A fresh head's boxes are points, so their IoU is 0 and the GIoU loss is 1. An undecided
# centerness costs about log 2.
#
# **The proof: torchvision.** It has an FCOS, too. Take one with random weights, and copy them into the course's detector, whose layers have
# other names than yours. So the head is the course's: that yours gives the same numbers, `check` has tested. The five functions in it are
# yours. Both detectors get the same images. **How large will the largest difference of a loss be?**

# %% tags=["write"]
my_guess_apart = 0.1  # yours

# %% tags=["read"]
from coursekit.detector import from_torchvision
from coursekit.lessons.experiments.random_twin import compare_losses, random_torchvision_fcos

theirs = random_torchvision_fcos(classes)  # in float64
ours = from_torchvision(theirs)  # the course's head, with your functions
ours.head.assign_cells, ours.head.focal_loss = assign_cells, focal_loss
ours.head.encode_distances, ours.head.decode_distances = encode_distances, decode_distances
ours.head.target_centerness = centerness
compare_losses(ours, theirs, [train_set[0], (image, target)])
print(f"you guessed {my_guess_apart}")

# %% [markdown]
# The losses of box and centerness agree to the last digit. Only the first one differs, by about 10⁻⁵, and for a reason: torchvision counts the
# background as a class. Every cell answers that question with *no*, always, and each of these answers costs a little. In your head, the
# background is simply a *no* to all classes.
#
# ## 11.6 · One stage against two · 18 min
#
# Now the question of this lesson. Both detectors get the same frozen backbone, whose maps are computed once, an FPN of yours, the same images
# and **the same processor time**, not the same number of steps: a kind that learns less from each image but sees more of them has every
# chance. The seconds below are seconds of one core: a few steps of each kind are timed first, in turns, and then each run gets as many steps as
# fit. So a kind sees as many images with one seed as with the other, however busy your machine is.
#
# The one-stage head is yours, with towers of one convolution, which learn sooner than four. The Faster R-CNN is the course's, whose parts run
# for a whole batch. Each kind has the best of a few learning rates that were tried. In both, `nms` runs as its compiled twin.

# %% tags=["call"]
from coursekit.lessons.experiments.cached_features import cache_features

train_cached = cache_features(train_set.head(quick(240, 16)), side=256)
val_cached = cache_features(val_set.head(quick(120, 16)), side=256)

# %% [markdown]
# **Predict:** how much higher or lower will the AP of one stage be? (A change of 0.05 is a lot.) And how many times as many images a
# second will it detect, backbone included?

# %% tags=["write"]
my_guess_change = 0.0  # yours: AP of one stage, minus AP of two stages
my_guess_faster = 1.0  # yours: 2.0 if one stage is twice as fast

# %% tags=["read"]
from coursekit.lessons.experiments.one_or_two_stages import one_stage_on, two_stages_on
from my_detector import FPN

CHANNELS, CONVS = 48, 1  # of the pyramid's levels; convolutions in a tower of one stage


def one_stage():
    fpn = FPN(train_cached.channels, CHANNELS)
    return one_stage_on(train_cached, fpn, OneStage(CHANNELS, classes, CONVS))


def two_stages():
    return two_stages_on(train_cached, FPN(train_cached.channels, CHANNELS), CHANNELS)


# %% tags=["call"]
from coursekit.lessons.experiments.one_or_two_stages import train_for_the_same_time

makers = {"two stages": two_stages, "one stage": one_stage}
runs = train_for_the_same_time(makers, train_cached, val_cached, seconds=quick(15, 1), seeds=2)

# %% [markdown]
# Compare the two rows of one kind first: that's what another seed changes. Then the kinds. A gap between the kinds that's no larger than the
# gap between seeds shows nothing ([how they are trained](../src/coursekit/lessons/experiments/one_or_two_stages.py)).
#
# Both kinds detect in the same images, so each draw of the bootstrap takes the same images for both, as in 9.9. The interval speaks about other
# images, not about other seeds. Before you run the cell, say which words you'd use if the interval of AP lies above 0 for one seed and holds 0
# for the other.

# %% tags=["write"]
my_words = "…"  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.one_or_two_stages import compare_pairs

compare_pairs(runs["two stages"], runs["one stage"], val_cached.dataset, my_guess_change)
print(f"your words for one interval above 0 and one around it: {my_words}")

# %% [markdown]
# Right of 0, one stage is better; left of 0, two stages are. If both intervals *of AP* are on one side, these two recipes differ, on these images and
# after this short time. If an interval holds 0, these images can't tell. Good words for the mixed case: *"one seed says so, the other can't
# tell: not shown."*
#
# What do the boxes look like? Choose a scene, and move the score threshold. The two kinds of scores don't mean the same: one is a softmax, the
# other is √(class · centerness). And in one stage each class is a question of its own, so one object may get boxes of several classes. NMS works
# within a class, and keeps them all.

# %% tags=["write"]
scene, score_thresh = 1, 0.5  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.one_or_two_stages import show_detections

both = {name: of_kind[0] for name, of_kind in runs.items()}
show_detections(both, val_cached.dataset, scene, score_thresh)

# %% tags=["call"]
from coursekit.lessons.experiments.stage_costs import speed_and_memory

detectors = {name: run.detector for name, run in both.items()}
speed_and_memory(detectors, val_set, CHANNELS, my_guess_faster)

# %% [markdown]
# Both were timed in turns. The numbers are medians, with the range of all rounds: if the range in the last line holds 1, your machine can't tell
# which is faster. Both pay for the same backbone, so any gain is smaller than the missing stage suggests. The memory is predicted by the
# planner of lesson 02.
#
# What have you measured? Two recipes on one data set, after seconds of training. One stage had a sixth of the weights: that's one of the
# things you could change. You could tip the scales: longer towers, more channels, other limits, anchors that fit less well. Papers can, too.
# Zhang et al. (2020) took RetinaNet and FCOS, gave both the same tricks, and found that one difference mattered: *which cells or anchors are
# positive*. That's `match_anchors` against `assign_cells`.
#
# To train the whole thing on your data: `coursekit train --kind fcos`. `predict`, `evaluate`, `compare` and `plan` work on it, too.

# %%
journal("11")

# %% [markdown]
# ## What could go wrong · 3 min
#
# - **"My centerness loss is stuck at 0.6."** It should be. Its targets aren't 0 or 1, and cross-entropy with a target of 0.7 is 0.61
#   even if you predict 0.7 exactly ([FCOS #15](https://github.com/tianzhi0549/FCOS/issues/15#issuecomment-487438717),
#   [mmdetection #2751](https://github.com/open-mmlab/mmdetection/issues/2751)). A loss needn't go to 0 to be at its minimum.
# - **"It crashes on an image without objects."** No positives: nothing to take the maximum of, and a division by 0
#   ([mmdetection #1136](https://github.com/open-mmlab/mmdetection/pull/1136)). That's why you divide by at least 1.
# - **"Hardly any box passes my threshold."** Without the root, the score would be a product of two numbers below 1, lower than either. The
#   root puts it between the two ([FCOS #66](https://github.com/tianzhi0549/FCOS/issues/66)).
# - **"The first losses are enormous, then NaN."** The bias prior is missing, or a later initialization has overwritten it
#   ([pytorch-retinanet #10](https://github.com/kuangliu/pytorch-retinanet/issues/10)).
#
# ## What you learned · 2 min
#
# A one-stage detector asks every cell. `assign_cells` decides what's correct, by place, level and area. Distances to four sides replace deltas,
# centerness tells good places from bad ones, focal loss keeps the easy *no* from drowning the rare *yes*, and a bias prior does the same for the
# first steps. Which kind of detector is better is a question for your data, with seeds and intervals.
#
# **And without NMS?** DETR (Carion et al., 2020) drops that, too. A transformer turns a fixed number of learned queries into as many boxes, and
# training *matches* them with the objects one to one, so that duplicates count as background. Nothing is assigned by hand: neither anchors nor
# cells, nor limits. The first version took 500 epochs on COCO and was weak on small objects; its successors are among the best detectors now.
# [Its code](https://github.com/facebookresearch/detr) is short.
#
# **Three questions to think about**
#
# <details><summary>1. A person holds a large sign, and both boxes have the same center. What do the cells there learn?</summary>
#
# If both suit the level, every cell near the center answers for the sign, and the person has none. Anchors of different shapes could tell them
# apart. In FCOS, only another level could.
#
# </details>
# <details><summary>2. Why are the losses divided by the number of positives, and not by the number of cells?</summary>
#
# Nearly all cells are background, and with focal loss they hardly count. Divided by thousands of cells, the loss of the few positives would be
# tiny, and the tinier the finer the pyramid.
#
# </details>
# <details><summary>3. You halve the images' size. Which numbers in this lesson must change?</summary>
#
# The limits: with objects half as large, the coarsest level would have hardly any work left. Strides and the 1.5 stay. The limits of the paper, 64 to
# 512, are for images of 800 pixels; ours are 32 and 64.
#
# </details>
#
# **Next: 12 · Ship it**, which is optional, too. Your detector leaves PyTorch and runs in a web page.
#
# **Read on:** Z. Tian et al., *FCOS: Fully Convolutional One-Stage Object Detection*, 2019, section 3 with equations 1 to 3 · T.-Y. Lin et al.,
# *Focal Loss for Dense Object Detection*, 2017, sections 3 and 4.1 · S. Zhang et al., *Bridging the Gap Between Anchor-based and Anchor-free
# Detection via Adaptive Training Sample Selection*, 2020 · H. Rezatofighi et al., *Generalized Intersection over Union*, 2019 · N. Carion et al.,
# *End-to-End Object Detection with Transformers*, 2020, section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 130, of which 78 writing. `assign_cells` and `OneStage` take most of them. Nobody has to do this lesson: it counts neither in
# `coursekit submit` nor in a class's marks, unless you grade it with `--lesson 11`.
#
# **What people get wrong.** `assign_cells`: no center sampling; the smallest box is chosen first and the tests come after it; limits compared with
# the box instead of the largest distance. `focal_loss`: p in place of p_t; the logarithm of a sigmoid. `OneStage`: one tower for both; losses
# averaged over all cells; labels not shifted by one.
#
# **Questions to ask.** Where would the two kinds differ if objects never overlapped? What does the number of positives per object do to the
# loss of a large object? Why does the centerness loss not go to 0? What would convince you that one stage is better?
#
# **If there's time:** give `cells_of` other limits, or `one_stage` four convolutions, and predict the change before training.
