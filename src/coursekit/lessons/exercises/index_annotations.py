"""Exercise 1.1: index annotations by image, and number the classes."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator

import torch

from coursekit.from_scratch.loader import index_annotations
from coursekit.lessons.case_inputs import content_of, entry
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one image with one annotation", content_of([7], [entry(1, 7)]))
    yield case("an image without annotations", content_of([7, 8], [entry(1, 7)]))
    yield case("no annotations", content_of([7, 8], []))
    yield case("two annotations of one image", content_of([7], [entry(1, 7), entry(2, 7)]))
    yield case("annotations in another order than the images", content_of([8, 7], [entry(1, 7), entry(2, 8)]))
    yield case("two images with one annotation each", content_of([1, 2], [entry(5, 1), entry(6, 2)]))
    yield case("an annotation of an image that is not in the file", content_of([7], [entry(1, 7), entry(2, 999)]))
    yield case("a crowd, which is kept", content_of([7], [entry(1, 7), entry(2, 7, iscrowd=1)]))
    yield case("category ids with a gap", content_of([7], [entry(1, 7, 3)], (1, 3)))
    yield case("category ids of one, two and three digits", content_of([7], [entry(1, 7, 2)], (100, 9, 20, 2)))
    yield case("image ids of one, two and three digits", content_of([100, 9, 20], [entry(1, 9), entry(2, 100)]))
    named = content_of([7], [entry(1, 7, 2)], (1, 2, 3))
    for category, name in zip(named["categories"], ("zebra", "ant", "dog"), strict=True):
        category["name"] = name
    yield case("categories whose names are not in the alphabet's order", named)
    yield case("categories that are not sorted by id", content_of([7], [entry(1, 7)], (44, 1, 18)))
    yield case("a category without annotations", content_of([7], [entry(1, 7, 18)], (1, 18, 90)))
    flat = [entry(1, 7, bbox=(1, 1, 0, 3)), entry(2, 7, bbox=(1, 1, 3, 0)), {**entry(3, 7), "area": 0}]
    yield case("boxes of width 0, of height 0 and of area 0, which are kept", content_of([7], flat))
    yield case("two equal boxes, which are both kept", content_of([7], [entry(1, 7), entry(2, 7), entry(3, 7)]))
    crowds = [entry(3, 7, iscrowd=1), entry(1, 7), entry(2, 7, iscrowd=1)]
    yield case("crowds before and after a single object: the order is the file's", content_of([7], crowds))
    plain = {key: value for key, value in entry(1, 7).items() if key != "iscrowd"}
    yield case("an annotation without iscrowd", content_of([7], [plain]))
    yield case("an annotation of a category that is not in the file", content_of([7], [entry(1, 7, 5)], (1, 2)))
    mixed = [entry(4, 3), entry(3, 9, 5), entry(2, 3, 5, iscrowd=1), entry(1, 999)]
    yield case("all of that at once", content_of([9, 3, 5], mixed, (7, 5, 1)))


def call(answer, content):
    by_image, label_of = answer(content)
    return {image_id: list(annotations) for image_id, annotations in by_image.items()}, dict(sorted(label_of.items()))


# Wrong answers


def _by_image(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] in by_image:
            by_image[annotation["image_id"]].append(annotation)
    return by_image


def _labels(content, start=1):
    ids = sorted(category["id"] for category in content["categories"])
    return {category_id: label for label, category_id in enumerate(ids, start)}


def wrong_fails_on_an_unknown_image(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return by_image, _labels(content)


def wrong_adds_unknown_images(content):
    by_image = defaultdict(list, {image["id"]: [] for image in content["images"]})
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return by_image, _labels(content)


def wrong_one_list_for_all(content):
    by_image = dict.fromkeys([image["id"] for image in content["images"]], [])  # noqa: RUF024 - the mistake
    for annotation in content["annotations"]:
        if annotation["image_id"] in by_image:
            by_image[annotation["image_id"]].append(annotation)
    return by_image, _labels(content)


def wrong_only_images_with_annotations(content):
    by_image = {image_id: annotations for image_id, annotations in _by_image(content).items() if annotations}
    return by_image, _labels(content)


def wrong_starts_from_the_annotations(content):
    by_image = {}
    for annotation in content["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    return by_image, _labels(content)


def wrong_last_annotation_only(content):
    return {image_id: annotations[-1:] for image_id, annotations in _by_image(content).items()}, _labels(content)


def wrong_drops_crowds(content):
    single = [annotation for annotation in content["annotations"] if not annotation.get("iscrowd")]
    return _by_image(content | {"annotations": single}), _labels(content)


def wrong_category_ids_as_labels(content):
    return _by_image(content), {category_id: category_id for category_id in _labels(content)}


def wrong_labels_from_zero(content):
    return _by_image(content), _labels(content, start=0)


def wrong_labels_in_file_order(content):
    return _by_image(content), {category["id"]: label for label, category in enumerate(content["categories"], 1)}


def wrong_labels_of_used_classes_only(content):
    ids = sorted({annotation["category_id"] for annotation in content["annotations"]})
    return _by_image(content), {category_id: label for label, category_id in enumerate(ids, 1)}


def wrong_label_to_category(content):
    return _by_image(content), {label: category_id for category_id, label in _labels(content).items()}


def wrong_positions_for_image_ids(content):
    return dict(enumerate(_by_image(content).values())), _labels(content)


def wrong_boxes_only(content):
    by_image = _by_image(content)
    return {id_: [annotation.get("bbox") for annotation in by_image[id_]] for id_ in by_image}, _labels(content)


def wrong_ids_sorted_as_text(content):
    ids = sorted((category["id"] for category in content["categories"]), key=str)
    return _by_image(content), {category_id: label for label, category_id in enumerate(ids, 1)}


def wrong_sorted_by_name(content):
    categories = sorted(content["categories"], key=lambda category: category["name"])
    return _by_image(content), {category["id"]: label for label, category in enumerate(categories, 1)}


def _without(content, is_dropped):
    kept = [annotation for annotation in content["annotations"] if not is_dropped(annotation)]
    return _by_image(content | {"annotations": kept})


def wrong_drops_flat_boxes(content):
    return _without(content, lambda annotation: 0 in annotation.get("bbox", [1] * 4)[2:]), _labels(content)


def wrong_drops_boxes_of_width_0(content):
    return _without(content, lambda annotation: annotation.get("bbox", [1] * 4)[2] == 0), _labels(content)


def wrong_drops_area_0(content):
    return _without(content, lambda annotation: annotation.get("area") == 0), _labels(content)


def wrong_drops_unknown_categories(content):
    labels = _labels(content)
    return _without(content, lambda annotation: annotation["category_id"] not in labels), labels


def wrong_sorted_images(content):
    return dict(sorted(_by_image(content).items())), _labels(content)


def wrong_sorted_annotations(content):
    by_image = _by_image(content)
    return {id_: sorted(by_image[id_], key=lambda record: record["id"]) for id_ in by_image}, _labels(content)


def wrong_crowds_last(content):
    by_image = _by_image(content)
    return {id_: sorted(by_image[id_], key=lambda record: record.get("iscrowd", 0)) for id_ in by_image}, _labels(
        content
    )


def wrong_newest_first(content):
    return {id_: records[::-1] for id_, records in _by_image(content).items()}, _labels(content)


def wrong_same_box_once(content):
    by_image = _by_image(content)
    unique = {id_: list({str(record.get("bbox")): record for record in by_image[id_]}.values()) for id_ in by_image}
    return unique, _labels(content)


def wrong_ids_as_text(content):
    return {str(id_): records for id_, records in _by_image(content).items()}, _labels(content)


def wrong_files_for_ids(content):
    by_image = _by_image(content)
    return {image["file_name"]: by_image[image["id"]] for image in content["images"]}, _labels(content)


def wrong_counts_from_the_lowest_id(content):
    lowest = min(_labels(content))
    return _by_image(content), {category_id: category_id - lowest + 1 for category_id in _labels(content)}


def wrong_background_too(content):
    return _by_image(content), {0: 0} | _labels(content)


def wrong_adds_labels_to_the_records(content):
    by_image, labels = _by_image(content), _labels(content)
    for records in by_image.values():
        for record in records:
            record["label"] = labels.get(record["category_id"], 0)
    return by_image, labels


def wrong_sorts_the_categories_in_place(content):
    content["categories"].sort(key=lambda category: category["id"])
    return _by_image(content), _labels(content)


def wrong_needs_iscrowd(content):
    return _without(content, lambda annotation: annotation["iscrowd"] not in (0, 1)), _labels(content)


def wrong_dict_of_annotations(content):
    by_image = _by_image(content)
    return {id_: {record["id"]: record for record in by_image[id_]} for id_ in by_image}, _labels(content)


# Right answers


def right_with_a_defaultdict(content):
    annotations_of = defaultdict(list)
    for annotation in content["annotations"]:
        annotations_of[annotation["image_id"]].append(annotation)
    by_image = {image["id"]: annotations_of[image["id"]] for image in content["images"]}
    labels = {}
    for category in sorted(content["categories"], key=lambda category: category["id"]):
        labels[category["id"]] = len(labels) + 1
    return by_image, labels


def right_slow_but_short(content):
    ids = [image["id"] for image in content["images"]]
    by_image = {id_: [record for record in content["annotations"] if record["image_id"] == id_] for id_ in ids}
    categories = sorted({category["id"] for category in content["categories"]})
    return by_image, dict(zip(categories, range(1, len(categories) + 1), strict=True))


def right_with_other_kinds_of_dict(content):
    labels = Counter()
    for category_id in sorted(category["id"] for category in content["categories"]):
        labels[category_id] = len(labels) + 1
    return [OrderedDict((id_, tuple(records)) for id_, records in _by_image(content).items()), labels]


EXERCISE = Exercise(
    "index_annotations",
    lesson=1,
    minutes=18,
    reference=index_annotations,
    cases=cases,
    results=("annotations by image id", "labels by category id"),
    call=call,
    hints=(
        "“Some images are missing.” An image without annotations never shows up if you only loop over the annotations. Start "
        "from the images: an empty list for each.",
        "“KeyError”, or “too many images”. An annotation may name an image that is not in the file, so first ask whether the "
        "id is in your dict. Does each image get all annotations? dict.fromkeys(ids, []) shares one list; {id: [] for id in "
        "ids} makes a new one each time.",
        "“My labels are wrong.” Sort the ids of content['categories']. enumerate(ids, start=1) counts them without gaps: "
        "{category_id: label for label, category_id in enumerate(ids, start=1)}.",
    ),
    wrong=(
        Wrong(wrong_fails_on_an_unknown_image, "it fails on an annotation of an image that is not in the file"),
        Wrong(wrong_adds_unknown_images, "an annotation of an image that is not in the file adds that image"),
        Wrong(wrong_one_list_for_all, "all images share one list, as dict.fromkeys(ids, []) makes it"),
        Wrong(wrong_only_images_with_annotations, "images without annotations are missing"),
        Wrong(wrong_last_annotation_only, "only the last annotation of each image is kept"),
        Wrong(wrong_drops_crowds, "crowds are dropped: training leaves them out, but evaluation needs them"),
        Wrong(wrong_category_ids_as_labels, "the category id is the label, gaps included"),
        Wrong(wrong_labels_from_zero, "labels start at 0, which is the background"),
        Wrong(wrong_labels_in_file_order, "labels follow the order of the file, not the order of the ids"),
        Wrong(
            wrong_labels_of_used_classes_only,
            "only classes with annotations get a label, so the training and validation sets could differ",
        ),
        Wrong(wrong_label_to_category, "the second dict maps labels to categories, not categories to labels"),
        Wrong(
            wrong_starts_from_the_annotations,
            "it starts from the annotations, so images without one are missing, and unknown ones are there",
        ),
        Wrong(wrong_positions_for_image_ids, "the keys are positions, not image ids"),
        Wrong(wrong_boxes_only, "only boxes are kept, not the annotations"),
        Wrong(wrong_ids_sorted_as_text, "ids are sorted as text, where 100 comes before 9"),
        Wrong(wrong_sorted_by_name, "labels follow the names, not the ids"),
        Wrong(wrong_drops_flat_boxes, "boxes without width or height are dropped, but that is `clean_boxes`' task"),
        Wrong(
            wrong_drops_boxes_of_width_0, "boxes without width or height are dropped, but that is `clean_boxes`' task"
        ),
        Wrong(wrong_drops_area_0, "annotations of area 0 are dropped, but that is `clean_boxes`' task"),
        Wrong(wrong_drops_unknown_categories, "annotations of a category that is not in the file are dropped"),
        Wrong(wrong_sorted_images, "images are sorted by id, not in the order of the file"),
        Wrong(wrong_sorted_annotations, "annotations are sorted by id, not in the order of the file"),
        Wrong(wrong_crowds_last, "crowds come last, but the order should be the file's"),
        Wrong(wrong_newest_first, "annotations are in reverse order"),
        Wrong(wrong_same_box_once, "equal boxes are kept once only"),
        Wrong(wrong_ids_as_text, "image ids are text, but COCO's are numbers"),
        Wrong(wrong_files_for_ids, "the keys are file names, not image ids"),
        Wrong(wrong_counts_from_the_lowest_id, "labels have the gaps of the ids: only the lowest was subtracted"),
        Wrong(wrong_background_too, "the background has an entry, but it is no category"),
        Wrong(wrong_adds_labels_to_the_records, "the annotations are changed: return them as they are"),
        Wrong(
            wrong_sorts_the_categories_in_place,
            "the file's list is sorted in place: use sorted(…), which makes a new one",
        ),
        Wrong(wrong_needs_iscrowd, "it needs “iscrowd”, which an annotation may lack"),
        Wrong(wrong_dict_of_annotations, "each image has a dict of annotations, not a list"),
    ),
    right=(right_with_a_defaultdict, right_slow_but_short, right_with_other_kinds_of_dict),
    library=("pycocotools.coco.COCO", "coursekit.data.CocoIndex"),
)
