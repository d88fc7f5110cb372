# %% [markdown]
# # 06 · RoI features
#
# **105 minutes, 3 of them for this opening · you need lessons 03 and 05 · no GPU needed**
#
# The RPN gives you some hundred boxes and says of each: *there is something here*. Now you have to look into each box and say
# **what** it is. That's the second stage of the detector. This lesson builds its eyes: for each box a small patch of features,
# read from the right level of the pyramid, and a head that looks at the patch.
#
# When you're done, you can
#
# - read a feature map between its cells, and write RoIAlign as two matrix products,
# - say when that is faster than torchvision's C++, and when it is much slower,
# - read each box from its own level and still return the patches in the order of the boxes,
# - recognize two bugs that let the loss fall and leave the detector blind.
#
# Terms that are new to you are in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import torch

import coursekit.show as show
from coursekit.data import load
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

train_set, val_set = load("mini", "train"), load("mini", "val")
lesson_map(6)

# %% [markdown]
# Stuck? The button below a check opens a hint. `hint("roi_align")` does the same.
#
# ## 6.1 · What the head sees · 4 min
#
# Here is a scene with four of its boxes. To the right is what's inside each box: first as 28 × 28 values, so that you can
# recognize it, then as **7 × 7**, which is what a head gets. The boxes differ in size and shape. The patches don't.

# %% tags=["call"]
from coursekit.lessons.experiments.choose_scenes import objects_of_many_sizes

image, boxes, names = objects_of_many_sizes(train_set, count=4)
show.patches(image, boxes, names, sizes=(28, 7))

# %% [markdown]
# Such a box is a **region of interest**, or RoI, and its patch holds its **RoI features**. In the picture we read pixels. The
# detector reads the pyramid, where each cell holds 96 numbers that say far more than a color does. The backbone runs once for
# the whole image, and all boxes share its maps. That's what made Fast R-CNN fast (Girshick, 2015).
#
# But feature maps are coarse. Where are these four boxes on a map with a stride of 8? Try 16 and 32, too.

# %% tags=["write"]
stride = 8  # pixels per cell; try 16 and 32
for name, box in zip(names, boxes / stride):
    print(f"{name:12}", [round(edge, 2) for edge in box.tolist()], "cells")

# %% [markdown]
# Most edges fall between cells. So we have to read the map *between* its cells.
#
# ## 6.2 · A row of tents · 27 min
#
# Start with one row of four cells that hold 0, 10, 30 and 20. Cell 0 has its value at position 0, cell 1 at position 1, and so
# on. What is the value at position 1.25? **Guess first.**

# %% tags=["write"]
my_guess = 10.0  # yours: the value at position 1.25

# %% tags=["read"]
row = torch.tensor([0.0, 10.0, 30.0, 20.0])  # (W,)
position = 1.25
weights = (1 - (position - torch.arange(4)).abs()).clamp(min=0)  # a tent, centered on position
print("weights", weights.tolist())
print("value  ", (weights @ row).item(), "   your guess", my_guess)

# %% [markdown]
# Three quarters of cell 1 and one quarter of cell 2: that's a quarter of the way from 10 to 30. Drawn over the row, the weights
# look like a **tent** over the position that reaches one cell to either side. A tent and a dot product: that is **linear
# interpolation**.
#
# Now take a box. Along one axis, we divide it into **bins**: 7 for a patch of 7 × 7. Each bin is read at a few **sampling points**,
# evenly spaced inside it, and returns their mean:
#
#     box edge   lo ├───────┬───────┬───────┤ hi        output_size = 3, sampling_ratio = 2
#     sampled at      ×   ×   ×   ×   ×   ×
#
# So each bin is a mean of tents: one row of weights, as long as the row of cells. Seven bins make a matrix with seven rows.
#
# ### Exercise 6.2 · `axis_weights` · ●●○ · 20 min · by hand
#
# Write the function that builds these matrices, for many boxes at once. The docstring has two rules for odd cases. They are
# torchvision's, and you'll want to agree with it: a **minimum width** for narrow boxes, and what a point **outside the map** reads.

# %%
# %%exercise axis_weights
import torch
from torch import Tensor


def axis_weights(
    lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2
) -> Tensor:
    """Compute the interpolation weights of RoIAlign along one axis.

    Args:
        lo: (R,) float, on any device: the left (or top) edges of the boxes, in cells of the feature map.
        hi: (R,) float, the right (or bottom) edges.
        size: cells of the feature map along this axis. Cell i has its value at position i.
        output_size: bins along this axis: cells of the output patch.
        sampling_ratio: sampling points per bin, evenly spaced: one in the middle, two at 1/4 and
            3/4, and so on.

    Returns:
        (R, output_size, size), of the dtype and on the device of `lo`. A bin's row is the mean of
        its points' tents.
        Minimum width: a box narrower than one cell counts as one cell wide, starting at `lo`.
        Border: a point up to one cell outside the map (-1 … size, both inclusive) reads the
        nearest cell of the border. A point farther out reads 0: its weights are 0.

    >>> axis_weights(
    ...     torch.tensor([0.0]), torch.tensor([2.0]), size=4, output_size=2, sampling_ratio=1
    ... )
    tensor([[[0.5000, 0.5000, 0.0000, 0.0000],
             [0.0000, 0.5000, 0.5000, 0.0000]]])
    """
    ### BEGIN SOLUTION
    bin_size = (hi - lo).clamp(min=1.0) / output_size  # (R,)
    steps = torch.arange(output_size * sampling_ratio, device=lo.device, dtype=lo.dtype)
    points = lo[:, None] + (steps + 0.5) / sampling_ratio * bin_size[:, None]  # (R, all points)
    on_map = (points >= -1) & (points <= size)
    cells = torch.arange(size, device=lo.device)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - cells).abs()).clamp(min=0)
    tents = tents * on_map[..., None]  # (R, all points, size)
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)
    ### END SOLUTION


# %%

check("axis_weights")

# %% [markdown]
# Look at your weights. Each row of the picture is a bin, each column a cell of the map. The darker a cell, the more it counts.
# **Move the sliders** (the arrow keys work, too). What happens to a very narrow box? To one that leaves the map? To a wide one
# with a single sampling point per bin?

# %% tags=["call"]
show.explore_axis_weights(axis_weights, size=40)

# %% [markdown]
# In a wide box the tents stand apart, and the cells between them are never read. On a fine level, a large object is seen
# through a sieve. That's one more reason to read it from a coarse level.
#
# ## 6.3 · Two matrix products · 24 min
#
# The other axis works the same way. A map $F$ of one channel has $H$ rows and $W$ columns. The tents along y form a matrix $A_y$
# with 7 rows and $H$ columns, those along x a matrix $A_x$ with 7 rows and $W$ columns. Here is a tiny example with one bin each
# way. **What do the two products return?** Work it out before you run the cell.

# %% tags=["read"]
small_map = torch.tensor([[0.0, 10.0, 30.0], [0.0, 20.0, 40.0]])  # 2 rows, 3 columns
a_y = torch.tensor([[0.5, 0.5]])  # halfway between the rows
a_x = torch.tensor([[0.0, 0.75, 0.25]])  # a quarter of the way from column 1 to column 2
print(a_y @ small_map)
print(a_y @ small_map @ a_x.T)

# %% [markdown]
# The first product turns two rows into one, the second three columns into one. So a whole patch is
#
# $$\text{patch} = A_y \; F \; A_x^\top$$
#
# Two matrix products, no loop over pixels. He et al. (*Mask R-CNN*, 2017, section 3) describe the same sum point by point:
# each sampling point is interpolated from its four neighbors.
#
# ### Exercise 6.3 · `roi_align` · ●●○ · 15 min · by hand
#
# Now for all boxes and all channels. Watch the order of the axes: the wrong one often has the right shape. The check uses maps
# whose cells hold their own row and column, so a swap shows at once.

# %%
recall("axis_weights")

# %%
# %%exercise roi_align
import torch
from torch import Tensor

from my_detector import axis_weights


def roi_align(
    features: Tensor,
    boxes: Tensor,
    spatial_scale: float,
    output_size: int = 7,
    sampling_ratio: int = 2,
) -> Tensor:
    """Read a patch of features for each box.

    Args:
        features: (C, H, W) float, on any device: a level of one image.
        boxes: (R, 4) xyxy in pixels of the image, float. They must not be changed.
        spatial_scale: cells per pixel: 1/8 for a stride of 8.
        output_size: height and width of a patch, in bins.
        sampling_ratio: sampling points per bin, along each axis.

    Returns:
        (R, C, output_size, output_size), rows of the map before columns. It has the dtype of
        `features`, even if the boxes have another.
    """
    ### BEGIN SOLUTION
    _, height, width = features.shape
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)  # in cells
    w_y = axis_weights(y1, y2, height, output_size, sampling_ratio).to(features)  # (R, bins, H)
    w_x = axis_weights(x1, x2, width, output_size, sampling_ratio).to(features)  # (R, bins, W)
    rows = torch.einsum("rph,chw->rpcw", w_y, features)
    return torch.einsum("rpcw,rqw->rcpq", rows, w_x)
    ### END SOLUTION


# %%

check("roi_align")

# %% [markdown]
# Was all that precision worth it? Before RoIAlign there was RoIPool, which **rounded** a box to whole cells. Let a box that is 40
# pixels wide slide to the right, one pixel at a time, over a map whose cells hold their own position in pixels. The mean of a patch
# then says where it was read. **Predict the shape of both curves** ([the experiment](../src/coursekit/lessons/experiments/sliding_box.py)).

# %% tags=["read"]
from coursekit.lessons.experiments.sliding_box import slide_box


def round_to_cells(features, boxes, spatial_scale):
    """Round the boxes to whole cells before reading, as RoIPool did."""
    return roi_align(features, (boxes * spatial_scale).round(), 1.0)


# %% tags=["write"]
map_stride = 16  # yours: try 8 and 32
show.sliding_box(
    *slide_box({"roi_align": roi_align, "rounded to whole cells": round_to_cells}, map_stride)
)

# %% [markdown]
# A head that reads the staircase can't tell where on a step the box is. So it can't correct the box by less than a step. How high are the
# steps? Left and right edge are rounded separately. At a stride of 8, the box is 5 cells wide, and both edges jump at once, by a cell: 8
# pixels. At 16 it's 2.5 cells wide. The edges jump in turn, and each time the center moves by half a cell: 8 pixels again. At 32, half a
# cell is 16 pixels.
#
# torchvision has the same operation, written in C++. Yours should agree with it to the last digits of float64. In float32 both
# are right and differ by their rounding.

# %% tags=["read"]
from torchvision import ops

from coursekit.lessons.experiments.align_times import random_boxes, time_alignments


def torchvision_align(features, boxes, spatial_scale):
    """Read patches with torchvision's C++ kernel."""
    return ops.roi_align(features[None], [boxes], 7, spatial_scale, 2)


features, some_boxes = torch.randn(96, 30, 40, dtype=torch.float64), random_boxes(128, 240, 320)
for dtype in (torch.float64, torch.float32):
    arguments = features.to(dtype), some_boxes.to(dtype), 1 / 8
    largest = (roi_align(*arguments) - torchvision_align(*arguments)).abs().max().item()
    print(f"{dtype!s:14} largest difference {largest:.0e}")

# %% [markdown]
# And which is faster, your few lines of Python or their C++? Count first. For one box and one channel, theirs multiplies at
# 7 · 7 bins × 4 points × 4 neighbors. Yours multiplies each bin with every row of the map, mostly by zero.

# %% tags=["read"]
MAPS = ((8, 10), (15, 20), (30, 40), (60, 80), (120, 160))  # (height, width) in cells
print("theirs, on any map:", 7 * 7 * 4 * 4, "multiplications for a box and a channel")
for height, width in MAPS:
    print(f"yours, on {height:3} × {width:3}: {7 * height * width + 7 * 7 * width:8,}")

# %% [markdown]
# **Place your bet:** on how many of these five maps is yours faster? Once in the forward pass alone, and once with the backward pass
# that training needs. ([How it is timed](../src/coursekit/lessons/experiments/align_times.py).)

# %% tags=["write"]
my_bet = {"forward": 0, "forward and backward": 0}  # yours: 0 to 5 maps

# %% tags=["call"]
times = time_alignments({"yours": roi_align, "torchvision": torchvision_align}, MAPS)
print("your bet:", my_bet)
for name, milliseconds in times.items():
    show.times(
        [height * width for height, width in MAPS], milliseconds, f"cells of the map ({name})"
    )

# %% [markdown]
# In the table, a ratio above 1 means that yours is faster. It usually is on small maps, although it multiplies more. Matrix products
# are what a processor does best. torchvision's CPU kernels are plain loops on one core, and the backward loop is the slower of the two:
# it adds gradients to the map one number at a time. That's why yours stays ahead up to larger maps when the backward pass counts.
#
# But your work grows with the map, and theirs hardly does. So the lines cross (where, depends on your machine), and on the largest map
# yours is far behind. A 240 × 320 image has maps of 30 × 40 cells and smaller.
#
# A good engineer keeps both. Once yours has passed its check, training uses whichever is faster on the machine, because you've just
# shown that they're equal. On a GPU that's always torchvision's.
#
# ## 6.4 · The right level, the right order · 25 min
#
# A pyramid has three maps, and a batch has several images. Your `level_for_box` from lesson 03 says which level a box reads. Going
# level by level, you can read all patches of a level at once. But then they come out **sorted by level**, while the labels that the
# head's answers are compared with are in the order of the *boxes*. Take five boxes:
#
#     boxes             A large   B small   C medium   D small   E large
#     level by level    B  D  |  C  |  A  E
#     wanted            A  B  C  D  E
#
# How would you notice a wrong order? The shapes are right, and each patch is a proper patch of some box. You need features that
# **know their place**. Below, each cell holds four numbers: its stride, its image, and its y and x in pixels. **Which four numbers
# will the last line print?**

# %% tags=["read"]
strides = [8, 16, 32]


def maps_of_places(images, height=320, width=320):
    """Make maps whose cells hold (stride, image, y, x): (images, 4, height / stride, width / stride) each."""
    maps = []
    for of_level in strides:
        y, x = torch.arange(0.0, height, of_level), torch.arange(0.0, width, of_level)
        y, x = torch.meshgrid(y, x, indexing="ij")
        maps.append(
            torch.stack([torch.stack([0 * y + of_level, 0 * y + i, y, x]) for i in range(images)])
        )
    return maps


print(maps_of_places(images=2)[1][1, :, 5, 7].tolist())  # the second level, the second image

# %% [markdown]
# ### Exercise 6.4 · `pool_levels` · ●●○ · 20 min · explain only
#
# For each image and each level: find the boxes that read this level, read their patches, and put them back into the order of the
# boxes. An image may have no boxes, and neither may a whole batch.

# %%
recall("level_for_box", "roi_align")

# %%
# %%exercise pool_levels
import torch
from torch import Tensor

from my_detector import level_for_box, roi_align


def pool_levels(
    levels: list[Tensor], strides: list[int], boxes: list[Tensor], canonical_scale: float = 64
) -> Tensor:
    """Read a patch of features for each box, from the level that suits its size.

    Args:
        levels: (B, C, H, W) float, finest first, all of one dtype, on any device.
        strides: pixels per cell of each level, each twice the one before. Level k has a stride of
            2^k.
        boxes: (R_i, 4) xyxy in pixels, for each of the B images. R_i may be 0.
        canonical_scale: as in `level_for_box`.

    Returns:
        (R, C, 7, 7), where R is the sum of R_i: image after image, in the order of the boxes.
    """
    ### BEGIN SOLUTION
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    num_boxes = sum(len(image_boxes) for image_boxes in boxes)
    patches = levels[0].new_zeros(num_boxes, levels[0].shape[1], 7, 7)
    start = 0
    for image, image_boxes in enumerate(boxes):
        level_of = level_for_box(image_boxes, finest, coarsest, canonical_scale)
        for level, (features, stride) in enumerate(zip(levels, strides), finest):
            on_level = torch.where(level_of == level)[0]
            pooled = roi_align(features[image], image_boxes[on_level], 1 / stride)
            patches[start + on_level] = pooled
        start += len(image_boxes)
    return patches
    ### END SOLUTION


# %%

check("pool_levels")

# %% [markdown]
# Where was each patch read? Below is the bug on purpose: the same patches, left in the order in which the levels returned them.

# %% tags=["read"]
from my_detector import level_for_box


def leave_by_level(levels, strides, boxes):
    """Read the right patches, and leave those of each image sorted by level."""
    level_of = [level_for_box(in_image, 3, 5) + 10 * i for i, in_image in enumerate(boxes)]
    return pool_levels(levels, strides, boxes)[torch.cat(level_of).argsort(stable=True)]


# %% [markdown]
# Each dot is a patch. Horizontally: x of the center that we asked for. Vertically: x that was read.

# %% tags=["call"]
in_images = [val_set.target(i)["boxes"] for i in range(12)]
ways = {"in the order of the boxes": pool_levels, "left in the order of the levels": leave_by_level}
known = maps_of_places(len(in_images)), strides, in_images
show.places_read(in_images, {name: pool(*known).mean((2, 3)) for name, pool in ways.items()})

# %% [markdown]
# **Now write the test.** `catch` runs your inputs against wrong answers that people (and assistants) have given. The input below, two
# boxes in one image, lets many of them through. Which boxes would catch them all? Think of the order, of several images, of other
# strides.

# %% tags=["write"]
two_boxes = torch.tensor([[40.0, 8.0, 200.0, 150.0], [8.0, 16.0, 28.0, 36.0]])  # large, small
catch("pool_levels", (maps_of_places(images=1), strides, [two_boxes]))  # yours: more inputs

# %% [markdown]
# ## 6.5 · The head · 12 min
#
# A patch of 96 × 7 × 7 numbers goes in, and two predictions come out. The first is a logit for each class and for "nothing here", the
# **background**, which is class 0. The second is four deltas that move the box onto the object, as in lesson 04. There are four **for
# each class**, because a giraffe's box needs other corrections than a cat's.
#
#     patch ─► flatten ─► linear ─► ReLU ─► linear ─► ReLU ─┬─► linear ─► logits (R, K + 1)
#                                                           └─► linear ─► deltas (R, K + 1, 4)
#
# ### Exercise 6.5 · `BoxHead` · ●○○ · 10 min · explain only
#
# Define the four layers, and run a patch through them. **Which layer has the most weights?** Guess before you write.

# %%
# %%exercise BoxHead
from torch import Tensor, nn


class BoxHead(nn.Module):
    """Predict a class and a box for each RoI: two hidden layers, then two sibling output layers.

    Args:
        channels: C, channels of a patch.
        num_classes: K, without the background, which is class 0.
        hidden: width of both hidden layers.
        output_size: height and width of a patch, in bins.

    All four layers are linear, with a bias. A ReLU follows each hidden layer.
    """

    def __init__(
        self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.first = nn.Linear(channels * output_size * output_size, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))
        ### END SOLUTION

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Turn patches into the logits of the classes, and deltas for each class.

        Args:
            patches: (R, C, output_size, output_size) float, on any device: that of the weights. R may be 0.

        Returns:
            class_logits (R, K + 1), without a softmax, and box_deltas (R, K + 1, 4). Numbers 4k to
            4k + 3 of the deltas' layer belong to class k.
        """
        ### BEGIN SOLUTION
        x = self.first(patches.flatten(1)).relu()
        x = self.second(x).relu()  # (R, hidden)
        class_logits = self.classes(x)
        return class_logits, self.deltas(x).view(*class_logits.shape, 4)
        ### END SOLUTION


# %%

check("BoxHead")

# %% tags=["read"]
head = BoxHead(96, len(train_set.classes))
for name, weights in head.named_parameters():
    if weights.ndim == 2:
        print(f"{name:16} {tuple(weights.shape)!s:12} {weights.numel():10,}")

# %% [markdown]
# Nearly all of them are in the first layer. It has a weight for each channel at each place of the patch. That's how the head can know
# that wheels are *below*.

# %%
journal("06")

# %% [markdown]
# ## 6.6 · What could go wrong · 6 min
#
# Two bugs, both quiet. Plant them, and train a head on each way of reading. We read the patches of the ground-truth boxes from a
# pyramid with random weights (which is the same for all three), and train the head to name the class:
#
# - **right**: `pool_levels`,
# - **wrong order**: `leave_by_level`, from above,
# - **scale left out**: pixels are used as cells.
#
# **Your prediction:** on which of them does the loss fall? And what share of new objects will each head name correctly, of 16 classes?
# ([How the heads are trained](../src/coursekit/lessons/experiments/box_heads.py).)

# %% tags=["write"]
my_guesses = {"right": 0.5, "wrong order": 0.5, "scale left out": 0.5}  # yours: named correctly

# %% tags=["read"]
from coursekit.lessons.experiments.box_heads import train_heads
from coursekit.lessons.experiments.cached_features import cache_features
from my_detector import FPN


def leave_scale_out(levels, strides, boxes):
    """Use pixels as cells: the scale is 1 where it should be 1 / stride."""
    return torch.cat(
        [roi_align(features, in_image, 1.0) for features, in_image in zip(levels[0], boxes)]
    )


readings = {"right": pool_levels, "wrong order": leave_by_level, "scale left out": leave_scale_out}
cached = [
    cache_features(train_set.head(quick(128, 40))),
    cache_features(val_set.head(quick(64, 24))),
]

# %% tags=["call"]
torch.manual_seed(0)
pyramid = FPN(cached[0].channels, 64)
trained = train_heads(
    readings, lambda: BoxHead(64, len(train_set.classes)), pyramid, *cached, epochs=8
)
show.heads(trained)
print("your guesses:", my_guesses)

# %% [markdown]
# Look at the **wrong order**. Its loss falls later, but it falls: the head has memorized which patch goes with which (wrong) label. On
# new objects it does about as badly as always naming one class. Nothing in the loss told you. With 118,000 images it could hardly
# memorize them all, and the loss would stay higher. But higher than what? You'd have no blue line to compare it with.
#
# With the **scale left out**, nearly all patches are empty. The loss still falls a little, because the head learns which classes are
# common.
#
# So ask two things of a patch before you train on it: *is anything in it*, and *is it from the right place?* It has happened to
# others:
#
# - **"torch.max(rois) == 0, why?"** All features are zero, after somebody had resized the image
#   ([detectron2 #1840](https://github.com/facebookresearch/detectron2/issues/1840)). Image, boxes and maps must use the same pixels.
# - **mAP drops from 82.7 to 3.8** when somebody changes the order of the RoI features at test time
#   ([SELSA #8](https://github.com/happywu/Sequence-Level-Semantics-Aggregation/issues/8)). Patches and boxes belong together by their
#   position in the list, and by nothing else.
# - **Only the first patch is right, the others are zeros.** Where the boxes of all images are in one table, each needs the number of
#   its image. Once that number had the wrong dtype ([RoIAlign.pytorch #25](https://github.com/longcw/RoIAlign.pytorch/issues/25)), once
#   it was in the last column instead of the first ([faster-rcnn.pytorch #647](https://github.com/jwyang/faster-rcnn.pytorch/issues/647)).
#   A list with the boxes of each image can't go wrong like this.
# - **Half a cell off.** With torchvision's `aligned=True`, cell i has its value at i + 0.5. Both conventions are in use
#   ([onnxruntime #6921](https://github.com/microsoft/onnxruntime/issues/6921)). Run a detector with the one that it was trained with.
#
# ## What you learned · 4 min
#
# A tent and a dot product read a row between its cells. Two matrices of tents read a patch. Small maps favor matrix products, large
# ones favor the C++ loop. Each box reads its own level, and its patch goes back to its place. Features that know their place show you
# what a loss never will.
#
# **Three questions to think about**
#
# <details><summary>1. Why 7 × 7, and not 28 × 28?</summary>
#
# The first layer would have 16 times as many weights, and it has most of the head's weights already. To name a class, 7 × 7 is enough.
# For masks, where the exact place matters more, Mask R-CNN reads 14 × 14.
#
# </details>
# <details><summary>2. Do gradients flow through <code>roi_align</code> to the boxes?</summary>
#
# Yours lets them through: the tents depend on the boxes. torchvision's returns none for the boxes. The detector of lesson 07 doesn't
# want any: there, proposals are fixed inputs of the second stage, and the deltas correct them.
#
# </details>
# <details><summary>3. A test uses random features and two boxes. Which wrong <code>pool_levels</code> pass it?</summary>
#
# A wrong order usually shows with random features. But say the patches are put back with the order in which they were read, where it
# should be the inverse of that order. With two boxes, both are the same. With three boxes that change places in a circle, they aren't.
#
# </details>
#
# **Next: 07 · The detector.** Anchors, RPN, pyramid, patches, head: you have all the parts. Put them together.
#
# **Read on:** K. He et al., *Mask R-CNN*, 2017, section 3 (RoIAlign) and table 2c · R. Girshick, *Fast R-CNN*, 2015, section 2 ·
# T.-Y. Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, section 4.2.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 105, of which 65 writing.
#
# **What people get wrong.** `axis_weights`: sampling points at the edges of the bins instead of inside them; no border rule. `roi_align`:
# rows and columns swapped (the shape is right all the same), the scale left out. `pool_levels`: patches joined level by level, which isn't
# the order of the boxes. `BoxHead`: no class for the background.
#
# **Questions to ask.** Which test would you write first for `pool_levels`, and which mistake does it let through? Why does a large box read a
# coarse level? Where would you rather run torchvision's kernel, and how did you find out?
