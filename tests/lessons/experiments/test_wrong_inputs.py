from types import SimpleNamespace

import pytest
import torch

from coursekit.data import load
from coursekit.detector import FasterRCNN
from coursekit.export.prepare import prepare_image, restore_boxes
from coursekit.lessons.experiments.wrong_inputs import detect, largest_difference, score_each


class Finds(FasterRCNN):
    """Finds the ground truth of an image whose pixels are right, and nothing in any other."""

    def __init__(self, dataset, side):
        torch.nn.Module.__init__(self)
        self.options = SimpleNamespace(min_size=side, max_size=side)
        self.known = {
            float(prepare_image(dataset[n][0], (side, side))[0].double().sum()): (dataset.target(n), dataset.size(n))
            for n in range(len(dataset))
        }

    def predict(self, batch, sizes):
        target, (height, width) = self.known.get(float(batch.double().sum()), ({"boxes": torch.empty(0, 4)}, (1, 1)))
        factors = torch.tensor([sizes[0][1] / width, sizes[0][0] / height]).repeat(2)
        count = len(target["boxes"])
        labels = target.get("labels", torch.empty(0, dtype=torch.int64))
        return [{"boxes": target["boxes"] * factors, "labels": labels, "scores": torch.ones(count)}]

    def forward(self, images, pad_to):
        batch, scale = prepare_image((images[0] * 255).round().to(torch.uint8), pad_to)
        size = [round(side * factor) for side, factor in zip(images[0].shape[1:], scale, strict=True)]
        found = self.predict(batch, [size])[0]
        return [found | {"boxes": restore_boxes(found["boxes"], scale, images[0].shape[1:])}]


@pytest.fixture(scope="module")
def dataset():
    return load("mini", "val").head(4)


def test_boxes_come_back_in_pixels_of_the_image(dataset):
    found = detect(Finds(dataset, 64), dataset[0][0], prepare_image)
    torch.testing.assert_close(found["boxes"], dataset.target(0)["boxes"], atol=1e-3, rtol=0)


def test_a_size_that_is_no_multiple_of_32_is_padded(dataset):
    shapes = []
    detector = Finds(dataset, 100)
    detector.predict = lambda batch, sizes: shapes.append(batch.shape[2:]) or [{"boxes": torch.empty(0, 4)}]
    detect(detector, dataset[0][0], prepare_image)
    assert shapes == [(128, 128)]


def test_a_wrong_way_costs_what_it_costs(dataset, capsys):
    ways = {
        "right": prepare_image,
        "the same": lambda image, size: prepare_image(image, size),
        "upside down": lambda image, size: prepare_image(image.flip(1) // 2, size),
    }
    scores = score_each(Finds(dataset, 64), dataset, ways, "the same")
    assert scores["right"]["AP50"] == scores["the same"]["AP50"] == 1
    assert scores["upside down"]["AP50"] == 0
    assert "upside down costs most: 1.00 AP50; you said the same" in capsys.readouterr().out


def test_where_nothing_costs_anything_it_says_so(dataset, capsys):
    ways = {"right": prepare_image, "the same": lambda image, size: prepare_image(image, size)}
    score_each(Finds(dataset, 64), dataset, ways, "the same")
    assert "none of them costs AP50; you said the same" in capsys.readouterr().out


def test_where_nothing_is_found_either_way_it_says_so(dataset, capsys):
    blind = Finds(dataset, 64)
    blind.known = {}
    score_each(blind, dataset, {"right": prepare_image, "the same": prepare_image}, "the same")
    assert "With this detector, AP50 is 0 every way." in capsys.readouterr().out


def test_the_largest_difference(dataset):
    images, detector = [dataset[n][0] for n in range(2)], Finds(dataset, 64)
    count = sum(len(dataset.target(n)["boxes"]) for n in range(2))
    assert largest_difference(detector, images, prepare_image, restore_boxes) == (0, count)
    assert count > 0
    moved = lambda *args: restore_boxes(*args) + 3  # noqa: E731
    assert largest_difference(detector, images, prepare_image, moved)[0] == pytest.approx(3, abs=1e-4)
    wrong = lambda image, size: prepare_image(image // 2, size)  # noqa: E731
    assert largest_difference(detector, images, wrong, restore_boxes)[0] == float("inf")
