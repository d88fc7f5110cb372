from functools import partial

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.detector import frozen_maps as module
from coursekit.detector.backbone import load_backbone
from coursekit.detector.frozen_maps import frozen_maps


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return load_backbone(pretrained=False, frozen_stages=99)


close = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-4)  # a convolution of fewer images rounds differently


def _images(count, seed=0, height=64, width=96):
    images = torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return images.contiguous(memory_format=torch.channels_last)


def test_maps_are_those_of_the_backbone_and_computed_once_for_each_image(backbone):
    images = _images(5)
    expected = backbone(images)
    with frozen_maps(backbone) as maps:
        backbone(images[:2])
        assert maps.computed == 2
        for found in (backbone(images), backbone(images)):  # three are new in the first, none in the second
            assert maps.computed == 5
            for level, right in zip(found, expected, strict=True):
                close(level, right)
                assert level.is_contiguous(memory_format=torch.channels_last)
                assert not level.requires_grad
        reordered = backbone(images[[3, 1]])
        assert maps.computed == 5
        close(reordered[1], expected[1][[3, 1]])
    assert backbone.body is maps.body


def test_other_pixels_and_other_padding_are_another_image(backbone):
    image = _images(1)
    padded = torch.nn.functional.pad(image, (0, 32))
    turned = image.reshape(1, 3, 96, 64)  # the same numbers in another shape
    images = [image, image.flip(3), padded, turned, image.double().add(1e-6).float()]
    with frozen_maps(backbone) as maps:
        for number, other in enumerate(images, start=1):
            expected = maps.body(other)
            close(backbone(other), expected)
            assert maps.computed == number
        for other in images:
            backbone(other)
        assert maps.computed == len(images)


def test_when_memory_is_used_up_maps_are_computed_each_time(backbone, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    images = _images(2)
    with frozen_maps(backbone) as maps:
        first, again = backbone(images), backbone(images)
        assert maps.computed == 3  # the first image is kept, the second one isn't
        close(again, first)


def test_a_backbone_that_is_trained_is_refused():
    backbone = load_backbone(pretrained=False, frozen_stages=3)
    with pytest.raises(ConfigError, match="frozen_stages"), frozen_maps(backbone):
        pass
    assert not isinstance(backbone.body, module.FrozenMaps)


def test_an_error_puts_the_body_back(backbone):
    body = backbone.body
    with pytest.raises(KeyboardInterrupt), frozen_maps(backbone):
        raise KeyboardInterrupt
    assert backbone.body is body
