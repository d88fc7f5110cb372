# %% [markdown]
# # 10 · Your detector
#
# **A project of half a day, about 270 minutes, 5 of them for this opening · you need lessons 07 and 09 · no GPU needed**
#
# You have every part of a detector. Now you do what people do with one: ask a question, choose data for it, train, look at the errors,
# change one thing, and say whether it helped, with an interval. What you hand in is a report, and half of it writes itself.
#
# When you're done, you can
#
# - turn a question into a recipe, a plan and a run,
# - write a checkpoint that survives a kill, and say how long a run on real COCO would take,
# - choose an improvement from the errors, and prove it or give it up,
# - say what is yours in all this, and show it.
#
# This notebook runs from top to bottom as it is. That's the first round, and it takes some minutes. Then it's yours. **Each choice is in a
# cell of its own that begins with `# my choice`.** Change it, and run on from there.
#
# If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import os

import coursekit.show as show
from coursekit.data import load
from coursekit.lessons import catch, check, hint, journal, lesson_map, my_workbook, quick, reference
from coursekit.lessons.experiments import costs_of_coco, drawn_scene, killed_run, lesson07_run
from coursekit.lessons.experiments import lesson10_questions, my_subset, paired_remedies, what_fits
from coursekit.lessons.experiments import resume_check, run_scores

lesson_map(10)

# %% [markdown]
# First a scene, and what your detector of lesson 07 makes of it. (If there is none, a short training makes one now.) It has learned all
# classes a little. **Where will it be wrong?**

# %% tags=["write"]
# my choice: a scene, in any emoji
my_scene = "🐈🐕🐎🐄🐻🛑"

# %% tags=["call"]
data = os.environ.get("COURSEKIT_DATA", "mini")
everything, generalist = load(data, "train"), lesson07_run.first_run(my_workbook, data)
picture = drawn_scene.draw(my_scene)
drawn_scene.show_found(picture, {"lesson 07's detector": (generalist, everything.classes)})

# %% [markdown]
# ## 10.1 · A question · 15 min
#
# "I train a detector" is no question. A question has an answer that you don't know yet, that a number can give, and that somebody
# would act on. Compare:
#
# - *How good is my detector?* Good for what, and compared with what?
# - *Does a detector that learns only four animals find them better than one that learned all classes?* Two runs, one difference, and a
#   use: to count cows, you need no stop signs.
#
# This notebook can answer three questions. Each is the difference of two scores, B minus A:
#
# | choice | question | A | B |
# |---|---|---|---|
# | `"few classes"` | Does a detector that learns only my classes find them better than one that learned all classes? | AP of lesson 07's detector | AP of mine |
# | `"small objects"` | How much better is my detector at large objects than at small ones? | AP_small | AP_large |
# | `"tight boxes"` | How much score does it lose if boxes must fit tightly? | AP75 | AP50 |
#
# Or ask **your own**. Then you'll say in 10.5 which two scores answer it. Which of COCO's twelve numbers would tell you whether one box per
# class is enough? Whether lesson 07's detector is better at small objects than yours?
#
# **Write a guess, too, before you've seen a number.** A wrong guess is worth more than none.

# %% tags=["write"]
# my choice: "few classes", "small objects", "tight boxes" or "my own"; and what I expect
my_choice = "few classes"
my_own_question = ""  # a sentence, if my choice is "my own"
my_guess = 0.05  # B minus A; may be negative
my_question = lesson10_questions.text_of(my_choice, my_own_question)
print(my_question)

# %% [markdown]
# ## 10.2 · A subset of your own · 30 min
#
# A **recipe** says which images, which classes, what size. If others have your recipe, they have your data. That makes an experiment
# repeatable. (The cells below explain the usual fields. Photographs have two more: `split_of` says from which of COCO's splits `train` and
# `val` are taken, and `licenses` which licenses are allowed, by COCO's numbers.)

# %% tags=["write"]
# my choice: a name, the classes, how many images
my_name = "four-classes"
my_classes = ["cat", "dog", "horse", "cow"]
if data != "mini":  # photographs: classes that a small extract has enough of
    my_classes = ["person", "bottle", "cup", "dining table"]
how_many = quick(0, 12)  # images to train on, and to test on; 0: all that show these classes

# %% tags=["write"]
# my choice: the other fields
my_recipe = f"""
source = "coco"          # laid out like COCO: photographs, or the drawn scenes
seed = 10                # of every random choice: the same recipe takes the same images
images = {{ train = {how_many}, val = {how_many} }}
classes = {my_classes}
balanced = false         # true: prefer images with the class that has the fewest so far
smallest_box = 0         # in pixels; smaller boxes are left out
crowds = "keep"
long_side = 0            # in pixels; 0: keep the files as they are
"""

# %% tags=["call"]
recipe_file, folder = my_subset.build_here(my_name, my_recipe, data)
train_set, unseen = load(folder, "train"), load(folder, "val")

# %% [markdown]
# The images come from the data on this machine. With a network they'd come from COCO, and only those that the recipe names:
#
#     coursekit data build four-classes.toml --dry-run     # how many, how large
#     coursekit data build four-classes.toml               # stop it any time; the same command goes on
#
# **Look at what you have before you train.** Is there enough of each class to learn? Is there enough to *test*? How small are the objects?

# %% tags=["call"]
my_subset.look_at(folder)

# %% [markdown]
# With few boxes to test on, the interval at the end is wide, whatever you do: of 20 objects, one more or less is 5 %. If there are too few,
# take another class, or more images for `val`.
#
# ## 10.3 · A plan for your card · 15 min
#
# What fits, and how long will it take? The planner answers the first, a stopwatch the second. No GPU here? Then plan for a card of 4 GB; the
# run uses the CPU all the same.

# %% tags=["write"]
# my choice: the memory of the card that I plan for, in GB
my_card = 4.0

# %% tags=["call"]
card = what_fits.print_plan(my_card, num_classes=len(my_classes))

# %% [markdown]
# The data is small here, and so is your time today: 256 pixels, 4 images a step, and the whole backbone stays as it was pretrained, as in
# lesson 07. On a card, take what the plan says.

# %% tags=["write"]
# my choice: the settings of the run
my_epochs = quick(3, 1)
my_batch, my_size = 4, 256
my_frozen = 8  # stages of the backbone that aren't trained: all of them

# %% tags=["call"]
speed = what_fits.images_per_second(
    train_set, batch=my_batch, size=my_size, frozen_stages=my_frozen
)
steps = my_epochs * -(-len(train_set) // my_batch)
expected = what_fits.duration(my_epochs * len(train_set) / speed)
print(f"{speed:.1f} images a second: about {steps} steps in {expected}")

# %% [markdown]
# (The run may take a few steps more: the images of a batch have the same shape, so some batches aren't full. Scoring after each epoch comes on
# top.) **How long would five times as many images and twelve epochs take on this machine?** Compute it in your head before you open a calculator.

# %% tags=["write"]
my_minutes = 100  # yours
print(f"{what_fits.duration(5 * len(train_set) * 12 / speed)}; you said {my_minutes} minutes")

# %% [markdown]
# ## 10.4 · A run that survives · 55 min
#
# A laptop sleeps, a server restarts, somebody trips over the cable. What must a **checkpoint** hold, so that a run goes on as if nothing had
# happened? The weights, of course. But AdamW also keeps two numbers for each weight, the scaler of float16 keeps its scale, and what is
# sampled depends on torch's random numbers: on the CPU, and on each GPU.
#
# And what if the process is killed *while* it writes? Write to another file, then rename it: that happens completely or not at all. Read with
# `weights_only=True`, or a file that somebody sent you can run any code.
#
# ### Exercise 10.4 · `save_and_resume` · ●●○ · 20 min · delegate
#
# The function is called again after each stop, with parts in any state. `path` is a `pathlib.Path`. Useful: `torch.get_rng_state()` and
# `torch.cuda.get_rng_state_all()`, which returns an empty list where there is no GPU; for each there's a `set_…`.

# %%
# %%exercise save_and_resume
import torch


def save_and_resume(path, parts, train_step, steps):
    """Train with a checkpoint after each step, resuming from the checkpoint if there is one.

    Args:
        path: path of the checkpoint, a pathlib.Path. Once there is one, it is complete at any
            moment: a new one is written to another file in the same folder, then renamed. No other
            file is left in the folder.
        parts: a dict of objects with `state_dict` and `load_state_dict` by name, such as model,
            optimizer and scaler. They are in their initial state, or in any state if there is a
            checkpoint.
        train_step: takes the number of the step, from 0. It may draw random numbers from torch, on
            CPU and GPUs.
        steps: total number of steps.

    Returns:
        The number of the first step that this call took; `steps` if none was left. A resumed run
        ends with exactly the same parts as one that was never stopped. Reading a checkpoint
        executes nothing that is in it.
    """
    ### BEGIN SOLUTION
    first = 0
    if path.exists():
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(content["parts"][name])
        torch.set_rng_state(content["random"])
        torch.cuda.set_rng_state_all(content["random_cuda"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),  # without a GPU: []
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
# An assistant may write this one. Then the test is yours: **add runs until no wrong version gets through.** A run is (steps, killed in step,
# how). *How* is one of `"between steps"`, `"while writing"` (killed while it writes that checkpoint), `"twice"` (killed again two steps later;
# the parts have other names), `"with a scaler"`, `"on a GPU"` (a pretended one) and `"somebody else's"` (a checkpoint with code in it).

# %% tags=["write"]
catch("save_and_resume", (4, 2, "between steps"))  # yours: more runs

# %% [markdown]
# Now lesson 07's detector, on eight images: one run goes through; a second is killed in step 2; a third goes on from there, with other weights and
# other random numbers. **Will the two that ended have the same weights, to the last bit?**

# %% tags=["call"]
resume_check.prove(save_and_resume, generalist, everything, steps=4, killed_in=2)

# %% [markdown]
# (The last bit is a promise for one machine and the CPU. Some GPU operations add numbers in a different order each time, so there a resumed run
# may differ in its last digits.)
#
# Your real run is next. The parts that have passed their checks are yours. So is the training step, if your `real_step` of lesson 08 has passed. The
# trainer's checkpoints hold what yours does, and the place in the data.

# %% tags=["read"]
import shlex
from pathlib import Path

from coursekit.lessons.workbook.own_parts import parts_from
from coursekit.lessons.workbook.own_training_step import step_of

parts, my_step = parts_from(my_workbook), step_of(my_workbook)
settings = {"--data": recipe_file, "--epochs": my_epochs, "--batch": my_batch, "--size": my_size}
settings |= {"--frozen-stages": my_frozen, "--warmup": 20}
settings["--checkpoint-every"] = max(1, min(10, steps // 3))  # steps
run_folder = killed_run.folder_for(Path("runs") / "mine", settings, recipe_file, my_workbook)
settings |= {"--out": run_folder, "--detector": os.path.relpath(my_workbook.folder)}
command = ["train", *(str(word) for pair in settings.items() for word in pair)]
print(shlex.join(["coursekit", *command]))

# %% [markdown]
# Whenever you change a setting, the recipe or one of your parts, the run gets a **folder of its own**, and the line above says so. With
# the same settings, you get your run back.
#
# The run starts in a process of its own, and **half way it is killed** without warning. **What will be left in its folder?**

# %% tags=["write"]
my_guess_of_files = ["config.json", "…"]  # yours

# %% tags=["call"]
killed_run.train_and_kill(command, run_folder, steps // 2, my_guess_of_files)

# %% [markdown]
# `last.pt` is the checkpoint. There's no `model.safetensors`, because the run hasn't ended. **With which step will it go on?** From a terminal
# you'd add `--resume` to the command.

# %% tags=["call"]
killed_run.resume(command, run_folder, steps)
killed_run.show_run(run_folder)
print(f"the stopwatch had said {expected}")

# %% [markdown]
# Look for the kill in the curves. You can't find it: the steps after the last checkpoint were done once more, with the same images and the
# same random numbers. **Is the score still rising?** Then the run was too short, and you know your first improvement.
#
# ## 10.5 · The score, and the answer · 35 min
#
# Six of COCO's twelve numbers, and for each a **95 % bootstrap interval**. How to read it: we drew images from these with replacement, again and
# again, and 95 % of the draws scored inside the interval. So it says how much your number depends on which images happened to be in the set.
# It doesn't say that 95 of 100 other sets would score inside it, and it knows nothing about other seeds. **Which AP do you expect?**

# %% tags=["write"]
my_ap = 0.2  # yours

# %% tags=["call"]
from coursekit.runs.save_and_load import results_of

results, unseen = results_of(run_folder, str(recipe_file), parts=parts)
run_scores.print_scores(results, unseen, draws=quick(100, 40))
print(f"my guess of AP was {my_ap:.3f}")

# %% [markdown]
# Now the question. Lesson 07's detector looks at the same images; its detections of other classes are dropped. If you asked a question of your own,
# **say which two scores answer it**: whose detections, and which of the twelve numbers.

# %% tags=["call"]
theirs = drawn_scene.detections_of(generalist, everything, unseen)

# %% tags=["write"]
# my choice: A and B, for a question of my own
my_a = ("mine", results, "AR_1")
my_b = ("mine", results, "AR_100")

# %% tags=["read"]
pairs = {
    "few classes": (("lesson 07's", theirs, "AP"), ("mine", results, "AP")),
    "small objects": (("mine", results, "AP_small"), ("mine", results, "AP_large")),
    "tight boxes": (("mine", results, "AP75"), ("mine", results, "AP50")),
    "my own": (my_a, my_b),
}
answer = lesson10_questions.answer(my_question, *pairs[my_choice], unseen, draws=quick(100, 40))
print(my_question, f"\n{answer}\nmy guess was {my_guess:+.3f}")

# %% [markdown]
# Be your own strictest reader. In `"few classes"`: what else differs between the two detectors, besides the classes? (The number of images each
# was trained on, the objects of your classes among them, …) What would have to be equal before you could write "*because* it learned only four"?
#
# Then the errors. **Which kind costs most, do you think?**

# %% tags=["write"]
my_kind = "missed"  # yours: classification, localization, both, duplicate, background or missed

# %% tags=["call"]
costliest = run_scores.show_errors(results, unseen)
print(f"costliest: {costliest}; you said {my_kind}")
show.worst_images(results, unseen, 3, 0.3)

# %% [markdown]
# Look at each picture for a minute. Which of these errors would you have made? Which has a cause that you can name: too small, hidden, a class
# that it never learned to tell from others, a box twice?
#
# ## 10.6 · One improvement · 65 min
#
# **One.** If you change two things, you learn nothing about either. It should come from the errors, and you should be able to say why it would
# help. Here's a remedy for each kind of error:

# %% tags=["variants"]
menu = {  # kind of error → why, and what to change
    "classification": ("half of the RoIs are objects, not a quarter", {"positive_fraction": 0.5}),
    "localization": ("the box loss counts twice", {"box_loss_weight": 2.0}),
    "both": ("background RoIs overlap an object: harder examples", {"background_iou": 0.1}),
    "duplicate": ("a stricter NMS", {"box_nms_thresh": 0.4}),
    "background": ("twice as many RoIs, most without object", {"box_batch_size_per_image": 128}),
    "missed": ("twice as many proposals", {"rpn_post_nms_top_n": (600, 400)}),
}

# %% tags=["write"]
# my choice: what I change, why, and how much AP I expect of it
my_remedy, my_change = menu[costliest]
my_reason = f"{costliest} costs most"
my_expectation = 0.02

# %% [markdown]
# Any option of the detector can be changed: `{"box_detections_per_img": 20}`. Three names in the menu aren't options:
#
# - `positive_fraction` is the share of the sampled RoIs that may be objects, 0.25 without the change.
# - `box_loss_weight` multiplies the box loss of the second stage.
# - `background_iou` leaves out background RoIs that overlap no object by at least this IoU: what's left is harder to tell from objects.
#
# ([The code of these three](../src/coursekit/lessons/experiments/paired_remedies.py).)
#
# A fair trial needs a **baseline** that differs in nothing else. Both go on from your run, for one more epoch, on some of its images. The backbone is
# frozen, so its features are computed once; that makes a trial a matter of seconds. And because a seed can do as much as an idea
# (lesson 09), there are several **pairs**: the same seed with the change and without it. In a pair, both see the same images in the same order.

# %% tags=["call"]
from coursekit.runs import load_run

mine, _ = load_run(run_folder, parts)
trial = paired_remedies.Trial.of(mine, train_set.head(quick(48, 8)), unseen, my_size)
baseline_results, changed_results, pupil = trial.pairs(quick(4, 2), **my_change)

# %% [markdown]
# Before you look at the results, fix the rule that judges them. Here are three pairs, made up. The seeds are far apart: one baseline has 0.17,
# another 0.41. **Is a gain of 0.02 or 0.03 lost in that?**

# %% tags=["read"]
import numpy as np

without, with_change = np.array([0.30, 0.17, 0.41]), np.array([0.32, 0.19, 0.44])
print(f"spread of the baselines:   {without.std(ddof=1):.3f}")
print(f"differences of the pairs:  {(with_change - without).round(3)}")
print(f"spread of the differences: {(with_change - without).std(ddof=1):.3f}")

# %% [markdown]
# Each pair gained. What a seed does to a run, it does to both runs of a pair, so it cancels in their **difference**. Throw the pairing away, and you
# compare 0.02 with a spread of 0.12. So: first subtract, then ask how much the differences differ. Their mean has a 95 % interval,
#
# $$\bar d \;\pm\; t \cdot \frac{s}{\sqrt{n}}$$
#
# for $n$ pairs whose differences have the standard deviation $s$. With few pairs, $s$ itself is uncertain; Student's $t$ makes up for it: it is
# 12.7 for two pairs and 3.2 for four.
#
# ### Exercise 10.6 · `verdict` · ●●○ · 10 min · explain only
#
# Write the rule: proved if the whole interval is above 0, disproved if it's below 0, open otherwise. "Open" is an honest result.

# %%
# %%exercise verdict
import numpy as np

# 97.5 % points of Student's t distribution for 1, 2, … degrees of freedom
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def verdict(changes, baselines):
    """Judge a change from runs in pairs: the same seed, with the change and without it.

    Args:
        changes: n scores of the runs with the change, n at least 2.
        baselines: n scores of the runs without it, in the same order of seeds.

    Returns:
        A tuple of a word and three floats: "proved", "disproved" or "open"; the mean of the
        differences (change minus baseline); the low and the high end of its 95 % interval,
        mean ± t · s / √n. s is the standard deviation of the differences, with n - 1 below the
        line. t is from T_975, for n - 1 degrees of freedom; 1.96 if that is more than 10.
        "proved": the whole interval is above 0. "disproved": it is below 0. Else "open".

    Example:
        changes [0.5, 0.25], baselines [0.25, 0.0]: ("proved", 0.25, 0.25, 0.25).
    """
    ### BEGIN SOLUTION
    differences = np.asarray(changes, float) - np.asarray(baselines, float)
    n = len(differences)
    t = T_975[n - 2] if n - 1 <= len(T_975) else 1.96
    mean, half = float(differences.mean()), t * float(differences.std(ddof=1)) / n**0.5
    low, high = mean - half, mean + half
    return "proved" if low > 0 else "disproved" if high < 0 else "open", mean, low, high
    ### END SOLUTION


# %%
check("verdict")

# %% [markdown]
# Now your change. Your rule speaks about *other seeds on these images*. A second interval speaks about *other images*: the same draws of images for
# all runs, as in lesson 09.

# %% tags=["read"]
baselines = run_scores.ap_of_each(baseline_results, unseen)
changes = run_scores.ap_of_each(changed_results, unseen)
word, mean, low, high = verdict(changes, baselines)

# %% tags=["call"]
show.paired_changes(baselines, changes, (low, high), my_expectation, my_remedy)
other = paired_remedies.on_other_images(
    baseline_results, changed_results, unseen, draws=quick(200, 40)
)
intervals = f"seeds {low:+.3f} to {high:+.3f}, images {other[0]:+.3f} to {other[1]:+.3f}"
result = f"AP {mean:+.3f} (95 % intervals: {intervals})"
print(f"{word}: {result}")

# %% [markdown]
# Three warnings before you celebrate. If only one of the two intervals is clear of 0, the question is still open. The change was chosen on the very
# images that now judge it: of twenty attempts, one succeeds by chance. In a paper, a third set of images, looked at once, has the last word. And a
# trial behind a frozen backbone is a pilot: a whole run must keep what it promises. That's the night's work:
#
#     coursekit train --data four-classes.toml --out runs/changed --detector my_detector --seed 1 …
#     coursekit compare runs/mine runs/changed --data four-classes.toml
#
# **What do you conclude?** What you asked, guessed and found is written into the run's folder. From there it goes into the report.

# %% tags=["write"]
# my choice: my conclusion, in a sentence
my_conclusion = paired_remedies.conclusion(word, my_remedy)

# %% tags=["call"]
from coursekit.report import Project, write_project

told = {"question": my_question, "guess": f"{my_guess:+.3f}", "answer": str(answer)}
told |= {"change": f"{my_remedy} ({my_change}), because {my_reason}"}
told |= {"expected": f"AP {my_expectation:+.3f}", "verdict": f"{my_conclusion}. {result}"}
write_project(run_folder, Project(**told))

# %% [markdown]
# ## 10.7 · Your scene, your detector · 5 min
#
# The scene from the beginning: your run, and the last detector that was trained with your change. What is in none of its classes, it should leave
# alone. **Does it?**

# %% tags=["call"]
two = {"mine": (mine, unseen.classes), "mine, changed": (pupil.eval(), unseen.classes)}
drawn_scene.show_found(picture, two)

# %% [markdown]
# ## 10.8 · The report · 30 min
#
# What happened, the report knows: your question, data, machine, time, losses, scores with intervals, errors, what you wrote in which lesson, your
# journal. What you think of it, it doesn't know. Fill in the form; what you type is saved at once.

# %% tags=["write"]
from coursekit.report import form

form(my_workbook)  # yours

# %% tags=["call"]
from coursekit.report import beginning, default_questions, write_report

page = write_report(my_workbook, run_folder, run_folder / "report", default_questions())
beginning(page)

# %% [markdown]
# That's its beginning. Run the cell again after you've answered more: nothing that you wrote gets lost, not even in `report.md` itself. From a
# terminal it's `coursekit report runs/mine`. The page holds its pictures: one file to hand in.
#
# ## 10.9 · The way to real COCO · 15 min
#
# What changes with photographs? The recipe's `source` is COCO itself, the data comes over your internet connection, and an epoch takes longer.
# Here's the bill for this machine: what there is to download, the hours to download it, and the hours for an epoch at the speed measured above, if
# more pixels cost in proportion.

# %% tags=["write"]
# my choice: the speed of my internet connection, in megabits a second
my_line = 6

# %% tags=["call"]
costs_of_coco.print_bill(speed, my_size, my_line, card)

# %% [markdown]
# Sizes are estimates from COCO's mean. Recipes that use `train2017` also need its annotations, once. On a GPU, run 10.3 again there: the
# stopwatch measures that machine. Start with `coco-5class`, or with a recipe of your own.
#
# **Which AP can you expect?** First what this course's code has reached. Then published detectors of this kind, on COCO's 5,000 validation images
# and all 80 classes. (AP there counts to 100.) **Which of them is yours most like?**

# %% tags=["write"]
my_relative = "…"  # yours

# %% tags=["call"]
costs_of_coco.print_expected_and_published()

# %% [markdown]
# - torchvision trained these for **26 epochs on 8 V100** GPUs ([its training
#   scripts](https://github.com/pytorch/vision/tree/main/references/detection)).
# - [detectron2's model zoo](https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md) has ResNet-50 + FPN at **37.9** after about 12
#   epochs and at **40.2** after about 37.
# - [EfficientDet-D0](https://github.com/google/automl/tree/master/efficientdet), a one-stage detector with a backbone of the same family at 512
#   pixels, has **34.3** after **300** epochs.
#
# Your nearest relative is the first line of the second table: a light backbone at 320 pixels. With fewer epochs or fewer images, expect a part of
# its AP. And on a subset of few, frequent classes you get a number that compares with none of these, because the mean is over other classes.

# %%
journal("10")

# %% [markdown]
# ## What could go wrong
#
# - Three trainings with the same configuration and the same seed, three quite different mAPs ([mmdetection, issue
#   3496](https://github.com/open-mmlab/mmdetection/issues/3496)). On COCO it's less than 0.3 points, a maintainer writes; a small set fluctuates
#   more. That's what the pairs above are for.
# - One configuration, eleven seeds, AP from 0 to 0.74 ([OBBDetection, issue 146](https://github.com/jbwang1997/OBBDetection/issues/146)). With a
#   single seed, anything could have been proved.
# - 400 images to train on, and an *empty* list to test on ([darknet, issue 2992](https://github.com/AlexeyAB/darknet/issues/2992)). The chart
#   showed a mAP of 0 all the way. What would COCO have written?
# - The classifier is right in 82 of 100 cases, and AP is 0.05, on the training images ([Detectron, issue
#   561](https://github.com/facebookresearch/Detectron/issues/561)). Most RoIs are background, so "background" is mostly right. Which of your pictures
#   would have shown it?
#
# ## What you learned
#
# A question comes before a run, and a guess before a number. A recipe makes data repeatable, a plan tells how long it takes, a checkpoint makes a
# kill harmless. Errors say what to change. One change at a time, in pairs with the same seed, says whether it helped. And all the way through it
# was your detector.
#
# **Three questions to think about**
#
# <details><summary>1. Three pairs gain 0.012, 0.010 and 0.011, and two baselines differ by 0.03. What do you write?</summary>
#
# Proved, for other seeds on these images: the mean is 0.011, and the differences hardly differ, so the interval is about 0.011 ± 0.0025. That the
# baselines are far apart doesn't matter, because it cancels in each pair. Whether it holds on other images is another question.
#
# </details>
# <details><summary>2. A colleague tries 20 changes on one validation set and reports the best, with its 95 % interval. What is wrong?</summary>
#
# Of 20 changes that do nothing, about one has an interval that misses 0. The interval is for one comparison that was chosen before. The best should
# be tried again on images that had no say in the choice.
#
# </details>
# <details><summary>3. Why can't the AP of a detector for four classes be compared with a published AP of 80?</summary>
#
# It's a mean over other classes, on other images, and with fewer classes to be confused. Detections can be compared only on the same ground truth.
#
# </details>
#
# **Next:** take a recipe with photographs, leave the run overnight, and show somebody the report.
#
# **Read on:** B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 · D. Bolya et al., *TIDE*, 2020, section 2 · X.
# Bouthillier et al., *Accounting for Variance in Machine Learning Benchmarks*, 2021 · R. Girshick, *Fast R-CNN*, 2015, section 2.3, for which RoIs
# to sample.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 270, of which about 10 are the machine's. Let everybody run the notebook as it is first, then agree on a question with each: most first
# questions are too wide. A day later, or overnight, comes the run on photographs.
#
# **Questions of your own.** `coursekit report RUN --questions yours.md`, with `## Title` and your question below it; answers are stored by title. In
# the notebook: `form(my_workbook, read_questions(Path("yours.md")))`.
#
# **What people get wrong.** Two changes at once; a baseline that was trained for less time; a change chosen after the result; pairs torn apart; an
# AP of four classes beside one of 80; "no difference" where it should say "can't tell".
#
# **Questions to ask.** What would have made you give up the idea? Which error in your gallery has the change fixed? Show me one. If you had twice
# the time, would you take more images, more epochs, or more seeds?
