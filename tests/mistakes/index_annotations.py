"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

from collections import defaultdict


def wrong_only_images_that_have_annotations(content):
    by_image = {}
    for one in content["annotations"]:
        by_image.setdefault(one["image_id"], []).append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def wrong_defaultdict_after_all_images(content):
    by_image = defaultdict(list, {image["id"]: [] for image in content["images"]})
    for one in content["annotations"]:
        by_image[one["image_id"]].append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def wrong_fails_on_an_unknown_image(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        by_image[one["image_id"]].append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def wrong_one_list_for_all(content):
    by_image = dict.fromkeys([image["id"] for image in content["images"]], [])  # noqa: RUF024 - the mistake
    for one in content["annotations"]:
        if one["image_id"] in by_image:
            by_image[one["image_id"]].append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def wrong_labels_in_the_order_of_the_file(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        if one["image_id"] in by_image:
            by_image[one["image_id"]].append(one)
    return by_image, {one["id"]: label for label, one in enumerate(content["categories"], 1)}


def wrong_labels_from_zero(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        if one["image_id"] in by_image:
            by_image[one["image_id"]].append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids)}


def wrong_crowds_left_out(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        if one["image_id"] in by_image and not one["iscrowd"]:
            by_image[one["image_id"]].append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def wrong_by_place_in_the_list(content):
    places = {image["id"]: place for place, image in enumerate(content["images"])}
    by_image = {place: [] for place in places.values()}
    for one in content["annotations"]:
        if one["image_id"] in places:
            by_image[places[one["image_id"]]].append(one)
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def wrong_boxes_only(content):
    by_image = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        if one["image_id"] in by_image:
            by_image[one["image_id"]].append(one["bbox"])
    ids = sorted(one["id"] for one in content["categories"])
    return by_image, {id_: label for label, id_ in enumerate(ids, 1)}


def right_through_defaultdict(content):
    found = defaultdict(list)
    for one in content["annotations"]:
        found[one["image_id"]].append(one)
    by_image = {image["id"]: found[image["id"]] for image in content["images"]}
    labels = {}
    for category in sorted(content["categories"], key=lambda one: one["id"]):
        labels[category["id"]] = len(labels) + 1
    return by_image, labels


def right_slow_but_short(content):
    ids = [image["id"] for image in content["images"]]
    by_image = {id_: [one for one in content["annotations"] if one["image_id"] == id_] for id_ in ids}
    categories = sorted({one["id"] for one in content["categories"]})
    return by_image, dict(zip(categories, range(1, len(categories) + 1), strict=True))
