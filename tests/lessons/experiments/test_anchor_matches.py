from functools import partial

import pytest
import torch

from coursekit.detector import decode_boxes, encode_boxes, match_anchors
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.experiments.anchor_matches import (
    Scene,
    best_overlaps,
    matched_pairs,
    matched_share,
    round_trips,
    scenes_with_objects,
    varied_scene,
)

ANCHORS = xyxy((0, 0, 20, 20), (40, 0, 60, 20), (100, 100, 140, 140))
SCENES = [
    Scene(xyxy((2, 0, 22, 20), (42, 0, 52, 10)), ANCHORS),  # IoU 0.82 and 0.25
    Scene(xyxy((104, 100, 144, 140)), ANCHORS),  # IoU 0.82
]


class Images:
    """A data set of images without pixels: (size, boxes) each."""

    def __init__(self, *images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return torch.zeros(3, *self.images[i][0], dtype=torch.uint8), self.target(i)

    def size(self, i):
        return self.images[i][0]

    def target(self, i):
        return {"boxes": self.images[i][1]}


def test_scenes_without_objects_are_left_out_and_anchors_are_made_once_per_size():
    made = []

    def anchors_for(size):
        made.append(size)
        return ANCHORS

    images = Images(((10, 20), ANCHORS), ((10, 20), xyxy()), ((10, 20), ANCHORS[:1]), ((9, 9), ANCHORS))
    scenes = scenes_with_objects(images, anchors_for, most=3)
    assert [len(scene.boxes) for scene in scenes] == [3, 1]
    assert made == [(10, 20)]


def test_the_scene_with_the_most_sizes_is_wide_and_has_no_huge_object():
    small, two, huge = xyxy((0, 0, 9, 9)), xyxy((0, 0, 9, 9), (0, 0, 30, 30)), xyxy((0, 0, 9, 9), (0, 0, 200, 200))
    image, boxes = varied_scene(
        Images(((10, 20), small), ((20, 10), two.repeat(2, 1)), ((10, 20), huge), ((10, 20), two))
    )
    assert image.shape == (3, 10, 20)
    assert torch.equal(boxes, two)


def test_there_may_be_only_upright_images_without_objects():
    assert len(varied_scene(Images(((20, 10), xyxy())))[1]) == 0


def test_best_overlaps(capsys):
    sizes, best = best_overlaps(SCENES, guess=0.9)
    assert sizes.tolist() == [20, 10, 40]
    assert best.tolist() == pytest.approx([18 / 22, 0.25, 36 / 44])
    printed = capsys.readouterr().out
    assert printed.startswith("67% of 3 objects have an anchor")
    assert printed.endswith("Your guess, of all objects: 90%\n")


def test_the_share_with_an_anchor_by_rule_and_size(capsys):
    strict = partial(match_anchors, allow_low_quality_matches=False)
    matched_share(SCENES, {"strict": strict, "all": match_anchors})
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["strict", "0.0%", "100.0%", "100.0%"]
    assert second.split() == ["all", "100.0%", "100.0%", "100.0%"]


def test_matched_pairs_and_their_shift(capsys):
    anchors, boxes = matched_pairs(SCENES, match_anchors, guess=4.0)
    assert torch.equal(anchors, ANCHORS)
    assert torch.equal(boxes, torch.cat([scene.boxes for scene in SCENES]))
    printed = capsys.readouterr().out
    assert "0 to 24 px                3.5 px = 0.18 anchor widths" in printed  # of 2 and -3
    assert printed.endswith("Your guess for the largest: 4 px\n")


def test_round_trips_show_what_a_pair_does_alone(capsys):
    anchors, boxes = (
        xyxy((0, 0, 20, 20), (0, 0, 20, 20), *[(0, 0, 100, 100)] * 2),
        xyxy((2, 0, 22, 20), (0, 0, 20, 20), (10, 0, 110, 100), (0, 0, 100, 100)),
    )
    corners = (lambda boxes, anchors: boxes - anchors, lambda deltas, anchors: anchors + deltas)
    round_trips({"ours": (encode_boxes, decode_boxes), "corners": corners}, boxes, anchors)
    _, ours, theirs = capsys.readouterr().out.splitlines()
    assert ours.split() == ["ours", "0.0000", "px", "0.07,", "0.07", "8.9", "px", "wide"]
    assert theirs.split() == ["corners", "0.0000", "px", "1.41,", "7.07", "38.5", "px", "wide"]
