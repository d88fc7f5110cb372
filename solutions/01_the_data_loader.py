# %% [markdown]
# # 01 · The data loader
#
# **150 minutes · you need lesson 00 · no GPU needed**
#
# A detector is trained on batches: a block of pixels, and for each image its boxes. What you have on disk is a JSON file and a folder of
# images, some of them broken. In this lesson you build everything in between.
#
# When you're done, you can
#
# - group COCO's annotations by image, and turn its category ids into labels,
# - read any image file that a folder may contain, and refuse a damaged one with a message that helps,
# - resize and mirror an image so that its boxes still fit,
# - say how many samples a second your loader delivers, and whether it's worth making it faster.
#
# If you meet a term you don't know, look it up in [the glossary](GLOSSARY.md).

# %% tags=["setup"]
import coursekit.show as show
from coursekit.lessons import catch, check, hint, journal, lesson_map, quick, recall, reference

lesson_map(1)

# %% [markdown]
# Why so much care? Here are ten files from one folder, all called `.jpg`, read the way most tutorials do it. **How many of the ten will
# come out right?** Look at the colors, too.

# %% tags=["read"]
import numpy as np
from PIL import Image

from coursekit.data.load_by_name import find_folder
from coursekit.data.synthetic.damaged import DAMAGED_FILES

damaged = find_folder("damaged")


def read_as_in_tutorials(path):
    return np.asarray(Image.open(path))


# %% tags=["write"]
my_guess = 8  # of ten files; yours
show.file_grid(damaged / "train2017", list(DAMAGED_FILES), read_as_in_tutorials)
print(f"you said that {my_guess} come out right; one does, the PNG with the wrong name")

# %% [markdown]
# Half of them crash. Of the others, one has a single channel instead of three, one has four and looks wrong, one is on its side, and one is
# nonsense below the middle. Only the PNG with the wrong name is right. And the four bad ones came without an error. Your loader will get
# through this folder.
#
# ## 1.1 · One file, three lists · 28 min
#
# First, the annotations. The file has three lists: `images`, `annotations` and `categories`. An annotation names its image and its
# category by their **ids**.

# %% tags=["setup"]
import json
import os

DATA = os.environ.get("COURSEKIT_DATA", "mini")  # to use other data, put its name or folder here
folder = find_folder(DATA)
annotation_file = folder / "annotations" / "instances_train2017.json"
content = json.loads(annotation_file.read_text(encoding="utf-8"))
print({part: len(content[part]) for part in ("images", "annotations", "categories")})

# %% [markdown]
# Look at some entries. **Which class does this object have, and in which file is it?**

# %% tags=["write"]
entry = content["annotations"][0]  # yours: other annotations, or entries of the other lists
{key: value for key, value in entry.items() if key != "segmentation"}

# %% tags=["call"]
show.annotation_counts(content)

# %% [markdown]
# Three things to notice:
#
# - **Images without annotations** (hatched). That's no mistake: a detector must learn to find nothing, too.
# - **Category ids with gaps.** A classifier numbers its outputs 0, 1, 2, 3, and 0 is the **background** (no object). So each id needs a
#   **label**: 1 for the lowest id, 2 for the next, without gaps.
# - **Crowds.** If `iscrowd` is 1, the box isn't one object but a region with many, such as a bowl of apples or people in a stand.
#
# The annotations aren't sorted by image. Searching the whole list for each image is simple. **How long would that take for all of COCO,
# 118,287 images and 860,001 annotations?**

# %% tags=["write"]
from timeit import timeit

my_hours = 0.1  # yours
search = '[record for record in content["annotations"] if record["image_id"] == 1001]'
seconds = timeit(search, globals=globals(), number=50) / 50 / len(content["annotations"])
hours = seconds * 118_287 * 860_001 / 3600
print(f"{seconds * 1e9:.0f} ns per annotation, so {hours:.1f} hours; you said {my_hours}")

# %% [markdown]
# So go through the list **once**, and put each annotation on the pile of its image. On paper first: which piles, and which labels?
#
#     images       7, 8, 9
#     annotations  A of image 9,  B of image 7,  C of image 9,  D of image 4 (which isn't there)
#     categories   44 bottle, 1 person, 18 dog
#
# ### Exercise 1.1 · `index_annotations` · ●●○ · 18 min · explain only


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
# From here on, `index_annotations` is yours if it is correct, and the reference if not. Here it is on the whole file. With it, we find an
# image with a crowd and one without any annotation.

# %% tags=["read"]
by_image, label_of = index_annotations(content)
print("labels:", dict(list(label_of.items())[:6]), "…")
crowded = [id_ for id_, records in by_image.items() if any(r.get("iscrowd") for r in records)]
empty = [id_ for id_, records in by_image.items() if not records]

# %% tags=["call"]
special = crowded[:1] + empty[:1] or list(by_image)[:1]
show.coco_images(folder / "train2017", content, by_image, special)

# %% [markdown]
# Look at the crowd: nobody counted what's in it. Training on it as *one* object would be wrong, and so would be punishing a detector for
# the objects that it finds inside. So we keep crowds apart and learn nothing from them.
#
# ## 1.2 · Any file a folder may contain · 26 min
#
# An image file says what it is in its first bytes; its name doesn't matter. Pillow reads dozens of formats, and each picture has a
# **mode**: which numbers make a pixel. **Guess first:** what is the shape of this picture, 2 pixels wide and 1 high, in other modes?

# %% tags=["write"]
mode = "CMYK"  # yours: "RGB", "L", "P", "RGBA", "1"
values = np.array(Image.new("RGB", (2, 1), (200, 40, 40)).convert(mode))
print(f"{mode}: shape {values.shape}, first pixel {values[0, 0]}")

# %% [markdown]
# A detector wants one kind only: three bytes, for red, green and blue. `.convert("RGB")` makes that of any mode.
#
# There are two more traps. A phone that is held upright often stores the picture on its side, with a note in the file's **EXIF** data that
# says how to turn it. Pillow doesn't turn it on its own; `ImageOps.exif_transpose(picture)` does. And opening a file isn't reading it:

# %% tags=["read"]
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
# `open` looks at the header, and `verify` at a bit more. Only `load`, or the first call that needs pixels, decodes the file. So the `try`
# has to include that.
#
# Which errors can occur? Nobody has a list: decoders fail on broken files in places that their authors never thought of. That's why
# `except Exception` is right here, and almost nowhere else. What you raise instead is always the **same** kind, `DataError`, so that your
# callers know what to expect, and its message says which file.
#
# ### Exercise 1.2 · `read_image` · ●●○ · 15 min · delegate
#
# The badge says that an assistant may write this one. Your part is the test, below the check.

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
# Even if an assistant wrote it, **choose the files that it must be tried on**, until no known wrong answer gets through. In this `catch`, a file is named
# by its kind. Images: `"png"`, `"gray"`, `"cmyk"`, `"palette"`, `"alpha"`, `"1 bit"`, `"on its side"`, `"png on its side"`, and
# `"orientation 2"` to `"orientation 8"`, the ways in which EXIF can turn or mirror a picture. Not images, or damaged: `"text"`, `"empty"`,
# `"missing"`, `"cut in half"`, `"cut by 2"`, `"png cut in half"`, `"broken png"`, and `"bomb"`, which claims to be enormous.

# %%
catch("read_image", ("png",), ("gray",))

# %% [markdown]
# Now the same ten files once more, **read by `read_image`**. How many will it refuse?

# %% tags=["write"]
my_refused = 9  # of ten files; yours

# %% tags=["call"]
show.file_grid(damaged / "train2017", list(DAMAGED_FILES), read_image)
print("you said", my_refused)

# %% [markdown]
# Six of the files are damaged, and it refused five. `zeroed_in_the_middle.jpg` was read, and half of it is nonsense. It begins and ends as
# it should, and a decoder reads on through the hole. No reader can detect that. Only a **hash** can, a fingerprint of the bytes that is
# stored with the data. Remember this file when a loss jumps for no reason.
#
# ## 1.3 · Boxes that can be used · 18 min
#
# Files aren't the only thing that breaks. Boxes in real data reach over the edge of their image, have no width, or a negative one, because
# their corners are swapped. One such box can turn a loss into NaN ("not a number"), and from then on the whole detector is NaN.
#
# NaN is sneaky, so look at it before you write anything. And what should come first, clipping a box to the image or testing it? The box here
# reaches from x = 330 to 350, in an image 320 pixels wide. **Guess all five outputs.**

# %% tags=["read"]
import torch

nan = torch.tensor(float("nan"))
print("nan > 3: ", (nan > 3).item())
print("nan <= 3:", (nan <= 3).item())
print("nan clipped to 0 … 320:", nan.clamp(0, 320).item())
x1, x2 = torch.tensor([330.0, 350.0])
print("width before clipping:", (x2 - x1).item())
print("width after clipping: ", (x2.clamp(0, 320) - x1.clamp(0, 320)).item())

# %% [markdown]
# Both comparisons are False. So a test for what is *bad* lets a NaN through, and a test for what is *good* doesn't.
#
# ### Exercise 1.3 · `clean_boxes` · ●●○ · 12 min · explain only

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
        boxes: (N, 4) xyxy in pixels, float, on any device.
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
# **Now you're the tester.** The two boxes below seem to be enough. How many wrong answers get through? Add boxes until none does.

# %%
catch(
    "clean_boxes",
    (torch.tensor([[10.0, 20.0, 30.0, 40.0], [300.0, 200.0, 400.0, 300.0]]), (240, 320)),
)

# %% [markdown]
# ## 1.4 · Boxes go where the pixels go · 25 min
#
# Photographs differ in size, and a detector learns more from a picture if it sees it mirrored, too. Whatever you do to the pixels, the
# boxes must follow. This is what happens if they don't:

# %% tags=["read"]
from my_detector import xywh_to_xyxy

record = next(image for image in content["images"] if 1 < len(by_image[image["id"]]) < 6)
scene, annotations = read_image(folder / "train2017" / record["file_name"]), by_image[record["id"]]
boxes = xywh_to_xyxy(torch.tensor([annotation["bbox"] for annotation in annotations]).float())
name_of = {category["id"]: category["name"] for category in content["categories"]}
names = [name_of[annotation["category_id"]] for annotation in annotations]

# %% tags=["call"]
panels = {"as stored": (scene, boxes, names)}
panels["half as wide, old boxes"] = scene[:, :, ::2], boxes, names  # every other column
panels["mirrored, old boxes"] = scene.flip(-1), boxes, names
show.image_row(
    panels, "A scene; made narrower, and mirrored, with the old boxes next to the objects."
)

# %% [markdown]
# Nothing crashes, and a detector trained on that learns nonsense. Resizing first: 6 pixels become 3, so a box from 2 to 4 becomes one from
# 1 to 2. The two directions may need **different** factors, because sizes are whole numbers: half of a 317 × 211 image is 158 or 159 wide
# and 105 or 106 high. So compute the factors from the sizes.
#
# One more thing. Boxes and images may be on a GPU, and a tensor that you create is on the CPU: the two don't mix.
# `boxes.new_tensor(…)` creates one where `boxes` is, with the same dtype. The check tests that, too.
#
# ### Exercise 1.4 · `resize_with_boxes` · ●○○ · 10 min · explain only
#
# Leaving out every other column, as above, is crude: what was in them is lost. `torch.nn.functional.interpolate` does better. It resizes a
# *batch*, `(B, C, H, W)`. You need `mode="bilinear"` (a mean of neighbors) and `antialias=True`: if a picture is made smaller, each new pixel
# is the mean of all the pixels that it covers.

# %%
# %%exercise resize_with_boxes
import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resize_with_boxes(image: Tensor, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resize an image to a given size, and its boxes with it.

    Args:
        image: (C, H, W) uint8 or float, on any device.
        boxes: (N, 4) xyxy in pixels of the image, float, on the same device.
        size: the new (height, width). The two directions may scale by different factors.

    Returns:
        New tensors: the image, (C, *size) of the same dtype, bilinear with antialiasing, uint8
        values rounded to the nearest; and the boxes in its pixels, not rounded.

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
# Now the mirror. Here is a tiny image, one row of six pixels. **Where is the box from 0 to 2 in the mirror?** Change the two numbers until
# the second line shows the same two pixels as the first.

# %% tags=["write"]
row = torch.arange(6)
left, right = 3, 5  # yours
print("pixels  ", row.tolist(), "  box from 0 to 2:", row[0:2].tolist())
back = row.flip(0)
print("mirrored", back.tolist(), f"  box from {left} to {right}:", back[left:right].tolist())

# %% [markdown]
# Coordinates are the **edges** between pixels, not the numbers of pixels: six pixels have the edges 0 to 6. What was the *left* edge of the
# box is now which one?
#
# ### Exercise 1.5 · `flip_with_boxes` · ●○○ · 8 min · explain only

# %%
# %%exercise flip_with_boxes
import torch
from torch import Tensor


def flip_with_boxes(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Flip an image left to right, and its boxes with it.

    Args:
        image: (C, H, W), on any device.
        boxes: (N, 4) xyxy in pixels of the image, on the same device.

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

# %% tags=["call"]
panels = {"as stored": (scene, boxes, names)}
narrow = scene.shape[1], scene.shape[2] // 2
panels["half as wide"] = *resize_with_boxes(scene, boxes, narrow), names
panels["mirrored"] = *flip_with_boxes(scene, boxes), names
show.image_row(
    panels, "The same scene, made narrower, and mirrored; now each box encloses its object."
)

# %% [markdown]
# ## 1.5 · A data set and a batch · 39 min
#
# You have the parts; now for the whole. For PyTorch, a **data set** is an object with a length that returns a *sample* for a number: here, an
# image and its **target**, a dict of what's in it. Plan it with one image and three annotations, of which the second is a crowd and the
# third has no width. **What will be left?**

# %% tags=["read"]
from my_detector import clean_boxes

raw = torch.tensor([[1.0, 1.0, 4.0, 3.0], [0.0, 0.0, 8.0, 6.0], [2.0, 2.0, 0.0, 3.0]])
is_crowd = torch.tensor([False, True, False])
kept, keep = clean_boxes(xywh_to_xyxy(raw), (6, 8))
print("keep", keep.tolist(), "→ of the boxes kept, which are crowds?", is_crowd[keep].tolist())
print("objects", kept[~is_crowd[keep]].tolist(), "  crowds", kept[is_crowd[keep]].tolist())
nothing = torch.tensor([])
print("no annotations:", tuple(nothing.shape), "→ we need", tuple(nothing.reshape(-1, 4).shape))

# %% [markdown]
# Labels and crowds go through the same `keep` as the boxes. If you forget that for one of them, each label after a dropped box belongs to
# its neighbor, and the shapes may not even tell.
#
# ### Exercise 1.6 · `CocoDataset` · ●●● · 25 min · explain only
#
# Write four methods of at most 12 lines each: read and index once, when the object is made; then the length, a sample, and its target. Use
# what you have: `from my_detector import …` gives you your functions, or the reference where yours aren't correct yet. An image's record has
# its `file_name`, `height` and `width`; clean the boxes to that size.

# %%
recall("index_annotations", "read_image", "xywh_to_xyxy", "clean_boxes")

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
        annotation_file: COCO's JSON. The numbers of a box may be whole, as in [1, 2, 4, 3].
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


# %% tags=["read"]
def open_coco(folder):
    return CocoDataset(folder / "annotations" / "instances_train2017.json", folder / "train2017")


train_set = open_coco(folder)
image, target = train_set[0]
print(f"{len(train_set)} images; the first: {tuple(image.shape)} {image.dtype}")
for key, value in target.items():
    print(f"{key:11}", (tuple(value.shape), value.dtype) if torch.is_tensor(value) else value)

# %% [markdown]
# Last, the **batch**. A `DataLoader` takes a few samples and stacks them. **Will that work with ours?**

# %% tags=["read"]
from torch.utils.data import DataLoader

try:
    next(iter(DataLoader(train_set, batch_size=8)))
except Exception as error:
    print(type(error).__name__, str(error)[:150])

# %% [markdown]
# It can't know how: our images differ in size, and our targets in their number of boxes. So we give it a function, its `collate_fn`. That
# copies the images into one block of zeros, each into the **top left corner**: there, (0, 0) stays (0, 0), and no box has to move. The
# backbone of lesson 02 halves its maps five times, so both sides should be multiples of 2⁵ = 32.
#
# ### Exercise 1.7 · `collate` · ●●○ · 12 min · delegate
#
# On paper first: images of 240 × 320 and 320 × 211 (height × width). What is the smallest batch for a stride of 32?

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

# %% [markdown]
# Again, the test is yours. Add batches until no known wrong answer gets through. Each input is a list of samples, and perhaps a stride.


# %% tags=["write"]
def sample(height, width, dtype=torch.uint8, boxes=1):
    image = torch.full((3, height, width), 7).to(dtype)
    return image, {"boxes": torch.ones(boxes, 4), "image_id": height}


catch("collate", ([sample(32, 64)],), ([sample(20, 30), sample(20, 30)], 16))

# %% [markdown]
# And this is a batch of your data. **Which four images give the most padding?**

# %% tags=["write"]
rows = [0, 1, 2, 3]  # yours
samples = [train_set[row] for row in rows]
batch, targets = collate(samples)
used = sum(image.numel() for image, _ in samples) / batch.numel()
print(f"a batch of shape {tuple(batch.shape)}, {1 - used:.0%} of it padding")

# %% tags=["call"]
panels = {
    f"image {target['image_id']}": (image, target, train_set.classes)
    for image, target in zip(batch, targets)
}
show.image_row(panels, "The images of a batch, each in the top left corner; the rest is black.")

# %% [markdown]
# That's a loader, from a JSON file to batches. The model computes on the black padding like on all the rest. That's why the course's
# training loader groups wide images with wide ones, and tall ones with tall ones.
#
# ## 1.6 · The damaged set · 6 min
#
# Now for the folder from the first picture: intact scenes, the ten files, and some broken boxes. First comes the data set that many people
# start with, torchvision's `CocoDetection`. It stops at the first file that it can't read. In a training run, that's a traceback in the
# morning.
#
# And yours? `read_image` refuses a damaged file with a `DataError`. That's right for reading a file, but an epoch should go on. So we wrap the
# data set in a [small class](../src/coursekit/lessons/experiments/damaged_files.py), `Skipping`, that takes the next image instead and
# **says what it skipped**. **How many samples will an epoch have: as many as there are images, or fewer?**

# %% tags=["write"]
my_answer = "fewer"  # yours: or "as many"

# %% tags=["read"]
from torchvision.datasets import CocoDetection

from coursekit.lessons.experiments import damaged_files

damaged_file = damaged / "annotations" / "instances_train2017.json"
damaged_files.count_until_error(CocoDetection(damaged / "train2017", damaged_file))
dataset = open_coco(damaged)
count = damaged_files.load_all(damaged_files.Skipping(dataset), collate)
print(f"{count} samples of {len(dataset)} images; you said {my_answer}")

# %% [markdown]
# Your loader got through, and its report says which files and why. There are as many samples as images: each skipped one is replaced by the
# next, which then occurs twice. Broken boxes were dropped on the way, most of them by `clean_boxes`. Which ones?

# %% tags=["call"]
damaged_files.unusable_boxes(json.loads(damaged_file.read_text(encoding="utf-8")), clean_boxes)

# %% [markdown]
# The course's loader has one more rule. If **more than a tenth** of the files can't be read, it stops. That's no longer an accident with a few
# files, but a wrong folder or a failing disk, and skipping would hide it. Ask `coursekit data verify damaged` in a terminal.
#
# ## 1.7 · Samples per second · 8 min
#
# If the loader is slower than the detector, training waits for data. Photographs are larger than what we train on, so each one is decoded
# in full and then made smaller, again in every epoch. There are two common cures: **store the images resized**, or let **worker processes**
# read ahead.
#
# **Predict:** if the images are stored at 320 pixels instead of 640, how many times as fast is reading them? And with two workers?

# %% tags=["write"]
my_smaller, my_workers = 2.0, 2.0  # times as fast; yours

# %% [markdown]
# To measure that, we need images as large as COCO's, 640 pixels on the long side, and the same ones stored at 320. (`mini`'s scenes are
# enlarged for it. Their files are smaller than those of photographs.)

# %% tags=["setup"]
import tempfile
from pathlib import Path

from coursekit.data import load
from coursekit.lessons.experiments import loader_speed

work = tempfile.TemporaryDirectory()  # it is removed when the notebook is closed
large, small = (Path(work.name) / name for name in ("640 px", "320 px"))
for long_side, place in ((640, large), (320, small)):
    loader_speed.store(
        loader_speed.Resized(train_set, long_side, resize_with_boxes), quick(80, 24), place
    )

# %% [markdown]
# A worker is a process of its own. On Linux it starts as a copy of yours (`fork`). On Windows and macOS it starts empty (`spawn`): it imports
# everything again, and then needs the data set and your functions. It can find those in `my_detector`, because that is a module; it couldn't
# find a class from a notebook cell. That's why a `Dataset` belongs in a file.

# %% tags=["write"]
resized = loader_speed.Resized(open_coco(large), 320, resize_with_boxes)
ways = {  # name: data set, number of workers
    "640 px, resized when read": (resized, 0),
    "640 px, resized, 2 workers": (resized, 2),
    "stored at 320 px": (open_coco(small), 0),
    "stored at 320 px, 2 workers": (open_coco(small), 2),
    "stored at 320 px, course's loader": (load(small, "train"), 0),
}
rates = loader_speed.samples_per_second(ways, collate)  # yours: start_method="spawn"
alone, two_workers, stored, *_ = rates.values()
print(f"stored smaller: {stored / alone:.1f} times as fast, you said {my_smaller}")
print(f"with 2 workers: {two_workers / alone:.1f} times, you said {my_workers}")

# %% [markdown]
# (The first round includes starting the workers.) On their own, these numbers say little. How many samples does *training* need? Let's train the course's detector on the small images.

# %% tags=["call"]
needed = loader_speed.training_needs(load(small, "train").first(quick(32, 8)))
show.loading_rates(rates, needed)
loader_speed.longer_steps(rates, needed)

# %% [markdown]
# Were two workers slower than none? That happens: each batch has to travel from the worker's process to yours, and if reading is quick, the
# trip costs more than it saves. Workers also take cores away from training, if that runs on the CPU.
#
# Believe your own machine, not a blog post. If the last column says less than a few percent, a faster loader wouldn't help you. With a GPU, the
# dashed line moves right by a factor of ten or more, and then it matters. **Measure before you optimize**: lesson 08 shows how to see whether
# a training run waits for data.
#
# ## What could go wrong
#
# - **"IndexError: Dimension out of range", now and then.** An image without annotations gave boxes of shape `(0,)`
#   ([vision#2192](https://github.com/pytorch/vision/issues/2192)). Use `.reshape(-1, 4)`.
# - **"The loss is NaN after a few steps."** Most of the time it's a box without width, or with swapped corners
#   ([vision#2240](https://github.com/pytorch/vision/issues/2240)). Use `clean_boxes`.
# - **"The boxes look completely wrong."** COCO stores width and height, the model wants a corner
#   ([vision#1093](https://github.com/pytorch/vision/issues/1093)). Use `xywh_to_xyxy`, and draw before you train.
# - **"Some images come out on their side, and their boxes don't."** EXIF ([DALI#2660](https://github.com/NVIDIA/DALI/issues/2660)). Annotation
#   tools show the upright picture.
#
# Did something else go wrong for you? Or did you find an input that the check hadn't tried? Make a note.

# %%
journal("01")

# %% [markdown]
# ## What you learned
#
# An index is one pass over the list. Labels are counted, ids aren't. A file is read when its last byte is decoded, not when it's opened.
# Boxes and labels go through the same filter, and boxes go where the pixels go. A loader that skips must say what. And a speed means nothing
# until you know how much is needed.
#
# **Three questions to think about**
#
# <details><summary>1. Your val.json lacks a class that train.json has. What happens to the labels?</summary>
#
# In val, each later class moves up by one. So a good detector scores badly, and nothing crashes. Keep the categories of both files the same,
# even if a class has no boxes. (That's why labels follow the list of categories, not the classes that occur.)
#
# </details>
# <details><summary>2. In training, the next image may replace a damaged one. Why not in evaluation?</summary>
#
# The next image would count twice, and so would its boxes. In evaluation, a damaged image is left out, and the report says so.
#
# </details>
# <details><summary>3. Why are images bytes until the last moment, and not floats from 0 to 1?</summary>
#
# A float32 takes four bytes. The batch would be four times as large: in memory, between processes, and on its way to a GPU. The GPU converts
# it in no time.
#
# </details>
#
# **Next: 02 · The backbone.** Your batches go into a network, and you see what it makes of them.
#
# **Read on:** T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, section 4 (how the annotations were made, and what a crowd
# is) · the [format of COCO's files](https://cocodataset.org/#format-data) · PyTorch's page on
# [torch.utils.data](https://pytorch.org/docs/stable/data.html) · T. Gebru et al., *Datasheets for Datasets*, 2021, section 3.

# %% [markdown] tags=["instructor"]
# ## For instructors
#
# **Minutes.** 150, of which 100 for the exercises, seven small functions. Groups that run late can leave `collate` for home.
#
# **What people get wrong.** One list shared by all images (`dict.fromkeys(ids, [])`); losing images without annotations; ignoring EXIF; swapping
# height and width, which square test images hide; testing boxes before they are clipped; x1 and x2 that don't change places in the mirror.
#
# **Questions to ask.** Which of the damaged files would you rather crash on, and why? What does a detector learn from a crowd that is taken for one
# box? When is a second worker worth its memory? Have them show a file of the `damaged` set that their own reader lets through.
