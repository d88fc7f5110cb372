# %% [markdown]
# # 06 · RoI features
#
# **85 minutes · you need lessons 03 and 05 · no GPU needed**
#
# The RPN hands you some hundred boxes: *something is here*. Now somebody has to look into each of them and say **what** it
# is. That is the second stage of the detector, and this lesson writes its eyes: for each box a small patch of features, read
# from the right level of the pyramid, and a head that looks at the patch.
#
# When you are done, you can
#
# - read a feature map between its cells, and write RoIAlign as two matrix products,
# - say when that beats torchvision's C++, and when it loses badly,
# - read every box from its level and still give the patches back in the order of the boxes,
# - recognise the two bugs that leave the loss falling and the detector blind.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(6)

# %% [markdown]
# **Using an AI assistant here:** it may write, and you write the test. A patch of the wrong place looks like any other list
# of numbers, so the test is the harder part. Hints open with the button under a check, or with `hint("roi_align")`.
#
# ## 6.1 · What the head is given · 5 min
#
# Here is a scene with four of its boxes. To the right, what is inside: once in 28 × 28 values, so that you can recognise it,
# and once in **7 × 7**, which is what a head gets. The boxes differ in size and shape; the patches don't.

# %%
import torch
from matplotlib.figure import Figure

import coursekit.detector as course
from coursekit.data import load

train_set, val_set = load("mini", "train"), load("mini", "val")
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"


def sizes_of(boxes):
    """Side of the square that has the same area, in pixels."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()


def variety(sample):
    """How well a scene suits the picture: wide, several objects, of many sizes."""
    image, target = sample
    sizes = sizes_of(target["boxes"])
    is_wide = image.shape[2] > image.shape[1]
    return sizes.std().item() if is_wide and len(sizes) > 3 and sizes.min() > 16 else 0


image, target = max((train_set[i] for i in range(60)), key=variety)
order = sizes_of(target["boxes"]).argsort()
chosen = order[torch.linspace(0, len(order) - 1, 4).long()]  # from the smallest to the largest
boxes = target["boxes"][chosen]
names = [train_set.classes[label - 1] for label in target["labels"][chosen]]

fig = Figure(figsize=(9.6, 3.4), layout="constrained")
grid = fig.add_gridspec(2, 6)
show.draw_boxes(fig.add_subplot(grid[:, :2]), image, boxes, list("ABCD"), title="the boxes")
for row, output_size in enumerate((28, 7)):
    patches = course.roi_align(image.float(), boxes, 1.0, output_size)
    for column, patch in enumerate(patches):
        axes = fig.add_subplot(grid[row, 2 + column])
        axes.imshow(patch.permute(1, 2, 0) / 255)
        axes.set_title(f"{'ABCD'[column]}: {names[column]}" if row == 0 else "7 × 7", fontsize=9)
        axes.set_axis_off()
show.figure(
    fig,
    alt=f"A scene with four boxes ({', '.join(names)}), and each box's content as a square "
    "of 28 by 28 and of 7 by 7 values.",
)

# %% [markdown]
# Such a box is a **region of interest**, RoI for short, and its patch are its **RoI features**. In the picture we have read
# pixels. The detector reads the pyramid instead, where each cell holds a list of 96 numbers that know far more than a colour.
# The backbone has run already, once for all boxes: that is what made two-stage detectors fast (Girshick, *Fast R-CNN*, 2015).
#
# But a feature map is coarse. Where do these boxes lie on one with a stride of 8?

# %%
for letter, box in zip("ABCD", boxes):
    pixels = ", ".join(f"{value:5.1f}" for value in box.tolist())
    cells = ", ".join(f"{value:5.2f}" for value in (box / 8).tolist())
    print(f"{letter}   in pixels ({pixels})   in cells ({cells})")

# %% [markdown]
# Nowhere in particular: between the cells. So we must read the map *between* its cells.
#
# ## 6.2 · A row of tents · 25 min
#
# Before any box, one row of four cells, with the values 0, 10, 30, 20. Cell 0 has its value at position 0, cell 1 at position
# 1, and so on. **What is the value at position 1.25?** Say it before you run the cell.

# %%
row = torch.tensor([0.0, 10.0, 30.0, 20.0])
position = 1.25
distance = (position - torch.arange(4)).abs()
tent = (1 - distance).clamp(min=0)
print("weights ", tent.tolist())
print("value   ", (tent @ row).item())

# %% [markdown]
# Three quarters of cell 1, one quarter of cell 2: a quarter of the way from 10 to 30. The weights form a little **tent** over
# the position, one cell wide on either side. A tent and a dot product: that is linear interpolation.
#
# Now a box instead of a position. Along one axis it is cut into **bins**, 7 for a patch of 7 × 7. Each bin is read at a few
# **sampling points**, evenly spaced inside it, and takes their mean:
#
#     box edge   lo ├───────┬───────┬───────┤ hi        output_size = 3, sampling_ratio = 2
#     sampled at      ×   ×   ×   ×   ×   ×
#
# Each bin is thus a mean of tents: one row of weights, as long as the map. Seven bins make a matrix of seven rows.
#
# ### Exercise 6.1 · `axis_weights` · ●●○ · 15 min
#
# Write the function that makes those matrices, for many boxes at once. The docstring has two rules for odd cases. They are
# torchvision's, and you need them to agree with it: a **clamp** for narrow boxes, and what a point reads **outside the
# map**.

# %%
# %%exercise axis_weights
import torch
from torch import Tensor


def axis_weights(
    lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2
) -> Tensor:
    """Compute the interpolation weights of RoIAlign along one axis.

    Args:
        lo: (R,) float, the left (or top) edges of the boxes, in cells of the feature map.
        hi: (R,) float, the right (or bottom) edges.
        size: cells of the feature map along this axis. Cell i has its value at position i.
        output_size: bins along this axis: cells of the output patch.
        sampling_ratio: sampling points per bin, evenly spaced: one in the middle, two at 1/4 and
            3/4, and so on.

    Returns:
        (R, output_size, size), of the dtype of `lo`. A bin's row is the mean of its points' tents.
        The clamp: a box narrower than one cell counts as one cell wide, starting at `lo`.
        The border: a point up to one cell outside the map (-1 … size, both inclusive) reads the
        nearest cell of the border. A point further out reads 0: its weights are 0.

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
# Look at what you made. Each row of the picture is a bin, each column a cell of the map; the darker, the more it counts.
# **Move the sliders** (arrow keys work, too): what becomes of a very narrow box? Of one that leaves the map? Of a wide one
# with only one sampling point per bin?

# %%


def tents_of(left: float, width: float, sampling_ratio: int):
    lo, hi = torch.tensor([left]), torch.tensor([left + width])
    weights = axis_weights(lo, hi, 40, 7, sampling_ratio)[0]
    fig = Figure(figsize=(8.6, 2.9), layout="constrained")
    axes = fig.subplots()
    axes.imshow(
        weights, cmap="Blues", aspect="auto", vmin=0, vmax=1, extent=(-0.5, 39.5, 6.5, -0.5)
    )
    for edge in (left, left + width):
        axes.axvline(edge, color=VERMILION, linestyle="dashed")
    unread = int((weights[:, max(0, int(left) + 1) : max(0, int(left + width))].sum(0) == 0).sum())
    axes.set(xlabel="cell of the feature map", ylabel="bin of the patch", xlim=(-4, 44))
    axes.set_title(
        f"box from {left:g} to {left + width:g} (dashed): {unread} cells in it are never read",
        fontsize=9,
    )
    words = f"Weights of seven bins over 40 cells for a box from {left:g} to {left + width:g}"
    return fig, f"{words}; {unread} cells unread."


show.explore(
    tents_of,
    left=(-4.0, 40.0, 0.5, 2.0),
    width=(0.0, 40.0, 0.5, 34.0),
    sampling_ratio=(1, 4, 1, 2),
)

# %% [markdown]
# With a large box the tents stand apart, and cells between them are never read. So a large object on a fine level is seen
# through a sieve. That is one more reason to send it to a coarse one.
#
# ## 6.3 · Two products · 20 min
#
# The other axis is no different. A map $F$ of one channel has $H$ rows and $W$ columns; the tents along y fill a matrix $A_y$
# with 7 rows and $H$ columns, those along x a matrix $A_x$ with 7 rows and $W$ columns. A tiny example, with one bin each
# way:

# %%
small = torch.tensor([[0.0, 10.0, 30.0], [0.0, 20.0, 40.0]])  # 2 rows, 3 columns
a_y = torch.tensor([[0.5, 0.5]])  # half way between the rows
a_x = torch.tensor([[0.0, 0.75, 0.25]])  # a quarter of the way from column 1 to column 2
print(a_y @ small)
print(a_y @ small @ a_x.T)

# %% [markdown]
# First both rows become one, then the columns. So a whole patch is
#
# $$\text{patch} = A_y \; F \; A_x^\top$$
#
# with no loop over pixels. (He et al., *Mask R-CNN*, 2017, section 3, say it with four neighbours and a sum: the same sum,
# sorted.)
#
# ### Exercise 6.2 · `roi_align` · ●●○ · 15 min
#
# Do it for all boxes and all channels. Mind the order of the axes: the wrong one often has the right shape. The check feeds
# maps whose cells hold their own row and column, so a swap shows at once.

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
        features: (C, H, W) float, a level of one image.
        boxes: (R, 4) xyxy in pixels of the image, float. They must not be changed.
        spatial_scale: cells per pixel: 1/8 for a stride of 8.
        output_size: height and width of a patch, in bins.
        sampling_ratio: sampling points per bin, along each axis.

    Returns:
        (R, C, output_size, output_size), rows of the map before columns. It has the dtype of
        `features`, even if the boxes have another (in mixed precision they do).
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
# What was all that precision for? Before RoIAlign there was RoIPool, which **rounded** a box to whole cells. Let a box of 40
# pixels slide to the right, a pixel at a time, over a map whose cells hold their own position in pixels, and ask each patch
# where it is.

# %%
stride, width = 16, 20
places = (stride * torch.arange(width)).float().expand(1, 12, width)  # (1, H, W): x in pixels
start = torch.arange(64, 112).float()
sliding = torch.stack([start, 0 * start + 32, start + 40, 0 * start + 96], 1)
asked = start + 20
exact = roi_align(places, sliding, 1 / stride).mean((1, 2, 3))
rounded = roi_align(places, (sliding / stride).round(), 1.0).mean((1, 2, 3))

fig = Figure(figsize=(6.8, 3.2), layout="constrained")
axes = fig.subplots()
axes.plot(asked, rounded, color=ORANGE, linestyle="dashed", label="box rounded to whole cells")
axes.plot(asked, exact, color=BLUE, label="your roi_align")
axes.set(xlabel="centre of the box, in pixels", ylabel="centre that was read, in pixels")
axes.set_title("A box slides over a map with a stride of 16", fontsize=10)
axes.legend(fontsize=8)
show.figure(
    fig,
    alt="Centre read against centre asked: a straight line for roi_align, "
    "a staircase for the rounded box.",
)
print(f"largest error, rounded:    {(rounded - asked).abs().max().item():.1f} pixels")
print(f"largest error, roi_align:  {(exact - asked).abs().max().item():.1g} pixels")

# %% [markdown]
# A head that reads the staircase can't tell where in its step a box is, so it can't mend the box by less than that.
#
# torchvision has the same operation, written in C++. Yours should agree to the last few digits of float64. (In float32 both
# are right, and differ by their rounding.)

# %%
from torchvision import ops

torch.manual_seed(0)


def random_boxes(count, height, width):
    """(count, 4) xyxy in pixels of an image of height × width, 4 to 60 pixels a side."""
    corner = torch.rand(count, 2) * torch.tensor([width - 60.0, height - 60.0])
    return torch.cat([corner, corner + 56 * torch.rand(count, 2) + 4], 1)


some = random_boxes(128, 240, 320)
for dtype in (torch.float64, torch.float32):
    features, mine = torch.randn(96, 30, 40, dtype=dtype), some.to(dtype)
    theirs = ops.roi_align(features[None], [mine], 7, 1 / 8, 2)
    largest = (roi_align(features, mine, 1 / 8) - theirs).abs().max().item()
    print(f"{dtype!s:14} largest difference {largest:.0e}")

# %% [markdown]
# And who is faster, your few lines of Python or their C++? Count first. For one box and one channel, C++ multiplies at 7 · 7
# bins · 4 samples · 4 neighbours. You multiply every row of the map with every bin, mostly by zero.

# %%
print(f"torchvision's, on any map: {7 * 7 * 4 * 4} multiplications for a box and a channel")
for height, width in ((8, 10), (15, 20), (30, 40), (60, 80), (120, 160)):
    count = 7 * height * width + 7 * 7 * width
    print(f"yours, on {height:3} × {width:3}:    {count:8,}")

# %% [markdown]
# **Your bet:** on which of these maps is yours faster, in the forward pass, and with the backward pass as training needs it?
# Write it down, then run the cell.

# %%
import time


def seconds_of(align, height, width, backward):
    """The best of five, so that other programs on this machine count less."""
    features = torch.randn(96, height, width, requires_grad=backward)
    asked = random_boxes(128, 8 * height, 8 * width)
    taken = []
    for _ in range(6):  # the first one warms up
        begin = time.perf_counter()
        with torch.set_grad_enabled(backward):
            patches = align(features, asked)
        if backward:
            patches.square().sum().backward()
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])


MAPS = ((8, 10), (15, 20), (30, 40), (60, 80), (120, 160))
ALIGNS = {
    "yours": lambda features, asked: roi_align(features, asked, 1 / 8),
    "torchvision": lambda features, asked: ops.roi_align(features[None], [asked], 7, 1 / 8, 2),
}
measured = {}
for backward in (False, True):
    print("forward and backward" if backward else "forward alone")
    for height, width in MAPS:
        taken = [1e3 * seconds_of(one, height, width, backward) for one in ALIGNS.values()]
        measured[backward, height] = taken
        words = f"yours {taken[0]:6.1f} ms   torchvision {taken[1]:6.1f} ms"
        print(f"  {height:3} × {width:3}   {words}   ratio {taken[1] / taken[0]:5.2f}")

# %%
fig = Figure(figsize=(9.2, 3.4), layout="constrained")
cells = [height * width for height, width in MAPS]
for backward, axes in enumerate(fig.subplots(1, 2, sharey=True)):
    mine, theirs = zip(*(measured[bool(backward), height] for height, _ in MAPS))
    axes.loglog(cells, mine, "o-", color=BLUE, label="yours")
    axes.loglog(cells, theirs, "s--", color=ORANGE, label="torchvision")
    axes.set_xticks(cells, labels=[f"{height}×{width}" for height, width in MAPS], fontsize=8)
    axes.minorticks_off()
    axes.set(xlabel="cells of the map", ylabel="milliseconds for 128 boxes")
    axes.set_title("forward and backward" if backward else "forward alone", fontsize=10)
axes.legend(fontsize=8)
show.figure(
    fig,
    alt="Milliseconds over size of the map, yours and torchvision's, "
    "forward alone and with backward; printed above.",
)

# %% [markdown]
# A ratio above 1 means that yours is faster. With the backward pass it is on small maps, such as the pyramid of a 240 × 320
# picture has (30 × 40 and down), although it multiplies many times as much. Matrix products are what a processor does best, on
# all its cores; torchvision's backward pass on a CPU is a loop on one core that adds gradients to the map one number at a time.
# But your work grows with the map and theirs hardly does, so the lines cross (where, depends on your machine and on what else it
# is doing), and beyond that you lose badly. Forward alone there is little to win for you anywhere: their loop is slow on the way
# back only.
#
# So a good engineer keeps both. In training the course takes whichever is faster where it runs: once yours has passed its
# check, its compiled twin may stand in for it, because you have just proved them equal. (On a GPU it is always the compiled
# one.)
#
# ## 6.4 · The right level, the right order · 20 min
#
# A pyramid has three maps, and a batch several images. Your `level_for_box` of lesson 03 says which level a box reads. So you
# go level by level, and all patches of a level come at once. But then they come out **sorted by level**, and the head's
# answers will be compared with labels that are in the order of the *boxes*. An example with five boxes:
#
#     boxes             A large   B small   C medium   D small   E large
#     level by level    B  D  |  C  |  A  E
#     wanted            A  B  C  D  E
#
# How would you notice if the order were wrong? The shapes are right, every patch is a true patch of some box. Features that
# **know their place** tell you. Here each cell holds four numbers: its stride, its image, and its y and x in pixels.

# %%


def maps_of_places(strides, images, height=240, width=320):
    """(images, 4, height / stride, width / stride) for each stride: stride, image, y, x."""
    maps = []
    for stride in strides:
        y, x = torch.arange(0, height, stride), torch.arange(0, width, stride)
        y, x = torch.meshgrid(y.float(), x.float(), indexing="ij")
        each = [torch.stack([0 * y + stride, 0 * y + i, y, x]) for i in range(images)]
        maps.append(torch.stack(each))
    return maps


strides = [8, 16, 32]
known = maps_of_places(strides, images=2)
print([tuple(one.shape) for one in known])
print("one cell of the second level, second image:", known[1][1, :, 5, 7].tolist())

# %% [markdown]
# ### Exercise 6.3 · `pool_levels` · ●●○ · 15 min
#
# Write it: for each image and each level, the boxes that read there, their patches, and back into the order of the boxes. An
# image may have no box, and a whole batch may have none.

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
        levels: (B, C, H, W) float, finest first, all of one dtype.
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
# Where has each patch been? One dot a box: to the right the centre we asked for, upwards the one that its patch has read.
# Left with your function; right with the same patches left in the order in which the levels gave them.

# %%
from my_detector import level_for_box

batch = [val_set.target(i)["boxes"] for i in range(12)]
read = pool_levels(maps_of_places(strides, len(batch), 320, 320), strides, batch).mean((2, 3))
by_level = torch.cat(
    [
        level_for_box(one, 3, 5).argsort(stable=True) + sum(map(len, batch[:i]))
        for i, one in enumerate(batch)
    ]
)
asked = torch.cat([(one[:, 0] + one[:, 2]) / 2 for one in batch])

fig = Figure(figsize=(8.4, 3.7), layout="constrained")
for axes, centers, title in zip(
    fig.subplots(1, 2, sharey=True),
    (read, read[by_level]),
    ("in the order of the boxes", "left in the order of the levels"),
):
    for stride, mark, colour in ((8, "o", BLUE), (16, "s", ORANGE), (32, "^", GREEN)):
        mine = centers[:, 0] == stride
        axes.plot(
            asked[mine],
            centers[mine, 3],
            mark,
            color=colour,
            label=f"stride {stride}",
            markersize=5,
        )
    off = int(((centers[:, 3] - asked).abs() > 16).sum())
    axes.set(xlabel="x of the box's centre, in pixels")
    axes.set_title(f"{title}\n{off} of {len(asked)} patches are of another place", fontsize=9)
fig.axes[0].set_ylabel("x that the patch has read")
fig.axes[0].legend(fontsize=8)
show.figure(
    fig,
    alt="x read against x asked for, for all boxes of 12 scenes: "
    "on the diagonal with pool_levels; all over without its order.",
)

# %% [markdown]
# **Now write the test.** `catch` runs inputs of yours against wrong answers that people (and assistants) have given. The one
# below, two boxes in one image, lets several through. Which boxes would catch them all? Think of the order, of images, of
# strides.

# %%
two_boxes = torch.tensor([[40.0, 8.0, 200.0, 150.0], [8.0, 16.0, 28.0, 36.0]])  # large, small
catch("pool_levels", (maps_of_places(strides, images=1), strides, [two_boxes]))

# %% [markdown]
# ## 6.5 · The head · 10 min
#
# A patch of 96 × 7 × 7 numbers goes in, and two opinions come out: a score for every class and for "nothing here", the
# **background**, which is class 0; and four numbers that say how the box should be mended, as in lesson 04, **for each
# class**, since a giraffe's box is mended otherwise than a cat's.
#
#     patch ─► flatten ─► linear ─► ReLU ─► linear ─► ReLU ─┬─► linear ─► logits (R, K + 1)
#                                                           └─► linear ─► deltas (R, K + 1, 4)
#
# ### Exercise 6.4 · `BoxHead` · ●○○ · 10 min

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
            patches: (R, C, output_size, output_size) float. R may be 0.

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

# %% [markdown]
# Which of its layers has the most weights? **Guess**, then count.

# %%
head = BoxHead(96, len(train_set.classes))
for name, weights in head.named_parameters():
    if weights.ndim == 2:
        print(f"{name:18} {tuple(weights.shape)!s:14} {weights.numel():10,}")
print(f"{'all':33} {sum(one.numel() for one in head.parameters()):10,}")

# %% [markdown]
# Nearly all of it is the first layer: it has a weight for every channel at every place of the patch. That is what lets it
# know that wheels are *below*.
#
# ## 6.6 · What could go wrong · 5 min
#
# Two bugs, and both are quiet. Let us plant them, and train a head on each. We take the true boxes, read their patches from a
# pyramid that stays as random as it began (no matter: it is the same for all), and ask for the class. Three ways to read:
#
# - **right**: `pool_levels`,
# - **wrong order**: the same patches, sorted by level,
# - **scale left out**: pixels taken for cells.
#
# **Your prediction:** in which of them does the loss fall? And how many unseen objects will each name correctly, of 16
# classes?

# %%
from coursekit.lessons.experiments.cached_features import cache_features
from my_detector import FPN

torch.manual_seed(0)
train_cached = cache_features(train_set.head(quick(128, 8)))
val_cached = cache_features(val_set.head(quick(64, 8)))
pyramid = FPN(train_cached.channels, 64)


@torch.no_grad()
def patches_of(cached):
    """Patches of all true boxes, read in three ways, and the labels in the order of the boxes."""
    levels = pyramid([level.float() for level in cached.maps])
    boxes = [target["boxes"] for target in cached.targets]
    right = pool_levels(levels, cached.strides, boxes)
    counts = torch.tensor([0, *map(len, boxes)]).cumsum(0)
    order = [level_for_box(one, 3, 5).argsort(stable=True) + n for one, n in zip(boxes, counts)]
    unscaled = torch.cat([roi_align(one, some, 1.0) for one, some in zip(levels[0], boxes)])
    ways = {"right": right, "wrong order": right[torch.cat(order)], "scale left out": unscaled}
    return ways, torch.cat([target["labels"] for target in cached.targets])


seen, labels = patches_of(train_cached)
unseen, answers = patches_of(val_cached)
for way, patches in seen.items():
    empty = (patches == 0).flatten(1).all(1).float().mean().item()
    print(f"{way:15} {tuple(patches.shape)}   {empty:4.0%} of the patches are all zeros")

# %%
import torch.nn.functional as F
from tqdm.auto import tqdm


def train_head(patches, labels, epochs, seed=0):
    """Train the classes of a head. Returns it, and the loss of each step."""
    torch.manual_seed(seed)
    head, losses = BoxHead(patches.shape[1], len(train_set.classes)), []
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(patches)).split(32):
            loss = F.cross_entropy(head(patches[rows])[0], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return head, losses


curves, accuracy = {}, {}
for way in tqdm(seen, "three ways to read", unit="head"):
    head, curves[way] = train_head(seen[way], labels, quick(8, 2))
    with torch.no_grad():
        accuracy[way] = (head(unseen[way])[0].argmax(1) == answers).float().mean().item()

# %%
STYLES = {
    "right": (BLUE, "solid"),
    "wrong order": (ORANGE, "dashed"),
    "scale left out": (VERMILION, "dotted"),
}
fig = Figure(figsize=(9.2, 3.4), layout="constrained")
left, right = fig.subplots(1, 2)
for way, losses in curves.items():
    colour, line = STYLES[way]
    smooth = torch.tensor(losses).unfold(0, min(8, len(losses)), 1).mean(1)
    left.plot(smooth, color=colour, linestyle=line, linewidth=2, label=way)
left.set(
    xlabel="step",
    ylabel="loss, the mean of 8 steps",
    title="on the objects it was trained on",
    ylim=(0, None),
)
left.legend(fontsize=8)
bars = right.bar(
    list(accuracy), list(accuracy.values()), color=[STYLES[way][0] for way in accuracy]
)
right.bar_label(bars, [f"{value:.0%}" for value in accuracy.values()])
right.set(ylabel="named correctly", title="on objects it has not seen", ylim=(0, 1))
show.figure(
    fig,
    alt="Left the loss of three heads, right the share of unseen objects "
    "that each names correctly; printed below.",
)
common = torch.bincount(answers).max().item() / len(answers)
for way, losses in curves.items():
    end = sum(losses[-8:]) / len(losses[-8:])
    print(
        f"{way:15} loss {losses[0]:.2f} at first, {end:.2f} at the end;"
        f" named correctly {accuracy[way]:.0%}"
    )
print(f"{'':15} always the most common class: {common:.0%}")

# %% [markdown]
# Look at the **wrong order**. Its loss falls later, and then nearly as far as the right one's: the head has learned by heart
# which patch goes with which (wrong) label. On new objects it does no better than always saying the same class. Nothing in
# the loss told you. (With 118,000 images it could hardly learn them all by heart, and its loss would stay higher. But higher
# than what? You would have no blue line to compare with.) And with the **scale left out** nearly all patches are empty: the
# loss falls a little, because the head learns which classes are common.
#
# So ask a patch two things before you train on it: *is anything in it*, and *is it of the right place*. It has happened to
# others:
#
# - **"torch.max(rois) == 0, why?"** All patches zero
#   ([detectron2 #1840](https://github.com/facebookresearch/detectron2/issues/1840)), after the image had been resized.
#   Image, boxes and maps have to be in one frame.
# - **"When I change the order of the RoI features, mAP drops from 82.7 to 3.8."** Patches and boxes belong together by their
#   place in the list, and by nothing else
#   ([SELSA #8](https://github.com/happywu/Sequence-Level-Semantics-Aggregation/issues/8)).
# - **"Only the first patch is right, the rest are zeros."** Where all boxes stand in one table, each needs the number of its
#   image: once it had the wrong dtype ([RoIAlign.pytorch #25](https://github.com/longcw/RoIAlign.pytorch/issues/25)), once it
#   stood in the wrong column ([faster-rcnn.pytorch #647](https://github.com/jwyang/faster-rcnn.pytorch/issues/647)). A list
#   of boxes for each image can't go wrong in this way.
# - **Half a cell off.** With `aligned=True`, cell i has its value at i + 0.5. Both conventions live on
#   ([onnxruntime #6921](https://github.com/microsoft/onnxruntime/issues/6921)). A detector has to run with the one that it
#   was trained with.

# %%
journal("06")

# %% [markdown]
# ## What you learned
#
# A tent and a dot product read a row between its cells; two matrices of tents read a patch. Small maps favour products, large
# ones the C++ loop. Each box reads its level, and its patch goes back to its place. Features that know their place show what
# a loss never will.
#
# **Three questions to think about**
#
# <details><summary>1. Why 7 × 7, and not 28 × 28?</summary>
#
# The first layer would have 16 times as many weights, and they were most of the head already. For a class 7 × 7 is enough.
# Mask R-CNN takes 14 × 14 for its masks, where places matter more.
#
# </details>
# <details><summary>2. Do gradients flow through <code>roi_align</code> to the boxes?</summary>
#
# Yours would let them: the tents depend on the boxes. torchvision's gives none. The detector of lesson 07 wants none either:
# proposals are taken as given there, and mended by the deltas.
#
# </details>
# <details><summary>3. A test uses random features and two boxes. Which of the wrong answers in 6.4 pass it?</summary>
#
# Random features against the right values do catch a wrong order, but not one that is its own inverse: with two boxes,
# putting patches back by `places` and by the inverse of `places` is the same. Three boxes in a ring tell them apart.
#
# </details>
#
# **Next: 07 · The detector.** Anchors, RPN, pyramid, patches, head: all parts lie on the table. You put them together.
#
# **To read on:** K. He et al., *Mask R-CNN*, 2017, section 3 (RoIAlign) and table 2 (c) · R. Girshick, *Fast R-CNN*, 2015,
# section 2 · T.-Y. Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, section 4.2.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 85, of which 55 writing.
#
# **What people get wrong.** `axis_weights`: sampling points at the bins' edges rather than inside them; no clamp at the border. `roi_align`: rows and columns
# exchanged (the shape is right all the same), the scale left out. `pool_levels`: patches joined level by level, which is another order than that of
# the boxes. `BoxHead`: no class for the background.
#
# **Questions to ask.** Which test would you write first for `pool_levels`, and which mistake does it let through? Why does a large box read a coarse
# level? Where would you rather run torchvision's kernel, and how did you find out?
