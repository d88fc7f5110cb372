# %% [markdown]
# # 04 · Anchors
#
# **115 minutes, 3 of them for this opening · you need lessons 00 and 03 · no GPU needed**
#
# A network can't say "three boxes" for one picture and "eleven" for the next. It says a fixed number of numbers at each cell of
# its maps. So we turn the question round. Before it has seen anything, we lay thousands of boxes over the picture, the
# **anchors**, and ask at each: is there an object about here, and how does its box differ from this one? A box is two corners.
# An anchor is a guess.
#
# When you are done, you can
#
# - lay anchors over a picture, in the order in which the network speaks of them, and say what a wrong order does,
# - decide which anchor is responsible for which object, in all the awkward cases,
# - say a box relative to an anchor, and read it back,
# - draw a sample that isn't drowned by background.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, examine, hint, journal, lesson_map, quick, reference

lesson_map(4)

# %% [markdown]
# **Using an AI assistant here:** it may explain, you write. Hints open with the button under a check, or with
# `hint("make_anchors")`.
#
# First the data, and a few small tools for this lesson: the sizes of anchors for a level, its cells, and a pen.

# %%
import os

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from coursekit import detector as course
from coursekit.data import load

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
STRIDES, RATIOS = (8, 16, 32), (0.5, 1.0, 2.0)


def sizes_for(stride):
    """Three sizes for a level, in pixels."""
    return [1.5 * stride, 2.5 * stride, 4.0 * stride]


def cells(image, stride):
    """Rows and columns of a level, rounded up."""
    return -(-image.shape[1] // stride), -(-image.shape[2] // stride)


def outline(axes, boxes, colour, style="solid", width=1.5):
    for x1, y1, x2, y2 in boxes.tolist():
        kind = {"edgecolor": colour, "linestyle": style, "linewidth": width, "fill": False}
        halo = [withStroke(linewidth=width + 1.2, foreground="white")]
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, path_effects=halo, **kind))


def sides_of(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()


# %% [markdown]
# Here is where you are going, made with the course's parts. Left, the nine guesses of a single cell. All cells of the three
# levels have such guesses. Right, those few that the rules of this lesson call "an object". (What has no box is none of the
# classes.)


# %%
def variety(one):
    """How many sizes there are in a scene without a huge object."""
    ones = sides_of(one[1]["boxes"]).int().tolist()
    return len(set(ones)) if ones and max(ones) < 110 else 0


some = [train_set[i] for i in range(60)]
wide = [one for one in some if one[0].shape[1:] == (240, 320)] or some
image, target = max(wide, key=variety)
boxes = target["boxes"]

parts = [course.make_anchors(cells(image, s), (s, s), sizes_for(s), RATIOS) for s in STRIDES]
guesses = torch.cat(parts)
good = guesses[course.match_anchors(guesses, boxes) >= 0]
rows, columns = cells(image, 16)
first = 9 * (rows // 2 * columns + columns // 2)

fig = Figure(figsize=(9.4, 3.7), layout="constrained")
left, right = fig.subplots(1, 2)
for axes in (left, right):
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
outline(left, parts[1][first : first + 9], "#D55E00")
left.set_title("one cell of the middle level: 9 guesses", fontsize=9)
outline(right, boxes, "#009E73", width=2.8)
outline(right, good, "#0072B2", "dashed", 1.0)
words = f"{len(good)} of {len(guesses):,} are good for {len(boxes)} objects (thick)"
right.set_title(words, fontsize=9)
show.figure(
    fig, alt=f"A scene twice: with nine boxes about one point; and with its objects, {words}."
)

# %% [markdown]
# ## 4.1 · A box at every cell · 30 min
#
# A shape is given by two numbers: its **size**, √area in pixels, and its **ratio**, height over width. A tall shape shall have
# the same area as a flat one, or size and ratio would mix.
#
# On paper, before you run the cell: size 32, ratio 4. How high is it, how wide? (Two equations: height / width = 4, height ·
# width = 32².)

# %%
for height, width in [(32, 32), (64, 16), (16, 64)]:
    print(
        f"{height} high, {width} wide:   ratio {height / width:4}, √area {(height * width) ** 0.5:g}"
    )

# %% [markdown]
# Then each shape goes to each cell. The centre of a cell's anchors moves by one **stride** from cell to cell. Where does the
# first lie? Here: on the pixel (0, 0), the picture's corner. That is torchvision's rule. Others begin half a stride further, in
# the middle of the cell. Both work, as long as everybody means the same.
#
# Two tools. `meshgrid` gives each cell its row and its column; a new axis, as in `box_iou`, adds all shapes to all cells.

# %%
down, across = torch.meshgrid(torch.tensor([0, 8]), torch.tensor([0, 8, 16]), indexing="ij")
print("down\n", down, "\nacross\n", across)
print((torch.zeros(2, 3, 1, 4) + torch.zeros(9, 4)).shape, "= rows, columns, shapes, corners")

# %% [markdown]
# ### Exercise 4.1 · `make_anchors` · ●●○ · 25 min
#
# The result is one long list, and its **order** is half of the task: row by row; in a row, cell by cell; in a cell, ratio by
# ratio; in a ratio, size by size. Four loops, the last one counts fastest. (You need no loop at all.)
#
# Corners are rounded to whole pixels before they go to the cells: `torch.round` of minus and plus half a side.

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
# **Guess:** how many anchors have the three levels of a 320 × 240 picture? (Cells times nine.)

# %%
my_guess = 1000  # yours


def anchors_for(image):
    each = [make_anchors(cells(image, s), (s, s), sizes_for(s), RATIOS) for s in STRIDES]
    return torch.cat(each)


counts = [9 * cells(image, s)[0] * cells(image, s)[1] for s in STRIDES]
anchors = anchors_for(image)
print(
    "strides 8, 16, 32:", " + ".join(map(str, counts)), f"= {len(anchors):,}; you said {my_guess:,}"
)

# %% [markdown]
# Three of four are on the finest level. torchvision makes anchors, too. Are they the same, in the same order?

# %%
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

generator = AnchorGenerator([tuple(sizes_for(s)) for s in STRIDES], [RATIOS] * 3)
paper = torch.zeros(3, 256, 320)  # it wants sides that every stride divides
maps = [torch.zeros(1, 1, *cells(paper, s)) for s in STRIDES]
theirs = generator(ImageList(paper[None], [(256, 320)]), maps)[0]
print(f"{len(theirs):,} anchors of theirs, {len(anchors_for(paper)):,} of yours")
print("largest difference:", (theirs - anchors_for(paper)).abs().max().item())

# %% [markdown]
# ## 4.2 · The order, and what it does · 5 min
#
# The network does not give a list. A convolution gives a map (A, H, W): for each *shape* a plane of cells. Somebody has to turn
# that into a list, in just the order of your anchors. Nothing in PyTorch checks it.
#
# So let us ask a head that is never wrong. At each anchor of the middle level it says that anchor's true IoU with the nearest
# object. We flatten its map in one of six orders, take the twelve surest, and draw the anchors that stand at those places.
# **Move the slider.** Which order is right? Find it with the picture, then say why.

# %%
from itertools import permutations

from my_detector import box_iou

grid = cells(image, 16)
level = make_anchors(grid, (16, 16), sizes_for(16), RATIOS)
true_iou = box_iou(level, boxes).amax(1)  # (H * W * A,)
pred_iou = true_iou.reshape(*grid, 9).permute(2, 0, 1)  # (A, H, W), as a convolution gives it
orders = list(permutations(range(3)))


def draw(order):
    top = pred_iou.permute(orders[order]).flatten().topk(12)
    fig = Figure(figsize=(5.6, 4.5), layout="constrained")
    axes = fig.subplots()
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    outline(axes, boxes, "#009E73", width=2.8)
    outline(axes, level[top.indices], "#D55E00", "dashed")
    pred, true = top.values.mean().item(), true_iou[top.indices].mean().item()
    names = ", ".join("AHW"[axis] for axis in orders[order])
    words = f"order ({names}): IoU predicted {pred:.2f}, true {true:.2f}"
    axes.set_title(f"{words}\nobjects thick, the 12 surest anchors dashed", fontsize=9)
    return fig, f"A scene with its objects and twelve anchors; {words}."


show.explore(draw, order=(0, 5, 1, 0))

# %% [markdown]
# In five of six orders the head is sure of boxes that lie somewhere else. It was never wrong; we were. Would a check notice?
#
# Not every check. A university course (EECS 498 at Michigan, assignment 4) hands out a two-stage detector to be completed, with
# checks. In one public solution locations and labels disagreed in their order; the check let it pass, and it scored **0.60 % mAP**. With the order mended it
# had **37.75 %**. Here are two lenient checks, and a strict one: a head that **says its own address**, "shape 3, row 5, column
# 11". Then each anchor must be the one at that address.

# %%
shapes, height, width = pred_iou.shape
axis_places = map(torch.arange, pred_iou.shape)
address = torch.stack(torch.meshgrid(*axis_places, indexing="ij"))  # (3, A, H, W)
centers, sides = (level[:, :2] + level[:, 2:]) / 2, level[:, 2:] - level[:, :2]
print("order     same shape   same numbers   anchors at the address that the head said")
for order in orders:
    flat = pred_iou.permute(order).flatten()
    shape, row, column = (one.permute(order).flatten() for one in address)
    home = (centers == 16 * torch.stack([column, row], 1)).all(1) & (sides == sides[shape]).all(1)
    same_shape, same = flat.shape == true_iou.shape, torch.equal(flat.sort()[0], true_iou.sort()[0])
    names = ", ".join("AHW"[axis] for axis in order)
    print(f"{names:9} {same_shape!s:12} {same!s:14} {home.float().mean():.1%}")

# %% [markdown]
# Shape and numbers are alike in all six. Only the address tells them apart. Keep the trick: *data that say where they come
# from*. You will need it again in lesson 06.
#
# But a network learns. Could it not learn to live with a wrong order? Try it: three small detectors on kept features (as in
# lesson 03), alike but for one thing. The second is trained *and* tested with anchors that run column by column, the third with
# all cells of one shape before those of the next. The maps are square here, so not even a size gives it away. **What will their
# AP50 be?** Some 25 seconds.

# %%
from coursekit.evaluation.coco import run_engine
from coursekit.lessons.experiments.side_by_side import side_by_side
from coursekit.lessons.experiments.cached_features import (
    detector_on,
    cache_features,
    predict_on,
    recall_by_size,
    train_on,
)

my_guess = 0.1  # yours
seen = cache_features(train_set.head(quick(96, 8)))
unseen = cache_features(val_set.head(quick(48, 8)))


def by_columns(grid, stride, sizes, ratios):
    """The same anchors, but the cells come column by column."""
    rows = make_anchors(grid, stride, sizes, ratios).reshape(*grid, -1, 4)
    return rows.transpose(0, 1).reshape(-1, 4)


def by_shapes(grid, stride, sizes, ratios):
    """The same anchors, but all cells of a shape stand together: a forgotten `permute`."""
    rows = make_anchors(grid, stride, sizes, ratios).reshape(grid[0] * grid[1], -1, 4)
    return rows.transpose(0, 1).reshape(-1, 4)


def new_detector(maker):
    torch.manual_seed(0)
    neck, sizes = course.FPN(seen.channels, 32), [[14, 24], [36, 60], [90, 140]]
    return detector_on(seen, neck, 32, sizes, parts={"make_anchors": maker})


def one_run(detector):
    train_on(detector, seen, quick(6, 1))
    proposals, results = predict_on(detector, unseen)
    recall = recall_by_size(proposals, unseen.targets, (0, 32, 96, 10000))
    precision = run_engine(results, unseen.dataset).precision[0, :, :, 0, -1]  # (101, classes)
    return precision[precision > -1].mean().item(), *recall


makers = {"row by row": make_anchors, "column by column": by_columns, "shape by shape": by_shapes}
detectors = [new_detector(maker) for maker in makers.values()]
trained = dict(zip(makers, side_by_side(one_run, detectors)))
coarse = make_anchors((10, 10), (32, 32), [90, 140], (1.0,))
coarse = coarse[torch.randperm(len(coarse))[:100]]
chance = recall_by_size([coarse] * len(unseen), unseen.targets, (0, 32, 96, 10000))
trained["100 raw anchors"] = None, *chance
print(f"{'':17} AP50    recall of small, medium, large objects")
for name, (ap50, *recall) in trained.items():
    print(
        f"{name:17} {f'{ap50:.3f}' if ap50 is not None else '  -  '}"
        + "".join(f"{value:10.2f}" for value in recall)
    )
print(f"you said {my_guess}")

# %% [markdown]
# No error and no warning. After the full length, small objects are gone, and AP50 falls to less than half. (In the short form that
# tests take, nobody has learned anything, and all are near 0.) A convolution gives the same answer to the
# same picture wherever it stands; a wrong order asks it for the place of *another* cell, which it can't see. And the large
# objects? Look at the last line: a hundred large anchors, drawn blindly, without any network. Whoever looks at large objects
# only, or at the falling loss, sees no fault.
#
# ## 4.3 · Who takes which object? · 34 min
#
# To train, each anchor needs an answer: *which object are you responsible for, if any?* That is **matching**. It goes by IoU:
#
#     IoU   0 ─────────── 0.3 ─────────── 0.7 ─────────── 1
#             background       ignored        the object
#                -1               -2         its position
#
# Why the band in the middle? An anchor with an IoU of 0.5 is neither a good guess nor background. Whichever you called it, a
# neighbour much like it would be called the opposite. So it is left out.
#
# But is 0.7 not a lot? **Guess:** which share of the objects has an anchor that good? Over all scenes, by size of object:

# %%
my_guess = 0.95  # yours

scenes = [train_set[i] for i in range(min(quick(240, 40), len(train_set)))]
with_objects = [(picture, one["boxes"]) for picture, one in scenes if len(one["boxes"])]
sizes = torch.cat([sides_of(gt_boxes) for _, gt_boxes in with_objects])
best = [box_iou(gt_boxes, anchors_for(picture)).amax(1) for picture, gt_boxes in with_objects]
best = torch.cat(best)

fig = Figure(figsize=(7.4, 3.3), layout="constrained")
axes = fig.subplots()
axes.plot(sizes.tolist(), best.tolist(), "o", color="#0072B2", markersize=3, alpha=0.5)
axes.axhline(0.7, color="#D55E00", linestyle="dashed")
axes.text(sizes.max().item(), 0.705, "0.7", color="#D55E00", ha="right", va="bottom")
axes.set_xscale("log", base=2)
axes.set(xlabel="size of the object: √area in pixels", ylabel="IoU of its best anchor", ylim=(0, 1))
ticks = [8, 16, 32, 64, 128, 256]
axes.set_xticks(ticks, labels=ticks)
share = (best >= 0.7).float().mean().item()
show.figure(
    fig, alt=f"The best IoU of each of {len(best)} objects over its size; {share:.0%} reach 0.7."
)
print(f"{share:.0%} have an anchor with an IoU of 0.7 or more; you said {my_guess:.0%}")
print(f"of those below 16 pixels: {(best[sizes < 16] >= 0.7).float().mean():.0%}")

# %% [markdown]
# The largest anchor is a square of 128 pixels: beyond that size it only gets worse. And the small ones fall between the cells.
#
# The objects below the line would never be learned: no anchor is told of them. Hence one more rule. **No object goes without**:
# the anchor that overlaps it most is kept for it even below 0.7. That makes three awkward cases:
#
# - **A tie.** Two anchors overlap an object alike, and most of all: both are kept.
# - **Two masters.** An anchor is the best that object A can get, but overlaps object B still more. It belongs to B: an anchor
#   always takes the object that *it* overlaps most.
# - **Nobody.** No anchor overlaps the object at all. Then its best IoU is 0, and *every* anchor has that. It gets none.
#
# By hand. Two objects, four anchors, and their IoU: what is the answer of each anchor?

# %%
print("              anchor 0  anchor 1  anchor 2  anchor 3")
for name, row in (("object 0", (0.8, 0.5, 0.2, 0.0)), ("object 1", (0.0, 0.1, 0.4, 0.1))):
    print(f"{name:12} ", "".join(f"{value:8.1f}  " for value in row))

# %% [markdown]
# <details><summary>The answers</summary>
#
# Anchor 0 takes object 0 (0.8 is enough). Anchor 1 is ignored: -2. Anchor 2 takes object 1: 0.4 is the most that object 1 can
# get. Anchor 3 is background: -1.
#
# </details>
#
# ### Exercise 4.2 · `match_anchors` · ●●● · 30 min
#
# Write it for all anchors at once. From the table above: what is a maximum over rows, what one over columns? Remember that a
# picture may have no object at all.

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
# **Now be the examiner.** The input below is the docstring's example. It lets some wrong answers through. Which boxes would
# catch them? The three awkward cases are a good start; an IoU of *just* 0.5 with `fg_iou_thresh=0.5` is another.

# %%
three = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0], [40.0, 0.0, 50.0, 10.0]])
catch("match_anchors", (three, three[:1]))

# %% [markdown]
# Your matching in the explorer. **Move the sliders** (arrow keys work, too). Lower `fg iou thresh`: how many anchors match? Then
# bring both together: where did the ignored ones go? And with `fg iou thresh` at 0.95, why does every object still have an
# anchor?

# %%
show.explore_anchors(image, boxes, anchors, match_anchors=match_anchors)

# %% [markdown]
# And the awkward cases, drawn. Dashed are the anchors with the answer of your function, thick is the object.

# %%
awkward = {
    "a tie": ([(10, 20, 40, 50), (30, 20, 60, 50)], [(20, 20, 50, 50)]),
    "two masters": ([(10, 15, 50, 55)], [(10, 15, 50, 52), (30, 30, 68, 68)]),
    "nobody": ([(4, 4, 30, 30), (34, 4, 60, 30)], [(50, 45, 75, 68)]),
}
fig = Figure(figsize=(9, 2.9), layout="constrained")
for axes, (name, (guess, gt_boxes)) in zip(fig.subplots(1, 3), awkward.items()):
    guess, gt_boxes = torch.tensor(guess).float(), torch.tensor(gt_boxes).float()
    outline(axes, gt_boxes, "#009E73", width=3)
    outline(axes, guess, "#0072B2", "dashed", 2)
    answers = match_anchors(guess, gt_boxes).tolist()
    for number, (x1, y1, _, _) in enumerate(gt_boxes.tolist()):
        axes.text(x1 + 2, y1 + 9, f"object {number}", fontsize=8, color="#00614A")
    for (x1, y1, _, _), answer in zip(guess.tolist(), answers):
        axes.text(x1, y1 - 1, f"says {answer}", fontsize=9)
    axes.set(xlim=(0, 80), ylim=(75, 0), aspect="equal", xticks=[], yticks=[])
    axes.set_title(f"{name}: {answers}", fontsize=9)
    print(
        f"{name}: {answers}, IoU {[[round(v, 2) for v in r] for r in box_iou(gt_boxes, guess).tolist()]}"
    )
show.figure(
    fig,
    alt="Three drawings of objects and anchors. A tie: both anchors take the object. Two masters: the "
    "anchor takes the object that it overlaps more. Nobody: both anchors are background.",
)

# %% [markdown]
# The second case breaks a promise: object 1 has *no* anchor now, for its only one has gone to object 0. "No object goes
# without" holds unless another object wants the same anchor more. How often is that, and what does the rule do for small
# objects?

# %%
has_anchor, pairs = {True: [], False: []}, []
for picture, gt_boxes in with_objects:
    around = anchors_for(picture)
    for keep in (True, False):
        matches = match_anchors(around, gt_boxes, allow_low_quality_matches=keep)
        has_anchor[keep].append(torch.isin(torch.arange(len(gt_boxes)), matches))
        if keep:
            pairs.append((around, gt_boxes, matches))

groups = {
    "below 16": sizes < 16,
    "16 to 32": (sizes >= 16) & (sizes < 32),
    "from 32 on": sizes >= 32,
}
print("share of the objects with an anchor")
for name, group in groups.items():
    shares = [torch.cat(has_anchor[keep])[group].float().mean().item() for keep in (False, True)]
    print(
        f"{name:10} px   by 0.7 alone {shares[0]:4.0%}   with the best ones kept {shares[1]:6.1%}"
    )

# %% [markdown]
# ## 4.4 · A box, said from an anchor · 28 min
#
# A match is a rough guess, and the network is to improve it. What should it say? Not the corners: it does not know where in the
# picture it is looking. It says how the box **differs from the anchor**, in four numbers (Ren et al., equation 2):
#
# $$dx = \frac{x - x_a}{w_a} \qquad dy = \frac{y - y_a}{h_a} \qquad dw = \log\frac{w}{w_a} \qquad dh = \log\frac{h}{h_a}$$
#
# Here $x, y$ are centres, $w, h$ sides, and $a$ marks the anchor's. Why divide, why a logarithm? With the matches of the real
# scenes:

# %%
matched = [(around[m >= 0], gt_boxes[m[m >= 0]]) for around, gt_boxes, m in pairs]
mine, theirs = (torch.cat(one) for one in zip(*matched))
shift = ((theirs[:, :2] + theirs[:, 2:]) - (mine[:, :2] + mine[:, 2:]))[:, 0] / 2
wide = mine[:, 2] - mine[:, 0]
print("width of the anchor   how far off in x, typically")
for low, high in ((0, 24), (24, 48), (48, 96), (96, 999)):
    group = (wide >= low) & (wide < high)
    pixels, sides = shift[group].std().item(), (shift / wide)[group].std().item()
    print(f"{low:4} to {high:3} px         {pixels:5.1f} px, or {sides:.2f} widths")
for times in (0.5, 1, 2):
    print(f"a box {times} times as wide: dw = {torch.tensor(float(times)).log():+.2f}")

# %% [markdown]
# In pixels, large boxes would drown small ones; in sides of the anchor all are about alike. And with the logarithm, half as
# wide is as far from "the same" as twice as wide, and no number whatever means a negative width.
#
# ### Exercise 4.3 · `encode_boxes` · ●○○ · 10 min
#
# `weights` multiply the four numbers at the end. The second stage of the detector takes (10, 10, 5, 5): its boxes are close
# already, and without weights its targets would be tiny. Use `...` for the axes in front, as in `xywh_to_xyxy`.
#
# A tensor that you make yourself lies on the CPU, and a GPU refuses to multiply it with its own: `boxes.new_tensor(…)` makes one
# where `boxes` are, and of their dtype. (The check asks for that, too.)

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
# And back: from four numbers and an anchor to a box. One thing can go badly wrong. dw is whatever a network says, and a fresh
# network, or a bad step, says wild things. **Guess:** how wide does dw = 100 make an anchor of 16 pixels?

# %%
for dw in (0.0, 1.0, 4.135, 10.0, 80.0, 100.0):
    print(f"dw {dw:6.3f}   {(16 * torch.tensor(dw).exp()).item():.4g} pixels wide")
infinite = torch.tensor(100.0).exp()
print("infinite minus infinite:", (infinite - infinite).item())

# %% [markdown]
# An infinite width becomes `nan` at the next subtraction, and `nan` spreads to everything it meets: the loss, the weights, the
# run. So growth is **capped** before `exp`, at log(1000/16), about 4.135. An anchor of 16 pixels may then grow to a box of
# 1000, and that is plenty. Shrinking needs no cap: exp of a very negative number is just 0.
#
# ### Exercise 4.4 · `decode_boxes` · ●●○ · 15 min
#
# The inverse of `encode_boxes`. Undo the last thing first. Where does the cap go: before the weights or after?

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
# Together: each matched anchor says its four numbers, and they are read back. At `mistake` 0 the head is perfect, and all boxes
# fall on the objects. **Move the slider** to let it be off by a random number of that spread. How much may it be off before the
# boxes are worse than the anchors?

# %%
matches = match_anchors(anchors, boxes)
taken = anchors[matches >= 0]
target_boxes = boxes[matches[matches >= 0]]
noise = torch.randn(len(taken), 4, generator=torch.Generator().manual_seed(0))
before = box_iou(taken, boxes).amax(1).mean().item()


def off_by(mistake):
    decoded = decode_boxes(encode_boxes(target_boxes, taken) + mistake * noise, taken)
    after = box_iou(decoded, boxes).amax(1).mean().item()
    fig = Figure(figsize=(9.2, 3.7), layout="constrained")
    for axes, ones, words in zip(fig.subplots(1, 2), (taken, decoded), ("anchors", "decoded")):
        axes.imshow(image.permute(1, 2, 0).numpy())
        axes.set_axis_off()
        axes.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
        outline(axes, boxes, "#009E73", width=2.8)
        outline(axes, ones, "#0072B2", "dashed", 1.2)
        value = before if words == "anchors" else after
        axes.set_title(f"{words}: mean IoU {value:.2f}", fontsize=9)
    return fig, f"Matched anchors with a mean IoU of {before:.2f}, decoded boxes with {after:.2f}."


show.explore(off_by, mistake=(0.0, 1.0, 0.05, 0.0))

# %% [markdown]
# ### A round trip proves nothing
#
# "Encode, decode, and I am back where I started, so both are right." Are they? Here are two pairs that an assistant may well
# write. In each, decoding undoes encoding. Are they right?


# %%
def plain_encode(boxes, anchors):  # the ratio itself, without its logarithm
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    middle = (boxes[..., 2:] + boxes[..., :2] - anchors[..., 2:] - anchors[..., :2]) / 2
    return torch.cat([middle / extent, side / extent - 1], -1)


def plain_decode(deltas, anchors):
    extent = anchors[..., 2:] - anchors[..., :2]
    middle = (anchors[..., 2:] + anchors[..., :2]) / 2 + deltas[..., :2] * extent
    half = (deltas[..., 2:] + 1) * extent / 2
    return torch.cat([middle - half, middle + half], -1)


def corner_encode(boxes, anchors):  # differences of corners in pixels
    return boxes - anchors


def corner_decode(deltas, anchors):
    return anchors + deltas


coders = {
    "yours": (encode_boxes, decode_boxes),
    "plain ratio": (plain_encode, plain_decode),
    "corners, pixels": (corner_encode, corner_decode),
}
anchor, wild = torch.tensor([[100.0, 100.0, 140.0, 140.0]]), torch.tensor([[0.0, 0.0, -1.5, 0.0]])
small, large = wide < 24, wide >= 96
print(f"{'':16} round trip is off by   target dx: small, large anchors   dw = -1.5 is as wide as")
for name, (encode, decode) in coders.items():
    error = (decode(encode(theirs, mine), mine) - theirs).abs().max().item()
    spread = [encode(theirs, mine)[group, 0].std().item() for group in (small, large)]
    x1, _, x2, _ = decode(wild, anchor)[0].tolist()
    print(f"{name:16} {error:12.4f} px {spread[0]:17.2f}, {spread[1]:5.2f} {x2 - x1:26.1f} px")

# %% [markdown]
# All three come back to where they were. But the plain ratio can turn a box inside out (a width below 0), and corners in pixels
# give large objects targets many times those of small ones. A round trip shows that two functions undo each other, and nothing
# more. So the checks try each **alone**, on boxes whose numbers you can work out on paper:

# %%
examine("encode_boxes", plain_encode)

# %% [markdown]
# ## 4.5 · Not drowned by background · 12 min
#
# How many of all these anchors are positive? **Guess the share** before you look.

# %%
my_guess = 0.05  # yours

kinds = torch.cat([m for _, _, m in pairs])
positive, negative = int((kinds >= 0).sum()), int((kinds == -1).sum())
share = positive / (positive + negative)
print(
    f"{positive:,} positive, {negative:,} background, {len(kinds) - positive - negative:,} ignored"
)
print(f"share of positives {share:.2%}; you said {my_guess:.0%}")
print(f"a head that always says 'background' is right in {1 - share:.2%} of them")

# %% [markdown]
# So a head that has learned nothing looks excellent, and the gradient is nearly all background. The way out in this detector:
# in each image only 256 anchors count, and up to half of them may be positive. (Others weigh instead of sampling: the focal
# loss of RetinaNet.)
#
# ### Exercise 4.5 · `sample_balanced` · ●○○ · 10 min
#
# Draw at random, with the generator that you are given, and nothing twice: `torch.randperm` shuffles. There may be fewer
# positives than their share; then background fills up. What is drawn is random, so the check asks what must hold whatever was
# drawn.

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
# With and without. Is half of the sample positive now?

# %%
batch_size_per_image = 256  # anchors that count, in each scene
generator = torch.Generator().manual_seed(0)
blind, balanced = [], []
for _, _, m in pairs:
    labelled = torch.where(m != -2)[0]
    drawn = labelled[torch.randperm(len(labelled), generator=generator)[:batch_size_per_image]]
    blind.append((m[drawn] >= 0).float().mean().item())
    yes, no = sample_balanced(m, batch_size_per_image, 0.5, generator)
    balanced.append(len(yes) / (len(yes) + len(no)))
shares = [share, sum(blind) / len(blind), sum(balanced) / len(balanced)]

fig = Figure(figsize=(7.4, 2.3), layout="constrained")
axes = fig.subplots()
names = ["all", *(f"{batch_size_per_image} {way}" for way in ("at random", "balanced"))]
bars = axes.barh(names, shares, color=["#E69F00", "#56B4E9", "#0072B2"])
axes.bar_label(bars, [f" {value:.2%}" for value in shares])
axes.invert_yaxis()
axes.set_xscale("log")
axes.set(xlim=(1e-4, 1), xlabel="share of positives among the anchors that count (log)")
axes.axvline(0.5, color="black", linestyle="dotted")
axes.text(0.46, 0.5, "the most\nthere may be", ha="right", va="center", fontsize=8)
show.figure(
    fig, alt="Share of positives: " + ", ".join(f"{a} {b:.2%}" for a, b in zip(names, shares))
)
empty = sum(value == 0 for value in blind)
print(f"scenes whose random sample has no positive at all: {empty} of {len(pairs)}")
print(f"scenes whose balanced sample is half positive: {sum(v == 0.5 for v in balanced)}")

# %% [markdown]
# Not half: a scene does not have that many positives, and all of them are in. But it is many times more than before, and every
# scene that has one tells the head of it. Mind that the 256 are a number for this detector, not a law: with fewer, the share
# grows.
#
# **Try it:** set `batch_size_per_image` to 32 above, and run the cell again.

# %%
journal("04")

# %% [markdown]
# ## What could go wrong · 3 min
#
# - **"The loss falls, and nothing is found."** The head's map is flattened in another order than the anchors. A shape can't
#   tell you; an address can (4.2).
# - **"All my boxes are half a cell off."** Weights trained with centres in the middle of the cells, used with centres on the
#   corners, or the other way round. Both rules are in use.
# - **"The loss is nan after a few steps."** No cap in decoding, or a true box without width: its logarithm is minus infinite.
#   `clean_boxes` of lesson 01 drops those.
# - **"Small objects are never learned."** Their best anchor lies below 0.7, and the best ones are not kept. Or the anchors are
#   all too large: draw the first picture of 4.3 for your data.
# - **"An image without objects crashes the training."** There is nothing to take a maximum of.
#
# ## What you learned
#
# Anchors are guesses, made before the network has seen anything. Their order must be the head's, and no shape will tell you if
# it isn't. Matching gives each anchor an object, background, or nothing, and sees to it that hardly an object goes without. A
# box is said relative to its anchor: shifts in sides, growth as a logarithm, capped. Nearly all is background, so a sample is
# drawn.
#
# **Three questions to think about**
#
# <details><summary>1. Why not take twice as many anchors, and have a better match for every object?</summary>
#
# It would help the match, but there would be twice as many boxes to judge, match and hold in memory, and nearly all new ones
# are background. The four numbers mend a rough guess anyway.
#
# </details>
# <details><summary>2. The wrong order was bad even after training with it. Why could dx and dy not make up for it?</summary>
#
# They would have to say how far it is from this cell to another one, which depends on where the cell stands. A convolution
# does the same at every place, and the cell may not even see the object.
#
# </details>
# <details><summary>3. A head gives dw = 0 for all, and the shifts are right. What do its boxes look like?</summary>
#
# Right in place, and with the size and shape of their anchors. Often an IoU of 0.5 or more already.
#
# </details>
#
# **Next: 05 · The RPN.** A small network slides over the pyramid and answers at each of your anchors. You write it, and train
# it on the matches of today.
#
# **To read on:** S. Ren et al., *Faster R-CNN*, 2015, sections 3.1.1 to 3.1.3 with equation 2 · T.-Y. Lin et al., *Focal Loss
# for Dense Object Detection*, 2017, section 3, for weighing instead of sampling · S. Zhang et al., *Bridging the Gap Between
# Anchor-based and Anchor-free Detection*, 2020, section 3, on how much the matching matters.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 115, of which 90 writing. `match_anchors` is the longest; who is stuck should fill in the table of 4.3 first.
#
# **What people get wrong.** `make_anchors`: shape by shape or column by column; width over height; the area not kept; centres in
# the middle of the cells. `match_anchors`: a box that no anchor overlaps takes all of them; only one of two equals is kept; a
# best anchor forced on a box though it overlaps another more; no box at all. `encode_boxes`, `decode_boxes`: right as a pair,
# wrong each; the cap before the weights. `sample_balanced`: ignored ones among the background; object 0 left out (`> 0`).
#
# **Questions to ask.** Which of your tests would have noticed the wrong order? Why does the recall of large objects not notice?
# What would change if the ignored band were gone? Is half of the sample positive, and if not, does it matter?
