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
# Here is the map. Every box is a lesson, and each lesson fills one in.

# %%
import coursekit.show as show
from coursekit.lessons import check, length

show.figure(
    show.course_map(),
    alt="The detector as boxes with arrows. Image, backbone and FPN in a row; from the FPN up to anchors "
    "and RPN, down to RoIAlign and box head. RPN and box head lead to training, the box head to evaluation. "
    "Each box names its lesson, 01 to 09.",
)

# %% [markdown]
# ## 0.1 · What can this machine do? · 5 min
#
# Training is arithmetic: billions of multiplications for every picture. A GPU does thousands of them at once, a CPU a few dozen.
# What do you have?

# %%
import os
import platform

import torch

from coursekit.precision import best_device, helps_bf16

device = best_device()
print(f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} CPU cores")
if device.type == "cuda":
    gpu = torch.cuda.get_device_properties(0)
    print(f"{gpu.name} with {gpu.total_memory / 2**30:.1f} GB of memory: training runs there")
else:
    print(
        "no GPU that torch can use: training runs on the CPU, and everything in this lesson still works"
    )
helps = helps_bf16(device)
print(
    "half precision (bfloat16) is", "faster here" if helps else "not faster here: we leave it off"
)

# %% [markdown]
# How much slower is a small machine? Let us ask it, with the one operation that detectors spend their time on: a matrix product.

# %%
import time

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

# %%
from coursekit.data import load

train_set = load("mini", "train")
val_set = load("mini", "val")
print(
    f"{len(train_set)} scenes to train on, {len(val_set)} to test on, {len(train_set.classes)} classes:"
)
print(", ".join(train_set.classes))

# %% [markdown]
# Look at one before you read about it.

# %%
from matplotlib.figure import Figure

image, target = train_set[19]
names = [train_set.classes[label - 1] for label in target["labels"]]

fig = Figure(figsize=(6, 4.4), layout="constrained")
show.draw_boxes(fig.subplots(), image, target["boxes"], names, title="scene 19, with its boxes")
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
person = content["annotations"][1]
x, y, w, h = person["bbox"]
print("xywh", person["bbox"])
wrong = torch.tensor([[x, y, w, h]])
meant = torch.tensor([[x, y, x + w, y + h]])

fig = Figure(figsize=(9, 3.2), layout="constrained")
left, right = fig.subplots(1, 2)
first_image = train_set[0][0]
show.draw_boxes(left, first_image, wrong, ["person?"], title="xywh taken for xyxy")
show.draw_boxes(right, first_image, meant, ["person"], title="two corners")
show.figure(
    fig,
    alt="The same scene twice. Left, width and height were taken for a corner, and the box holds no person; "
    "right, it encloses the person.",
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
# Write it **by hand, without an assistant**. It is three lines, and they are the first of your detector: the cell is kept in
# `my_detector/xywh_to_xyxy.py`, beside this notebook.

# %%
# %%exercise xywh_to_xyxy
import torch
from torch import Tensor


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """COCO's boxes as two corners.

    Args:
        boxes: (..., 4) left, top, width, height in pixels, of any dtype.

    Returns:
        (..., 4) left, top, right, bottom in pixels, of the same dtype. A new tensor:
        the one that came in stays as it is.

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
# <details><summary>Hint 1: "My boxes come out mirrored, or far too small"</summary>
#
# Width and height are no coordinates. What must you add a width to, to get one?
#
# </details>
# <details><summary>Hint 2: "It works for many boxes, but not for one"</summary>
#
# `boxes[:, 2]` needs two dimensions. `boxes[..., 2]` takes the third number of the last one, whatever the shape.
#
# </details>
# <details><summary>Hint 3: "The check says that I changed the input"</summary>
#
# `boxes[..., 2] += …` writes into the tensor that you were given. Make a new one: `torch.stack([…, …, …, …], dim=-1)`.
#
# </details>
#
# Whatever the check said, you can go on: from here `xywh_to_xyxy` is yours if it is right, and the course's if not. Nobody gets stuck.
# Here it draws every box of a scene from the raw JSON.

# %%
record = content["images"][7]
raw = [entry for entry in content["annotations"] if entry["image_id"] == record["id"]]
name_of = {entry["id"]: entry["name"] for entry in content["categories"]}
boxes = xywh_to_xyxy(torch.tensor([entry["bbox"] for entry in raw]))

fig = Figure(figsize=(6, 4.4), layout="constrained")
names = [name_of[entry["category_id"]] for entry in raw]
show.draw_boxes(fig.subplots(), train_set[7][0], boxes, names, title="scene 7, from the raw file")
show.figure(
    fig, alt="A scene with its boxes, converted by the function above; each encloses its object."
)

# %% [markdown]
# ## 0.3 · A detector, trained while you wait · 15 min
#
# Now the whole thing. The detector starts from a **backbone** (lesson 02) that has already learned to tell 1,000 kinds of
# photographs apart; it knows edges, fur and wheels, but has never been asked *where* anything is.
#
# First, what does it say before any training?

# %%
from torch.utils.flop_counter import FlopCounterMode

from coursekit.detector import build_detector
from coursekit.evaluation import run

torch.manual_seed(0)
detector = build_detector(num_classes=len(val_set.classes))
scene, truth = val_set[6]
with FlopCounterMode(display=False) as operations:
    before = run(detector, [scene])[0]
print(f"one look at one scene: {operations.get_total_flops() / 1e9:.1f} billion operations")
best = max(before["scores"].tolist(), default=0)
print(f"{len(before['boxes'])} boxes that it would say aloud, the best with a score of {best:.2f}")

# %% [markdown]
# It has no opinion worth hearing. So we show it scenes, a few at a time, tell it how wrong it was, and let it correct itself:
# that is one **training step**. The bar below shows the **loss**, a number for how wrong. Under a minute on two CPU cores.

# %%
from coursekit.training import Settings, train

shown = train_set.head(length("first detector, images"))
settings = Settings(epochs=length("first detector, epochs"), batch_size=4, warmup_steps=20)
history = train(detector, shown, settings)

end = history[-1]
last = [step.loss for step in history[-10:]]
print(f"{len(history)} steps, {end.images / end.seconds:.1f} images a second")
print(f"loss of the first step {history[0].loss:.2f}, of the last ones {sum(last) / len(last):.2f}")

# %%
other, other_truth = val_set[13]
after, other_after = run(detector, [scene, other])

pairs = [(scene, truth, after), (other, other_truth, other_after)]
fig = show.truth_beside_prediction(pairs, val_set.classes, threshold=0.5)
show.figure(
    fig, alt="Two scenes the detector has not seen: left the true boxes, right what was found."
)

# %% [markdown]
# Left of each pair the truth, right what your detector says of a scene that it has **never seen**. After so short a training it
# misses some and mixes up others. Which mistakes would you have made, too?
#
# Every prediction has three parts: a **box**, a **class**, and a **score** between 0 and 1, which says how sure it is.

# %%
for box, label, score in zip(after["boxes"][:5], after["labels"], after["scores"]):
    corners = [round(value) for value in box.tolist()]
    print(f"{val_set.classes[label - 1]:11} score {score:.2f}   box {corners}")

# %% [markdown]
# ## 0.4 · How good is it? AP50 in one picture · 15 min
#
# "It looks right" is no number. A prediction counts as **right** if it overlaps a true box of the same class by at least a half
# (the 50 in AP50; how overlap is measured is lesson 09), and if no surer prediction has taken that object already.
#
# But which predictions should count at all? Take only the surest, and nearly all are right, but most objects are missed. Take all,
# and everything is found, among a heap of nonsense. So we don't choose. We go down the list from the surest to the least sure,
# and at each step ask two questions:
#
# - **precision**: how many of my boxes so far are right?
# - **recall**: how many of the objects have I found so far?

# %%
from coursekit.evaluation import detect, precision_curve

few = val_set.head(length("first score, images"))
results = detect(detector, few)
label = val_set.classes.index("stop sign") + 1
precision = torch.tensor(precision_curve(results, few, label))
recall = torch.linspace(0, 1, 101)
ap50 = precision.mean().item()

fig = Figure(figsize=(6, 4), layout="constrained")
axes = fig.subplots()
axes.fill_between(recall, precision, step="mid", alpha=0.25, color="#0072B2")
axes.step(recall, precision, where="mid", color="#0072B2", linewidth=2)
axes.text(0.04, 0.06, f"this area is AP50 = {ap50:.2f}", fontsize=11)
axes.set(xlim=(0, 1), xlabel="recall: share of the stop signs found")
axes.set(ylim=(0, 1.05), ylabel="precision: share of boxes that are right")
axes.set_title("stop signs, from the surest prediction to the least sure")
show.figure(
    fig, alt=f"Precision over recall for stop signs, falling to the right; area {ap50:.2f}."
)

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
# ## What could go wrong
#
# - **"My boxes are in the wrong place, but nothing crashed."** `xywh` taken for `xyxy`, as above. Draw a box before you train on it.
# - **"AP is 0, though the pictures look fine."** The class numbers were not mapped back to COCO's ids. They run from 1 to 90, with
#   gaps; a detector counts 1, 2, 3. You will break this on purpose in lesson 09.
# - **"A class has an AP of -1."** There was no object of it to find. That is COCO's way to say "no answer", and not a bad score.
#
# ## What you learned
#
# COCO keeps its boxes as `xywh` in a JSON file of three lists. A detector gives boxes, classes and scores. AP50 is the area under
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
# *The drawings are made of emojis designed by [OpenMoji](https://openmoji.org), the open-source emoji and icon project. Licence: CC BY-SA 4.0.*
