# %% [markdown]
# # 04 · Anchors
#
# **150 minutes · you need lessons 00 and 03 · no GPU needed**
#
# A network can't return three boxes for one image and eleven for the next: each cell of its feature maps produces a fixed number
# of values. So we turn the problem around. Before the network has seen the image, we cover it with thousands of boxes called
# **anchors**. For each, the network answers two questions: is there an object near here, and how should this box change to fit
# it? An anchor is a guess made with closed eyes.
#
# When you're done, you can
#
# - cover an image with anchors, in the order in which the network predicts, and say what a wrong order does,
# - decide which anchor is responsible for which object, in all the awkward cases,
# - express a box relative to an anchor, and read it back,
# - draw a sample that isn't drowned by background.
#
# Terms that are new to you are in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

lesson_map(4)

# %% [markdown]
# Here's where you're going. Our pyramid has three levels, with strides of 8, 16 and 32 pixels. Each cell of each level gets
# nine anchors: three sizes in three shapes. **How many of an image's thousands of anchors will match an object**, by the rules
# of this lesson?

# %% tags=["setup"]
import os

import torch

from coursekit.data import load
from coursekit.lessons.experiments.anchor_matches import scenes_with_objects, varied_scene

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
image, boxes = varied_scene(train_set)  # (3, H, W) and (G, 4) xyxy

# %% tags=["write"]
my_guess_matches = 1000  # yours

# %% tags=["read"]
STRIDES, RATIOS = (8, 16, 32), (0.5, 1.0, 2.0)


def sizes_for(stride):
    """Return the three anchor sizes of a level, in pixels."""
    return [1.5 * stride, 2.5 * stride, 4.0 * stride]


def cells(size, stride):
    """Return the rows and columns of a level, rounded up, for an image of (height, width)."""
    return -(-size[0] // stride), -(-size[1] // stride)


# %% tags=["call"]
show.guesses_and_matches(image, boxes, STRIDES, sizes_for, RATIOS, guess=my_guess_matches)

# %% [markdown]
# Left, the nine guesses of a single cell. Right, those few of all guesses that the rules of this lesson call "an object". (Things
# without a thick box belong to none of the classes.)
#
# ## 4.1 · A box at every cell · 33 min
#
# Two numbers describe a shape: its **size**, √area in pixels, and its **ratio**, height over width. A tall shape has the same
# area as a flat one of the same size; otherwise, size and ratio would mix.
#
# Try it on paper: size 32, ratio 4. How high is the box, and how wide? You have two equations: height / width = 4, and
# height · width = 32².
#
# <details><summary>The answer</summary>
#
# 64 high and 16 wide. In general: height = size · √ratio, width = size / √ratio.
#
# </details>
#
# Each shape goes to each cell. From one cell to the next, the center of its anchors moves by one **stride**. Where is the first
# center? Here it's at pixel (0, 0), the image's corner, as in torchvision. Others start half a stride further, in the middle of
# the cell. Both work, as long as everyone agrees.
#
# You need two tools. `meshgrid` gives each cell its row and its column. And a new axis adds all shapes to all cells, as in
# `box_iou`. **What shape will the sum below have?**

# %% tags=["write"]
my_guess_shape = (2, 3)  # yours

# %% tags=["read"]
down, across = torch.meshgrid(torch.tensor([0, 8]), torch.tensor([0, 8, 16]), indexing="ij")
print("down\n", down, "\nacross\n", across)
print("sum:", tuple((torch.zeros(2, 3, 1, 4) + torch.zeros(9, 4)).shape), "you:", my_guess_shape)

# %% [markdown]
# Rows, columns, shapes, corners: that's what you want, except that it should be one long list.
#
# ### Exercise 4.1 · `make_anchors` · ●●○ · 25 min · by hand
#
# Half of the task is the **order** of the list: row by row; within a row, cell by cell; within a cell, ratio by ratio; within a
# ratio, size by size. As four loops, the last one would run fastest. (You don't need a loop.)
#
# Round the corners to whole pixels before you move the shapes to the cells: `torch.round` of minus and plus half a side.

# %%
# %%exercise make_anchors
from collections.abc import Sequence

import torch
from torch import Tensor


def make_anchors(
    grid: tuple[int, int], stride: tuple[int, int], sizes: Sequence[float], ratios: Sequence[float]
) -> Tensor:
    """Return the anchors of one pyramid level.

    Args:
        grid: (H, W) cells of the level's feature map.
        stride: pixels per cell, vertically and horizontally.
        sizes: square roots of the anchors' areas, in pixels.
        ratios: height / width of the anchors.

    Returns:
        (H * W * A, 4) float32 xyxy in pixels, with A = len(sizes) * len(ratios). The anchors of the
        first cell are centered on pixel (0, 0), and their corners are rounded to whole pixels with
        torch.round. Anchors may reach beyond the image. The order is row by row, cell by cell,
        ratio by ratio, size by size.

    >>> make_anchors((1, 2), (8, 8), sizes=(16,), ratios=(1.0, 4.0))
    tensor([[ -8.,  -8.,   8.,   8.],
            [ -4., -16.,   4.,  16.],
            [  0.,  -8.,  16.,   8.],
            [  4., -16.,  12.,  16.]])
    """
    ### BEGIN SOLUTION
    size = torch.tensor(sizes, dtype=torch.float32)
    root = torch.tensor(ratios, dtype=torch.float32).sqrt()[:, None]
    width, height = (size / root).flatten(), (size * root).flatten()  # (A,) each
    shapes = (torch.stack([-width, -height, width, height], dim=1) / 2).round()  # (A, 4)
    y = torch.arange(grid[0]) * stride[0]
    x = torch.arange(grid[1]) * stride[1]
    y, x = torch.meshgrid(y, x, indexing="ij")  # (H, W) each
    centers = torch.stack([x, y, x, y], dim=-1)  # (H, W, 4)
    return (centers[:, :, None] + shapes).reshape(-1, 4)
    ### END SOLUTION


# %%

check("make_anchors")

# %% [markdown]
# **Guess:** how many anchors does this image get, from all three levels? (Cells times nine.)

# %% tags=["write"]
my_guess_anchors = 1000  # yours

# %% tags=["read"]
size = tuple(image.shape[1:])


def anchors_for(size):
    """Return the anchors of all levels, finest first, for an image of (height, width) pixels."""
    levels = [make_anchors(cells(size, s), (s, s), sizes_for(s), RATIOS) for s in STRIDES]
    return torch.cat(levels)


anchors = anchors_for(size)
counts = [9 * rows * columns for rows, columns in (cells(size, s) for s in STRIDES)]
print(f"strides 8, 16, 32: {counts}, together {len(anchors):,}; you guessed {my_guess_anchors:,}")

# %% [markdown]
# Three of four anchors are on the finest level. torchvision makes anchors, too. Are they the same, in the same order?

# %% tags=["read"]
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

generator = AnchorGenerator([tuple(sizes_for(s)) for s in STRIDES], [RATIOS] * 3)
blank = torch.zeros(1, 3, 256, 320)  # torchvision wants sides that every stride divides
maps = [torch.zeros(1, 1, *cells((256, 320), s)) for s in STRIDES]
theirs, yours = generator(ImageList(blank, [(256, 320)]), maps)[0], anchors_for((256, 320))
print(f"{len(theirs):,} anchors; largest difference {(theirs - yours).abs().max().item()}")

# %% [markdown]
# ## 4.2 · The order, and what it does · 12 min
#
# The network doesn't return a list. A convolution returns a map, (A, H, W): for each *shape*, a plane of cells. Somebody has to
# turn that into a list in exactly the order of your anchors. Nothing in PyTorch checks it. **In which order do the axes have to
# be before you flatten?**

# %% tags=["write"]
my_order = "A, H, W"  # yours

# %% [markdown]
# Let's ask a **head**, a small network that makes predictions, and one that is never wrong. At each anchor of the middle level, it
# predicts the anchor's true IoU with the nearest object. As (A, H, W), its map is what a convolution would return:

# %% tags=["read"]
from my_detector import box_iou

grid = cells(size, 16)
level = make_anchors(grid, (16, 16), sizes_for(16), RATIOS)
true_iou = box_iou(level, boxes).amax(1)  # (H * W * A,)
predicted = true_iou.reshape(*grid, 9).permute(2, 0, 1)  # (A, H, W)

# %% [markdown]
# Now we flatten the map in one of six orders, take the 12 highest values, and draw the anchors at those places of the list.
# **Move the slider.** Which order is right? Find it with the picture. Then say why.

# %% tags=["call"]
show.explore_orders(image, boxes, level, predicted)

# %% [markdown]
# In five of six orders, the head is sure of boxes that are somewhere else. It was never wrong; we were. Would a check notice?
#
# Not every check does. YOLOv5 could silently reverse the order of its anchors. As its author wrote, that may have cost recall and
# mAP ([yolov5 #7058](https://github.com/ultralytics/yolov5/issues/7058)). And in a public implementation of the FPN, scores and
# anchors were in different orders, while its users wondered why it was worse than Faster R-CNN
# ([fpn.pytorch #6](https://github.com/jwyang/fpn.pytorch/issues/6)). Both trained without an error.
#
# Here are two lenient checks and a strict one. The strict one uses a head that predicts **its own address**, such as "shape 3,
# row 5, column 11", so each anchor must be the one at that address. **How many of the six orders does each check let pass?**

# %% tags=["write"]
my_guess_passes = {"same shape": 6, "same numbers": 1, "addresses": 1}  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.anchor_orders import try_checks

print(f"you: {my_order}; {my_guess_passes}")
try_checks(level, predicted, stride=16)

# %% [markdown]
# Shape and numbers are right in all six. Only the addresses tell them apart. Keep this trick, *data that say where they come
# from*: you'll need it again in lessons 05 and 06.
# ([The code of the checks](../src/coursekit/lessons/experiments/anchor_orders.py).)
#
# But a network learns. Couldn't it learn to live with a wrong order? Try it: three small detectors on cached features (as in
# lesson 03), identical except for one thing. The second is trained *and* tested with anchors that run column by column, the
# third with all cells of one shape before those of the next. The maps are square here, so not even a size gives it away.
# **What AP50 will the second one have, if the first has 0.25?** It takes about half a minute.

# %% tags=["write"]
my_guess_ap50 = 0.1  # yours


# %% tags=["read"]
def by_columns(grid, stride, sizes, ratios):
    """Return the same anchors, but with the cells column by column."""
    rows = make_anchors(grid, stride, sizes, ratios).reshape(*grid, -1, 4)
    return rows.transpose(0, 1).reshape(-1, 4)


def by_shapes(grid, stride, sizes, ratios):
    """Return the same anchors, but with all cells of a shape together: a forgotten `permute`."""
    rows = make_anchors(grid, stride, sizes, ratios).reshape(grid[0] * grid[1], -1, 4)
    return rows.transpose(0, 1).reshape(-1, 4)


# %% tags=["call"]
from coursekit.lessons.experiments.cached_features import cache_features
from coursekit.lessons.experiments.compare_designs import compare_anchor_orders

cached = cache_features(train_set.head(quick(96, 8))), cache_features(val_set.head(quick(48, 8)))
makers = {"row by row": make_anchors, "column by column": by_columns, "shape by shape": by_shapes}
compare_anchor_orders(makers, *cached, epochs=quick(6, 1), guess=my_guess_ap50)

# %% [markdown]
# No error and no warning. After a full training, small objects are gone, and AP50 falls to less than half. A convolution gives
# the same answer to the same pixels wherever they are; a wrong order asks it about *another* cell, which it can't see.
#
# And the large objects? Look at the last line: a hundred large anchors, chosen blindly, without any network. If you look at
# large objects only, or at a loss that falls, you see no fault.
# ([The code of the training](../src/coursekit/lessons/experiments/compare_designs.py).)
#
# ## 4.3 · Which anchor takes which object? · 47 min
#
# For training, each anchor needs an answer: *which object are you responsible for, if any?* That's **matching**. It goes by IoU:
#
#     IoU   0 ─────────── 0.3 ─────────── 0.7 ─────────── 1
#             background       ignored       an object
#                -1               -2         its position
#
# Why the band in the middle? An anchor with an IoU of 0.5 is neither a good guess nor background. Whatever you called it, a
# neighbor much like it would be called the opposite. So it's left out.
#
# But isn't 0.7 a lot? **Guess:** which share of all objects has an anchor that good?

# %% tags=["write"]
my_guess_share = 0.95  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.anchor_matches import best_overlaps, matched_pairs, matched_share

scenes = scenes_with_objects(train_set, anchors_for, most=quick(240, 40))
show.overlap_by_size(*best_overlaps(scenes, my_guess_share))

# %% [markdown]
# Each dot is an object. Small ones fall between the cells: even the nearest anchor is a few pixels off, and that's a lot for
# them. The waves are the gaps between the sizes of the anchors: halfway between two sizes, no anchor fits well. The largest
# anchor has a size of 128 pixels, so beyond about 140 it only gets worse.
#
# The objects below the line would never be learned: no anchor is told about them. So there is one more rule. **No object goes
# without**: the anchor that overlaps it most matches it, even below 0.7. That makes three awkward cases:
#
# - **A tie.** Two anchors overlap an object equally, and more than all others do. Both match.
# - **Two masters.** An anchor is the best that object A can get, but it overlaps object B still more. It goes to B: an anchor
#   always takes the object that *it* overlaps most.
# - **Nobody.** No anchor overlaps the object at all. Then its best IoU is 0, and *every* anchor has that. It gets none.
#
# Try it by hand. Here are the IoUs of two objects with four anchors. What is the answer for each anchor: a position, -1 or -2?
#
# | | anchor 0 | anchor 1 | anchor 2 | anchor 3 |
# |---|---|---|---|---|
# | object 0 | 0.8 | 0.5 | 0.2 | 0.0 |
# | object 1 | 0.0 | 0.1 | 0.4 | 0.1 |
#
# <details><summary>The answers</summary>
#
# [0, -2, 1, -1]. Anchor 0 takes object 0 (0.8 is enough). Anchor 1 is ignored (0.5). Anchor 2 takes object 1: 0.4 is the best
# that object 1 can get. Anchor 3 is background.
#
# </details>
#
# ### Exercise 4.2 · `match_anchors` · ●●● · 35 min · by hand
#
# Write it for all anchors at once. In the table above, what is a maximum over rows, and what is one over columns? Remember
# that an image may have no objects.
#
# A tensor that you create is on the CPU, and a GPU refuses to mix it with its own. `device=anchors.device` creates one where
# `anchors` is. (The check tests that, too.)

# %%
recall("box_iou")

# %%
# %%exercise match_anchors
import torch
from torch import Tensor

from my_detector import box_iou


def match_anchors(
    anchors: Tensor,
    boxes: Tensor,
    fg_iou_thresh: float = 0.7,
    bg_iou_thresh: float = 0.3,
    allow_low_quality_matches: bool = True,
) -> Tensor:
    """Match each anchor with a ground-truth box, or with the background.

    Args:
        anchors: (N, 4) xyxy in pixels, float, on any device.
        boxes: (G, 4) xyxy in pixels, on the same device: the ground truth. G may be 0.
        fg_iou_thresh: an anchor whose highest IoU is at least this is matched with that box; on a
            tie, with the first.
        bg_iou_thresh: an anchor whose highest IoU is below this is background. In between it is
            ignored.
        allow_low_quality_matches: also match the anchors that have the highest IoU with some box
            (all of them, on a tie), whatever that IoU is. Such an anchor goes to the box that it
            overlaps most itself. A box that overlaps no anchor gets none.

    Returns:
        (N,) int64 on the anchors' device: a position in `boxes`, -1 (background) or -2 (ignored).

    >>> anchors = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 5.], [40., 0., 50., 10.]])
    >>> match_anchors(anchors, torch.tensor([[0., 0., 10., 10.]]))
    tensor([ 0, -2, -1])
    """
    ### BEGIN SOLUTION
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    iou = box_iou(boxes, anchors)  # (G, N)
    best_iou, matches = iou.max(dim=0)  # (N,) each
    iou_of_box = iou.amax(dim=1, keepdim=True)  # (G, 1)
    is_match = best_iou >= fg_iou_thresh
    if allow_low_quality_matches:
        is_match |= ((iou == iou_of_box) & (iou_of_box > 0)).any(dim=0)
    return torch.where(is_match, matches, torch.where(best_iou < bg_iou_thresh, -1, -2))
    ### END SOLUTION


# %%

check("match_anchors")

# %% [markdown]
# **Now you're the examiner.** The input below is the docstring's example. It lets many wrong answers through. Which boxes would
# catch them? The three awkward cases are a good start; an IoU of *exactly* 0.5 with `fg_iou_thresh=0.5` is another.

# %% tags=["write"]
three = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0], [40.0, 0.0, 50.0, 10.0]])
catch("match_anchors", (three, three[:1]))

# %% [markdown]
# Here is your matching, for the scene. **Move the sliders** (the arrow keys work, too). Lower `fg iou thresh`: how many anchors
# match? Then bring both together: where did the ignored ones go? And with `fg iou thresh` at 0.95, why does every object still
# have an anchor?

# %% tags=["call"]
show.explore_anchors(image, boxes, anchors, match_anchors=match_anchors)

# %% [markdown]
# And here are the awkward cases, with what your function returns for each anchor (dashed). **Move a box, or add one,** and predict
# the answers. What does it take to give both of the two masters an anchor?

# %% tags=["write"]
tie = [(10, 20, 40, 50), (30, 20, 60, 50)], [(20, 20, 50, 50)]  # anchors, then objects
masters = [(10, 15, 50, 55)], [(10, 15, 50, 52), (30, 30, 68, 68)]
nobody = [(4, 4, 30, 30), (34, 4, 60, 30)], [(50, 45, 75, 68)]

# %% tags=["call"]
cases = {"a tie": tie, "two masters": masters, "nobody": nobody}
cases = {name: [torch.tensor(part).float() for part in parts] for name, parts in cases.items()}
show.awkward_cases(cases, match_anchors)

# %% [markdown]
# The second case breaks a promise: as it stands, object 1 has *no* anchor, because its only one went to object 0. "No object goes
# without" holds unless another object has a better claim to the same anchor. How often does that happen? And what does the rule
# do for small objects? **Predict the second line**, the share of the objects below 16 pixels with an anchor:

# %% tags=["write"]
my_guess_small = 0.5  # yours

# %% tags=["call"]
from functools import partial

strict = partial(match_anchors, allow_low_quality_matches=False)
matched_share(scenes, {"0.7 alone": strict, f"or best (you: {my_guess_small:.0%})": match_anchors})

# %% [markdown]
# ## 4.4 · A box, relative to an anchor · 36 min
#
# A match is a rough guess, and the network should improve it. What should it predict? Not the corners: it doesn't know where in
# the image it is looking. It predicts how the box **differs from the anchor**, in four numbers (Ren et al., 2015, equation 2):
#
# $$dx = \frac{x - x_a}{w_a} \qquad dy = \frac{y - y_a}{h_a} \qquad dw = \log\frac{w}{w_a} \qquad dh = \log\frac{h}{h_a}$$
#
# Here $x, y$ are centers, $w, h$ are sides, and $a$ marks those of the anchor. Why divide by the anchor's side? These are the
# matches of all scenes. **By how many pixels is a large anchor off, if a small one is off by 2.5?**

# %% tags=["write"]
my_guess_pixels = 2.5  # yours

# %% tags=["call"]
matched_anchors, matched_boxes = matched_pairs(scenes, match_anchors, my_guess_pixels)

# %% [markdown]
# In pixels, large boxes would drown out the small ones. In widths of the anchor, all are about alike. And why the logarithm?
# Half as wide gives log ½ = −0.69, twice as wide gives log 2 = +0.69: equally far from "the same", which is 0. And no number
# stands for a negative width.
#
# ### Exercise 4.3 · `encode_boxes` · ●○○ · 12 min · by hand
#
# In the end, each of the four numbers is multiplied by its weight. The second stage of the detector uses (10, 10, 5, 5): its boxes
# are close already, so without weights its targets would be tiny. Use `...` for the axes in front, as in `xywh_to_xyxy`.
#
# Remember the device: `boxes.new_tensor(…)` creates a tensor where `boxes` is, with the same dtype.

# %%
# %%exercise encode_boxes
import torch
from torch import Tensor


def encode_boxes(
    boxes: Tensor, anchors: Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Encode boxes as deltas from their anchors.

    Args:
        boxes: (..., 4) xyxy in pixels, float, with a width and a height greater than 0, on any
            device.
        anchors: (..., 4) xyxy in pixels, of the same dtype and on the same device, with a width and
            a height greater than 0.
        weights: factors for dx, dy, dw and dh.

    Returns:
        (..., 4) dx, dy, dw, dh, of the same dtype and on the same device. dx and dy: the shift of
        the center, in widths and heights of the anchor. dw and dh: the natural logarithms of box
        width / anchor width and box height / anchor height. Each is multiplied by its weight.

    >>> encode_boxes(torch.tensor([[5., 0., 15., 20.]]), torch.tensor([[0., 0., 10., 20.]]))
    tensor([[0.5000, 0.0000, 0.0000, 0.0000]])
    """
    ### BEGIN SOLUTION
    side, anchor_side = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    center = boxes[..., :2] + side / 2
    anchor_center = anchors[..., :2] + anchor_side / 2
    shift, scale = (center - anchor_center) / anchor_side, (side / anchor_side).log()
    return torch.cat([shift, scale], dim=-1) * boxes.new_tensor(weights)
    ### END SOLUTION


# %%

check("encode_boxes")

# %% [markdown]
# And back: from four numbers and an anchor to a box. One thing can go badly wrong. dw is whatever a network predicts, and a fresh
# network, or a bad step, predicts wild things. **Guess:** how wide does dw = 10 make an anchor of 16 pixels? And dw = 100?

# %% tags=["write"]
my_guess_10, my_guess_100 = 100, 1000  # yours, in pixels

# %% tags=["read"]
for dw in (0.0, 1.0, 4.135, 10.0, 100.0):
    print(f"dw {dw:7.3f}   {(16 * torch.tensor(dw).exp()).item():10.1f} pixels wide")
infinite = torch.tensor(100.0).exp()
print(f"you: {my_guess_10}, {my_guess_100}; infinite − infinite: {(infinite - infinite).item()}")

# %% [markdown]
# An infinite width becomes `nan` at the next subtraction, and `nan` spreads to everything it meets: the loss, the weights, the
# run. So growth is **capped** before `exp`, at log(1000/16), about 4.135. Then an anchor of 16 pixels can grow to a box of 1,000,
# and that's plenty. Shrinking needs no cap: exp of a very negative number is just 0.
#
# ### Exercise 4.4 · `decode_boxes` · ●●○ · 15 min · by hand
#
# Write the inverse of `encode_boxes`. Undo the last thing first. Where does the cap go, before dividing by the weights or after?

# %%
recall("encode_boxes")

# %%
# %%exercise decode_boxes
import math

import torch
from torch import Tensor


def decode_boxes(
    deltas: Tensor, anchors: Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Decode deltas into boxes: the inverse of `encode_boxes`.

    Args:
        deltas: (..., 4) dx, dy, dw, dh, float, on any device.
        anchors: (..., 4) xyxy in pixels, on the same device. The leading dimensions broadcast:
            (5, 3, 4) with (5, 1, 4).
        weights: those that `encode_boxes` was given.

    Returns:
        (..., 4) xyxy in pixels, on the same device. A box is at most 1000/16 times as wide and as
        high as its anchor: dw and dh are capped at the logarithm of that, after the weights have
        been divided out.

    >>> decode_boxes(torch.tensor([[0.5, 0., 0., 0.]]), torch.tensor([[0., 0., 10., 20.]]))
    tensor([[ 5.,  0., 15., 20.]])
    """
    ### BEGIN SOLUTION
    deltas = deltas / deltas.new_tensor(weights)
    anchor_side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + anchor_side / 2 + deltas[..., :2] * anchor_side
    side = anchor_side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp()
    return torch.cat([center - side / 2, center + side / 2], dim=-1)
    ### END SOLUTION


# %%

check("decode_boxes")

# %% [markdown]
# Both together: each matched anchor is encoded, and its deltas are decoded. With a `mistake` of 0, the head is perfect, and all
# boxes fall on their objects. **Move the slider** to make its deltas wrong by random numbers of that spread. How wrong may they
# be before the boxes are worse than the anchors?

# %% tags=["call"]
matches = match_anchors(anchors, boxes)
taken, goals = anchors[matches >= 0], boxes[matches[matches >= 0]]
show.explore_decoding(image, taken, goals, encode_boxes, decode_boxes)

# %% [markdown]
# ### A round trip proves nothing
#
# "I encode, decode, and get back what I had, so both are right." Are they? Here are two more pairs, as an assistant might write
# them. In both, decoding undoes encoding. **What's wrong with each?** Read them before you run the table.


# %% tags=["variants"]
from coursekit.lessons import examine


def center_of(boxes):
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def side_of(boxes):
    return boxes[..., 2:] - boxes[..., :2]


def ratio_encode(boxes, anchors):  # the ratio itself, without its logarithm
    shift = (center_of(boxes) - center_of(anchors)) / side_of(anchors)
    return torch.cat([shift, side_of(boxes) / side_of(anchors) - 1], -1)


def ratio_decode(deltas, anchors):
    center = center_of(anchors) + deltas[..., :2] * side_of(anchors)
    half = (deltas[..., 2:] + 1) * side_of(anchors) / 2
    return torch.cat([center - half, center + half], -1)


def corner_encode(boxes, anchors):  # differences of corners, in pixels
    return boxes - anchors


def corner_decode(deltas, anchors):
    return anchors + deltas


# %% tags=["write"]
wrong_with_plain_ratio, wrong_with_corners = "…", "…"  # yours, in a few words

# %% tags=["call"]
from coursekit.lessons.experiments.anchor_matches import round_trips

coders = {"yours": (encode_boxes, decode_boxes), "plain ratio": (ratio_encode, ratio_decode)}
coders["corners in pixels"] = corner_encode, corner_decode
round_trips(coders, matched_boxes, matched_anchors)
print(f"you: plain ratio: {wrong_with_plain_ratio}; corners: {wrong_with_corners}")

# %% [markdown]
# All three get back what they had. But the plain ratio can turn a box inside out, with a width below 0. And corners in pixels give
# large objects targets that are many times those of small ones. A round trip shows that two functions undo each other, and
# nothing more. So the checks try each function **alone**, on boxes whose numbers you can work out on paper:

# %%
examine("encode_boxes", ratio_encode)

# %% [markdown]
# ## 4.5 · Not drowned by background · 15 min
#
# How many of all these anchors are positive? **Guess the share** before you look.

# %% tags=["write"]
my_guess_positive = 0.05  # yours

# %% tags=["read"]
all_matches = [match_anchors(scene.anchors, scene.boxes) for scene in scenes]
kinds = torch.cat(all_matches)
positive, negative = (kinds >= 0).sum().item(), (kinds == -1).sum().item()
share = positive / (positive + negative)
print(f"{positive:,} positive, {negative:,} background, {(kinds == -2).sum():,} ignored anchors")
print(f"{share:.2%} of those that aren't ignored are positive; you guessed {my_guess_positive:.0%}")

# %% [markdown]
# A head that always says "background" would be right almost always. So a head that has learned nothing looks excellent, and the
# gradient comes nearly all from background. This detector's way out: in each image, only 256 anchors count, and up to half of
# them may be positive. (Others weight the anchors instead of sampling them: see the focal loss of RetinaNet.)
#
# ### Exercise 4.5 · `sample_balanced` · ●○○ · 10 min · explain only
#
# Sample at random with the generator that you're given, and nothing twice: `torch.randperm` shuffles. If there are fewer
# positives than their share, background fills up. The result is random, so the check tests what must hold for every sample.

# %%
recall("match_anchors")

# %%
# %%exercise sample_balanced
import torch
from torch import Tensor


def sample_balanced(
    matches: Tensor,
    batch_size_per_image: int,
    positive_fraction: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample some anchors at random, because nearly all of them are background.

    Args:
        matches: (N,) int64 from `match_anchors`: positive from 0 on, -1 background, -2 ignored.
            On any device.
        batch_size_per_image: the number of anchors to sample, at most.
        positive_fraction: the share of `batch_size_per_image` that may be positive, at most
            (rounded down). Negatives fill the rest.
        generator: the random generator to draw from, on the device of `matches`; by default torch's
            own. It goes on from call to call.

    Returns:
        Two 1-D int64 tensors on the device of `matches`: positions of the positive anchors, and of
        the negative ones.
    """
    ### BEGIN SOLUTION
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    num_pos = min(len(positives), int(batch_size_per_image * positive_fraction))
    num_neg = batch_size_per_image - num_pos
    device = matches.device
    drawn_pos = torch.randperm(len(positives), generator=generator, device=device)[:num_pos]
    drawn_neg = torch.randperm(len(negatives), generator=generator, device=device)[:num_neg]
    return positives[drawn_pos], negatives[drawn_neg]
    ### END SOLUTION


# %%

check("sample_balanced")

# %% [markdown]
# Now compare: 256 anchors drawn blindly, and 256 drawn with your function. Is half of your sample positive? Then **try a sample of
# 32**: change the number and run both cells again.

# %% tags=["write"]
batch_size_per_image = 256  # anchors that count in each scene

# %% tags=["read"]
generator = torch.Generator().manual_seed(0)
blind, balanced = [], []
for scene_matches in all_matches:
    counting = torch.where(scene_matches != -2)[0]
    drawn = counting[torch.randperm(len(counting), generator=generator)[:batch_size_per_image]]
    blind.append((scene_matches[drawn] >= 0).float().mean().item())
    yes, no = sample_balanced(scene_matches, batch_size_per_image, 0.5, generator)
    balanced.append(len(yes) / (len(yes) + len(no)))
empty = sum(value == 0 for value in blind)
print(f"drawn blindly, {empty} of {len(blind)} samples have no positive anchor at all")

# %% tags=["call"]
means = [sum(values) / len(values) for values in (blind, balanced)]
show.positive_shares({"all": share, "drawn blindly": means[0], "balanced": means[1]})

# %% [markdown]
# Far from half: a scene doesn't have that many positive anchors, and all of them are in the sample. But it's many times more than
# before, and every scene with a positive anchor now tells the head about it. With a smaller sample, the share grows; 256 is the
# number of this detector, not a law.

# %%
journal("04")

# %% [markdown]
# ## What could go wrong · 4 min
#
# - **"The loss falls, and nothing is found."** The head's map is flattened in another order than the anchors. Shapes can't tell
#   you; addresses can (4.2).
# - **"All my boxes are half a cell off."** The weights were trained with centers in the middle of the cells and are used with
#   centers on the corners, or the other way around. Both conventions exist.
# - **"The loss is nan after a few steps."** No cap in decoding, or a ground-truth box without width: its logarithm is minus
#   infinity. `clean_boxes` of lesson 01 drops such boxes.
# - **"Small objects are never learned."** Their best anchor is below 0.7, and low-quality matches are off. Or all anchors are too
#   large: draw the first picture of 4.3 for your data.
# - **"An image without objects crashes the training."** There is nothing to take a maximum of.
#
# ## What you learned
#
# Anchors are guesses, made before the network has seen anything. Their order must be the head's order, and no shape will tell you
# if it isn't. Matching gives each anchor an object, background, or nothing, and almost never leaves an object without an
# anchor. A box is encoded relative to its anchor: shifts in units of its sides, growth as a logarithm, capped. Nearly all
# anchors are background, so training uses a balanced sample.
#
# **Three questions to think about**
#
# <details><summary>1. Why not use twice as many anchors, and have a better match for every object?</summary>
#
# It would improve the matches, but there would be twice as many boxes to predict, match and hold in memory, and nearly all the
# new ones are background. The deltas correct a rough guess anyway.
#
# </details>
# <details><summary>2. The wrong order was bad even after training with it. Why couldn't dx and dy make up for it?</summary>
#
# They would have to predict how far it is from this cell to another one, and that depends on where the cell is. A convolution
# does the same everywhere, and the cell may not even see the object.
#
# </details>
# <details><summary>3. A head predicts dw = 0 and dh = 0 always, and the right shifts. What do its boxes look like?</summary>
#
# They are in the right place, with the size and shape of their anchors. Often that's an IoU of 0.5 or more already.
#
# </details>
#
# **Next: 05 · The RPN.** A small network slides over the pyramid and answers both questions at each of your anchors. You write
# it, and train it on today's matches.
#
# **Read on:** S. Ren et al., *Faster R-CNN*, 2015, sections 3.1.1 to 3.1.3 with equation 2 · T.-Y. Lin et al., *Focal Loss
# for Dense Object Detection*, 2017, section 3, on weighting instead of sampling · S. Zhang et al., *Bridging the Gap Between
# Anchor-based and Anchor-free Detection*, 2020, section 3, on how much the matching matters.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 150, of which 97 writing. `match_anchors` takes longest; if someone is stuck, let them fill in the table of 4.3
# first.
#
# **What people get wrong.** `make_anchors`: shape by shape or column by column; width over height; the area isn't kept; centers
# in the middle of the cells. `match_anchors`: a box that no anchor overlaps takes all of them; only one of two equal anchors
# matches; a best anchor is forced on a box although it overlaps another more; no box at all. `encode_boxes`, `decode_boxes`:
# right as a pair, each wrong alone; the cap before the weights. `sample_balanced`: ignored ones among the background; object 0
# left out (`> 0`).
#
# **Questions to ask.** Which of your tests would have noticed the wrong order? Why doesn't the recall of large objects notice?
# What would change without the ignored band? Is half of the sample positive, and if not, does it matter?
