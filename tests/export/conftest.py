"""A tiny detector, exported once for all tests of this folder."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from coursekit.detector import build_detector
from coursekit.export.onnx_detector import OnnxDetector
from coursekit.export.settings import Settings
from coursekit.export.write_onnx import write_onnx

CLASSES = ["person", "dog"]
SIZE = 72  # not a multiple of 32: the graph pads


@dataclass(frozen=True)
class Exported:
    model: torch.nn.Module
    path: Path
    settings: Settings
    detector: OnnxDetector


def tiny(kind="faster_rcnn", size=SIZE):
    """An untrained detector that is sure of some things: the boxes of a head that isn't are all alike."""
    torch.manual_seed(0)
    model = build_detector(num_classes=2, size=size, channels=16, hidden=16, pretrained=False, kind=kind).eval()
    with torch.no_grad():
        heads = [model.head.class_logits] if kind == "fcos" else [model.box_head.classes, model.rpn_head.objectness]
        for layer in heads:
            torch.nn.init.normal_(layer.weight, std=1.0)
            torch.nn.init.zeros_(layer.bias)
    return model


def noise(height, width, seed=0):
    """An image whose pixels are neighbors of similar colors, as in a picture."""
    small = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0] * 255).to(torch.uint8)


def make_exported(folder, kind):
    pytest.importorskip("onnxruntime", reason="not installed: pip install -e '.[export]'")
    model, path = tiny(kind), folder / "model.onnx"
    settings = write_onnx(model, CLASSES, path)
    return Exported(model, path, settings, OnnxDetector(path, threads=1))


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    return make_exported(tmp_path_factory.mktemp("exported"), "faster_rcnn")
