# %% [markdown]
# # 01 · The data loader
#
# **120 minutes · you need lesson 00 · no GPU needed**
#
# A detector is trained on batches: a block of pixels, and for each image its boxes. What lies on your disk is a JSON file and a
# folder of images, some of them broken. In this lesson you build the way from the one to the other, all by hand.
#
# Words that are new to you stand in [the glossary](GLOSSARY.md).

# %%
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, reference

lesson_map(1)

# %% [markdown]
# When you are done, you can
#
# - sort COCO's annotations by image, and turn its category ids into labels,
# - read any image file a folder may hold, and refuse a damaged one with a message that helps,
# - resize and mirror an image so that its boxes still fit,
# - say how many samples a second your loader gives, and whether that is worth improving.
#
# Why so much care? Here are ten files from one folder, all called `.jpg`, read in the way most tutorials do it.

# %%
import os
import warnings

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import coursekit.show as show
from coursekit.data.synthetic.damaged import DAMAGED_FILES
from coursekit.data.folders import find_folder

DATA = os.environ.get("COURSEKIT_DATA", "mini")  # another data set: put its name or folder here
damaged = find_folder("damaged")


def by_the_tutorial(path):
    return np.asarray(Image.open(path))


fig = Figure(figsize=(11, 4.6), layout="constrained")
captions = []
for axes, name in zip(fig.subplots(2, 5).flat, DAMAGED_FILES):
    axes.set_axis_off()
    try:
        values = by_the_tutorial(damaged / "train2017" / name)
        axes.imshow(values[..., :3] if values.ndim == 3 else values, cmap="gray")
        words = f"an array {values.shape}"
    except Exception as error:
        words = type(error).__name__
        axes.text(0.5, 0.5, words, ha="center", color="#D55E00", transform=axes.transAxes)
    axes.set_title(f"{name}\n{words}", fontsize=8)
    captions.append(f"{name}: {words}")
show.figure(fig, alt="Ten files, each with what a naive reader makes of it. " + "; ".join(captions))

# %% [markdown]
# Some crash it. Others come out with one channel, with four in wrong colours, or on their side, and nothing is said. At the end of
# this lesson your loader gets through all of them.
#
# **The rule for assistants here: by hand, without one.** Each piece has at most 12 lines. If you are stuck, `hint("NAME")` opens
# the next of three hints, as the button under a check does.
#
# ## 1.1 · One file, three lists · 18 min
#
# First the annotations. The file has three lists: `images`, `annotations`, `categories`. An annotation names its image and its
# category by their **ids**.

# %%
import json
from collections import Counter

folder = find_folder(DATA)
annotation_file = folder / "annotations" / "instances_train2017.json"
content = json.loads(annotation_file.read_text())
counts = Counter(annotation["image_id"] for annotation in content["annotations"])
per_image = [counts[image["id"]] for image in content["images"]]
ids = sorted(category["id"] for category in content["categories"])

fig = Figure(figsize=(10, 3), layout="constrained")
left, right = fig.subplots(1, 2)
bars = left.hist(per_image, bins=np.arange(max(per_image) + 2) - 0.5, color="#0072B2")[2]
bars[0].set(facecolor="#E69F00", hatch="//")
left.set(xlabel="annotations of an image (hatched: none)", ylabel="images")
right.plot(ids, range(1, len(ids) + 1), "o", color="#0072B2", markersize=4)
right.set(xlabel="COCO's category id", ylabel="its place among the ids", title="ids have gaps")
right.yaxis.get_major_locator().set_params(integer=True)
none = per_image.count(0)
show.figure(
    fig,
    alt=f"Left a histogram of annotations per image: {none} images have none. Right the category "
    f"ids: {len(ids)} of them lie between {ids[0]} and {ids[-1]}, with gaps.",
)
crowds = sum(annotation.get("iscrowd", 0) for annotation in content["annotations"])
print(f"{len(per_image)} images, {none} of them without annotations; {crowds} crowds")
print(f"{len(ids)} categories, with ids from {ids[0]} to {ids[-1]}: {ids[:12]} …")
for part in ("images", "annotations", "categories"):
    print(
        f"one of {part}:",
        {key: content[part][0][key] for key in sorted(content[part][0]) if key != "segmentation"},
    )

# %% [markdown]
# Three things to see:
#
# - **Images without annotations.** They are no mistake: the detector must learn to say nothing, too.
# - **Category ids with gaps.** A classifier counts its outputs 0, 1, 2, 3, and 0 is the **background** (no object). So each id
#   needs a **label**: 1 for the lowest, 2 for the next, without gaps.
# - **Crowds.** With `iscrowd` 1, the box is no single object but a region with many: a bowl of apples, people in a stand.
#
# And the annotations are not sorted by image. To search the list for each image is simple. What does it cost?

# %%
import time

start = time.perf_counter()
for image in content["images"][:50]:
    [annotation for annotation in content["annotations"] if annotation["image_id"] == image["id"]]
each = (time.perf_counter() - start) / (50 * len(content["annotations"]))
print(f"{each * 1e9:.0f} ns for one look at one annotation")
print(f"all of COCO, 118,287 images × 860,001 annotations: {each * 118_287 * 860_001 / 3600:.1f} h")

# %% [markdown]
# So go through the list **once**, and lay each annotation on the pile of its image. On paper first: which piles, and which labels?
#
#     images       7, 8, 9
#     annotations  A of image 9,  B of image 7,  C of image 9,  D of image 4 (which isn't there)
#     categories   44 bottle, 1 person, 18 dog
#
# ### Exercise 1.1 · `index_annotations` · ●●○ · 15 min


# %%
# %%exercise index_annotations
def index_annotations(content: dict) -> tuple[dict, dict]:
    """Group annotations by image, and map categories to labels.

    Args:
        content: COCO's annotation file as `json` reads it, a dict of three lists:
            "images" and "categories" of dicts with an "id", and
            "annotations" of dicts with an "image_id".

    Returns:
        1. Image id → its annotations (the dicts, crowds too), in the order of the file.
           All images of the file are there, in the file's order, even without annotations.
           Annotations of an image that isn't in the file are left out.
        2. Category id → label: 1 for the lowest id, 2 for the next, without gaps. 0 is the
           background.

    >>> index_annotations({"images": [{"id": 7}], "annotations": [],
    ...                    "categories": [{"id": 44}, {"id": 1}]})
    ({7: []}, {1: 1, 44: 2})
    """
    ### BEGIN SOLUTION
    by_image = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] in by_image:
            by_image[annotation["image_id"]].append(annotation)
    category_ids = sorted(category["id"] for category in content["categories"])
    labels = {category_id: label for label, category_id in enumerate(category_ids, start=1)}
    return by_image, labels
    ### END SOLUTION


# %%
check("index_annotations")

# %% [markdown]
# From here on `index_annotations` is yours if it is right, and the course's if not. Here it is on the whole file, and with it an
# image of each special kind: one with a crowd, and one with nothing of our classes. (The pixels are read by torchvision this once; next, you do
# it.)

# %%
import torch
from torchvision.io import ImageReadMode, decode_image

from my_detector import xywh_to_xyxy

start = time.perf_counter()
by_image, label_of = index_annotations(content)
milliseconds = 1e3 * (time.perf_counter() - start)
print(f"indexed in {milliseconds:.1f} ms; labels {dict(list(label_of.items())[:6])} …")

name_of = {category["id"]: category["name"] for category in content["categories"]}
has_crowd = {
    id_
    for id_, annotations in by_image.items()
    if any(record.get("iscrowd") for record in annotations)
}
special = [image for image in content["images"] if image["id"] in has_crowd][:1]
special += [image for image in content["images"] if not by_image[image["id"]]][:1]
special = special or content["images"][:1]

fig = Figure(figsize=(5 * len(special), 4), layout="constrained")
for axes, image in zip(np.atleast_1d(fig.subplots(1, len(special))), special):
    pixels = decode_image(str(folder / "train2017" / image["file_name"]), ImageReadMode.RGB)
    annotations = by_image[image["id"]]
    boxes = xywh_to_xyxy(torch.tensor([record["bbox"] for record in annotations]).reshape(-1, 4))
    crowd = torch.tensor([bool(record.get("iscrowd")) for record in annotations], dtype=torch.bool)
    names = [name_of[record["category_id"]] for record in annotations if not record.get("iscrowd")]
    title = f"objects: {len(names)}, crowds (hatched): {int(crowd.sum())}"
    show.draw_boxes(axes, pixels, boxes[~crowd], names, title=title, hatched=boxes[crowd])
show.figure(
    fig, alt="An image with a crowd as a hatched region beside single boxes, and one without a box."
)

# %% [markdown]
# Look at the crowd: nobody counted what is in it. To train on it as *one* object would be wrong, and to punish a detector for what
# it finds inside would be wrong, too. So we keep crowds apart, and nothing is learned from them.
#
# ## 1.2 · Any file a folder may hold · 18 min
#
# An image file says itself what it is, whatever its name ends in. Pillow reads dozens of formats, and each picture has a **mode**:
# which numbers make a pixel.

# %%
tiny = Image.new("RGB", (2, 1), (200, 40, 40))
for mode in ("RGB", "L", "CMYK", "P", "RGBA", "1"):
    values = np.array(tiny.convert(mode))
    print(f"{mode:5} an array {values.shape!s:10} first pixel {values[0, 0]}")

# %% [markdown]
# A detector wants one kind only: three bytes for red, green, blue. `.convert("RGB")` makes it of any mode.
#
# Two traps more. A phone that is held upright often stores the picture lying, with a note in its **EXIF** data (facts about the
# photograph, inside the file) that says how to turn it. Pillow doesn't turn it by itself; `ImageOps.exif_transpose(picture)` does.
# And opening a file is not reading it:

# %%
broken = damaged / "train2017" / "cut_at_half.jpg"
picture = Image.open(broken)
print("opened:", picture.size, picture.mode)
picture.verify()
print("verify() found nothing")
try:
    Image.open(broken).load()
except OSError as error:
    print("load():", error)

# %% [markdown]
# `open` looks at the header, `verify` at a little more. Only `load`, or the first call that needs pixels, decodes the file. So the
# `try` must reach as far as that.
#
# Which errors will come? Nobody has listed them: decoders meet broken files in corners that their authors never saw. That is why
# here, and nearly nowhere else, `except Exception` is right. What you raise instead is **one** kind, `DataError`, so that whoever
# calls you knows what to expect, and the message says which file.
#
# ### Exercise 1.2 · `read_image` · ●●○ · 15 min

# %%
# %%exercise read_image
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from coursekit.core.errors import DataError


def read_image(path: Path) -> Tensor:
    """Read an image file of any format and mode that Pillow knows.

    Args:
        path: of the file. Its extension doesn't matter.

    Returns:
        (3, H, W) uint8 RGB, turned upright if an EXIF tag says so.

    Raises:
        DataError: the file is missing, damaged, no image, or claims to be enormous (Pillow
            then raises an error of its own). The message names the file and says why.
    """
    ### BEGIN SOLUTION
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")  # this decodes all of it
    except Exception as cause:
        raise DataError(f"{path}: can't be read ({type(cause).__name__}: {cause})") from cause
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    ### END SOLUTION


# %%
check("read_image")

# %% [markdown]
# The same ten files once more, **read by `read_image`**. First a prediction: how many of the ten will it refuse? Write the number
# down, then run the cell.

# %%
from coursekit.core.errors import DataError

fig = Figure(figsize=(11, 4.4), layout="constrained")
captions = []
for axes, name in zip(fig.subplots(2, 5).flat, DAMAGED_FILES):
    axes.set_axis_off()
    try:
        pixels = read_image(damaged / "train2017" / name)
        axes.imshow(pixels.permute(1, 2, 0))
        words = f"read, {tuple(pixels.shape)}"
    except DataError:
        words = "refused"
        axes.text(0.5, 0.5, "refused", ha="center", fontsize=12, transform=axes.transAxes)
    axes.set_title(f"{name}\n{words}", fontsize=8)
    captions.append(f"{name}: {words}")
show.figure(
    fig, alt="The same ten files, each read in full colour or refused. " + "; ".join(captions)
)
print(f"refused: {sum('refused' in caption for caption in captions)} of {len(captions)}")

# %% [markdown]
# Did you count one more? `zeroed_in_the_middle.jpg` was read, and half of it is nonsense. Its beginning and its end are sound, and
# a decoder reads on through the hole. No reader can find that one: only a **hash**, a fingerprint of the bytes that is stored with
# the data, tells. Remember it when a loss jumps for no reason.
#
# ## 1.3 · Boxes that can be used · 12 min
#
# Files are not the only thing that breaks. Boxes in real files reach over the edge of their image, have no width, or have corners
# in the wrong order. One such box can turn a loss into NaN ("not a number"), and from then on the whole detector is NaN.
#
# NaN is sly, so look at it before you write anything:

# %%
nan = float("nan")
print("nan > 3:", nan > 3, "  nan <= 3:", nan <= 3)
print("clamped to 0 … 10:", torch.tensor(nan).clamp(0, 10).item())

# %% [markdown]
# Both are False. So a test for what is *bad* lets it pass; a test for what is *good* doesn't. And which comes first: cutting at the
# edges, or testing? Take a box that lies beside a 320 × 240 image, from x = 330 to x = 350:

# %%
beside = torch.tensor([330.0, 20.0, 350.0, 40.0])
print("width before cutting", (beside[2] - beside[0]).item())
print("width after cutting ", (beside[2].clamp(0, 320) - beside[0].clamp(0, 320)).item())

# %% [markdown]
# ### Exercise 1.3 · `clean_boxes` · ●●○ · 10 min

# %%
# %%exercise clean_boxes
import torch
from torch import Tensor


def clean_boxes(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Clip boxes to their image, and drop those that can't be used.

    A box is dropped if a coordinate is NaN or infinite, or if no part of it is in the image:
    zero width or height, swapped corners (x2 < x1), or entirely outside. A box thinner than a
    pixel stays: small is not broken.

    Args:
        boxes: (N, 4) xyxy in pixels.
        size: (height, width) of the image.

    Returns:
        (K, 4) the remaining boxes, in their order; and (N,) bool, True for those that remain.

    >>> clean_boxes(torch.tensor([[-5., 10., 30., 40.], [50., 10., 50., 40.]]), (100, 200))
    (tensor([[ 0., 10., 30., 40.]]), tensor([ True, False]))
    """
    ### BEGIN SOLUTION
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(1)
    x1, x2 = x1.clamp(0, width), x2.clamp(0, width)
    y1, y2 = y1.clamp(0, height), y2.clamp(0, height)
    keep = boxes.isfinite().all(1) & (x2 > x1) & (y2 > y1)
    return torch.stack([x1, y1, x2, y2], dim=1)[keep], keep
    ### END SOLUTION


# %%
check("clean_boxes")

# %% [markdown]
# **Now be the tester.** `catch` runs your inputs against wrong answers that people really give. Below are two boxes that seem
# enough. Which mistakes get through? Add boxes to the list until none does.

# %%
tried = torch.tensor([[10.0, 20.0, 30.0, 40.0], [300.0, 200.0, 400.0, 300.0]])
catch("clean_boxes", (tried, (240, 320)))

# %% [markdown]
# ## 1.4 · Boxes go where the pixels go · 22 min
#
# Photographs differ in size, and a detector learns more from a picture if it sees it mirrored, too. Whatever you do to the pixels,
# the boxes must follow. Here is what happens when they don't:

# %%
where = max(range(len(per_image)), key=lambda row: 1 < per_image[row] < 6)
record = content["images"][where]
scene = read_image(folder / "train2017" / record["file_name"])
annotations = [annotation for annotation in by_image[record["id"]] if not annotation.get("iscrowd")]
names = [name_of[annotation["category_id"]] for annotation in annotations]
boxes = xywh_to_xyxy(
    torch.tensor([annotation["bbox"] for annotation in annotations], dtype=torch.float32)
)
height, width = scene.shape[1:]
half_as_wide = scene[:, :, ::2]  # crude: every other column

fig = Figure(figsize=(11, 3), layout="constrained")
panels = fig.subplots(1, 3, width_ratios=[2, 1, 2])
show.draw_boxes(panels[0], scene, boxes, names, title="as stored")
show.draw_boxes(panels[1], half_as_wide, boxes, names, title="half as wide, old boxes")
show.draw_boxes(panels[2], scene.flip(-1), boxes, names, title="mirrored, old boxes")
for axes, pixels in zip(panels, (scene, half_as_wide, scene)):
    axes.set(xlim=(0, pixels.shape[2]), ylim=(pixels.shape[1], 0))
    for text in axes.texts:
        text.set_clip_on(True)  # no names outside the picture
show.figure(
    fig,
    alt="A scene with its boxes; made narrower, and mirrored, with the old boxes beside the objects.",
)

# %% [markdown]
# Nothing crashes, and a detector trained on that learns nonsense. Resizing first: 6 pixels become 3, so a box from 2 to 4 becomes
# one from 1 to 2. The two directions may need **different** factors, since sizes are whole numbers: a 317 × 211 image at half its
# size is 158 or 159 wide and 105 or 106 tall, so take the factors from the sizes themselves.
#
# ### Exercise 1.4 · `resize_with_boxes` · ●○○ · 10 min
#
# To leave out every other column, as above, is crude: what lies in the others is lost. `torch.nn.functional.interpolate` does
# better. It resizes a *batch*, `(B, C, H, W)`. You need `mode="bilinear"` (means of neighbours) and `antialias=True`: a picture
# made smaller takes the mean of all the pixels that fall together.

# %%
# %%exercise resize_with_boxes
import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resize_with_boxes(image: Tensor, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resize an image to a given size, and its boxes with it.

    Args:
        image: (C, H, W) uint8 or float.
        boxes: (N, 4) xyxy in pixels of the image, float.
        size: the new (height, width). The two directions may scale by different factors.

    Returns:
        New tensors: the image, (C, *size) of the same dtype, bilinear with antialiasing; and
        the boxes in its pixels, not rounded.

    >>> resize_with_boxes(torch.zeros(3, 100, 200), torch.tensor([[20., 10., 40., 30.]]), (50, 50))[1]
    tensor([[ 5.,  5., 10., 15.]])
    """
    ### BEGIN SOLUTION
    y_scale, x_scale = size[0] / image.shape[1], size[1] / image.shape[2]
    resized = interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return resized, boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])
    ### END SOLUTION


# %%
check("resize_with_boxes")

# %% [markdown]
# Now the mirror. A tiny image, one row of six pixels, with a box around the first two:

# %%
row = torch.arange(6)
back = row.flip(0)
print("pixels  ", row.tolist(), "  the box from 0 to 2 holds", row[0:2].tolist())
print("mirrored", back.tolist(), "  the same two are from 4 to 6:", back[4:6].tolist())

# %% [markdown]
# Coordinates are **edges** between pixels, not numbers of pixels: six pixels have edges 0 to 6. So 0 becomes 6, and 2 becomes 4.
# What was the *left* edge is now which one?
#
# ### Exercise 1.5 · `flip_with_boxes` · ●○○ · 10 min

# %%
# %%exercise flip_with_boxes
import torch
from torch import Tensor


def flip_with_boxes(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Flip an image left to right, and its boxes with it.

    Args:
        image: (C, H, W).
        boxes: (N, 4) xyxy in pixels of the image.

    Returns:
        New tensors: the image and the boxes, of the same dtypes. x1 is still less than x2.

    >>> flip_with_boxes(torch.zeros(3, 2, 6), torch.tensor([[0., 0., 2., 1.]]))[1]
    tensor([[4., 0., 6., 1.]])
    """
    ### BEGIN SOLUTION
    width = image.shape[-1]
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], dim=-1)
    ### END SOLUTION


# %%
check("flip_with_boxes")

# %% [markdown]
# The picture from above, now with boxes that follow:

# %%
narrow, narrow_boxes = resize_with_boxes(scene, boxes, (height, width // 2))
mirrored, mirrored_boxes = flip_with_boxes(scene, boxes)

fig = Figure(figsize=(11, 3), layout="constrained")
panels = fig.subplots(1, 3, width_ratios=[2, 1, 2])
show.draw_boxes(panels[0], scene, boxes, names, title="as stored")
show.draw_boxes(panels[1], narrow, narrow_boxes, names, title="half as wide")
show.draw_boxes(panels[2], mirrored, mirrored_boxes, names, title="mirrored")
show.figure(
    fig, alt="The same scene, made narrower, and mirrored; now each box encloses its object."
)

# %% [markdown]
# ## 1.5 · A data set and a batch · 32 min
#
# You have the parts; now the whole. For PyTorch a **data set** is a thing with a length that gives a *sample* for a number: here an
# image, and a **target**, a dict of what is in it. Plan it on one image with three annotations, of which the second is a crowd and
# the third has no width:

# %%
raw = torch.tensor([[1.0, 1.0, 4.0, 3.0], [0.0, 0.0, 8.0, 6.0], [2.0, 2.0, 0.0, 3.0]])
is_crowd = torch.tensor([False, True, False])
left_over, keep = clean_boxes(xywh_to_xyxy(raw), (6, 8))
print("kept", keep.tolist(), "→ which of these are crowds?", is_crowd[keep].tolist())
print("single", left_over[~is_crowd[keep]].tolist(), "  crowd", left_over[is_crowd[keep]].tolist())
nothing = torch.tensor([])
print("no boxes:", tuple(nothing.shape), "→ we want", tuple(nothing.reshape(-1, 4).shape))

# %% [markdown]
# Labels and crowd marks go through the same `keep` as the boxes. Forget it for one of them, and every label behind a dropped box
# belongs to its neighbour: a mistake that no shape betrays, if you are unlucky.
#
# ### Exercise 1.6 · `CocoDataset` · ●●● · 20 min
#
# Four methods, each of at most 12 lines: read and index once, when it is made; then the length, a sample, and its target. Use what
# you have: `from my_detector import …` gives your functions, or the course's where yours are not right yet. An image's record says its
# `file_name`, `height` and `width`; boxes are cleaned to that size.

# %%
# %%exercise CocoDataset
import json
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from my_detector import clean_boxes, index_annotations, read_image, xywh_to_xyxy


class CocoDataset(Dataset):
    """The images of a COCO folder with their targets, including images without boxes.

    Args:
        annotation_file: COCO's JSON.
        image_folder: the folder of the image files.

    Attributes:
        classes: names; label 1 is the first.

    len(dataset) is the number of images in the file. dataset[index] is (image, target): a
    (3, H, W) uint8 tensor, and a dict of

        boxes: (N, 4) float32, xyxy in pixels, cleaned, without crowds; (0, 4) for no boxes.
        labels: (N,) int64, from 1, as `index_annotations` numbers them.
        crowd_boxes: (M, 4) float32, xyxy in pixels, cleaned: annotations whose "iscrowd" is 1.
            If "iscrowd" is missing, it is 0.
        image_id: COCO's id of the image, an int.
    """

    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        ### BEGIN SOLUTION
        content = json.loads(Path(annotation_file).read_text(encoding="utf-8"))
        self.images, self.folder = content["images"], Path(image_folder)
        self.annotations, self.label_of = index_annotations(content)
        names = {category["id"]: category["name"] for category in content["categories"]}
        self.classes = [names[category_id] for category_id in self.label_of]
        ### END SOLUTION

    def __len__(self) -> int:
        ### BEGIN SOLUTION
        return len(self.images)
        ### END SOLUTION

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        ### BEGIN SOLUTION
        return read_image(self.folder / self.images[index]["file_name"]), self.target(index)
        ### END SOLUTION

    def target(self, index: int) -> dict:
        """Return the target of a sample without reading its image."""
        ### BEGIN SOLUTION
        image = self.images[index]
        records = self.annotations[image["id"]]
        raw = torch.tensor([record["bbox"] for record in records], dtype=torch.float32)
        labels = torch.tensor([self.label_of[record["category_id"]] for record in records]).long()
        is_crowd = torch.tensor([record.get("iscrowd", 0) for record in records]).bool()
        boxes = xywh_to_xyxy(raw.reshape(-1, 4))
        boxes, keep = clean_boxes(boxes, (image["height"], image["width"]))
        labels, is_crowd = labels[keep], is_crowd[keep]
        single = {"boxes": boxes[~is_crowd], "labels": labels[~is_crowd]}
        return {**single, "crowd_boxes": boxes[is_crowd], "image_id": image["id"]}
        ### END SOLUTION


# %%
check("CocoDataset")

# %%
train_set = CocoDataset(annotation_file, folder / "train2017")
image, target = train_set[0]
classes = train_set.classes
print(f"{len(train_set)} images, {len(classes)} classes: {', '.join(classes[:6])} …")
print("image ", tuple(image.shape), image.dtype)
for key, value in target.items():
    print(f"{key:11}", (tuple(value.shape), value.dtype) if torch.is_tensor(value) else value)

# %% [markdown]
# Last, the **batch**. A `DataLoader` takes a few samples and stacks them. Does it work with ours?

# %%
from torch.utils.data import DataLoader

shapes = {tuple(train_set[row][0].shape) for row in range(8)}
print("shapes among the first 8:", shapes)
try:
    next(iter(DataLoader(train_set, batch_size=8)))
except Exception as error:
    print(type(error).__name__, str(error)[:150])

# %% [markdown]
# It can't know how: our images differ in size, and each target has another number of boxes. So we tell it, with a function that it
# calls `collate_fn`. The images are laid into one block of zeros, each in the **upper left corner**: there (0, 0) stays (0, 0), and
# no box moves. The backbone of lesson 02 halves its maps five times, so both sides should be multiples of 2⁵ = 32.
#
# ### Exercise 1.7 · `collate` · ●●○ · 10 min
#
# On paper first: images of 240 × 320 and 320 × 211 (height × width). What is the smallest batch for stride 32?

# %%
# %%exercise collate
import math

import torch
from torch import Tensor


def collate(samples: list[tuple[Tensor, dict]], stride: int = 32) -> tuple[Tensor, list[dict]]:
    """Pad images of different sizes with zeros, right and below, and stack them into one batch.

    Args:
        samples: images (3, H, W) of one dtype, each with its target.
        stride: height and width of the batch are multiples of it.

    Returns:
        (B, 3, H', W') of the images' dtype, as small as possible; and the list of targets,
        unchanged, because no box has moved.
    """
    ### BEGIN SOLUTION
    images, targets = zip(*samples)
    height = math.ceil(max(image.shape[1] for image in images) / stride) * stride
    width = math.ceil(max(image.shape[2] for image in images) / stride) * stride
    batch = images[0].new_zeros(len(images), 3, height, width)
    for row, image in zip(batch, images):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch, list(targets)
    ### END SOLUTION


# %%
check("collate")

# %%
shapes = [(image["height"], image["width"]) for image in content["images"]]
wide = [row for row, (height, width) in enumerate(shapes) if width > height][:2]
tall = [row for row, (height, width) in enumerate(shapes) if width < height][:2]
samples = [train_set[row] for row in wide + tall]
batch, targets = collate(samples)
used = sum(image.numel() for image, _ in samples) / batch.numel()

fig = Figure(figsize=(11, 3), layout="constrained")
for axes, row, target in zip(fig.subplots(1, len(batch)), batch, targets):
    names = [classes[label - 1] for label in target["labels"]]
    title = f"image {target['image_id']}"
    show.draw_boxes(axes, row, target["boxes"], names, title=title, hatched=target["crowd_boxes"])
show.figure(fig, alt="Images of a batch: wide ones with a black margin below, tall ones right.")
print(f"a batch {tuple(batch.shape)} of {batch.dtype}, {batch.numel() / 2**20:.1f} MB")
print(f"{1 - used:.0%} of it is filling")

loader = DataLoader(train_set, batch_size=4, shuffle=True, collate_fn=collate)
print("and now it loads:", tuple(next(iter(loader))[0].shape))

# %% [markdown]
# That is a loader: from a JSON file to batches. The black margin is computed on like all the rest, which is why the course's
# loader for training puts wide images with wide ones and tall with tall.
#
# ## 1.6 · The damaged set · 9 min
#
# Now the folder of the first picture: sound scenes, then the ten files, and some broken boxes. First the loader that many begin
# with, torchvision's `CocoDetection`.

# %%
import contextlib
import io

from torchvision.datasets import CocoDetection

damaged_file = damaged / "annotations" / "instances_train2017.json"
with contextlib.redirect_stdout(io.StringIO()):
    naive = CocoDetection(damaged / "train2017", damaged_file)
done = 0
try:
    for _image, _annotations in naive:
        done += 1
except Exception as error:
    print(f"{done} of {len(naive)} images, then: {type(error).__name__}: {error}")

# %% [markdown]
# In a training over night that is a screen with a traceback in the morning. And yours? `read_image` refuses a damaged file with a
# `DataError`, which is right for reading, but an epoch should go on. So a small coat around the data set takes the next image
# instead, and the sample **says what was skipped**. (Not a count in the data set: with workers, each process has its own copy.)

# %%
from torch.utils.data import Dataset


class Careful(Dataset):
    """A data set in which a sample that can't be read is replaced by the next that can."""

    def __init__(self, dataset):
        self.dataset, self.classes = dataset, dataset.classes

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        skipped = []
        for step in range(len(self)):
            try:
                image, target = self.dataset[(index + step) % len(self)]
                return image, {**target, "skipped": skipped}
            except DataError as error:
                skipped.append(str(error))
        raise DataError("not one of the images can be read")


rough = CocoDataset(damaged_file, damaged / "train2017")
skipped, seen = set(), 0
for _batch, targets in DataLoader(Careful(rough), batch_size=4, collate_fn=collate):
    seen += len(targets)
    skipped |= {reason for target in targets for reason in target["skipped"]}
print(f"{seen} samples; {len(skipped)} files skipped:")
for reason in sorted(skipped):
    print("  ", reason.replace(str(damaged / "train2017") + os.sep, "")[:110])

# %% [markdown]
# Your loader got through, and the report names each file and why. The boxes were dropped one by one on the way; which, and why?

# %%
rough_content = json.loads(damaged_file.read_text())
sizes = {image["id"]: (image["height"], image["width"]) for image in rough_content["images"]}


def what_is_wrong(annotation):
    if annotation["image_id"] not in sizes:
        return "its image is not in the file"
    box = xywh_to_xyxy(torch.tensor([annotation["bbox"]]))
    if clean_boxes(box, sizes[annotation["image_id"]])[1].all():
        return ""
    if not box.isfinite().all():
        return "not a number"
    return "no width or height" if (box[:, 2:] <= box[:, :2]).any() else "beside its image"


for annotation in rough_content["annotations"]:
    if reason := what_is_wrong(annotation):
        print(f"annotation {annotation['id']}  {annotation['bbox']!s:28} {reason}")
stored, used = len(rough_content["annotations"]), 0
for annotations in index_annotations(rough_content)[0].values():
    used += sum(not what_is_wrong(annotation) for annotation in annotations)
print(f"{stored} annotations, {used} of them usable")

# %% [markdown]
# One rule more, which the course's loader keeps: if **over a tenth** of the files can't be read, it stops and says so. That is no
# accident of a few files any more, but a wrong folder or a broken disk, and going on would hide it. Here it would have stopped:

# %%
print(f"{len(skipped)} of {len(rough)} files: {len(skipped) / len(rough):.0%}")

# %% [markdown]
# ## 1.7 · Samples a second · 9 min
#
# Training waits for data whenever the loader is slower than the detector. Photographs are larger than what we train on, so each is
# read in full, then made smaller, in every epoch again. Two cures are usual: **store resized images** once, or let **worker
# processes** read ahead. Which is worth it here?
#
# We need originals of COCO's size, 640 pixels on the long side, and the same stored at 320. One function stores both, as a COCO
# folder that any loader can read. (Without crowds: we only measure. And `mini`'s scenes are enlarged for it; they are smaller files
# than photographs are.)

# %%
import tempfile
from pathlib import Path


def fitted(image, long_side):
    """Height and width with the longer one at `long_side`."""
    factor = long_side / max(image.shape[1:])
    return round(image.shape[1] * factor), round(image.shape[2] * factor)


def store(dataset, rows, long_side, folder):
    """Write samples, resized, as a COCO folder, and give it as a data set."""
    images, annotations, pictures = [], [], folder / "train2017"
    pictures.mkdir(parents=True)
    for number, row in enumerate(rows, start=1):
        image, target = dataset[row]
        image, boxes = resize_with_boxes(image, target["boxes"], fitted(image, long_side))
        name, (height, width) = f"{number:06}.jpg", image.shape[1:]
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(pictures / name, quality=90)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), target["labels"].tolist()):
            box = {"id": len(annotations) + 1, "image_id": number, "category_id": label}
            box |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            annotations.append(box)
    categories = [{"id": n, "name": name} for n, name in enumerate(dataset.classes, 1)]
    lists = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations").mkdir()
    file = folder / "annotations" / "instances_train2017.json"
    file.write_text(json.dumps(lists))
    return CocoDataset(file, pictures)


# %%
work = Path(tempfile.mkdtemp())
some = range(min(quick(80, 24), len(train_set)))
originals = store(Careful(train_set), some, 640, work / "original")
small = store(originals, range(len(originals)), 320, work / "small")
for name in ("original", "small"):
    files = [path.stat().st_size for path in (work / name / "train2017").iterdir()]
    print(f"{name:9} {len(files)} files, {sum(files) / len(files) / 1024:.0f} KB each")

# %% [markdown]
# The originals need a coat, too, that resizes each sample when it is asked for. **Predict:** how many times faster is reading the
# small files? And how much do two workers add? Write both down.

# %%
from coursekit.data import load
from coursekit.data.loader import make_loader
from coursekit.lessons.checking.runner import can_fork


class Resized(Dataset):
    """A data set with its samples made smaller on the way."""

    def __init__(self, dataset, long_side):
        self.dataset, self.long_side = dataset, long_side

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        image, target = self.dataset[index]
        size = fitted(image, self.long_side)
        image, boxes = resize_with_boxes(image, target["boxes"], size)
        return image, {**target, "boxes": boxes}


def speed(batches):
    """Samples a second: the best of three rounds, after one in which workers start."""
    sum(len(targets) for _, targets in batches())
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        count = sum(len(targets) for _, targets in batches())
        rates.append(count / (time.perf_counter() - start))
    return max(rates)


def speed_of(dataset, workers=0):
    how = {"multiprocessing_context": "fork", "persistent_workers": True} if workers else {}
    loader = DataLoader(dataset, batch_size=8, collate_fn=collate, num_workers=workers, **how)
    return speed(lambda: iter(loader))


ways = {
    "originals, resized on the way": speed_of(Resized(originals, 320)),
    "stored small": speed_of(small),
}
if can_fork():  # where processes can't be forked, workers can't take a class from a notebook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ways["originals, 2 workers"] = speed_of(Resized(originals, 320), workers=2)
        ways["stored small, 2 workers"] = speed_of(small, workers=2)
fast = make_loader(load(work / "small", "train"), 8, train=False)
ways["stored small, the course's loader"] = speed(lambda: fast.epoch(0))
for name, rate in ways.items():
    print(f"{name:34} {rate:6.0f} samples a second")

# %% [markdown]
# These numbers mean little alone. How many samples does *training* eat in a second? We let the course's detector train on the small
# images, and ask.

# %%
from coursekit.detector import build_detector
from coursekit.training import TrainConfig, train

torch.manual_seed(0)
shown = load(work / "small", "train").first(quick(32, 8))
detector = build_detector(num_classes=len(train_set.classes))
history = train(detector, shown, TrainConfig(epochs=1, batch_size=8, warmup_steps=2))
eats = history[-1].images / history[-1].seconds
print(f"training eats {eats:.1f} samples a second")

# %%
fig = Figure(figsize=(9, 3), layout="constrained")
axes = fig.subplots()
axes.barh(list(ways), list(ways.values()), color="#0072B2")
axes.axvline(eats, color="#D55E00", linestyle="dashed")
axes.text(eats * 1.05, len(ways) - 0.45, "training eats this much", color="#D55E00", fontsize=8)
for row, rate in enumerate(ways.values()):
    axes.text(rate * 1.03, row, f"{rate:.0f}", va="center", fontsize=8)
axes.set(xscale="log", xlabel="samples a second (each step of the scale is ten times more)")
axes.set(xlim=(1, 2 * max(ways.values())), ylim=(-0.6, len(ways) - 0.1))
words = "; ".join(f"{name}: {rate:.0f}" for name, rate in ways.items())
show.figure(fig, alt=f"Bars of samples a second: {words}. A dashed line: training eats {eats:.1f}.")

slowest, best = ways["originals, resized on the way"], max(ways, key=ways.get)
for name, rate in ways.items():
    print(f"{name:34} {eats / rate:6.1%} more time for a step, if nothing reads ahead")
print(f"fastest: {best}, {ways[best] / slowest:.1f} times the originals")
if eats / slowest < 0.05:
    print("on this machine none is worth it: loading is under a twentieth of the work as it is")
else:
    print("on this machine it is worth it: loading costs a twentieth of the work or more")

# %% [markdown]
# Were workers slower than none? That happens: a worker is a process of its own, each batch must travel from it to yours, and here
# reading is so quick that the journey costs more. And they want cores that training wants, too.
#
# Read the last line of your machine, not of a blog post. On a CPU the detector is so slow that most loaders keep up. With a GPU the
# dashed line moves right by a factor of ten or more, and then it decides. **Measure before you make anything faster**: lesson 08
# shows how to see, in a running training, whether it waits for data.

# %%
import shutil

shutil.rmtree(work)

# %% [markdown]
# ## 1.8 · What could go wrong
#
# - **"IndexError: Dimension out of range", now and then.** An image without annotations gave boxes of the shape `(0,)`
#   ([torchvision 2192](https://github.com/pytorch/vision/issues/2192)). `.reshape(-1, 4)`.
# - **"The loss is NaN after a few steps."** Most often a box without width or with its corners exchanged
#   ([torchvision 2240](https://github.com/pytorch/vision/issues/2240) gathers the reports). `clean_boxes`.
# - **"The boxes look completely wrong."** COCO writes width and height, the model wants a corner
#   ([torchvision 1093](https://github.com/pytorch/vision/issues/1093)). `xywh_to_xyxy`, and draw before you train.
# - **"Some images come out turned, and their boxes don't."** EXIF ([DALI 3120](https://github.com/NVIDIA/DALI/issues/3120), and
#   nearly every other project). Annotation tools show the upright picture.
#
# Did something else go wrong for you, or did you find a case that the check had not tried? Note it.

# %%
journal("01")

# %% [markdown]
# ## 1.9 · What you learned
#
# An index is one walk through the list. Labels are counted, ids are not. Reading ends with the last byte, not with `open`. Boxes
# and labels go through the same filter, and boxes go where pixels go. A loader that skips must say what. And a speed means nothing
# until you know how much is eaten.
#
# **Three questions to think about**
#
# <details><summary>1. Your own val.json lacks one class that train.json has. What happens to the labels?</summary>
#
# Every class behind it moves up by one in val, so a good detector scores badly, and nothing crashes. Keep the categories of both
# files the same, also where a class has no box. (This is why labels follow the list of categories, not the classes that occur.)
#
# </details>
# <details><summary>2. In training a damaged image may be replaced by the next. Why not in evaluation?</summary>
#
# The next image would count twice, and its boxes too. There it is left out, and the report says so.
#
# </details>
# <details><summary>3. Why are the images bytes until the last moment, and not floats from 0 to 1?</summary>
#
# A float takes four bytes. The batch would be four times as large, in memory, between processes and on its way to a GPU. There it
# is turned into floats in no time.
#
# </details>
#
# **Next: 02 · The backbone.** Your batches go into a network, and you see what it makes of them.
#
# **To read on:** T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, section 4 (how the annotations were made, and
# what a crowd is) · the [format of COCO's files](https://cocodataset.org/#format-data) · PyTorch's manual on
# [torch.utils.data](https://pytorch.org/docs/stable/data.html) · T. Gebru et al., *Datasheets for Datasets*, 2021, section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 120, of which 90 writing; seven small functions. Groups that run late can leave `collate` for home.
#
# **What people get wrong.** One list shared by all images (`dict.fromkeys(ids, [])`); images without annotations lost; an EXIF orientation ignored;
# height and width exchanged, which square test images hide; boxes tested before they are cut; x1 and x2 that don't change places in a mirror.
#
# **Questions to ask.** Which of the damaged files would you rather crash on, and why? What does a detector learn from a crowd taken for one box? When
# is a second worker worth its memory? Have them show one file of the `damaged` set that their own reader let through.
