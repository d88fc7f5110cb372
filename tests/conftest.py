"""Fixtures that several tests share: real photographs, a small COCO folder, a tiny detector, the command line."""

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit.commands.main import main
from coursekit.data.subsets.footprint import subset_folder
from coursekit.data.subsets.recipe import find_recipe
from coursekit.detector import build_detector

REAL_COCO = Path(__file__).parents[2] / "shared" / "coco"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each `long` and each `notebook` test as `slow`, too, so that `-m "not slow"` leaves all of them out."""
    for item in items:
        if item.get_closest_marker("long") or item.get_closest_marker("notebook"):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def real_coco() -> Path:
    """A folder of real photographs: the one beside the checkout, else the subset coco-tiny, which CI builds."""
    tiny = subset_folder(find_recipe("coco-tiny"))
    existing = next((folder for folder in (REAL_COCO, tiny) if folder.is_dir()), None)
    if existing is None:
        pytest.skip("no photographs here: put a COCO folder at ../shared/coco, or run: coursekit data build coco-tiny")
    return existing


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """Three train and two val images, 48 × 64 pixels: one with two boxes, one with a box and a crowd, others empty."""
    folder = tmp_path / "coco"
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        (folder / f"{split}2017").mkdir(parents=True)
        images = [{"id": 10 * n + 7, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in range(count)]
        for image in images:
            pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}2017" / image["file_name"])
        annotations = [
            _annotation(1, 7, 18, [4, 5, 20, 10]),
            _annotation(2, 7, 1, [30, 8, 16, 30]),
            _annotation(3, 17, 1, [0, 0, 40, 40]),
            _annotation(4, 17, 1, [10, 10, 50, 30]) | {"iscrowd": 1},
        ]
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        }
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
    return folder


def _annotation(id_: int, image_id: int, category_id: int, bbox: list[float]) -> dict[str, object]:
    area = bbox[2] * bbox[3]
    return {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": bbox, "area": area, "iscrowd": 0}


@pytest.fixture
def tiny_detector() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_detector(num_classes=2, size=64, channels=16, hidden=16, pretrained=False)


@dataclass(frozen=True)
class Done:
    """A finished command: its exit code and its output."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def coursekit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command line as its user types it, but in this process, because importing torch takes seconds."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # `main` replaces it; this restores it

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["coursekit", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run
