# %% [markdown]
# # 10 · Your detector
#
# **A project of half a day · you need lessons 07 and 09 · no GPU needed**
#
# Nothing new to write today. Everything that a detector is made of, you have. Now you do with it what people do who work with detectors: you
# ask a question, choose data for it, train, look at the errors, change one thing, and say whether it helped, with an interval. What
# you hand in is a report, and half of it writes itself.
#
# When you are done, you can
#
# - turn a question into a recipe, a plan and a run,
# - let a run be killed and go on, and say how long one on real COCO would take,
# - choose an improvement from the errors, and prove it or give it up,
# - say what is yours in all this, and show it.
#
# This notebook runs from top to bottom as it is: that is the first round, and takes some minutes. Then it is yours. **Each choice stands in a cell
# of its own that begins with `# my choice`.** Change it, and run on from there.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
import coursekit.show as show
from coursekit.lessons import hint, journal, lesson_map, quick, reference

lesson_map(10)

# %% [markdown]
# **Using an AI assistant here:** as you like, with the journal kept. Ask it for objections rather than for answers: what could be wrong with my
# experiment? (An exercise of an earlier lesson that is still open: its hints open here, too, with `hint("nms")`, say.)
#
# First, a scene, and what your detector of lesson 07 makes of it. (If there is none, a short training makes one now.) It learned all classes
# a little. **Where is it wrong, and how sure is it there?**

# %%
# my choice: a scene, in any emoji
my_scene = "🐈🐕🐎🐄🐻🛑"

# %%
import os

import torch
from matplotlib.figure import Figure

from coursekit.data import load
from coursekit.data.synthetic.scene import scene
from coursekit.data.images import to_tensor
from coursekit.evaluation import predict
from coursekit.lessons import my_workbook
from coursekit.lessons.experiments.lesson07_run import IMAGES, first_run

data = os.environ.get("COURSEKIT_DATA", "mini")
everything = load(data, "train")
generalist = first_run(my_workbook, data)


def boxed(axes, detector, image, classes, title, least=0.5):
    """Draw what a detector finds; gives its texts."""
    found = predict(detector, [image])[0]
    sure = found["scores"] >= least
    labels = zip(found["labels"][sure].tolist(), found["scores"][sure].tolist())
    texts = [f"{classes[label - 1]} {score:.2f}" for label, score in labels]
    show.draw_boxes(axes, image, found["boxes"][sure], texts, title=title)
    return texts


picture = to_tensor(scene(my_scene, seed=3).picture)
fig = Figure(figsize=(5.4, 4.1), layout="constrained")
texts = boxed(fig.subplots(), generalist, picture, everything.classes, "lesson 07's detector")
show.figure(fig, alt="The scene with what was found in it: " + (", ".join(texts) or "nothing"))

# %% [markdown]
# ## 10.1 · A question · 15 min
#
# "I train a detector" is no question. A question has an answer that you don't know yet, that a number can give, and that somebody would
# act upon. Compare:
#
# - *How good is my detector?* Good for what, compared with what?
# - *Does a detector that learns only four animals tell them apart better than one that learned all classes?* Two runs, one number, and a use: whoever counts
#   cows needs no stop signs.
#
# Others that fit into half a day: Do more images help, or more passes over the same ones? What is the smallest dog that it finds? Is it worse
# where objects are hidden? Does it help to leave out the crowds?
#
# **Write yours, and what you guess, before you have seen a number.** A guess that was wrong is worth more than one that was never made.

# %%
# my choice: the question, and a guess
my_question = (
    "Does a detector that learns only four classes find them better than one that learned all?"
)
my_guess = 0.05  # how much more AP, mine minus that of lesson 07; may be negative

# %% [markdown]
# ## 10.2 · A subset of your own · 30 min
#
# A **recipe** says which images, which classes, how large. Whoever has your recipe has your data: it is what makes an experiment repeatable.
# Here is one. (All fields stand in the course's `data_subsets/README.md`.)

# %%
# my choice: a name, the classes, how many images (0: all that there are)
my_name = "four-classes"
my_classes = ["cat", "dog", "horse", "cow"]
if data != "mini":  # photographs: what there is most of in a small extract
    my_classes = ["person", "bottle", "cup", "dining table"]
how_many = {"train": quick(0, 12), "val": quick(0, 12)}  # 0: as many as there are

# %%
import json
from pathlib import Path

from coursekit.data.folders import find_folder
from coursekit.data.subsets.recipe import read_recipe
from coursekit.data.subsets.build import build_subset

source = find_folder(data)
recipe_file = Path(f"{my_name}.toml")
recipe_file.write_text(
    f"""\
name = "{my_name}-{source.name}"
source = "coco"          # laid out as COCO is: photographs, or the drawn scenes
seed = 10                # of every choice: the same recipe takes the same images
images = {{ train = {how_many["train"]}, val = {how_many["val"]} }}
classes = {json.dumps(my_classes)}
balanced = false         # true: prefer images with the class that is rarest so far
smallest_box = 0         # in pixels; smaller boxes are left out
crowds = "keep"
long_side = 0            # 0: keep the files as they are
""",
    encoding="utf-8",
)
folder, manifest = build_subset(
    read_recipe(recipe_file), annotations=str(source), images=str(source)
)
print(recipe_file.read_text(encoding="utf-8"))
print(f"{len(manifest.files)} images, {len(manifest.missing)} missing")

# %% [markdown]
# The images come from the data that you have here. With a network they would come from COCO, and only those that the recipe names:
#
#     coursekit data build four-classes.toml --dry-run     # how many, how large
#     coursekit data build four-classes.toml               # stopped at any moment, it goes on
#
# **Before you train, look at what you have.** Three questions: is there enough of each class to learn, is there enough to *test*, and how
# small are the objects?

# %%
from coursekit.data.info import summarize
from coursekit.show.data_picture import data_picture

summaries = summarize(folder)
words = "; ".join(f"{one.split}: {one.headline}" for one in summaries)
show.figure(data_picture(summaries), alt=f"The subset. {words}.")
print(f"{'class':14} boxes to train on, to test on")
tested = {name: boxes for name, boxes, _ in summaries[1].classes}
for name, boxes, _ in summaries[0].classes:
    print(f"{name:14} {boxes:6} {tested[name]:14}")

# %% [markdown]
# With few boxes to test on, the interval at the end is wide, whatever you do: of 20 objects one more or less is 5 %. If it is too few, take another
# class, or more images for `val`.
#
# ## 10.3 · The plan for your card · 15 min
#
# What fits, and how long will it take? The planner answers the first, a stopwatch the second. Is there no GPU here? Then the plan is for a card of 4 GB,
# and the run goes to the processor all the same.

# %%
# my choice: the memory of the card that you plan for, in GB
my_card = 4.0
if torch.cuda.is_available():
    my_card = torch.cuda.get_device_properties(0).total_memory / 2**30

# %%
from coursekit.memory.planner import BATCHES, LONG_SIDES, SIZES, make_plan
from coursekit.memory.step_config import GIB

fits = []
if quick(1, 0):  # some seconds; the short form does without
    plan = make_plan(my_card, num_classes=len(my_classes))
    fits, chosen = plan.card.candidates, plan.card.recommended
    print(f"GiB for a step, of {plan.card.usable:.1f} that are usable; * is tight or too much\n")
    print("long side   " + "".join(f"{batch:>2} images " for batch in BATCHES))
    for size in SIZES:
        row = [one for one in fits if one.size == size]
        marks = ["" if one.verdict == "fits" else "*" for one in row]
        cells = [f"{one.peak.total / GIB:.2f}{mark:1}" for one, mark in zip(row, marks)]
        print(f"{size:12}" + "".join(f"{cell:>9} " for cell in cells))
    if chosen:
        print(f"\nto begin with: long side {chosen.size}, {chosen.batch} images at a time")

# %% [markdown]
# The data here is small, and so is your time today. So: 256 pixels, 4 images a step, and the whole backbone stays as it was pre-trained, as in
# lesson 07. On a card, take what the plan says.

# %%
# my choice: the settings of the run
my_epochs = quick(3, 1)
my_batch, my_size = 4, 256
my_frozen = 8  # stages of the backbone that aren't trained: all of them
my_run = "mine"  # its folder in `runs/`; another run, or other data, wants another name

# %%
from coursekit.detector import build_detector
from coursekit.training import TrainConfig, train

train_set, unseen = load(folder, "train"), load(folder, "val")
short = TrainConfig(epochs=1, batch_size=my_batch, warmup_steps=5)
pupil = build_detector(num_classes=len(my_classes), size=my_size, frozen_stages=my_frozen)
history = train(pupil, train_set.head(5 * my_batch), short)
first, last = history[0], history[-1]  # the first step warms up
speed = (last.images - first.images) / (last.seconds - first.seconds)

steps = my_epochs * -(-len(train_set) // my_batch)
minutes = my_epochs * len(train_set) / speed / 60
print(f"{speed:.1f} images a second: about {steps} steps will take {minutes:.1f} minutes")

# %% [markdown]
# (Scoring after each epoch comes on top.) **What is your guess for the time that the whole project takes on this machine, if you want five times as many
# images and twelve epochs?** Compute it in your head before you open a calculator.
#
# ## 10.4 · The run · 35 min
#
# What trains is yours: each part that has passed its check. The command does the same from a terminal.

# %%
import shlex
import sys

from coursekit.lessons.workbook.own_parts import parts_from

run_folder = Path("runs") / my_run
every = max(1, min(10, steps // 3))  # steps from checkpoint to checkpoint
options = {
    "--data": recipe_file,
    "--out": run_folder,
    "--detector": os.path.relpath(my_workbook.folder),
    "--epochs": my_epochs,
    "--batch": my_batch,
    "--size": my_size,
    "--frozen-stages": my_frozen,
    "--warmup": 20,
    "--checkpoint-every": every,
}
command = ["train", *(str(one) for pair in options.items() for one in pair)]
print(shlex.join(["coursekit", *command]))
parts = parts_from(my_workbook)

# %% [markdown]
# A long run will be interrupted: a laptop sleeps, a server restarts, somebody needs the line. So yours is begun in a process of its own, and **half way it is
# killed**, without a word of warning. What is left?

# %%
import subprocess
import time

from tqdm.auto import tqdm

from coursekit.training.hooks import read_metrics


def steps_done():
    """How many steps the run has written down."""
    return sum("losses" in line for line in read_metrics(run_folder / "metrics.jsonl"))


def is_half_way():
    return steps_done() >= steps // 2 and (run_folder / "last.pt").exists()


if (run_folder / "config.json").exists():
    print(f"{run_folder} has been begun already; another `my_run` begins another")
else:
    log = run_folder.parent / f"{my_run}.log"
    with log.open("w") as file, tqdm(total=steps // 2, desc="elsewhere", unit="step") as bar:
        process = subprocess.Popen(
            [sys.executable, "-m", "coursekit", *command], stdout=file, stderr=subprocess.STDOUT
        )
        while process.poll() is None and not is_half_way():
            time.sleep(0.2)
            bar.update(steps_done() - bar.n)
    process.kill()
    process.wait()
    if not (run_folder / "config.json").exists():
        raise RuntimeError(log.read_text()[-500:])
    print(f"killed after step {steps_done()} of about {steps}; left in {run_folder}:")
    print("  " + ", ".join(sorted(path.name for path in run_folder.iterdir())))

# %% [markdown]
# `last.pt` is the checkpoint: weights, what the optimizer remembers, random numbers, the step. (You wrote one in lesson 08.) No
# `model.safetensors`, because the run has not ended. **With which step will it go on?** Here it is resumed, as `--resume` does it.

# %%
from coursekit.runs.train import train_run
from coursekit.core.config import DetectorConfig

settings = TrainConfig(
    epochs=my_epochs, batch_size=my_batch, warmup_steps=20, checkpoint_every=every
)
if (run_folder / "model.safetensors").exists():
    print(f"{run_folder} has ended already; another `my_run` begins another")
else:
    config = DetectorConfig(len(my_classes), size=my_size, frozen_stages=my_frozen)
    train_run(str(recipe_file), run_folder, settings, config, resume=True, parts=parts)

# %%
lines = read_metrics(run_folder / "metrics.jsonl")
taken = [line for line in lines if "losses" in line]
starts = [line["step"] for line in lines if "device" in line]
losses = {name: [line["losses"][name] for line in taken] for name in taken[0]["losses"]}
fig = show.loss_curves([line["step"] for line in taken], losses, [line["lr"] for line in taken])
ends = ", ".join(f"{name} {values[-1]:.2f}" for name, values in losses.items())
show.figure(fig, alt=f"Losses over {len(taken)} steps, at the end {ends}; the learning rate.")
print(f"begun {len(starts)} times, with the step after {', '.join(map(str, starts))}")
print(f"{taken[-1]['seconds'] / 60:.1f} minutes of training; the stopwatch said {minutes:.1f}")
for line in lines:
    if "AP50" in line:
        print(f"epoch {line['epoch'] + 1}: AP {line['AP']:.3f}, AP50 {line['AP50']:.3f}")

# %% [markdown]
# Look for the place of the kill in the curves. You can't find it: the steps since the last checkpoint were done once more, with the same images and
# the same random numbers. **Is the score still rising?** Then the run was too short, and you know your first improvement.
#
# ## 10.5 · The score, and the answer · 35 min
#
# Twelve numbers, as in lesson 09, and an interval for each: where the number would lie for 95 of 100 other sets of such images.

# %%
from coursekit.evaluation import score
from coursekit.evaluation.intervals import intervals
from coursekit.runs.load import results_of

results, unseen = results_of(run_folder, str(recipe_file), parts=parts)
numbers = score(results, unseen)
ranges = intervals(results, unseen, draws=quick(200, 40))
for name in ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"):
    low, high = ranges[name]
    print(f"{name:10} {numbers[name]:6.3f}   from {low:.3f} to {high:.3f}")

# %% [markdown]
# Now the question. The detector of lesson 07 looks at the same images, and its detections of other classes are dropped. Are the two equally well
# trained? Count what they saw: that belongs to the answer.

# %%
from coursekit.evaluation import compare, to_coco_results
from coursekit.runs.config import load_config

looked = []
for i in tqdm(range(len(unseen)), desc="lesson 07's detector"):
    looked += predict(generalist, [unseen[i][0]])
its = to_coco_results(looked, unseen.image_ids, everything.category_ids)
its = [one for one in its if one["category_id"] in unseen.category_ids]

answer = compare(its, results, unseen, draws=quick(200, 40))
before = load_config(Path("runs/07"))
saw = before.training.epochs * min(len(everything), quick(*IMAGES))
print(f"lesson 07's: AP {answer.ap.a:.3f}, AP50 {answer.ap50.a:.3f}, saw {saw} images")
mine_saw = taken[-1]["images"]
print(f"mine:        AP {answer.ap.b:.3f}, AP50 {answer.ap50.b:.3f}, saw {mine_saw} images")
print(f"\nAP {answer.ap.change:+.3f}, between {answer.ap.low:+.3f} and {answer.ap.high:+.3f}")
verdict = answer.verdict.replace("A is", "lesson 07's is").replace("B is", "mine is")
print(f"my guess was {my_guess:+.3f}; {verdict.split(':')[0]}")

# %% [markdown]
# Be your own strictest reader. What else differs between the two, besides the classes? (Number of images seen, objects of interest in each,
# proposals looked at …) What would have to be equal before you could write "*because* it learned only four"?
#
# Then the errors. **Which kind costs most, do you think?**

# %%
from coursekit.evaluation import split_errors, worst_images
from coursekit.show.errors import error_bars
from coursekit.show.gallery import gallery

costliest = "missed"  # where nothing was found
if results:
    report = split_errors(results, unseen)
    costliest = report.costliest
    words = ", ".join(f"{kind} {one.cost:.3f}" for kind, one in report.kinds.items())
    show.figure(error_bars(report), alt=f"What each kind of error costs in AP50: {words}.")
print(f"costliest: {costliest}")

# %%
worst = worst_images(results, unseen, 4, threshold=0.3) if results else []
for one in worst:
    print(one.image_id, one.reason)
if worst:
    fig = gallery(unseen, results, [one.image_id for one in worst], threshold=0.3)
    show.figure(fig, alt="The worst images: " + "; ".join(one.reason for one in worst))

# %% [markdown]
# Look at each picture for a minute. Which of these errors would you have made? Which has a cause that you can name: too small, hidden, a class that it never
# learned to tell from others, a box twice?
#
# ## 10.6 · One improvement · 60 min
#
# **One.** Whoever changes two things learns nothing about either. It should come from the errors, and you should be able to say why it would help. Some
# to begin with, a row for each kind of error:

# %%
menu = {
    "classification": ("twice as long", {"epochs": 2}),
    "both": ("twice as long", {"epochs": 2}),
    "localization": ("twice as long", {"epochs": 2}),
    "duplicate": ("a stricter NMS", {"box_nms_thresh": 0.4}),
    "background": ("twice as many RoIs to learn from", {"box_batch_size_per_image": 128}),
    "missed": ("twice as many proposals", {"rpn_post_nms_top_n": (600, 400)}),
}
for kind, (words, numbers_of) in menu.items():
    print(f"{kind:15} {words}: {numbers_of}")

# %%
# my choice: what I change, why, and how much AP I expect of it
what, change = menu[costliest]
my_reason = f"{costliest} costs most"
my_expectation = 0.02

# %% [markdown]
# A fair trial needs a **baseline** that differs in nothing else. Here both go on from your run, on some of its images, behind its backbone, whose features
# are computed once and kept; that makes a trial a matter of seconds. The baseline goes on as before, the other with the change.
# And because a seed can do as much as an idea (lesson 09), each is trained with several seeds, in **pairs**: the same seed, the same images in
# the same order.

# %%
import copy
from dataclasses import replace

from coursekit.lessons.experiments.cached_features import (
    CachedBackbone,
    cache_features,
    predict_on,
    train_on,
)
from coursekit.runs import load_run

mine, _ = load_run(run_folder, parts)
some = train_set.head(quick(48, 8))
kept = cache_features(some, mine.backbone, my_size)
kept_unseen = cache_features(unseen, mine.backbone, my_size)


def went_on(seed, epochs=1, lr=5e-4, **numbers_of):
    """My detector after more training, with some of its numbers changed; and what it finds."""
    pupil = copy.deepcopy(mine)
    pupil.backbone = CachedBackbone(kept.strides)
    pupil.options = replace(pupil.options, **numbers_of)
    train_on(pupil, kept, epochs, seed=seed, lr=lr)
    _, found_by_it = predict_on(pupil, kept_unseen)
    pupil.backbone = mine.backbone  # whole again
    return pupil, found_by_it


# %%
baseline, changed = [], []
for seed in tqdm(range(quick(3, 2)), desc="pairs", unit="pair"):
    baseline.append(went_on(seed)[1])
    pupil, found_by_it = went_on(seed, **change)
    changed.append(found_by_it)

# %% [markdown]
# The rule is fixed **before** the result is seen. Proved: in every pair the interval lies above 0, and the mean change is larger than the
# largest gap between two baselines, which differ in luck alone. Disproved: the same below 0. All else is open, and "open" is an honest result.

# %%
compared = [compare(*pair, unseen, draws=quick(200, 40)) for pair in zip(baseline, changed)]
changes = [one.ap.change for one in compared]
mean = sum(changes) / len(changes)
luck = max(one.ap.a for one in compared) - min(one.ap.a for one in compared)
verdict = "open: these images and seeds can't tell"
if all(one.ap.low > 0 for one in compared) and mean > luck:
    verdict = "proved"
if all(one.ap.high < 0 for one in compared) and mean < -luck:
    verdict = "disproved: it does harm"

fig = Figure(figsize=(7.4, 0.55 * len(compared) + 1.3), layout="constrained")
axes = fig.subplots()
for row, one in enumerate(compared):
    axes.plot([one.ap.low, one.ap.high], [-row] * 2, color="#0072B2", linewidth=2)
    axes.plot(one.ap.change, -row, "o", color="#0072B2", label=None if row else "a pair")
axes.axvspan(-luck, luck, color="#DDDDDD", label="luck: between two baselines")
axes.axvline(0, color="black", linewidth=0.8)
axes.axvline(my_expectation, color="#D55E00", linestyle="dashed", label="expected")
axes.set_yticks([-row for row in range(len(compared))], [f"seed {i}" for i in range(len(compared))])
axes.set(xlabel=f"change of AP by “{what}”, with its interval of 95 %")
axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
words = "; ".join(f"seed {i}: {one:+.3f}" for i, one in enumerate(changes))
show.figure(fig, alt=f"Change of AP for each pair of runs: {words}. Luck alone: {luck:.3f}.")
print(f"{what}: AP {mean:+.3f} on average, expected {my_expectation:+.3f}; luck {luck:.3f}")
print(verdict)

# %% [markdown]
# Two warnings before you rejoice. The change was chosen on the very images that now judge it: after the tenth attempt one succeeds by chance. In a
# paper a third set of images, looked at once, has the last word. And a trial behind a kept backbone is a pilot: what it promises, a whole run must keep.
# That is the night's work, one command for each:
#
#     coursekit train --data four-classes.toml --out runs/changed --detector my_detector --seed 1 …
#     coursekit compare runs/mine runs/changed --data four-classes.toml
#
# What you asked, guessed and found is written beside the run. From there it goes into the report.

# %%
from IPython.display import Markdown

rows = [f"| {seed} | {one.ap} |" for seed, one in enumerate(compared)]
range_of_answer = f"between {answer.ap.low:+.3f} and {answer.ap.high:+.3f}"
notes = [
    f"**Question:** {my_question}",
    f"**My guess:** AP {my_guess:+.3f}. **Answer:** AP {answer.ap.change:+.3f}, {range_of_answer}.",
    f"**Change:** {what} (`{change}`), because {my_reason}. **Expected:** AP {my_expectation:+.3f}.",
    f"**Verdict:** {verdict}. AP {mean:+.3f} on average; two baselines differ by up to {luck:.3f}.",
    "\n".join(["| seed | AP: A the baseline, B changed; interval of 95 % |", "|---|---|", *rows]),
]
(run_folder / "notes.md").write_text("\n\n".join(notes), encoding="utf-8")
Markdown("\n\n".join(notes))

# %% [markdown]
# ## 10.7 · Your scene, your detector · 5 min
#
# The scene from the beginning, with boxes of a score of at least 0.5: left your run, right the last of those that were trained with your change. What is
# none of its classes it should leave alone. **Does it?**

# %%
fig = Figure(figsize=(9.6, 3.9), layout="constrained")
left, right = fig.subplots(1, 2)
before = boxed(left, mine, picture, unseen.classes, "mine")
after = boxed(right, pupil.eval(), picture, unseen.classes, f"mine, {what}")
show.figure(
    fig,
    alt=f"The scene twice. My run found {', '.join(before) or 'nothing'}; "
    f"with the change {', '.join(after) or 'nothing'}.",
)

# %% [markdown]
# ## 10.8 · The report · 30 min
#
# What happened, the report knows: data, machine, time, losses, scores with intervals, errors, whose each part is, your journal, and the notes from
# above. What you think of it, it doesn't. Fill in the form; what you type is kept at once.

# %%
from coursekit.report import form

form(my_workbook)

# %%
from coursekit.report import default_questions, write_report

page = write_report(my_workbook, run_folder, run_folder / "report", default_questions())
text = page.with_name("report.md").read_text(encoding="utf-8")
print(f"open in a browser: {page}")
Markdown(text[text.index("## In short") : text.index("## The project")].replace("## ", "#### "))

# %% [markdown]
# That is its beginning. Run the cell again after you have answered more: nothing that you wrote gets lost, also not in `report.md` itself. From
# a terminal it is `coursekit report runs/mine`. The page holds its pictures: one file to hand in.
#
# ## 10.9 · The way to real COCO · 15 min
#
# What changes with photographs? The recipe's `source` is COCO itself, the data comes over your line, and an epoch takes longer. Here is the bill for this
# machine: what there is to fetch, hours for it on your line, hours for an epoch at the speed measured above, more pixels taken to cost in proportion.

# %%
# my choice: how fast my line is, in megabits a second
my_line = 6

# %%
from coursekit.data.subsets.recipe import find_recipe, names
from coursekit.data.subsets.build import COCO_IMAGES, estimate


def most_at_a_time(long_side):
    """Images of this size that the card takes at once, by the plan; of the next larger size there."""
    larger = [size for size in LONG_SIDES if int(size) >= long_side][:1]
    return max(
        (one.batch for one in fits if one.size in larger and one.verdict == "fits"), default=0
    )


print(f"recipe         images   to fetch   on disk   hours   epoch here   fit on {my_card:.0f} GB")
for name in names():
    one = find_recipe(name)
    if one.source == "coco":
        cost = estimate(one)
        count = one.images["train"] or COCO_IMAGES[one.split_of["train"]]
        hours = count / speed * (one.long_side / my_size) ** 2 / 3600
        fetch, disk = cost["download_bytes"], cost["disk_bytes"]
        print(
            f"{name:12} {count:8,} {fetch / 1e9:7.2f} GB {disk / 1e9:6.2f} GB "
            f"{fetch * 8 / my_line / 1e6 / 3600:7.1f} {hours:10.1f} h   "
            f"{most_at_a_time(one.long_side) or '?':>3} of {one.long_side} px"
        )

# %% [markdown]
# Sizes are estimates from COCO's mean; recipes from `train2017` also need its annotations, once. On a GPU, run 10.3 again there: the stopwatch
# measures that machine. Begin with `coco-5class`, or with a recipe of your own.
#
# **What may you expect?** Published detectors of this kind, on COCO's 5,000 validation images and all 80 classes. The first three are
# torchvision's; their numbers stand in the package that is installed here.

# %%
from torchvision.models import detection

zoo = {
    "MobileNetV3, 320 px": detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    "MobileNetV3, 800 px": detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    "ResNet-50, 800 px": detection.FasterRCNN_ResNet50_FPN_Weights,
}
print("Faster R-CNN + FPN     AP   million weights")
for name, weights in zoo.items():
    meta = weights.COCO_V1.meta
    ap = meta["_metrics"]["COCO-val2017"]["box_map"]
    print(f"{name:20} {ap:5.1f} {meta['num_params'] / 1e6:10.1f}")
hours = 12 * 118_287 / 16 * 0.210 / 3600
print(f"\ndetectron2's ResNet-50 at 0.210 s a step of 16: 12 epochs in {hours:.1f} hours on 8 GPUs")

# %% [markdown]
# - torchvision trained these for **26 epochs on 8 V100** GPUs ([its training
#   scripts](https://github.com/pytorch/vision/tree/main/references/detection)).
# - [detectron2's model zoo](https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md) has ResNet-50 + FPN at **37.9** after some 12 epochs and **40.2**
#   after some 37, and calls the former heavily under-trained.
# - [EfficientDet-D0](https://github.com/google/automl/tree/master/efficientdet), a one-stage detector on your backbone's elder sister at 512 pixels: **34.3**, after
#   **300** epochs.
#
# Your nearest relative is the first line: a light backbone at 320 pixels. With fewer epochs, or fewer images, expect a
# part of its AP; and on a subset of few, frequent classes a number that compares with none of these, because the mean is over other
# classes. (AP here counts to 100, in your tables to 1.)

# %%
journal("10")

# %% [markdown]
# ## What could go wrong
#
# - "The mAP is unstable over several trials, by about 2" ([mmdetection, issue
#   3624](https://github.com/open-mmlab/mmdetection/issues/3624)). On all of COCO it is below 0.2, the maintainers say; on a small set it is not. That is what the
#   grey band above is for.
# - One configuration, eleven seeds, AP from 0 to 0.74 ([OBBDetection, issue 146](https://github.com/jbwang1997/OBBDetection/issues/146)). Whoever had taken only one
#   seed could have proved anything.
# - 905 images to train on, and *one* to test on ([mmdetection, issue 1473](https://github.com/open-mmlab/mmdetection/issues/1473)). Its AP says nothing. How wide
#   would the interval be?
# - The classifier is right in 82 of 100 cases, and AP is 0.05, on the training images ([Detectron, issue
#   561](https://github.com/facebookresearch/Detectron/issues/561)). Most RoIs are background, and saying "background" is mostly right. Which of your pictures would have
#   shown it?
#
# ## What you learned
#
# A question comes before a run, and a guess before a number. A recipe makes data repeatable, a plan makes time foreseeable, a checkpoint makes a kill
# harmless. Errors say what to change; one change at a time, in pairs, against the luck of seeds, says whether it helped. And all the way through it
# was your detector.
#
# **Three questions to think about**
#
# <details><summary>1. Your change gives +0.01, each of three intervals lies above 0, and two baselines differ by 0.03. What do you write?</summary>
#
# That it helps with each of these seeds on these images, by less than what a seed does. More pairs would tell: the mean of many pairs is surer than
# one. "Open" until then.
#
# </details>
# <details><summary>2. A colleague tries 20 changes on one validation set and reports the best, with its interval of 95 %. What is wrong?</summary>
#
# Of 20 changes that do nothing, one lies outside its interval on average. The interval is for one comparison that was chosen before. Let the best be tried
# again on images that had no say in the choice.
#
# </details>
# <details><summary>3. Why is the AP of a detector for four classes not comparable with a published AP of 80?</summary>
#
# It is a mean over other classes, on other images, and with fewer classes to be taken for. The same detections can be compared only with the same truth.
#
# </details>
#
# **Next:** there is no lesson 11. Take a recipe with photographs, leave the run overnight, and show somebody the report.
#
# **To read on:** B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 · D. Bolya et al., *TIDE*, 2020, section 2 ·
# X. Bouthillier et al., *Accounting for Variance in Machine Learning Benchmarks*, 2021 · M. Tan, R. Pang and Q. V. Le, *EfficientDet*, 2020, section 5.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 240, of which some 10 are the machine's. Let everybody run the notebook as it is first, then agree on a question with each: most first
# questions are too wide. A day later, or overnight, comes the run on photographs.
#
# **Questions of your own.** `coursekit report RUN --questions yours.md`, with `## Title` and under it what you ask; answers are kept by title. In the
# notebook: `form(read_questions(Path("yours.md")))`.
#
# **What people get wrong.** Two changes at once; a baseline that was trained for less time; a change chosen after the result; an AP of four classes set beside
# one of 80; "no difference" written where it should say "can't tell".
#
# **Questions to ask.** What would have made you give up the idea? Which error in your gallery has the change mended, show me one. If you had twice the time, would
# you take more images, more epochs, or more seeds?
