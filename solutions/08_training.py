# %% [markdown]
# # 08 · Training
#
# **180 minutes · you need lessons 01 and 07 · no GPU needed**
#
# Your detector is complete, and now it has to learn. On a small card, a single training step is a fight for time and memory. In this lesson
# you write that step, piece by piece, until it does what a laptop with 4 GB needs: it computes in 16 bits, splits a batch that doesn't fit,
# survives running out of memory, and stops before it ruins the weights.
#
# When you're done, you can
#
# - write a training step, and say what each of its lines is for,
# - measure what a step waits for before you try to make it faster,
# - compute in 16 bits, and say why fp16 needs a scaler and bf16 doesn't,
# - train with a batch of 16 on a card that holds two images, and prove that the gradients are the same.
#
# If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import os

import torch

import coursekit.show as show
from coursekit.data.load_by_name import find_folder
from coursekit.lessons import catch, check, hint, journal, lesson_map, my_workbook, quick, recall
from my_detector import CocoDataset, collate  # from lesson 01: yours, or the course's

lesson_map(8)

# %% [markdown]
# ## What does a day of training cost? · 8 min
#
# COCO has 118,287 training images. Train your detector the obvious way: images of 640 pixels, all weights trained, plain float32. **How many
# hours does one pass over COCO take on this machine?** Published detectors train for a dozen passes and more. And how many times as fast
# will it be once you have climbed the ladder at the end of this lesson?

# %% tags=["write"]
my_hours = 10.0  # for one pass; yours
my_speedup = 2.0  # yours

# %% [markdown]
# Below are the loader of lesson 01 and the detector of lesson 07, made of your parts where they are correct. `fresh` builds the same
# detector each time; only its backbone is pretrained.

# %% tags=["read"]
from torch.utils.data import DataLoader

from coursekit.lessons.experiments import step_times, training_model
from coursekit.lessons.experiments.training_model import gradient, on_device

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
clock = step_times.clock_of(DEVICE)
folder = find_folder(os.environ.get("COURSEKIT_DATA", "mini"))
train_set = CocoDataset(folder / "annotations" / "instances_train2017.json", folder / "train2017")
classes = len(train_set.classes)
loader = DataLoader(train_set, batch_size=4, collate_fn=collate)
four = next(on_device(loader, DEVICE))
parts = training_model.own_parts_of(my_workbook)


def fresh(side=320, frozen=3):
    """Build the detector for images of this long side in pixels, with some backbone stages frozen."""
    return training_model.new_model(parts, classes, side, frozen).to(DEVICE)


# %% tags=["call"]
measured = step_times.one_pass(fresh(640, frozen=0), four, clock, quick(1, 0))
show.cost_bars({"your guess": my_hours, "measured": measured})

# %% [markdown]
# (The scenes of `mini` are smaller. They're enlarged to 640 pixels here, the size of COCO's photographs.)
#
# `on_device` moves each batch to the GPU, if there is one, when the batch is asked for. Don't do that in `collate`: it may run in a worker
# process, which must not touch the GPU.
#
# ## 8.1 · How far does a step go? · 15 min
#
# Before any detector, take a single weight. The loss is `w²`, a valley with its bottom at 0. The gradient is `2w`, and a step goes against
# it: `w - rate · 2w`. The **learning rate** says how far. Three rates, from the same start. **Which one reaches the bottom first, and which
# never does?** Then try your own.

# %% tags=["write"]
for rate in (0.1, 0.4, 1.1):  # add yours
    w, path = 1.0, []
    for _ in range(6):
        path.append(f"{w:7.3f}")
        w = w - rate * 2 * w
    print(f"rate {rate}:", *path)

# %% [markdown]
# If the rate is too large, each step lands farther up on the other side: training **diverges**. The steeper the valley, the smaller the rate
# must be. At the start of training the valley is steepest: the heads have random weights and send large gradients everywhere. So training
# begins with short steps that grow, the **warm-up**. At the end the steps become short again, so that the weights settle. Half a cosine does
# that.
#
# ### Exercise 8.1 · `warmup_cosine` · ●○○ · 10 min · explain only
#
# Write the factor that multiplies the learning rate at each step. Do it on paper first, for a warm-up of 1 step and 5 steps in total. Step 0
# should change the weights, too.

# %%
# %%exercise warmup_cosine
import math


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate: a linear rise, then half a cosine down to 0.

    Args:
        step: number of the step, from 0.
        total: total number of steps. From step `total` on the factor is 0. Steps up to `warmup`
            belong to the rise, though, even if `total` is no larger than that.
        warmup: steps of the linear rise. Step 0 has a factor of 1 / (warmup + 1), so it already
            changes the weights. Each step adds as much again, and step `warmup` has a factor of 1.

    Returns:
        The factor, 0 to 1.

    >>> [round(warmup_cosine(step, 5, 1), 2) for step in range(6)]
    [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    ### BEGIN SOLUTION
    if step < warmup:
        return (step + 1) / (warmup + 1)
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 + 0.5 * math.cos(math.pi * share)
    ### END SOLUTION


# %%
check("warmup_cosine")

# %% tags=["call"]
show.explore_schedule(warmup_cosine, steps=60, warm_up=8)

# %% [markdown]
# ## 8.2 · One step · 25 min
#
# A training step makes three moves: **forward** computes the losses, **backward** computes the gradients, and the **optimizer** changes the
# weights. One thing surprises everybody once. The gradient of `2w` is 2. **What is in `w.grad` after two calls of `backward()`?**

# %% tags=["write"]
my_gradient = 2.0  # after two calls; yours
w = torch.tensor(3.0, requires_grad=True)
for _ in range(2):
    (2 * w).backward()
print(f"{w.grad.item()}; you said {my_gradient}")

# %% [markdown]
# Gradients **add up** until somebody clears them. Today that's a trap. In 8.5 it will be the trick.
#
# A step also needs two safeguards:
#
# - **Clipping.** If the norm of all gradients together is above a limit, they're all scaled down to it. Then one odd batch can't throw the
#   weights far away.
# - **Stopping in time.** If the loss is NaN or infinite, so are the gradients, and after one step so is every weight. So look at the loss
#   *before* the weights change.
#
# ### Exercise 8.2 · `train_step` · ●●○ · 18 min · explain only
#
# Write the step. `nn.utils.clip_grad_norm_` clips, and `math.isfinite` tests a number.

# %%
# %%exercise train_step
import math

import torch
from torch import nn


def train_step(model, images, targets, optimizer, max_norm: float = 10) -> dict[str, float]:
    """Take a training step: forward, backward, and the optimizer's update.

    Args:
        model: (images, targets) → dict of losses, scalars. In training mode.
        images, targets: a batch.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        max_norm: gradients are clipped to this norm.

    Returns:
        The losses by name, as floats.

    Raises:
        FloatingPointError: the sum of the losses is NaN or infinite. The weights are those from
            before the step.
    """
    ### BEGIN SOLUTION
    losses = model(images, targets)
    total = sum(losses.values())
    if not math.isfinite(total.item()):
        raise FloatingPointError(f"the sum of the losses is {total.item()}")
    optimizer.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return {name: loss.item() for name, loss in losses.items()}
    ### END SOLUTION


# %%
check("train_step")

# %% [markdown]
# An **epoch** is one pass over the data. The loop around the step has six lines, and it takes any step that is called with images and
# targets. The **scheduler** sets the learning rate for the next step: PyTorch's `LambdaLR` multiplies it by your factor.


# %% tags=["read"]
def train_one_epoch(step, batches, scheduler):
    """Take a step on each batch. Return the sum of the losses of each step."""
    history = []
    for images, targets in batches:
        losses = step(images, targets)
        scheduler.step()
        history.append(sum(losses.values()))
    return history


# %% [markdown]
# Now your step trains your detector on batches of your loader, four times from the same weights. Only the learning rate differs. The last
# run has the rate of the third, with a warm-up. The optimizer is **AdamW**, which gives each weight a step length of its own (`fused=True`
# updates all weights in one operation). **How high will the loss of the third run get, and how high with the warm-up?**

# %% tags=["write"]
my_highest = {"0.003": 5.0, "0.003, warm-up": 5.0}  # the highest losses; yours

# %% tags=["variants"]
from functools import partial
from itertools import islice

from torch.optim.lr_scheduler import LambdaLR

batches = list(islice(on_device(loader, DEVICE), quick(20, 4)))


def short_training(rate, warmup):
    """Train from the same start at this rate. Return the losses."""
    model = fresh(160)
    optimizer = torch.optim.AdamW(model.parameters(), rate, fused=True)
    factor = partial(warmup_cosine, total=2 * len(batches), warmup=warmup)
    step = partial(train_step, model, optimizer=optimizer)
    return train_one_epoch(step, batches, LambdaLR(optimizer, factor))


RUNS = {"0.0001": (1e-4, 0), "0.001": (1e-3, 0), "0.003": (3e-3, 0)}
RUNS["0.003, warm-up"] = (3e-3, len(batches) // 2)

# %% tags=["call"]
from coursekit.lessons.experiments.learning_rates import compare_runs

show.loss_runs(compare_runs(short_training, RUNS, my_highest))

# %% [markdown]
# At the smallest rate the loss never rises above its start. The largest rate is far too large for the first steps: within a few of them the
# loss is many times as high as at the start. Each of these steps also moves the pretrained weights of the backbone, and nothing brings them
# back.
#
# With the warm-up, the same rate gets through the start with much less damage, and ends lower. That's what a warm-up does: it lets you use a
# rate that the first steps couldn't take. It doesn't turn a bad rate into a good one: without any warm-up, the run at 0.001 still ends below
# it. (These are a few steps with one seed. [The course's optimizer](../src/coursekit/training/optimizer.py) also gives the backbone only a
# tenth of the rate of the new parts.)
#
# ## 8.3 · Where does the time go? · 15 min
#
# Measure before you optimize. First question: how much of a step is spent **waiting for data**, and how much **computing**? Timing a GPU has a
# trap: calls return once the work is *queued*. A naive timer measures the queueing, and the real time shows up at the first line that needs a
# result. That's why our `clock()` waits until the device is done before it reads the time.
#
# ### Exercise 8.3 · `time_step` · ●○○ · 12 min · delegate
#
# The clock is an argument. So a test can pass a clock that it moves by hand, and needs no waiting. The check does just that. If an assistant
# writes the function, your part is the test below.


# %%
# %%exercise time_step
def time_step(step, batches, clock) -> dict[str, float]:
    """Take one training step and measure where its time goes.

    Args:
        step: (images, targets) → losses; takes a training step.
        batches: an iterator, from which one batch is taken.
        clock: returns the time in seconds, after waiting until the device has finished all queued
            work.

    Returns:
        Seconds: "data", the wait for the batch, and "compute", the step. They add up to the time of
        both.
    """
    ### BEGIN SOLUTION
    start = clock()
    images, targets = next(batches)
    after_data = clock()
    step(images, targets)
    end = clock()
    return {"data": after_data - start, "compute": end - after_data}
    ### END SOLUTION


# %%
check("time_step")

# %% [markdown]
# The check's inputs are two numbers: how long the batch takes to arrive, and how long the step takes. A third one is the number of steps, one
# after the other. **Add inputs until no wrong version gets through.**

# %% tags=["write"]
catch("time_step", (0.0, 2.0))  # yours: more inputs

# %% [markdown]
# Now time your own step, with your loader and with one that is slow on purpose: like a network disk, it takes a fifth of a second longer for
# each image. **What share of a step with four images is waiting?**

# %% tags=["write"]
my_shares = {"your loader": 0.1, "a network disk": 0.5}  # of the step that is waiting; yours

# %% tags=["read"]
model = fresh()
optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
your_step = partial(train_step, model, optimizer=optimizer)

# %% tags=["call"]
slow_loader = DataLoader(step_times.SlowDisk(train_set, 0.2), batch_size=4, collate_fn=collate)
loaders = {"your loader": loader, "a network disk": slow_loader}
show.step_times(step_times.mean_times(time_step, your_step, loaders, DEVICE, my_shares))

# %% [markdown]
# Look at this share *first*. Where a step waits for data, a faster computation saves little, and where it doesn't, more workers don't help.
#
# And what does it compute? For finer phases there's PyTorch's **profiler**, which records each operation.
# ([How the phases are added up](../src/coursekit/lessons/experiments/step_times.py).)
#
# On a GPU there's a second question. Python launches each operation, and launching a small one takes longer than computing it. Where Python
# needs a result before it can go on, it waits for the GPU, and then the GPU waits for Python. So a GPU can be idle for most of a step that
# never waits for data. **Which phase is the longest? How many operations does your step launch, and how often does Python wait for a result?**

# %% tags=["write"]
my_longest, my_launches, my_waits = "backward", 100, 5  # yours

# %% tags=["call"]
step_times.profile_step(your_step, four, my_longest)
step_times.count_for_gpu("your step", your_step, four, parts, my_waits, my_launches)

# %% [markdown]
# (Without a GPU, the last count is what the step *would* launch on one.)
#
# With your own parts, most of these waits come from loops over images and levels: `nonzero` and an index with a mask have results of unknown
# length, so Python has to wait for it. Each `loss.item()` is a wait, too (`_local_scalar_dense`). Keep the number in mind: in 8.7 you'll
# compare it with that of the course's detector.
#
# ## 8.4 · Sixteen bits · 25 min
#
# A float32 has 32 bits. Half of them take half the memory, and many machines compute faster with them. There are two ways to spend 16 bits,
# and they give up different things:

# %% tags=["read"]
print(f"{'':12}{'fp32':>14}{'fp16':>14}{'bf16':>14}")
for words, value in {"a third": 1 / 3, "1 + 0.001": 1.001, "70,000": 7e4, "1e-8": 1e-8}.items():
    number = torch.tensor(value)
    row = [cast.item() for cast in (number, number.half(), number.bfloat16())]
    print(f"{words:12}" + "".join(f"{each:14.7g}" for each in row))

# %% [markdown]
# **fp16** is finer but has little range: 70,000 becomes infinite, and 1e-8 becomes 0. **bf16** has the whole range of float32 but only two to
# three decimal digits. Look at `1 + 0.001`: a weight of 1 with a small update. In bf16 the update is lost. That's why the *weights* stay in
# float32, whatever the rest is computed in.
#
# Gradients are often tiny. Here are ten, from 1e-9 to 1. **How many of them are left in fp16?** And how many if the loss, and with it each
# gradient, is multiplied by 4096 first?

# %% tags=["write"]
my_survivors = {"bf16": 10, "fp16": 5, "fp16, loss × 4096": 10}  # of ten; yours
tiny = torch.logspace(-9, 0, 10)
casts = {"bf16": tiny.bfloat16(), "fp16": tiny.half(), "fp16, loss × 4096": (tiny * 4096).half()}
for name, cast in casts.items():
    print(f"{name:18} {int((cast > 0).sum()):3} of 10; you said {my_survivors[name]}")
print("divided by 4096:", *(f"{value:.0e}" for value in (casts[name].float() / 4096).tolist()))

# %% [markdown]
# So for fp16 the loss is multiplied by a large number before backward, and the gradients are divided by it before the weights change. That's
# what a **scaler** does. If the scale is too large, a gradient becomes infinite. The scaler then skips the step and halves its scale. bf16
# needs none of that, because its range is that of float32.
#
# **Autocast** decides where 16 bits are safe: convolutions and matrix products get them, sums and losses don't.
#
# ### Exercise 8.4 · `forward_backward` · ●●○ · 18 min · explain only
#
# Now take the step apart. `forward_backward` is its first half: it computes losses and adds to the gradients. It doesn't clear, clip or
# change anything. Only the forward pass runs inside `torch.autocast`. `weight` is for the next exercise: a factor of the gradient.

# %%
# %%exercise forward_backward
import torch


def forward_backward(
    model, images, targets, scaler, dtype, weight: float = 1.0
) -> dict[str, float]:
    """Run forward in `dtype` where that is safe, run backward, and add to the gradients.

    Args:
        model: (images, targets) → dict of losses, scalars. Its weights are float32 and stay as
            they are.
        images, targets: a batch. The device type for autocast is `images[0].device.type`.
        scaler: a torch.amp.GradScaler; a disabled scaler multiplies by 1.
        dtype: torch.bfloat16 or torch.float16; torch.float32 for no autocast.
        weight: factor of the gradient.

    Returns:
        The losses by name, as floats, neither weighted nor scaled.
    """
    ### BEGIN SOLUTION
    with torch.autocast(images[0].device.type, dtype, enabled=dtype != torch.float32):
        losses = model(images, targets)
    total = sum(loss.float() for loss in losses.values())
    scaler.scale(total * weight).backward()
    return {name: loss.item() for name, loss in losses.items()}
    ### END SOLUTION


# %%
check("forward_backward")

# %% [markdown]
# Compare float32 and bf16 on four scenes. There's one obstacle: a detector *samples* anchors and RoIs at random, so two runs see different
# ones. `fixed` is your detector with the course's sampling, which takes a seed for each image. `gradient` returns all gradients of a model
# as one vector. Run the second cell with each dtype, then with another batch.

# %% tags=["setup"]
fixed = training_model.seeded_model(my_workbook, classes).to(DEVICE)
no_scaler = torch.amp.GradScaler(DEVICE.type, enabled=False)


# %% tags=["write"]
dtype, batch = torch.bfloat16, four  # yours: try torch.float32, and batches[1]
fixed.zero_grad()
losses = forward_backward(fixed, *batch, no_scaler, dtype)
print({name: round(loss, 4) for name, loss in losses.items()})
print(f"norm of the gradient {gradient(fixed).norm().item():.2f}")

# %% [markdown]
# From float32 to bf16, the sum of the losses changes by less than 1 %. A small one can change more, and so can the gradient, here its length
# by some percent. That's rounding.
#
# ## 8.5 · A large batch on a small card · 22 min
#
# Small batches have noisy gradients, and memory grows with the batch. A card that holds two images can't take 16. Or can it? Gradients add up,
# as you've seen. So run forward and backward on a few images, then on the next few, and let the optimizer step once at the end. That's
# **gradient accumulation**, and the few images are a **micro-batch**.
#
# It must give the gradient of the whole batch. The loss of a batch is the mean over its images, and the gradient of a mean is the mean of the
# gradients. So everything depends on how you average. Take the losses of three images, in a part of two and a part of one. **Find two weights
# with which the means of the parts give the mean of all.**

# %% tags=["write"]
my_weights = (1 / 2, 1 / 2)  # yours
losses_of_three = torch.tensor([1.0, 2.0, 6.0])
means = losses_of_three[:2].mean().item(), losses_of_three[2:].mean().item()
print(f"mean of all {losses_of_three.mean().item()}, means of the parts {means}")
print("with your weights", sum(weight * mean for weight, mean in zip(my_weights, means)))

# %%
recall("forward_backward")

# %% [markdown]
# ### Exercise 8.5 · `accumulate` · ●●○ · 15 min · by hand
#
# `backward` is `forward_backward` with model, scaler and dtype already filled in. It frees what forward has stored before it returns, so only
# one micro-batch is in memory at a time. What's left for you is to cut the batch, and to weight each part correctly.


# %%
# %%exercise accumulate
def accumulate(backward, images, targets, micro_batch: int) -> dict[str, float]:
    """Accumulate the gradients of a batch in micro-batches.

    Args:
        backward: (images, targets, weight) → losses by name, floats, each a mean over these
            images. It adds `weight` times their gradient to the gradients.
        images, targets: the batch; both can be sliced.
        micro_batch: images per call; the last micro-batch may be smaller.

    Returns:
        The losses of the whole batch, by name. Its gradient is added to the existing gradients.
    """
    ### BEGIN SOLUTION
    totals = {}
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        weight = len(images[part]) / len(images)
        for name, loss in backward(images[part], targets[part], weight).items():
            totals[name] = totals.get(name, 0.0) + loss * weight
    return totals
    ### END SOLUTION


# %%
check("accumulate")

# %% [markdown]
# **Test somebody else's.** The check's inputs are the images in the batch and the micro-batch. What most people try first is below. Add inputs
# until no wrong version gets through. A third number sets all gradients to it beforehand.

# %% tags=["write"]
catch("accumulate", (8, 4))  # yours: more inputs

# %% [markdown]
# Two traps wait in detection, and neither crashes.
#
# **What is the loss divided by?** Your losses are divided by the number of *sampled* anchors and RoIs, the same for each image that has
# enough of them. So an image's share is 1 / B, and weighting by images is right. Many other detectors divide by the number of **positives**
# in the batch. Here are two images, with one positive and with three, as two micro-batches of one:

# %% tags=["read"]
positives = torch.tensor([1.0, 3.0])  # in each image
sums = torch.tensor([2.0, 3.0])  # of the losses of its positives
print("the whole batch", (sums.sum() / positives.sum()).item())
print("weighted by images", (sums / positives / 2).sum().item())
print("weighted by positives", (sums / positives * positives / positives.sum()).sum().item())

# %% [markdown]
# There you'd have to count the positives of the whole batch first, and weight by them. Language models divide by the number of tokens, and a
# widely used trainer got this wrong until 2024: [transformers#34191](https://github.com/huggingface/transformers/pull/34191).
#
# **What is an image padded to?** `collate` pads a batch to its largest image. If you collate each micro-batch by itself, an image gets another
# padding than in the whole batch, and with it other features at its edges, other anchors, and here another scale. `accumulate` slices a batch
# that is padded already, so its images stay the same. How much would it matter?

# %% tags=["write"]
extra = 64  # pixels of padding on the right; yours
image, target = four[0][:1], four[1][:1]
wider = torch.nn.functional.pad(image, (0, extra))
for name, each in {"as it is": image, "padded": wider}.items():
    print(f"{name:9}", {key: round(loss.item(), 3) for key, loss in fixed(each, target).items()})

# %% [markdown]
# It's the same image with the same boxes, and the losses change. (A third trap is batch norm, which would use the statistics of the
# micro-batch. Yours is frozen: lesson 02.)
#
# ## 8.6 · What fits on your card? · 25 min
#
# How small must a micro-batch be? The planner of lesson 02 predicts that without a card. **Type in the memory of yours**, or leave it at 4 GB.
# Then guess: how many images of 640 pixels fit at a time, for the first way below and for the second? (Predicting both takes up to a minute.)

# %% tags=["write"]
my_card = 4  # GB; yours
my_images = {"B3 as built": 1, "your step": 4}  # of 640 pixels at a time; yours

# %% tags=["variants"]
from coursekit.lessons.experiments.what_fits import AS_BUILT, compare_guesses, what_fits
from coursekit.memory import StepConfig

WAYS = {  # the first is that of lesson 02: the usual detector, from timm and torchvision
    "B3 as built": StepConfig("efficientnet_b3", precision="fp32", accumulates=True, **AS_BUILT),
    "your step": StepConfig(precision="bf16", accumulates=True, num_classes=classes),
}

# %% tags=["call"]
peaks = what_fits(WAYS, {my_card, 2, 4, 8, 24})
compare_guesses(peaks, "640", my_card, my_images)
show.explore_memory(peaks["your step"], "your step", my_card)

# %% [markdown]
# Read `4 × 4` as: 4 images at a time, 4 times, then one step. A column is the long side in pixels. "Your step" computes in 16 bits and has three
# stages frozen. Of 4 GB, 3.2 are usable: the driver and others take the rest, and a tenth stays free. In a terminal, `coursekit plan` prints
# this for your card.
#
# With three frozen stages and 16 bits, 4 GB holds all 16 at 640. Look at 800, at 2 GB, or at B3 as built: that's where you need accumulation.
#
# **In the picture: what is worth more, half the long side or half the images?** (Half the long side leaves a quarter of the pixels.)
#
# <details><summary>Answer</summary>
#
# Half the long side. Most of the memory is activations, and they grow with the number of pixels. A quarter of the pixels needs about a third
# of the memory, because weights don't shrink; half the images need a little more than half. But half the images cost only time, because
# gradients add up. Half the long side costs small objects.
#
# </details>
#
# Plans fail. A batch of larger images arrives, or another program takes memory, and you get `OutOfMemoryError`. Many scripts crash or skip the
# batch. You can do better: retry **the same batch in micro-batches half the size**. Gradients accumulate, so the effective batch size stays
# the same. The step only gets slower.
#
# **On Windows and under WSL there may be no error.** There the driver can move what doesn't fit into the computer's memory, and each step takes
# many times as long. If steps become slow while the card is full, use a smaller micro-batch. In NVIDIA's control panel, *CUDA – Sysmem
# Fallback Policy* turns this off: *Prefer No Sysmem Fallback*.
#
# ### Exercise 8.6 · `halve_on_oom` · ●●● · 18 min · explain only
#
# There are two traps. If memory runs out in the third micro-batch, the gradients of the first two are there already. And as long as Python is
# *inside* `except`, the error keeps alive all tensors that the failed attempt has made. If you retry there, you retry with a full card.

# %%
# %%exercise halve_on_oom
import torch


def halve_on_oom(attempt, clear, micro_batch: int) -> tuple[dict[str, float], int]:
    """Attempt a batch, and halve the micro-batch each time memory runs out.

    Args:
        attempt: takes a micro-batch, adds the gradients of the whole batch, and returns its losses.
        clear: takes nothing and clears all gradients.
        micro_batch: images at a time in the first attempt.

    Returns:
        The losses of the batch, by name, and the micro-batch that fit into memory, for the next
        step. If memory runs out, the next attempt has half the micro-batch, rounded up. The
        gradients are those of this batch and nothing else.

    Raises:
        torch.OutOfMemoryError: not even one image fits into memory. Other errors pass through.
    """
    ### BEGIN SOLUTION
    while True:
        clear()
        try:
            return attempt(micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = -(-micro_batch // 2)  # out here the failed attempt's tensors are free
    ### END SOLUTION


# %%
check("halve_on_oom")

# %% [markdown]
# ## 8.7 · The real step · 25 min
#
# You have three pieces. Each of the first two takes the one below it as an argument:
#
#     halve_on_oom      attempts a batch       with  attempt(micro_batch)
#     accumulate        cuts it into parts     with  backward(images, targets, weight)
#     forward_backward  adds the gradients     with  model, scaler and dtype
#
# After them come the second half of the step and its safeguards. Two things look alike here and aren't:
#
# - An infinite or NaN **gradient** in fp16 is normal. The scale was too large: `scaler.step` skips this step, and `scaler.update` halves the
#   scale. Training goes on.
# - An infinite or NaN **loss** isn't. The scale can't cause it, because the losses are computed before they're scaled. Stop before the weights
#   change.

# %%
recall("forward_backward", "accumulate", "halve_on_oom")

# %% [markdown]
# ### Exercise 8.7 · `real_step` · ●●● · 20 min · by hand
#
# Put them together. Gradients are clipped at their true size, so the scaler's `unscale_` comes before clipping.

# %%
# %%exercise real_step
import math

from torch import nn

from my_detector import accumulate, forward_backward, halve_on_oom


def real_step(
    model, images, targets, optimizer, scaler, dtype, micro_batch: int, max_norm: float = 10
) -> tuple[dict[str, float], int]:
    """Take a training step that fits into memory.

    Args:
        model: (images, targets) → dict of losses, scalars, each a mean over the images. In training
            mode.
        images, targets: the batch; both can be sliced. The device type for autocast is
            `images[0].device.type`.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        scaler: a torch.amp.GradScaler; a disabled scaler multiplies by 1.
        dtype: torch.bfloat16 or torch.float16; torch.float32 for no autocast.
        micro_batch: images at a time in the first attempt. Halved each time memory runs out.
        max_norm: gradients are unscaled, then clipped to this norm.

    Returns:
        The losses of the batch, by name, as floats, and the micro-batch for the next step. If a
        gradient is infinite, the weights stay as they are and the scale is halved.

    Raises:
        FloatingPointError: the sum of the losses is NaN or infinite. The weights are those from
            before the step.
        torch.OutOfMemoryError: not even one image fits into memory.
    """

    ### BEGIN SOLUTION
    def backward(images, targets, weight):
        return forward_backward(model, images, targets, scaler, dtype, weight)

    def attempt(micro_batch):
        return accumulate(backward, images, targets, micro_batch)

    losses, micro_batch = halve_on_oom(attempt, optimizer.zero_grad, micro_batch)
    if not math.isfinite(sum(losses.values())):
        raise FloatingPointError(f"the losses are {losses}")
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return losses, micro_batch
    ### END SOLUTION


# %%
check("real_step")

# %% [markdown]
# **The proof.** In float32, `real_step` must have the gradients of `train_step`, however it cuts the batch. Take seven images. The learning rate
# is 0, so the weights stay and the gradients can be compared. And to see that it survives, `Limited` is a card that holds two images.
# **How large will the difference be, as a share of the gradient's length?**

# %% tags=["write"]
my_difference = 1e-2  # yours


# %% tags=["read"]
class Limited(torch.nn.Module):
    """A model on a card that holds two images."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, targets):
        if len(images) > 2:
            raise torch.OutOfMemoryError(f"the card is full with {len(images)} images")
        return self.model(images, targets)


still = torch.optim.SGD(fixed.parameters(), lr=0.0)
seven = next(on_device(DataLoader(train_set, batch_size=7, collate_fn=collate), DEVICE))

# %% tags=["read"]
train_step(fixed, *seven, still)
whole = gradient(fixed)
for name, model, start in (("enough memory", fixed, 3), ("memory for two", Limited(fixed), 7)):
    _, end = real_step(model, *seven, still, no_scaler, torch.float32, micro_batch=start)
    apart = ((gradient(fixed) - whole).norm() / whole.norm()).item()
    print(f"{name}: {start} at a time, in the end {end}; the gradient differs by {apart:.1e}")
print(f"you said {my_difference:.1e}")

# %% [markdown]
# What's left is rounding: the same numbers, added in another order. The second line's run ran out of memory on the way, and still its gradient
# is that of all seven images, without anything left over from the failed attempts.
#
# `real_step` returns the micro-batch for the next step, so that only the first step fails. A small wrapper remembers it. Then it's a step like
# any other: for your loop, for your `time_step`, and for the ladder below. **How often does Python wait now, with two images at a time?**

# %% tags=["write"]
my_waits = 200  # yours


# %% tags=["read"]
def step_for(model, dtype, micro_batch):
    """Return a step (images, targets) → losses that remembers the micro-batch that fit."""
    adamw = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=dtype == torch.float16)

    def step(images, targets):
        nonlocal micro_batch
        losses, micro_batch = real_step(model, images, targets, adamw, scaler, dtype, micro_batch)
        return losses

    return step


# %% tags=["call"]
batched = training_model.new_model({}, classes).to(DEVICE)  # without loops over images
step_times.count_for_gpu("your step", step_for(fresh(), torch.float32, 2), four, parts, my_waits)
step_times.count_for_gpu("the course's", step_for(batched, torch.float32, 2), four, parts)

# %% [markdown]
# Now read the step of the course's trainer. **What would you add to `real_step`** for a detector that trains on four GPUs for a week? Note an
# idea, then look for it. And find your own pieces.

# %% tags=["write"]
my_idea = "..."  # yours

# %% tags=["call"]
import inspect

from coursekit.training import micro_batches

print(inspect.getsource(micro_batches.optimizer_step))

# %% [markdown]
# `accumulate_or_halve` holds 8.6, 8.5 and 8.4, and `update` is your last four lines. The library's step adds three things:
#
# - **It doesn't wait for the losses.** You call `loss.item()` in each micro-batch. It keeps the losses on the GPU and reads them a step later.
#   Whether one is NaN is decided on the GPU itself (`is_bad`), which then skips the update.
# - **Several processes** add up their gradients, so that a batch can be split over several GPUs.
# - **The same samples again.** Inside `local_batch`, which you don't see here, each image gets a seed, and each micro-batch the padding of its
#   batch. So a retried or resumed step computes the same.
#
# And the second count above? That's the course's detector with *your* step. With your own parts, the first count is larger. Without loops over
# images, little is left to wait for. In each micro-batch, that's your own `loss.item()` for four losses (`_local_scalar_dense`), and three
# waits of the course's: whether the boxes of the targets make sense (`_local_scalar_dense`, too), NMS, and how many RoIs read each level
# (`tolist`).
#
# From here on your step counts: `coursekit train --detector my_detector` trains with your `real_step` once it's correct, and says so.
#
# ## 8.8 · The ladder · 15 min
#
# Climb from the bill at the beginning, one rung at a time. Each rung is tried on top of those before it that were worth it:
#
# - **fewer pixels**: a long side of 320 instead of 640, so a quarter of the pixels,
# - **16 bits**: bf16 on cards since Ampere (RTX 30, 2020) and on some CPUs; fp16 on older cards,
# - **frozen**: three backbone stages aren't trained, so backward ends early,
# - **workers**: two processes load the next batches. Use what you measured in 8.3: how much can that gain at most?
#
# **How many times as fast is each rung?** Write down your predictions, then run it.

# %% tags=["write"]
my_prediction = {"fewer pixels": 4.0, "16 bits": 2.0, "frozen": 1.5, "workers": 1.1}  # yours

# %% tags=["variants"]
from coursekit.core.device import half_precision
from coursekit.lessons.experiments.speed_ladder import climb, peak_memory

HALF = torch.float16 if half_precision(DEVICE) == "fp16" else torch.bfloat16
LADDER = {
    "plain": {"side": 640, "dtype": torch.float32, "frozen": 0, "workers": 0},
    "fewer pixels": {"side": 320},
    "16 bits": {"dtype": HALF},
    "frozen": {"frozen": 3},
    "workers": {"workers": 2},
}


def prepare(side, dtype, frozen, workers):
    """Return a step and endless batches for this setting."""
    loader = DataLoader(train_set, batch_size=4, collate_fn=collate, num_workers=workers)
    return step_for(fresh(side, frozen), dtype, 4), on_device(step_times.endless(loader), DEVICE)


# %% tags=["call"]
guesses = my_prediction | {"in all": my_speedup}
memory_of = peak_memory(classes, 4, DEVICE)
show.ladder(climb(LADDER, prepare, clock, guesses, memory_of, quick(2, 0)))

# %% [markdown]
# On a GPU the memory is measured. Without one it's predicted for a card, for the course's own detector.
#
# Which rung surprised you? Fewer pixels save most, and they cost small objects, as at the end of lesson 03: at half the side, one of 20 pixels
# has 10 left. So climb with one eye on the score. A rung that gains no speed may still be worth its memory on a small card, and 16 bits may
# gain little here and much on your card. Measure where you train ([how it's measured here](../src/coursekit/lessons/experiments/speed_ladder.py)).
# Put the table into your report.
#
# For more rungs, there's the optional [GPU workshop](gpu-workshop.md): channels last, `torch.compile`, activation checkpointing, pinned memory.
#
# **When the batch changes, so does the learning rate.** With SGD, Goyal et al. multiply it by the same factor as the batch (section 2.1). The
# argument: if the gradient hardly changes in `k` small steps, one step that is `k` times as long ends in about the same place. See for yourself,
# in the valley of 8.1. **For which factors does it fail?**

# %% tags=["write"]
factor, rate = 4, 0.02  # yours: try a factor of 16, then of 64
small, large = 1.0, 1.0 - factor * rate * 2 * 1.0
for _ in range(factor):
    small = small - rate * 2 * small
print(f"{factor} small steps end at {small:.3f}, one large step at {large:.3f}")

# %% [markdown]
# With a factor of 16 the two are far apart already. With 64 the large step is longer than the valley is wide: it lands beyond the bottom,
# farther up than it began.
#
# For Adam and AdamW a smaller change is right: the square root of the factor (Malladi et al., 2022). Accumulation changes nothing here: 16
# images are a batch of 16, however you cut it.

# %%
journal("08")

# %% [markdown]
# ## What could go wrong
#
# - **"The loss became NaN after an hour."** The learning rate was too large, or it was fp16 without a scaler. Stop before the weights change, go
#   back to the last checkpoint, and continue with a tenth of the rate.
# - **"Memory grows with every step."** Losses were kept as tensors, and each holds its graph. `loss.item()` is a number.
# - **"It ran out of memory, I caught it, and it ran out again."** The retry ran inside `except`:
#   [PyTorch's FAQ](https://docs.pytorch.org/docs/stable/notes/faq.html) has it, and [pytorch#18853](https://github.com/pytorch/pytorch/issues/18853).
# - **"With accumulation I get another result."** A mean of means, losses divided by positives, another padding, batch norm that isn't frozen,
#   or other random samples.
# - **"fp16 skips the first steps."** That's the scaler, looking for its scale. If it still skips steps after the first hundred, look at the loss.
#
# ## What you learned · 5 min
#
# A training step is three moves and two safeguards. The learning rate decides whether it learns at all, and a warm-up gets it through the start.
# Measure what a step waits for, then climb: fewer pixels first. Accumulation gives a small card a large batch, halving gets a run through a full
# card, and both leave the gradient as it is.
#
# **Three questions to think about**
#
# <details><summary>1. Why does bf16 need no scaler, though it's less exact than fp16?</summary>
#
# It has as many bits for the exponent as float32. So tiny gradients stay above 0, and large ones stay finite. A scaler mends a lack of range,
# not of digits.
#
# </details>
# <details><summary>2. A step waits for data for 60 % of its time. How much faster can bf16 make it at best?</summary>
#
# It can only shorten the other 40 %. Even if computing took no time at all, the step would be 1 / 0.6 = 1.7 times as fast. The loader comes first.
#
# </details>
# <details><summary>3. Is a batch of 16 by accumulation as fast as 16 images at once?</summary>
#
# Usually not. It's the same arithmetic, but a GPU works best on many images at a time, and each micro-batch launches all operations again. It
# costs time and saves memory.
#
# </details>
#
# **Next: 09 · Evaluation.** It trains. How good is it, and what kinds of mistakes does it make?
#
# **Read on:** P. Goyal et al., *Accurate, Large Minibatch SGD*, 2017, sections 2.1 (learning rate and batch), 2.2 (warm-up) and 3 (pitfalls) · S.
# Malladi et al., *On the SDEs and Scaling Rules for Adaptive Gradient Algorithms*, 2022 · I. Loshchilov and F. Hutter, *SGDR*, 2017, equation 5 ·
# P. Micikevicius et al., *Mixed Precision Training*, 2018, section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 180, of which 111 are exercises. A good place for a break is after 8.4.
#
# **What people get wrong.** `train_step`: a NaN loss is noticed after the weights have changed. `forward_backward`: the gradients are unscaled or
# clipped here. `accumulate`: right for 8 images in fours, wrong for 7 in threes. `halve_on_oom`: gradients of the failed attempt, and the retry
# inside `except`. `real_step`: clipping before unscaling; stopping at an infinite gradient.
#
# **Questions to ask.** Which rung would you climb first on your own machine, and why? Why does `real_step` stop at a NaN loss, but not at a NaN
# gradient? How would you test a clock without waiting?
