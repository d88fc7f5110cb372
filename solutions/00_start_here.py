# %% [markdown]
# # 00 · Start here
#
# **60 minutes · nothing to prepare · no GPU needed**
#
# A detector looks at a picture and says *what* is in it and *where*. In ten lessons you will build one, part by part, until every
# part of it is your own. In this one you watch the whole thing run once: data in, training, boxes out, a score.
#
# When you are done, you can
#
# - read one object of COCO's annotation file and draw its box,
# - say what a detector gives you for a picture,
# - explain in one sentence what AP50 means.
#
# - answer an exercise, have it checked, ask for a hint, and find your answer again as a Python package.
#
# Here is the map. Every box is a lesson. What is hatched is the course's; a part whose exercises you have all solved turns solid
# and says *yours*.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, examine, hint, journal, lesson_map, quick, reference

lesson_map(0)

# %% [markdown]
# ## 0.1 · What can this machine do? · 5 min
#
# Training is arithmetic: billions of multiplications for every picture. A GPU does thousands of them at once, a CPU a few dozen.
# What do you have? (The same in a terminal: `coursekit doctor`.)

# %%
from coursekit.runs.doctor import examine as doctor

for finding in doctor():
    print(
        f"{'ok  ' if finding.ok else 'LOOK'} {finding.name:9} {finding.value:22} {finding.meaning}"
    )

# %% [markdown]
# How much slower is a small machine? Let us ask it, with the one operation that detectors spend their time on: a matrix product.

# %%
import time

import torch

from coursekit.core.device import best_device

device = best_device()
a = torch.randn(1024, 1024, device=device)
for _ in range(3):
    (a @ a).sum().item()  # warm up; .item() waits until a GPU has finished
start = time.perf_counter()
for _ in range(20):
    product = a @ a
product.sum().item()
seconds = (time.perf_counter() - start) / 20
print(f"{2 * 1024**3 / seconds / 1e9:,.0f} billion operations a second")

# %% [markdown]
# Keep that number in mind: in a moment you will see what one look at one scene costs.
#
# ## 0.2 · What does the data look like? · 15 min
#
# COCO is the data set that detectors are compared on: 118,287 photographs with 860,001 boxes. That is 20 GB, and you don't need
# them today. `mini` is a drawn set in COCO's own format: same files, same fields, same numbering. It is drawn on your machine the
# first time you ask for it, which takes a few seconds.
#
# Have a network, and rather see photographs? Run `coursekit data build coco-tiny` in a terminal once, and write `"coco-tiny"` below.
# Every lesson runs on it unchanged.

# %%
import os

from coursekit.data import load

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set = load(data, "train")
val_set = load(data, "val")
print(
    f"{len(train_set)} scenes to train on, {len(val_set)} to test on, {len(train_set.classes)} classes:"
)
print(", ".join(train_set.classes))

# %% [markdown]
# Look at one before you read about it.

# %%
from matplotlib.figure import Figure

number = min(19, len(train_set) - 1)
image, target = train_set[number]
names = [train_set.classes[label - 1] for label in target["labels"]]

fig = Figure(figsize=(6, 4.4), layout="constrained")
show.draw_boxes(
    fig.subplots(), image, target["boxes"], names, title=f"scene {number}, with its boxes"
)
show.figure(fig, alt="A drawn scene with a box and a name around each object: " + ", ".join(names))

# %% [markdown]
# Each box has a class. Some things in the picture have no box: they belong to none of our 16 classes, and a good detector leaves
# them alone.
#
# Where do the boxes come from? From one JSON file with three lists. Here is the first entry of each, just as it stands there.

# %%
import json

content = json.loads(train_set.annotation_file.read_text())
for part in ("images", "categories", "annotations"):
    first = {key: value for key, value in content[part][0].items() if key != "segmentation"}
    print(f"{part:12} {len(content[part]):5} entries, the first: {first}")

# %% [markdown]
# An annotation says: in image `image_id` there is an object of class `category_id`, and this is its `bbox`. (The outline,
# `segmentation`, is left out here; it is long.)
#
# Now mind that `bbox`. Four numbers, but which? COCO writes **left, top, width, height**. A detector wants two corners: **left, top,
# right, bottom**. We call the first `xywh` and the second `xyxy`. Mixing them up is the commonest mistake there is, and nothing
# crashes when you do: the boxes are just wrong.

# %%
name_of = {entry["id"]: entry["name"] for entry in content["categories"]}
single = [entry for entry in content["annotations"] if not entry["iscrowd"]]
annotation = max(single[:20], key=lambda entry: entry["area"])
name = name_of[annotation["category_id"]]
x, y, w, h = annotation["bbox"]
print(name, "xywh", annotation["bbox"])
wrong = torch.tensor([[x, y, w, h]])
corners = torch.tensor([[x, y, x + w, y + h]])

fig = Figure(figsize=(9, 3.2), layout="constrained")
left, right = fig.subplots(1, 2)
its_image = train_set[train_set.image_ids.index(annotation["image_id"])][0]
show.draw_boxes(left, its_image, wrong, [f"{name}?"], title="xywh taken for xyxy")
show.draw_boxes(right, its_image, corners, [name], title="two corners")
show.figure(
    fig,
    alt="The same scene twice. Left, width and height were taken for a corner, and the box misses "
    "the object; right, it encloses it.",
)

# %% [markdown]
# ### Exercise 0.1 · `xywh_to_xyxy` · ●○○ · 5 min
#
# Write the function that turns the one into the other. On paper first: the box `(10, 20, 30, 40)` begins at x = 10 and is 30 wide.
# Where does it end?
#
#     10          40
#     ├────30─────┤            (10, 20, 30, 40)  →  (10, 20, 40, 60)
#
# It has to work for one box `(4,)`, for a list of boxes `(N, 4)`, and for none at all `(0, 4)`. So don't count on two dimensions:
# `boxes[..., 0]` and `boxes.unbind(-1)` take the *last* one, whatever stands before it.
#
# Write it **by hand, without an assistant**. It is three lines, and they are the first of your detector: `%%exercise` keeps the cell
# as `my_detector/xywh_to_xyxy.py`, beside this notebook, and every version before it in `my_detector/former/`. A module knows
# nothing of this notebook's variables, so the cell imports what it uses.
#
# But first get it wrong on purpose, to meet the check. `examine` asks what a check would say of any function:


# %%
def first_try(boxes):
    return boxes.clone()  # surely nobody will notice


examine("xywh_to_xyxy", first_try)

# %% [markdown]
# It shows the smallest case that it found, what came, and what was expected. Now yours.

# %%
# %%exercise xywh_to_xyxy
import torch
from torch import Tensor


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert COCO's boxes (left, top, width, height) to two corners (left, top, right, bottom).

    Args:
        boxes: (..., 4) in pixels, any dtype.

    Returns:
        (..., 4) in pixels, same dtype, on the same device. A new tensor: the input isn't changed.

    >>> xywh_to_xyxy(torch.tensor([[10., 20., 30., 40.]]))
    tensor([[10., 20., 40., 60.]])
    """
    ### BEGIN SOLUTION
    left, top, width, height = boxes.unbind(-1)
    return torch.stack([left, top, left + width, top + height], dim=-1)
    ### END SOLUTION


# %%

check("xywh_to_xyxy")

# %% [markdown]
# Stuck? Under a check that is not content there is a button for a hint; `hint("xywh_to_xyxy")` in a cell does the same. There are three,
# from a nudge to nearly the code, and they are counted, for you and nobody else. After the third, `reference("xywh_to_xyxy")` shows the
# course's own answer.
#
# Whatever the check said, you can go on: from here `xywh_to_xyxy` is yours if it is right, and the course's if not. Nobody gets stuck.
# Here it draws every box of a scene from the raw JSON.

# %%
number = min(7, len(train_set) - 1)
raw = [e for e in content["annotations"] if e["image_id"] == train_set.image_ids[number]]
boxes = xywh_to_xyxy(torch.tensor([entry["bbox"] for entry in raw]))

fig = Figure(figsize=(6, 4.4), layout="constrained")
names = [name_of[entry["category_id"]] for entry in raw]
show.draw_boxes(fig.subplots(), train_set[number][0], boxes, names, title="from the raw file")
show.figure(
    fig, alt="A scene with its boxes, converted by the function above; each encloses its object."
)

# %% [markdown]
# ## 0.3 · When are two boxes the same? · 20 min
#
# A detector's box never fits to the last pixel. So we need a number for *how well* two boxes agree. Here are three guesses at one
# object. Before you read on: which is best, and how would you put that into a number?

# %%
gt_box = torch.tensor([[20.0, 20.0, 60.0, 50.0]])
guesses = {
    "a little off": [26.0, 22.0, 64.0, 54.0],
    "far too large": [5.0, 5.0, 95.0, 70.0],
    "beside it": [70.0, 55.0, 95.0, 70.0],
}
fig = Figure(figsize=(9, 2.6), layout="constrained")
for axes, (words, guess) in zip(fig.subplots(1, 3), guesses.items()):
    paper = torch.full((3, 75, 100), 245, dtype=torch.uint8)
    pair = torch.cat([gt_box, torch.tensor([guess])])
    show.draw_boxes(axes, paper, pair, ["truth", "guess"], title=words)
show.figure(
    fig, alt="Three pictures of a true box and a guess: a little off; far too large; beside it."
)

# %% [markdown]
# The number that everybody uses is the **intersection over union**, IoU: the area that both share, divided by the area that they
# cover together. The same box: 1. Nothing shared: 0. Too large is punished as well as too small.
#
# On paper: the boxes `(0, 0, 10, 10)` and `(5, 0, 15, 10)` share 5 × 10 = 50. Together they cover 100 + 100 - 50 = 150. IoU = 1/3.
#
# ### Exercise 0.2 · `box_iou` · ●●○ · 15 min
#
# Each box of one list with each of another, in one go: `(N, 4)` and `(M, 4)` give `(N, M)`. The trick for that is a new axis:

# %%
column, row = torch.tensor([10.0, 20.0])[:, None], torch.tensor([1.0, 2.0, 3.0])
print(column.shape, "and", row.shape, "give", (column + row).shape)
print(column + row)

# %% [markdown]
# Where does the part that both share begin? At the *larger* of the two left edges. Where does it end? Draw two boxes that are far
# apart, and ask again. By hand, without an assistant.

# %%
# %%exercise box_iou
import torch
from torch import Tensor


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union (IoU) of every pair of boxes.

    Args:
        first: (N, 4) xyxy in pixels, float.
        second: (M, 4) xyxy in pixels, float.

    Returns:
        (N, M) from 0 to 1, same dtype, on the same device. Two boxes without area have an IoU of 0,
        not 0 / 0.

    >>> box_iou(torch.tensor([[0., 0., 10., 10.]]), torch.tensor([[5., 0., 15., 10.]]))
    tensor([[0.3333]])
    """
    ### BEGIN SOLUTION
    top_left = torch.maximum(first[:, None, :2], second[:, :2])  # (N, M, 2)
    bottom_right = torch.minimum(first[:, None, 2:], second[:, 2:])
    sides = (bottom_right - top_left).clamp(min=0)  # negative where boxes are apart
    intersection = sides.prod(dim=2)  # (N, M)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)
    ### END SOLUTION


# %%
check("box_iou")

# %% [markdown]
# Now the three guesses have numbers. Do they agree with what you thought?

# %%
ious = box_iou(gt_box, torch.tensor(list(guesses.values())))[0]
for words, value in zip(guesses, ious):
    print(f"{words:14} IoU {value:.2f}")

# %% [markdown]
# ### An assistant's answer, and how to see through it
#
# Here is what an AI assistant may well write for a single pair. It reads nicely, and on the example from above it is right.


# %%
def assistants_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width * height, 0)  # no negative areas
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (area_a + area_b - shared)


print("half of it moved out:", round(assistants_iou((0, 0, 10, 10), (5, 0, 15, 10)), 3))
print("far away:", assistants_iou((0, 0, 10, 10), (20, 20, 30, 30)))

# %% [markdown]
# Far away, and yet a perfect 1.0. Both sides of the "shared" part are negative there, and minus times minus is plus. Nothing
# crashes; a detector trained with it is merely bad. So the rule of this course: **try first, ask for explanations rather than code,
# test what you get, and write down what you did with it** (in the journal, at the end).
#
# Testing is a skill of its own. With `catch` you choose the inputs, and the course runs them against wrong answers that people have
# given. Which ones does a single pair of boxes catch? Add inputs until none gets through.

# %%
half = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[5.0, 0.0, 15.0, 10.0]])
catch("box_iou", half)

# %% [markdown]
# ## 0.4 · A detector, trained while you wait · 10 min
#
# Now the whole thing. The detector starts from a **backbone** (lesson 02) that has already learned to tell 1,000 kinds of
# photographs apart; it knows edges, fur and wheels, but has never been asked *where* anything is.
#
# First, what does it say before any training?

# %%
from torch.utils.flop_counter import FlopCounterMode

from coursekit.detector import build_detector
from coursekit.evaluation import predict

torch.manual_seed(0)
# Scenes at 256 pixels, and a backbone that stays as it is: so a step is sooner done.
detector = build_detector(num_classes=len(val_set.classes), size=256, frozen_stages=8)
scene, target = val_set[6]
with FlopCounterMode(display=False) as operations:
    before = predict(detector, [scene])[0]
print(f"one look at one scene: {operations.get_total_flops() / 1e9:.1f} billion operations")
best = max(before["scores"].tolist(), default=0)
print(f"{len(before['boxes'])} boxes that it would say aloud, the best with a score of {best:.2f}")

# %% [markdown]
# It has no opinion worth hearing. So we show it scenes, a few at a time, tell it how wrong it was, and let it correct itself:
# that is one **training step**. The bar below shows the **loss**, a number for how wrong. About a minute on two CPU cores.
#
# On the way it is asked a few times what it sees in one scene that it is *not* trained on. After how many steps, do you think, will it
# find the first object? Write your guess down.

# %%
from coursekit.training import Hook, TrainConfig, train

frames = {0: before}


class AskOnTheWay(Hook):
    """After some of the steps: what does it find in the scene now?"""

    def after_step(self, run):
        if run.steps in (10, 30, 100, 300):
            frames[run.steps] = predict(run.model, [scene])[0]


shown = train_set.head(quick(225, 16))
settings = TrainConfig(epochs=quick(4, 1), batch_size=3, warmup_steps=20)
history = train(detector, shown, settings, hooks=[AskOnTheWay()])

end = history[-1]
frames.setdefault(len(history), predict(detector, [scene])[0])
last = [step.loss for step in history[-10:]]
print(f"{len(history)} steps, {end.images / end.seconds:.1f} images a second")
print(f"loss of the first step {history[0].loss:.2f}, of the last ones {sum(last) / len(last):.2f}")

# %% [markdown]
# Move the slider (the arrow keys work, too), and watch it learn.

# %%
moments = sorted(frames)


def after(moment):
    steps = moments[moment]
    pictures = [(scene, target, frames[steps])]
    fig = show.draw_ground_truth_and_predictions(pictures, val_set.classes, threshold=0.3)
    fig.suptitle(f"after {steps} steps", fontsize=10)
    count = int((frames[steps]["scores"] >= 0.3).sum())
    return (
        fig,
        f"A scene, left with its true boxes, right what was found after {steps} steps: {count} boxes.",
    )


show.explore(after, moment=(0, len(moments) - 1, 1, len(moments) - 1))

# %%
print("boxes with a score of 0.3 or more, of", len(target["boxes"]), "objects:")
for steps in moments:
    print(f"  after {steps:3} steps: {int((frames[steps]['scores'] >= 0.3).sum())}")

# %% [markdown]
# How well do they fit? Your IoU has an answer for each object: that of the best box.

# %%
sure = frames[moments[-1]]["boxes"][frames[moments[-1]]["scores"] >= 0.3]
best = (
    box_iou(target["boxes"], sure).amax(dim=1) if len(sure) else torch.zeros(len(target["boxes"]))
)
for label, value in zip(target["labels"], best):
    print(f"{val_set.classes[label - 1]:12} best IoU {value:.2f}")

# %% [markdown]
# Now draw a scene of your own: any emoji, in any order. What is none of its classes it should leave alone.

# %%
from coursekit.data.synthetic.scene import scene as draw
from coursekit.data.images import to_tensor

mine = to_tensor(draw("🐕🚗🍎🛑", seed=1).picture)
detections = predict(detector, [mine])[0]
fig = Figure(figsize=(5, 3.8), layout="constrained")
sure = detections["scores"] >= 0.3
labels = zip(detections["labels"][sure].tolist(), detections["scores"][sure].tolist())
texts = [f"{val_set.classes[label - 1]} {value:.2f}" for label, value in labels]
title = "my own scene, and what it finds"
show.draw_boxes(fig.subplots(), mine, detections["boxes"][sure], texts, title=title)
show.figure(fig, alt="A drawn scene with the boxes found in it: " + (", ".join(texts) or "none"))

# %% [markdown]
# Every prediction has three parts: a **box**, a **class**, and a **score** between 0 and 1, which says how sure it is.

# %%
last_one = frames[moments[-1]]
for box, label, score in zip(last_one["boxes"][:5], last_one["labels"], last_one["scores"]):
    corners = [round(value) for value in box.tolist()]
    print(f"{val_set.classes[label - 1]:11} score {score:.2f}   box {corners}")

# %% [markdown]
# ## 0.5 · How good is it? AP50 in one picture · 10 min
#
# "It looks right" is no number. A prediction counts as **right** if it overlaps a true box of the same class by at least a half
# (an IoU of 0.5: the 50 in AP50), and if no surer prediction has taken that object already.
#
# But which predictions should count at all? Take only the surest, and nearly all are right, but most objects are missed. Take all,
# and everything is found, among a heap of nonsense. So we don't choose. We go down the list from the surest to the least sure,
# and at each step ask two questions:
#
# - **precision**: how many of my boxes so far are right?
# - **recall**: how many of the objects have I found so far?

# %%
from coursekit.evaluation import predict_dataset, precision_curve

few = val_set.head(quick(120, 12))
results = predict_dataset(detector, few)
often = "stop sign" if "stop sign" in val_set.classes else "person"
label = val_set.classes.index(often) + 1
precision = torch.tensor(precision_curve(results, few, label))
recall = torch.linspace(0, 1, 101)
ap50 = precision.mean().item()

fig = Figure(figsize=(6, 4), layout="constrained")
axes = fig.subplots()
axes.fill_between(recall, precision, step="mid", alpha=0.25, color="#0072B2")
axes.step(recall, precision, where="mid", color="#0072B2", linewidth=2)
axes.text(0.04, 0.06, f"this area is AP50 = {ap50:.2f}", fontsize=11)
axes.set(xlim=(0, 1), xlabel=f"recall: share of all {often}s found")
axes.set(ylim=(0, 1.05), ylabel="precision: share of boxes that are right")
axes.set_title(f"{often}: from the surest prediction to the least sure")
show.figure(fig, alt=f"Precision over recall for one class, falling to the right; area {ap50:.2f}.")

# %% [markdown]
# The line begins at the left with the surest predictions. Each wrong box pulls it down, and it ends where nothing more is found.
# **AP50 is the area under it**, for one class. A perfect detector fills the square: 1.0.
#
# The score of a detector is the mean of that area over all classes. Here it is, and beside it **AP**, COCO's main number, which asks
# for ever better boxes (overlaps from 0.5 to 0.95) and is always lower.

# %%
from coursekit.evaluation import score

numbers = score(results, few)
labels = range(1, len(few.classes) + 1)
areas = [sum(precision_curve(results, few, label)) / 101 for label in labels]
with_truth = [area for area in areas if area >= 0]
print(f"mean of {len(with_truth)} areas  {sum(with_truth) / len(with_truth):.3f}")
print(f"AP50 by COCO     {numbers['AP50']:.3f}")
print(f"AP               {numbers['AP']:.3f}")

# %% [markdown]
# The first two lines agree, so now you know what a paper means by "AP50". A class that does not occur in these scenes has no area
# and is left out of the mean. Lesson 09 takes all of this apart.

# %%
fig = Figure(figsize=(6.4, 4.4), layout="constrained")
axes = fig.subplots()
ranked = sorted(zip(areas, few.classes))
axes.barh([name for _, name in ranked], [max(area, 0) for area, _ in ranked], color="#0072B2")
for row, (area, _) in enumerate(ranked):
    text = f"{area:.2f}" if area >= 0 else "no truth here"
    axes.text(max(area, 0) + 0.01, row, text, va="center", fontsize=8)
axes.set(xlim=(0, 1), xlabel="AP50 of the class", title="what it has learned so far")
words = ", ".join(f"{name} {area:.2f}" for area, name in ranked)
show.figure(fig, alt="Bars of AP50 for each class, lowest first: " + words)

# %% [markdown]
# ## Your package, your progress, your journal
#
# What you have solved is a Python package. Any script beside it can say `from my_detector import box_iou`, and gets your function where it
# passed its check, else the course's.

# %%
from my_detector import box_iou, nms

print("box_iou comes from", box_iou.__module__)
print("nms comes from", nms.__module__, "(lesson 05 makes it yours)")

# %% [markdown]
# `coursekit lessons status` prints how far you are; it is kept in `progress.json`, a plain file. The journal is for you: what you asked
# an assistant, what it said, what you kept of it and why. Your report in lesson 10 draws on it. It stays on your machine.

# %%
journal("00")

# %% [markdown]
# ## What could go wrong
#
# - **"My boxes are in the wrong place, but nothing crashed."** `xywh` taken for `xyxy`, as above. Draw a box before you train on it.
# - **"AP is 0, though the pictures look fine."** The class numbers were not mapped back to COCO's ids. They run from 1 to 90, with
#   gaps; a detector counts 1, 2, 3. You will break this on purpose in lesson 09.
# - **"A class has an AP of -1."** There was no object of it to find. That is COCO's way to say "no answer", and not a bad score.
#
# ## What you learned
#
# COCO keeps its boxes as `xywh` in a JSON file of three lists. IoU says how well two boxes agree. A detector gives boxes, classes and scores. AP50 is the area under
# precision over recall, where half an overlap is enough, averaged over the classes.
#
# **Three questions to think about**
#
# <details><summary>1. Why does the line of precision and recall end before recall reaches 1?</summary>
#
# Some objects were never found, not even by the least sure prediction. No threshold brings them back.
#
# </details>
# <details><summary>2. The detector got surer of everything, all scores doubled. What happens to AP50?</summary>
#
# Nothing. Only the order of the predictions counts, and it has stayed the same.
#
# </details>
# <details><summary>3. Why test on scenes that it was not trained on?</summary>
#
# It might know those by heart. `coursekit demo --data DIR --overfit 16` does just that on purpose, to see whether it can learn at all.
#
# </details>
#
# **Next: 01 · The data loader.** You take the JSON file and a folder of images, some of them broken, and turn them into batches.
#
# **To read on:** T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, sections 4 and 5 · S. Ren et al., *Faster R-CNN*,
# 2015, section 3 · M. Everingham et al., *The PASCAL Visual Object Classes Challenge*, 2010, section 4.2, on average precision.
#
# *The drawings are made of emojis designed by [OpenMoji](https://openmoji.org), the open-source emoji and icon project. License: CC BY-SA 4.0.*

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 60, of which 20 writing. Who is new to PyTorch needs 15 more at `box_iou`: the new axis is the hurdle, not the geometry.
#
# **What people get wrong.** `xywh_to_xyxy`: `boxes[:, 2]`, which a single box breaks; writing into the argument. `box_iou`: the area clamped in
# place of each side (right on most pairs); 0 / 0; `first` and `second` compared pair by pair. The check names each from the second attempt on.
#
# **Questions to ask.** Why is IoU not simply the shared area over the true box? What would a detector that returns the whole image for every object
# score? Why do we look at scenes that it was not trained on? Let two people compare their journals.
