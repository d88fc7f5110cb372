# %% [markdown]
# # 12 · Ship it
#
# **90 minutes, optional · you need lessons 05 and 07 (of 01 one function: yours, or the course's) · no GPU needed**
#
# Your detector finds things, as long as somebody has Python, PyTorch, your package, and the patience to install them. The people you'd like
# to show it to have none of these. In this lesson it becomes **one file** that runs without PyTorch: in a program of any language, on a
# phone, or in a web page that draws boxes around what your webcam sees.
#
# Most of what goes wrong on the way is silent. There's no error, only worse boxes. So half of this lesson is about what happens *around* the
# detector.
#
# When you're done, you can
#
# - prepare an image exactly as training did, and write a test that notices when somebody doesn't,
# - bring boxes back to the pixels of the picture they belong to,
# - say why a graph can't hold your `nms`, and write one that it can hold,
# - export a detector as one file, prove that it finds the same, and say how fast it is.
#
# If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import os

import coursekit.show as show
from coursekit.lessons import (
    catch,
    check,
    hint,
    journal,
    lesson_map,
    my_workbook,
    quick,
    recall,
    short_form,
)
from coursekit.lessons.experiments import drawn_scene, exported, graphs, to_install, wrong_inputs
from my_detector import nms, resize_with_boxes  # from lessons 05 and 01: yours, or the course's

lesson_map(12)

# %% [markdown]
# ## What does it need? · 4 min
#
# Take a run of yours. The detector of lesson 07 is there in any case: if you have none yet, a short training makes one now.

# %% tags=["write"]
my_run = "runs/07"  # or a run of lesson 10, such as "runs/mine"
my_scene = "🍎🛑🐻"  # any emoji

# %% tags=["call"]
data = os.environ.get("COURSEKIT_DATA", "mini")
detector, unseen = exported.load_my_run(my_run, my_workbook, data)
picture = drawn_scene.draw(my_scene)
drawn_scene.show_found(picture, {"your detector": (detector, unseen.classes)})
print(short_form(), end="")

# %% [markdown]
# Now you'd like a friend to see it, on a machine that has Python and nothing else. **How many megabytes do the packages take that your
# detector is made of?**

# %% tags=["write"]
my_megabytes = 50  # yours

# %% tags=["call"]
to_install.print_sizes(my_megabytes)

# %% [markdown]
# Training needs all of that: gradients, optimizers, a thousand operations. *Running* a trained detector needs only a list of operations and
# the weights. Such a list is called a **graph**, and a program that computes it is a **runtime**. The second line is the size of one,
# onnxruntime. **ONNX** is the format of its files.
#
# ## 12.1 · Into the detector · 38 min
#
# What happened to an image in training, before the first convolution saw it? Four things:
#
# 1. Its bytes were divided by 255.
# 2. It was **resized** to the largest size that fits into a square, such as 256 × 256: bilinearly, without smoothing, which libraries call
#    antialiasing. (The detector resizes by itself. It isn't your `resize_with_boxes` of lesson 01, which smooths.)
# 3. It was **normalized**: minus the mean, divided by the standard deviation, for each of red, green and blue.
# 4. It was **padded** with zeros, on the right and at the bottom.
#
# The weights expect that, to the letter. This part is not in the graph: anyone who runs your file must do it again, in their own language. If
# they do it differently, nothing crashes.
#
# ### Exercise 12.1 · `prepare_image` · ●●○ · 30 min · delegate
#
# Write it once in Python. It's the model for all others. An assistant may write it; then your part is the test below, for which there are
# 15 of the 30 minutes. Note that each side is rounded down to whole pixels, so the two factors of the scale differ a little. Floating point
# is part of the rule: 392 × (256 / 392) is a little less than 256, so it becomes 255.


# %%
# %%exercise prepare_image
import torch
import torch.nn.functional as F
from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of red, green, blue, from 0 to 1


def prepare_image(image: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[float, float]]:
    """Turn an image into the input of a detector, exactly as training did.

    Args:
        image: (3, H, W) uint8, red first.
        size: (height, width) of the input, in pixels.

    Returns:
        The input, (1, 3, height, width) float32: divided by 255; resized by the factor
        min(height / H, width / W), bilinearly and without antialias, each new side being
        `int(side * factor)`, in float64, but at least 1: 392 becomes 255 at a size of 256;
        normalized; then padded with zeros, on the right and at the bottom.
        The scale, two floats: new height / H and new width / W.
    """
    ### BEGIN SOLUTION
    height, width = image.shape[1:]
    factor = min(size[0] / height, size[1] / width)
    new_height, new_width = max(1, int(height * factor)), max(1, int(width * factor))
    resized = F.interpolate(image[None] / 255, (new_height, new_width), mode="bilinear")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    padding = (0, size[1] - new_width, 0, size[0] - new_height)  # left, right, top, bottom
    return F.pad((resized - mean) / std, padding), (new_height / height, new_width / width)
    ### END SOLUTION


# %%
check("prepare_image")

# %% [markdown]
# Your colleague has written it in JavaScript, and tries it on one picture of noise that happens to fit exactly. It passes. More than thirty wrong
# versions are waiting: blue before red, no normalization, another way to resize, gray padding, … **Add pictures and sizes until none of them
# gets through.** What must a picture be like, so that smoothing shows? So that a wrong side shows?

# %% tags=["write"]
# yours: more inputs
import torch


def noise(height, width):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


catch("prepare_image", (noise(64, 64), (64, 64)))

# %% [markdown]
# And what do such mistakes cost? Here are five, each with your `prepare_image` or the course's, which takes mean and std as arguments. **Which
# one costs most?**

# %% tags=["write"]
my_costliest = "blue first"  # yours: one of the names below

# %% tags=["variants"]
from functools import partial

from coursekit.export import prepare


def resized_before(image, size, new):
    """Prepare a picture that another program has resized: with your function of lesson 01, which smooths."""
    small, _ = resize_with_boxes(image, torch.empty(0, 4), new)
    batch, _ = prepare_image(small, size)
    return batch, (new[0] / image.shape[1], new[1] / image.shape[2])


def smoothed(image, size):
    factor = min(size[0] / image.shape[1], size[1] / image.shape[2])
    return resized_before(image, size, tuple(int(side * factor) for side in image.shape[1:]))


WAYS = {
    "as in training": prepare_image,
    "blue first": lambda image, size: prepare_image(image.flip(0), size),
    "0 to 1": partial(prepare.prepare_image, mean=(0, 0, 0), std=(1, 1, 1)),
    "0 to 255": partial(prepare.prepare_image, mean=(0, 0, 0), std=(1 / 255,) * 3),
    "stretched": lambda image, size: resized_before(image, size, size),
    "smoothed": smoothed,
}

# %% tags=["call"]
scores = wrong_inputs.score_each(detector, unseen.head(quick(60, 6)), WAYS, my_costliest)
show.score_bars(scores)
print(short_form(), end="")

# %% [markdown]
# Not one of them raised an error. That's the trouble: a detector that finds half as much still finds something, and anyone who looks at three
# pictures says "it works". A bar that's hardly shorter than the first one is the worst kind: nobody looks for a mistake that costs a few
# points. And what a mistake costs depends on the pictures. Those of `mini` are about as large as the input, so there's little to smooth. In a photograph of
# 4,000 pixels there's a lot.
#
# So compare **numbers, not pictures**: the same image in, the same tensor out, element by element. Your inputs for `catch` are such a test. Give
# them to the person who writes the next version.
#
# ## 12.2 · Out again · 12 min
#
# Boxes come out in pixels of the *input*. Your friend's photograph has 4,000 pixels, and part of the input is padding, where there is no
# photograph at all.
#
# ### Exercise 12.2 · `restore_boxes` · ●○○ · 10 min · explain only
#
# Bring them back. Which of the two factors belongs to x?


# %%
# %%exercise restore_boxes
import torch
from torch import Tensor


def restore_boxes(boxes: Tensor, scale: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """Move boxes from the pixels of a detector's input to those of the image.

    Args:
        boxes: (N, 4) xyxy in pixels of the input, on any device.
        scale: (vertical, horizontal), as `prepare_image` returns it.
        size: (height, width) of the image in pixels. Boxes are clipped there.

    Returns:
        (N, 4) xyxy in pixels of the image, of the same dtype.
    """
    ### BEGIN SOLUTION
    (vertical, horizontal), (height, width) = scale, size
    restored = boxes / boxes.new_tensor([horizontal, vertical, horizontal, vertical])
    restored[:, 0::2] = restored[:, 0::2].clamp(0, width)
    restored[:, 1::2] = restored[:, 1::2].clamp(0, height)
    return restored
    ### END SOLUTION


# %%
check("restore_boxes")

# %% [markdown]
# In and out again, both by hand: with your two functions around the detector, the boxes must be those of the detector's own way, which also
# resizes and restores. **How far apart will they be, at most, in pixels?**

# %% tags=["write"]
my_pixels = 0.5  # yours

# %% tags=["call"]
images = [unseen[position][0] for position in range(quick(20, 3))]
apart, count = wrong_inputs.largest_difference(detector, images, prepare_image, restore_boxes)
print(f"{count} boxes compared: at most {apart:.1g} pixels apart; you said {my_pixels:g}")

# %% [markdown]
# ## 12.3 · A graph knows no numbers · 27 min
#
# A graph is built **before** there is an image. torch runs your function once, on tensors that have shapes but no numbers, and writes down each
# operation. What comes out is a list: first this, then that. So three things have no place in it:
#
# - an `if` or a `while` that looks at a value,
# - a value that becomes a Python number: `item()`, `int(x)`, `tolist()`,
# - a shape that depends on values: `boxes[scores > 0.5]` has as many rows as there are good scores.
#
# Five small functions. **Which of them can become a graph of fixed shapes?**

# %% tags=["read"]
from coursekit.lessons.experiments import nms_speed

inputs = nms_speed.crowd(40)  # 40 boxes and their scores

FUNCTIONS = {
    "clamp": lambda boxes, scores: boxes.clamp(min=0),
    "a mask as index": lambda boxes, scores: boxes[scores > 0.5],
    "where": lambda boxes, scores: torch.where(scores > 0.5, scores, 0),
    "the best box": lambda boxes, scores: boxes[scores.argmax()],
    "if": lambda boxes, scores: boxes if scores.max() > 0.5 else -boxes,
}

# %% tags=["write"]
my_graphs = {
    "clamp": True,
    "a mask as index": True,
    "where": True,
    "the best box": True,
    "if": True,
}  # yours

# %% tags=["call"]
graphs.try_each(FUNCTIONS, inputs, my_graphs)
graphs.try_each({"your nms": lambda boxes, scores: nms(boxes, scores, 0.5)}, inputs)

# %% [markdown]
# `where` is the way out of an `if`: compute both, then choose. An index is fine, too, as long as the *shape* of what it picks is known: "the best
# box" is one box, whichever it is.
#
# Your `nms` returns as many positions as it keeps, so it's refused. ONNX has an operator for it, NonMaxSuppression, and the course's export uses
# it. But many runtimes don't have it, above all those for phones and for chips that want every shape in advance. For these you need an NMS of a
# **fixed length**: you say how many boxes you want, and where there are fewer, the rest is **padding**.

# %%
recall("box_iou", "nms")

# %% [markdown]
# ### Exercise 12.3 · `nms_padded` · ●●● · 25 min · by hand
#
# Think in rounds. How many are enough, whatever the scores are? What does a round do if no box is left? A score of −∞ says "there is no box":
# that's also how a box can vanish without a shape changing. Useful: `scores.max(0)` returns the best score and its position, of equal ones the
# first, and `scores.masked_fill(mask, value)`.


# %%
# %%exercise nms_padded
import torch
from torch import Tensor

from my_detector import box_iou


def nms_padded(boxes: Tensor, scores: Tensor, threshold: float, count: int) -> Tensor:
    """Apply non-maximum suppression in a graph: no shape and no branch depends on a number.

    Args:
        boxes: (N, 4) xyxy in pixels, on any device; N is at least 1.
        scores: (N,) float. −∞ says that there is no box: it is never kept and drops nothing. Of
            equal scores, the first comes first.
        threshold: a box is dropped if its IoU with a better box that is kept exceeds this.
        count: length of the result; it may be more than N.

    Returns:
        (count,) int64: the positions of the first `count` boxes that are kept, best first, then −1
        in the places that are left.
    """
    ### BEGIN SOLUTION
    drops = box_iou(boxes, boxes) > threshold  # (N, N)
    positions, kept = torch.arange(len(boxes), device=boxes.device), []
    for _ in range(count):
        score, best = scores.max(0)
        kept.append(torch.where(score > -torch.inf, best, -1))
        scores = scores.masked_fill(drops[best] | (positions == best), -torch.inf)
    return torch.stack(kept)
    ### END SOLUTION


# %%
check("nms_padded")

# %% [markdown]
# Does it keep the boxes that your `nms` keeps? And what does it cost? A loop of `count` rounds is written down round by round. **How many
# operations does the graph have for 10 places, and for 100?** (The second one takes up to half a minute.)

# %% tags=["write"]
my_operations = {10: 100, 100: 100}  # yours

# %% tags=["read"]
kept, padded = nms(*inputs, 0.1), nms_padded(*inputs, 0.1, 100)  # of 40 boxes
print(f"{len(kept)} boxes kept, then {(padded == -1).sum()} times −1")
print(f"the same boxes: {torch.equal(padded[padded >= 0], kept)}")
graphs.print_operations(nms_padded, inputs, my_operations)

# %% [markdown]
# That's the price of fixed shapes: the graph always does the work of the fullest image, and every round is in it. Keep `count` as small as your
# images allow.
#
# Your detector has an NMS in two places: for the proposals, and for the detections of each class. Here's the whole of it with fixed shapes, still
# in PyTorch: once with the operator, once with your function in both places. **How many times as long does it take with yours?**

# %% tags=["write"]
my_times = 1.0  # yours

# %% tags=["call"]
exported.try_my_nms(detector, nms_padded, unseen.head(quick(10, 2)), my_times)
print(short_form(), end="")

# %% [markdown]
# For a runtime without NonMaxSuppression, this puts your function into the file. So many rounds make a long list: it takes several minutes.
#
#     from pathlib import Path
#     from coursekit.export.write_onnx import write_onnx
#
#     write_onnx(detector, unseen.classes, Path("padded.onnx"), nms=nms_padded)
#
# ## 12.4 · One file · 9 min
#
# Now all of it becomes one graph: backbone, FPN, RPN, both NMS, RoIAlign as your two matrix products of lesson 06 (they have fixed shapes and need
# no operator of their own), the box head. The image goes in as `prepare_image` makes it. What each stage finds comes out by name. **How large will
# the file be, with its weights, in megabytes?**

# %% tags=["write"]
my_file = 100  # megabytes; yours

# %% tags=["call"]
shipped = exported.export(detector, unseen.classes, my_file)
exported.compare(shipped, detector, unseen.head(quick(100, 4)))
print(short_form(), end="")

# %% [markdown]
# **Always compare, on real images.** "It exported without an error" says nothing about what the file finds. The last digits differ, because a
# runtime adds numbers in another order. If two scores are equal up to rounding, either box may come first.
#
# The stages, from the file alone. Look at how many boxes are left after each.

# %% tags=["call"]
exported.show_stages(shipped, picture)
print(short_form(), end="")

# %% [markdown]
# And the speed. onnxruntime has one job, and it knows all shapes in advance: it can merge operations and plan its memory. **How many times as fast
# is it on one thread?** The bars below also show whether a second thread helps both alike.

# %% tags=["write"]
my_ratio = 1.0  # times as fast as PyTorch, on one thread; yours

# %% tags=["call"]
show.image_times(exported.time_both(shipped, detector, picture, my_ratio, quick(15, 2)))

# %% [markdown]
# (Only the detector is timed, from the prepared image to its boxes. Preparing comes on top, for both.)
#
# From a terminal, the same is one command. It checks the file against PyTorch on 100 scenes, and says so. Another one writes a web page that runs
# it: a folder of plain files, with onnxruntime for browsers in it. Everything happens in the browser, and no picture leaves the machine.
#
#     coursekit export runs/07 --detector my_detector --out model.onnx
#     coursekit export runs/07 --detector my_detector --web page --serve
#
# Open the address that it prints, drop a picture on the page or turn the webcam on. Switch the stages on one by one: you've just drawn them. The
# page's own `prepare_image` is JavaScript; a test of the course compares it with Python's, number by number. You know why.
#
# Point the webcam at an emoji on your phone. Then at the room. **What does a detector find that has only ever seen drawings?**

# %%
journal("12")

# %% [markdown]
# ## What could go wrong
#
# - **"The exported model finds nothing."** Its Faster R-CNN wanted an image that was resized and normalized, red first
#   ([openvinotoolkit/mmdetection#20](https://github.com/openvinotoolkit/mmdetection/issues/20)). Another one read pictures with OpenCV, blue
#   first ([mmdetection#4777](https://github.com/open-mmlab/mmdetection/issues/4777)). A third had the colors and the mean right, and no division by
#   the standard deviation ([mmdeploy#421](https://github.com/open-mmlab/mmdeploy/issues/421)). Look at what goes in before you look at the graph.
# - **"The scores drift."** Training resized in one way, `predict()` in a second, and the example for ONNX in a third
#   ([rf-detr#1203](https://github.com/roboflow/rf-detr/issues/1203)).
# - **"One point is eight pixels off."** Antialiasing here, none there ([sleap-nn#672](https://github.com/talmolab/sleap-nn/pull/672)). A test that
#   compared both ways with numbers found it.
# - **"It's right for the picture that I exported with, and for no other."** An older exporter ran the model on one picture and wrote down what
#   happened, with that picture's scale as a constant ([pytorch#33443](https://github.com/pytorch/pytorch/issues/33443)). An exporter that works
#   without numbers would have refused. Be glad if yours does.
# - **"There are boxes at (0, 0)."** That's padding which nobody took out: `boxes[-1]` is the last box, not "no box".
#
# ## What you learned
#
# A trained detector is a list of operations and its weights. What's around it is half the work, and it fails silently: so test it with numbers. A
# graph is built before there are any, so it chooses with `where`, and it pads. And an export is done when its detections have been compared with
# those of the original.
#
# **Three questions to think about**
#
# <details><summary>1. Why isn't normalization part of the graph, so that nobody can forget it?</summary>
#
# It can be, and many people do it. It's two operations. Then anyone who runs the file must know that, too: normalized twice is as wrong as not at all.
# Resizing is harder to move inside, because the size of the picture isn't known in advance. Whatever you choose, write it into the file, as the
# course's export does with size, mean, std and the names of the classes.
#
# </details>
# <details><summary>2. Your graph keeps 100 boxes. An image has 130 objects. What happens?</summary>
#
# The 30 with the lowest scores are missing, without a word. In an image with 3 objects, 97 places are padding, and the work is the same. A fixed
# shape is a decision about your data.
#
# </details>
# <details><summary>3. The exported detector agrees with PyTorch's on 100 images of noise. What have you proved?</summary>
#
# Little. In noise it finds hardly anything, so NMS, clipping and the second stage have nothing to do. Compare on images like those that it will see.
#
# </details>
#
# **Next:** show it to somebody. Then take one thing that it got wrong back to lesson 10.
#
# **Read on:** the [ONNX operators](https://onnx.ai/onnx/operators/) (NonMaxSuppression, TopK, Where) · PyTorch,
# [torch.export](https://docs.pytorch.org/docs/stable/export.html), on what can't be exported · S. Ren et al., *Faster R-CNN*, 2015, section 3.3, for the numbers of proposals.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 90, of which 65 are exercises. The extra `export` must be installed (`pip install -e ".[export]"`); without it, 12.4 says so in one
# sentence and shows PyTorch's times only. The page needs the network once, for onnxruntime-web; after that it's in the cache.
#
# **What people get wrong.** `prepare_image`: padding before normalization, `antialias=True` out of habit, one factor for both axes. `restore_boxes`:
# vertical and horizontal. `nms_padded`: a `break` when nothing is left; −1 as "dropped", though scores may be logits; a box without area that isn't
# removed by its own IoU.
#
# **Questions to ask.** Who else prepares images in your project, and in which language? Which of the five mistakes would your tests have found? What
# would you do if a phone had 20 milliseconds for an image?
