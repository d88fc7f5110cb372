"""Wrong answers that people really give to `to_coco_results`; those named `right_…` must pass."""

import torch


def wrong_labels_as_they_are(detections, image_ids, category_ids):
    results = []
    for found, image_id in zip(detections, image_ids):
        for (x1, y1, x2, y2), label, score in zip(
            found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()
        ):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": image_id, "category_id": label, "bbox": box, "score": score})
    return results


def wrong_label_is_the_place(detections, image_ids, category_ids):
    ids = [*category_ids, category_ids[-1]]
    results = []
    for found, image_id in zip(detections, image_ids):
        for (x1, y1, x2, y2), label, score in zip(
            found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()
        ):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": image_id, "category_id": ids[label], "bbox": box, "score": score})
    return results


def wrong_corners_are_kept(detections, image_ids, category_ids):
    results = []
    for found, image_id in zip(detections, image_ids):
        for box, label, score in zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()):
            results.append({"image_id": image_id, "category_id": category_ids[label - 1], "bbox": box, "score": score})
    return results


def wrong_converts_in_place(detections, image_ids, category_ids):
    results = []
    for found, image_id in zip(detections, image_ids):
        found["boxes"][:, 2:] -= found["boxes"][:, :2]
        for box, label, score in zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()):
            results.append({"image_id": image_id, "category_id": category_ids[label - 1], "bbox": box, "score": score})
    return results


def wrong_unsure_ones_left_out(detections, image_ids, category_ids):
    results = []
    for found, image_id in zip(detections, image_ids):
        for (x1, y1, x2, y2), label, score in zip(
            found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()
        ):
            record = {"image_id": image_id, "category_id": category_ids[label - 1]}
            if score > 0.05:
                results.append(record | {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
    return results


def wrong_tensors_in_the_records(detections, image_ids, category_ids):
    results = []
    for found, image_id in zip(detections, image_ids):
        for box, label, score in zip(found["boxes"], found["labels"], found["scores"]):
            whole = torch.cat([box[:2], box[2:] - box[:2]])
            category_id = category_ids[int(label) - 1]
            results.append({"image_id": image_id, "category_id": category_id, "bbox": whole, "score": score})
    return results


def wrong_one_list_for_each_image(detections, image_ids, category_ids):
    results = []
    for found, image_id in zip(detections, image_ids):
        wide = found["boxes"].clone()
        wide[:, 2:] -= wide[:, :2]
        records = zip(wide.tolist(), found["labels"].tolist(), found["scores"].tolist())
        results.append(
            [
                {"image_id": image_id, "category_id": category_ids[label - 1], "bbox": box, "score": score}
                for box, label, score in records
            ]
        )
    return results


def wrong_counts_the_images(detections, image_ids, category_ids):
    results = []
    for position, found in enumerate(detections):
        for (x1, y1, x2, y2), label, score in zip(
            found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()
        ):
            box, category_id = [x1, y1, x2 - x1, y2 - y1], category_ids[label - 1]
            results.append({"image_id": position, "category_id": category_id, "bbox": box, "score": score})
    return results


def right_with_a_tensor_of_sides(detections, image_ids, category_ids):
    results = []
    for position, found in enumerate(detections):
        sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
        for n in range(len(sides)):
            results.append(
                {
                    "score": float(found["scores"][n]),
                    "bbox": found["boxes"][n, :2].tolist() + sides[n].tolist(),
                    "category_id": category_ids[int(found["labels"][n]) - 1],
                    "image_id": image_ids[position],
                }
            )
    return results
