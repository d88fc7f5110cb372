import numpy as np
import pytest
import torch

from coursekit.data.augment import augmentation, mirror, unchanged

_rng = np.random.default_rng


def _sample(boxes, size=(40, 60), crowds=()):
    """Return an image that is bright inside its boxes and dark elsewhere, and its target."""
    image = torch.zeros(3, *size, dtype=torch.uint8)
    for x1, y1, x2, y2 in [*boxes, *crowds]:
        image[:, y1:y2, x1:x2] = 255
    return image, {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.arange(1, len(boxes) + 1),
        "crowd_boxes": torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
        "image_id": 5,
    }


KINDS = {
    "mirror": mirror,
    "unchanged": unchanged,
    "flip": augmentation(),
    "scale": augmentation(scale=(0.5, 2.0)),
    "color": augmentation(color=0.2),
    "crop": augmentation(crop=True),
    "all": augmentation(scale=(0.8, 1.3), color=0.2, crop=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_stay_on_their_objects(kind):
    image, target = _sample([(10, 8, 30, 32)])
    for seed in range(25):
        changed, new = KINDS[kind](image, target, _rng(seed))
        for x1, y1, x2, y2 in new["boxes"].round().int().tolist():
            inside = changed[:, y1:y2, x1:x2].float().mean()
            assert inside > 0.8 * changed.float().max()
            assert 0 <= x1 < x2 <= changed.shape[2]
            assert 0 <= y1 < y2 <= changed.shape[1]
        assert changed.dtype == torch.uint8
        assert type(changed) is type(new["boxes"]) is torch.Tensor
        assert new["image_id"] == 5


def test_colors_change_only_on_request():
    image, target = _sample([(10, 8, 30, 32)])
    image = image // 2 + 40
    values = {kind: KINDS[kind](image, target, _rng(3))[0].unique().tolist() for kind in ("flip", "color")}
    assert values["flip"] == image.unique().tolist()
    assert values["color"] != image.unique().tolist()


def test_random_draws_depend_on_the_seed_only():
    image, target = _sample([(10, 8, 30, 32)])
    torch.manual_seed(1)
    first = KINDS["all"](image, target, _rng(7))
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    again = KINDS["all"](image, target, _rng(7))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1]["boxes"], again[1]["boxes"])
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)  # torch's global state is unchanged
    sizes = {tuple(KINDS["all"](image, target, _rng(seed))[0].shape) for seed in range(10)}
    assert len(sizes) > 3


@pytest.mark.parametrize("kind", ["flip", "mirror"])
def test_crowds_are_flipped_and_stay_separate(kind):
    image, target = _sample([(10, 8, 20, 22)], crowds=[(40, 5, 55, 30)])
    for seed in range(8):
        _, new = KINDS[kind](image, target, _rng(seed))
        mirrored = new["boxes"][0, 0] == 40
        assert new["crowd_boxes"].tolist() == ([[5, 5, 20, 30]] if mirrored else [[40, 5, 55, 30]])
        assert new["labels"].tolist() == [1]


def test_image_without_boxes():
    image, target = _sample([])
    for kind in KINDS.values():
        _, new = kind(image, target, _rng(3))
        assert new["boxes"].shape == (0, 4)
        assert new["labels"].shape == (0,)
