import pytest

from coursekit.core.config import KINDS
from coursekit.core.errors import ConfigError
from coursekit.detector import FCOS, FasterRCNN, build_detector

TINY = {"num_classes": 2, "size": 64, "channels": 16, "hidden": 16, "pretrained": False}


def test_the_kind_decides_what_is_built():
    built = {kind: build_detector(**TINY, kind=kind) for kind in KINDS}
    assert {kind: type(model) for kind, model in built.items()} == {"faster_rcnn": FasterRCNN, "fcos": FCOS}
    assert type(build_detector(**TINY)) is FasterRCNN


def test_both_kinds_have_the_same_backbone_and_pyramid():
    shapes = [
        {name: value.shape for name, value in build_detector(**TINY, kind=kind).state_dict().items()} for kind in KINDS
    ]
    shared = [{name: shape for name, shape in of.items() if name.startswith(("backbone.", "fpn."))} for of in shapes]
    assert shared[0] == shared[1]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="kind is 'yolo': choose one of faster_rcnn, fcos"):
        build_detector(**TINY, kind="yolo")


def test_a_part_of_the_other_kind_is_refused():
    with pytest.raises(ConfigError, match=r"no part 'assign_cells' here, only in FCOS"):
        build_detector(**TINY, parts={"assign_cells": print})
    with pytest.raises(ConfigError, match=r"no part 'rpn_head' here, only in Faster R-CNN"):
        build_detector(**TINY, parts={"rpn_head": print}, kind="fcos")
