# %% [markdown]
# # 09 · Evaluation
#
# **130 minutes, 3 of them for this opening · you need lesson 07 (08 is not needed) · no GPU needed**
#
# A detector gets one number, its AP. Behind it stand some thousand boxes, ten thresholds, an interpolation, and a mean of
# means. People change their detector because of such a number, and now and then the number is wrong: it says 0 where the boxes
# are good. Today you build it yourself, from the file to the last digit, and then you take your detector to the doctor.
#
# When you are done, you can
#
# - write detections in COCO's format, and say what each of COCO's twelve numbers means,
# - compute them yourself, equal to pycocotools,
# - explain an AP of 0 or of −1, and find the cause,
# - say what kinds of errors your detector makes, and whether run B is better than run A.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(9)

# %% [markdown]
# **Using an AI assistant here:** as you like, and the journal is kept: write down near the end what you asked for and what came
# of it. Hints open with the button under a check, or with `hint("match_detections")`.
#
# Here is the patient: the detector that you trained in lesson 07. (If there is none, a short training makes one now.)

# %%
import os

from coursekit.data import load
from coursekit.lessons import my_workbook
from coursekit.lessons.experiments.lesson07_run import first_run, stand_in

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, val_set = load(data, "train"), load(data, "val")
unseen = val_set.head(quick(120, 12))
detector = first_run(my_workbook, data)

# %% [markdown]
# It looks at the images of the validation set. Then something odd: its detections are written into two files, and both are
# scored.

# %%
import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from coursekit.evaluation import predict
from coursekit.evaluation import score
from coursekit.evaluation import to_coco_results as written

own_detections = []  # for each image: boxes, labels, scores
for i in tqdm(range(len(unseen)), desc="looking at images"):
    own_detections += predict(detector, [unseen[i][0]])

own_ap50 = score(written(own_detections, unseen.image_ids, unseen.category_ids), unseen)["AP50"]
detections = own_detections if own_ap50 > 0.2 else stand_in(unseen)
if detections is not own_detections:
    print(
        f"It finds next to nothing yet (AP50 {own_ap50:.2f}). So that there is something to see, a"
    )
    print("stand-in is examined up to 9.7: the truth, shaken, with errors of every kind.")
one_file = written(detections, unseen.image_ids, unseen.category_ids)
other_file = written(detections, unseen.image_ids, range(1, len(unseen.classes) + 1))

shown_index = max(range(len(detections)), key=lambda i: int((detections[i]["scores"] > 0.3).sum()))
image, target = unseen[shown_index]
is_confident = detections[shown_index]["scores"] > 0.3
names = [
    unseen.classes[label - 1] for label in detections[shown_index]["labels"][is_confident].tolist()
]
fig = Figure(figsize=(9, 3.5), layout="constrained")
for axes, records, name in zip(fig.subplots(1, 2), (one_file, other_file), ("one", "the other")):
    title = f"{name} file: AP50 {score(records, unseen)['AP50']:.2f}"
    show.draw_boxes(
        axes, image, detections[shown_index]["boxes"][is_confident], names, title=title, dashed=True
    )
show.figure(
    fig, alt="The same detections twice; above them the scores of the two files, which differ."
)

# %% [markdown]
# Same boxes, same names, two scores. What differs between the files? Make a guess; in twenty minutes you will know.
#
# ## 9.1 · From a detection to COCO's file · 17 min
#
# COCO wants one flat list for all images, a small record for each detection. Here is what your detector says of one image, and
# here is how the truth writes an object. **Find three differences** before you read on.

# %%
few = {name: value[:2] for name, value in detections[shown_index].items()}
print("detector:", few)
ground_truth = unseen.ground_truth()  # COCO's records, of these images
gt_records = [
    record for record in ground_truth["annotations"] if record["image_id"] == target["image_id"]
]
print("truth:   ", gt_records[0])

# %% [markdown]
# - **The class.** Your detector counts its classes 1, 2, 3, … without a gap. COCO's category ids have gaps, because classes
#   were dropped from the list long ago. Both are whole numbers, so nothing fails if you mix them up.
# - **The box.** Two corners here; left, top, width, height there.
# - **The image.** A detector doesn't know which image it looks at. The record needs COCO's id, not the position in the data
#   set.
#
# And a fourth thing that you can't see: the box must be in **pixels of the original image**. Ours is, because in lesson 07 you
# led the boxes back from the resized one.

# %%
print("label → category id:", dict(enumerate(unseen.category_ids[:8], 1)), "and so on")
corners = torch.tensor([10.0, 20.0, 40.0, 80.0])
print("as xyxy", corners.tolist(), "→ as xywh", [10.0, 20.0, 40.0 - 10.0, 80.0 - 20.0])

# %% [markdown]
# ### Exercise 9.1 · `to_coco_results` · ●○○ · 15 min
#
# Mind two things. The file is JSON, and JSON knows no tensors: plain numbers only. And *all* detections go in, also the unsure
# ones; you will see in 9.4 why leaving them out costs you.


# %%
# %%exercise to_coco_results
def to_coco_results(detections, image_ids, category_ids):
    """Return detections in COCO's format.

    Args:
        detections: a dict for each image: "boxes" (N, 4) float xyxy in pixels of that image,
            "labels" (N,) int64 from 1, "scores" (N,) float. N may be 0. Don't change them.
        image_ids: COCO's id of each image, in the same order.
        category_ids: COCO's id of label 1, of label 2, and so on.

    Returns:
        A list of dicts, one for each detection, in the order given: "image_id", "category_id",
        "bbox" [left, top, width, height] in pixels, not rounded, and "score". All are plain Python
        numbers, so that `json.dumps` takes them.

    Example:
        A box (10, 20, 40, 80) with label 1 and score 0.75, image id 7, category ids [3]:
        [{"image_id": 7, "category_id": 3, "bbox": [10.0, 20.0, 30.0, 60.0], "score": 0.75}]
    """
    ### BEGIN SOLUTION
    results = []
    for of_image, image_id in zip(detections, image_ids):
        columns = (of_image[name].tolist() for name in ("boxes", "labels", "scores"))
        for (x1, y1, x2, y2), label, confidence in zip(*columns):
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_ids[label - 1],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": confidence,
                }
            )
    return results
    ### END SOLUTION


# %%
check("to_coco_results")

# %%
import json

results = to_coco_results(detections, unseen.image_ids, unseen.category_ids)
text = json.dumps(results)
print(
    f"{len(results):,} detections in {len(unseen)} images; the file would have {len(text):,} bytes"
)
print(results[0] if results else "nothing was found")

same = sum(a["category_id"] == b["category_id"] for a, b in zip(one_file, other_file))
print(f"{same:,} of {len(one_file):,} detections have the same category id in the two files above,")
alike = [
    name for label, name in enumerate(unseen.classes, 1) if unseen.category_ids[label - 1] == label
]
print(f"for label and id are the same number for: {', '.join(alike) or 'no class'}")

# %% [markdown]
# So that was it: the other file has **labels** where category ids belong. A picture can't show it, because a picture is drawn
# with labels. You will meet it again in 9.7, with seven others.
#
# ## 9.2 · A detection is right if … · 33 min
#
# … it overlaps an object of its class by at least a **least overlap** (an IoU of 0.5, say), and nobody surer has taken that
# object before. Here is a tiny example. Two dogs (thick), a pack of dogs that is marked as a crowd (hatched), six detections
# called "dog" (dashed), each with its score. **Decide for each, with a pencil: right or wrong?**

# %%
import numpy as np
from matplotlib.patches import Rectangle

dogs = np.array([[10.0, 10, 40, 40], [60, 14, 36, 40], [110, 8, 80, 50]])  # xywh
is_crowd = np.array([False, False, True])
boxes = np.array([[14.0, 12, 40, 40], [8, 8, 40, 38], [64, 30, 36, 40], [115, 15, 20, 30]])
boxes = np.vstack([boxes, [[150, 20, 22, 30], [62, 12, 36, 40]]])
scores = np.array([0.95, 0.90, 0.80, 0.70, 0.60, 0.40])

fig = Figure(figsize=(8.4, 3.4), layout="constrained")
axes = fig.subplots()
for (x, y, w, h), crowd in zip(dogs, is_crowd):
    style = {"hatch": "//", "edgecolor": "#999999"} if crowd else {"edgecolor": "#009E73"}
    axes.add_patch(Rectangle((x, y), w, h, fill=False, linewidth=3, **style))
for number, ((x, y, w, h), score_of_box) in enumerate(zip(boxes, scores)):
    axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor="#D55E00", linestyle="dashed"))
    at, side = (y + h + 1, "top") if number % 2 == 0 else (y - 1, "bottom")
    axes.text(x + w / 2, at, f"{number}: {score_of_box:.2f}", ha="center", va=side, fontsize=8)
axes.set(xlim=(0, 200), ylim=(80, 0), xlabel="x in pixels", ylabel="y in pixels", aspect="equal")
show.figure(
    fig,
    alt="Two objects and a crowd. Detections 0 and 1 lie on the left object, 2 and 5 on the middle "
    "one, of which 2 lies too low, 3 and 4 in the crowd.",
)

# %% [markdown]
# The overlaps, with your own `box_iou`:

# %%
from my_detector import box_iou, xywh_to_xyxy

ious = box_iou(xywh_to_xyxy(torch.tensor(boxes)), xywh_to_xyxy(torch.tensor(dogs)))
print("              left dog  right dog  crowd")
for number, row in enumerate(ious.tolist()):
    print(f"{number}: score {scores[number]:.2f}  {row[0]:5.2f} {row[1]:10.2f} {row[2]:8.2f}")

# %% [markdown]
# Three rules decide.
#
# **The surest chooses first.** Detection 1 fits the left dog better than detection 0. But 0 is surer, so it takes the dog, and
# 1 comes too late: it is a **duplicate**, a false positive. (That is what NMS is for.)
#
# **It takes what it overlaps most, of what is still free.** If its best object is taken, it may take another one that it
# overlaps enough.
#
# **A crowd forgives.** Nobody knows how many dogs are in that pack, so what lies in it is neither right nor wrong: it is
# *ignored*. A small box in a large crowd has a tiny IoU, as you see above. So for crowds the overlap is divided by the area of
# the **detection** alone: which share of it lies inside? A crowd can be taken any number of times, and only by those for which
# no object is left.
#
# ### Exercise 9.2 · `match_detections` · ●●● · 30 min
#
# The overlaps are given in the cell; crowds are in them already. The rest is a loop over the least overlaps, and one over the
# detections. `ignored` marks objects that don't count: crowds, and later objects of the wrong size.

# %%
# %%exercise match_detections
import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)


def overlaps(boxes, gt_boxes, is_crowd):
    """Return (D, G) IoU of xywh boxes; with a crowd, the share of the detection that is inside."""
    start = np.maximum(boxes[:, None, :2], gt_boxes[:, :2])
    end = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], gt_boxes[:, :2] + gt_boxes[:, 2:])
    shared = np.clip(end - start, 0, None).prod(axis=2)
    area, gt_area = boxes[:, 2:].prod(axis=1)[:, None], gt_boxes[:, 2:].prod(axis=1)
    whole = np.where(is_crowd, area, area + gt_area - shared)
    return shared / np.where(shared > 0, whole, 1)


def match_detections(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    """Match the detections of one class in one image to ground-truth boxes.

    The highest score chooses first; of equal scores, the one that comes first. A detection takes
    the ground-truth box with the highest IoU (of equal ones, the last) among those that are free
    and have at least the threshold. It takes an ignored box only if no other one is possible. A
    box that is taken is no longer free; crowds stay free. Each threshold starts anew. A threshold
    of 1 is used as 1 - 1e-10, because of rounding.

    Args:
        boxes: (D, 4) float xywh in pixels, in any order. D may be 0.
        scores: (D,) float.
        gt_boxes: (G, 4) float xywh in pixels. G may be 0.
        is_crowd: (G,) bool.
        iou_thresholds: (T,) float.
        ignored: (G,) bool, ground-truth boxes that don't count; None means the crowds.

    Returns:
        (T, D) int64: for each threshold and detection, in the order given, the row of `gt_boxes`
        that it takes; -1 for a detection without a match.

    Example:
        Boxes (0, 0, 10, 10) and (0, 0, 10, 8) with scores 0.9 and 0.8, one ground-truth box
        (0, 0, 10, 10), thresholds [0.5]: [[0, -1]].
    """
    ### BEGIN SOLUTION
    ignored = is_crowd if ignored is None else ignored
    ious = overlaps(boxes, gt_boxes, is_crowd)
    matched = np.full((len(iou_thresholds), len(boxes)), -1)
    for row, threshold in enumerate(np.minimum(iou_thresholds, 1 - 1e-10)):
        is_free = np.ones(len(gt_boxes), bool)
        for n in np.argsort(-scores, kind="stable"):
            possible = is_free & (ious[n] >= threshold)
            if (possible & ~ignored).any():
                possible &= ~ignored
            if possible.any():
                values = np.where(possible, ious[n], -1)
                best = len(gt_boxes) - 1 - values[::-1].argmax()  # the last of equal ones
                matched[row, n], is_free[best] = best, is_crowd[best]
    return matched
    ### END SOLUTION


# %%
check("match_detections")

# %%
matches = match_detections(boxes, scores, dogs, is_crowd, np.array([0.5, 0.8]))
what = ["right (left dog)", "right (right dog)", "ignored (crowd)", "wrong"]  # -1 is the last
print("detection   least overlap 0.5    least overlap 0.8")
for number, (half, strict) in enumerate(matches.T):
    print(f"{number}: {scores[number]:.2f}     {what[half]:20} {what[strict]}")

# %% [markdown]
# Compare with your pencil. And look at detection 5: it is the least sure of all, and right, also where 0 is no longer good
# enough.
#
# **Your turn to test.** The one input below catches only some of the wrong versions of `match_detections`. Add inputs until
# none gets through: equal scores, a second choice, a crowd, an overlap of just 0.5 …

# %%
no_crowd = np.zeros(2, bool)
catch("match_detections", (boxes[:2], scores[:2], dogs[:2], no_crowd))

# %% [markdown]
# ## 9.3 · Two numbers that pull in different directions · 12 min
#
# Take the six detections again, the surest first, without the two in the crowd: right, wrong, wrong, right. There are two dogs
# to find. Believe only the first detection, and all that you believe is right, but one of two dogs is missed. Believe all, and
# both are found, but half of what you believe is wrong. **Precision** is the share of what is believed that is right;
# **recall** the share of the objects that are found.
#
# **Write down both, after each of the four detections.** Does precision only fall?
#
# ### Exercise 9.3 · `precision_recall` · ●○○ · 10 min

# %%
# %%exercise precision_recall
import numpy as np


def precision_recall(is_tp, num_gt):
    """Return precision and recall after the first, the second, … the last detection.

    Args:
        is_tp: (D,) bool, whether each detection is a true positive, best score first. D may be 0.
        num_gt: how many objects there are, at least one.

    Returns:
        precision (D,) float: the share of true positives among the first 1, 2, … D detections;
        recall (D,) float: the share of the objects that these detections match.

    Example:
        [True, False, True] and four objects: [1, 0.5, 0.667] and [0.25, 0.25, 0.5].
    """
    ### BEGIN SOLUTION
    tp = is_tp.cumsum()
    return tp / np.arange(1, len(tp) + 1), tp / num_gt
    ### END SOLUTION


# %%
check("precision_recall")

# %%
tiny = np.array([True, False, False, True])
for name, values in zip(("precision", "recall"), precision_recall(tiny, 2)):
    print(f"{name:10}", values.round(2).tolist())

# %% [markdown]
# Recall never falls. Precision falls with each wrong detection, and *rises* with each right one (unless it is 1 already): remember
# the last step, from 0.33 to 0.5.
#
# Now your detector. All detections of one class, from all images, in one heap: each was matched **in its own image**, and now
# they stand in order of their scores. Move the slider. (The arrow keys move it, too.) **Where would you put it** in a search
# for missing people? Where in a machine that sorts apples?


# %%
def outcomes_of_class(category_id, iou_threshold=0.5):
    """Return scores (D,) and is_tp (D,) of a class in all images, without ignored; and num_gt."""
    pred = [record for record in results if record["category_id"] == category_id]
    gt = [record for record in ground_truth["annotations"] if record["category_id"] == category_id]
    scores, is_tp, num_gt = [np.empty(0)], [np.empty(0, bool)], 0
    for image_id in unseen.image_ids:
        pred_here = [record for record in pred if record["image_id"] == image_id]
        gt_here = [record for record in gt if record["image_id"] == image_id]
        crowd = np.array([record["iscrowd"] for record in gt_here], bool)
        scores_here = np.array([record["score"] for record in pred_here])
        pred_boxes, gt_boxes = (
            np.array([record["bbox"] for record in records]).reshape(-1, 4)
            for records in (pred_here, gt_here)
        )
        thresholds = np.array([iou_threshold])
        match = match_detections(pred_boxes, scores_here, gt_boxes, crowd, thresholds)[0]
        counts = ~np.append(crowd, False)[match]  # a match of -1 is the last: no crowd
        scores.append(scores_here[counts])
        is_tp.append(match[counts] >= 0)
        num_gt += int((~crowd).sum())
    return np.concatenate(scores), np.concatenate(is_tp), num_gt


tp_counts = {id_: int(outcomes_of_class(id_)[1].sum()) for id_ in unseen.category_ids}
chosen = max(tp_counts, key=tp_counts.get)  # the class with the most true positives
name = unseen.classes[unseen.category_ids.index(chosen)]
scores_of_class, is_tp, num_gt = outcomes_of_class(chosen)
show.explore_curve(
    scores_of_class, is_tp, max(1, num_gt), precision_recall=precision_recall, title=name
)

# %% [markdown]
# Each position of the slider is one detector to choose. A score should not depend on where somebody has put a slider: so the
# whole **curve** is scored.
#
# ## 9.4 · One number for a curve · 22 min
#
# The area under the curve, then? Nearly. The curve has teeth, as you saw, and each tooth is luck: a right detection just behind
# a wrong one. So the teeth are filled: at each recall stands **the best precision there or anywhere beyond**. After all, who
# wants that much recall could take it. Here it is for the two dogs; the filled curve is written by hand. **Guess its mean
# height.**

# %%
precision, recall = precision_recall(tiny, 2)

fig = Figure(figsize=(6.4, 3.2), layout="constrained")
axes = fig.subplots()
axes.plot(recall, precision, "o-", color="#0072B2", label="precision after each detection")
filled = [1.0] * 51 + [0.5] * 50  # at recall 0.00 … 0.50, and at 0.51 … 1.00
axes.plot(np.linspace(0, 1, 101), filled, "|", color="#D55E00", label="the 101 points of COCO")
axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.08), xlabel="recall", ylabel="precision")
axes.legend(loc="lower left")
show.figure(
    fig,
    alt="Precision falls from 1 to a third at recall 0.5, then rises to 0.5 at recall 1. The "
    "points are at 1 up to recall 0.5 and at 0.5 from there on.",
)

# %% [markdown]
# COCO reads it at **101 points**: at recall 0.00, 0.01, … 1.00, and takes the mean. For the two dogs that is (51 × 1 + 50 ×
# 0.5) / 101. Where a recall is never reached, nothing is there: 0. That is why leaving out unsure detections can't help: a cut
# curve has zeros where a poor one has a little.
#
# ### Exercise 9.4 · `average_precision` · ●●○ · 20 min
#
# Three steps: fill the teeth; find, for each of the 101 recalls, the first place where the curve has reached it; take the mean.
# It can be done with no loop at all.

# %%
# %%exercise average_precision
import numpy as np


def average_precision(precision, recall):
    """Return COCO's average precision of one curve.

    Args:
        precision: (D,) float, from `precision_recall`. D may be 0.
        recall: (D,) float, from `precision_recall`. It never falls.

    Returns:
        A float: the mean, over recall 0.00, 0.01, … 1.00 (`np.linspace(0, 1, 101)`), of the highest
        precision at that recall or beyond. It is 0 at a recall that is never reached.

    Example:
        precision [1.0] and recall [0.5]: 51 of the 101 recalls are reached, so 51 / 101.
    """
    ### BEGIN SOLUTION
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at that recall or beyond
    indices = np.searchsorted(recall, np.linspace(0, 1, 101))  # the first that reaches each
    return float(np.append(best, 0)[indices].mean())
    ### END SOLUTION


# %%
check("average_precision")

# %%
print("two dogs, by hand", (51 * 1 + 50 * 0.5) / 101)
print("two dogs, yours  ", average_precision(*precision_recall(tiny, 2)))

fig = Figure(figsize=(6.4, 3.2), layout="constrained")
axes = fig.subplots()
values = []
for threshold, color, style in (
    (0.5, "#0072B2", "-"),
    (0.75, "#E69F00", "--"),
    (0.9, "#D55E00", ":"),
):
    scores_of_class, is_tp, num_gt = outcomes_of_class(chosen, threshold)
    order = np.argsort(-scores_of_class, kind="stable")
    curve = precision_recall(is_tp[order], max(1, num_gt))
    values.append(average_precision(*curve))
    axes.plot(curve[1], curve[0], style, color=color, label=f"{threshold}: AP {values[-1]:.2f}")
axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.05), xlabel="recall", ylabel="precision", title=name)
axes.legend(title="least overlap")
words = " ".join(f"{value:.2f}" for value in values)
show.figure(fig, alt=f"Three curves of one class; AP at least overlaps of 0.5, 0.75, 0.9: {words}.")

# %% [markdown]
# The detections are the same in all three; only the question grows stricter. AP is **the mean over ten questions**, from 0.50
# to 0.95: it asks not only *what*, but *where exactly*.
#
# ## 9.5 · The mean of means · 27 min
#
# Each class has its AP, and the score is the plain mean of the classes: a rare one counts as much as a common one. **Before you
# look:** your detector's AP50 is a mean. How far apart will the best and the worst class be?

# %%
my_guess = 0.3  # best class minus worst class, yours

by_class = {}
for category_id, name in zip(unseen.category_ids, unseen.classes):
    scores_of_class, is_tp, num_gt = outcomes_of_class(category_id)
    if num_gt:
        curve = precision_recall(is_tp[np.argsort(-scores_of_class, kind="stable")], num_gt)
        by_class[name] = (average_precision(*curve), num_gt)
nothing = [name for name in unseen.classes if name not in by_class]
ranked = sorted(by_class, key=lambda name: by_class[name][0])
shown = ranked if len(ranked) <= 20 else ranked[:10] + ranked[-10:]

fig = Figure(figsize=(7, 0.24 * len(shown) + 1), layout="constrained")
axes = fig.subplots()
bars = axes.barh(shown, [by_class[name][0] for name in shown], color="#56B4E9", edgecolor="black")
axes.bar_label(bars, [f"{by_class[name][1]} objects" for name in shown], padding=3, fontsize=8)
axes.set(xlim=(0, 1.1), xlabel="AP50")
low, high = by_class[ranked[0]][0], by_class[ranked[-1]][0]
words = f"AP50 by class, from {ranked[0]} {low:.2f} to {ranked[-1]} {high:.2f}."
show.figure(fig, alt=words)
mean = sum(value for value, _ in by_class.values()) / len(by_class)
print(f"mean {mean:.3f}; best minus worst {high - low:.2f}, your guess {my_guess:.2f}")
boxes_of = [record["category_id"] for record in train_set.ground_truth()["annotations"]]
for name in (ranked[0], ranked[-1]):
    often = boxes_of.count(unseen.category_ids[unseen.classes.index(name)])
    print(f"{name}: AP50 {by_class[name][0]:.2f}, {often} boxes in the training set")
print(f"no object at all in these images: {', '.join(nothing[:6]) or 'of none'}")

# %% [markdown]
# Is the worst class hard, or only rare in training? And what is the AP of a class that isn't there? Not 0: nothing was missed.
# It has none, and COCO writes **−1**, and leaves it out of the mean.
#
# Two more things, and you have all twelve numbers:
#
# - **Sizes.** AP_small asks for objects of up to 32² pixels, medium up to 96², large from there on. (The area is the outline's,
#   not the box's.) Objects of another size are *ignored*, as a crowd is, and so are detections of another size that have found
#   nothing.
# - **Recall.** AR_1, AR_10 and AR_100 are the highest recall with the 1, 10, 100 surest detections of each class in each image,
#   mean over overlaps and classes.
#
# ### Exercise 9.5 · `coco_map` · ●●● · 25 min
#
# The tedious part is given: `outcomes` says what became of all detections of a class, at each IoU threshold, for objects of
# some size. You write the rest: curves from it, AP and recall from these, and the means.
#
# (In the check's messages, a row of `detections` is image, class, left, top, width, height, score; a row of `objects` is image, class,
# the box, its area, and 1 for a crowd.)

# %%
# %%exercise coco_map
import numpy as np

from my_detector import average_precision, match_detections, precision_recall

IOUS = np.linspace(0.5, 0.95, 10)  # AP50 is at place 0, AP75 at place 5
AREAS = [(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)]  # all, small, medium, large
COUNTS = (1, 10, 100)
METRICS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


def outcomes(results, ground_truth, category_id, low, high):
    """Return what became of the D detections of a class, for objects with an area of low to high.

    Returns:
        outcomes (T, D), best score first: TRUE_POSITIVE, FALSE_POSITIVE or IGNORED; ranks (D,): the
        position of each detection among those of its image, from 0; and the number of objects.
    """
    image_ids = sorted(image["id"] for image in ground_truth["images"])
    groups = {image_id: ([], []) for image_id in image_ids}
    for kind, records in enumerate((results, ground_truth["annotations"])):
        for record in records:
            if record["category_id"] == category_id:
                groups[record["image_id"]][kind].append(record)
    columns, num_gt = [np.empty((2 + len(IOUS), 0))], 0
    for pred, gt in groups.values():
        pred = sorted(pred, key=lambda record: -record["score"])
        scores = np.array([record["score"] for record in pred], float)
        boxes = np.array([record["bbox"] for record in pred], float).reshape(-1, 4)
        gt_boxes = np.array([record["bbox"] for record in gt], float).reshape(-1, 4)
        is_crowd = np.array([record["iscrowd"] for record in gt], bool)
        gt_areas = np.array([record["area"] for record in gt], float)
        ignored = is_crowd | (gt_areas < low) | (gt_areas > high)  # low and high are included
        matched = match_detections(boxes, scores, gt_boxes, is_crowd, IOUS, ignored)
        kinds = np.where(ignored, IGNORED, TRUE_POSITIVE)
        outcome = np.append(kinds, FALSE_POSITIVE)[matched]  # a match of -1 is the last
        areas = boxes[:, 2:].prod(axis=1)
        outcome[(matched < 0) & ((areas < low) | (areas > high))] = IGNORED
        columns.append(np.vstack([scores, np.arange(len(scores)), outcome]))
        num_gt += int((~ignored).sum())
    scores, ranks, *rows = np.hstack(columns)
    order = np.argsort(-scores, kind="stable")
    return np.array(rows)[:, order], ranks[order], num_gt


def coco_map(results, dataset):
    """Return COCO's twelve numbers.

    For each class, size and IoU threshold, there is an AP of the detections with rank < 100, and
    the highest recall of those with rank < 1, 10 and 100 (0 if there are none). A rank is within
    class and image, and counts ignored detections, too; only then are the ignored left out.
    Classes without objects of a size are left out of the means.

    Args:
        results: a list of dicts, from `to_coco_results`.
        dataset: `dataset.ground_truth()` has COCO's records, `dataset.category_ids` the classes.

    Returns:
        METRICS → float in 0 to 1. AP and AR_1, AR_10, AR_100 are means over classes and the ten IoU
        thresholds; AP50 and AP75 are means over classes at 0.50 and 0.75. The numbers by size are
        like AP and AR_100. -1.0 where no class has an object.

    Example:
        One class, one small object, and one detection with the same box: 1.0 for all but AP_medium,
        AP_large, AR_medium and AR_large, which are -1.0.
    """
    ### BEGIN SOLUTION
    gt = dataset.ground_truth()
    ap = np.full((len(dataset.category_ids), len(AREAS), len(IOUS)), -1.0)
    max_recall = np.full((*ap.shape, len(COUNTS)), -1.0)
    for k, category_id in enumerate(dataset.category_ids):
        for a, (low, high) in enumerate(AREAS):
            of_class, ranks, num_gt = outcomes(results, gt, category_id, low, high)
            for t, outcome in enumerate(of_class if num_gt else []):
                for c, count in enumerate(COUNTS):
                    counted = outcome[(outcome != IGNORED) & (ranks < count)]
                    precision, recall = precision_recall(counted == TRUE_POSITIVE, num_gt)
                    max_recall[k, a, t, c] = recall.max(initial=0)
                ap[k, a, t] = average_precision(precision, recall)  # the last count is 100

    parts = [ap[:, 0], ap[:, 0, 0], ap[:, 0, 5], ap[:, 1], ap[:, 2], ap[:, 3]]
    parts += [max_recall[:, 0, :, c] for c in range(3)]
    parts += [max_recall[:, a, :, 2] for a in (1, 2, 3)]
    values = [part[part >= 0] for part in parts]
    return {name: float(v.mean()) if len(v) else -1.0 for name, v in zip(METRICS, values)}
    ### END SOLUTION


# %%
check("coco_map")

# %% [markdown]
# Now the proof. **pycocotools** is COCO's own program, the one that papers are scored with. **How many digits will agree?**

# %%
yours = coco_map(results, unseen)
theirs = score(results, unseen, engine="pycocotools")
print("            yours    pycocotools")
for metric, value in yours.items():
    print(f"{metric:10} {value:7.4f} {theirs[metric]:10.4f}")
apart = max(abs(yours[metric] - theirs[metric]) for metric in yours)
print(f"largest difference {apart:.1e}")
assert apart < 1e-9

# %% [markdown]
# All twelve, to the last digit. From now on you know what you are talking about. (pycocotools is fine; `score` without `engine`
# takes a faster one with equal results.)
#
# ## 9.6 · Your detector under the doctor · 4 min
#
# A score says how ill the patient is, not of what. So each error gets a **kind**, and the price of a kind is how much AP50
# would rise if it alone were fixed (Bolya et al., *TIDE*, 2020): *classification*, on an object but with the wrong class;
# *localization*, too far off the object; *both*; *duplicate*; *background*, on no object; *missed*. **Predict before you run
# it:** which kind costs your detector most?

# %%
from coursekit.evaluation import confusion_matrix, split_errors, worst_images
from coursekit.show.errors import confusion_picture, error_bars
from coursekit.show.gallery import gallery

my_guess = "missed"  # yours

report = split_errors(results, unseen)
words = ", ".join(f"{kind} {error.cost:.3f}" for kind, error in report.kinds.items())
show.figure(error_bars(report), alt=f"What each kind of error costs in AP50: {words}.")
print(f"costliest: {report.costliest}; you said {my_guess}")

# %% [markdown]
# Look at the counts, too. The kind with the most errors needn't be the one that costs most: a thousand unsure boxes at the end
# of the list cost next to nothing, and one sure error at the top costs much.
#
# **Which classes** does it mix up? A row is what an object is, a column what it was found as; the last column is what was
# missed. Only detections with a score of at least 0.3 are in it.

# %%
matrix = confusion_matrix(results, unseen, threshold=0.3)
mixed = matrix[:-1, :-1].copy()
np.fill_diagonal(mixed, 0)
row, column = np.unravel_index(mixed.argmax(), mixed.shape)
pair = f"most often {unseen.classes[row]} as {unseen.classes[column]}, {mixed[row, column]} times"
words = pair if mixed.any() else "none as another"
show.figure(confusion_picture(matrix, unseen.classes), alt=f"Which classes are mixed up: {words}.")

# %% [markdown]
# Would *you* have mixed up the same? And **which images** are worst?

# %%
worst = worst_images(results, unseen, 4, threshold=0.3)
for bad_image in worst:
    print(bad_image.image_id, bad_image.reason)
if worst:
    fig = gallery(unseen, results, [bad_image.image_id for bad_image in worst], threshold=0.3)
    show.figure(fig, alt="The worst images: " + "; ".join(bad_image.reason for bad_image in worst))

# %% [markdown]
# Ten minutes with such pictures tell you more than a week with a single number. **Write into the journal** what you would mend
# first, and why: the most frequent error, the dearest, or the one that is easiest to mend?
#
# ## 9.7 · Eight ways to get 0 or −1 · 5 min
#
# "My AP is 0, and the boxes look perfect." It is the most frequent question about evaluation in every detection library. Nearly
# always it is one of a handful of causes, and none is in the model. Here are seven. Each changes every record a little; nothing
# crashes.

# %%
sizes = {record["id"]: (record["width"], record["height"]) for record in ground_truth["images"]}
ids, image_ids = unseen.category_ids, unseen.image_ids


def box(change):
    return lambda record: record | {"bbox": change(*record["bbox"], *sizes[record["image_id"]])}


def next_of(values, value):
    return values[(values.index(value) + 1) % len(values)]


plant = {
    "labels, not ids": lambda record: (
        record | {"category_id": ids.index(record["category_id"]) + 1}
    ),
    "classes off by one": lambda record: (
        record | {"category_id": next_of(ids, record["category_id"])}
    ),
    "ids of the next image": lambda record: (
        record | {"image_id": next_of(image_ids, record["image_id"])}
    ),
    "two corners": box(lambda x, y, w, h, *_: [x, y, x + w, y + h]),
    "x and y swapped": box(lambda x, y, w, h, *_: [y, x, h, w]),
    "shares, 0 to 1": box(lambda x, y, w, h, *b: [x / b[0], y / b[1], w / b[0], h / b[1]]),
    "resized to 512": box(lambda *b: [side * 512 / max(b[4:]) for side in b[:4]]),
}


def spoiled(results, fault):
    return [plant[fault](record) for record in results]


# %% [markdown]
# This is how COCO reads the six surest boxes of four of them (white is outside of the image). Which do you recognise?

# %%
shown_id = target["image_id"]
here = sorted(
    (record for record in results if record["image_id"] == shown_id),
    key=lambda record: -record["score"],
)
fig = Figure(figsize=(8, 5.4), layout="constrained")
for axes, fault in zip(fig.subplots(2, 2).flat, list(plant)[3:]):
    spoiled_boxes = torch.tensor([record["bbox"] for record in spoiled(here[:6], fault)])
    names = [unseen.classes[ids.index(record["category_id"])] for record in here[:6]]
    show.draw_boxes(
        axes, image, xywh_to_xyxy(spoiled_boxes.reshape(-1, 4)), names, title=fault, dashed=True
    )
    axes.set(xlim=(-8, 1.65 * image.shape[2]), ylim=(1.65 * image.shape[1], -8))
show.figure(
    fig,
    alt="One scene four times. Two corners: boxes reach far to the lower right. Swapped: boxes "
    "next to the objects. Shares: all in the upper left corner. Resized: moved, and of another size.",
)

# %% [markdown]
# `diagnose` is the doctor for this: it undoes each known cause as a trial, and names one if undoing it makes many more true
# boxes match. **Predict: which of the seven leaves the most of the score, which the least?**

# %%
from coursekit.evaluation import diagnose

print(f"AP50 {score(results, unseen)['AP50']:.3f}, as it should be\n")
print(f"{'planted':24} AP50   the doctor says")
for fault in plant:
    wrong = spoiled(results, fault)
    causes = [finding.cause for finding in diagnose(wrong, unseen)]
    print(f"{fault:24} {score(wrong, unseen)['AP50']:.3f}  {', '.join(causes) or 'nothing'}")

# %% [markdown]
# **Mended.** A diagnosis comes with its evidence and a cure. Read three of them. (A size that it names, as for the last, is an
# estimate from the boxes.)

# %%
import textwrap


def print_findings(findings):
    for finding in findings:
        print(textwrap.fill(str(finding), 96, initial_indent="  ", subsequent_indent="  "))


for fault in ("labels, not ids", "two corners", "resized to 512"):
    print(fault)
    print_findings(diagnose(spoiled(results, fault), unseen))

# %% [markdown]
# And here are the seven cures, each the inverse of its fault. Does each bring back the score to the last digit?


# %%
def before_it(values, value):
    return values[values.index(value) - 1]


repair = {
    "labels, not ids": lambda record: record | {"category_id": ids[record["category_id"] - 1]},
    "classes off by one": lambda record: (
        record | {"category_id": before_it(ids, record["category_id"])}
    ),
    "ids of the next image": lambda record: (
        record | {"image_id": before_it(image_ids, record["image_id"])}
    ),
    "two corners": box(lambda x1, y1, x2, y2, *_: [x1, y1, x2 - x1, y2 - y1]),
    "x and y swapped": box(lambda y, x, h, w, *_: [x, y, w, h]),
    "shares, 0 to 1": box(lambda x, y, w, h, *b: [x * b[0], y * b[1], w * b[0], h * b[1]]),
    "resized to 512": box(lambda *b: [side * max(b[4:]) / 512 for side in b[:4]]),
}
undamaged = score(results, unseen)["AP"]
for fault in plant:
    repaired = [repair[fault](record) for record in spoiled(results, fault)]
    damaged = score(spoiled(results, fault), unseen)["AP"]
    print(
        f"{fault:24} AP {damaged:.3f} → {score(repaired, unseen)['AP']:.3f} (was {undamaged:.3f})"
    )

# %% [markdown]
# **The eighth is −1.** It is no fault at all, if you know it: a class that has no object in the images. It becomes a fault
# where somebody takes the mean of the classes by hand, with the −1 in it.

# %%
from coursekit.evaluation import evaluate

scored = evaluate(results, unseen)
absent = [class_score.name for class_score in scored.per_class if class_score.AP < 0]
values = [class_score.AP for class_score in scored.per_class]
there = [value for value in values if value >= 0]
print(f"-1: {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}")
print(
    f"mean with the -1 in it {sum(values) / len(values):.3f}, without {sum(there) / len(there):.3f}"
)
print_findings(diagnose(results, unseen, classes=absent[:1]))

# %% [markdown]
# **Strangely low, not 0.** Two more that you will meet: a part of the images scored against the truth of all, and scores that
# say nothing.

# %%
part = unseen.head(len(unseen) // 4)
cases = {
    "a quarter of the images": [
        record for record in results if record["image_id"] in part.image_ids
    ],
    "every score 1": [record | {"score": 1.0} for record in results],
}
for fault, wrong in cases.items():
    print(f"{fault}: AP50 {score(wrong, unseen)['AP50']:.3f}")
    print_findings(diagnose(wrong, unseen) or ["nothing is named"])
print(f"the quarter alone: AP50 {score(cases['a quarter of the images'], part)['AP50']:.3f}")

# %% [markdown]
# ## 9.8 · Is run B better than run A? · 4 min
#
# You change something, the score rises by 0.01, you are glad. But other images would have given another number. How other? Draw
# images from yours **with repetition**, as many as there are, score both runs on the draw, and do that 200 times: the middle 95
# % of the differences is an **interval**. If it holds 0, these images can't tell. (It is called a *bootstrap*.)
#
# Five comparisons. Two new runs are the detector, trained on a little further, alike in all but the seed: in what is mirrored,
# sampled, shown first. Two others aren't trained at all: another NMS, or only the sure detections kept. **Which intervals will
# hold 0?**

# %%
import copy
from dataclasses import replace

from coursekit.evaluation import compare, predict_dataset
from coursekit.training import TrainConfig, train


def trained_on(seed):
    """The detector, trained a little further."""
    model = copy.deepcopy(detector)
    plan = TrainConfig(epochs=1, batch_size=4, lr=3e-4, precision="fp32", warmup_steps=5, seed=seed)
    train(model, train_set.head(quick(100, 4)), plan)
    return predict_dataset(model, unseen)


seed_1 = trained_on(1)

# %%
seed_2 = trained_on(2)

# %%
lenient = copy.deepcopy(detector)
lenient.options = replace(lenient.options, box_nms_thresh=0.7)

own_results = to_coco_results(own_detections, unseen.image_ids, unseen.category_ids)
pairs = {
    "trained on, seed 1": (own_results, seed_1),
    "trained on, seed 2": (own_results, seed_2),
    "seed 2 against seed 1": (seed_1, seed_2),
    "NMS at 0.7, not 0.5": (own_results, predict_dataset(lenient, unseen)),
    "only scores from 0.3": (
        own_results,
        [record for record in own_results if record["score"] >= 0.3],
    ),
}
draws = quick(200, 40)
compared = {name: compare(*both, unseen, draws=draws) for name, both in pairs.items()}

fig = Figure(figsize=(8, 3.4), layout="constrained")
axes = fig.subplots()
styles = (("ap", "AP", 0.14, "#E69F00", "s"), ("ap50", "AP50", -0.14, "#0072B2", "o"))
for key, label, shift, color, marker in styles:
    for row, comparison in enumerate(compared.values()):
        change = getattr(comparison, key)
        text = label if row == 0 else None
        axes.plot([change.low, change.high], [-row + shift] * 2, color=color, linewidth=2)
        axes.plot(change.change, -row + shift, marker, color=color, label=text)
axes.axvline(0, color="black", linewidth=0.8)
axes.set_yticks([-row for row in range(len(compared))], labels=list(compared))
axes.set(xlabel="change of the score, with its interval of 95 %")
axes.legend(loc="upper left", fontsize=8)
words = "; ".join(
    f"{name}: AP {comparison.ap.change:+.3f}" for name, comparison in compared.items()
)
show.figure(fig, alt=f"Changes with intervals. {words}.")
for name, comparison in compared.items():
    print(f"{name:22} {comparison.verdict}")

# %% [markdown]
# Read it slowly; there is much in it.
#
# - **The middle row is the yardstick.** Two runs that differ in nothing but the seed. Whatever you change must beat *that*, and
#   not only 0. The interval speaks of other images, and knows nothing of other seeds: so train at least twice before you
#   believe in a small gain.
# - **AP and AP50 answer two questions.** Does a run find more, or does it place its boxes better? One number hides which.
# - **Small changes can be certain.** Leaving out unsure detections can hardly help in any image, so nearly all draws agree, and
#   the interval is short for its size. It matters how large a change is, and how alike the images see it.
#
# And a look behind one number: the two seeds, class by class.

# %%
by_name = {class_score.name: class_score.AP50 for class_score in evaluate(seed_1, unseen).per_class}
other = {class_score.name: class_score.AP50 for class_score in evaluate(seed_2, unseen).per_class}
change = {name: other[name] - value for name, value in by_name.items() if value >= 0}
most = sorted(change, key=lambda name: abs(change[name]))[-3:]
both = compared["seed 2 against seed 1"].ap50
print(f"AP50 {both.a:.3f} and {both.b:.3f}: seed 2 changes it by {both.change:+.3f}, but")
for name in reversed(most):
    print(f"  {name:12} {by_name[name]:.2f} → {other[name]:.2f}")

# %%
journal("09")

# %% [markdown]
# ## What could go wrong · 3 min
#
# Four reports by people who had searched for long.
#
# - AP is always 0.00, though the pictures look good ([detectron2, issue
#   428](https://github.com/facebookresearch/detectron2/issues/428)). Which of the eight would you test first?
# - The categories were written in another order, and AP fell to 0 ([mmdetection, issue
#   2916](https://github.com/open-mmlab/mmdetection/issues/2916)).
# - All twelve numbers are −1 ([ssd_keras, issue 334](https://github.com/pierluigiferrari/ssd_keras/issues/334)): scored on
#   COCO's test images, whose truth isn't public.
# - Two boxes, found perfectly, and AP is not 1 ([cocoapi, issue 672](https://github.com/cocodataset/cocoapi/issues/672)). Their
#   annotations are numbered from **0**, and pycocotools keeps the id of the object that was found, with 0 for "none":

# %%
import io
from contextlib import redirect_stdout

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def two_perfect_boxes(first_id):
    """AP of two boxes found just where they are, by pycocotools itself."""
    both = [[50, 50, 100, 100], [200, 200, 100, 100]]
    common = {"image_id": 1, "category_id": 1}
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [
            common | {"id": first_id + n, "bbox": box, "area": 10_000, "iscrowd": 0}
            for n, box in enumerate(both)
        ],
    }
    with redirect_stdout(io.StringIO()):  # it prints what it does
        coco.createIndex()
        evaluator = COCOeval(
            coco, coco.loadRes([common | {"bbox": box, "score": 1.0} for box in both]), "bbox"
        )
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats[0]


for first_id in (0, 1):
    print(f"annotation ids from {first_id}: AP {two_perfect_boxes(first_id):.3f}")

# %% [markdown]
# One test finds all of these in a minute: **score the truth itself**, written as detections, through your whole chain. It must
# come out as 1. Does it here? And if one thing in the chain is wrong?

# %%
perfect = []
for i in range(len(unseen)):
    target = unseen.target(i)
    ones = torch.ones(len(target["labels"]))
    perfect.append({"boxes": target["boxes"], "labels": target["labels"], "scores": ones})
gt_as_results = to_coco_results(perfect, unseen.image_ids, unseen.category_ids)
print(f"the truth itself: AP {score(gt_as_results, unseen)['AP']:.3f}")
spoiled_records = spoiled(gt_as_results, "two corners")
print(f"the truth, as two corners: AP {score(spoiled_records, unseen)['AP']:.3f}")

# %% [markdown]
# ## What you learned
#
# A detection is right if it overlaps an object enough that nobody surer has taken. Along the scores, precision and recall make
# a curve; filled and read at 101 points, it is AP; and the score is a mean over overlaps and classes, without those that aren't
# there. A score of 0 with good pictures is a fault of the file. Errors have kinds, and each kind has a price. And a change is a
# number *with an interval*, to be compared with that of another seed.
#
# **Three questions to think about**
#
# <details><summary>1. You double every detection, the copy with half the score. What happens to AP?</summary>
#
# Each copy is wrong, because its object is taken. Copies of sure detections come in between the unsure ones, so precision falls
# there, and AP with it. How much depends on how many right detections stand below the copies. Copies below *all* others cost
# nothing.
#
# </details>
# <details><summary>2. All scores are squared. Does AP change?</summary>
#
# No. Only the order counts, and squaring numbers from 0 to 1 keeps it. AP says nothing about whether a score of 0.8 is right
# eight times out of ten.
#
# </details>
# <details><summary>3. Your AP_small is −1 on a subset, and a colleague's mean over her subsets is 0.02 lower than yours. Why might that be?</summary>
#
# Perhaps she has taken the mean with −1 in it, for subsets without small objects. Or other classes are missing in hers. A mean
# over what is there depends on what is there.
#
# </details>
#
# **Next: 10 · Your detector.** A question, a subset, a run of your own, and one improvement that you prove or disprove, with an
# interval.
#
# **To read on:** T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, and cocodataset.org, "Detection
# evaluation" · D. Bolya et al., *TIDE: A General Toolbox for Identifying Object Detection Errors*, 2020, section 2 · B. Efron
# and R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 · M. Everingham et al., *The PASCAL Visual Object
# Classes Challenge*, 2010, section 4.2, for AP as it was before.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 130, of which 100 writing. `match_detections` takes the longest; let people judge the six detections on paper
# first. `coco_map` is bookkeeping: two tables filled with −1, and means over what is there.
#
# **What people get wrong.** `to_coco_results`: labels left as they are; tensors in the records. `match_detections`: no second
# choice; one list of what is free for all overlaps; a strict comparison. `average_precision`: filled from the wrong end;
# recalls that are never reached left out. `coco_map`: a −1 in the mean, or a class that was never found left out.
#
# **Questions to ask.** Why does the best-fitting detection lose against a surer one, and would it be better otherwise? Which of
# the eight faults would a picture show, which not? What would you need to believe in a gain of 0.005?
