# %% [markdown]
# # 08 · Training
#
# **135 minutes · you need lessons 01 and 07 · no GPU needed**
#
# Your detector is right. Now it has to learn, and that costs three things: time, memory and nerves. Today you write the trainer by
# hand, find out where its time goes, make it several times as fast, fit it to a card that is too small, and let it survive being
# killed.
#
# When you are done, you can
#
# - write a training loop that stops before it ruins the weights,
# - say what a training step waits for, and which remedy is worth trying,
# - compute in 16 bits, and say why fp16 needs a scaler and bf16 doesn't,
# - train with a large batch on a small card, and go on after any stop with the same bits.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(8)

# %% [markdown]
# **Using an AI assistant here:** it may write, and *you* write the test. `catch`, in 8.6, is the place for it. Hints open with the button
# under a check, or with `hint("accumulate")`.
#
# Here is your detector, assembled as in lesson 07, from your parts where they are right. The loader is that of lesson 01.

# %%
import os
import time

import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from coursekit.data.folders import find_folder
from coursekit.detector import Options, load_backbone
from coursekit.detector.resize import resize_targets, to_batch
from my_detector import FPN, BoxHead, CocoDataset, FasterRCNN, RPNHead, collate

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
folder = find_folder(os.environ.get("COURSEKIT_DATA", "mini"))
train_set = CocoDataset(folder / "annotations" / "instances_train2017.json", folder / "train2017")
classes = len(train_set.classes)


class Detector(FasterRCNN):
    """Images and targets → losses; images of any size are brought to the detector's own."""

    def forward(self, images, targets):
        limits, body = (self.options.min_size, self.options.max_size), self.backbone
        batch, sizes = to_batch(images, *limits, body.mean, body.std)
        return self.losses(batch, sizes, resize_targets(targets, images, sizes))


def fresh(side=320, frozen=3):
    """A detector with a pre-trained backbone that has learned nothing yet."""
    torch.manual_seed(0)
    body = load_backbone(frozen_stages=frozen)
    anchors = tuple([1.5 * stride, 2.5 * stride, 4.0 * stride] for stride in body.strides)
    few = {"rpn_pre_nms_top_n": (150, 150), "rpn_post_nms_top_n": (150, 100)}
    numbers = Options(classes, anchors, min_size=side, max_size=side, **few)
    parts = FPN(body.channels, 96), RPNHead(96, 9), BoxHead(96, classes)
    return Detector(body, *parts, numbers).to(DEVICE).train()


def trained(model):
    """The weights that are not frozen."""
    return [one for one in model.parameters() if one.requires_grad]


def ready(samples):
    """The batch of lesson 01, as floats in 0 to 1, where the model is."""
    images, targets = collate(samples)
    for target in targets:
        for name in ("boxes", "labels"):
            target[name] = target[name].to(DEVICE)
    return images.to(DEVICE) / 255, targets


def clock():
    """Seconds, once the device has done all that was begun."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


# %% [markdown]
# First the bill. How long would **one** pass over the 118,287 images of COCO take on this machine, if it is done the obvious way: large
# images, all weights trained, plain float32?

# %%
four = ready([train_set[row] for row in range(4)])
plain = fresh(640, frozen=0).to(memory_format=torch.contiguous_format)
for _ in range(2):  # the second time counts: the first warms up
    start = clock()
    sum(plain(*four).values()).backward()
    seconds = clock() - start
COCO = 118_287
days = COCO * seconds / 4 / 86400
print(f"{4 / seconds:.1f} images a second: {days * 24:.0f} hours, or {days:.1f} days, for one pass")

# %% [markdown]
# (Our scenes are drawn at 320 pixels. For the bill they were enlarged to 640, the long side of COCO's photographs.)
#
# And one pass is not enough; published detectors make a dozen and more. **Your guess:** how many times as fast will it be when you
# have climbed the ladder below?

# %%
my_guess = 2.0  # yours

fig = Figure(figsize=(7.4, 1.9), layout="constrained")
axes = fig.subplots()
axes.barh(["plain", "your guess"], [days * 24, days * 24 / my_guess], color=["#D55E00", "white"])
axes.barh(["your guess"], [days * 24 / my_guess], fill=False, hatch="//", edgecolor="#0072B2")
axes.set(xlabel="hours for one pass over COCO on this machine")
axes.invert_yaxis()
show.figure(fig, alt=f"Bars: plain takes {days * 24:.0f} hours; your guess is hatched below it.")

# %% [markdown]
# ## 8.1 · How far is a step? · 15 min
#
# Before any detector, one weight. The loss is `w²`, a valley with its bottom at 0. Its gradient is `2w`, and a step goes against it:
# `w - rate · 2w`. The **rate** says how far. Three rates, from the same start. **Predict:** which of them gets down fastest, which never?

# %%
for rate in (0.1, 0.4, 1.1):
    w, path = 1.0, []
    for _ in range(6):
        path.append(w)
        w = w - rate * 2 * w
    print(f"rate {rate}:", "  ".join(f"{one:7.3f}" for one in path))

# %% [markdown]
# Too large, and each step lands further up on the other side: it **diverges**. The limit depends on how steep the valley is. At the
# start of a training it is steepest: heads with random weights send wild gradients everywhere. So one begins with short steps, which
# grow: the **warm-up**. And at the end steps should be short again, to settle. Half a cosine does that.
#
# ### Exercise 8.1 · `warmup_cosine` · ●○○ · 10 min
#
# What to multiply the rate with at each step. On paper first: a warm-up of 1, and 5 steps in all. Step 0 should move, too.

# %%
# %%exercise warmup_cosine
import math


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate: a linear rise, then half a cosine down to 0.

    Args:
        step: number of the step, from 0.
        total: total number of steps. From this step on the factor is 0; but if all steps were
            warm-up, step `total` has 1, and what is returned beyond it doesn't matter.
        warmup: steps of the linear rise. Step 0 has a factor of 1 / (warmup + 1), so it already
            changes the weights. Each step adds as much again, and step `warmup` has a factor of 1.

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


# %%
def course_of_rate(steps, warm_up):
    fig = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = fig.subplots()
    factors = [warmup_cosine(step, steps, warm_up) for step in range(steps + 1)]
    axes.plot(range(steps + 1), factors, color="#0072B2", marker=".")
    axes.set(xlabel="step", ylabel="times the rate", ylim=(-0.05, 1.05))
    return fig, f"The factor rises for {warm_up} steps and then falls to 0 at step {steps}."


show.explore(course_of_rate, steps=(20, 100, 10, 60), warm_up=(0, 20, 1, 8))

# %% [markdown]
# ## 8.2 · The loop, by hand · 25 min
#
# Four moves make a step: **forward** (the losses), **backward** (the gradients), the **optimizer** (the weights move), and the
# **schedule** (the next rate). One thing surprises everybody once:

# %%
weight = torch.tensor(3.0, requires_grad=True)
for look in (1, 2):
    (weight * 2).backward()
    print(f"after look {look} the gradient is {weight.grad.item()}")

# %% [markdown]
# Gradients **add up** until somebody clears them. Today that is a trap; in 8.6 it is the trick.
#
# Two more safeguards belong in any loop. **Clipping**: where the norm of all gradients is above 10, they are made shorter,
# so that one odd batch can't throw the weights away. And **stopping in time**: a loss that is NaN or infinite makes every weight NaN, for
# good. So ask *before* the weights move.
#
# ### Exercise 8.2 · `train_one_epoch` · ●●○ · 20 min
#
# An **epoch** is one pass over the data. `nn.utils.clip_grad_norm_` clips, `math.isfinite` asks.

# %%
# %%exercise train_one_epoch
import math

import torch
from torch import nn


def train_one_epoch(model, batches, optimizer, schedule) -> list[float]:
    """Train a model on each batch once.

    Args:
        model: (images, targets) → dict of losses, scalars. Switch it to training mode.
        batches: yields (images, targets).
        optimizer: the optimizer of the model. Existing gradients are discarded.
        schedule: the schedule of its learning rate; it steps after each batch.

    Returns:
        The sum of the losses of each batch, as floats. Gradients are clipped to a norm of 10.

    Raises:
        FloatingPointError: a sum is NaN or infinite. The weights are those from before that step.
    """
    ### BEGIN SOLUTION
    model.train()
    history = []
    for images, targets in batches:
        loss = sum(model(images, targets).values())
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"step {len(history)}: the loss is {loss.item()}")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history
    ### END SOLUTION


# %%
check("train_one_epoch")

# %% [markdown]
# Now your loop trains your detector on batches of your loader, four times from the same weights. Only the rate differs; the last run has
# the rate of the second, and a warm-up. **Predict:** which of them gets worse before it gets better?

# %%
from functools import partial

from torch.utils.data import DataLoader, Subset

steps = quick(12, 3)
some = Subset(train_set, range(min(len(train_set), 4 * steps)))
batches = list(DataLoader(some, batch_size=4, collate_fn=ready))
RUNS = {
    "0.0001": (1e-4, 0),
    "0.002": (2e-3, 0),
    "0.02": (2e-2, 0),
    "0.002, warm-up": (2e-3, max(1, steps // 2)),
}
curves = {}
for name, (rate, warmup) in tqdm(RUNS.items(), leave=False):
    pupil = fresh(256)
    optimizer = torch.optim.AdamW(trained(pupil), rate)
    factor = partial(warmup_cosine, total=2 * steps, warmup=warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    try:
        curves[name] = train_one_epoch(pupil, batches, optimizer, schedule)
    except FloatingPointError as error:
        print(f"rate {name} was stopped: {error}")

fig = Figure(figsize=(7.4, 3.4), layout="constrained")
axes = fig.subplots()
looks = zip(["#0072B2", "#E69F00", "#D55E00", "#009E73"], ["-", "--", ":", "-."])
for (name, curve), (color, style) in zip(curves.items(), looks):
    axes.plot(curve, color=color, linestyle=style, label=f"rate {name}")
axes.set(yscale="log", xlabel="step", ylabel="loss, in powers of 10")
axes.legend(fontsize=8)
words = "; ".join(f"rate {name}: at most {max(curve):.3g}" for name, curve in curves.items())
show.figure(fig, alt="Losses at four rates. " + words)
for name, curve in curves.items():
    few = curve[-5:]
    end = sum(few) / len(few)
    print(f"rate {name:15} first {curve[0]:.2f}   highest {max(curve):12,.2f}   end {end:.2f}")

# %% [markdown]
# A rate that is too large is not a little worse: look at the highest losses. Each such step also moves the pre-trained weights, and
# nothing brings them back. Compare the two runs at 0.002: that is what the warm-up is for.
# (The course's trainer gives the backbone a smaller rate than the new parts; see `coursekit/training/optimizer.py`.)
#
# ## 8.3 · Where does the time go? · 18 min
#
# Before you make anything faster, measure. The step has four parts: waiting for **data**, **forward**, **backward**, **optimizer**. A clock
# on a GPU has a trap: the program only hands over the work and goes on. Whoever reads the clock then measures nothing, and all
# the time turns up where the program first has to wait. So our `clock()`, above, waits for the device first.
#
# ### Exercise 8.3 · `time_step` · ●●○ · 15 min
#
# The clock comes in as an argument. Then a test can hand in one that it moves by hand, and needs no waiting: that is how the check does
# it.


# %%
# %%exercise time_step
def time_step(model, batches, optimizer, clock) -> dict[str, float]:
    """Take one training step and measure where its time goes.

    Args:
        model: (images, targets) → dict of losses, scalars.
        batches: an iterator, from which one batch is taken.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        clock: returns the time in seconds, after waiting until the device has finished all queued
            work.

    Returns:
        Seconds by phase: "data" (waiting for the batch), "forward" (up to the losses), "backward"
        and "optimizer" (the rest). They add up to the time of the step.
    """
    ### BEGIN SOLUTION
    start = clock()
    images, targets = next(batches)
    after_data = clock()
    losses = model(images, targets)
    after_forward = clock()
    optimizer.zero_grad()
    sum(losses.values()).backward()
    after_backward = clock()
    optimizer.step()
    end = clock()
    return {
        "data": after_data - start,
        "forward": after_forward - after_data,
        "backward": after_backward - after_forward,
        "optimizer": end - after_backward,
    }
    ### END SOLUTION


# %%
check("time_step")

# %% [markdown]
# **Predict** the four shares for your detector with your loader, then for one that is slow on purpose: as on a network disk, it waits a
# twentieth of a second for each image.

# %%


class Slow(Subset):
    """As if the files lay on a slow network disk."""

    def __getitem__(self, row):
        time.sleep(0.05)
        return super().__getitem__(row)

    __getitems__ = None


def endless(dataset):
    """Batches without end."""
    while True:
        yield from DataLoader(dataset, batch_size=4, collate_fn=ready)


def mean_step(model, source, count, step=time_step):
    """Mean seconds of each part, after a first step that doesn't count."""
    optimizer = torch.optim.AdamW(trained(model), 1e-4)
    step(model, source, optimizer, clock)
    times_of_steps = [step(model, source, optimizer, clock) for _ in range(count)]
    return {
        part: sum(times[part] for times in times_of_steps) / count for part in times_of_steps[0]
    }


def verdict(parts):
    """What to do about it."""
    share = parts["data"] / sum(parts.values())
    if share < 0.1:
        return f"{share:.0%} waiting for data: the machine computes all the time"
    return f"{share:.0%} waiting for data: store resized images, or use workers"


count = quick(2, 1)
learner = fresh()
times = {
    "yours": mean_step(learner, endless(some), count),
    "slow": mean_step(learner, endless(Slow(train_set, some.indices)), count),
}
fig = Figure(figsize=(7.4, 2.1), layout="constrained")
axes = fig.subplots()
colors = ["#D55E00", "#56B4E9", "#0072B2", "#E69F00"]
for row, parts in enumerate(times.values()):
    start = 0.0
    for (part, value), color, hatch in zip(parts.items(), colors, ["//", "", "..", "xx"]):
        label = part if row == 0 else None
        axes.barh(row, value, left=start, color=color, hatch=hatch, edgecolor="white", label=label)
        start += value
axes.set(xlabel="seconds of a step with 4 images", ylim=(1.6, -0.6))
axes.set_yticks([0, 1], ["your loader", "a slow one"])
axes.legend(ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.3))
words = [
    f"{name}: " + ", ".join(f"{part} {one:.2f}" for part, one in parts.items())
    for name, parts in times.items()
]
show.figure(fig, alt="Bars of seconds by part. " + "; ".join(words))
for name, parts in times.items():
    print(f"{name:6} {verdict(parts)}")

# %% [markdown]
# Look at the verdict *first*. Where a step waits for data, the following helps little; where it doesn't, more workers don't. (The
# course's trainer prints such a verdict at the end of each run: `coursekit/training/clock.py`.)
#
# ## 8.4 · Sixteen bits · 15 min
#
# A float32 has 32 bits. Half of them would take half the memory, and many machines compute faster with them. There are two ways to
# spend 16 bits, and they give up different things:

# %%
print(f"{'':10}{'fp32':>16}{'fp16':>16}{'bf16':>16}")
for words, value in (
    ("a third", 1 / 3),
    ("1 + 1/300", 1 + 1 / 300),
    ("70,000", 70_000.0),
    ("1e-8", 1e-8),
):
    number = torch.tensor(value)
    row = [one.item() for one in (number, number.half(), number.bfloat16())]
    print(f"{words:10}" + "".join(f"{one:16.8g}" for one in row))

# %% [markdown]
# **fp16** is finer, but it has little range: 70,000 is infinite to it, and 1e-8 is nothing. **bf16** has the whole range of float32
# and only two or three decimal digits. Gradients are often tiny. What becomes of ten of them?

# %%
tiny = torch.logspace(-9, 0, 10)
print("gradients           ", " ".join(f"{one:.0e}" for one in tiny.tolist()))
print("left in bf16        ", int((tiny.bfloat16() > 0).sum()), "of 10")
print("left in fp16        ", int((tiny.half() > 0).sum()), "of 10")
scale = 2.0**12
back = (tiny * scale).half().float() / scale
print("fp16, loss × 4096   ", int((back > 0).sum()), "of 10, largest", back.max().item())

# %% [markdown]
# So for fp16 the loss is multiplied with a large number before backward, and the gradients are divided by it before the weights move: that is
# a **scaler**. If a gradient becomes infinite, it skips the step and halves its scale. bf16 needs none of it.
#
# The *weights* stay float32 in both cases. Why? Look what a small step does to a weight in bf16:

# %%
weight = torch.tensor(1.0)
print("float32:", (weight + 0.001).item(), "   bf16:", (weight.bfloat16() + 0.001).item())

# %% [markdown]
# The step is lost in rounding. **Autocast** therefore casts only on the way through convolutions and matrix products.
#
# ### Exercise 8.4 · `autocast_step` · ●●○ · 10 min
#
# Forward inside `torch.autocast`, everything else outside. Gradients are to be clipped in their true size.

# %%
# %%exercise autocast_step
import torch
from torch import nn


def autocast_step(model, images, targets, optimizer, scaler, dtype) -> float:
    """Take a step in mixed precision: weights stay in float32, and forward computes in `dtype`.

    Args:
        model: (images, targets) → dict of losses, scalars.
        images, targets: a batch, on a device of the type images[0].device.type.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        scaler: a torch.amp.GradScaler; a disabled scaler multiplies by 1.
        dtype: torch.bfloat16 or torch.float16.

    Returns:
        The sum of the losses, unscaled. Gradients are unscaled, then clipped to a norm of 10. If
        one is infinite, the weights stay as they are and the scale is halved.
    """
    ### BEGIN SOLUTION
    with torch.autocast(images[0].device.type, dtype):
        losses = model(images, targets)
    loss = sum(loss.float() for loss in losses.values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()
    ### END SOLUTION


# %%
check("autocast_step")

# %% [markdown]
# Does it learn the same? Twice the same short training, once in float32 and once in bf16.

# %%
import warnings

warnings.filterwarnings("ignore", message="(?s).*autocast")  # with float32 it is none, and says so


def cast_run(dtype):
    """Losses of a few steps on the same batches."""
    pupil = fresh()
    optimizer, off = torch.optim.AdamW(trained(pupil), 1e-4), torch.amp.GradScaler(enabled=False)
    return [
        autocast_step(pupil, images[:2], targets[:2], optimizer, off, dtype)
        for images, targets in batches[: count + 1]
    ]


for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
    print(f"{name:8}", "  ".join(f"{loss:.3f}" for loss in cast_run(dtype)))

# %% [markdown]
# The first losses hardly differ: rounding is a small noise beside that of the data. Later runs drift apart, as two runs with two seeds do.
#
# ## 8.5 · The ladder · 12 min
#
# Now one rung at a time, each on top of those below it that were worth it. **Write your prediction into the cell** (times as fast as without
# it), then run it:
#
# - **resized**: images of 320 pixels in place of 640. A quarter of the pixels.
# - **channels last**: the same numbers in memory, but all channels of a pixel side by side. Convolutions may read them faster.
# - **bf16**: autocast. Only some CPUs compute it faster; others emulate it.
# - **frozen**: three stages of the backbone are not trained; backward ends early.

# %%
my_prediction = {"resized": 4.0, "channels last": 1.5, "bf16": 2.0, "frozen": 1.5}


def rung(side, memory_format, dtype, frozen):
    """Images a second, two at a time, in the best of a few steps; the first doesn't count."""
    model = fresh(side, frozen).to(memory_format=memory_format)
    optimizer, off = torch.optim.AdamW(trained(model), 1e-4), torch.amp.GradScaler(enabled=False)
    seconds = []
    for _ in range(count + 2):
        start = clock()
        autocast_step(model, four[0][:2], four[1][:2], optimizer, off, dtype)
        seconds.append(clock() - start)
    return 2 / min(seconds[1:])


LADDER = {
    "plain": {},
    "resized": {"side": 320},
    "channels last": {"memory_format": torch.channels_last},
    "bf16": {"dtype": torch.bfloat16},
    "frozen": {"frozen": 3},
}
usual = torch.contiguous_format
best_way = {"side": 640, "memory_format": usual, "dtype": torch.float32, "frozen": 0}
speeds, best = {}, 0.0
print(f"{'rung':14} {'images/s':>8}  {'predicted':>9}  {'measured':>8}")
for name, change in tqdm(LADDER.items(), leave=False):
    speeds[name] = speed = rung(**best_way | change)
    predicted = f"{my_prediction[name]:.1f} ×" if name in my_prediction else ""
    measured = f"{speed / best:.2f} ×" if best else ""
    outcome = "kept" if speed > best else "left out"
    print(f"{name:14} {speed:8.1f}  {predicted:>9}  {measured:>8}  {outcome}")
    if speed > best:
        best_way, best = best_way | change, speed

# %% [markdown]
# Which surprised you? Fewer pixels beat every trick, nearly always. They also cost small objects, as lesson 03 has shown: the ladder is
# climbed with one eye on the score. A rung that brings nothing here may bring much on a GPU: measure on the machine that you train on.
#
# One more is much praised: `torch.compile` turns a model into code of its own. That takes a while, once for each shape of the input
# (`dynamic=False`), and pays if it runs long enough. On one small block:

# %%
import logging

from torch import nn

logging.getLogger("torch").setLevel(logging.ERROR)
torch.manual_seed(0)
block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 1)).to(DEVICE)
sample = torch.randn(4, 16, 40, 40, device=DEVICE)


def milliseconds(module, times=20):
    """Mean of some calls."""
    with torch.no_grad():
        start = clock()
        for _ in range(times):
            module(sample)
        return (clock() - start) / times * 1e3


milliseconds(block)
as_it_is = milliseconds(block)
try:
    compiled = torch.compile(block, dynamic=False)
    start = clock()
    with torch.no_grad():
        compiled(sample)
    waited = clock() - start
    after = milliseconds(compiled)
    print(f"as it is {as_it_is:.2f} ms, compiled {after:.2f} ms; compiling took {waited:.1f} s")
    saved = (as_it_is - after) / 1e3
    print(f"it has paid after {waited / saved:,.0f} calls" if saved > 0 else "it never pays here")
except Exception as error:
    print(f"torch.compile can't be used here ({type(error).__name__}). You lose nothing but this.")

# %% [markdown]
# ## 8.6 · A large batch on a small card · 18 min
#
# Small batches have noisy gradients. But memory grows with the batch, and a card that holds 2 images can't take 16. Or can it? You saw
# above that gradients add up. So: forward and backward on a few images, then on the next few, and one step at the end. That
# is **gradient accumulation**. What must be the same is the gradient. Take the mean of three numbers in parts of two and one:

# %%
losses = torch.tensor([1.0, 2.0, 6.0])
parts = losses[:2].mean(), losses[2:].mean()
print("mean of all              ", losses.mean().item())
print("mean of the parts' means ", ((parts[0] + parts[1]) / 2).item())
print("weighted by their count  ", (parts[0] * 2 / 3 + parts[1] * 1 / 3).item())

# %% [markdown]
# ### Exercise 8.6 · `accumulate` · ●●○ · 15 min
#
# Mind what is held when: backward frees what forward has kept. When is the best moment to call it?


# %%
# %%exercise accumulate
def accumulate(model, images, targets, micro_batch: int) -> dict[str, float]:
    """Accumulate the gradients of a batch in micro-batches.

    Args:
        model: (images, targets) → dict of losses, each a mean over the images.
        images, targets: the batch; both can be sliced.
        micro_batch: images per forward pass; the last micro-batch may be smaller.

    Returns:
        The losses of the whole batch, by name, as floats. Its gradient is added to the existing
        gradients; the weights don't change. The memory of a micro-batch is free before the next
        one begins.
    """
    ### BEGIN SOLUTION
    totals = {}
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        losses = model(images[part], targets[part])
        weight = len(images[part]) / len(images)
        (sum(losses.values()) * weight).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0.0) + loss.item() * weight
    return totals
    ### END SOLUTION


# %%
check("accumulate")

# %% [markdown]
# **Your turn to test.** An assistant hands you an `accumulate`. The check's cases are two numbers, the images in the batch and the images at a
# time. The input below is what most people try first. Add inputs until no wrong version gets through; a third number puts gradients there
# beforehand.

# %%
catch("accumulate", (8, 4))

# %% [markdown]
# Now on a real detector. There is one catch: it *samples* anchors and RoIs at random, and two runs draw different ones. For the proof the samples
# have to be fixed. The course's detector takes a seed for each image; so the proof is made with that one.

# %%
from coursekit.detector import build_detector


class Fixed(nn.Module):
    """The course's detector; what it samples in an image follows from the image alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.detector = build_detector(num_classes=classes, frozen_stages=3)

    def forward(self, images, targets):
        gt = [{name: target[name] for name in ("boxes", "labels")} for target in targets]
        return self.detector(list(images), gt, seeds=[target["image_id"] for target in targets])


def gradient(model):
    """All of it in one row."""
    return torch.cat([one.grad.flatten() for one in trained(model)])


fixed = Fixed().to(DEVICE).train()
seven = ready([train_set[row] for row in range(7)])
accumulate(fixed, *seven, 7)
whole = gradient(fixed)
for micro_batch in (3, 1):
    fixed.zero_grad()
    accumulate(fixed, *seven, micro_batch)
    apart = (gradient(fixed) - whole).norm() / whole.norm()
    print(f"7 images, {micro_batch} at a time: the gradient differs by {apart:.1e} of its length")

# %% [markdown]
# The difference is rounding: the same numbers, added in another order. (Batch norm would spoil it, since it looks at the batch that it
# gets. Ours is frozen: lesson 02.)
#
# ## 8.7 · What fits on 4 GB? · 20 min
#
# What does a step hold? The planner of lesson 02 knows, without any card. Here is the step by its parts, for your detector with images of 640
# pixels. **Predict** first: which part grows with the batch?

# %%
from coursekit.memory import Constants, StepConfig, predict, usable
from coursekit.memory.step_config import GIB, KINDS, MIB

print(f"{'MiB':10}" + "".join(f"{kind:>13}" for kind in KINDS))
for batch in (1, 4)[: quick(2, 1)]:
    setting = StepConfig(size=(640, 640), batch=batch, num_classes=classes)
    peak = predict(setting)
    row = "".join(f"{getattr(peak, kind) / MIB:13.0f}" for kind in KINDS)
    print(f"{batch} image{'s' if batch > 1 else ' '}  {row}")

# %% [markdown]
# Only what forward keeps, the **activations**. (Gradients stand at 0, because most is held when forward has just ended, and they are not
# there yet.) So the table of what fits is soon made: the most images at a time, for a batch of 16 in all. First a large backbone the
# obvious way, float32 and nothing frozen; then your detector on the top of its ladder.

# %%
from coursekit.memory.planner import BATCHES, SIZES, peaks_of

WAYS = {
    "EfficientNet-B3, float32, nothing frozen": StepConfig(
        "efficientnet_b3", precision="fp32", frozen_stages=0, accumulates=True, num_classes=classes
    ),
    "Lite0, bf16, three stages frozen": StepConfig(accumulates=True, num_classes=classes),
}
for words, setting in list(WAYS.items())[-quick(2, 1) :]:
    peaks = peaks_of(setting)
    print(f"\n{words}\ncard    " + "".join(f"{name:>12}" for name in SIZES))
    for card in (2, 4, 8, 12, 24):
        budget = usable(card, Constants())
        row = []
        for name in SIZES:
            fits = [one for one in BATCHES if peaks[name, one].total <= 0.9 * budget]
            row.append(f"{max(fits)} × {16 // max(fits)}" if fits else "nothing")
        print(f"{card:2} GB   " + "".join(f"{cell:>12}" for cell in row))

# %% [markdown]
# Read "4 × 4" as: 4 images at a time, 4 times, one step. A column is the long side in pixels. `coursekit plan` prints such a table for
# your own card. (A tenth of what is usable is left free.)
#
# Now turn it yourself, for your own card. What is worth more, half the long side or half the images? Try both.

# %%
from coursekit.show.memory import explore_memory

explore_memory(peaks, words)

# %% [markdown]
# A plan is a plan. One day a batch comes with larger images, or somebody else uses the card: `OutOfMemoryError`. Many programs die, or throw the
# batch away. Better: take **the same images again, half as many at a time**. The effective batch stays, so nothing about the training
# changes but its speed.
#
# ### Exercise 8.7 · `halve_on_oom` · ●●● · 15 min
#
# Two traps. If the third part fails, the gradients of the first two are there already. And as long as Python is *inside* `except`, the error
# keeps everything alive that the failed step had made: whoever tries again there, tries with a full card.

# %%
# %%exercise halve_on_oom
import torch

from my_detector import accumulate


def halve_on_oom(model, images, targets, micro_batch: int) -> tuple[dict[str, float], int]:
    """Accumulate the gradients of a batch, and halve the micro-batch if memory runs out.

    Args:
        model: (images, targets) → dict of losses, each a mean over the images.
        images, targets: the batch.
        micro_batch: images per forward pass at the first try.

    Returns:
        The losses of the whole batch, by name, and the micro-batch that fit into memory, for the
        next step. If memory runs out, the batch is retried in micro-batches half the size, rounded
        up. The weights hold the gradient of this batch and nothing else.

    Raises:
        torch.OutOfMemoryError: not even one image fits into memory. Other errors pass through.
    """
    ### BEGIN SOLUTION
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = -(-micro_batch // 2)  # out here the failed step's tensors are free
    ### END SOLUTION


# %%
check("halve_on_oom")

# %% [markdown]
# Provoke one. The same detector gets a limit: more than two images at a time "don't fit". Seven images arrive, seven at a time, for two
# steps.

# %%


class Limited(nn.Module):
    """A model on a card that holds two images."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, targets):
        if len(images) > 2:
            print(f"  out of memory with {len(images)} images")
            raise torch.OutOfMemoryError("the card is full")
        return self.model(images, targets)


small_card = Limited(fixed)
at_a_time = 7
for step in (1, 2):
    print(f"step {step}, beginning with {at_a_time} at a time")
    _, at_a_time = halve_on_oom(small_card, *seven, at_a_time)
    apart = (gradient(fixed) - whole).norm() / whole.norm()
    print(f"  done with {at_a_time} at a time; the gradient differs by {apart:.1e}")

# %% [markdown]
# Survived twice over: the first step learned what fits, the second began with it, and the gradient is that of all seven images. (The
# course's trainer does the same in `coursekit/training/micro_batches.py`, and writes down that it happened.)
#
# ## 8.8 · Stopped, and resumed · 17 min
#
# A laptop sleeps, a server restarts, somebody presses Ctrl-C. What must a **checkpoint** hold, so that the run goes on as if nothing had been?
# The weights, of course. But AdamW remembers two numbers for each of them, the rate follows from the number of the step, and
# what is sampled depends on torch's random numbers.
#
# And what if it is killed *while* it writes? Write beside the old file, then rename: that happens at once or not at all. Reading is
# done with `weights_only=True`: else a file that somebody sent you can run any code.
#
# ### Exercise 8.8 · `save_and_resume` · ●●○ · 15 min
#
# The function is called again after each stop, with a model in any state. `path` is a `pathlib.Path`.

# %%
# %%exercise save_and_resume
import torch


def save_and_resume(path, model, optimizer, train_step, steps: int) -> int:
    """Train with a checkpoint after each step, resuming from the checkpoint if there is one.

    Args:
        path: path of the checkpoint, a pathlib.Path. Once there is one, it is complete at any
            moment: a new one is written to another file in the same folder, then renamed. No other
            file is left in the folder.
        model, optimizer: in their initial state, or in any state if there is a checkpoint.
        train_step: takes the number of the step, from 0. It may draw random numbers from torch.
        steps: total number of steps.

    Returns:
        The number of the first step that this call took; `steps` if none was left. A resumed run
        ends with exactly the same weights as one that was never stopped. Reading a checkpoint
        executes nothing that is in it.
    """
    ### BEGIN SOLUTION
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": step + 1,
        }
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)
    return first
    ### END SOLUTION


# %%
check("save_and_resume")

# %% [markdown]
# Three runs of your detector: one goes through, one is killed in its third step, and one goes on from there, beginning with other weights and other
# random numbers.

# %%
import tempfile
from pathlib import Path

STEPS = 4


class KilledError(Exception):
    """Stands for whatever ends a run."""


def run_to_the_end(path, seed, kill_at=None):
    """The first step done, and the weights at the end."""
    model = fresh(160)  # small images: here only the bits matter
    optimizer = torch.optim.AdamW(trained(model), 1e-4)
    torch.manual_seed(seed)

    def train_step(step):
        if step == kill_at:
            raise KilledError
        optimizer.param_groups[0]["lr"] = 1e-4 * warmup_cosine(step, STEPS, 1)
        halve_on_oom(model, *batches[step % len(batches)], 4)
        optimizer.step()

    if seed:  # as if another process had begun with anything
        with torch.no_grad():
            for one in trained(model):
                one.add_(0.1)
    first = save_and_resume(path, model, optimizer, train_step, STEPS)
    return first, torch.cat([one.detach().flatten() for one in model.parameters()])


with tempfile.TemporaryDirectory() as place:
    _, undisturbed = run_to_the_end(Path(place) / "a.pt", seed=0)
    try:
        run_to_the_end(Path(place) / "b.pt", seed=0, kill_at=2)
    except KilledError:
        print("killed in step 2; there is", [one.name for one in Path(place).glob("b*")])
    first, resumed = run_to_the_end(Path(place) / "b.pt", seed=1)
print(f"went on with step {first}; the same bits in the end: {torch.equal(undisturbed, resumed)}")

# %% [markdown]
# ### Read the real one
#
# What you wrote today is the course's trainer in small. Open `coursekit/training/loop.py`: it reads aloud in five minutes. Its heart:

# %%
import inspect

from coursekit.training import loop

print(inspect.getsource(loop.train_one_epoch))

# %% [markdown]
# Find your pieces: `waiting_for` is the data part of `time_step`; `optimizer_step` holds `accumulate`, `halve_on_oom` and the scaler;
# checkpoints, pictures and scores are **hooks**, so that the loop stays short. Where does it differ from yours? (It counts where in the epoch
# it is, so that a resumed run goes on with the next batch; and it asks about signals only *between* steps.)
#
# ## Your ladder
#
# The bill from the beginning, once more, rung by rung, each on top of those that you have kept. (The first steps of a new process are
# slower, so plain may have gained since.)
# Put this table into your report.

# %%
print("| rung | images a second | times | one pass over COCO |")
print("|---|---|---|---|")
for name, speed in speeds.items():
    times_as_fast, hours = speed / speeds["plain"], COCO / speed / 3600
    print(f"| {name} | {speed:.1f} | {times_as_fast:.1f} | {hours:.1f} hours |")
whole_ladder = max(speeds.values()) / speeds["plain"]
print(f"\nyour guess at the beginning: {my_guess:.1f} times as fast; it came to {whole_ladder:.1f}")

fig = Figure(figsize=(7.4, 2.6), layout="constrained")
axes = fig.subplots()
bars = axes.barh(list(speeds), list(speeds.values()), color="#0072B2")
axes.bar_label(bars, [f"{speed:.1f}" for speed in speeds.values()], padding=3)
axes.set(xlabel="images a second", xlim=(0, 1.15 * max(speeds.values())))
axes.invert_yaxis()
words = ", ".join(f"{name} {speed:.1f}" for name, speed in speeds.items())
show.figure(fig, alt="Bars of images a second, each rung on top of those kept below it: " + words)

# %%
journal("08")

# %% [markdown]
# ## What could go wrong
#
# - **"The loss became NaN after an hour."** The rate, or fp16 without a scaler. Stop before the weights move, keep the last checkpoint, go on with
#   a tenth of the rate.
# - **"Memory grows with every step."** Losses kept as tensors: each holds its whole graph. `loss.item()` is a number.
# - **"It ran out of memory, I caught it, and it ran out again."** The second try ran inside `except`, as you know now. It stands in
#   [PyTorch's own FAQ](https://docs.pytorch.org/docs/stable/notes/faq.html).
# - **"Accumulation gives another result."** A mean of means, as in 8.6; batch norm that is not frozen; or samples drawn anew.
# - **"After the resume the loss jumps."** The optimizer's state was not saved, or the schedule began again with its warm-up.
#
# ## What you learned
#
# A loop is four moves and two safeguards. The rate decides whether it learns at all. First measure where time goes, then climb: fewer pixels, then
# formats, 16 bits, frozen stages. Accumulation gives a large batch on a small card, halving saves a run from a full one, and a
# checkpoint is whole only with optimizer, step and random numbers.
#
# **Three questions to think about**
#
# <details><summary>1. Why does bf16 need no scaler, though it is less exact than fp16?</summary>
#
# It has as many bits for the exponent as float32, so that tiny gradients stay and large ones are finite. Exactness is not what is missing.
#
# </details>
# <details><summary>2. A step waits for data for 60 % of its time. How much can bf16 save at best?</summary>
#
# At most the other 40 %, and in truth less. First the loader.
#
# </details>
# <details><summary>3. Is a batch of 16 by accumulation as fast as one of 16 at once?</summary>
#
# Mostly slower: as much arithmetic, but a GPU works best on many images at a time, and there are more small calls. It costs time and saves memory.
#
# </details>
#
# **Next: 09 · Evaluation.** It trains. How good is it, and what kinds of mistakes does it make?
#
# **To read on:** P. Goyal et al., *Accurate, Large Minibatch SGD*, 2017, sections 2.2 and 2.3 (warm-up, and what goes wrong with batches) · I. Loshchilov
# and F. Hutter, *SGDR*, 2017, equation 5 · P. Micikevicius et al., *Mixed Precision Training*, 2018, section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 135, of which 100 writing. A good place to break is after the ladder, 8.5.
#
# **What people get wrong.** `train_one_epoch`: a loss that is no number is noticed after the weights have moved; tensors kept in the history.
# `accumulate`: right for 8 images in fours and wrong for 7 in threes; one backward at the end, which saves no memory. `halve_on_oom`: gradients of the
# failed try, and the second try inside `except`. `save_and_resume`: random numbers forgotten, the file written over.
#
# **Questions to ask.** Which rung would you climb first on your own machine, and why? What does the resumed run share with the first one, and what not?
# How would you test a clock without waiting?
