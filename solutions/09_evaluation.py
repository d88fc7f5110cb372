# %% [markdown]
# # 09 · Evaluation
#
# **175 minutes, 5 of them for this opening · you need lesson 07 (08 isn't needed) · no GPU needed**
#
# A detector gets one number, its AP. Behind it are some thousand boxes, ten thresholds, an interpolation and a mean of means.
# People change their detector because of that number, and now and then the number is wrong: it says 0 while the boxes look good.
# Today you build it yourself, from the results file to the last digit. Then your detector sees the doctor.
#
# When you're done, you can
#
# - write detections in COCO's format, and say what each of COCO's twelve numbers means,
# - compute them yourself, equal to pycocotools,
# - find out why an AP is 0 or −1, and mend it,
# - say which number to report, what kinds of errors your detector makes, and whether run B is better than run A.
#
# If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import os

import coursekit.show as show
from coursekit.data import load
from coursekit.evaluation import predict_dataset, score, split_errors
from coursekit.lessons import catch, check, hint, journal, lesson_map, recall, reference

lesson_map(9)

# %% [markdown]
# Here's the patient: the detector you trained in lesson 07. (If there's none, a short training makes one now.) It looks at the images
# of the validation set, none of which it was trained on.

# %% tags=["setup"]
from coursekit.lessons import my_workbook, quick
from coursekit.lessons.experiments import annotation_ids, expected_ap, faults
from coursekit.lessons.experiments import examined_detections, lesson07_run, one_class, other_seeds

data = os.environ.get("COURSEKIT_DATA", "mini")
train_set, unseen = load(data, "train"), load(data, "val").head(quick(120, 12))
detector = lesson07_run.first_run(my_workbook, data)
own, detections = examined_detections.examined(detector, unseen)  # boxes, labels, scores per image
shown = examined_detections.fullest(detections)  # the image with the most confident detections

# %% [markdown]
# How good is it? **Guess its AP50**, a number from 0 to 1.

# %% tags=["write"]
my_ap50 = 0.5  # yours

# %% [markdown]
# Now something odd. The same detections are written into two files, and both files are scored.

# %% tags=["read"]
one_file, other_file = examined_detections.write_twice(detections, unseen)  # a list of records each
ap50, other_ap50 = score(one_file, unseen)["AP50"], score(other_file, unseen)["AP50"]
print(f"AP50 {ap50:.2f} and {other_ap50:.2f}; your guess was {my_ap50:.2f}")

# %% tags=["call"]
panel = examined_detections.panel(unseen, shown, detections[shown])
titles = f"one file: AP50 {ap50:.2f}", f"the other: AP50 {other_ap50:.2f}"
show.image_row(dict.fromkeys(titles, panel), "The same boxes twice.")

# %% [markdown]
# Same boxes, same names, two scores. **What differs between the files?** Write down a guess. In twenty minutes you'll know.

# %% tags=["write"]
my_guess = "the boxes are …"  # yours

# %% [markdown]
# ## 9.1 · From a detection to COCO's file · 20 min
#
# COCO wants one flat list for all images, with a small record for each detection. Below is what your detector says about one image, and how
# COCO writes an object. **Find three differences** before you read on.

# %% tags=["read"]
print("detector:    ", {name: value[:2] for name, value in detections[shown].items()})
print("ground truth:", examined_detections.first_object(unseen, shown))
labels = sorted({*range(1, 6), *detections[shown]["labels"][:2].tolist()})
print("label → category id:", {n: unseen.category_ids[n - 1] for n in labels}, "…")

# %% [markdown]
# - **The class.** Your detector counts its classes 1, 2, 3, … without gaps. COCO's category ids have gaps, because some classes
#   were dropped from the list long ago. Both are whole numbers, so nothing fails if you mix them up.
# - **The box.** Two corners here; left, top, width, height there.
# - **The image.** A detector doesn't know which image it looks at. The record needs COCO's image id, not the position in the data
#   set.
#
# There's a fourth one that you can't see: the box must be in **pixels of the original image**. Ours is, because in lesson 07 the
# detector scaled its boxes back.
#
# ### Exercise 9.1 · `to_coco_results` · ●○○ · 15 min · delegate
#
# Mind two things. The file is JSON, and JSON has no tensors, only plain numbers. And *all* detections go in, also those with low
# scores: in 9.4 you'll see what leaving them out costs.


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

# %% [markdown]
# An assistant may write this one. Then the test is yours: **add inputs until no wrong version gets through.** Each input is a tuple of
# arguments. What about two images, ids with gaps, a box between pixels, an image without detections? If you're stuck, the button gives one away,
# then the next. Its arguments are in the variable `missed`.

# %% tags=["write"]
import torch

detection = {"boxes": torch.tensor([[10.0, 20, 40, 80]]), "labels": torch.tensor([1])}
detection["scores"] = torch.tensor([0.75])
catch("to_coco_results", ([detection], [7], [3]))  # yours: more inputs

# %% [markdown]
# Back to the two files. Does your guess hold?

# %% tags=["read"]
results = to_coco_results(detections, unseen.image_ids, unseen.category_ids)
same = sum(a["category_id"] == b["category_id"] for a, b in zip(one_file, other_file))
print(f"{same:,} of {len(results):,} have the same category id in both files; you said: {my_guess}")
print(f"one file:       {one_file[0]}\nthe other file: {other_file[0]}")

# %% [markdown]
# The other file has **labels** where category ids belong. A picture can't show it, because a picture is drawn with labels. You'll
# meet this fault again in 9.8, with seven others.
#
# ## 9.2 · True positive or false positive? · 36 min
#
# A detection is a **true positive** if it overlaps an object of its class by at least an **IoU threshold** (0.5, say), and no
# detection with a higher score has taken that object. Otherwise it is a **false positive**. An object that nobody takes is missed:
# a **false negative**.
#
# A tiny example: two dogs, a pack of dogs marked as a crowd, and six detections called "dog". (Move a box if you like, and run both
# cells again.)

# %% tags=["write"]
import numpy as np

dogs = np.array([[10.0, 10, 40, 40], [60, 14, 36, 40], [110, 8, 80, 50]])  # xywh
is_crowd = np.array([False, False, True])
boxes = np.array([[14.0, 12, 40, 40], [8, 8, 40, 38], [64, 30, 36, 40], [115, 15, 20, 30]])
boxes = np.vstack([boxes, [[150, 20, 22, 30], [62, 12, 36, 40]]])
scores = np.array([0.95, 0.90, 0.80, 0.70, 0.60, 0.40])

# %% tags=["call"]
show.detections_and_objects(boxes, scores, dogs, is_crowd)

# %% [markdown]
# **Decide for each detection, with a pencil:** true positive (T), false positive (F), or does it not count at all (-)?

# %% tags=["write"]
my_verdicts = "??????"  # yours, from detection 0 to 5

# %% [markdown]
# Here are the overlaps, computed with two functions of yours.

# %%
recall("xywh_to_xyxy", "box_iou")

# %% tags=["read"]
from my_detector import box_iou, xywh_to_xyxy

ious = box_iou(xywh_to_xyxy(torch.tensor(boxes)), xywh_to_xyxy(torch.tensor(dogs)))
print("              left dog  right dog  crowd")
for number, (left, right, crowd) in enumerate(ious.tolist()):
    print(f"{number}: score {scores[number]:.2f} {left:6.2f} {right:10.2f} {crowd:8.2f}")

# %% [markdown]
# Three rules decide.
#
# **The highest score chooses first.** Detection 1 fits the left dog better than detection 0 does. But 0 has the higher score, so it
# takes the dog. Detection 1 comes too late: it's a **duplicate**, a false positive. (That's what NMS is for.)
#
# **It takes the free object that it overlaps most.** If its best object is taken, it may take another one that it overlaps enough.
#
# **A crowd forgives.** Nobody knows how many dogs are in that pack, so a detection there is neither true nor false: it's
# **ignored**. A small box in a large crowd has a tiny IoU, as you see above. So for crowds the overlap is divided by the area of the
# **detection** alone: what share of it is inside? A crowd can be taken any number of times, but only by detections for which no
# object is left.
#
# ### Exercise 9.2 · `match_detections` · ●●● · 30 min · by hand
#
# The overlaps are given in the cell, with crowds already in them. The rest is a loop over the IoU thresholds, and in it one over the
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

# %% tags=["read"]
matches = match_detections(boxes, scores, dogs, is_crowd, np.array([0.5, 0.8]))
what = ["true (left dog)", "true (right dog)", "ignored (crowd)", "false"]  # -1 is the last
print("detection   IoU threshold 0.5    IoU threshold 0.8    you")
for number, (half, strict, mine) in enumerate(zip(*matches, my_verdicts.ljust(6))):
    print(f"{number}: {scores[number]:.2f}     {what[half]:20} {what[strict]:20} {mine}")

# %% [markdown]
# Look at detection 5: it has the lowest score of all, and at 0.8 it is the only true positive left.
#
# **Your turn to test.** The input below catches only some of the wrong versions of `match_detections`. Add inputs until none gets
# through: a second choice, a crowd, an overlap of exactly 0.5, some forty detections that share three scores, …

# %% tags=["write"]
no_crowd = np.zeros(2, bool)
catch("match_detections", (boxes[:2], scores[:2], dogs[:2], no_crowd))  # yours: more inputs

# %% [markdown]
# ## 9.3 · Precision and recall · 15 min
#
# Take the detections again, best score first, without the two in the crowd. At IoU 0.5 they are: true, false, false, true. There
# are two dogs to find. If you keep only the first detection, everything you keep is correct, but one of two dogs is missed. If you
# keep all four, both dogs are found, but half of what you keep is wrong.
#
# - **Precision** is the share of the kept detections that are true positives.
# - **Recall** is the share of the objects that were found.
#
# **Write down both, after each of the four detections.** Does precision only fall?

# %% tags=["write"]
my_precision = [1.0, 0, 0, 0]  # yours
my_recall = [0.5, 0, 0, 0]  # yours

# %% [markdown]
# ### Exercise 9.3 · `precision_recall` · ●○○ · 10 min · by hand

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

# %% tags=["read"]
tiny = np.array([True, False, False, True])
curve = precision_recall(tiny, 2)
print("precision", curve[0].round(2).tolist(), "you:", my_precision)
print("recall   ", curve[1].round(2).tolist(), "you:", my_recall)

# %% [markdown]
# Recall never falls. Precision falls with each false positive and *rises* with each true one, unless it is 1 already: look at the
# last step, from 0.33 to 0.5.
#
# Now your detector: all detections of one class, from all images, in one list. Your `match_detections` has matched each **in its own image**;
# now they are sorted by score ([the code](../src/coursekit/lessons/experiments/one_class.py)). Move the slider; the arrow keys work, too.
# **Where would you put it** to search for missing people? Where in a machine that sorts apples?

# %% tags=["call"]
chosen, name = one_class.best_found_class(results, unseen)  # most true positives
outcomes = one_class.outcomes_of_class(results, unseen, chosen, match_detections=match_detections)
show.explore_curve(*outcomes, precision_recall=precision_recall, title=name)

# %% [markdown]
# Each position of the slider is a different detector to ship. A score shouldn't depend on where somebody left a slider, so the
# whole **curve** is scored.
#
# ## 9.4 · Average precision · 23 min
#
# The area under the curve, then? Almost. The curve is a sawtooth: precision drops at each false positive and climbs at the next
# true positive. Where the teeth fall is partly luck. So at each recall COCO takes **the highest precision at that recall or
# beyond**. That's fair: by accepting more detections you'd get both. Here's the curve for the two dogs, filled by hand. **Guess its mean
# height.**

# %% tags=["write"]
filled = [1.0] * 51 + [0.5] * 50  # at recall 0.00 … 0.50, and at 0.51 … 1.00
my_height = 0.6  # yours: what is the mean height of the filled curve?

# %% tags=["call"]
show.filled_curve(*curve, filled)

# %% [markdown]
# COCO reads the curve at **101 points**, at recall 0.00, 0.01, … 1.00, and takes the mean. For the two dogs that's
# (51 × 1 + 50 × 0.5) / 101. A recall that is never reached counts 0. That's why leaving out detections with low scores can't help:
# the curve ends earlier, and beyond its end are zeros.
#
# ### Exercise 9.4 · `average_precision` · ●●○ · 20 min · by hand
#
# Three steps: fill the teeth; for each of the 101 recalls, find the first place where the curve has reached it; take the mean. It
# can be done without a loop.

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

# %% tags=["read"]
by_hand, mine = (51 * 1 + 50 * 0.5) / 101, average_precision(*curve)
print(f"two dogs: by hand {by_hand:.4f}, yours {mine:.4f}; you had guessed {my_height:.2f}")

# %% [markdown]
# And your detector? One class, three IoU thresholds. The detections are the same in all three curves.

# %% tags=["call"]
parts = match_detections, precision_recall, average_precision
one_class.compare_iou_thresholds(results, unseen, chosen, (0.5, 0.65, 0.8), parts)

# %% [markdown]
# The stricter the threshold, the fewer true positives. COCO's AP is **the mean over ten thresholds**, from 0.50 to 0.95. It
# asks not only *what* is there, but *where exactly*.

# %% [markdown]
# ## 9.5 · mAP, the mean of means · 33 min
#
# Each class has its AP, and the score is the plain mean over the classes: a rare class counts as much as a common one. Most people call this
# **mAP**, mean average precision. COCO calls it just AP. Your detector's AP50 is such a mean. **How far apart are its best
# and its worst class?**

# %% tags=["write"]
my_gap = 0.3  # AP50 of the best class minus that of the worst, yours

# %% tags=["call"]
gap = one_class.compare_classes(results, unseen, train_set)
print(f"best minus worst {gap:.2f}, your guess {my_gap:.2f}")
print(examined_detections.who_is_it(own, one_file), end="")

# %% [markdown]
# Is the worst class hard, or is it rare in training? And what is the AP of a class that isn't there? Not 0: nothing was missed. It
# has no AP. COCO writes **−1** and leaves the class out of the mean.
#
# Two more things, and you have all twelve numbers:
#
# - **Sizes.** AP_small scores objects of up to 32² pixels, AP_medium up to 96², AP_large from there on. (The area is that of the
#   outline, not of the box.) Objects of other sizes are *ignored*, as crowds are. So are detections of other sizes that match nothing.
# - **Recall.** AR_1, AR_10 and AR_100 (average recall) are the highest recall with the 1, 10 or 100 best detections of each class in each
#   image, as a mean over thresholds and classes.
#
# ### Exercise 9.5 · `coco_map` · ●●● · 25 min · delegate
#
# The tedious part is given: `outcomes` says what became of each detection of a class, at each IoU threshold, for objects of some
# size. You write the rest: the curves, AP and recall from them, and the means. You'll call three of your functions.

# %%
recall("match_detections", "precision_recall", "average_precision")

# %% [markdown]
# (In the check's messages, a row of `detections` is image, class, left, top, width, height, score. A row of `objects` is image,
# class, the box, its area, and 1 for a crowd.)

# %%
# %%exercise coco_map
import numpy as np

from my_detector import average_precision, match_detections, precision_recall

IOUS = np.linspace(0.5, 0.95, 10)  # AP50 is at index 0, AP75 at index 5
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
# This one may be delegated, too, so the test is yours again. **Add inputs until no wrong version gets through.** The rows are those
# of the check's messages. The input below has three sizes and three classes, one of them without detections, one without objects. What about
# no objects at all? An area of exactly 32²? An outline smaller than its box? More than 10, more than 100 detections in one image? A second
# image?

# %% tags=["write"]
small, medium, large = (5, 5, 20, 20), (50, 50, 60, 50), (100, 100, 200, 150)
objects = [[1, 3, *small, 400, 0], [1, 3, *medium, 3000, 0], [1, 7, *large, 30000, 0]]
found = [[1, 3, *small, 0.9], [1, 3, 200, 5, 20, 20, 0.8], [1, 3, 50, 50, 60, 37, 0.7]]
category_ids, image_ids = [3, 7, 9], [1]
catch("coco_map", (found, objects, category_ids, image_ids))  # yours: more inputs

# %% [markdown]
# Now the proof. **pycocotools** is COCO's own program, the one that papers are scored with. It reads two files. **How many digits
# will agree with yours?**

# %% tags=["call"]
yours = coco_map(results, unseen)
truth_file, results_file = examined_detections.write_coco_files(results, unseen)

# %% tags=["read"]
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

truth = COCO(truth_file)
found = truth.loadRes(results_file)
evaluator = COCOeval(truth, found, "bbox")
evaluator.evaluate()
evaluator.accumulate()
evaluator.summarize()

# %% [markdown]
# That's all it takes: eight lines, without this course. They are beside your notebooks as `evaluate_coco.py`, for the next project:
#
#     python evaluate_coco.py runs/09/ground_truth.json runs/09/detections.json
#
# pycocotools rounds what it prints. Here are the same numbers beside yours. **How far apart is too far?**

# %% tags=["write"]
largest_difference = 1e-9  # yours: above this, one of the two programs is wrong

# %% tags=["read"]
for (metric, value), theirs in zip(yours.items(), evaluator.stats.tolist()):
    print(f"{metric:10} {value:7.4f} {theirs:10.4f}")
apart = max(abs(value - theirs) for value, theirs in zip(yours.values(), evaluator.stats))
print(f"largest difference {apart:.1e}; within your limit: {apart <= largest_difference}")

# %% [markdown]
# All twelve agree; what is left is rounding in the last of sixteen digits. From here on we use `score`, which gives the same numbers faster.
#
# ## 9.6 · Which number do I report? · 5 min
#
# - **AP**, on validation images that the detector was never trained on. It's COCO's mAP; write "AP" or "mAP@[.50:.95]", never just "mAP". Say
#   what belongs to it: data set, number of images, classes, input size, pretrained weights, epochs.
# - **AP50** beside it. PASCAL VOC's mAP is a mean AP at IoU 0.5, so older papers say "mAP" for something close to AP50. Many arguments
#   about scores are two people with two numbers of the same name.
# - **Precision and recall at the score threshold you ship**, if the detector goes into a product. AP says nothing about any one threshold,
#   because it looks at all of them.
# - Not: a score on training images, the best of twenty tries on one validation set, or an AP of detections from which those
#   below 0.5 were dropped.
#
# **Which AP should you expect?** That depends mostly on the data and on how long you train. What this course's code has reached so far,
# on two CPU cores:

# %% tags=["call"]
expected_ap.print_expected()

# %% [markdown]
# So a small AP on a small set of photographs needn't be a bug. How can you tell? Overfit 16 images, as in lesson 07: a correct detector
# gets nearly all of them right. The rest is data and time. **Write the line that you would put into a report.**

# %% tags=["write"]
my_line = f"AP {yours['AP']:.3f} on …"  # yours: what does a colleague need to compare?
print(my_line)

# %% [markdown]
# ## 9.7 · Errors have kinds · 7 min
#
# A score says how ill the patient is, not what's wrong. So each error gets a **kind**, and the cost of a kind is how much
# AP50 would rise if it alone were fixed (Bolya et al., *TIDE*, 2020):
#
# - *classification*: on an object, but with the wrong class;
# - *localization*: the right class, but too far off the object;
# - *both*: too far off, and the wrong class;
# - *duplicate*: on an object that is already found;
# - *background*: on no object;
# - *missed*: an object without any of these boxes.
#
# **Which kind costs your detector most?**

# %% tags=["write"]
my_kind = "missed"  # yours

# %% tags=["call"]
report = split_errors(results, unseen)
show.error_costs(report)
print(f"costliest: {report.costliest}; you said {my_kind}")

# %% [markdown]
# Look at the counts, too. The kind with the most errors needn't be the one that costs most. A thousand boxes with low scores at the end of the
# list cost next to nothing; one false positive at the top costs a lot.
#
# **Which classes** does it confuse? A row is what an object is, a column what it was detected as. The last column is what was missed; the
# last row is what was detected where there is nothing. Only detections from some score on are counted. Which score is up to you.

# %% tags=["write"]
my_threshold = 0.3  # yours

# %% tags=["call"]
show.confusions(results, unseen, my_threshold)

# %% [markdown]
# Would *you* have confused the same classes? And **which images** are worst?

# %% tags=["call"]
show.worst_images(results, unseen, 3, my_threshold)

# %% [markdown]
# Ten minutes with such pictures tell you more than a week with a single number. **What would you fix first, and why:** the most frequent
# error, the costliest, or the one that is easiest to fix?

# %% tags=["write"]
my_first_fix = "…, because …"  # yours; a line for your journal

# %% [markdown]
# ## 9.8 · Eight ways to get about 0, or −1 · 18 min
#
# "My AP is 0, and the boxes look perfect." It's the most frequent question about evaluation in every detection library. The cause is
# nearly always one of a handful, and none of them is in the model. Here are seven. Each changes every record a little, and nothing crashes.

# %% tags=["variants"]
ids, image_ids = unseen.category_ids, unseen.image_ids
sizes = {id_: unseen.size(position) for position, id_ in enumerate(image_ids)}  # (height, width)


def box(change):
    """A fault that changes a box; it gets its four numbers, and height and width of the image."""
    return lambda record: record | {"bbox": change(*record["bbox"], *sizes[record["image_id"]])}


def following(values, value):
    return values[(values.index(value) + 1) % len(values)]


plant = {
    "labels": lambda record: record | {"category_id": ids.index(record["category_id"]) + 1},
    "next class": lambda record: record | {"category_id": following(ids, record["category_id"])},
    "next image": lambda record: record | {"image_id": following(image_ids, record["image_id"])},
    "corners": box(lambda x, y, w, h, *_: [x, y, x + w, y + h]),
    "swapped": box(lambda x, y, w, h, *_: [y, x, h, w]),
    "shares": box(lambda x, y, w, h, height, width: [x / width, y / height, w / width, h / height]),
    "resized": box(lambda x, y, w, h, *size: [side * 512 / max(size) for side in (x, y, w, h)]),
}

# %% [markdown]
# Four of them move the boxes. This is how COCO reads the six best boxes of one image then; white is outside of the image. **Which of the four
# would you see in a list of numbers?**

# %% tags=["call"]
faults.show_faults(results, unseen, shown, {name: plant[name] for name in list(plant)[3:]})

# %% [markdown]
# In a list you'd see "shares": no number is above 1. The other three look like boxes.
#
# `diagnose` is the doctor for this: it undoes each known cause as a trial, and names it if that makes many more objects match.
# **Which of the seven leaves most of the score?**

# %% tags=["write"]
my_mildest = "swapped"  # yours

# %% tags=["call"]
faults.diagnose_faults(results, unseen, plant, my_mildest)

# %% [markdown]
# A diagnosis comes with evidence and a cure. Choose a fault and read it. (A size that it names is an estimate from the boxes.)

# %% tags=["write"]
faults.print_findings(faults.spoil(results, plant["resized"]), unseen)  # yours: any of the seven

# %% [markdown]
# ### Exercise 9.8 · `fix_results` · ●●○ · 10 min · explain only
#
# Now you're the doctor. You get a file with one of four faults: "labels", "corners", "shares" or "resized". Undo it. You've seen
# above what each of them did to a record.


# %%
# %%exercise fix_results
def fix_results(results, fault, sizes, category_ids):
    """Undo a fault that all of these detections have.

    Args:
        results: a list of detections in COCO's format but for the fault. Don't change them.
        fault: what is wrong with each record:
            "labels": its category_id is the label, counted from 1.
            "corners": its bbox is x1, y1, x2, y2.
            "shares": its bbox is xywh in shares of the image's width and height, from 0 to 1.
            "resized": its bbox is xywh in pixels of an image resized to a long side of 512.
        sizes: image id → (height, width) in pixels of the original image.
        category_ids: COCO's id of label 1, of label 2, and so on.

    Returns:
        A list of new records in the order given, with all their fields. bbox is xywh in pixels of
        the original image, not rounded.

    Example:
        A bbox [10, 20, 40, 60] with fault "corners" becomes [10, 20, 30, 40].
    """
    ### BEGIN SOLUTION
    fixed = []
    for record in results:
        height, width = sizes[record["image_id"]]
        category_id, (x, y, w, h) = record["category_id"], record["bbox"]
        if fault == "labels":
            category_id = category_ids[category_id - 1]
        elif fault == "corners":
            w, h = w - x, h - y
        elif fault == "shares":
            x, y, w, h = x * width, y * height, w * width, h * height
        elif fault == "resized":
            scale = max(height, width) / 512
            x, y, w, h = x * scale, y * scale, w * scale, h * scale
        fixed.append(record | {"category_id": category_id, "bbox": [x, y, w, h]})
    return fixed
    ### END SOLUTION


# %%
check("fix_results")

# %% [markdown]
# Do your four cures bring back the score to the last digit?

# %% tags=["call"]
four = {name: plant[name] for name in ("labels", "corners", "shares", "resized")}
faults.mend_all(results, unseen, four, lambda wrong, fault: fix_results(wrong, fault, sizes, ids))

# %% [markdown]
# **The eighth is −1.** It's no fault at all, once you know it: a class without objects in these images. It becomes a fault
# where somebody takes the mean over classes by hand, with the −1 in it.

# %% tags=["call"]
faults.mean_with_minus_1(results, unseen)

# %% [markdown]
# **Strangely low, but not 0.** Two more that you'll meet: detections of a part of the images, scored against all of them, and scores that
# say nothing. **What will the second do to AP?**

# %% tags=["write"]
my_prediction = "0, because …"  # yours: what happens to AP50 if every score is 1?

# %% tags=["call"]
part = unseen.head(len(unseen) // 4)
strange = {
    "a quarter of it": [record for record in results if record["image_id"] in part.image_ids],
    "every score 1": [record | {"score": 1.0} for record in results],
}
faults.explain_all(strange, unseen, my_prediction)
print(f"the quarter, scored alone: AP50 {score(strange['a quarter of it'], part)['AP50']:.3f}")

# %% [markdown]
# The order of the boxes is all that AP sees of the scores. If they're all equal, the order is luck.
#
# ## 9.9 · Is run B better than run A? · 8 min
#
# You change something, the score rises by 0.01, you're happy. But other images would have given another number. How different? We can't
# draw new images from the world, but we can draw from those we have: as many as there are, **with replacement**, so that some come
# twice and some not at all. Score both runs on the same draw, and do that 200 times. The middle 95 % of the differences are the
# **interval**. If it holds 0, these images can't tell the runs apart. (This is called a **bootstrap**.)
#
# Two new runs: your detector, trained a little further. They differ in nothing but the seed, which decides what is mirrored, sampled and
# shown first.

# %% tags=["call"]
seed_1 = other_seeds.trained_further(detector, train_set, unseen, seed=1)
seed_2 = other_seeds.trained_further(detector, train_set, unseen, seed=2)

# %% [markdown]
# Two more aren't trained at all: one has another NMS threshold, and one keeps only detections with a score of at least 0.3. That makes five
# comparisons. In each pair below, the first run is A and the second is B. The picture has two intervals for each pair, of AP and of AP50.
# **How many of the five intervals of AP will hold 0?**

# %% tags=["write"]
my_count = 3  # yours

# %% tags=["variants"]
lenient = other_seeds.with_options(detector, box_nms_thresh=0.7)
pairs = {
    "trained further, seed 1": (own, seed_1),
    "trained further, seed 2": (own, seed_2),
    "seed 2 against seed 1": (seed_1, seed_2),
    "NMS at 0.7, not 0.5": (own, predict_dataset(lenient, unseen)),
    "only scores from 0.3": (own, [record for record in own if record["score"] >= 0.3]),
}

# %% tags=["call"]
other_seeds.compare_all(pairs, unseen, my_count, draws=quick(200, 40))

# %% [markdown]
# Take your time with this one.
#
# - **The third row is the yardstick.** Two runs that differ only in their seed. Whatever you change must beat *that*, not only 0. The
#   interval is about other images and knows nothing about other seeds. So train at least twice before you believe in a small gain.
# - **AP and AP50 answer two questions.** Does a run find more, or does it place its boxes better? One number hides which.
# - **Small changes can be certain.** Leaving out detections with low scores can't raise AP on any set of images, so all draws agree on the
#   sign. What matters is how large a change is *and* how much the images agree on it.
#
# And a look behind one number: the same two seeds, class by class. The largest changes come first. **How many classes do you want to see?**

# %% tags=["write"]
other_seeds.compare_by_class(seed_1, seed_2, unseen, most=3)  # yours: another number

# %%
journal("09")

# %% [markdown]
# ## What could go wrong · 5 min
#
# Four reports by people who had searched for a long time.
#
# - AP is 0, though the predictions look good ([maskrcnn-benchmark, issue
#   539](https://github.com/facebookresearch/maskrcnn-benchmark/issues/539)). Which of the eight would you test first?
# - The categories were listed in another order, and mAP became 0 ([mmdetection, issue
#   2916](https://github.com/open-mmlab/mmdetection/issues/2916)).
# - All twelve numbers are −1 ([ssd_keras, issue 334](https://github.com/pierluigiferrari/ssd_keras/issues/334)): scored on COCO's test
#   images, whose ground truth isn't public.
# - Two boxes, found perfectly, and AP isn't 1 ([cocoapi, issue 672](https://github.com/cocodataset/cocoapi/issues/672)). Their
#   annotations are numbered from **0**. pycocotools keeps, for each detection, the id of the object it took, and 0 means "none".
#   Here are two such boxes ([the code](../src/coursekit/lessons/experiments/annotation_ids.py)).

# %% tags=["call"]
for first_id in (0, 1):
    print(f"annotation ids from {first_id}: AP {annotation_ids.two_perfect_boxes(first_id):.3f}")

# %% [markdown]
# One test finds all of these in a minute: **score the ground truth itself**, written as detections, with your whole chain. It must
# give 1. Does it here? And if one thing in the chain is wrong?

# %% tags=["write"]
planted = "corners"  # yours: any of the seven

# %% tags=["read"]
targets = map(unseen.target, range(len(unseen)))
perfect = [target | {"scores": torch.ones(len(target["labels"]))} for target in targets]
gt_as_results = to_coco_results(perfect, unseen.image_ids, unseen.category_ids)
print(f"the ground truth itself: AP {score(gt_as_results, unseen)['AP']:.3f}")
print(f"with {planted}: AP {score(faults.spoil(gt_as_results, plant[planted]), unseen)['AP']:.3f}")

# %% [markdown]
# ## What you learned
#
# A detection is a true positive if it overlaps an object of its class by enough, and no detection with a higher score has taken that
# object. In the order of the scores, precision and recall make a curve. Filled and read at 101 points, it's AP. The score, mAP, is a mean over IoU
# thresholds and classes, without the classes that aren't there. A score of 0 with good pictures is nearly always a fault of the file. Errors have
# kinds, and each kind has a cost. And a change is a number *with an interval*, to be compared with the change that another seed makes.
#
# **Three questions to think about**
#
# <details><summary>1. You double every detection, the copy with half the score. What happens to AP?</summary>
#
# Each copy is a false positive, because its object is taken. Copies of confident detections land among the less confident ones, so precision
# falls there, and AP with it. How much depends on how many true positives come after the copies. Copies below *all* others cost
# nothing.
#
# </details>
# <details><summary>2. All scores are squared. Does AP change?</summary>
#
# No. Only the order counts, and squaring numbers from 0 to 1 keeps it. AP doesn't say whether a score of 0.8 is right eight times
# out of ten.
#
# </details>
# <details><summary>3. Your AP_small is −1 on one subset, and a colleague's mean over her subsets is 0.02 lower than yours. Why might that be?</summary>
#
# Perhaps she took the mean with the −1 in it, for subsets without small objects. Or other classes are missing in hers. A mean over
# what is there depends on what is there.
#
# </details>
#
# **Next: 10 · Your detector.** A question, a subset, a run of your own, and one improvement that you prove or disprove, with an
# interval.
#
# **Read on:** T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, and cocodataset.org, "Detection evaluation" · D.
# Bolya et al., *TIDE: A General Toolbox for Identifying Object Detection Errors*, 2020, section 2 · B. Efron and R. Tibshirani, *An
# Introduction to the Bootstrap*, 1993, chapter 13 · M. Everingham et al., *The PASCAL Visual Object Classes (VOC) Challenge*, 2010,
# section 4.2, for AP as it was before COCO.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 175, of which 110 are exercises. `match_detections` takes longest; let people judge the six detections on paper first.
# `coco_map` is bookkeeping: two tables filled with −1, and means over what is there. It may be delegated, and then `catch` is the work.
#
# **What people get wrong.** `to_coco_results`: labels left as they are; tensors in the records. `match_detections`: no second
# choice; one list of free objects for all thresholds; a strict comparison. `average_precision`: filled from the wrong end; recalls
# that are never reached left out. `coco_map`: a −1 in the mean, or a class that was never detected left out. `fix_results`: one size for all images.
#
# **Questions to ask.** Why does the best-fitting detection lose against one with a higher score, and would it be better otherwise? Which of the
# eight faults would a picture show, which not? What would you need to see to believe in a gain of 0.005?
