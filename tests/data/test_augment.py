import colorsys

import numpy as np
import pytest
import torch

from coursekit.data.augment import apply, augmentation, mirror, unchanged

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


def _noise():
    """Return an image of random pixels, and a target with one box."""
    _, target = _sample([(10, 8, 30, 32)])
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=generator), target


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


def test_without_any_option_nothing_changes():
    image, target = _noise()
    for seed in range(10):
        changed, new = augmentation(flip=False)(image, target, _rng(seed))
        assert torch.equal(changed, image)
        assert torch.equal(new["boxes"], target["boxes"])


def test_half_of_the_images_are_flipped():
    image, target = _noise()
    samples = [augmentation(flip=True)(image, target, _rng(seed)) for seed in range(60)]
    flipped = [torch.equal(changed, image.flip(-1)) for changed, _ in samples]
    assert 18 < sum(flipped) < 42
    for is_flipped, (changed, new) in zip(flipped, samples, strict=True):
        assert torch.equal(changed, image.flip(-1) if is_flipped else image)
        assert new["boxes"].tolist() == ([[30, 8, 50, 32]] if is_flipped else target["boxes"].tolist())


@pytest.mark.parametrize("scale", [(0.5, 1.0), (1.0, 1.5), (0.5, 2.0)])
def test_scale_factors_cover_the_range(scale):
    image, target = _noise()
    samples = [augmentation(flip=False, scale=scale)(image, target, _rng(seed)) for seed in range(40)]
    factors = [changed.shape[2] / 60 for changed, _ in samples]
    span = scale[1] - scale[0]
    assert scale[0] - 0.01 <= min(factors) < scale[0] + 0.2 * span
    assert scale[1] - 0.2 * span < max(factors) <= scale[1] + 0.01
    for changed, new in samples:
        ratio = torch.tensor([changed.shape[2] / 60, changed.shape[1] / 40]).repeat(2)
        torch.testing.assert_close(new["boxes"][0], target["boxes"][0] * ratio)


def test_color_changes_pixels_but_not_boxes():
    image, target = _noise()
    samples = [augmentation(flip=False, color=0.4)(image, target, _rng(seed)) for seed in range(10)]
    assert not torch.equal(samples[0][0], samples[1][0])
    for changed, new in samples:
        assert not torch.equal(changed, image)
        assert changed.shape == image.shape
        assert torch.equal(new["boxes"], target["boxes"])


def test_hue_changes_by_at_most_a_quarter_of_color():
    red = torch.tensor([120, 60, 60], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    turns = []  # of the color wheel
    for seed in range(200):
        pixel = augmentation(flip=False, color=0.4)(red, _noise()[1], _rng(seed))[0][:, 0, 0]
        hue = colorsys.rgb_to_hsv(*(pixel / 255).tolist())[0]
        turns.append(min(hue, 1 - hue))
    assert 0.09 < max(turns) < 0.108


def test_random_draws_differ_between_samples():
    image, target = _noise()
    draws = []

    def record(sample):
        draws.append(float(torch.rand((), dtype=torch.float64)))
        return sample

    for seed in range(300):
        apply(record, image, target, _rng(seed))
    assert len(set(draws)) == 300
