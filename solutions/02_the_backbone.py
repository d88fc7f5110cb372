# %% [markdown]
# # 02 · The backbone
#
# **115 minutes · you need lesson 00 · no GPU needed**
#
# A photograph is a pile of numbers that say how red, green and blue each pixel is. The rest of the detector wants to know: *is there
# something furry here, about as large as a cat?* The **backbone** turns one into the other. It's a chain of convolutions, and somebody has
# already trained it for you, on 1.3 million photographs.
#
# When you're done, you can
#
# - say what a stride of 16 means, and how much of the image one cell sees,
# - decide what to freeze, and say what that saves and what it costs,
# - add up the memory of a training step on paper, before the graphics card does it for you.
#
# If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(2)

# %% [markdown]
# ## 2.1 · What a stride is · 9 min
#
# Our backbone is EfficientNet-Lite0, from timm, a library of pretrained networks. It has a **stem** (the first
# convolution), then seven **stages**. Each layer's output is a **feature map**: several numbers, its **channels**, for each place in the
# image.

# %% tags=["setup"]
import torch

from coursekit.data import load
from coursekit.lessons.experiments import crops, freezing, receptive_fields, step_memory

train_set, val_set = load("mini", "train"), load("mini", "val")
body = crops.new_body(pretrained=True).eval()
scene, target = train_set[19]

# %% [markdown]
# We send a scene through it step by step, and each time the map is about to get smaller, we keep it. The scene has 3 × 240 × 320 = 230,400
# numbers. **How many does the first map have? And the last?**

# %% tags=["write"]
my_first, my_last = 230_400, 230_400  # numbers; yours

# %% tags=["read"]
maps = []
with torch.no_grad():
    x = body.bn1(body.conv_stem(crops.normalized(scene)[None]))
    for stage in body.blocks:
        before, x = x, stage(x)
        if x.shape[-1] < before.shape[-1]:
            maps.append(before[0])
    maps.append(x[0])
for features in maps:
    channels, rows, columns = features.shape
    shape = f"{channels:3} channels of {rows:3} × {columns:3}"
    print(f"stride {320 // columns:2}: {shape}, {features.numel():7,} numbers")
print(f"you said {my_first:,} for the first and {my_last:,} for the last")

# %% tags=["call"]
show.feature_maps(scene, maps)

# %% [markdown]
# A **stride** of 16 means: one cell to the right in the map is 16 pixels to the right in the image. Each time the stride doubles, three
# quarters of the places are gone, and more channels make up for some of that. The network trades *where* for *what*.
#
# How small is too small? Take the smallest object of this scene and measure it in cells.

# %% tags=["write"]
stride = 8  # yours: 4, 16, 32
sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
smallest = sides.prod(1).argmin()
width, height = (sides[smallest] / stride).tolist()
name = train_set.classes[target["labels"][smallest] - 1]
print(f"the {name} is {width:.1f} × {height:.1f} cells")

# %% [markdown]
# An object smaller than a cell shares its numbers with whatever is around it. That's why detectors read several maps: ours uses those at
# strides 8, 16 and 32. More about that in lesson 03.
#
# And a map isn't one picture but many. Flip through the channels. **Up to which stride can you still tell what's in the scene?**

# %% tags=["call"]
show.explore_channels(scene, maps)

# %% [markdown]
# ## 2.2 · What one cell sees · 31 min
#
# A cell at stride 32 stands for 32 × 32 pixels. But does it *see* only those? Count along one line of pixels, with kernels of 3:
#
#     layer 2, stride 1           ●           reads 3 cells of layer 1,
#     layer 1, stride 2       ●   ●   ●       which are 2 pixels apart
#     pixels                · · · · · · ·     and read 3 pixels each: 7 in all
#
# These 7 pixels are the cell's **receptive field**. You can measure it: the gradient of a cell reaches exactly those pixels that it has
# read. With all weights 1, it counts how often.

# %% tags=["read"]
from torch.nn.functional import conv1d


def how_often_read(layers):
    pixels = torch.zeros(1, 1, 200, requires_grad=True)
    x = pixels
    for kernel, stride in layers:
        x = conv1d(x, torch.ones(1, 1, kernel), stride=stride)
    x[0, 0, x.shape[2] // 2].backward()  # a cell in the middle
    counts = pixels.grad[0, 0].int()
    return counts[counts > 0].tolist()


# %% [markdown]
# **Guess before you run it:** which of the 7 pixels are read twice? Then add layers, one by one. Where do the largest counts end up?

# %% tags=["write"]
how_often_read([(3, 2), (3, 1)])  # (kernel, stride) of each layer; yours: add (3, 1), (3, 1), …

# %% [markdown]
# With two layers, it's those pixels that two windows share. With more layers, the middle of the field is read far more often than its rim.
# Keep that in mind.
#
# ### Exercise 2.1 · `receptive_field` · ●●○ · 22 min · by hand
#
# Two numbers are enough, carried from layer to layer: how wide a cell's window is, and how many pixels lie between neighboring cells.
# Before the first layer, a cell is a pixel.

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
# A check is only as good as its inputs, so choose some. Which lists of layers tell wrong answers from right ones? Here are two to begin
# with. Add others until nothing gets through.

# %%
catch("receptive_field", ([(3, 1)],), ([(3, 1), (3, 1)],))

# %% [markdown]
# Now for Lite0: all of its convolutions in order, up to the end of each stage. **Guess first:** the scene is 320 pixels wide. How wide is
# the receptive field of a cell at stride 32?

# %% tags=["write"]
my_guess = 100  # pixels; yours


# %% tags=["read"]
def kernels_and_strides(module):
    convs = [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
    return [(conv.kernel_size[0], conv.stride[0]) for conv in convs]


layers, fields = kernels_and_strides(body.conv_stem), {}
for number, stage in enumerate(body.blocks, 1):
    layers += kernels_and_strides(stage)
    fields[number] = size, stride = receptive_field(layers)
    print(f"stage {number}: {len(layers):2} layers, stride {stride:2}, field {size:4} pixels")
print(f"you said {my_guess}; it's {size / my_guess:.1f} times that")

# %% [markdown]
# A cell of the last map could see the whole scene, and more than twice as far. *Could.* What do they actually look at? Ask the gradient: how much
# does a cell change if this pixel changes? First on noise, in a picture so wide that most fields fit. We
# [measure two widths](../src/coursekit/lessons/experiments/receptive_fields.py): of all pixels with any gradient, and of the middle part that
# has 90 % of it. **How wide will that part be, compared with the whole field?**

# %% tags=["call"]
stages = (2, 3, 5, 7)  # the last stages of strides 4, 8, 16 and 32
receptive_fields.compare_with_gradient(body, fields, stages, side=quick(1024, 384))

# %% [markdown]
# Where the picture is wide enough, your arithmetic and the gradient agree. But the last column is a good deal narrower. There are many ways
# from a pixel in the middle to the cell, and only a few from the rim, as you counted above. The **effective** receptive field is a blob in the
# middle of the computed one (Luo et al., 2016). Here it is on the scene. **At stride 32, what does the cell see least of?**

# %% tags=["write"]
chosen = {"stride 8": 3, "stride 16": 5, "stride 32": 7}  # name: stages; yours: try others
image = crops.normalized(scene)
gradient = receptive_fields.gradient_of_cell
gradients = {name: gradient(body, image, count) for name, count in chosen.items()}
show.cell_views(scene, gradients)

# %% [markdown]
# The dashed frame is all that the cell can see, cut off at the edges of the scene. At stride 32 that's everything, but it sees least of the
# corners: the farther from its middle, the dimmer. So a cell has some idea of its surroundings, and that's how it can tell the wheel of a
# car from the wheel of a bus.
#
# ## 2.3 · Pretrained, or from scratch? · 9 min
#
# ImageNet has no drawn scenes. Is its knowledge worth anything here? Here's a quick way to ask: cut each object out of its scene, and let the
# backbone, with a linear layer behind it, say which of the 16 classes it is. What the backbone can't tell apart here, a detector can't
# classify either.

# %% tags=["call"]
train_crops = crops.cut_out(train_set.head(quick(240, 20)))
val_crops = crops.cut_out(val_set.head(quick(60, 5)))
show.image_row(train_crops.panels(9), "Nine objects, each cut out with some margin.")

# %% [markdown]
# Both start from different weights; everything else is the same: the [same training](../src/coursekit/lessons/experiments/crops.py), the
# same crops, in the same order. Then both once more with the backbone **frozen**, that is, left as it is. Its features are computed only once
# then, and what's left to train is one matrix.
#
# **Predict:** guessing gets 6 % right. What will the pretrained backbone get, what will the random one? And if they are frozen?

# %% tags=["write"]
my_pretrained, my_random = 0.5, 0.5  # share of unseen objects right; yours

# %% tags=["read"]
trained, frozen, both = {}, {}, (train_crops, val_crops)
starts = {"pretrained": True, "random": False}
for name, pretrained in starts.items():
    net, steps = crops.new_body(pretrained), quick(30, 2)
    trained[name] = crops.train_all(f"{name}, all trained", net, *both, steps, look_every=10)
for name, pretrained in starts.items():
    net, epochs = crops.new_body(pretrained), quick(30, 3)
    frozen[name] = crops.train_head(f"{name}, frozen", net, *both, epochs)

# %% tags=["call"]
curves = {name: learned.curve for name, learned in trained.items()}
levels = {name: learned.accuracy for name, learned in frozen.items()}
show.accuracies(curves, levels, guessing=1 / 16, xlabel="steps of 32 objects")
for name, guess in {"pretrained": my_pretrained, "random": my_random}.items():
    print(f"{name}: {trained[name].accuracy:.0%}; you said {guess:.0%}")

# %% [markdown]
# In the full form, three things stand out. The pretrained backbone is far ahead, on drawings that it has never seen: edges and textures are the
# same everywhere. Frozen, it does about as well as trained, in less time. And the third is odd: a *random* backbone, frozen, is far better
# than guessing, and better than the random one that was trained for longer. Random filters keep colors and shapes apart well enough for
# a matrix to use, and 30 steps are too few to find better ones.
#
# Be fair to the random start: it had 30 steps. With enough data and time it catches up on COCO (He et al., *Rethinking ImageNet
# Pre-training*, 2019). You have neither the time nor the card.
#
# ## 2.4 · Freezing · 33 min
#
# Between *all trained* and *all frozen* is what most detectors do: freeze the first stages, whose edges and colors fit anything, and train
# the rest. In PyTorch, a weight is frozen by telling it that it needs no gradient: `weight.requires_grad = False`. Our backbone has these
# parts. **Which one has the most weights?**

# %% tags=["write"]
my_part = "conv_stem"  # or bn1, or blocks[0] to blocks[6]; yours

# %% tags=["read"]
for name, child in body.named_children():
    weights = sum(parameter.numel() for parameter in child.parameters())
    print(f"{name:10} {type(child).__name__:15} {weights:9,} weights")
for number, stage in enumerate(body.blocks):
    weights = sum(parameter.numel() for parameter in stage.parameters())
    print(f"blocks[{number}]  {len(stage)} blocks        {weights:9,} weights")
print("you said", my_part)

# %% [markdown]
# ### Exercise 2.2 · `freeze_stages` · ●●○ · 23 min · explain only
#
# The stem is stage one, `blocks[0]` is stage two, and so on. Watch three corners: the stem is more than its convolution; what somebody has
# frozen before stays frozen; and a slice such as `[:-1]` doesn't do what a negative count should.

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
# What does it save? Two things: the gradients of the frozen weights, and, far more, all the maps that backward won't need. PyTorch can tell us
# what it keeps: it calls [a hook](../src/coursekit/lessons/experiments/freezing.py) for each tensor that forward puts aside. **Three stages hold
# hardly any weights. How much of the memory will freezing them save?**

# %% tags=["write"]
my_saving = 0.1  # share of the maps; yours
images = crops.normalized(train_set[0][0])[None].repeat(2, 1, 1, 1)
kept = freezing.savings(freeze_stages, (0, 1, 3, 5, 8), images)
print(f"three stages save {1 - kept[3] / kept[0]:.0%} of the maps; you said {my_saving:.0%}")

# %% [markdown]
# Look at the row with three stages. The first maps are the largest, and the first weights the fewest. And what does it cost? Here are the same
# steps as above, with three stages frozen.

# %% tags=["call"]
net = crops.new_body(pretrained=True)
freeze_stages(net, 3)
crops.train_all("three stages frozen", net, train_crops, val_crops, quick(30, 2))
none, every = trained["pretrained"].accuracy, frozen["pretrained"].accuracy
print(
    f"none frozen: {none:.0%}, all frozen: {every:.0%}; {len(val_crops.labels)} objects, one seed"
)

# %% [markdown]
# In the full form there are some hundred objects, and with one seed, a difference of a few percent is chance. So on these drawings, the price
# of three frozen stages is too small to see. (Don't compare either with *all frozen* too closely: there, training went through all objects 30
# times, and here it took 30 steps of 32.) Measure it again on your own data, whose classes may be further from ImageNet's. The course's
# detector freezes three stages unless you tell it otherwise.
#
# ### The trap: a frozen network that changes
#
# Take the pretrained backbone, freeze *all* of it, and use the matrix that was trained on its features above. Then show it some crops, two at
# a time, in training mode. No optimizer, no gradient, no step. **Will the accuracy be the same afterward?**

# %% tags=["write"]
my_answer = "the same"  # yours: or "worse", or "better"

# %% tags=["read"]
net, classify = crops.new_body(pretrained=True), frozen["pretrained"].classify
freeze_stages(net, 8)
print(f"before: {crops.accuracy(net, classify, val_crops):.0%} right")
weights = [parameter.clone() for parameter in net.parameters()]
net.train()
with torch.no_grad():
    for pair in train_crops.images[:60].split(2):
        net(pair)
same = all(torch.equal(old, new) for old, new in zip(weights, net.parameters()))
print(f"after:  {crops.accuracy(net, classify, val_crops):.0%} right; you said {my_answer}")
print("all weights are the same:", same)

# %% [markdown]
# **Batch norm** brings each channel to mean 0 and standard deviation 1. In eval mode it uses statistics that it has stored. In training mode it
# uses those *of this batch*, and stores a bit of them each time. They are buffers, not weights, so `requires_grad` doesn't concern them.
#
# With 32 crops, a batch's statistics are a good estimate. With the two images that fit on a small card, they are noise. Here are batches of
# two, with two learning rates, and with batch norm in either mode. **Which of the four runs wins?**

# %% tags=["write"]
lrs = (2e-4, 1e-3)  # yours: other learning rates
modes = (False, True)  # batch norm frozen?
shares = crops.batches_of_two(train_crops, val_crops, lrs, modes, steps=quick(80, 2))

# %% [markdown]
# At the small learning rate, frozen statistics win clearly in the full form: they come from a million photographs, not from two crops. At the
# large one, they fall apart. A likely reason: the weights move away from the statistics that were stored for them, and nothing brings the
# channels back to mean 0 and standard deviation 1. (One seed, and a short run; but the gaps are wide.) So **frozen batch norm needs a small
# learning rate for the backbone**; the course trains it with a tenth of the rest's.
#
# Does frozen batch norm save memory? Not by itself. But then it's just `y · scale + shift` for each channel, and that can be multiplied into
# the convolution before it. The course's backbone does that, and saves a map for every layer:

# %% tags=["call"]
freezing.norm_modes(images)

# %% [markdown]
# ## 2.5 · Will it fit? · 33 min
#
# An intern took a large backbone (EfficientNet-B3), the detector that everyone builds with torchvision, all of COCO, and a laptop with 4 GB.
# `CUDA out of memory`. With batch size 1: `CUDA out of memory`. Could that have been known in advance?
#
# Four things are in a card's memory during training:
#
# | | how much |
# |---|---|
# | **weights** | 4 bytes each, in float32 |
# | **gradients** | as many again, for the weights that are trained |
# | **optimizer state** | AdamW remembers two numbers for each trained weight: a mean gradient and a mean square |
# | **activations** | the maps that backward needs; only these grow with the images and their number |
#
# On paper: one 3 × 3 convolution from 3 to 8 channels, with a ReLU behind it, and one image of 4 × 4 pixels. There are 3 · 8 · 9 = 216 weights.
# That's 864 bytes, as many again for gradients, and twice as many for the optimizer. And for backward? The convolution keeps its *input* (to
# know what each weight was multiplied with), the ReLU its *output* (to know where it was 0). **How many bytes is that?**

# %% tags=["write"]
my_bytes = 0  # yours
chain = step_memory.chain_of([(3, 8, 3, 1)])  # in_channels, out_channels, kernel, stride
print(freezing.kept_for_backward(chain, torch.rand(1, 3, 4, 4)), "bytes kept; you said", my_bytes)

# %% [markdown]
# ### Exercise 2.3 · `count_memory` · ●●● · 25 min · explain only
#
# Now for a chain. A ReLU's output is the next convolution's input: one tensor, counted once. Frozen layers are the first ones of the chain, and
# backward never gets to them. What needn't be kept then?

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
# Paper against PyTorch, on a chain like that of a small backbone. Two images of 240 × 320 pixels:

# %% tags=["call"]
chain = [(3, 32, 3, 2), (32, 64, 3, 2), (64, 128, 3, 2), (128, 256, 3, 2), (256, 512, 3, 2)]
step_memory.count_beside_torch(count_memory, chain, (2, 240, 320))

# %% [markdown]
# How does each part grow with the side of the image? **Which lines rise, and how steeply?**

# %% tags=["write"]
sides = (80, 160, 320, 640, 1280)  # pixels; yours
show.memory_by_side(lambda side: count_memory(chain, (1, side, side)), sides)

# %% [markdown]
# Twice the side, four times the activations. With small images, the optimizer's state weighs most; with large ones, the activations.
#
# ### Three backbones on one card
#
# A real detector has branches, batch norm and a pyramid, so let a program count. `coursekit.memory` runs a training step with tensors that
# have a shape but no content, and records what is held when. That needs neither a GPU nor weights. Here is the detector as the intern built
# it: float32, nothing frozen, one image.

# %% tags=["read"]
from coursekit.memory import Constants, StepConfig, usable

names = {"Lite0": "tf_efficientnet_lite0", "B0": "efficientnet_b0", "B3": "efficientnet_b3"}
as_built = {"folds_norm": False, "channels": 256, "hidden": 1024}
as_built |= {"frozen_stages": 0, "precision": "fp32"}
backbones = dict(list(names.items())[-quick(3, 1) :])
sizes = [(800, 1333), (320, 320)][: quick(2, 1)]
step_memory.detectors(backbones, sizes, batch=1, **as_built)
budget = usable(4, Constants())
print(f"of a card with 4 GiB, about {budget / 2**30:.2f} GiB are left for tensors")

# %% [markdown]
# (A GFLOP is a billion operations; a product and a sum count as two. The rest of a card goes to the driver, to the desktop, and to gaps
# between tensors. B0 and B3 have squeeze-and-excitation in each block, which Lite0 lacks: the mean of the *whole* map scales its channels. So
# there, each cell sees everything, if dimly.)
#
# There's the intern's story in one line: B3 at 800 × 1333 needs more than is left, with a *single* image. The code was fine. What could have
# been changed? Here are seven steps, each of which changes one thing. **Which one saves most? And from which one on does it fit?**

# %% tags=["variants"]
first_step = StepConfig(names["B3"], (800, 1333), 1, **as_built)
changes = {  # each stays for those after it
    "as built, 1 image": {},
    "batch norm folded": {"folds_norm": True},
    "+ pyramid of 96 channels": {"channels": 96},
    "+ 3 stages frozen": {"frozen_stages": 3},
    "+ 16 bits": {"precision": "bf16"},
    "+ 640 pixels": {"size": (640, 640)},
    "+ 4 images": {"batch": 4},
    "+ Lite0 instead of B3": {"backbone": names["Lite0"]},
}
ladder = step_memory.one_by_one(first_step, changes)

# %% tags=["write"]
my_best_step, my_first_that_fits = "+ 3 stages frozen", "+ 640 pixels"  # yours

# %% tags=["call"]
chosen = quick(ladder, step_memory.some_steps(ladder, [my_best_step, my_first_that_fits]))
peaks = step_memory.predicted(chosen)
show.memory_ladder(peaks, budget)
print(f"you said: “{my_best_step}” saves most; from “{my_first_that_fits}” on, it fits")

# %% [markdown]
# (In the short form, there are bars for your two steps only. *Tight* means that it fits, but takes more than 90 % of what can be used. The
# *rest* is temporary: tensors of backward and of the update.)
#
# And what does each step cost in accuracy? Folding a frozen batch norm computes the very same thing. Three frozen stages cost too little
# to be seen in 2.4. What 16 bits cost, you can measure in lesson 08. Fewer pixels cost small objects: at half the side, the
# smallest object of 2.1 covers half as many cells in each direction. (The bars show the moment when most memory is held. That's when
# forward has ended and few gradients exist yet.) For your own card, in a terminal: `coursekit plan --vram 4 --backbone efficientnet_b3`.
#
# What did you ask an assistant today, and was it right? Two lines for the journal:

# %%
journal("02")

# %% [markdown]
# ## What could go wrong
#
# - **"I froze the backbone, and it changes anyway."** Batch norm's statistics, as above. `eval()` helps until the next `model.train()`, which
#   every epoch calls. People ask again and again: [pytorch#86590](https://github.com/pytorch/pytorch/issues/86590),
#   [lightly#1438](https://github.com/lightly-ai/lightly/issues/1438). The course's `Backbone` overrides `train`.
# - **"Trained from scratch, AP stays low."** The first stages were frozen at their *random* weights; torchvision's builder used to do that
#   without a word: [vision#2164](https://github.com/pytorch/vision/issues/2164). Freeze only what was trained.
# - **"I asked for nothing to be trained, and some of it is."** A count that's off by one, or a list of stages that forgets a piece:
#   [vision#3905](https://github.com/pytorch/vision/issues/3905), [vision#4548](https://github.com/pytorch/vision/issues/4548). Count the
#   trained weights for each number of stages, as you did; they must decrease.
# - **"The loss is fine, but the features are nonsense."** Images from 0 to 255, for weights that expect normalized ones. Nothing crashes.
#
# ## What you learned
#
# A stride is pixels per cell. A layer widens the field by (kernel − 1) times the stride before it, and a cell looks mostly at the middle.
# A pretrained start is worth more than anything else you can do in a minute. Freezing the first stages saves the largest maps and costs
# little, but it only freezes weights: batch norm needs its own brake. A step holds weights, gradients, optimizer state and activations, and
# you can add them up.
#
# **Three questions to think about**
#
# <details><summary>1. You give the stem's convolution a stride of 1 instead of 2. What happens to the field of the last cells, and to the memory?</summary>
#
# All strides after the stem are halved, so everything that later layers add is halved: the field is about half as wide. Each map has twice as
# many rows and columns: four times the activations.
#
# </details>
# <details><summary>2. You freeze the last stages and train the first. What is saved?</summary>
#
# The gradients and optimizer state of the last ones. Hardly any activations: backward has to go through the frozen stages to reach the others,
# so it still needs what their ReLUs kept.
#
# </details>
# <details><summary>3. Why do 8 images take less than 8 times the memory of one?</summary>
#
# Weights, gradients and optimizer state exist once, whatever the batch. Only the activations are multiplied.
#
# </details>
#
# **Next: 03 · The FPN.** Three maps, each with a weakness: the fine one knows little about *what*, the coarse one little about *where*. You let
# them talk to each other.
#
# **Read on:** A. Araujo, W. Norris, J. Sim, *Computing Receptive Fields of Convolutional Neural Networks*, Distill, 2019 · W. Luo et al.,
# *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, 2016, section 2 · M. Tan, Q. Le, *EfficientNet*, 2019,
# sections 3 and 4 · S. Ioffe, C. Szegedy, *Batch Normalization*, 2015, section 3 · K. He, R. Girshick, P. Dollár, *Rethinking ImageNet
# Pre-training*, 2019, section 4.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 115, of which 70 for the exercises.
#
# **What people get wrong.** `receptive_field`: multiplying by the layer's own stride, not by those before it. `freeze_stages`: expecting that batch
# norm stands still, too; forgetting the stem's batch norm. `count_memory`: gradients and optimizer state for frozen weights; forgetting the
# input of the first trained layer.
#
# **Questions to ask.** What would you freeze with 100 images, what with 100,000? Why does memory grow with the square of the image's side, and
# time, too? Which part of the 4 GB is gone before the first image?
