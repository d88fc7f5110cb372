"""Exercise 1.6: the images of a COCO folder, each with its target."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import Dataset

from coursekit.core.errors import DataError
from coursekit.data.boxes import clean_boxes, xywh_to_xyxy
from coursekit.from_scratch import loader
from coursekit.from_scratch.loader import index_annotations, read_image
from coursekit.lessons.case_inputs import content_of, entry
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one image with one box", content_of([7], [entry(1, 7)]))
    yield case("an image without annotations between two others", content_of([7, 8, 9], [entry(1, 7), entry(2, 9)]))
    yield case("a category id that is not its label", content_of([7], [entry(1, 7, 44)], (1, 18, 44)))
    yield case("categories that are not sorted by id", content_of([7], [entry(1, 7, 18)], (44, 1, 18)))
    yield case("a crowd and a single object", content_of([7], [entry(1, 7, iscrowd=1), entry(2, 7)]))
    yield case(
        "a crowd across the edge, and one of width 0",
        content_of(
            [7],
            [
                entry(1, 7, bbox=(5, 4, 50, 60), iscrowd=1),
                entry(2, 7, bbox=(1, 1, 0, 3), iscrowd=1),
                entry(3, 7),
            ],
        ),
    )
    named = content_of([7], [entry(1, 7, 2), entry(2, 7, 3)], (1, 2, 3))
    for category, name in zip(named["categories"], ("zebra", "ant", "dog"), strict=True):
        category["name"] = name
    yield case("categories whose names are not in the alphabet's order", named)
    yield case("category ids of one and two digits", content_of([7], [entry(1, 7, 9), entry(2, 7, 10)], (10, 9, 2)))
    yield case("a class without annotations", content_of([7], [entry(1, 7, 3)], (1, 2, 3, 4)))
    unknown = [entry(1, 7), entry(2, 999), entry(3, 8)]
    yield case("an annotation of an image that is not in the file", content_of([7, 8], unknown))
    yield case("a box half a pixel wide, which stays", content_of([7], [entry(1, 7, bbox=(1, 1, 0.5, 0.5))]))
    yield case("boxes with fractions", content_of([7], [entry(1, 7, bbox=(0.25, 1.5, 3.3, 2.7))]))
    yield case("a crowd only", content_of([7], [entry(1, 7, iscrowd=1)]))
    flat = [entry(1, 7, 1, (1, 1, 0, 3)), entry(2, 7, 2, iscrowd=1), entry(3, 7, 3)]
    yield case("a box of width 0 before others", content_of([7], flat, (1, 2, 3)))
    yield case("a box across the edge of the image", content_of([7], [entry(1, 7, bbox=(5, 4, 50, 60))]))
    yield case("only a box with a NaN", content_of([7], [entry(1, 7, bbox=(float("nan"), 1, 4, 3))]))
    plain = {key: value for key, value in entry(1, 7).items() if key != "iscrowd"}
    yield case("an annotation without iscrowd", content_of([7], [plain]))
    many = [entry(n, 7 + n % 2, 1 + n % 3, (n, n, 2, 3), iscrowd=int(n == 5)) for n in range(8)]
    yield case("two tall images with eight boxes", content_of([8, 7], many, (3, 2, 1), size=(20, 9)))


def call(answer, content):
    """Return what an answer reads from a folder with this annotation file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        annotation_file = Path(name) / "annotations" / "boxes.json"
        annotation_file.parent.mkdir()
        annotation_file.write_text(json.dumps(content))
        for place, record in enumerate(content["images"]):
            width_height = record["width"], record["height"]  # Pillow's order
            Image.new("RGB", width_height, (40 * place, 20, 90)).save(folder / record["file_name"])
        dataset = answer(annotation_file, folder)
        try:
            samples = [dataset[index] for index in range(len(dataset))]
        except DataError as error:
            return {"reading the images": f"DataError: {str(error).replace(str(Path(name)), '…')}"}
        again = [dataset.target(index) for index in range(len(dataset))]
        for path in folder.glob("*.png"):
            path.unlink()
        try:
            without_images = [dataset.target(index)["image_id"] for index in range(len(dataset))]
        except DataError as error:
            without_images = f"DataError: {str(error).replace(str(folder), '…')}"
    keys = ("boxes", "labels", "crowd_boxes", "image_id")
    return {
        "len": len(dataset),
        "target(…) after the images were deleted": without_images,
        "classes": list(dataset.classes),
        "images": [image for image, _ in samples],
        "targets": [{key: target[key] for key in keys if key in target} for _, target in samples],
        "targets, asked for once more": [{key: target[key] for key in keys if key in target} for target in again],
        "type of image_id": [type(target.get("image_id")).__name__ for _, target in samples],
        "other keys of a target": sorted({key for _, target in samples for key in target} - set(keys)),
    }


# Wrong answers


class _Right(Dataset):
    """A right answer in pieces, so that each wrong one changes a piece."""

    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        self.names = {category["id"]: category["name"] for category in content["categories"]}
        self.classes = [self.names[category_id] for category_id in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return read_image(self.folder / self.images[index]["file_name"]), self.target(index)

    def annotations_of(self, index):
        return self.annotations[self.images[index]["id"]]

    def label(self, annotation):
        return self.label_of[annotation["category_id"]]

    def is_crowd(self, annotation):
        return annotation.get("iscrowd", 0) == 1

    def raw(self, annotations):
        return torch.tensor([annotation["bbox"] for annotation in annotations], dtype=torch.float32).reshape(-1, 4)

    def clean(self, boxes, record):
        return clean_boxes(xywh_to_xyxy(boxes), (record["height"], record["width"]))

    def target(self, index):
        annotations = self.annotations_of(index)
        boxes, keep = self.clean(self.raw(annotations), self.images[index])
        labels = torch.tensor([self.label(annotation) for annotation in annotations], dtype=torch.int64)[keep]
        crowd = torch.tensor([self.is_crowd(annotation) for annotation in annotations], dtype=torch.bool)[keep]
        target = {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}
        return target | {"image_id": self.images[index]["id"]}


class wrong_only_images_with_annotations(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.images = [image for image in self.images if self.annotations[image["id"]]]


class wrong_category_ids_as_labels(_Right):
    def label(self, annotation):
        return annotation["category_id"]


class wrong_labels_from_zero(_Right):
    def label(self, annotation):
        return super().label(annotation) - 1


class wrong_names_in_file_order(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.classes = list(self.names.values())


class wrong_trains_on_crowds(_Right):
    def is_crowd(self, annotation):
        return False


class wrong_loses_crowds(_Right):
    def target(self, index):
        return super().target(index) | {"crowd_boxes": torch.empty(0, 4)}


class wrong_shape_without_boxes(_Right):
    def target(self, index):
        target = super().target(index)
        return target if len(target["boxes"]) else target | {"boxes": torch.tensor([])}


class wrong_fails_without_boxes(_Right):
    def raw(self, annotations):
        return torch.tensor([annotation["bbox"] for annotation in annotations])


class wrong_not_converted(_Right):
    def clean(self, boxes, record):
        return clean_boxes(boxes, (record["height"], record["width"]))


class wrong_neither_converted_nor_cleaned(_Right):
    def target(self, index):
        single = [annotation for annotation in self.annotations_of(index) if not self.is_crowd(annotation)]
        return super().target(index) | {"boxes": self.raw(single)}


class wrong_not_cleaned(_Right):
    def clean(self, boxes, record):
        return xywh_to_xyxy(boxes), torch.ones(len(boxes), dtype=torch.bool)


class wrong_keeps_labels_of_dropped_boxes(_Right):
    def target(self, index):
        labels = [self.label(annotation) for annotation in self.annotations_of(index) if not self.is_crowd(annotation)]
        return super().target(index) | {"labels": torch.tensor(labels, dtype=torch.int64)}


class wrong_position_for_image_id(_Right):
    def target(self, index):
        return super().target(index) | {"image_id": index}


class wrong_target_reads_the_image(_Right):
    def target(self, index):
        read_image(self.folder / self.images[index]["file_name"])
        return super().target(index)


class wrong_no_target(_Right):
    target = None


class wrong_swaps_height_and_width(_Right):
    def clean(self, boxes, record):
        return clean_boxes(xywh_to_xyxy(boxes), (record["width"], record["height"]))


class wrong_needs_iscrowd(_Right):
    def is_crowd(self, annotation):
        return annotation["iscrowd"] == 1


class wrong_crowds_not_cleaned(_Right):
    def target(self, index):
        crowds = [annotation for annotation in self.annotations_of(index) if self.is_crowd(annotation)]
        return super().target(index) | {"crowd_boxes": xywh_to_xyxy(self.raw(crowds))}


class wrong_names_sorted(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.classes = sorted(self.names.values())


class wrong_labels_by_name(wrong_names_sorted):
    def label(self, annotation):
        return self.classes.index(self.names[annotation["category_id"]]) + 1


class wrong_images_beside_the_annotations(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.folder = annotation_file.parent


class wrong_changes_the_records(_Right):
    def raw(self, annotations):
        for annotation in annotations:
            x, y, width, height = annotation["bbox"]
            annotation["bbox"] = [x, y, x + width, y + height]
        return super().raw(annotations)

    def clean(self, boxes, record):
        return clean_boxes(boxes, (record["height"], record["width"]))


class wrong_image_id_a_tensor(_Right):
    def target(self, index):
        return super().target(index) | {"image_id": torch.tensor(self.images[index]["id"])}


class wrong_image_id_a_tensor_of_one(_Right):
    def target(self, index):
        return super().target(index) | {"image_id": torch.tensor([self.images[index]["id"]])}


class wrong_image_id_as_text(_Right):
    def target(self, index):
        return super().target(index) | {"image_id": str(self.images[index]["id"])}


class wrong_crowds_dropped_with_the_boxes(_Right):
    def annotations_of(self, index):
        return [annotation for annotation in super().annotations_of(index) if not self.is_crowd(annotation)]


class wrong_labels_of_crowds_too(_Right):
    def target(self, index):
        labels = [self.label(annotation) for annotation in self.annotations_of(index)]
        return super().target(index) | {"labels": torch.tensor(labels, dtype=torch.int64)}


class wrong_float64(_Right):
    def target(self, index):
        target = super().target(index)
        return target | {"boxes": target["boxes"].double()}


class wrong_float_labels(_Right):
    def target(self, index):
        target = super().target(index)
        return target | {"labels": target["labels"].float()}


class wrong_floats(_Right):
    def __getitem__(self, index):
        image, target = super().__getitem__(index)
        return image / 255, target


class wrong_counts_annotations(_Right):
    def __len__(self):
        return sum(len(records) for records in self.annotations.values())


class wrong_names_by_id(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.classes = self.names


class wrong_names_with_the_background(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.classes = ["background", *self.classes]


class wrong_whole_pixels(_Right):
    def raw(self, annotations):
        return super().raw(annotations).round()


class wrong_drops_small_boxes(_Right):
    def clean(self, boxes, record):
        boxes, keep = super().clean(boxes, record)
        large = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
        keep[keep.clone()] = large
        return boxes[large], keep


class wrong_no_crowd_boxes_without_crowds(_Right):
    def target(self, index):
        target = super().target(index)
        return target if len(target["crowd_boxes"]) else target | {"crowd_boxes": None}


class wrong_no_crowd_boxes(_Right):
    def target(self, index):
        target = super().target(index)
        del target["crowd_boxes"]
        return target


class wrong_sorted_images(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(annotation_file, image_folder)
        self.images = sorted(self.images, key=lambda image: image["id"])


class wrong_int32_labels(_Right):
    def target(self, index):
        target = super().target(index)
        return target | {"labels": target["labels"].int()}


# Another right answer


class right_row_by_row(Dataset):
    def __init__(self, annotation_file, image_folder):
        with annotation_file.open() as file:
            self.content = json.load(file)
        self.folder = image_folder
        self.annotations, self.label_of = index_annotations(self.content)
        categories = sorted(self.content["categories"], key=lambda category: category["id"])
        self.classes = [category["name"] for category in categories]

    def __len__(self):
        return len(self.annotations)

    def __getitem__(self, index):
        record = self.content["images"][index]
        return read_image(self.folder / record["file_name"]), self.target(index)

    def target(self, index):
        record = self.content["images"][index]
        boxes, labels, crowd_boxes = [torch.zeros(0, 4)], [], [torch.zeros(0, 4)]
        for annotation in self.annotations[record["id"]]:
            box = xywh_to_xyxy(torch.tensor([annotation["bbox"]]).float())
            box, keep = clean_boxes(box, (record["height"], record["width"]))
            if annotation.get("iscrowd", 0):
                crowd_boxes.append(box)
            elif keep.all():
                boxes.append(box)
                labels.append(self.label_of[annotation["category_id"]])
        target = {"boxes": torch.cat(boxes), "labels": torch.tensor(labels, dtype=torch.int64)}
        return {"image_id": record["id"], "crowd_boxes": torch.cat(crowd_boxes)} | target


class right_with_targets_made_at_the_start(_Right):
    def __init__(self, annotation_file, image_folder):
        super().__init__(Path(annotation_file), Path(image_folder))
        self.targets = [super(right_with_targets_made_at_the_start, self).target(n) for n in range(len(self))]

    def target(self, index):
        return dict(self.targets[index])


EXERCISE = Exercise(
    "CocoDataset",
    lesson=1,
    minutes=25,
    regions=4,
    reference=loader.CocoDataset,
    cases=cases,
    call=call,
    hints=(
        "“An image without boxes fails.” torch.tensor([]) has shape (0,) and dtype float32. .reshape(-1, 4) makes it (0, 4). "
        "dtype=torch.int64 keeps labels integers when there are none.",
        "“Labels and boxes don't match.” clean_boxes returns two things: the boxes that are left, and a mask of the boxes it "
        "kept. labels[keep] and is_crowd[keep] drop the same ones. Only then separate the crowds.",
        "“Nearly there.” annotations = self.annotations[record['id']]; make three tensors of it: bbox, with "
        "dtype=torch.float32 and reshape(-1, 4); label, with dtype=torch.int64; and annotation.get('iscrowd', 0), with "
        "dtype=torch.bool. boxes, keep = clean_boxes(xywh_to_xyxy(raw), (height, width)); "
        "then [keep] for the other two. 'boxes' is boxes[~is_crowd], 'crowd_boxes' is boxes[is_crowd].",
    ),
    wrong=(
        Wrong(
            wrong_only_images_with_annotations,
            "images without annotations are missing, but a detector needs those, too",
        ),
        Wrong(wrong_category_ids_as_labels, "the category id is taken for the label"),
        Wrong(wrong_labels_from_zero, "labels start at 0, which is the background"),
        Wrong(wrong_names_in_file_order, "names follow the order of the file, but labels follow the order of the ids"),
        Wrong(wrong_trains_on_crowds, "crowds are among the boxes, as if they were single objects"),
        Wrong(wrong_loses_crowds, "crowds are missing, so detections inside one count as errors"),
        Wrong(wrong_shape_without_boxes, "for an image without boxes, boxes has shape (0,), not (0, 4)"),
        Wrong(wrong_not_converted, "boxes are still left, top, width, height"),
        Wrong(wrong_not_cleaned, "boxes are not cleaned"),
        Wrong(
            wrong_keeps_labels_of_dropped_boxes,
            "a box is dropped but its label is not, so all boxes after it have the wrong class",
        ),
        Wrong(wrong_position_for_image_id, "image_id is the position in the list, not COCO's id"),
        Wrong(wrong_target_reads_the_image, "target reads the image, which it doesn't need"),
        Wrong(wrong_swaps_height_and_width, "height and width are swapped"),
        Wrong(wrong_needs_iscrowd, "it fails on an annotation without iscrowd"),
        Wrong(wrong_fails_without_boxes),
        Wrong(wrong_neither_converted_nor_cleaned),
        Wrong(wrong_no_target),
        Wrong(wrong_crowds_not_cleaned, "crowds are not cleaned"),
        Wrong(wrong_names_sorted, "names are sorted by the alphabet, but labels follow the order of the ids"),
        Wrong(wrong_labels_by_name, "labels follow the alphabet of the names, not the order of the ids"),
        Wrong(
            wrong_images_beside_the_annotations,
            "images are looked for beside the annotation file, not in `image_folder`",
        ),
        Wrong(wrong_changes_the_records, "the annotations are changed in place, so the second time a target is wrong"),
        Wrong(wrong_image_id_a_tensor, "image_id is a tensor, but it should be an int"),
        Wrong(wrong_image_id_a_tensor_of_one, "image_id is a tensor, but it should be an int"),
        Wrong(wrong_image_id_as_text),
        Wrong(wrong_crowds_dropped_with_the_boxes),
        Wrong(wrong_labels_of_crowds_too, "crowds have labels among the others, so labels and boxes don't match"),
        Wrong(wrong_float64, "boxes are float64, not float32"),
        Wrong(wrong_float_labels, "labels are floats, not int64"),
        Wrong(wrong_floats, "the image holds floats, not uint8"),
        Wrong(wrong_counts_annotations, "len counts annotations, not images"),
        Wrong(wrong_names_by_id),
        Wrong(wrong_names_with_the_background, "the background is among the classes: label 1 is the first name"),
        Wrong(wrong_whole_pixels, "boxes are rounded to whole pixels"),
        Wrong(wrong_drops_small_boxes, "boxes thinner than a pixel are dropped"),
        Wrong(wrong_no_crowd_boxes_without_crowds, "without crowds, crowd_boxes should be empty, of shape (0, 4)"),
        Wrong(wrong_no_crowd_boxes, "a target has no crowd_boxes"),
        Wrong(wrong_sorted_images, "images are sorted by id, not in the order of the file"),
        Wrong(wrong_int32_labels, "labels are int32, not int64"),
    ),
    right=(right_row_by_row, right_with_targets_made_at_the_start),
    library=("torchvision.datasets.CocoDetection", "torchvision.datasets.wrap_dataset_for_transforms_v2"),
)
