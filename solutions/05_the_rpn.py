# %% [markdown]
# # 05 · The RPN
#
# **110 minutes · you need lesson 04 · no GPU needed**
#
# Thousands of anchors stand ready in every image, and next to none of them fits anything. The **region proposal network**, RPN
# for short, looks at all of them at once and says: *here, and here, is something; and your box should be a little wider*. What
# it is, it doesn't say. Its best boxes, the **proposals**, are all that the rest of the detector will ever look at: what is
# missed here is lost.
#
# When you are done, you can
#
# - write the head that slides over a pyramid, with its outputs in the order of the anchors,
# - write its two losses, and tell from a number what is wrong with one,
# - write non-maximum suppression, and say why nobody runs it in Python,
# - turn thousands of opinions into some good boxes, train an RPN by itself, and measure how many objects it finds.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(5)

# %% [markdown]
# **Using an AI assistant here:** it may explain, you write. Hints open with the button under a check, or with `hint("nms")`.
#
# ## 5.1 · Asking everywhere at once · 25 min
#
# Three levels, two square anchors in each cell. What does that look like?

# %%
import math

import torch
from matplotlib.figure import Figure

from coursekit.data import load
from my_detector import make_anchors, match_anchors  # yours of lesson 04, or the course's

train_set, val_set = load("mini", "train"), load("mini", "val")
STRIDES = (8, 16, 32)
SIDES = ([12, 20], [32, 52], [84, 136])  # of the anchors on each level, in pixels


def anchors_for(height, width):
    """(N_level, 4) anchors of each level, for an image of this size."""
    grids = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES]
    each = zip(grids, STRIDES, SIDES)
    return [make_anchors(grid, (stride,) * 2, sides, [1.0]) for grid, stride, sides in each]


image, target = train_set[114]
gt_boxes = target["boxes"]
levels_of_anchors = anchors_for(*image.shape[1:])
anchors = torch.cat(levels_of_anchors)
matches = match_anchors(anchors, gt_boxes)

fig = Figure(figsize=(9.6, 3.1), layout="constrained")
some = anchors[torch.randperm(len(anchors), generator=torch.Generator().manual_seed(1))[:80]]
left, middle, right = fig.subplots(1, 3)
show.draw_boxes(left, image, some, [""] * len(some), title=f"80 of {len(anchors):,} anchors")
fit = anchors[matches >= 0]
show.draw_boxes(middle, image, fit, [""] * len(fit), title=f"the {len(fit)} that match an object")
names = [train_set.classes[label - 1] for label in target["labels"]]
show.draw_boxes(right, image, gt_boxes, names, title=f"the {len(gt_boxes)} objects")
for axes in (left, middle, right):
    axes.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
show.figure(
    fig,
    alt=f"One scene three times: under a thicket of 80 anchors, with the {len(fit)} that match, "
    f"and with its {len(gt_boxes)} objects.",
)

# %% [markdown]
# From left to middle is the question *is there anything?*, one yes or no for each anchor: its **objectness**. From middle to
# right is *how does its box differ?*: the four **deltas** of lesson 04. So for every cell of every level the network owes us,
# with A anchors in a cell, A numbers and 4 A numbers.
#
# A convolution gives just that. A 3 × 3 looks around, a 1 × 1 answers each question:
#
#                          ┌─ 1 × 1, A channels ───► objectness, as a logit
#     level ─ 3 × 3, ReLU ─┤
#                          └─ 1 × 1, 4 A channels ─► dx, dy, dw, dh of each anchor
#
# It is the *same* small network on all levels: a dog on P5 looks, to it, like a small dog on P3. That is why all levels have as
# many channels.
#
# One thing is left, and it is where people lose days. The convolution gives a map of A × H × W. Anchors stand in a list. Take
# one level of 2 × 3 cells with two anchors, and let every number say where it belongs: anchor, row, column.

# %%
logit_map = torch.tensor([[[111, 112, 113], [121, 122, 123]], [[211, 212, 213], [221, 222, 223]]])
print("shape", tuple(logit_map.shape), "  A × H × W")
print("as it lies in memory:    ", logit_map.flatten().tolist())

# The anchors of that level, each as its centre and size: cell by cell, and in a cell size by size.
for x1, y1, x2, y2 in make_anchors((2, 3), (8, 8), [12, 20], [1.0])[:4].tolist():
    print(f"  row {(y1 + y2) / 16 + 1:.0f}, column {(x1 + x2) / 16 + 1:.0f}, side {x2 - x1:.0f}")

# %% [markdown]
# The map begins with all cells of the first anchor. The list has both anchors of the first cell, then both of the second. If you
# only flatten, every number lands on a wrong anchor. Nothing crashes; the shapes are right.
#
# ### Exercise 5.1 · `RPNHead` · ●●○ · 15 min
#
# Write in pencil what the flattened list should be: 111, then? Then write the class.

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
            levels: (B, C, H_i, W_i) float, finest first.

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
# The check fed it maps in which each cell says its own place, as above: that shows a mix-up at once, where random numbers show
# only that something is wrong.
#
# **Before you run the next cell:** what will a fresh head, with weights near 0, say? Which objectness, and which box?

# %%
from coursekit.detector import decode_boxes

torch.manual_seed(0)
head = RPNHead(channels=32, anchors=2)
pretend = [
    torch.randn(1, 32, math.ceil(240 / stride), math.ceil(320 / stride)) for stride in STRIDES
]
with torch.no_grad():
    logits, deltas = head(pretend)
print(f"{sum(one.numel() for one in head.parameters()):,} parameters, {logits.shape[1]:,} answers")
objectness = logits.sigmoid()
print(f"objectness from {objectness.min():.3f} to {objectness.max():.3f}")
guesses = torch.cat(anchors_for(240, 320))
moved = (decode_boxes(deltas[0], guesses) - guesses).abs().max()
print(f"the corner of a box lies at most {moved:.1f} pixels from its anchor's")

# %% [markdown]
# Half sure of everything, and every box its anchor. That is a good place to begin: no opinion. Ren et al. draw the weights so
# small for just this reason.
#
# ## 5.2 · Two losses · 25 min
#
# Training needs a number for *how wrong*. There are two questions, so there are two numbers.
#
# **Objectness** is a yes or no: the price of an answer is $-\log$ of the probability that it gave to the truth (**binary
# cross-entropy**). **Deltas** are lengths: the price is their error, but a small error should cost little, and a large one
# shouldn't drown the rest. **Smooth L1** is a parabola near 0, a straight line beyond β = 1/9.

# %%
import torch.nn.functional as F

fig = Figure(figsize=(8.8, 2.9), layout="constrained")
left, right = fig.subplots(1, 2)
logit = torch.linspace(-6, 6, 121)
yes, no = torch.ones_like(logit), torch.zeros_like(logit)
for label, name, colour, style in (
    (yes, "an object", "#0072B2", "-"),
    (no, "background", "#D55E00", "--"),
):
    price = F.binary_cross_entropy_with_logits(logit, label, reduction="none")
    left.plot(logit, price, style, color=colour, label=f"truth: {name}")
left.plot([0], [math.log(2)], "ko", markersize=5)
left.annotate(
    f"no opinion: {math.log(2):.3f}",
    (0, math.log(2)),
    (-1.6, 3.2),
    fontsize=8,
    arrowprops={"arrowstyle": "->"},
)
left.set(xlabel="logit", ylabel="price", title="objectness: cross-entropy")
left.legend(fontsize=8)
error = torch.linspace(-0.5, 0.5, 201)
for beta, style, colour in ((1 / 9, "-", "#0072B2"), (1.0, "--", "#E69F00")):
    price = F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none")
    right.plot(error, price, style, color=colour, label=f"β = {beta:.2g}")
right.set(xlabel="error of a delta", ylabel="price", title="deltas: smooth L1")
right.legend(fontsize=8)
show.figure(
    fig,
    alt="Left, cross-entropy over the logit: it falls for objects, rises for background, and is "
    "0.693 where the logit is 0. Right, smooth L1 over the error: with a beta of 1/9 a V, "
    "with 1 a flat bowl.",
)

# %% [markdown]
# Who pays? If all anchors did, "there is nothing anywhere" would be right almost everywhere. **Guess** how cheap that lazy
# answer is, for the scene above, when all anchors pay; and when 256 of them pay, drawn by `sample_balanced` with at most half
# of them positive:

# %%
from my_detector import sample_balanced

lazy = torch.tensor(-6.0)  # sure that there is nothing
for words, number, fraction in (("all", 10**6, 1.0), ("256 drawn", 256, 0.5)):
    positives, negatives = sample_balanced(matches, number, fraction)
    yes, no = len(positives), len(negatives)
    cost = (yes * F.softplus(-lazy) + no * F.softplus(lazy)) / (yes + no)
    print(f"{words:10} {yes:3} objects, {no:5} background   the lazy answer costs {cost:.3f}")

# %% [markdown]
# Sampling makes objects count. And the box loss: background has no box that it should give, so **only positives** pay it. What
# is it divided by? Ren et al. divide both by the number of *sampled* anchors; then they stay in proportion, however many
# positives there are.
#
# ### Exercise 5.2 · `rpn_losses` · ●●● · 20 min
#
# You have all the parts since lesson 04: who matches whom, which ones are drawn, what a positive should have said. Put them
# together, image by image; the anchors are the same for all images of a batch. Mind the image without any object.

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
        logits: (B, N) float from `RPNHead`.
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
# Learn what they feel like. Below, heads that we make up speak about the scene above: one that is right, and some that are
# wrong in a way that you will meet. **Cover the numbers and guess** which loss each fault raises.

# %%
from coursekit.detector import encode_boxes

positive = matches >= 0
right_logits = torch.where(positive, 6.0, -6.0)
right_deltas = torch.zeros(len(anchors), 4)
right_deltas[positive] = encode_boxes(gt_boxes[matches[positive]], anchors[positive])


def mixed_up(values):
    """As a head gives them that flattens its maps as they lie."""
    lengths = [len(one) for one in levels_of_anchors]
    parts = [
        one.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1) for one in values.split(lengths)
    ]
    return torch.cat(parts)


shifted = right_deltas + positive[:, None] * torch.tensor([0.1, 0.0, 0.0, 0.0])
zeros = torch.zeros_like(right_logits)
heads = {
    "all is right": (right_logits, right_deltas),
    "no opinion, no deltas": (zeros, torch.zeros_like(right_deltas)),
    "“nothing anywhere”": (zeros - 6, right_deltas),
    "“objects everywhere”": (zeros + 6, right_deltas),
    "boxes a tenth of an anchor too far right": (right_logits, shifted),
    "deltas four times too large": (right_logits, 4 * right_deltas),
    "flattened in the wrong order": (mixed_up(right_logits), mixed_up(right_deltas)),
}
print(f"{'':42} objectness   boxes")
for name, (pred_logits, pred_deltas) in heads.items():
    torch.manual_seed(0)
    losses = rpn_losses(pred_logits[None], pred_deltas[None], anchors, [gt_boxes])
    print(f"{name:42} {losses['loss_objectness']:10.3f}   {losses['loss_rpn_box_reg']:.3f}")

# %% [markdown]
# What to remember: **0.693** is $\log 2$, no opinion; a loss that stays there is a head that learns nothing. A loss **above**
# it is a head that is sure and wrong about most anchors. The **box loss is small by nature**, divided as it is by anchors that
# mostly don't pay it: a head that moves nothing pays what the second line says, and one that pays more is worse than silence.
#
# And look at the last line, the dangerous one. In the wrong order a head costs hardly more than the lazy "nothing anywhere":
# few anchors are positive, so few are at the wrong place. The loss falls below 0.693 all the same, and who doesn't look at
# boxes is content.
#
# ## 5.3 · The surest stays: NMS · 30 min
#
# Around an object lie many anchors that overlap it more or less. A trained head says yes at most of them, and moves all of them
# to nearly the same box. Of each such heap we want one. **Non-maximum suppression** goes from the surest box down, and each box
# that stays drops all later ones that overlap it too much.
#
# Here are three boxes in a row. A overlaps B, B overlaps C, A and C hardly touch. **With a threshold of 0.4, which stay?**

# %%
from coursekit.detector import box_iou

chain = torch.tensor([[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [8.0, 0.0, 18.0, 10.0]])
for name, row in zip("ABC", box_iou(chain, chain).tolist()):
    print(name, "  ".join(f"{value:.2f}" for value in row))

# %% [markdown]
# It depends on who is surest. If A is, then A drops B; and B, **which is gone, drops nobody**: A and C stay. If B is surest, it
# drops both, and stays alone. A shortcut that lets every surer box drop others, gone or not, gets the first of these wrong.
#
# ### Exercise 5.3 · `nms` · ●●○ · 20 min
#
# Write it, with your `box_iou` of lesson 00; don't reach for torchvision's function yet.

# %%
# %%exercise nms
import torch
from torch import Tensor

from my_detector import box_iou


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Apply non-maximum suppression: from the best box down, drop later ones that overlap it.

    A dropped box suppresses nothing.

    Args:
        boxes: (N, 4) xyxy in pixels. N may be 0.
        scores: (N,) float, of any range. Of equal scores, the first comes first.
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
# **Now be the examiner.** Would you have found the shortcut with a test of your own? `catch` runs your inputs against wrong
# answers that people have handed in. The input below lets most of them through. Which boxes catch all?

# %%
apart = torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
catch("nms", (apart, torch.tensor([0.9, 0.8]), 0.5))

# %% [markdown]
# And on real boxes? Imagine an RPN whose objectness at each anchor is just the anchor's IoU with the nearest object. **Move the
# sliders** (arrow keys work, too). At which threshold does a heap become one box? At which one do two neighbours become one?

# %%
ideal = box_iou(gt_boxes, anchors).amax(0)
worth = ideal > 0.3
show.explore_nms(image, anchors[worth], ideal[worth], nms=nms)

# %% [markdown]
# torchvision has the same function in C++. Same positions? And how long does each take? **Write down your guess**: for the
# largest number of boxes below, how many times as fast is theirs?

# %%
import time

from torchvision import ops

most = quick(4000, 500)
counts = [most // 16, most // 8, most // 4, most // 2, most]
generator = torch.Generator().manual_seed(0)
corner = torch.rand(most, 2, generator=generator) * 300
crowd = torch.cat([corner, corner + 20 + 40 * torch.rand(most, 2, generator=generator)], 1)
scores = torch.rand(most, generator=generator)


def seconds(function, count):
    best = math.inf
    for _ in range(2):
        start = time.perf_counter()
        function(crowd[:count], scores[:count], 0.7)
        best = min(best, time.perf_counter() - start)
    return best


same = all(
    torch.equal(nms(crowd[:n], scores[:n], 0.7), ops.nms(crowd[:n], scores[:n], 0.7))
    for n in counts
)
mine, theirs = ([seconds(function, n) for n in counts] for function in (nms, ops.nms))
print("the same positions, in the same order, for", ", ".join(map(str, counts)), "boxes:", same)
print(
    f"{most} boxes: yours {mine[-1] * 1e3:.0f} ms, torchvision {theirs[-1] * 1e3:.1f} ms,", end=" "
)
print(f"{mine[-1] / theirs[-1]:.0f} times as fast")

fig = Figure(figsize=(6.4, 3.2), layout="constrained")
axes = fig.subplots()
axes.plot(counts, [1e3 * one for one in mine], "o-", color="#0072B2", label="yours, in Python")
axes.plot(
    counts, [1e3 * one for one in theirs], "s--", color="#D55E00", label="torchvision, in C++"
)
axes.set(xscale="log", yscale="log", xlabel="boxes", ylabel="milliseconds", title="NMS")
axes.set_xticks(counts, labels=counts)
axes.minorticks_off()
axes.legend(fontsize=8)
show.figure(
    fig,
    alt="Time of NMS over the number of boxes, logarithmic; torchvision's lies far below.",
)

# %% [markdown]
# A Python loop pays for each box it keeps, a few calls each time, however little there is to compute. So in training and
# detection torchvision's function, the **compiled twin**, stands in for yours: that is allowed because yours was proved equal.
# You know now what it does, and what it can't know: that two people who hold hands are two.
#
# ## 5.4 · Proposals · 30 min
#
# From thousands of opinions to some boxes that deserve a second look, in one image:
#
#     each level by itself:   the best `pre_nms_top_n` by logit ─► decode ─► cut at the image's edges
#                             ─► drop slivers and what has too little objectness ─► NMS
#     then all together:      best first ─► the best `post_nms_top_n`
#
# Why level by level? On a fine level there are far more anchors: it would push all others out. And a large object's box mustn't
# drop a small one's on its lap. Why cut before NMS? See for yourself:

# %%
two = torch.tensor([[0.0, 0.0, 20.0, 10.0], [0.0, 0.0, 60.0, 10.0]])  # in an image 22 pixels wide
cut = two.clamp(max=22)
print(f"IoU of the two as they came: {box_iou(two[:1], two[1:]).item():.2f}")
print(f"IoU of what is in the image: {box_iou(cut[:1], cut[1:]).item():.2f}")

# %% [markdown]
# ### Exercise 5.4 · `propose` · ●●● · 25 min
#
# The deltas of an untrained head are nonsense and those of a trained one sometimes, too: boxes may lie outside altogether. And
# **no gradient** flows through proposals: for what comes after they are just boxes, as the truth is.

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
        logits: (N,) float, objectness of the anchors of all levels, one level after the other.
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
# ## 5.5 · An RPN learns · 15 min
#
# All is there: your pyramid, your anchors, your head, your losses, your proposals. The backbone is frozen, so its maps are
# computed once, as in lesson 03, and the training takes seconds.

# %%
from coursekit.lessons.experiments.cached_features import cache_features, recall_by_size

train_cached = cache_features(train_set.head(quick(200, 16)))
val_cached = cache_features(val_set.head(quick(100, 16)))

# %% [markdown]
# Here is the RPN as a whole, and a function that asks it about all images.

# %%
from torch import nn
from tqdm.auto import tqdm

from my_detector import FPN

side = train_cached.side  # images are padded to one square
anchors_of_levels = anchors_for(side, side)
level_sizes = [len(anchors) for anchors in anchors_of_levels]
all_anchors = torch.cat(anchors_of_levels)


class RPN(nn.Module):
    def __init__(self, cached, channels=32):
        super().__init__()
        self.fpn = FPN(cached.channels, channels)
        self.head = RPNHead(channels, anchors=2)

    def forward(self, maps):
        return self.head(self.fpn([one.float() for one in maps]))


@torch.no_grad()
def proposals_of(rpn, cached, post_nms_top_n=300):
    proposals = []
    for rows in tqdm(torch.arange(len(cached)).split(8), "proposals", unit="batch"):
        logits, deltas = rpn([level[rows] for level in cached.maps])
        for image_logits, image_deltas, i in zip(logits, deltas, rows.tolist()):
            size = cached.sizes[i]
            args = all_anchors, level_sizes, size, 200, post_nms_top_n
            proposals.append(propose(image_logits, image_deltas, *args))
    return proposals


torch.set_num_threads(1)  # with maps so small, threads wait for each other longer than they work
torch.manual_seed(0)
rpn = RPN(train_cached)
before_training = proposals_of(rpn, val_cached)

# %% [markdown]
# **Your prediction:** which share of the small objects (below 32 pixels) do the best 10 proposals of each image find, before
# the training and after it? There are a few objects in each image. "Found" means: a proposal overlaps it with an IoU of at
# least a half.

# %%
my_guess_before, my_guess_after = 0.1, 0.5  # yours


# %%
def train(rpn, cached, epochs, lr=2e-3, num_sampled=256, fraction=0.5):
    """AdamW, a short warm-up, then down along a cosine. Returns both losses of each step."""
    steps = epochs * math.ceil(len(cached) / 4)
    optimizer = torch.optim.AdamW(rpn.parameters(), lr=lr, weight_decay=1e-4)
    course = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / 10) * 0.5 * (1 + math.cos(math.pi * step / steps)),
    )
    history = []
    with tqdm(total=steps, unit="step") as bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(cached)).split(4):
                logits, deltas = rpn([level[rows] for level in cached.maps])
                gt_boxes = [cached.targets[i]["boxes"] for i in rows.tolist()]
                losses = rpn_losses(logits, deltas, all_anchors, gt_boxes, num_sampled, fraction)
                optimizer.zero_grad()
                sum(losses.values()).backward()
                nn.utils.clip_grad_norm_(rpn.parameters(), 10.0)
                optimizer.step()
                course.step()
                history.append([loss.item() for loss in losses.values()])
                bar.update()
    return torch.tensor(history)


history = train(rpn, train_cached, quick(5, 1))
after_training = proposals_of(rpn, val_cached)

# %%
fig = Figure(figsize=(8.8, 2.7), layout="constrained")
names = ("objectness", "boxes")
for axes, values, name in zip(fig.subplots(1, 2), history.T, names):
    smooth = values.unfold(0, min(8, len(values)), 1).mean(1)
    axes.plot(values, color="#56B4E9", linewidth=0.6, label="each step")
    axes.plot(
        torch.arange(len(smooth)) + len(values) - len(smooth),
        smooth,
        color="#0072B2",
        label="mean of 8",
    )
    axes.set(xlabel="step", ylabel="loss", title=name, ylim=(0, None))
axes.legend(fontsize=8)
show.figure(
    fig,
    alt="Both losses over the steps; objectness falls from 0.69 at once, the box loss slowly.",
)
print(f"objectness, first step: {history[0, 0]:.3f}; the last 20: {history[-20:, 0].mean():.3f}")
print(f"boxes,      first step: {history[0, 1]:.3f}; the last 20: {history[-20:, 1].mean():.3f}")

# %% [markdown]
# It began at 0.69, as a head without an opinion must. The box loss starts small, since an anchor that matches is not far off,
# and it goes on falling when objectness has long settled. What do the proposals look like? The best 10 of each image, before
# and after:

# %%
fig = Figure(figsize=(9.6, 5.2), layout="constrained")
rows = fig.subplots(2, 3)
for column, i in enumerate((1, 6, 14)):
    picture, _ = val_set[i]
    height, width = picture.shape[1:]
    scale = width / val_cached.sizes[i][1]  # kept images have 320 pixels along the longer side
    for row, proposals, when in ((0, before_training, "before"), (1, after_training, "after")):
        axes = rows[row, column]
        best = proposals[i][:10] * scale
        show.draw_boxes(
            axes, picture, best, [""] * len(best), title=f"the best 10, {when} training"
        )
        axes.set(xlim=(0, width), ylim=(height, 0))
show.figure(
    fig,
    alt="Three scenes with ten proposals each. Before training they lie anywhere, "
    "after it they lie around objects.",
)

# %% [markdown]
# Look for two things. Several boxes on one object: their IoU lies below 0.7, so NMS let them stay; that is for the second stage
# to sort out. And things of none of the 16 classes, such as the balloon and the tree: does the RPN pass over them? To it,
# "something" means what the truth had marked in training.
#
# A picture is no measurement. **Recall** is: which share of the objects do the best k proposals find, by size?

# %%
KS = (10, 50, 100, 300)
SIZE_NAMES = ("small, below 32", "medium, 32 to 96", "large, from 96")


def recalls(proposals):
    """(4, 3): for each number of proposals, recall of small, medium and large objects."""
    edges = (0, 32, 96, 1000)
    best = [[boxes[:k] for boxes in proposals] for k in KS]
    return torch.tensor([recall_by_size(boxes, val_cached.targets, edges) for boxes in best])


before, after = recalls(before_training), recalls(after_training)

fig = Figure(figsize=(9.6, 3.0), layout="constrained")
for place, (axes, name) in enumerate(zip(fig.subplots(1, 3, sharey=True), SIZE_NAMES)):
    axes.plot(KS, after[:, place], "o-", color="#0072B2", label="after training")
    axes.plot(KS, before[:, place], "s--", color="#D55E00", label="before")
    if place == 0:
        axes.plot(
            [10, 10], [my_guess_before, my_guess_after], "k_", markersize=14, label="your guesses"
        )
        axes.set_ylabel("recall")
        axes.legend(fontsize=7, loc="center right")
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="proposals for each image", title=name)
    axes.set_xticks(KS, labels=KS)
    axes.minorticks_off()
show.figure(
    fig,
    alt="Recall over the number of proposals for three sizes, before and after training.",
)
print(f"{'proposals':>9}   " + "   ".join(f"{name:^18}" for name in SIZE_NAMES))
print(f"{'':9}   " + "   ".join(f"{'before':>8}  {'after':>8}" for _ in SIZE_NAMES))
for k, one, other in zip(KS, before.tolist(), after.tolist()):
    print(f"{k:9}   " + "   ".join(f"{a:8.2f}  {b:8.2f}" for a, b in zip(one, other)))

# %% [markdown]
# Read it from the right: with 300 proposals nearly everything is found, whatever its size. With 10, sizes part: large objects
# come first, smaller ones need patience. How many proposals a detector keeps is a bargain: each costs time in the second stage,
# and what isn't among them can't be found any more.
#
# ### Was the sampling worth it?
#
# You saw that "nothing anywhere" is cheap when all anchors pay. So train a second RPN in just that way: no sampling, every
# anchor counts that isn't ignored. **Predict**: is its loss lower or higher? And its recall at 10?

# %%
torch.manual_seed(0)
unsampled = RPN(train_cached)
its_history = train(unsampled, train_cached, quick(5, 1), num_sampled=10**6, fraction=1.0)
its_recall = recalls(proposals_of(unsampled, val_cached))
print(f"{'':12} objectness loss   recall of 10 proposals: small, medium, large")
for name, losses, recall in (("sampled", history, after), ("all anchors", its_history, its_recall)):
    tens = "   ".join(f"{value:.2f}" for value in recall[0].tolist())
    print(f"{name:12} {losses[-20:, 0].mean():15.3f}   {tens}")

# %% [markdown]
# Its loss is far lower, and it finds less, at every size. **Losses of two different sums can't be compared**, and a low loss is
# no aim in itself: where nearly all anchors are background, being right about background is nearly all there is to gain. And
# the box loss, divided by thousands of anchors that don't pay it, has hardly a voice. One run each: a gap of two or three
# hundredths would mean nothing here, as lesson 03 taught.
#
# ## 5.6 · With K classes it would be a detector · 5 min
#
# What keeps an RPN from being a detector? It says *something*, not *what*. Give each anchor K logits in place of one, and it
# is: a **one-stage detector**, as SSD, RetinaNet and YOLO are in essence. With what you wrote that takes five lines, here with
# the 16 classes of `mini` and as many deltas for each:

# %%
from coursekit.detector import decode_boxes

K = len(train_set.classes)
with torch.no_grad():
    pyramid = rpn.fpn([level[:1].float() for level in val_cached.maps])  # of one image

    one_stage = RPNHead(channels=32, anchors=2 * K)  # K questions for each anchor
    logits, deltas = one_stage(pyramid)
    scores = logits.unflatten(1, (-1, K)).sigmoid()  # Shape: (B, N, K)
    boxes = decode_boxes(deltas.unflatten(1, (-1, K)), all_anchors[:, None])  # (B, N, K, 4)
    keep = [ops.nms(boxes[0, :, k], scores[0, :, k], 0.5) for k in range(K)]

print(f"scores {tuple(scores.shape)}, boxes {tuple(boxes.shape)}")
print(f"{sum(map(len, keep)):,} boxes left: untrained, it is all noise")

# %% [markdown]
# Why two stages, then? The one-stage head decides from one cell's features, whatever the box; the second stage of ours *looks
# at the box itself* (lesson 06). And background is far worse there: all anchors, all classes, no sampling. RetinaNet's **focal
# loss** was invented for that. One stage is simpler and faster. Which is better for your images is a question for a
# measurement.

# %%
journal("05")

# %% [markdown]
# ## What could go wrong
#
# - **"loss_rpn_box_reg is nan, loss_objectness 0.6926."** Boxes whose second corner lies above the first: a negative height has
#   no logarithm ([vision #1120](https://github.com/pytorch/vision/issues/1120)). Note the other number: by now you can read it.
# - **"It trains, and is worse than the paper's."** Scores in one order, anchors in another
#   ([fpn.pytorch #6](https://github.com/jwyang/fpn.pytorch/issues/6)). Feed maps that say their own position.
# - **"NMS gives other boxes on the GPU."** Several had just the same score, and who comes first then was never promised
#   ([vision #2157](https://github.com/pytorch/vision/issues/2157)).
# - **"In half precision NMS drops nothing."** Areas overflow a float16
#   ([vision #3371](https://github.com/pytorch/vision/issues/3371)): compute boxes in 32 bits.
#
# ## What you learned
#
# An RPN is a 3 × 3 and two 1 × 1 convolutions, the same on all levels, with their outputs in the order of the anchors. It pays
# for objectness and, at positives, for deltas; a sample decides who pays. The best of each level are decoded, cut and thinned
# out, and what is left, best first, is all that the second stage sees.
#
# **Three questions to think about**
#
# <details><summary>1. Two people stand so close that their boxes overlap with an IoU of 0.75. What becomes of them?</summary>
#
# With a threshold of 0.7, the less sure one is dropped as soon as both boxes are exact, if both lie on one level. That is the
# price of NMS, and the reason why crowds are hard. A higher threshold keeps both, and more doubles everywhere.
#
# </details>
# <details><summary>2. Your objectness loss is 0.693 after 500 steps. What do you look at first?</summary>
#
# Whether the head's parameters are in the optimizer and get a gradient (is anything detached?), then the learning rate. It
# isn't the data: even with wrong labels it would learn that most anchors are background.
#
# </details>
# <details><summary>3. Why is recall the right measure for proposals, and not precision?</summary>
#
# A wrong proposal costs a little time: the second stage throws it out. A missing one can't be mended by anybody.
#
# </details>
#
# **Next: 06 · RoI features.** A proposal is four numbers. The second stage wants to know what is inside: you cut a patch of
# features out of the pyramid, between its cells.
#
# **To read on:** S. Ren et al., *Faster R-CNN*, 2015, section 3.1 with equation 1, and 3.3 · T.-Y. Lin et al., *Feature Pyramid
# Networks*, 2017, section 4.1 · T.-Y. Lin et al., *Focal Loss for Dense Object Detection*, 2017, section 3 · N. Bodla et al.,
# *Soft-NMS*, 2017.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 110, of which 80 writing. `propose` takes longest; `rpn_losses` looks worse than it is: lesson 04 has its parts.
#
# **What people get wrong.** `RPNHead`: flattened as the maps lie; or logits in order and deltas not. `rpn_losses`: divided by the
# positives; beta left at 1; the boxes taken in turn in place of those that the anchors match. `nms`: one-shot suppression;
# positions among the sorted boxes. `propose`: positions on a level used as if they were positions among all; height and width
# swapped; cut after the suppression.
#
# **Questions to ask.** What would a head say whose loss is 0.693? Why is the mean of two images' losses not the loss of both?
# (One has fewer sampled anchors.) Which boxes show a one-shot suppression? (A chain of three, the first surest.) What happens to
# an object whose box isn't among the proposals?
#
# **If there is time:** give `propose` an `nms_thresh` of 0.3 or 0.95, and predict recall at 10 and at 300 before drawing it.
