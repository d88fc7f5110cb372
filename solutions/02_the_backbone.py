# %% [markdown]
# # 02 · The backbone
#
# **80 minutes · you need lesson 00 · no GPU needed**
#
# A photograph goes in as a heap of numbers that say how red, green and blue each pixel is. What the rest of the detector wants
# to know is: *is there something furry here, about as large as a cat?* The **backbone** gets from the one to the other. It is a
# chain of convolutions, and somebody has already trained it for you, on 1.3 million photographs.
#
# When you are done, you can
#
# - say what a stride of 16 means, and how much of the image one cell sees,
# - decide what to freeze, and say what that saves and what it costs,
# - count the memory of a training step on paper, before the graphics card does it for you.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(2)

# %% [markdown]
# ## 2.1 · What a stride is · 8 min
#
# Our backbone is EfficientNet-Lite0: a **stem** (the first convolution), then seven **stages**. We walk a scene through it by
# hand, and whenever the map gets smaller, we keep the one before.

# %%
import torch

from coursekit.data import load
from coursekit.detector.backbone import IMAGENET_MEAN, IMAGENET_STD
from coursekit.detector.timm_models import timm_features

train_set, val_set = load("mini", "train"), load("mini", "val")
mean, std = (torch.tensor(three)[:, None, None] for three in (IMAGENET_MEAN, IMAGENET_STD))


def normalised(image):
    return (image / 255 - mean) / std  # the scale that the weights were trained on


body = timm_features("tf_efficientnet_lite0", pretrained=True).eval()
scene, target = train_set[19]
maps = []
with torch.no_grad():
    x = body.bn1(body.conv_stem(normalised(scene)[None]))
    for stage in body.blocks:
        before, x = x, stage(x)
        if x.shape[-1] < before.shape[-1]:
            maps.append(before[0])
    maps.append(x[0])

print("stride   channels   rows × columns   numbers")
for features in maps:
    channels, rows, columns = features.shape
    stride = scene.shape[-1] // columns
    print(f"{stride:6}   {channels:8}   {rows:4} × {columns:<7}   {features.numel():9,}")

# %%
from matplotlib.figure import Figure

fig = Figure(figsize=(9.5, 5), layout="constrained")
axes = fig.subplots(2, 3).flat
show.draw_boxes(axes[0], scene, target["boxes"], [""] * len(target["boxes"]), title="the scene")
for panel, features in zip(axes[1:], maps):
    height, width = scene.shape[1:]
    panel.imshow(features.abs().mean(0), cmap="cividis", extent=(0, width, height, 0))
    panel.set_title(f"stride {width // features.shape[2]}: {len(features)} channels", fontsize=9)
    panel.set(xlabel="pixels", ylabel="pixels")
show.figure(
    fig,
    alt="A scene, and five maps of it, mean strength over all channels. At stride 2 outlines can be "
    "made out; at stride 32 the map is a grid of some 80 cells.",
)

# %% [markdown]
# A **stride** of 16 means: go one cell to the right in the map, and you have gone 16 pixels to the right in the image. Each
# halving throws three quarters of the places away, and the channels pay some of it back: *where* is traded for *what*.
#
# A map is not one picture but many. Turn through the channels: near the stem they are edges and colours, deep down they are
# hardly pictures any more.


# %%
def one_channel(level, channel):
    features = maps[level]
    channel = channel % len(features)
    stride = scene.shape[-1] // features.shape[-1]
    fig = Figure(figsize=(5, 3.6), layout="constrained")
    axes = fig.subplots()
    axes.imshow(features[channel], cmap="cividis", extent=(0, scene.shape[2], scene.shape[1], 0))
    axes.set(title=f"stride {stride}, channel {channel}", xlabel="pixels", ylabel="pixels")
    return (
        fig,
        f"Channel {channel} of the map at stride {stride} as a grid of light and dark cells.",
    )


show.explore(one_channel, level=(0, 4, 1, 2), channel=(0, 31, 1, 3))

# %% [markdown]
# How small is too small? Take the smallest object of this scene, and measure it in cells.

# %%
boxes = target["boxes"]
smallest = (boxes[:, 2:] - boxes[:, :2]).prod(1).argmin()
width, height = (boxes[smallest, 2:] - boxes[smallest, :2]).tolist()
name = train_set.classes[target["labels"][smallest] - 1]
for stride in (4, 8, 16, 32):
    print(f"stride {stride:2}: the {name} is {width / stride:.1f} × {height / stride:.1f} cells")

# %% [markdown]
# Below one cell an object shares its numbers with whatever stands beside it. So detectors read several maps: ours at strides 8,
# 16 and 32. That is lesson 03.
#
# ## 2.2 · What one cell sees · 20 min
#
# A cell at stride 32 stands for 32 × 32 pixels. But does it *see* only those? Count on one line of pixels, with kernels of 3:
#
#     layer 2, stride 1           ●           reads 3 cells of layer 1,
#     layer 1, stride 2       ●   ●   ●       which lie 2 pixels apart
#     pixels                · · · · · · ·     and read 3 each: 7 pixels in all
#
# That window, 7 pixels here, is the cell's **receptive field**. Check it with a tensor: a gradient of one cell reaches just
# those pixels that it has read.

# %%
pixels = torch.zeros(1, 1, 15, requires_grad=True)
kernel = torch.ones(1, 1, 3)
layer1 = torch.nn.functional.conv1d(pixels, kernel, stride=2)
layer2 = torch.nn.functional.conv1d(layer1, kernel, stride=1)
layer2[0, 0, 2].backward()
print([int(value) for value in pixels.grad[0, 0]])

# %% [markdown]
# Seven pixels, and those in the middle of two windows were read twice: the centre counts for more than the rim. Keep that in
# mind.
#
# ### Exercise 2.1 · `receptive_field` · ●●○ · 15 min
#
# Two numbers are enough, and you carry them from layer to layer: how wide the window of a cell is, and how many pixels lie
# between neighbouring cells. Before the first layer, a cell is a pixel.
#
# In this lesson **an assistant may explain, and you write**. If you are stuck, the button under the check opens a hint; so does
# `hint("receptive_field")`.

# %%
# %%exercise receptive_field


def receptive_field(layers: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the receptive field and the stride of a cell of the last map, along one axis.

    Args:
        layers: (kernel, stride) of each layer, starting at the image.

    Returns:
        (size, stride) in pixels of the image: the width of a cell's window, and the distance
        between the windows of neighboring cells. Without layers, a cell is a pixel: (1, 1).

    >>> receptive_field([(3, 2), (3, 1)])
    (7, 2)
    """
    ### BEGIN SOLUTION
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride  # the cells it reads are `stride` pixels apart
        stride *= step
    return size, stride
    ### END SOLUTION


# %%
check("receptive_field")

# %% [markdown]
# A check is only as good as its inputs. Write some of your own: which lists of layers tell wrong answers from right ones? Two
# to begin with; add others until nothing gets through.

# %%
catch("receptive_field", ([(3, 1)],), ([(3, 1), (3, 1)],))

# %% [markdown]
# Now Lite0. All of its convolutions, in order, up to the end of each stage. **Guess first:** the scene is 320 pixels wide. How
# wide is the window of a cell at stride 32?

# %%
my_guess = 100  # pixels: put yours here, then run the cell

from torch import nn


def kernels_and_strides(module):
    convs = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return [(conv.kernel_size[0], conv.stride[0]) for conv in convs]


layers, fields = kernels_and_strides(body.conv_stem), {}
print("after      layers   stride   field")
for n, stage in enumerate(body.blocks, 1):
    layers = layers + kernels_and_strides(stage)
    size, stride = receptive_field(layers)
    fields[n] = size
    print(f"stage {n}   {len(layers):8}   {stride:6}   {size:4} pixels")
print(f"you said {my_guess}: {fields[7] / my_guess:.1f} times as wide in truth")

# %% [markdown]
# The last cells could see the whole scene, and more than twice as far. *Could.* What do they really look at? Ask the gradient:
# how much does a cell change if I change this pixel?
#
# First on noise, in a picture large enough for the window not to hit the rim. Two widths: of all pixels with any gradient, and
# of the middle part that holds 90 % of it.

# %%
from tqdm.auto import tqdm


def gradient_of_cell(image, stages):
    """(H, W): how much each pixel moves the cell in the middle of the map behind so many stages."""
    image = image[None].clone().requires_grad_()
    x = body.bn1(body.conv_stem(image))
    for stage in body.blocks[:stages]:
        x = stage(x)
    x[0, :, x.shape[2] // 2, x.shape[3] // 2].sum().backward()
    return image.grad[0].abs().sum(0)


def middle(line, share=0.9):
    """Width of the part of a line that holds this share, with half of the rest on either side."""
    so_far = line.cumsum(0) / line.sum()
    rest = (1 - share) / 2
    return int(((so_far > rest) & (so_far < 1 - rest)).sum())


side = quick(1024, 384)
torch.manual_seed(0)
print("stride   computed   any gradient   90 % of it")
for stages in tqdm((2, 3, 5, 7), leave=False):
    line = gradient_of_cell(torch.randn(3, 96, side), stages).sum(0)
    seen = line.nonzero()[:, 0]
    any_width, most = int(seen.max() - seen.min() + 1), middle(line)
    stride = {2: 4, 3: 8, 5: 16, 7: 32}[stages]
    rim = "" if fields[stages] < side else f"   (the picture is {side} wide)"
    print(f"{stride:6}   {fields[stages]:8}   {any_width:12}   {most:10}{rim}")

# %% [markdown]
# Your arithmetic and the gradient agree wherever the picture is wide enough. But the last column is a good deal narrower. There
# are many ways from a pixel in the middle to the cell, and few from one at the rim: the **effective** receptive field is a blot
# in the middle of the computed one (Luo et al., 2016). On a scene:

# %%
from matplotlib.patches import Rectangle

fig = Figure(figsize=(10, 3.2), layout="constrained")
widths = []
for panel, stages, stride in zip(fig.subplots(1, 3), (3, 5, 7), (8, 16, 32)):
    heat = gradient_of_cell(normalised(scene), stages)
    rows, columns = heat.sum(1).nonzero(), heat.sum(0).nonzero()
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    window = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="white")
    heat = torch.nn.functional.avg_pool2d(heat[None], 5, 1, 2)[0]
    panel.imshow(scene.float().mean(0), cmap="gray", alpha=0.6)
    panel.imshow((heat / heat.max()).sqrt(), cmap="inferno", alpha=0.65)
    panel.add_patch(window)
    widths.append(middle(heat.sum(0)))
    panel.set_title(f"stride {stride}: field {fields[stages]}, 90 % in {widths[-1]}", fontsize=9)
    panel.set(xlabel="pixels", ylabel="pixels")
show.figure(
    fig,
    alt="The scene three times, over it how much each pixel moves the cell in the middle, and a frame "
    "around all that it reads; from stride 16 on the frame is the whole scene. "
    f"90 % lie within {widths[0]} pixels at stride 8, {widths[1]} at stride 16, {widths[2]} at stride 32.",
)

# %% [markdown]
# So a cell has an idea of what surrounds it, and that is why it can tell a wheel of a car from a wheel of a bus.
# (EfficientNet-B0 and B3 have squeeze-and-excitation in each block: the mean of the *whole* map scales its channels. There,
# every cell sees everything, if dimly.)
#
# ## 2.3 · Pre-trained, or from scratch? · 10 min
#
# ImageNet has no drawn scenes. Is its knowledge worth anything here? A quick way to ask: cut each object out of its scene, and
# let the backbone with one linear layer say which of the 16 classes it is. Whatever the backbone doesn't see, no detector will
# box.

# %%
from torchvision.transforms.v2.functional import resized_crop


def cut_out(data, side=64):
    """Each object that is not tiny: (N, 3, side, side) normalised, and its class from 0."""
    crops, classes = [], []
    for image, target in data:
        for (x1, y1, x2, y2), label in zip(target["boxes"].tolist(), target["labels"].tolist()):
            edge = int(1.1 * max(x2 - x1, y2 - y1)) + 1
            top, left = int((y1 + y2 - edge) / 2), int((x1 + x2 - edge) / 2)
            if edge > 16:
                whole = normalised(image)
                crops.append(resized_crop(whole, top, left, edge, edge, [side, side]))
                classes.append(label - 1)
    return torch.stack(crops).contiguous(memory_format=torch.channels_last), torch.tensor(classes)


scenes = quick(240, 20)
crops, classes = cut_out(train_set.head(scenes))
val_crops, val_classes = cut_out(val_set.head(scenes // 4))
print(f"{len(crops)} objects to train on, {len(val_crops)} to test on")

fig = Figure(figsize=(9, 1.5), layout="constrained")
for panel, crop, label in zip(fig.subplots(1, 9), crops[:9], classes):
    panel.imshow((crop * std + mean).clamp(0, 1).permute(1, 2, 0))
    panel.set_axis_off()
    panel.set_title(train_set.classes[label], fontsize=8)
words = ", ".join(train_set.classes[label] for label in classes[:9])
show.figure(fig, alt=f"Nine cut-out objects, each with its class: {words}.")

# %% [markdown]
# Both take the same steps, with the same crops in the same order; only the weights that they start from differ. And then both a
# second time with the backbone left alone: its features need to be **computed only once and kept**, and what remains to be
# trained is one matrix.
#
# **Predict:** of 16 classes, guessing gets 6 % right. After 30 steps of 32 crops, what will the pre-trained one get? And the
# other?

# %%
import time

import torch.nn.functional as F


def new_body(pretrained):
    torch.manual_seed(0)
    body = timm_features("tf_efficientnet_lite0", pretrained)
    return body.to(memory_format=torch.channels_last)


@torch.no_grad()
def features_of(body, crops):
    body.eval()
    return torch.cat([body(some)[-1].mean((2, 3)) for some in crops.split(128)])  # Shape: (N, 320)


def accuracy(body, head):
    answers = head(features_of(body, val_crops)).argmax(1)
    return (answers == val_classes).float().mean().item()


def new_head():
    torch.manual_seed(0)
    return nn.Linear(320, 16)


def learn(body, head, steps, lr=1e-3, batch=32, norm_frozen=False, look_every=None):
    """Train a body and a linear layer; accuracy on objects it has not seen: [(step, share), …]."""
    generator, accuracies = torch.Generator().manual_seed(0), []
    trained = [parameter for parameter in body.parameters() if parameter.requires_grad]
    groups = [{"params": trained, "lr": lr}, {"params": head.parameters(), "lr": 10 * lr}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
    for step in tqdm(range(1, steps + 1), leave=False):
        body.train(not norm_frozen)  # in eval mode batch norm keeps its statistics
        chosen = torch.randint(len(crops), (batch,), generator=generator)
        loss = F.cross_entropy(head(body(crops[chosen])[-1].mean((2, 3))), classes[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == steps or (look_every and step % look_every == 0):
            accuracies.append((step, accuracy(body, head)))
    return accuracies


# %%
steps = quick(30, 2)
curves = {}
for name, pretrained in (("pre-trained", True), ("random", False)):
    start = time.perf_counter()
    body, head = new_body(pretrained), new_head()
    curves[name] = learn(body, head, steps, look_every=max(1, steps // 3))
    seconds = time.perf_counter() - start
    print(f"{name:12} all of it trained: {curves[name][-1][1]:.0%} right after {seconds:.0f} s")


# %%
def train_head(features, epochs):
    """A linear layer on features that were kept. They are brought to mean 0 and spread 1 first."""
    head, middle, spread = new_head(), features.mean(0), features.std(0) + 1e-6
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(epochs):
        for chosen in torch.randperm(len(features)).split(32):
            loss = F.cross_entropy(head((features[chosen] - middle) / spread), classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return lambda some: head((some - middle) / spread)


cached, heads = {}, {}
for name, pretrained in (("pre-trained", True), ("random", False)):
    start = time.perf_counter()
    net = new_body(pretrained)
    heads[name] = train_head(features_of(net, crops), quick(30, 3))
    cached[name] = accuracy(net, heads[name])
    print(f"{name:12} frozen, kept: {cached[name]:.0%} after {time.perf_counter() - start:.0f} s")

# %%
fig = Figure(figsize=(6.6, 3.6), layout="constrained")
axes = fig.subplots()
looks = [("pre-trained", "#0072B2", "o"), ("random", "#D55E00", "s")]
for name, colour, marker in looks:
    axes.plot(*zip(*curves[name]), color=colour, marker=marker, label=f"{name}, trained")
    axes.axhline(cached[name], color=colour, linestyle="--", label=f"{name}, frozen")
axes.axhline(1 / 16, color="black", linestyle=":", label="guessing")
axes.set(ylim=(0, 1), xlabel="steps of 32 objects", ylabel="share right, on unseen objects")
axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
ends = ", ".join(f"{name} {curve[-1][1]:.0%}" for name, curve in curves.items())
show.figure(fig, alt=f"Accuracy over steps: at the end {ends}; dashed lines for frozen backbones.")

# %% [markdown]
# Three things to see here. The pre-trained one is far ahead, on drawings that it has never met: edges and textures are the same
# everywhere. Frozen, it does as well as trained, in less time; with its features kept, the matrix goes over all objects many
# times while the other takes its 30 steps. And the third is odd: a *random* backbone, frozen, is far better than guessing, and
# better than the random one that was trained for a longer time! Random filters keep colours and shapes apart well enough for a
# matrix to use, and 30 steps are too few to find better ones.
#
# Be fair to the random start: these were 30 steps. With enough data and time it catches up on COCO (He et al., *Rethinking
# ImageNet Pre-training*, 2019, section 4). You have neither the time nor the card.
#
# ## 2.4 · Freezing · 20 min
#
# Between *all trained* and *all frozen* lies what most detectors do: freeze the first stages, whose edges and colours fit
# anything, and train the rest. In PyTorch a weight is frozen by telling it that it needs no gradient. On one small layer:

# %%
layer = nn.Conv2d(3, 8, 3)
print([(name, parameter.requires_grad) for name, parameter in layer.named_parameters()])
layer.weight.requires_grad = False
print([(name, parameter.requires_grad) for name, parameter in layer.named_parameters()])

# %% [markdown]
# Our body has the stem, in two pieces, and the stages:

# %%
for name, child in body.named_children():
    count = sum(parameter.numel() for parameter in child.parameters())
    print(f"{name:10} {type(child).__name__:15} {count:9,} weights")
print(", ".join(f"blocks[{n}] {len(stage)}" for n, stage in enumerate(body.blocks)), "blocks deep")

# %% [markdown]
# ### Exercise 2.2 · `freeze_stages` · ●●○ · 20 min
#
# The stem is stage one, `blocks[0]` is stage two, and so on. Mind three corners: the stem is more than its convolution; what
# somebody has frozen before stays frozen; and a slice such as `[:-1]` does not mean what a negative count should.

# %%
# %%exercise freeze_stages
from torch import nn


def freeze_stages(body: nn.Module, count: int) -> None:
    """Stop training the first `count` stages of one of timm's EfficientNets; the stem is the first.

    The stem is all children of `body` but `blocks`. Each child of `body.blocks` is another stage.
    A count larger than the number of stages freezes all. Parameters of the other stages stay as
    they are, frozen or not. Batch norm stays in its mode and keeps updating its statistics.

    Args:
        body: a module with an nn.Sequential `blocks`. It is changed in place.
        count: 0 freezes nothing.

    Raises:
        ValueError: `count` is negative.
    """
    ### BEGIN SOLUTION
    if count < 0:
        raise ValueError(f"count is {count}, which is negative. Use 0 to train all stages.")
    stem = [child for name, child in body.named_children() if name != "blocks"]
    for stage in [nn.ModuleList(stem), *body.blocks][:count]:
        for parameter in stage.parameters():
            parameter.requires_grad = False
    ### END SOLUTION


# %%
check("freeze_stages")

# %% [markdown]
# What does it save? Two things: the gradients of the frozen weights, and, more than that, all maps that backward will not ask
# for. PyTorch can tell us what it keeps: a hook is called for each tensor that forward lays aside.


# %%
def kept_for_backward(net, images):
    """Bytes of the maps that forward keeps; weights are not counted, nor a map twice."""
    sizes = {}

    def keep(tensor):
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net(images)  # a name for it: what nobody holds is freed, and its place used again
    del output
    return sum(sizes.values())


def seconds_of_step(net, images):
    start = time.perf_counter()
    maps = net(images)
    if maps[-1].requires_grad:
        sum(features.sum() for features in maps).backward()
    return time.perf_counter() - start


# %%
batch = normalised(train_set[0][0])[None].repeat(2, 1, 1, 1)
batch = batch.contiguous(memory_format=torch.channels_last)
nets = {count: new_body(pretrained=True).eval() for count in (0, 1, 3, 5, 8)}
for count, net in nets.items():
    freeze_stages(net, count)
rounds = [{count: seconds_of_step(net, batch) for count, net in nets.items()} for _ in range(5)]

print("frozen   weights trained   kept for backward   forward and backward")
for count, net in nets.items():
    trained = sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
    kept_mib = kept_for_backward(net, batch) / 2**20
    best = min(times[count] for times in rounds) * 1e3
    print(f"{count:6}   {trained:15,}   {kept_mib:13.0f} MiB   {best:17.0f} ms")

# %% [markdown]
# Look at three stages. Hardly a weight is frozen by that, yet half of the memory is gone, and a good part of the time: the
# first maps are the largest ones, and the first weights the fewest. And what does it cost? The same 30 steps as before:

# %%
costs = {0: curves["pre-trained"][-1][1]}
net = new_body(pretrained=True)
freeze_stages(net, 3)
costs[3] = learn(net, new_head(), steps)[-1][1]
costs[8] = cached["pre-trained"]
for count, share in costs.items():
    kind = "kept features, 30 rounds of the matrix" if count == 8 else f"{steps} steps"
    print(f"{count} stages frozen: {share:.0%} right   ({kind})")

# %% [markdown]
# One seed, and some 350 objects to test on: two or three percent up or down are chance. So on these drawings the price can't be
# told from nothing. Measure it again on your own data, where the classes may be further from ImageNet's. The course's detector
# freezes three stages unless told otherwise.
#
# ### The trap: a frozen network that moves
#
# Take the pre-trained body, freeze *all* of it, and the matrix that was trained on its features above. Then show it a few
# crops, two at a time, in training mode. No optimizer, no gradient, no step. **Predict:** will the accuracy be the same
# afterwards?

# %%
net = new_body(pretrained=True)
freeze_stages(net, 8)
print(f"before: {accuracy(net, heads['pre-trained']):.0%}")
weights = [parameter.clone() for parameter in net.parameters()]
mean_before = net.bn1.running_mean.clone()
net.train()
with torch.no_grad():
    for pair in crops[:60].split(2):
        net(pair)
same = all(torch.equal(old, new) for old, new in zip(weights, net.parameters()))
print(f"after:  {accuracy(net, heads['pre-trained']):.0%}   all weights the same: {same}")
moved = (net.bn1.running_mean - mean_before).abs().mean() / mean_before.abs().mean()
print(f"the stem's running means have moved by {moved:.0%} on average")

# %% [markdown]
# **Batch norm** brings each channel to mean 0 and spread 1. In eval mode it goes by statistics that it has stored; in train
# mode by those *of this batch*, and stores a bit of them each time. They are buffers, not weights, so `requires_grad` has no
# say in them.
#
# With 32 crops that is a good estimate. With the two images that fit a small card, it is noise. Two learning rates, batch norm
# in either mode, batches of two:

# %%
from itertools import product

from coursekit.lessons.experiments.side_by_side import side_by_side


def with_two_crops(job):
    (lr, norm_frozen), body, head = job
    many = quick(80, 2)
    return learn(body, head, many, lr, batch=2, norm_frozen=norm_frozen)[-1][1]


pairs = list(product((2e-4, 1e-3), (False, True)))
jobs = [(pair, new_body(pretrained=True), new_head()) for pair in pairs]
results = dict(zip(pairs, side_by_side(with_two_crops, jobs)))  # small work: a core for each run
print("learning rate   by the batch   frozen")
for lr in (2e-4, 1e-3):
    print(f"{lr:13}   {results[lr, False]:12.0%}   {results[lr, True]:6.0%}")

# %% [markdown]
# At the small learning rate frozen statistics win clearly: they come from a million photographs, not from two crops. At the
# large one they fall apart. A likely reason: the weights walk away from the statistics that were stored for them, and nothing
# brings the channels back to mean 0 and spread 1. That is the price. (One seed, and short; the gaps are wide.) So **frozen
# batch norm goes with a small learning rate for the backbone**; the course trains it at a tenth of the rest.
#
# Does it save memory? Not by itself. But frozen, a norm is just `y · scale + shift` for each channel, and that can be
# multiplied into the convolution before it. The course's backbone does so, and a map for every layer is gone:

# %%
from coursekit.detector import load_backbone

plain_body = new_body(pretrained=True)
print("what forward keeps of two scenes:")
print(f"batch norm by the batch  {kept_for_backward(plain_body.train(), batch) / 2**20:4.0f} MiB")
print(f"batch norm frozen        {kept_for_backward(plain_body.eval(), batch) / 2**20:4.0f} MiB")
folded = load_backbone(frozen_stages=0)
print(f"folded into convolutions {kept_for_backward(folded, batch) / 2**20:4.0f} MiB")

# %% [markdown]
# ## 2.5 · Will it fit? · 22 min
#
# An intern took EfficientNet-B3, the detector that everybody builds from timm and torchvision, COCO at its full size, and a
# laptop with 4 GB. `CUDA out of memory`. Batch 1: `CUDA out of memory`. Could that have been known in advance?
#
# Four things lie in a card's memory while it trains:
#
# | | how much |
# |---|---|
# | **weights** | 4 bytes each, in float32 |
# | **gradients** | as many again, for those that are trained |
# | **optimizer state** | AdamW remembers two numbers of each trained weight: a mean gradient and a mean square |
# | **activations** | the maps that backward needs; the only one that grows with images and their size |
#
# On paper: one 3 × 3 convolution from 3 to 8 channels, one image of 4 × 4 pixels, a ReLU behind. There are 3 · 8 · 9 = 216
# weights, so 864 bytes of them, as many of gradients, and twice as many of state. And for backward? The convolution keeps its
# *input* (to know how each weight took part), the ReLU its *output* (to know where it was 0).

# %%
small = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU())
print(kept_for_backward(small, torch.rand(1, 3, 4, 4)), "bytes kept")
print("input", 3 * 4 * 4 * 4, "output", 8 * 4 * 4 * 4)

# %% [markdown]
# ### Exercise 2.3 · `count_memory` · ●●● · 20 min
#
# Now for a chain. A ReLU's output is the next convolution's input: one tensor, counted once. Frozen layers come first in the
# chain, and backward never gets to them: think what need not be kept.

# %%
# %%exercise count_memory


def count_memory(
    layers: list[tuple[int, int, int, int]], images: tuple[int, int, int], frozen: int = 0
) -> dict[str, int]:
    """Count the bytes that a training step of a chain of convolutions holds.

    Each layer is a convolution without bias, padded by kernel // 2, and a ReLU. All numbers are
    float32. A stride that doesn't divide a size rounds up: 5 pixels with a stride of 2 give 3
    cells. For backward, a trained convolution keeps its input and its ReLU keeps its output.

    Args:
        layers: (in_channels, out_channels, kernel, stride) of each layer, starting at the image;
            kernels are odd.
        images: (batch, height, width).
        frozen: number of layers, starting at the image, that are not trained; at most all.

    Returns:
        Bytes by kind: "weights" of all layers; "gradients"; "optimizer", AdamW's two numbers per
        trained weight; "activations", what forward keeps for backward.

    >>> count_memory([(3, 8, 3, 1)], (1, 4, 4))
    {'weights': 864, 'gradients': 864, 'optimizer': 1728, 'activations': 704}
    """
    ### BEGIN SOLUTION
    batch, height, width = images
    weights, maps = [], [batch * layers[0][0] * height * width]
    for in_channels, out_channels, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)  # rounded up
        weights.append(in_channels * out_channels * kernel**2)
        maps.append(batch * out_channels * height * width)
    trained = sum(weights[frozen:])
    cached = sum(maps[frozen:]) if frozen < len(layers) else 0
    return {
        "weights": 4 * sum(weights),
        "gradients": 4 * trained,
        "optimizer": 8 * trained,
        "activations": 4 * cached,
    }
    ### END SOLUTION


# %%
check("count_memory")

# %% [markdown]
# Paper against PyTorch, on a chain like a small backbone's:

# %%
chain = [(3, 32, 3, 2), (32, 64, 3, 2), (64, 128, 3, 2), (128, 256, 3, 2), (256, 512, 3, 2)]
print("frozen   counted        PyTorch keeps")
for frozen in range(6):
    net = nn.Sequential()
    for n, (c_in, c_out, kernel, stride) in enumerate(chain):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        net += nn.Sequential(conv.requires_grad_(n >= frozen), nn.ReLU())
    counted = count_memory(chain, (2, 240, 320), frozen)["activations"]
    measured = kept_for_backward(net, torch.rand(2, 3, 240, 320))
    print(f"{frozen:6}   {counted:10,}   {measured:10,} bytes")

# %%
sides = (80, 160, 320, 640, 1280)
per_side = {side: count_memory(chain, (1, side, side)) for side in sides}
looks = {
    "weights": ("#0072B2", "o", 6),
    "gradients": ("#E69F00", "s", 2),
    "optimizer": ("#CC79A7", "^", 2),
    "activations": ("#009E73", "D", 2),
}
fig = Figure(figsize=(6.4, 3.6), layout="constrained")
axes = fig.subplots()
for kind, (colour, marker, width) in looks.items():
    heights = [memory[kind] / 2**20 for memory in per_side.values()]
    axes.plot(sides, heights, color=colour, marker=marker, linewidth=width, label=kind)
axes.set(xscale="log", yscale="log", xlabel="side of one image, pixels", ylabel="MiB")
axes.set_xticks(sides, [str(side) for side in sides])
axes.legend()
show.figure(
    fig,
    alt="Memory over the side of the image, both on logarithmic axes. Activations rise fourfold with "
    "each doubling; the others are level, gradients upon weights, the state at twice the weights.",
)

# %% [markdown]
# Twice the side, four times the activations: of small images the state weighs most, of large ones the activations.
#
# ### Three backbones on one card
#
# A real detector has branches, batch norm and a pyramid, so you let a program count: `coursekit.memory` takes a training step
# with tensors that have a shape and no content, and writes down what is alive when. No GPU and no weights are needed for that.
# Here the detector is as the intern built it: float32, nothing frozen, one image.

# %%
from torch.utils.flop_counter import FlopCounterMode

from coursekit.memory import Constants, StepConfig, predict, usable

SIZES = [(800, 1333), (320, 320)][: quick(2, 1)]
NAMES = {
    "tf_efficientnet_lite0": "Lite0",
    "efficientnet_b0": "B0",
    "efficientnet_b3": "B3",
}
as_built = {"folds_norm": False, "channels": 256, "hidden": 1024, "frozen_stages": 0}
rows = []
for backbone in tqdm(list(NAMES)[-quick(3, 1) :], leave=False):
    with torch.device("meta"):
        empty = timm_features(backbone, pretrained=False).eval()
    weights = sum(parameter.numel() for parameter in empty.parameters())
    for size in SIZES:
        with FlopCounterMode(display=False) as operations, torch.no_grad():
            empty(torch.empty(1, 3, *size, device="meta"))
        setting = StepConfig(backbone, size, batch=1, precision="fp32", **as_built)
        gib = predict(setting).total / 2**30
        rows.append((NAMES[backbone], weights, size, operations.get_total_flops() / 1e9, gib))

print("backbone   its weights   image          backbone, forward   detector, training step")
for name, weights, (height, width), billions, gib in rows:
    image = f"{height} × {width}"
    print(
        f"{name:8}   {weights / 1e6:7.1f} M     {image:10}   {billions:8.1f} GFLOP   {gib:16.2f} GiB"
    )
budget = usable(4, Constants()) / 2**30
print(f"of a card of 4 GiB some {budget:.2f} GiB are left for tensors")

# %% [markdown]
# (A GFLOP is a billion operations, a product and a sum counted as two.) The rest of a card goes to the driver, to the desktop,
# and to gaps between tensors.
#
# There is the intern's story in one line: B3 at 800 × 1333 needs more than is left, with *one* image. Nothing was wrong with
# the code. What could have been changed? One thing after the other:

# %%
from coursekit.memory.step_config import KINDS

full = (800, 1333)
ladder = {
    "as built, 1 image": StepConfig("efficientnet_b3", full, 1, "fp32", **as_built),
    "norm folded, smaller pyramid": StepConfig("efficientnet_b3", full, 1, "fp32", 0),
    "and 3 stages frozen": StepConfig("efficientnet_b3", full, 1, "fp32", 3),
    "and half precision": StepConfig("efficientnet_b3", full, 1, "bf16", 3),
    "and 640 pixels, 4 images": StepConfig("efficientnet_b3", (640, 640), 4, "bf16", 3),
    "Lite0 for B3, 8 images": StepConfig("tf_efficientnet_lite0", (640, 640), 8, "bf16", 3),
}
chosen = list(ladder)[: quick(len(ladder), 2)]
peaks = {words: predict(ladder[words]) for words in tqdm(chosen, leave=False)}

colours = dict(zip(KINDS, ["#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442"]))
hatches = dict(zip(KINDS, ["", "xx", "..", "//", "\\\\"]))
fig = Figure(figsize=(8.4, 3.6), layout="constrained")
axes = fig.subplots()
for row, peak in enumerate(peaks.values()):
    start = 0.0
    for kind in KINDS:
        part, label = getattr(peak, kind) / 2**30, kind if row == 0 else None
        look = {"color": colours[kind], "hatch": hatches[kind], "edgecolor": "white"}
        axes.barh(row, part, left=start, label=label, **look)
        start += part
    verdict = "fits" if start <= budget else "does not fit"
    axes.text(start + 0.05, row, f"{start:.1f}  {verdict}", va="center", fontsize=9)
axes.axvline(budget, color="black", linestyle="--")
axes.text(budget + 0.03, -0.62, "usable of 4 GiB", fontsize=9)
axes.set(xlim=(0, 6), ylim=(len(peaks) - 0.4, -0.9), xlabel="GiB at the peak of a training step")
axes.set_yticks(range(len(peaks)), list(peaks))
axes.legend(loc="lower right", fontsize=8)
words = "; ".join(f"{words} {peak.total / 2**30:.1f}" for words, peak in peaks.items())
show.figure(fig, alt=f"Bars of predicted memory in GiB, against {budget:.1f} usable: {words}.")

# %% [markdown]
# Which of the steps helped most, and which of them costs accuracy? Folding a frozen norm computes the very same thing. Three
# frozen stages cost too little to be seen, in 2.4. A narrower pyramid and half precision you can try in lesson 08. Smaller
# images cost small objects: they vanish in lesson 03. (The bars show the moment when most is held: forward has ended, and few
# gradients are there yet.) For your own card, in a terminal: `coursekit plan --vram 4 --backbone efficientnet_b3`.
#
# What did you ask an assistant today, and was it right? Two lines in the journal:

# %%
journal("02")

# %% [markdown]
# ## What could go wrong
#
# - **"I froze the backbone, and it changes all the same."** Batch norm's statistics, as above. `eval()` helps until the next
#   `model.train()`, which every epoch calls. It is asked again and again:
#   [pytorch#86590](https://github.com/pytorch/pytorch/issues/86590),
#   [lightly#1438](https://github.com/lightly-ai/lightly/issues/1438). The course's `Backbone` overrides `train`.
# - **"Trained from scratch, AP stays low."** The first stages were frozen at their *random* weights; torchvision's builder once
#   did so without saying: [vision#2164](https://github.com/pytorch/vision/issues/2164). Freeze only what was trained.
# - **"I asked for nothing to be trained, and some of it is."** A count that is off by one, or a stage list that forgets a
#   piece: [vision#3905](https://github.com/pytorch/vision/issues/3905),
#   [vision#4548](https://github.com/pytorch/vision/issues/4548). Count the trained weights for each number of stages, as you
#   did; the list must fall.
# - **"The loss is fine, the features are nonsense."** Images in 0 to 255 for weights that want them normalised. Nothing
#   crashes.
#
# ## What you learned
#
# A stride is pixels per cell. A field grows by (kernel − 1) times the stride so far, and a cell looks mostly at the middle of
# it. A pre-trained start is worth more than anything else you can do in a minute. Freezing early stages saves the large maps
# and costs little, but only weights are frozen by it: batch norm needs a hold of its own. A step holds weights, gradients,
# state and activations, and you can add them up.
#
# **Three questions to think about**
#
# <details><summary>1. You take the stride-2 convolution of the stem away. What happens to the field of the last cells, and to the memory?</summary>
#
# The stride behind the stem is 1 rather than 2, so all that later layers add is halved: the field is about half as wide. Every
# map has twice as many rows and columns: four times the activations.
#
# </details>
# <details><summary>2. You freeze the last stages and train the first. What is saved?</summary>
#
# The gradients and state of the last ones. Of the activations little: backward has to go through the frozen stages to reach the
# others, so it still needs whatever their ReLUs kept.
#
# </details>
# <details><summary>3. Why do 8 images take less than 8 times the memory of one?</summary>
#
# Weights, gradients and optimizer state are there once, whatever the batch. Only activations are multiplied.
#
# </details>
#
# **Next: 03 · The FPN.** Three maps, each with a weakness: the fine one is stupid, the wise one is coarse. You let them talk to
# each other.
#
# **To read on:** A. Araujo, W. Norris, J. Sim, *Computing Receptive Fields of Convolutional Neural Networks*, Distill, 2019 ·
# W. Luo et al., *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, 2016, section 2 · M. Tan,
# Q. Le, *EfficientNet*, 2019, sections 3 and 4 · S. Ioffe, C. Szegedy, *Batch Normalization*, 2015, section 3 · K. He, R.
# Girshick, P. Dollár, *Rethinking ImageNet Pre-training*, 2019, section 4.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 80, of which 55 writing.
#
# **What people get wrong.** `receptive_field`: multiplying by the stride of the layer itself, not by those before it. `freeze_stages`: weights without
# gradients, but batch norm that still moves its statistics in training. `count_memory`: gradients and optimizer for frozen weights, and forgetting
# that activations must be kept.
#
# **Questions to ask.** What would you freeze with 100 images, what with 100,000? Why does memory grow with the square of the image's side, and time, too?
# Which part of 4 GB is gone before the first image?
