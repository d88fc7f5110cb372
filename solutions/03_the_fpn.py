# %% [markdown]
# # 03 · The FPN
#
# **80 minutes · you need lesson 02 · no GPU needed**
#
# The backbone's last map knows most about *what* is in a picture and least about *where*. Its first maps know where, and hardly
# what. The **feature pyramid network**, FPN for short, passes what the deep map knows down to the fine ones. It is 20 lines,
# nearly every detector has one, and in this lesson you write it, train it against its rivals, and find out which of its parts
# earn their keep.
#
# When you are done, you can
#
# - say why one feature map is not enough for objects of all sizes,
# - write an FPN that takes images of any size,
# - tell which level of the pyramid a box reads, and choose the one number that decides it,
# - compare two designs fairly: same data, same training, several seeds.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(3)

# %% [markdown]
# **Using an AI assistant here:** it may explain, you write. Hints open with the button under a check, or with `hint("FPN")` in a cell.
#
# ## 3.1 · Why one map is not enough · 5 min
#
# Look at a small object as the three maps of the backbone see it. Each square is one cell: one list of numbers for all that is
# in it.

# %%
import torch
from matplotlib.figure import Figure

from coursekit.data import load

train_set, val_set = load("mini", "train"), load("mini", "val")


def sizes_of(boxes):
    """Side of the square that has the same area, in pixels."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()


image, target = train_set[114]
smallest = sizes_of(target["boxes"]).argmin()
name = train_set.classes[target["labels"][smallest] - 1]
x1, y1, x2, y2 = target["boxes"][smallest].tolist()
left, top = int(x1) // 32 * 32 - 32, int(y1) // 32 * 32 - 32  # where a cell of every map begins
crop = image[:, top : top + 96, left : left + 96].permute(1, 2, 0)

fig = Figure(figsize=(9.6, 2.6), layout="constrained")
whole, *close = fig.subplots(1, 4, width_ratios=[1.35, 1, 1, 1])
show.draw_boxes(whole, image, target["boxes"][smallest][None], [name], title="the scene")
for axes, stride in zip(close, (8, 16, 32)):
    axes.imshow(crop, extent=(left, left + 96, top + 96, top))
    axes.set_xticks(range(left, left + 97, stride), labels=[])
    axes.set_yticks(range(top, top + 97, stride), labels=[])
    axes.grid(color="white", linewidth=1)
    axes.tick_params(length=0)
    cells = (x2 - x1) * (y2 - y1) / stride**2
    axes.set_title(f"stride {stride}: {cells:.1f} cells for the {name}", fontsize=8)
show.figure(
    fig,
    alt=f"A scene, and three times the part around a small {name}, under grids of 8, 16 "
    "and 32 pixels. It fills several cells of the finest grid and a part of one of the coarsest.",
)

# %% [markdown]
# The three maps are called **C3, C4 and C5**: level k has a **stride** of $2^k$ pixels, so 8, 16 and 32. An object that fills a
# fraction of a cell shares its list of numbers with everything around it.
#
# Is that a rare case? **Guess before you run the cell:** which share of all objects has fewer than two by two cells of C5?

# %%
sizes = torch.cat([sizes_of(train_set.target(i)["boxes"]) for i in range(len(train_set))])

fig = Figure(figsize=(7.6, 3.4), layout="constrained")
axes = fig.subplots()
edges = torch.logspace(2.5, 8.5, 31, base=2).tolist()
axes.hist(sizes.tolist(), bins=edges, color="#56B4E9", edgecolor="white")
for level, style in ((3, "dotted"), (4, "dashed"), (5, "solid")):
    side = 2 * 2**level
    share = (sizes < side).float().mean().item()
    label = f"2 × 2 cells of C{level}: {share:.0%} are smaller"
    axes.axvline(side, color="#D55E00", linestyle=style, linewidth=2, label=label)
axes.set_xscale("log", base=2)
axes.set_xticks([8, 16, 32, 64, 128, 256], labels=[8, 16, 32, 64, 128, 256])
axes.set(xlabel="size of the object: √area in pixels", ylabel="objects", title="sizes in mini")
axes.legend(fontsize=8)
show.figure(
    fig,
    alt=f"A histogram of {len(sizes)} object sizes, about even over the logarithm of "
    f"the size; {(sizes < 64).float().mean():.0%} are smaller than two cells of C5.",
)

# %% [markdown]
# So take the finest map for all? Its cells are small, but each has gone through only a few layers and sees little of the
# picture: you measured its receptive field in lesson 02. And it has the fewest channels. The deep map is wise and coarse, the
# shallow one fine and ignorant. We want both.
#
#     C5 ──1×1──► M5 ─────────3×3──► P5     stride 32
#                 │ enlarge
#     C4 ──1×1──► + ► M4 ─────3×3──► P4     stride 16
#                     │ enlarge
#     C3 ──1×1──► ─── + ► M3 ─3×3──► P3     stride 8
#
# From the left comes what each map knows (**lateral**), from above what the wiser ones know (**top-down**).
#
# ## 3.2 · One step down · 15 min
#
# Begin with the plus sign. A coarse map with two by two cells is to be added to a fine one with four by four. So each coarse cell
# has to be said four times. By hand:

# %%
coarse = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
print(coarse.repeat_interleave(2, 0).repeat_interleave(2, 1))

# %% [markdown]
# That is **nearest-neighbour** enlargement: nothing is blended, each cell is repeated. (Blending works, too. The paper takes the
# simplest, and so do we.)
#
# Twice as many rows, twice as many columns: is that all? Here are the real sizes for some images. What would go wrong?

# %%
from coursekit.detector.backbone import load_backbone

backbone = load_backbone().eval()
with torch.no_grad():
    for height, width in [(240, 320), (256, 320), (211, 317)]:
        maps = backbone(torch.zeros(1, 3, height, width))
        rows = "   ".join(
            f"C{k}: {tuple(features.shape[2:])}" for k, features in zip((3, 4, 5), maps)
        )
        print(f"image {height} × {width}   {rows}")

# %% [markdown]
# ### Exercise 3.1 · `merge_top_down` · ●○○ · 15 min
#
# Write the step that takes a fine and a coarse map, both with C channels, and gives a map as large as the fine one. It has to
# work for every line that you have just seen, and it must leave both inputs as they are: the backbone's maps may be needed
# again.

# %%
# %%exercise merge_top_down
import torch
import torch.nn.functional as F
from torch import Tensor


def merge_top_down(fine: Tensor, coarse: Tensor) -> Tensor:
    """Upsample a coarse level to the size of the next finer one, and add them.

    Args:
        fine: (B, C, H, W) float.
        coarse: (B, C, h, w) float, about half as large: h is H / 2, rounded up if H is odd.

    Returns:
        (B, C, H, W): fine, plus coarse upsampled by repeating cells (nearest neighbor; for odd
        sizes, torch's "nearest" and "nearest-exact" are both right). A new tensor, through which
        gradients reach both maps.

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
# **Now be the examiner.** `catch` runs inputs of yours against wrong answers that people have handed in. The input below lets
# some through. Which maps would catch them all? Change it, or add more.

# %%
catch("merge_top_down", (torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 2, 2)))

# %% [markdown]
# ## 3.3 · The whole pyramid · 25 min
#
# Two things are missing.
#
# **Before** the plus: C3, C4 and C5 have different numbers of channels, and one can't add 40 numbers to 112. A **1 × 1
# convolution** turns each cell's list into one of a common length. It looks at no neighbour: it is a matrix product at each cell.
#
# **After** it: enlarging by repetition leaves blocks. A **3 × 3 convolution** smooths them. Look at a slope that was made
# coarse, enlarged, and smoothed by the plainest 3 × 3 there is, a mean:

# %%
import torch.nn.functional as F

slope = torch.arange(12.0)[None, None] + torch.arange(12.0)[None, :, None]
half = F.avg_pool2d(slope[None], 2)
blocks = merge_top_down(torch.zeros(1, 1, 12, 12), half)
smoothed = F.avg_pool2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, stride=1)

fig = Figure(figsize=(8.4, 2.7), layout="constrained")
titles = ("coarse: 6 × 6", "enlarged to 12 × 12: blocks", "after a 3 × 3 mean")
for axes, picture, title in zip(fig.subplots(1, 3), (half, blocks, smoothed), titles):
    axes.pcolormesh(picture[0, 0].flip(0), cmap="cividis", edgecolors="white", linewidth=0.8)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    axes.set_aspect("equal")
show.figure(
    fig, alt="A slope of six by six cells, the same enlarged with visible blocks, and smoothed."
)

# %% [markdown]
# The network learns its own 3 × 3, one for each level. There is no activation function anywhere: a pyramid is **linear**.
#
# ### Exercise 3.2 · `FPN` · ●●○ · 20 min
#
# Write the class. `__init__` makes the layers, `forward` uses them: lateral first, then merge from the top down, then smooth,
# and only then. Think about the order of the loop: what M3 receives from above must contain C5, too.

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
        """Turn (B, C_i, H_i, W_i) maps, finest first, into (B, out_channels, H_i, W_i) levels."""
        ### BEGIN SOLUTION
        merged = [lateral(features) for lateral, features in zip(self.lateral, maps)]
        for fine in reversed(range(len(merged) - 1)):
            merged[fine] = merge_top_down(merged[fine], merged[fine + 1])
        return [smooth(level) for smooth, level in zip(self.smooth, merged)]
        ### END SOLUTION


# %%

check("FPN")

# %% [markdown]
# Who hears whom? Change **one cell of C5**, and see which cells of the pyramid move. **Guess first:** how many rows of P3 change?

# %%
torch.manual_seed(0)
fpn = FPN([40, 112, 320], 64)
maps = [torch.randn(1, count, side, side) for count, side in ((40, 32), (112, 16), (320, 8))]
touched = [features.clone() for features in maps]
touched[2][0, :, 4, 4] += 1
with torch.no_grad():
    moved = [(b - a).abs().sum(1)[0] for a, b in zip(fpn(maps), fpn(touched))]

fig = Figure(figsize=(8.4, 3.0), layout="constrained")
for axes, level, change in zip(fig.subplots(1, 3), (3, 4, 5), moved):
    axes.imshow(change, cmap="cividis")
    side = int((change > 1e-5).any(1).sum())
    axes.set_title(
        f"P{level}: {side} × {side} of {len(change)} × {len(change)} cells move", fontsize=9
    )
    axes.set_axis_off()
show.figure(
    fig,
    alt="Where P3, P4 and P5 change when one cell of C5 does: a square in each, "
    "of the same place in the picture.",
)
print(f"{sum(parameter.numel() for parameter in fpn.parameters()):,} parameters")

# %% [markdown]
# One cell of C5 reaches all three levels, at the same place of the picture. A cell of C3 would move P3 alone.
#
# ## 3.4 · Who reads which level? · 15 min
#
# Later a box will be cut out of the pyramid (lesson 06), to ask what is in it. Out of which level? Large boxes should read a
# coarse level, small ones a fine one, and a box twice as large should go one level up. Doubling means a logarithm to the base 2
# (Lin et al., equation 1):
#
# $$k = \left\lfloor k_0 + \log_2 \frac{\sqrt{w\,h}}{s} \right\rfloor$$
#
# In words: a box of size $s$, the **canonical size**, is the smallest that reads level $k_0$, which is 4. How many doublings lie between?

# %%
for size in (16, 31, 32, 63, 64, 127, 128):
    doublings = torch.log2(torch.tensor(size / 64)).item()
    print(f"size {size:4}   {doublings:+.2f} doublings of 64")

# %% [markdown]
# ### Exercise 3.3 · `level_for_box` · ●●○ · 15 min
#
# Fill in the level of each line on paper, then write the function. What becomes of boxes too small for the finest level, or too
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
        boxes: (R, 4) xyxy in pixels, float.
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
# Here are the boxes of a scene, each over the grid of the level it reads. **Move the slider** (arrow keys work, too). At which
# size do all boxes crowd on one level?

# %%
from coursekit.show.levels import explore_levels

explore_levels(image, target["boxes"], level_for_box=level_for_box)

# %% [markdown]
# The paper's canonical size is 224, for images of some 1,000 pixels. Ours have 320. What would 224 do to all the objects of
# `mini`?

# %%
fig = Figure(figsize=(7.2, 2.8), layout="constrained")
squares = torch.stack([0 * sizes, 0 * sizes, sizes, sizes], 1)
for axes, canonical in zip(fig.subplots(1, 2, sharey=True), (64, 224)):
    counts = torch.bincount(level_for_box(squares, 3, 5, canonical), minlength=6)[3:]
    shares = (counts / counts.sum()).tolist()
    bars = axes.bar(["level 3", "level 4", "level 5"], shares, color="#0072B2")
    axes.bar_label(bars, [f"{share:.0%}" for share in shares])
    axes.set(title=f"canonical size {canonical}", ylim=(0, 1.1))
    axes.set_ylabel("share of the objects")
    print(f"canonical size {canonical}:", ", ".join(f"{share:.0%}" for share in shares))
show.figure(fig, alt="Shares of objects on levels 3, 4, 5: spread with 64, crowded on 3 with 224.")

# %% [markdown]
# With 224, a pyramid of three levels is used as if it had one. Nothing crashes, nothing warns. Whenever you change the size of
# your images, look at this picture again.
#
# ## 3.5 · Does it help? An experiment · 15 min
#
# Three detectors, alike but for what they see: **C5 alone**, **C4 alone**, and **your pyramid**. The backbone is frozen, so its
# maps can be computed once and kept; then a training takes seconds, and we can afford each one several times, with different
# random starts (**seeds**). One run proves nothing: two seeds of one design may differ more than two designs.

# %%
from coursekit.lessons.experiments.cached_features import cache_features

train_cached = cache_features(train_set.head(quick(128, 8)), backbone)
val_cached = cache_features(val_set.head(quick(64, 8)), backbone)
for level, features in zip((3, 4, 5), train_cached.maps):
    print(f"C{level}: {tuple(features.shape)}")

# %% [markdown]
# Fair means: same images, same training, same number of channels, and boxes of the same six sizes to start from (**anchors**,
# lesson 04). On one map all six sizes start there; in the pyramid each level has two. An FPN over a single map is just its 1 ×
# 1 and 3 × 3.
#
# Two numbers for each size of object. **Recall**: which share of the objects has a box around it among the 100 that the detector
# looks at closely, whatever it takes them for? **AP50**: as in lesson 00, so the class must be right, too. Small is below 32
# pixels, large from 96, as COCO has it.
#
# **Your prediction** for small objects: which of the three has the best AP50? And for large ones?

# %%
from coursekit.evaluation.coco import run_engine
from coursekit.lessons.experiments.side_by_side import side_by_side
from coursekit.lessons.experiments.cached_features import (
    detector_on,
    predict_on,
    recall_by_size,
    train_on,
)

SIZES = ("small", "medium", "large")


def new_detector(make_neck, levels, anchors, seed):
    torch.manual_seed(seed)
    seen, parts = train_cached.levels(*levels), {"level_for_box": level_for_box}
    return detector_on(seen, make_neck(seen.channels, 32), 32, anchors, parts=parts)


def one_run(job):
    """Train one detector on kept features. Returns recall and AP50, three numbers each."""
    detector, levels, seed = job
    train_on(detector, train_cached.levels(*levels), quick(4, 1), seed=seed)
    unseen = val_cached.levels(*levels)
    proposals, results = predict_on(detector, unseen)
    recall = recall_by_size(proposals, unseen.targets, (0, 32, 96, 1000))
    precision = run_engine(results, unseen.dataset).precision[0, :, :, 1:, -1]  # (101, classes, 3)
    ap50 = [precision[..., k][precision[..., k] > -1].mean() for k in range(3)]
    return recall, ap50


def several_runs(designs):
    """Each design with several seeds. Shape of each: (seeds, 2, 3)."""
    seeds = range(quick(3, 2))
    jobs = [
        (new_detector(*design, seed), design[1], seed)
        for design in designs.values()
        for seed in seeds
    ]
    runs = torch.tensor(side_by_side(one_run, jobs))
    return dict(zip(designs, runs.split(len(seeds))))


on_one, on_three = [[14, 24, 36, 60, 90, 140]], [[14, 24], [36, 60], [90, 140]]
measured = several_runs(
    {
        "C5 alone": (FPN, (5,), on_one),
        "C4 alone": (FPN, (4,), on_one),
        "your pyramid": (FPN, (3, 4, 5), on_three),
    }
)

# %%
MARKS = (("#E69F00", "s"), ("#56B4E9", "^"), ("#0072B2", "o"), ("#D55E00", "D"))


def draw(measured):
    fig = Figure(figsize=(9.2, 3.4), layout="constrained")
    for measure, axes in enumerate(fig.subplots(1, 2)):
        for number, ((name, runs), (colour, mark)) in enumerate(zip(measured.items(), MARKS)):
            at = torch.arange(3) + 0.16 * (number - 1.5)
            axes.bar(at, runs[:, measure].mean(0), 0.14, color=colour, alpha=0.45)
            for run in runs[:, measure]:
                axes.plot(at, run, mark, color=colour, markeredgecolor="black", markersize=5)
            axes.plot([], [], mark, color=colour, markeredgecolor="black", label=name)
        axes.set_xticks(range(3), labels=SIZES)
        axes.set(xlabel="size of the object", ylim=(0, 1.02))
        axes.set_title(("recall of 100 proposals", "AP50")[measure])
    axes.legend(fontsize=8, loc="upper left")
    return fig


def table(measured):
    print(f"{'':22} {'recall':^24}   {'AP50':^24}")
    print(f"{'':22} " + "   ".join(f"{size:>6}" for size in SIZES * 2))
    for name, runs in measured.items():
        print(f"{name:22} " + "   ".join(f"{value:6.2f}" for value in runs.mean(0).flatten()))


show.figure(
    draw(measured),
    alt="Recall and AP50 by size of object for three designs, a point a seed, "
    "a bar for their mean; the numbers are printed below.",
)
table(measured)

# %% [markdown]
# Read it by columns. **Small objects**: C5 finds next to none, C4 some, and the pyramid has the most. **Large ones**: here the
# pyramid is behind! C4 alone puts every object on one map, so one set of weights sees them all; the pyramid's head has to learn
# three levels, each from its share of the objects, and this training is short. A pyramid is bought for the small ones. And mind
# how far apart the points of one design lie: a lead smaller than that is no lead.
#
# ## 3.6 · And the way down? · 5 min
#
# How much of this is owed to the **top-down path**, and how much just to having three maps? Leave the path out, and see. That
# needs no new code: an FPN over one map has nobody above it. So take three of them, side by side.
#
# **Write down your prediction first**: AP50 of small objects, with the path left out. It will stand in the picture.

# %%
my_guess = 0.2  # yours

# %%
from torch import nn


class WithoutTopDown(nn.Module):
    """Three pyramids of one level each: lateral, smooth, and nothing comes down."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.each = nn.ModuleList(FPN([channels], out_channels) for channels in in_channels)

    def forward(self, maps):
        return [fpn([features])[0] for fpn, features in zip(self.each, maps)]


measured |= several_runs({"no top-down path": (WithoutTopDown, (3, 4, 5), on_three)})

# %%
fig = draw(measured)
fig.axes[1].plot([-0.4, 0.4], [my_guess] * 2, color="black", linestyle="dashed")
fig.axes[1].text(-0.4, my_guess + 0.02, "your guess", fontsize=8)
show.figure(
    fig,
    alt="The same picture with a fourth design, the pyramid without its top-down path, "
    "and your guess as a dashed line.",
)
table(measured)

pyramid, without = (measured[name][:, 1, 0] for name in ("your pyramid", "no top-down path"))
spread = max((runs.max() - runs.min()).item() for runs in (pyramid, without))
print(
    f"\nAP50 of small objects: the path adds {(pyramid - without).mean().item():+.2f} on average;"
)
print(f"seeds of one design lie up to {spread:.2f} apart")

# %% [markdown]
# Was it what you had expected? On these drawings, after this training, the top-down path adds **nothing**: leave it out, and
# small objects are found just as well, or better. The finer map, or having *more levels*, did it. Why? Here is a guess: an emoji is known by its
# colours and edges, C3 sees those for itself, and what comes down from C4 and C5 is first of all one more thing to learn to
# ignore. How would you test that guess? (More epochs; photographs; a backbone that is trained along.)
#
# On photographs it is said to matter. These are the paper's figures for the proposals of a ResNet-50 on COCO (Lin et al., 2017,
# table 1; average recall of 1,000 proposals, in percent):
#
# | design | all | small | medium | large |
# |---|---|---|---|---|
# | C5 alone | 44.9 | 25.3 | 55.5 | 64.2 |
# | C4 alone | 48.3 | 32.0 | 58.7 | 62.2 |
# | a pyramid without the top-down path | 49.5 | 30.5 | 59.9 | 68.0 |
# | FPN | 56.3 | 44.9 | 63.4 | 66.2 |
#
# There the path makes the difference, most of all for small objects. Both results are true: of *these* data, with *this*
# training. An ablation says what a part is worth where it was measured. In lesson 10 you can measure it on your own images.

# %%
journal("03")

# %% [markdown]
# ## What could go wrong
#
# - **"The size of tensor a (85) must match the size of tensor b (86)."** A map was doubled where the finer one has an odd side
#   ([mmdetection #2157](https://github.com/open-mmlab/mmdetection/pull/2157)). Detectron instead pads every image until all sides
#   divide ([#121](https://github.com/facebookresearch/Detectron/issues/121)). Either is fine; neither is not.
# - **"Small objects are never found, and I have an FPN."** Images of another size, and the canonical size still 224: one level
#   does all the work ([vision #3129](https://github.com/pytorch/vision/issues/3129)). Draw the bars of 3.4 for your data.
# - **"The pyramid doesn't learn."** Its layers stand in a plain Python list. They run, but `parameters()` doesn't know them.
#
# ## What you learned
#
# Maps are either fine or wise. An FPN makes all of them equally wide (1 × 1), passes wisdom down (enlarge and add), and
# smooths. A box reads the level that suits its size, and one number, the canonical size, decides which. More levels help small
# objects; what the way down adds depends on the data.
#
# **Three questions to think about**
#
# <details><summary>1. Why do all levels have the same number of channels?</summary>
#
# They are added to each other. And the same head slides over all of them (lesson 05), so it must fit each.
#
# </details>
# <details><summary>2. Could the path run upwards as well, from fine to coarse?</summary>
#
# Yes: PANet adds just that, so that P5 gets exact positions by a short way. It costs time and helps a little on COCO.
#
# </details>
# <details><summary>3. Recall of small objects is much higher than their AP50. What does that tell you?</summary>
#
# They are found, but taken for the wrong class, or their boxes are not sure enough. Better proposals would not help much;
# better features or a longer training might.
#
# </details>
#
# **Next: 04 · Anchors.** At every cell of every level some boxes stand ready. You make them, and decide which of them are right.
#
# **To read on:** T.-Y. Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, sections 3 and 5.1 with table 1 · S.
# Liu et al., *Path Aggregation Network for Instance Segmentation*, 2018, section 3.1 · M. Tan et al., *EfficientDet*, 2020,
# section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 80, of which 50 writing.
#
# **What people get wrong.** `merge_top_down`: `scale_factor=2`, which works until a height is odd. `FPN`: adding the lateral
# map of the level above where the merged one is meant; smoothing before merging; layers in a plain list. `level_for_box`: area
# for its root; the canonical size of the paper on small images.
#
# **Questions to ask.** What did you predict for the top-down path, and what came out? What would you have to show to believe
# the paper on *these* data? Why three seeds, and are three enough?
