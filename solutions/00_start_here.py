# %% [markdown]
# # 00 · Start here
#
# **80 minutes · nothing to prepare · no GPU needed**
#
# A detector looks at an image and says *what* is in it and *where*. Over the next ten lessons you'll build one, part by part, until every
# part is yours. In this lesson you watch the whole thing run once: data in, training, boxes out, a score.
#
# When you're done, you can
#
# - read an object in COCO's annotation file and draw its box,
# - say what a detector returns for an image,
# - explain in one sentence what AP50 means,
# - solve an exercise, have it checked, ask for a hint, and find your answer again in a Python package.
#
# Here is the map. Each box is a lesson. A hatched box still runs the course's own code, the **reference**. Once you've solved all of its
# exercises, the box turns solid and says *yours*. The arrows show what one part hands on to the next. (Which lessons you need for which is
# in [a table](README.md).) If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import coursekit.show as show
from coursekit.lessons import catch, check, examine, hint, journal, lesson_map, quick, reference

lesson_map(0)

# %% [markdown]
# ## 0.1 · What can this machine do? · 5 min
#
# Training is arithmetic: billions of multiplications for every image. A CPU does a few dozen of them at a time, a GPU thousands.
# What do you have? (In a terminal, `coursekit doctor` prints the same list.) A line that begins with LOOK deserves a look; its last
# column says what to do.

# %% tags=["setup"]
from textwrap import fill

from coursekit.lessons.experiments.machine_speed import operations_per_second
from coursekit.runs.doctor import examine as examine_machine

for finding in examine_machine():
    mark = "ok" if finding.ok else "LOOK"
    line = f"{mark:5}{finding.name:9} {finding.value:22} {finding.meaning}"
    print(fill(line, 96, subsequent_indent=" " * 38))

# %% [markdown]
# And how fast is it? A detector spends most of its time multiplying matrices, so
# [we time that](../src/coursekit/lessons/experiments/machine_speed.py). **How many billion multiplications and additions a second? Guess.**

# %% tags=["write"]
my_speed = 10  # billion operations a second; yours
speed = operations_per_second()
print(f"{speed / 1e9 / my_speed:.1f} times your guess")

# %% [markdown]
# Keep that number in mind. Soon you'll see how many operations one image takes.
#
# ## 0.2 · What does the data look like? · 20 min
#
# Detectors are compared on COCO: 118,287 photographs to train on, with 860,001 boxes. That's 20 GB, and you don't need any of it
# today. `mini` is a data set of drawn scenes in COCO's format: same files, same fields, same numbering. It is drawn on your machine
# the first time you ask for it, which takes a few seconds.
#
# Do you have a network, and would you rather see photographs? Run `coursekit data build coco-tiny` in a terminal once, and write
# `"coco-tiny"` below. Every lesson runs on it unchanged.

# %% tags=["setup"]
import os

from coursekit.data import load

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
print(f"{len(train_set)} images to train on, {len(val_set)} to test on. The classes:")
print(", ".join(train_set.classes))

# %% [markdown]
# Look at one before you read about it. **Which things in this image have no box?** Then try other numbers.

# %% tags=["write"]
number = 19  # yours: any image of the training set
image, target = train_set[number]
show.image_row(
    {f"image {number}": (image, target, train_set.classes)},
    "A scene with a box and a name around each object.",
)

# %% [markdown]
# Things without a box belong to none of our classes. A good detector leaves them alone.
#
# Where do the boxes come from? From one JSON file with three lists. This is the first entry of each, exactly as it is in the file
# (without the outline, `segmentation`, which is long).

# %% tags=["read"]
import json

content = json.loads(train_set.annotation_file.read_text(encoding="utf-8"))
for part in ("images", "categories", "annotations"):
    first = {key: value for key, value in content[part][0].items() if key != "segmentation"}
    print(f"{part:12} {len(content[part]):5} entries; the first is {first}")

# %% [markdown]
# An annotation says: image `image_id` shows an object of class `category_id`, and its box is `bbox`. **Which class does the first
# annotation have?** Look its id up.

# %% tags=["write"]
name_of = {category["id"]: category["name"] for category in content["categories"]}
name_of[1]  # yours: the category_id that you see above

# %% [markdown]
# Now for the `bbox`. It has four numbers, but which four? A detector works with two corners: **left, top, right, bottom**. Here are
# the boxes of your image, straight from the file, drawn as if their four numbers were these. **What went wrong?**

# %% tags=["read"]
import torch

image_id = train_set.image_ids[number]
records = [record for record in content["annotations"] if record["image_id"] == image_id]
raw_boxes = torch.tensor([record["bbox"] for record in records]).reshape(-1, 4)

# %% tags=["call"]
names = [name_of[record["category_id"]] for record in records]
title = "COCO's numbers, taken for two corners"
show.image_row({title: (image, raw_boxes, names)}, "The scene, with boxes that miss the objects.")

# %% [markdown]
# COCO writes **left, top, width, height**. We call that `xywh`, and the two corners `xyxy`. Mixing them up is the most common mistake
# of all, and nothing crashes: a box just ends too early, or its right edge is left of its left one.
#
# ### Before you write: who writes the code?
#
# You'll learn little from code that you didn't write, and a lot from a good explanation. So each exercise has a badge that says what
# an AI assistant may do in it:
#
# | badge | the assistant | for example |
# |---|---|---|
# | **by hand** | does nothing. This is the idea that the lesson is about. | `box_iou`, below |
# | **explain only** | explains what you want to know. You write the code. | `xywh_to_xyxy`, next |
# | **delegate** | may write it: this is plumbing. You write the test. It counts once your inputs for `catch` (you'll meet it in 0.3) let no known wrong answer through. | `collate`, lesson 01 |
#
# They're **agreements, not locks**. Nothing here watches you, and you could delegate everything. You'd have a detector then, and no
# idea why it works. (The file `AGENTS.md` next to the notebooks tells coding agents about the badges. A chat doesn't read it.)
#
# To keep an agreement, **turn off inline completion**, or the answer appears in gray before you've thought:
#
# - **JupyterLab** suggests nothing by itself, but an extension such as Jupyter AI may. *Settings → Settings Editor → Inline
#   Completer*: uncheck *enabled* for each provider.
# - **VS Code:** in the settings, search for `editor.inlineSuggest.enabled` and uncheck it.
#
# ### Exercise 0.1 · `xywh_to_xyxy` · ●○○ · 8 min · explain only
#
# Write the function that converts one into the other. On paper first: the box `(10, 20, 30, 40)` starts at x = 10 and is 30 wide.
# Where does it end?
#
#     10          40
#     ├────30─────┤            (10, 20, 30, 40)  →  (10, 20, 40, 60)
#
# It has to work for a single box `(4,)`, for a list of boxes `(N, 4)`, and for no boxes at all `(0, 4)`. So don't rely on there being
# two dimensions: `boxes[..., 0]` and `boxes.unbind(-1)` use the *last* one, however many come before it.
#
# Your cell will begin with `%%exercise`. That saves it as a module, `my_detector/xywh_to_xyxy.py`, next to this notebook, and keeps
# your earlier versions in `my_detector/former/`. A module can't see the notebook's variables, so the cell imports what it uses.
#
# But first, get it wrong on purpose, to see what a check does. `examine` checks any function, without saving it:

# %% tags=["write"]


def first_try(boxes):
    return boxes.clone()  # yours: nothing is converted. Try other mistakes, too


examine("xywh_to_xyxy", first_try)

# %% [markdown]
# A check shows the simplest input that goes wrong, what your function returned, and what it should have returned. Now for real:

# %%
# %%exercise xywh_to_xyxy
import torch
from torch import Tensor


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert COCO's boxes (left, top, width, height) to two corners (left, top, right, bottom).

    Args:
        boxes: (..., 4) in pixels, any dtype, on any device.

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
# **Stuck?** If a check fails, there are buttons below it:
#
# - *A hint* opens the first of three, from a nudge to nearly the code. `hint("xywh_to_xyxy")` in a cell does the same. They're counted, but
#   only for you. After the third, `reference("xywh_to_xyxy")` shows the course's own answer.
# - *Show what this looks like* says which known mistake your answer resembles. From your second try on, the check says so itself.
# - *Text for a chat* prints what you may paste into a chat with an assistant: first the badge, then the case that fails, and your code.
#   In a terminal, `coursekit explain xywh_to_xyxy` does the same.
#
# Below a correct check, one optional click says how your answer came about. It's for your report in lesson 10.
#
# Whatever the check said, you can go on: from here on, `xywh_to_xyxy` is your function if it is correct, and the reference if not.
# Here are the boxes from above again.

# %% tags=["call"]
title = "converted with xywh_to_xyxy"
show.image_row(
    {title: (image, xywh_to_xyxy(raw_boxes), names)}, "The scene; now each box encloses its object."
)

# %% [markdown]
# ## 0.3 · When are two boxes the same? · 30 min
#
# A predicted box never fits to the last pixel. So we need a number for *how well* two boxes agree. Here are three guesses at the same
# object. **Before you read on:** which one is best, and how would you turn that into a number? Add a guess of your own.

# %% tags=["write"]
gt_box = torch.tensor([[20.0, 20.0, 60.0, 50.0]])
guesses = {
    "a bit off": [26.0, 22.0, 64.0, 54.0],
    "far too large": [5.0, 5.0, 95.0, 70.0],
    "next to it": [70.0, 55.0, 95.0, 70.0],
    "mine": [30.0, 20.0, 60.0, 60.0],  # yours: left, top, right, bottom
}

# %% tags=["call"]
paper = torch.full((3, 75, 100), 245, dtype=torch.uint8)
boxes_of = {name: torch.cat([gt_box, torch.tensor([guess])]) for name, guess in guesses.items()}
panels = {name: (paper, pair, ["the object", "a guess"]) for name, pair in boxes_of.items()}
show.image_row(
    panels,
    "The box of an object and a guess, four times: a bit off, far too large, next to it, mine.",
)

# %% [markdown]
# The number that everyone uses is **intersection over union**, IoU: the area that the two boxes share, divided by the area that they
# cover together. It is 1 for the same box and 0 if nothing is shared. A box that is too large loses as much as one that is too small.
#
# On paper: the boxes `(0, 0, 10, 10)` and `(5, 0, 15, 10)` share 5 × 10 = 50 square pixels. Together they cover 100 + 100 − 50 = 150. So
# their IoU is 1/3. Note that: half of the box is in the right place, and the IoU is not a half.
#
# ### Exercise 0.2 · `box_iou` · ●●○ · 20 min · by hand
#
# Compare each box of one list with each box of another, all at once: `(N, 4)` and `(M, 4)` give `(N, M)`. The trick is a new axis:

# %% tags=["read"]
column, row = torch.tensor([10.0, 20.0])[:, None], torch.tensor([1.0, 2.0, 3.0])
print(f"{tuple(column.shape)} and {tuple(row.shape)} give {tuple((column + row).shape)}:")
print(column + row)

# %% [markdown]
# Where does the shared part begin? At the *larger* of the two left edges. Where does it end? Then draw two boxes that are far apart,
# and ask again.

# %%
# %%exercise box_iou
import torch
from torch import Tensor


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union (IoU) of every pair of boxes.

    Args:
        first: (N, 4) xyxy in pixels, float, on any device.
        second: (M, 4) xyxy in pixels, float, on the same device.

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
# Now the guesses have numbers. Do they agree with what you thought?

# %% tags=["read"]
ious = box_iou(gt_box, torch.tensor(list(guesses.values())))[0]
for name, iou in zip(guesses, ious):
    print(f"{name:14} IoU {iou:.2f}")

# %% [markdown]
# From an IoU of 0.5 on, a prediction usually counts as correct. How much is that? Move a box of 10 × 10 pixels to the right. **How far
# can it go before its IoU with the old place falls below 0.5?** Half its width is too far, as you saw above.

# %% tags=["write"]
shift = 5.0  # pixels; yours: the largest shift with an IoU of at least 0.5
box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
print(
    f"shifted by {shift} pixels: IoU {box_iou(box, box + torch.tensor([shift, 0, shift, 0])).item():.2f}"
)

# %% [markdown]
# <details><summary>The answer</summary>
#
# 10/3 pixels, a third of its width. Shifted by s, the boxes share 10 · (10 − s) and cover 10 · (10 + s). So the IoU is
# (10 − s) / (10 + s), and that is a half if 20 − 2s = 10 + s.
#
# </details>
#
# ### An assistant's answer, and how to see through it
#
# An AI assistant may well write this for a pair of boxes. It reads nicely, and it gets the example from above right. **Before you run
# the cell:** does it get the second pair right, which is far apart?

# %% tags=["read"]


def assistants_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width * height, 0)  # no negative areas
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (area_a + area_b - shared)


print("half of it moved out:", round(assistants_iou((0, 0, 10, 10), (5, 0, 15, 10)), 3))
print("far apart:           ", assistants_iou((0, 0, 10, 10), (20, 20, 30, 30)))

# %% [markdown]
# Far apart, and still a perfect 1.0! Both sides of the "shared" part are negative there, and minus times minus is plus. Nothing crashes;
# a detector trained with this function would just be bad.
#
# So **test it**, even if you wrote it yourself. Testing is a skill of its own, and `catch` trains it: you choose inputs, and the course
# runs them on wrong answers that people have really given. How many of them does one pair of boxes catch? **Add inputs: lists of several
# boxes, empty ones, tiny ones, other dtypes.** The button below the result shows one that got through. You can go on at any time.

# %%
catch(
    "box_iou",
    (torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[5.0, 0.0, 15.0, 10.0]])),
)

# %% [markdown]
# ## 0.4 · A detector, trained while you wait · 12 min
#
# Now for the whole thing. Our detector starts from a **backbone** (lesson 02) that has learned to tell 1,000 kinds of photographs apart.
# It knows edges, fur and wheels, but no one has ever asked it *where* anything is.
#
# To train it, we show it a few images, measure how wrong it is, and correct it a little. That's a **training step**, and the measure is the
# **loss**. On the way, we ask it what it sees in one scene that it is *not* trained on.

# %% tags=["setup"]
from coursekit.detector import build_detector
from coursekit.lessons.experiments import first_training
from coursekit.training import TrainConfig, train

scene, target = val_set[6]
operations = first_training.forward_cost(
    build_detector(num_classes=len(val_set.classes), size=256), scene
)

# %% [markdown]
# A training step costs up to three times as much: once forward, and about twice that to find out how to correct each weight. **With
# the speed from 0.1: how many images a second will it train? And after how many steps will it find its first object?**

# %% tags=["write"]
my_images_per_second = 10  # yours
my_steps = 50  # yours

# %% [markdown]
# This takes about a minute on two CPU cores. The bar shows the loss. (The backbone stays as it is, so that a step takes less time. And the
# first line of the output says whether this machine is faster with numbers of 16 bits or of 32; that's for lesson 08.)
#
# `quick(a, b)` is `a`, or `b` if COURSEKIT_FAST=1 is set. That's the lessons' **short form**, in which numbers mean little. Without it you
# get the **full form**.

# %% tags=["read"]
torch.manual_seed(0)
detector = build_detector(num_classes=len(val_set.classes), size=256, frozen_stages=8)
watch = first_training.Watch(scene, steps=(10, 30, 100))
config = TrainConfig(epochs=quick(4, 1), batch_size=3, warmup_steps=20)
history = train(detector, train_set.head(quick(225, 24)), config, hooks=[watch])
end = history[-1]
print(f"{end.images / end.seconds:.1f} images a second; you guessed {my_images_per_second}")
print(f"loss in the first step {history[0].loss:.2f}, in the last one {end.loss:.2f}")

# %% [markdown]
# An object is **found** if a box of its class has a score of at least 0.3 and an IoU with it of at least 0.5. The IoU is computed by your
# function. When did it find its first object, and what did you guess?

# %% tags=["call"]
first_training.found_by_step(watch, target, box_iou, guess=my_steps)
first_training.explore_steps(watch, target, val_set.classes)

# %% [markdown]
# Move the slider (the arrow keys work, too) and watch it learn, from step 0 on. At first it's silent. Once it isn't, look at the boxes that find nothing:
# are they in the wrong place, do they have the wrong class, or are they a second box for the same object?
#
# That was a minute. How far would you get in three hours? In a terminal, this measures a few steps on your machine, and proposes data, image
# size, batch size and the number of **epochs** (passes over all images), with the two commands to run. `--card` asks for another GPU:
#
#     coursekit plan --hours 3
#     coursekit plan --hours 3 --card T4
#
# Now draw a scene of your own, with any emoji, in any order. **Include one that is none of the classes.** Is it left alone?

# %% tags=["write"]
from coursekit.data import scene as draw_scene
from coursekit.data.read_images import to_tensor

my_scene = to_tensor(draw_scene("🐕🚗🍎🛑🎸", seed=1).picture)  # yours
first_training.show_detections(detector, my_scene, val_set.classes)

# %% [markdown]
# Each prediction has three parts: a **box**, a **class**, and a **score** between 0 and 1 that says how confident the detector is.
# These are the five with the highest scores in the scene of the slider:

# %% tags=["read"]
prediction = watch.frames[max(watch.frames)]
parts = zip(prediction["boxes"], prediction["labels"], prediction["scores"])
for box, label, score in list(parts)[:5]:
    corners = [round(value) for value in box.tolist()]
    print(f"{val_set.classes[label - 1]:11} score {score:.2f}   box {corners}")

# %% [markdown]
# ## 0.5 · How good is it? AP50 in one picture · 10 min
#
# "It looks right" is not a number. So a prediction counts as **correct** if its IoU with an object of its class is at least 0.5 (that's
# the 50 in AP50), and if no prediction with a higher score has taken that object already.
#
# But which predictions should we count at all? Take only those with high scores, and nearly all are correct, but most objects are
# missed. Take them all, and you find as many objects as this detector can, in a heap of wrong boxes. So we don't choose. We go down the
# list, from the highest score to the lowest, and after each prediction ask two questions:
#
# - **precision**: which share of the boxes so far is correct?
# - **recall**: which share of the objects have we found so far?
#
# **Before you run the cell:** what does the curve look like for a perfect detector?

# %% tags=["call"]
few = val_set.head(quick(120, 24))
results = first_training.results_to_look_at(detector, few)

# %% tags=["write"]
chosen = "person"  # yours: any class, such as "stop sign"
show.ap50_area(results, few, chosen)

# %% [markdown]
# Follow the dotted line from the left. Each correct box moves it to the right and, if there were wrong ones before, up a little; each wrong
# one pulls it down. So it has teeth like a saw. It ends at the recall that this detector reaches with all of its boxes: objects beyond that are found by none of them. COCO fills
# in the gaps between the teeth: at each recall, it reads the highest precision at that recall *or beyond*. That's the solid line.
#
# **AP50 is the area under the solid line**, for one class. A perfect detector fills the whole square: 1.0.
#
# The score of a detector is the mean over all classes. **AP**, COCO's main number, is stricter: it is the mean over ten such areas, for
# which boxes must fit with an IoU of at least 0.5, 0.55, … up to 0.95. Which class do you expect to be the best, and which the worst?

# %% tags=["read"]
from coursekit.evaluation import precision_curve, score

labels = range(1, len(few.classes) + 1)
areas = [sum(precision_curve(results, few, label)) / 101 for label in labels]
with_objects = [area for area in areas if area >= 0]  # -1: no object of this class in these images
numbers = score(results, few)
print(f"mean of {len(with_objects)} areas  {sum(with_objects) / len(with_objects):.3f}")
print(f"AP50, as COCO computes it  {numbers['AP50']:.3f}")
print(f"AP                         {numbers['AP']:.3f}")

# %% tags=["call"]
show.class_bars(dict(zip(few.classes, areas)), "AP50 of the class")

# %% [markdown]
# The first two lines agree, so you know now what a paper means by "AP50". A class without an object in these images has no area, and is
# left out of the mean. Lesson 09 takes all of this apart.
#
# ## Your package, your progress, your journal
#
# What you've solved is a Python package. Any script next to it can say `from my_detector import box_iou`, and gets your function if it
# passed its check, else the reference. Try `nms`, too: in lesson 05 you'll write your own.

# %% tags=["write"]
import my_detector

part = "box_iou"  # yours: any exercise
print(part, "comes from", getattr(my_detector, part).__module__)

# %% [markdown]
# `coursekit lessons status` prints how far you are. The journal is for you: what you asked an assistant, what it answered, what you kept
# and why. Your report in lesson 10 draws on it. It stays on your machine.

# %%
journal("00")

# %% [markdown]
# ## What could go wrong
#
# - **"My boxes are in the wrong place, but nothing crashed."** `xywh` was taken for `xyxy`, as above. Draw some boxes before you train.
# - **"AP is 0, though the pictures look fine."** The detector's labels were not mapped back to COCO's category ids. Those run from 1 to
#   90, with gaps; a detector counts 1, 2, 3. In lesson 09 you'll break this on purpose.
# - **"A class has an AP of −1."** There was no object of that class to find. It is COCO's way to say "no answer", not a bad score.
#
# ## What you learned
#
# COCO stores boxes as `xywh`, in a JSON file with three lists. IoU says how well two boxes agree. A detector returns boxes, classes and
# scores. AP50 is the area under the curve of precision by recall, where a box counts as correct from an IoU of 0.5 on, averaged over the
# classes.
#
# **Three questions to think about**
#
# <details><summary>1. Why does the curve end before recall reaches 1?</summary>
#
# Some objects were not found by any prediction, not even by those with the lowest scores. No threshold brings them back.
#
# </details>
# <details><summary>2. The detector becomes more confident, and all of its scores double. What happens to AP50?</summary>
#
# Nothing. Only the order of the predictions counts, and that stays the same.
#
# </details>
# <details><summary>3. Why do we test on images that it wasn't trained on?</summary>
#
# It could have memorized those. `coursekit demo --data DIR --overfit 16` does that on purpose, to find out whether a detector can learn
# from this data at all.
#
# </details>
#
# **Next: 01 · The data loader.** You turn the JSON file and a folder of images, some of them broken, into batches.
#
# **Read on:** T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, sections 4 and 5 · S. Ren et al., *Faster R-CNN*,
# 2015, section 3 · M. Everingham et al., *The PASCAL Visual Object Classes Challenge*, 2010, section 4.2, on average precision.
#
# *The scenes are drawn with emojis designed by [OpenMoji](https://openmoji.org), the open-source emoji and icon project. License: CC BY-SA 4.0.*

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 80, of which 28 for the exercises. If someone is new to PyTorch, `box_iou` takes 15 more: the new axis is the hurdle, not the
# geometry.
#
# **What people get wrong.** `xywh_to_xyxy`: `boxes[:, 2]`, which fails for a single box; writing into the argument. `box_iou`: clamping the area
# instead of each side (right for most pairs); 0 / 0; comparing `first` and `second` pair by pair.
#
# **Questions to ask.** Why isn't IoU simply the shared area over the area of the object? What would a detector score that returns the whole image
# for each object? Which badge would you have given to `box_iou`? Let two people compare their journals.
