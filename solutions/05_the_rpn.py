# %% [markdown]
# # 05 · The RPN
#
# **155 minutes · you need lesson 04 · no GPU needed**
#
# Thousands of anchors cover every image, and hardly any of them fits an object. The **region proposal network** (RPN) looks at
# all of them at once and says: *there's something here, and here; and your box should be a little wider*. It doesn't say what
# it is. Its best boxes, the **proposals**, are all that the rest of the detector ever looks at. What the RPN misses is lost.
#
# When you're done, you can
#
# - write the head that slides over a pyramid, with its outputs in the order of the anchors,
# - write its two losses, and tell from their values what's wrong with a head,
# - write non-maximum suppression, and say why nobody runs it in Python,
# - turn thousands of predictions into a few good boxes, train an RPN alone, and measure how many objects it finds.
#
# Terms that are new to you are in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

lesson_map(5)

# %% [markdown]
# ## 5.1 · A question for every anchor · 27 min
#
# Here's one scene of `mini`. It gets three levels of anchors, two square ones in each cell: 3,160 in all. The scene has seven
# objects. **How many anchors will match one of them**, by the rules of lesson 04?

# %% tags=["setup"]
import math

import torch

from coursekit.data import load
from my_detector import make_anchors, match_anchors  # from lesson 04: yours, or the course's

train_set, val_set = load("mini", "train"), load("mini", "val")
image, target = train_set[114]
gt_boxes = target["boxes"]

# %% tags=["write"]
my_guess_matches = 100  # yours

# %% tags=["read"]
STRIDES = (8, 16, 32)
SIDES = ([12, 20], [32, 52], [84, 136])  # of the anchors on each level, in pixels


def anchors_for(height, width):
    """Return the anchors of each level for an image of this size: (N_i, 4) xyxy."""
    grids = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES]
    each = zip(grids, STRIDES, SIDES)
    return [make_anchors(grid, (stride, stride), sides, [1.0]) for grid, stride, sides in each]


anchors_of_levels = anchors_for(*image.shape[1:])
anchors = torch.cat(anchors_of_levels)
matches = match_anchors(anchors, gt_boxes)
print(f"{(matches >= 0).sum()} of {len(anchors):,} anchors match; you guessed {my_guess_matches}")

# %% tags=["call"]
show.anchors_to_objects(image, anchors, matches, gt_boxes)

# %% [markdown]
# From the left picture to the middle one, the question is *is there an object?*: one yes or no for each anchor, its
# **objectness**. From the middle to the right, it's *how does the object's box differ from the anchor?*: the four **deltas** of
# lesson 04. So with A anchors per cell, the network has to produce A numbers and 4 A numbers for each cell of each level.
#
# Convolutions can do that. A 3 × 3 convolution looks around the cell, and two 1 × 1 convolutions answer the two questions:
#
#                          ┌─ 1 × 1, A channels ───► objectness, as a logit
#     level ─ 3 × 3, ReLU ─┤
#                          └─ 1 × 1, 4 A channels ─► dx, dy, dw, dh of each anchor
#
# A **logit** is any real number; the sigmoid turns it into a probability. A logit of 0 means 50 %.
#
# All levels share this small network: to it, a large dog on the coarsest level looks like a small dog on the finest. That's why
# all levels have the same number of channels.
#
# One thing is left, and it costs people days. The convolution returns a map, A × H × W. The anchors are a list. Take a level of
# 2 × 3 cells with two anchors, and let each number of the map say where it belongs: 213 is anchor 2, row 1, column 3. **Put
# them into a list that fits the anchors. What are its first four numbers?**

# %% tags=["write"]
my_order = [111, 0, 0, 0]  # yours: the first four numbers

# %% tags=["read"]
address_map = torch.tensor([[[111, 112, 113], [121, 122, 123]], [[211, 212, 213], [221, 222, 223]]])
print(f"the map, {tuple(address_map.shape)}, flattened: {address_map.flatten().tolist()}")
print(f"you begin with {my_order}; the first four anchors of this level:")
for x1, y1, x2, y2 in make_anchors((2, 3), (8, 8), [12, 20], [1.0])[:4].tolist():
    print(f"  row {(y1 + y2) / 16 + 1:.0f}, column {(x1 + x2) / 16 + 1:.0f}, side {x2 - x1:.0f}")

# %% [markdown]
# The flattened map begins with all cells of the first anchor. The list of anchors begins with both anchors of the first cell.
# If you only flatten, nearly every number ends up at the wrong anchor. Nothing crashes, and all the shapes are right.
#
# <details><summary>The first four numbers</summary>
#
# 111, 211, 112, 212
#
# </details>
#
# ### Exercise 5.1 · `RPNHead` · ●●○ · 20 min · explain only
#
# Write the class. `forward` gets all levels of a batch. It returns two tensors with a row for each image, its logits and its
# deltas, both in the order of your anchors.

# %%
recall("make_anchors")

# %%
# %%exercise RPNHead
import torch
from torch import Tensor, nn


class RPNHead(nn.Module):
    """Predict an objectness logit and four deltas for each anchor.

    Args:
        channels: C, channels of the levels.
        anchors: A, anchors per cell.

    A 3 × 3 convolution (padding 1, C channels) and a ReLU, then two 1 × 1 convolutions side by
    side: one with A channels for the logits, one with 4 A channels, of which 4a to 4a + 3 are dx,
    dy, dw, dh of anchor a. All three have a bias, and all levels share them. Weights are
    initialized from a normal distribution with a standard deviation of 0.01, biases with 0.
    """

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (self.hidden, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        ### END SOLUTION

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Predict logits and deltas for all anchors of all levels.

        Args:
            levels: (B, C, H_i, W_i) float, finest first, on any device: that of the weights.

        Returns:
            Logits (B, N) and deltas (B, N, 4), where N is the number of anchors of all levels. The
            order is level by level, then that of `make_anchors`: row by row, cell by cell, anchor
            by anchor.
        """
        ### BEGIN SOLUTION
        logits, deltas = [], []
        for level in levels:
            hidden = self.hidden(level).relu()
            logits.append(self.objectness(hidden).permute(0, 2, 3, 1).flatten(1))
            cells_first = self.deltas(hidden).permute(0, 2, 3, 1)  # (B, H, W, 4 A)
            deltas.append(cells_first.reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)
        ### END SOLUTION


# %%
check("RPNHead")

# %% [markdown]
# The check used maps in which each cell holds its own place, as above. A mix-up shows at once that way; with random numbers, you
# would only learn that something is wrong.
#
# **Predict:** what objectness does a fresh head give, with weights near 0? And how far are its boxes from their anchors?

# %% tags=["write"]
my_guess_objectness = 0.0  # yours: a probability from 0 to 1
my_guess_pixels = 100.0  # yours: how far an edge moves, at most

# %% tags=["read"]
from my_detector import decode_boxes

torch.manual_seed(0)
head = RPNHead(channels=32, anchors=2)
features = [torch.randn(1, 32, math.ceil(240 / s), math.ceil(320 / s)) for s in STRIDES]
with torch.no_grad():
    fresh_logits, fresh_deltas = head(features)
objectness, fresh_boxes = fresh_logits.sigmoid(), decode_boxes(fresh_deltas[0], anchors)
print(f"objectness {objectness.min():.3f} to {objectness.max():.3f}; yours: {my_guess_objectness}")
print(f"edges moved by up to {(fresh_boxes - anchors).abs().max():.1f} px; you: {my_guess_pixels}")

# %% [markdown]
# Undecided everywhere, and every box nearly its anchor. That's a good place to start: the head has nothing to unlearn. Ren et
# al. draw the weights of all new layers from the same distribution as you (2015, section 3.1.3); they don't say why.
#
# ## 5.2 · Two losses · 33 min
#
# Two questions, so two losses. **Objectness** is yes or no, so its loss is **binary cross-entropy**: −log of the probability
# given to the correct answer. **Deltas** are real numbers, so their loss grows with the error. **Smooth L1** is quadratic near
# 0 and linear beyond β = 1/9, so one large error can't drown out the rest.

# %% tags=["call"]
show.loss_shapes()

# %% [markdown]
# Remember the dot: an undecided head has a loss of log 2 = 0.693, whatever the answer is.
#
# Which anchors should count? If all of them do, "there's nothing anywhere" is right almost everywhere. **Guess the loss of that
# lazy answer** for the scene above: averaged over all anchors, and over 256 of them, which your `sample_balanced` draws with
# at most half of them positive.

# %% tags=["write"]
mine = {"all anchors": 0.5, "256 sampled": 0.5}  # yours

# %% tags=["read"]
import torch.nn.functional as F

from my_detector import sample_balanced

for name, number, fraction in (("all anchors", 10**6, 1.0), ("256 sampled", 256, 0.5)):
    positives, negatives = sample_balanced(matches, number, fraction)
    labels = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])
    lazy = torch.full_like(labels, -6.0)  # logits: very sure that there's nothing
    loss = F.binary_cross_entropy_with_logits(lazy, labels)
    print(f"{name}: {len(positives)} of {len(labels):,} match, loss {loss:.3f}; you {mine[name]}")

# %% [markdown]
# Averaged over all anchors, laziness is almost free. In the sample, each object counts about twelve times as much.
#
# And the box loss? Background has no box to predict, so **only positives** have one. Both losses are sums, divided by the number
# of *sampled* anchors, as in torchvision.
#
# <details><summary>And in the paper?</summary>
#
# Ren et al. (2015, equation 1) divide the objectness loss by the size of the sample, 256, and the box loss by the number of
# anchor locations, about 2,400; then they multiply the box loss by λ = 10. Since 10/2,400 is nearly 1/256, the two ways hardly
# differ. The paper itself says that this normalization isn't required.
#
# </details>
#
# ### Exercise 5.2 · `rpn_losses` · ●●● · 25 min · explain only
#
# You've had all the pieces since lesson 04: which anchor matches which object, which anchors are sampled, and what deltas a
# positive should predict. Put them together, image by image. All images of a batch have the same anchors. Mind the image
# without objects.

# %%
recall("match_anchors", "sample_balanced", "encode_boxes")

# %%
# %%exercise rpn_losses
import torch
import torch.nn.functional as F
from torch import Tensor

from my_detector import encode_boxes, match_anchors, sample_balanced


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: list[Tensor],
    batch_size_per_image: int = 256,
    positive_fraction: float = 0.5,
) -> dict[str, Tensor]:
    """Compute the losses of the RPN on a sample of its anchors.

    Args:
        logits: (B, N) float from `RPNHead`, on any device; the other tensors are on the same one.
        deltas: (B, N, 4) float from `RPNHead`.
        anchors: (N, 4) xyxy in pixels, the same for all images.
        boxes: the ground truth of each image, (G, 4) xyxy in pixels. G may be 0.
        batch_size_per_image: anchors to sample in each image.
        positive_fraction: the share of them that may be positive, at most.

    Returns:
        Two scalars. loss_objectness: binary cross-entropy, averaged over the sampled anchors of the
        batch. loss_rpn_box_reg: smooth L1 (beta 1/9) between the deltas of positives and those from
        `encode_boxes`, summed, then divided by the number of sampled anchors of the batch.
    """
    ### BEGIN SOLUTION
    pred_logits, target_labels, pred_deltas, target_deltas = [], [], [], []
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)  # (N,)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
        pred_logits.append(logits[image, torch.cat([positives, negatives])])
        target_labels += [torch.ones_like(logits[image, positives])]
        target_labels += [torch.zeros_like(logits[image, negatives])]
        pred_deltas.append(deltas[image, positives])
        target_deltas.append(encode_boxes(gt_boxes[matches[positives]], anchors[positives]))
    labels = torch.cat(target_labels)
    box_loss = F.smooth_l1_loss(
        torch.cat(pred_deltas), torch.cat(target_deltas), beta=1 / 9, reduction="sum"
    )
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(torch.cat(pred_logits), labels),
        "loss_rpn_box_reg": box_loss / len(labels),
    }
    ### END SOLUTION


# %%
check("rpn_losses")

# %% [markdown]
# Now learn what these losses look like when something is wrong. The heads below are made up; all of them predict for the scene
# above. One is correct, the others have faults that you will meet. **Guess the objectness loss of the last one**, whose maps
# were flattened in the wrong order: around 6 (sure and wrong), around 0.7 (undecided), or less?

# %% tags=["write"]
my_guess_loss = 0.7  # yours

# %% tags=["variants"]
from coursekit.lessons.experiments.made_up_heads import flattened_wrongly, perfect_head
from my_detector import encode_boxes

logits, deltas = perfect_head(anchors, matches, gt_boxes, encode_boxes)
zeros, too_far_right = torch.zeros_like(logits), deltas + torch.tensor([0.1, 0, 0, 0])
last = f"flattened in the wrong order ({my_guess_loss}?)"
heads = {
    "correct": (logits, deltas),
    "undecided, deltas of 0": (zeros, 0 * deltas),
    "“nothing anywhere”": (zeros - 6, deltas),
    "“objects everywhere”": (zeros + 6, deltas),
    "boxes a tenth of an anchor too far right": (logits, too_far_right),
    "deltas four times too large": (logits, 4 * deltas),
    last: flattened_wrongly(logits, deltas, [len(level) for level in anchors_of_levels]),
}

# %% tags=["call"]
from coursekit.lessons.experiments.rpn_alone import compare_rpns, loss_table, recall_table, run_rpn

loss_table(heads, rpn_losses, anchors, gt_boxes)

# %% [markdown]
# What to remember:
#
# - **0.693** is log 2: undecided. A loss that stays there belongs to a head that doesn't learn.
# - **More than 0.693** belongs to a head that is sure and wrong.
# - The **box loss is small by nature**: it's divided by anchors most of which have none. Compare it with the second line. A head
#   that has more than that would do better with deltas of 0.
#
# The last line is the dangerous one. A head flattened in the wrong order has hardly more loss than the lazy "nothing anywhere"
# head: few anchors are positive, so few end up in the wrong place. Its loss would drop below 0.693 and look healthy. The loss
# can't show you this bug. Drawing the boxes can.
#
# ## 5.3 · Only the best box stays: NMS · 29 min
#
# Many anchors overlap an object. A trained head says yes at most of them and moves them all to nearly the same box. Of each such
# pile we want one. **Non-maximum suppression** (NMS) goes through the boxes from the highest score down. Each box that it keeps
# drops all later ones that overlap it too much.
#
# Here are three boxes in a row: A overlaps B, B overlaps C, and A and C hardly touch. With a threshold of 0.4, **which are kept
# if A has the highest score, then B, then C? And which if B has the highest score?**

# %% tags=["write"]
kept_if_a_is_best, kept_if_b_is_best = "A", "B"  # yours

# %% tags=["read"]
from my_detector import box_iou

chain = torch.tensor([[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [8.0, 0.0, 18.0, 10.0]])
print(f"you keep {kept_if_a_is_best}, then {kept_if_b_is_best}\nIoU of    A     B     C")
for name, row in zip("ABC", box_iou(chain, chain).tolist()):
    print(f"     {name}  ", "  ".join(f"{iou:.2f}" for iou in row))

# %% [markdown]
# If A comes first, it drops B. Now B is gone, so **it drops nothing**: A and C are kept. If B comes first, it drops both and
# is kept alone. There's a shortcut: drop every box that overlaps *any* box with a higher score, whether that one was kept or
# not. It gets the first case wrong.
#
# ### Exercise 5.3 · `nms` · ●●○ · 20 min · by hand
#
# Write it with your `box_iou` from lesson 00. Leave torchvision's function alone for now.

# %%
recall("box_iou")

# %%
# %%exercise nms
import torch
from torch import Tensor

from my_detector import box_iou


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Apply non-maximum suppression: from the best box down, drop later ones that overlap it.

    A dropped box suppresses nothing.

    Args:
        boxes: (N, 4) xyxy in pixels, on any device. N may be 0.
        scores: (N,) float, of any range, on the same device. Of equal scores, the first comes first.
        iou_threshold: a box is dropped if its IoU with a better box that is kept exceeds this.

    Returns:
        (K,) int64, the positions of the boxes that are kept, best first.

    >>> same = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.]])
    >>> nms(same, torch.tensor([0.2, 0.8]), 0.5)
    tensor([1])
    """
    ### BEGIN SOLUTION
    order = scores.argsort(descending=True, stable=True)
    suppresses = box_iou(boxes[order], boxes[order]) > iou_threshold  # (N, N): [i, j]: i drops j
    dropped = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    keep = []
    for i in range(len(order)):
        if not dropped[i]:
            keep.append(i)
            dropped |= suppresses[i]
    return order[keep]
    ### END SOLUTION


# %%
check("nms")

# %% [markdown]
# **Now you're the examiner.** Would a test of yours have found the shortcut? `catch` runs your inputs against wrong answers that
# people have handed in. The input below lets most of them through. Change it, or add more.

# %% tags=["write"]
apart = torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
catch("nms", (apart, torch.tensor([0.9, 0.8]), 0.5))

# %% [markdown]
# And on real boxes? Imagine an RPN whose objectness at each anchor is the anchor's IoU with the nearest object. Each dropped
# box names the one that dropped it. **Move the sliders** (the arrow keys work, too). At which IoU threshold does each pile
# become one box? How many are left at 0.9? And if you raise the score threshold, which objects vanish first?

# %% tags=["call"]
ideal = box_iou(gt_boxes, anchors).amax(0)
show.explore_nms(image, anchors[ideal > 0.4], ideal[ideal > 0.4], nms=nms, score_thresh=0.5)

# %% [markdown]
# torchvision has the same function, in C++. Does it keep the same boxes? And **how many times as fast is it**, with the largest
# number of boxes below?

# %% tags=["write"]
my_guess_times = 2  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.nms_speed import time_nms
from torchvision import ops

counts = [quick(2000, 512) // n for n in (16, 8, 4, 2, 1)]
times = time_nms({"in Python": nms, "torchvision, in C++": ops.nms}, counts)
show.times(counts, times, f"boxes (your guess: {my_guess_times} times as fast)")

# %% [markdown]
# A loop in Python makes a few calls for each box, and each call costs some microseconds, however little there is to compute. So
# in training and prediction, torchvision's function runs in place of yours, as its **compiled twin**, and a line says so.
# That's fair: you've just seen that both keep the same boxes. You know now what it does, and what it can't know: that two
# people who hold hands are two.
#
# ## 5.4 · Proposals · 29 min
#
# From thousands of predictions to a few boxes that deserve a second look, in one image:
#
#     each level by itself:   the best `pre_nms_top_n` by logit ─► decode ─► clip to the image
#                             ─► drop slivers and low objectness ─► NMS
#     then all together:      best first ─► the best `post_nms_top_n`
#
# Why level by level? The finest level has most of the anchors and would push out all others. And the box of a person shouldn't
# drop that of the cat on their lap.
#
# Why clip before NMS, and not after? Two boxes, 20 and 60 pixels wide, in an image that is 22 pixels wide. **What is their IoU
# before clipping, and after?**

# %% tags=["write"]
my_guess_unclipped, my_guess_clipped = 0.5, 0.5  # yours

# %% tags=["read"]
two = torch.tensor([[0.0, 0.0, 20.0, 10.0], [0.0, 0.0, 60.0, 10.0]])
clipped = two.clamp(max=22)
print(f"before clipping: {box_iou(two[:1], two[1:]).item():.2f}; you: {my_guess_unclipped}")
print(f"after clipping:  {box_iou(clipped[:1], clipped[1:]).item():.2f}; you: {my_guess_clipped}")

# %% [markdown]
# What is inside the image is nearly the same box twice. NMS sees that only if you clip first.
#
# ### Exercise 5.4 · `propose` · ●●● · 25 min · explain only
#
# The deltas of an untrained head are nonsense, and those of a trained one sometimes are, too: a box may lie outside the image
# altogether. And **no gradient** flows through proposals. To what comes after them, they're just boxes, like the ground truth.

# %%
recall("decode_boxes", "nms")

# %%
# %%exercise propose
import torch
from torch import Tensor

from my_detector import decode_boxes, nms


def propose(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    level_sizes: list[int],
    size: tuple[int, int],
    pre_nms_top_n: int = 500,
    post_nms_top_n: int = 300,
    nms_thresh: float = 0.7,
    score_thresh: float = 0.0,
) -> Tensor:
    """Return the proposals of one image: the boxes that the second stage will look at.

    Args:
        logits: (N,) float, objectness of the anchors of all levels, one level after the other. On
            any device; the other tensors are on the same one.
        deltas: (N, 4) float.
        anchors: (N, 4) xyxy in pixels.
        level_sizes: how many of the N anchors are on each level.
        size: (height, width) of the image in pixels. Boxes are clipped to it.
        pre_nms_top_n: how many anchors of each level to keep, by objectness, before NMS, which runs
            level by level.
        post_nms_top_n: how many proposals to keep after NMS, from all levels together.
        nms_thresh: IoU above which the worse of two boxes of a level is dropped.
        score_thresh: the lowest objectness of a proposal, a probability from 0 to 1.

    Returns:
        (P, 4) xyxy in pixels, best first. Boxes narrower or lower than 1e-3 pixels after clipping
        are dropped before NMS. No gradient flows through proposals.
    """
    ### BEGIN SOLUTION
    height, width = size
    limit = anchors.new_tensor([width, height, width, height])
    proposals, scores = [], []
    levels = (tensor.detach().split(list(level_sizes)) for tensor in (logits, deltas, anchors))
    for level_logits, level_deltas, level_anchors in zip(*levels):
        best = level_logits.topk(min(pre_nms_top_n, len(level_logits))).indices
        boxes = decode_boxes(level_deltas[best], level_anchors[best]).clamp(min=0).minimum(limit)
        objectness = level_logits[best].sigmoid()
        keep = (boxes[:, 2:] - boxes[:, :2] >= 1e-3).all(1) & (objectness >= score_thresh)
        boxes, objectness = boxes[keep], objectness[keep]
        keep = nms(boxes, objectness, nms_thresh)
        proposals.append(boxes[keep])
        scores.append(objectness[keep])
    order = torch.cat(scores).argsort(descending=True, stable=True)
    return torch.cat(proposals)[order[:post_nms_top_n]]
    ### END SOLUTION


# %%
check("propose")

# %% [markdown]
# ## 5.5 · How many objects do they find? · 13 min
#
# **Recall** is the share of the objects that were found. It's what counts for proposals: a wrong one costs a little time, because
# the second stage rejects it, but an object without a proposal is lost. *Recall at k* looks at the best k proposals of each
# image only.
#
# Two images, by hand. In the first, the best k proposals find its only object. In the second, they find one of three. **What is
# the recall at k?**
#
# <details><summary>The answer</summary>
#
# Two of four objects, so 0.5. It isn't the mean of 1 and 1/3: then the single object of the first image would count as much as
# all three of the second.
#
# </details>
#
# ### Exercise 5.5 · `recall_at` · ●○○ · 10 min · by hand
#
# Here a proposal may find several objects, if it overlaps each of them well enough. In lesson 09 you will count detections in
# the same way, except that each can find one object only.

# %%
# %%exercise recall_at
from collections.abc import Sequence

import torch
from torch import Tensor

from my_detector import box_iou


def recall_at(proposals: Sequence[Tensor], boxes: Sequence[Tensor], k: int) -> float:
    """Return the share of the objects that the best k proposals of their image find.

    A proposal finds every object that it overlaps with an IoU of 0.5 or more.

    Args:
        proposals: (P, 4) xyxy in pixels for each image, best first, on any device. P may be 0.
        boxes: (G, 4) xyxy in pixels for each image, on the same device: the ground truth. G may
            be 0.
        k: the number of proposals that count in each image; an image may have fewer.

    Returns:
        A number from 0 to 1, for the objects of all images together. NaN if there are none.

    >>> object_, far = torch.tensor([[0., 0., 9., 9.]]), torch.tensor([[50., 50., 59., 59.]])
    >>> recall_at([object_, far], [object_, object_], k=10)
    0.5
    """
    ### BEGIN SOLUTION
    is_found = []
    for best, gt_boxes in zip(proposals, boxes):
        overlaps = box_iou(gt_boxes, best[:k]) >= 0.5  # (G, k)
        is_found.append(overlaps.any(dim=1))
    return torch.cat(is_found).float().mean().item()
    ### END SOLUTION


# %%
check("recall_at")

# %% [markdown]
# ## 5.6 · An RPN learns · 14 min
#
# Everything is there: your pyramid, anchors, head, losses and proposals. The backbone is frozen, so its maps can be computed
# once, as in lesson 03. That takes some seconds; after that, training takes seconds, too.

# %% tags=["call"]
from coursekit.lessons.experiments.cached_features import cache_features

train_cached = cache_features(train_set.head(quick(200, 16)))
val_cached = cache_features(val_set.head(quick(100, 16)))
square_anchors = anchors_for(val_cached.side, val_cached.side)  # images are padded to a square

# %% [markdown]
# This is the whole RPN:

# %% tags=["read"]
from torch import nn

from my_detector import FPN


class RPN(nn.Module):
    def __init__(self, in_channels, channels=32):
        super().__init__()
        self.fpn = FPN(in_channels, channels)
        self.head = RPNHead(channels, anchors=2)

    def forward(self, maps):
        return self.head(self.fpn([level.float() for level in maps]))


# %% [markdown]
# **Your prediction:** most scenes have 4 to 9 objects. Which share of the small ones (below 32 pixels) do the best 10 proposals
# find, before training and after it?

# %% tags=["write"]
my_guess_before, my_guess_after = 0.1, 0.5  # yours

# %% tags=["call"]
from coursekit.lessons import my_workbook

same = (train_cached, val_cached, square_anchors, rpn_losses, propose, my_workbook)  # for all runs
sampled = run_rpn(RPN, *same, epochs=quick(5, 1), batch_size_per_image=256, positive_fraction=0.5)

# %% [markdown]
# The loop is the usual one: AdamW, a short warm-up, a cosine. You write one in lesson 08.
# ([The code of this one](../src/coursekit/lessons/experiments/rpn_alone.py).)

# %% tags=["call"]
show.two_losses(sampled.history)

# %% [markdown]
# Objectness starts at about 0.69, as it must for a head that is undecided. In a full training, **the box loss rises to about
# twice its first value before it falls**. It starts low because deltas of nearly 0 aren't bad for an anchor that matches: most
# of those overlap their object well. The first large updates disturb that before they improve on it.
#
# What do the proposals look like? Choose three scenes.

# %% tags=["write"]
scenes = (1, 6, 14)  # yours
print(f"chosen: {scenes}; there are {len(val_cached)} scenes, 0 to {len(val_cached) - 1}")

# %% tags=["call"]
proposals = {"before training": sampled.before, "after": sampled.after}
show.best_proposals(val_cached, scenes, proposals)

# %% [markdown]
# After a full training, look for two things. Several boxes on one object: their IoU is at most 0.7, so NMS keeps them; the
# second stage will sort that out. And boxes on things of none of the 16 classes, such as a balloon or a tree. No annotation
# says where those are, but the program that draws the scenes knows. So you can count instead of trusting three pictures:
# **which share of these distractors do the best 10 proposals find?**

# %% tags=["write"]
my_10 = 0.0  # yours: of the distractors, by the best 10

# %% tags=["read"]
from coursekit.lessons.experiments.distractors import distractor_boxes

distractors = distractor_boxes(val_cached)
objects = [target["boxes"] for target in val_cached.targets]
for k in (10, 50, 300):
    found = [f"{recall_at(sampled.after, boxes, k):.0%}" for boxes in (objects, distractors)]
    print(f"best {k:3}: {found[0]} of objects, {found[1]} of distractors; you at 10: {my_10:.0%}")

# %% [markdown]
# After a full training, the RPN ranks distractors lower than objects, but it doesn't pass over them: the best 10 proposals find
# far fewer of them, the best 300 nearly all. To the RPN, "an object" is what was annotated in training, and a tree seems to look
# more like that than like an empty background. The second stage will have to reject the trees.
#
# Now by size, and for several k:

# %% tags=["call"]
ks = (10, 50, 100, 300)
recalls = recall_table(proposals, val_cached.targets, ks, recall_at)
show.recall_curves(recalls, ks, guesses=(my_guess_before, my_guess_after))

# %% [markdown]
# Read it from the right. After a full training, 300 proposals find nearly every object, whatever its size. With 10, the sizes
# part: large objects come first. How many proposals should a detector keep? Each costs time in the second stage, and what isn't
# among them can't be found any more.
#
# ### Was the sampling worth it?
#
# "Nothing anywhere" is cheap when all anchors count. So train a second RPN that way: no sampling, every anchor counts that isn't
# ignored. **Predict:** will its loss be lower or higher? And its recall of small objects at 10?

# %% tags=["write"]
my_guess_small = 0.5  # yours: recall of small objects at 10, without sampling

# %% tags=["call"]
blind = run_rpn(RPN, *same, epochs=quick(5, 1), batch_size_per_image=10**6, positive_fraction=1.0)
runs = {"256 sampled": sampled, f"all anchors (yours: small {my_guess_small})": blind}
compare_rpns(runs, val_cached.targets, 10, recall_at)

# %% [markdown]
# After a full training, its loss is far lower, and it finds fewer of the small and medium objects. **Losses that average over
# different anchors can't be compared**, and a low loss isn't the goal: where nearly all anchors are background, being right
# about background is nearly all there is to gain. And the box loss, divided by thousands of anchors, hardly counts. These are
# single runs, so a gap of two or three hundredths means nothing, as you saw in lesson 03.
#
# ## 5.7 · With K classes it would be a detector · 2 min
#
# What keeps an RPN from being a detector? It says *something*, not *what*. Give each anchor K logits instead of one, and you
# have a **one-stage detector**, as SSD and RetinaNet are in essence.
#
# Then why two stages? A one-stage head decides from the features of one cell, whatever the box. Our second stage *looks at the
# box itself* (lesson 06). And background weighs even more in one stage: all anchors, all classes, no sampling. Which is better
# for your images? In [lesson 11](11_one_stage.ipynb), which is optional, you build a one-stage detector from your own parts and
# measure it against two stages.

# %%
journal("05")

# %% [markdown]
# ## What could go wrong · 4 min
#
# - **"loss_rpn_box_reg is nan, loss_objectness 0.6926."** In some boxes the second corner was above the first, and a negative
#   height has no logarithm ([vision #1120](https://github.com/pytorch/vision/issues/1120)). Look at the other number: you can
#   read it now.
# - **"It trains, but it's worse than it should be."** Scores in one order, anchors in another
#   ([fpn.pytorch #6](https://github.com/jwyang/fpn.pytorch/issues/6)). Feed maps that say their own place.
# - **"NMS keeps other boxes on the GPU."** Several scores were exactly equal, and the order of ties is not guaranteed
#   ([vision #2157](https://github.com/pytorch/vision/issues/2157)).
# - **"In half precision, NMS drops nothing."** Areas overflowed float16
#   ([vision #3371](https://github.com/pytorch/vision/issues/3371), fixed since). Compute with boxes in 32 bits.
#
# ## What you learned · 2 min
#
# An RPN is one 3 × 3 and two 1 × 1 convolutions, shared by all levels, with outputs in the order of the anchors. Its losses are
# binary cross-entropy for objectness and, for positives, smooth L1 for the deltas; both average over a sample. The best boxes
# of each level are decoded, clipped and thinned out by NMS. What is left, best first, is all that the second stage sees.
#
# **Three questions to think about**
#
# <details><summary>1. Two people stand so close that their boxes have an IoU of 0.75. What happens to them?</summary>
#
# With a threshold of 0.7, if both boxes are exact and on one level, the one with the lower score is dropped. That's the price
# of NMS, and the reason why crowds are hard. A higher threshold would keep both, and more duplicates everywhere.
#
# </details>
# <details><summary>2. Your objectness loss is 0.693 after 500 steps. What do you look at first?</summary>
#
# Whether the head's parameters are in the optimizer and get a gradient (is anything detached?). Then the learning rate. It isn't
# the data: even with wrong boxes, the head would learn that most anchors are background.
#
# </details>
# <details><summary>3. Why is recall the right measure for proposals, and not precision?</summary>
#
# A wrong proposal costs a little time: the second stage rejects it. A missing one can't be repaired later.
#
# </details>
#
# **Next: 06 · RoI features.** A proposal is four numbers. The second stage wants to know what's inside, so you cut a patch of
# features out of the pyramid, between its cells.
#
# **Read on:** S. Ren et al., *Faster R-CNN*, 2015, sections 3.1 (with equation 1) and 3.3 · T.-Y. Lin et al., *Feature
# Pyramid Networks*, 2017, section 4.1 · T.-Y. Lin et al., *Focal Loss for Dense Object Detection*, 2017, section 3 · N. Bodla
# et al., *Soft-NMS*, 2017.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 155, of which 100 writing. `propose` and `rpn_losses` take longest; `rpn_losses` looks worse than it is, because
# lesson 04 has its parts.
#
# **What people get wrong.** `RPNHead`: maps that are only flattened; or logits in order and deltas not. `rpn_losses`: divided by
# the positives; beta left at 1; the boxes taken in turn instead of those that the anchors match. `nms`: one-shot suppression;
# positions among the sorted boxes. `propose`: positions on a level used as positions among all; height and width swapped;
# clipped after NMS. `recall_at`: images averaged; proposals counted instead of objects.
#
# **Questions to ask.** What does a head predict whose loss is 0.693? Why isn't the mean of two images' losses the loss of both?
# (One may have fewer sampled anchors.) Which boxes expose a one-shot suppression? (A chain of three, the first with the highest
# score.) What happens to an object without a proposal? Why does the RPN propose trees?
#
# **If there's time:** give `propose` an `nms_thresh` of 0.3 or 0.95, and predict recall at 10 and at 300 before drawing it.
