# %% [markdown]
# # 03 · The FPN
#
# **100 minutes · you need lesson 02 · no GPU needed**
#
# The backbone's last map knows most about *what* is in an image and least about *where*. Its first maps know where, but hardly
# what. The **feature pyramid network** (FPN) passes what the deepest map knows down to the finer ones. It's 20 lines of code,
# and nearly every detector has one. In this lesson you write it, train it against its rivals, and find out which of its parts
# earn their keep.
#
# When you're done, you can
#
# - say why one feature map isn't enough for objects of all sizes,
# - write an FPN that takes images of any size,
# - tell which level of the pyramid a box reads from, and choose the one number that decides it,
# - compare two designs fairly: same data, same training, several seeds.
#
# Terms that are new to you are in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

lesson_map(3)

# %% [markdown]
# ## 3.1 · Why one map isn't enough · 6 min
#
# Look at the smallest object of a scene as the backbone's three maps see it. Each square is one cell: one list of numbers for
# everything in it. **How many cells will a small dog fill on the coarsest map**, with its stride of 32 pixels?

# %% tags=["write"]
my_guess_cells = 1.0  # yours

# %% tags=["setup"]
import torch

from coursekit.data import load

train_set, val_set = load("mini", "train"), load("mini", "val")
image, target = train_set[114]
show.smallest_object(image, target, train_set.classes)
print(f"at a stride of 32, you said {my_guess_cells} cells")

# %% [markdown]
# The three maps are called **C3, C4 and C5**. Level k has a **stride** of $2^k$ pixels: 8, 16 and 32. An object that fills a
# fraction of a cell shares its list of numbers with everything around it.
#
# Is that rare? **Guess before you run the cell:** which share of all objects is smaller than two by two cells of C5?

# %% tags=["write"]
my_guess_share = 0.1  # yours

# %% tags=["call"]
boxes = torch.cat([train_set.target(i)["boxes"] for i in range(len(train_set))])
sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()  # side of a square of the same area
show.object_sizes(sizes)
print(f"for C5, you said {my_guess_share:.0%}")

# %% [markdown]
# So should all objects be found on the finest map? Its cells are small, but each has gone through only a few layers and sees
# little of the image, as you measured in lesson 02. And C3 has the fewest channels. The deep map knows a lot and is coarse; the
# shallow one is fine and knows little. We want both:
#
#     C5 ──1×1──► M5 ─────────3×3──► P5     stride 32
#                 │ upsample
#     C4 ──1×1──► + ► M4 ─────3×3──► P4     stride 16
#                     │ upsample
#     C3 ──1×1──► ─── + ► M3 ─3×3──► P3     stride 8
#
# From the left comes what each map knows itself (**lateral**). From above comes what the deeper ones know (**top-down**). In the
# end, each level keeps its resolution and gains the semantics of the deepest level: what things are, not only where edges are.
# **M5, M4 and M3** are the maps after merging; into M5, nothing comes from above. **P5, P4 and P3** are the same after smoothing:
# the *levels* of the pyramid.
#
# ## 3.2 · One step down · 20 min
#
# Begin with the plus sign: a coarse map of two by two cells, added to a fine one of four by four. Each coarse cell has to be
# repeated four times. By hand:

# %% tags=["read"]
coarse = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
print(coarse.repeat_interleave(2, 0).repeat_interleave(2, 1))

# %% [markdown]
# That's **nearest-neighbor** upsampling: no blending, each cell is repeated. (Blending works, too. The paper uses nearest neighbor
# for simplicity, and so do we.)
#
# Twice as many rows, twice as many columns: is that all? Take three images: 240 × 320, 256 × 320 and 211 × 317 pixels. Their maps
# have strides of 8, 16 and 32, and a side that doesn't divide is rounded up. **For which of them does doubling fail?**

# %% tags=["write"]
fails_for = [256]  # yours: their heights

# %% tags=["read"]
from coursekit.detector.backbone import load_backbone

backbone = load_backbone().eval()
for height, width in [(240, 320), (256, 320), (211, 317)]:
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, height, width))
    words = [f"C{k}: {tuple(features.shape[2:])}" for k, features in zip((3, 4, 5), maps)]
    said = "you said: fails" if height in fails_for else "you said: works"
    print(f"image {height} × {width}   ", "   ".join(words), "  ", said)

# %% [markdown]
# ### Exercise 3.1 · `merge_top_down` · ●○○ · 15 min · by hand
#
# Write the step that takes a fine and a coarse map, both with C channels, and returns a map as large as the fine one. It has to
# work for all three images above. And it must leave both inputs unchanged: the backbone's maps may be needed again.

# %%
# %%exercise merge_top_down
import torch
import torch.nn.functional as F
from torch import Tensor


def merge_top_down(fine: Tensor, coarse: Tensor) -> Tensor:
    """Upsample a coarse level to the size of the next finer one, and add them.

    Args:
        fine: (B, C, H, W) float, on any device.
        coarse: (B, C, h, w) float, on the same device, about half as large: h is H / 2, rounded up
            if H is odd.

    Returns:
        (B, C, H, W): fine, plus coarse upsampled by repeating cells (nearest neighbor; for odd
        sizes, torch's "nearest" and "nearest-exact" are both right). A new tensor of fine's dtype,
        through which gradients reach both maps.

    >>> merge_top_down(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), 3.0))
    tensor([[[[3., 3.],
              [3., 3.]]]])
    """
    ### BEGIN SOLUTION
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
    ### END SOLUTION


# %%
check("merge_top_down")

# %% [markdown]
# **Now you're the examiner.** `catch` runs inputs of yours against wrong answers that people have handed in. The input below lets
# some of them through. Which maps would catch them all? Change it, or add more.

# %% tags=["write"]
catch("merge_top_down", (torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 2, 2)))

# %% [markdown]
# ## 3.3 · The whole pyramid · 37 min
#
# Two things are missing.
#
# **Before** the plus: C3, C4 and C5 have different numbers of channels, and you can't add 40 numbers to 112. A **1 × 1
# convolution** turns each cell's list into one of a common length. It looks at no neighbors: it's a matrix product at each cell.
#
# **After** it: upsampling by repetition leaves blocks. A **3 × 3 convolution** smooths them. Here is a slope that was made coarse,
# upsampled, and smoothed by the simplest 3 × 3 there is, a mean:

# %% tags=["call"]
show.smoothing(merge_top_down)

# %% [markdown]
# The network learns its own 3 × 3, one for each level. There is no activation function anywhere: a pyramid is **linear**.
#
# ### Exercise 3.2 · `FPN` · ●●○ · 30 min · explain only
#
# Write the class. `__init__` makes the layers; `forward` uses them: laterals first, then merging from the top down, and only then
# smoothing. Think about the order of the loop: what M3 receives from above has to contain C5, too.

# %%
recall("merge_top_down")

# %%
# %%exercise FPN
from torch import Tensor, nn

from my_detector import merge_top_down


class FPN(nn.Module):
    """Feature pyramid network (Lin et al., *Feature Pyramid Networks*, 2017, section 3).

    It has a 1 × 1 convolution for each map and a 3 × 3 convolution (padding 1) for each level, all
    with bias, in two `nn.ModuleList`s, so that the optimizer finds them.

    Args:
        in_channels: channels of each of the backbone's maps, finest first.
        out_channels: channels of every level of the pyramid.
    """

    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, out_channels, 1) for channels in in_channels
        )
        self.smooth = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels
        )
        ### END SOLUTION

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Turn (B, C_i, H_i, W_i) maps, finest first, into (B, out_channels, H_i, W_i) levels.

        The weights and the maps may be on any device.
        """
        ### BEGIN SOLUTION
        merged = [lateral(features) for lateral, features in zip(self.lateral, maps)]
        for fine in reversed(range(len(merged) - 1)):
            merged[fine] = merge_top_down(merged[fine], merged[fine + 1])
        return [smooth(level) for smooth, level in zip(self.smooth, merged)]
        ### END SOLUTION


# %%
check("FPN")

# %% [markdown]
# What reaches what? Change **one cell of C5**, and see which cells of the pyramid change. **Guess first:** how many rows of P3?

# %% tags=["write"]
my_guess_rows = 1  # yours

# %% tags=["read"]
torch.manual_seed(0)
fpn = FPN([40, 112, 320], 64)
maps = [torch.randn(1, count, side, side) for count, side in ((40, 32), (112, 16), (320, 8))]
touched = [features.clone() for features in maps]
touched[2][0, :, 4, 4] += 1
with torch.no_grad():
    before, after = fpn(maps), fpn(touched)

# %% tags=["call"]
show.changed_cells(before, after)
print("rows of P3 that you expected:", my_guess_rows)

# %% [markdown]
# One cell of C5 reaches all three levels, at the same place in the image. A cell of C3 would change P3 alone.
#
# ## 3.4 · Which level does a box read from? · 20 min
#
# Later, a patch is cut out of the pyramid for each box (lesson 06), to find out what's in it. Out of which level? Large boxes should
# read from a coarse level, small ones from a fine one, and a box twice as large should go one level up. Doubling calls for a
# logarithm to the base 2 (Lin et al., 2017, equation 1):
#
# $$k = \left\lfloor k_0 + \log_2 \frac{\sqrt{w\,h}}{s} \right\rfloor$$
#
# In words: a box of size $s$, the **canonical scale**, is the smallest that reads from level $k_0$, which is 4. How many doublings
# of 64 pixels lead to these sizes? **Which level does each of them read from?**

# %% tags=["write"]
my_levels = {16: 4, 31: 4, 32: 4, 63: 4, 64: 4, 127: 4, 128: 4}  # yours: size in pixels → level

# %% tags=["read"]
for size, level in my_levels.items():
    doublings = torch.log2(torch.tensor(size / 64)).item()
    print(f"size {size:3}: {doublings:+.2f} doublings of 64; you say level {level}")

# %% [markdown]
# ### Exercise 3.3 · `level_for_box` · ●●○ · 15 min · explain only
#
# Check your levels against the doublings, then write the function. What about boxes that are too small for the finest level, or too
# large for the coarsest?

# %%
# %%exercise level_for_box
import torch
from torch import Tensor


def level_for_box(
    boxes: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, canonical_level: int = 4
) -> Tensor:
    """Choose the pyramid level for each box by its size.

    Args:
        boxes: (R, 4) xyxy in pixels, float, on any device.
        finest: the finest level there is; level k has a stride of 2^k pixels.
        coarsest: the coarsest level there is.
        canonical_scale: the smallest √area, in pixels, of a box on `canonical_level`.
        canonical_level: the level of boxes of that size.

    Returns:
        (R,) int64 from `finest` to `coarsest`. A box exactly at the limit of two levels is on
        the coarser one, a box without area on the finest.

    >>> level_for_box(torch.tensor([[0., 0., 64., 64.], [0., 0., 16., 64.]]), 3, 5)
    tensor([4, 3])
    """
    ### BEGIN SOLUTION
    side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    level = torch.floor(canonical_level + torch.log2(side / canonical_scale) + 1e-6)
    return level.clamp(finest, coarsest).to(torch.int64)
    ### END SOLUTION


# %%
check("level_for_box")

# %% [markdown]
# Were your guesses right?

# %% tags=["call"]
squares = torch.tensor([[0.0, 0.0, size, size] for size in my_levels])
for size, yours, level in zip(my_levels, my_levels.values(), level_for_box(squares, 3, 5).tolist()):
    print(f"size {size:3}: level {level}; you said {yours}")

# %% [markdown]
# Here are the boxes of the scene, each over the cells of the level that it reads from. **Move the slider** (the arrow keys work,
# too). At which canonical scale do all boxes crowd on one level?

# %% tags=["call"]
show.explore_levels(image, target["boxes"], level_for_box=level_for_box)

# %% [markdown]
# The paper's canonical scale is 224, for images of about 1,000 pixels. Ours have 320. **Which share of the objects of `mini` would
# read from level 3 with 224?**

# %% tags=["write"]
my_guess_on_level_3 = 0.5  # yours

# %% tags=["call"]
show.level_shares(sizes, level_for_box, canonical_scales=(64, 224))
print(f"with 224, you said {my_guess_on_level_3:.0%} on level 3")

# %% [markdown]
# With 224, a pyramid of three levels is used as if it had one. Nothing crashes, and nothing warns you. Whenever you change the size
# of your images, look at this picture again.
#
# ## 3.5 · Does it help? An experiment · 6 min
#
# Three detectors, identical except for what they see: **C5 alone**, **C4 alone**, and **your pyramid**. The backbone is frozen, so
# its maps can be computed once. Then a training takes seconds, and we can afford each design several times, from different random
# starts (**seeds**). A single run proves nothing: two seeds of one design may differ more than two designs.
#
# Fair means: same images, same training, same number of channels, and boxes of the same six sizes to start from (**anchors**, lesson
# 04). In the pyramid, each level starts from two of them: boxes of 14 and 24 pixels on P3, of 36 and 60 on P4, of 90 and 140 on P5.
# A design with one map starts from all six there. An FPN over a single map is just its 1 × 1 and 3 × 3.
#
# Two numbers for each size of object. The detector first picks 100 boxes to look at closely, its **proposals** (lesson 05).
# **Recall** is the share of the objects that one of them fits with an IoU of at least 0.5, whatever class it is taken for. For
# **AP50**, as in lesson 00, the class has to be right, too. Small is below 32 pixels, large is from 96, as in COCO.
#
# **Predict:** which design has the best AP50 for small objects? And for large ones?

# %% tags=["write"]
best_for_small, best_for_large = "…", "…"  # yours

# %% tags=["call"]
from coursekit.lessons.experiments.cached_features import cache_features
from coursekit.lessons.experiments.compare_designs import compare_designs, print_designs

images = train_set.head(quick(128, 8)), val_set.head(quick(64, 8))
cached = [cache_features(dataset, backbone) for dataset in images]
lengths = {"seeds": quick(3, 2), "epochs": quick(4, 1), "level_for_box": level_for_box}

# %% tags=["variants"]
one_map, three_maps = [[14, 24, 36, 60, 90, 140]], [[14, 24], [36, 60], [90, 140]]  # anchors
designs = {
    "C5 alone": (FPN, (5,), one_map),
    "C4 alone": (FPN, (4,), one_map),
    "your pyramid": (FPN, (3, 4, 5), three_maps),
}
measured = compare_designs(designs, *cached, **lengths)
print_designs(measured)
print(f"you said: {best_for_small} for small objects, {best_for_large} for large ones")

# %% [markdown]
# **Look at the last three columns:** how far apart are the seeds of one design? A lead that's smaller than that is no lead. (In the
# short form all of them are 0.) ([The loop over designs and seeds](../src/coursekit/lessons/experiments/compare_designs.py).)

# %% tags=["write"]
largest_difference_between_seeds = 0.0  # yours, from the table

# %% tags=["call"]
from coursekit.lessons.experiments.compare_designs import largest_spread

show.scores_by_size(measured)
most = largest_spread(measured)
print(f"seeds of a design are up to {most:.2f} apart; you said {largest_difference_between_seeds}")

# %% [markdown]
# After a full run, read it by columns. **Small objects**: C5 finds next to none, C4 some, and the pyramid most. **Large ones**: the
# pyramid is behind! Our guess: with C4 alone, all objects train the same map, while the pyramid has to learn three levels, each
# from its share of the objects, and this training is short. You buy a pyramid for the small objects.
#
# ## 3.6 · And the way down? · 4 min
#
# How much of this comes from the **top-down path**, and how much from just having three maps? Leave the path out, and see. That
# needs no new code: an FPN over one map has nothing above it. So take three of them, side by side.
#
# **Write down your prediction first:** AP50 of small objects, without the path. It will be in the picture.

# %% tags=["write"]
my_guess = 0.2  # yours

# %% tags=["read"]
from torch import nn


class WithoutTopDown(nn.Module):
    """Three pyramids of one level each: lateral, smooth, and nothing comes down."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.each = nn.ModuleList(FPN([channels], out_channels) for channels in in_channels)

    def forward(self, maps):
        return [fpn([features])[0] for fpn, features in zip(self.each, maps)]


# %% tags=["call"]
without = {"no top-down path": (WithoutTopDown, (3, 4, 5), three_maps)}
measured |= compare_designs(without, *cached, **lengths)
print_designs(measured)
show.scores_by_size(measured, guess=my_guess)

# %% [markdown]
# Compare the last two lines of the table: what does the path add to the AP50 of small objects? And how far apart are the seeds?
# After a full run, the path adds **nothing that we can measure** on these drawings: without it, small objects are found just as
# well, or better. The finer map did it, or having *more levels*.
#
# Why? A guess: an emoji is known by its colors and edges. C3 sees those itself, and what comes down from C4 and C5 is one more
# thing to learn to ignore. How would you test that guess? (More epochs; photographs; a backbone that is trained, too.)
#
# On photographs, the path matters. These are the paper's results for the proposals of a ResNet-50 on COCO (Lin et al., 2017, table 1;
# average recall of 1,000 proposals, in percent):
#
# | design | all | small | medium | large |
# |---|---|---|---|---|
# | C5 alone | 44.9 | 25.3 | 55.5 | 64.2 |
# | C4 alone | 48.3 | 32.0 | 58.7 | 62.2 |
# | a pyramid without the top-down path | 49.5 | 30.5 | 59.9 | 68.0 |
# | FPN | 56.3 | 44.9 | 63.4 | 66.2 |
#
# There, the path makes the difference, most of all for small objects. Both results are true, of *their* data with *their* training.
# An **ablation**, an experiment that leaves out one part, says what the part is worth where it was measured. In lesson 10, you can
# measure it on your own images.
#
# ## 3.7 · And smaller images? · 4 min
#
# Small images are the cheapest way to save time and memory; you'll use it in lesson 08. What do they cost? Same pyramid, same
# training, but the images are shrunk from 320 to 192 pixels, and anchors and canonical scale with them. "Small" still means below
# 32 pixels in the original image. **Predict** the AP50 of small objects:

# %% tags=["write"]
my_guess_shrunk = 0.2  # yours

# %% tags=["call"]
shrunk = [cache_features(dataset, backbone, side=192) for dataset in images]
at_192 = {"your pyramid, 192 px": designs["your pyramid"]}
measured |= compare_designs(at_192, *shrunk, **lengths)
print_designs({name: measured[name] for name in ("your pyramid", *at_192)})
print(f"AP50 of small objects at 192 px: you said {my_guess_shrunk}")

# %% [markdown]
# After a full run, AP50 falls for all sizes, and the recall of small objects falls most: at 192 pixels, an object of 20 pixels has
# become one of 12. Remember that when a larger batch tempts you to smaller images.

# %%
journal("03")

# %% [markdown]
# ## What could go wrong · 3 min
#
# - **"The size of tensor a (85) must match the size of tensor b (86)."** A map was doubled, but the finer one has an odd side
#   ([mmdetection #2157](https://github.com/open-mmlab/mmdetection/pull/2157)). Detectron pads every image until its stride divides
#   all sides ([#121](https://github.com/facebookresearch/Detectron/issues/121)). Either is fine; you need one of them.
# - **"Small objects are never found, and I have an FPN."** Images of another size, and a canonical scale that is still 224: one
#   level does all the work. torchvision lets you set it since [vision #3129](https://github.com/pytorch/vision/issues/3129).
#   Draw the bars of 3.4 for your data.
# - **"The pyramid doesn't learn."** Its layers are in a plain Python list. They run, but `parameters()` doesn't know them.
#
# ## What you learned
#
# Maps are either fine or rich in semantics. An FPN gives all of them the same number of channels (1 × 1), passes semantics down
# (upsample and add), and smooths. A box reads from the level that suits its size, and one number, the canonical scale, decides
# which. More levels help small objects; what the top-down path adds depends on the data.
#
# **Three questions to think about**
#
# <details><summary>1. Why do all levels have the same number of channels?</summary>
#
# They are added to each other. And the same head slides over all of them (lesson 05), so it has to fit each.
#
# </details>
# <details><summary>2. Could there be a path upward as well, from fine to coarse?</summary>
#
# Yes: PANet adds one, so that exact positions reach P5 by a short path.
#
# </details>
# <details><summary>3. Recall of small objects is much higher than their AP50. What does that tell you?</summary>
#
# They are found, but taken for the wrong class, or their scores are too low. Better proposals wouldn't help much; better
# features or a longer training might.
#
# </details>
#
# **Next: 04 · Anchors.** Every cell of every level gets some boxes to start from. You make them, and decide which of them match an
# object.
#
# **Read on:** T.-Y. Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, sections 3 and 5.1 with table 1 · S. Liu
# et al., *Path Aggregation Network for Instance Segmentation*, 2018, section 3.1 · M. Tan et al., *EfficientDet*, 2020, section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 100, of which 60 writing.
#
# **What people get wrong.** `merge_top_down`: `scale_factor=2`, which works until a height is odd. `FPN`: adding the lateral map of
# the level above instead of the merged one; smoothing before merging; layers in a plain list. `level_for_box`: the area instead
# of its root; the paper's canonical scale on small images.
#
# **Questions to ask.** What did you predict for the top-down path, and what came out? What would you have to show to believe the
# paper on *these* data? Why three seeds, and are three enough?
