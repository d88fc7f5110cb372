"""Wrong answers that people really give. Each is a class named `wrong_…`; those named `right_…` must pass."""

import json

import torch
from torch.utils.data import Dataset

from coursekit.data.boxes import clean_boxes, xywh_to_xyxy
from coursekit.from_scratch.loader import index_annotations, read_image


class wrong_image_without_boxes_fails(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found])
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (record["height"], record["width"]))
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found])[keep]
        crowd = torch.tensor([one.get("iscrowd", 0) for one in found]).bool()[keep]
        target = {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}
        return read_image(self.folder / record["file_name"]), target | {"image_id": record["id"]}


class wrong_category_ids_for_labels(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (record["height"], record["width"]))
        labels = torch.tensor([one["category_id"] for one in found], dtype=torch.int64)[keep]
        crowd = torch.tensor([one.get("iscrowd", 0) for one in found], dtype=torch.bool)[keep]
        target = {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}
        return read_image(self.folder / record["file_name"]), target | {"image_id": record["id"]}


class wrong_crowds_among_the_boxes(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (record["height"], record["width"]))
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)[keep]
        target = {"boxes": boxes, "labels": labels, "crowd_boxes": torch.empty(0, 4)}
        return read_image(self.folder / record["file_name"]), target | {"image_id": record["id"]}


class wrong_labels_not_dropped(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        single = [one for one in found if not one.get("iscrowd")]
        many = [one for one in found if one.get("iscrowd")]
        size = record["height"], record["width"]
        boxes, crowd_boxes = (
            clean_boxes(xywh_to_xyxy(torch.tensor([one["bbox"] for one in some]).float().reshape(-1, 4)), size)[0]
            for some in (single, many)
        )
        labels = torch.tensor([self.label_of[one["category_id"]] for one in single], dtype=torch.int64)
        target = {"boxes": boxes, "labels": labels, "crowd_boxes": crowd_boxes, "image_id": record["id"]}
        return read_image(self.folder / record["file_name"]), target


class wrong_not_converted(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
        boxes, keep = clean_boxes(raw, (record["height"], record["width"]))
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)[keep]
        crowd = torch.tensor([one.get("iscrowd", 0) for one in found], dtype=torch.bool)[keep]
        target = {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}
        return read_image(self.folder / record["file_name"]), target | {"image_id": record["id"]}


class wrong_only_images_with_boxes(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.annotations, self.label_of = index_annotations(content)
        self.images = [one for one in content["images"] if self.annotations[one["id"]]]
        self.folder = image_folder
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (record["height"], record["width"]))
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)[keep]
        crowd = torch.tensor([one.get("iscrowd", 0) for one in found], dtype=torch.bool)[keep]
        target = {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}
        return read_image(self.folder / record["file_name"]), target | {"image_id": record["id"]}


class wrong_position_for_id(Dataset):
    def __init__(self, annotation_file, image_folder):
        content = json.loads(annotation_file.read_text())
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {one["id"]: one["name"] for one in content["categories"]}
        self.classes = [names[id_] for id_ in self.label_of]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (record["height"], record["width"]))
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)[keep]
        crowd = torch.tensor([one.get("iscrowd", 0) for one in found], dtype=torch.bool)[keep]
        target = {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}
        return read_image(self.folder / record["file_name"]), target | {"image_id": index}


class right_row_by_row(Dataset):
    def __init__(self, annotation_file, image_folder):
        with annotation_file.open() as file:
            self.content = json.load(file)
        self.folder = image_folder
        self.annotations, self.label_of = index_annotations(self.content)
        order = sorted(self.content["categories"], key=lambda one: one["id"])
        self.classes = [one["name"] for one in order]

    def __len__(self):
        return len(self.annotations)

    def __getitem__(self, index):
        record = self.content["images"][index]
        return read_image(self.folder / record["file_name"]), self.target(index)

    def target(self, index):
        record = self.content["images"][index]
        size = record["height"], record["width"]
        rows = {True: ([], []), False: ([], [])}
        for one in self.annotations[record["id"]]:
            box, keep = clean_boxes(xywh_to_xyxy(torch.tensor([one["bbox"]]).float()), size)
            if keep.all():
                boxes, labels = rows[bool(one.get("iscrowd", 0))]
                boxes.append(box[0])
                labels.append(self.label_of[one["category_id"]])
        single, crowds = (torch.stack(rows[key][0]) if rows[key][0] else torch.zeros(0, 4) for key in (False, True))
        labels = torch.tensor(rows[False][1], dtype=torch.int64)
        return {"image_id": record["id"], "boxes": single, "labels": labels, "crowd_boxes": crowds}
