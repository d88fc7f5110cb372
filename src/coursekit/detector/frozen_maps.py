"""The maps of a frozen backbone, computed once for each image: the rest then trains several times as fast on a CPU."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Tensor, nn

from coursekit.core.errors import ConfigError
from coursekit.detector.backbone import Backbone

MOST_BYTES = 2**31  # of all maps that are kept; beyond it, maps are computed each time

Maps = list[Tensor]  # of one image: (C_i, H_i, W_i), finest first


class FrozenMaps(nn.Module):
    """Stand in for a backbone's frozen body, and keep the maps of each image that it has seen.

    As the weights stay the same, so do the maps of the same pixels. An image is recognized by a digest of its pixels,
    padding included: so this works with any loader and augmentation, and a mirrored image counts as another one.

    Args:
        body: (B, 3, H, W) → maps, finest first. Nothing in it is trained.

    Attributes:
        computed: how many images went through the body.
        seconds: the time that took.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.computed, self.seconds = 0, 0.0
        self._maps: dict[bytes, Maps] = {}
        self._bytes = 0

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turn (B, 3, H, W) images into maps, (B, C_i, H_i, W_i), as the body does, without gradients."""
        keys = [_digest(image) for image in images]
        new = [row for row, key in enumerate(keys) if key not in self._maps]
        computed = dict(zip(new, self._compute(images[new]), strict=True)) if new else {}
        for row, maps in computed.items():
            self._keep(keys[row], maps)
        return _batch([computed[row] if row in computed else self._maps[key] for row, key in enumerate(keys)])

    @torch.no_grad()
    def _compute(self, images: Tensor) -> list[Maps]:
        """Return the maps of each image."""
        start = time.perf_counter()
        levels = self.body(images)
        self.seconds, self.computed = self.seconds + time.perf_counter() - start, self.computed + len(images)
        return [list(maps) for maps in zip(*levels, strict=True)]

    def _keep(self, key: bytes, maps: Maps) -> None:
        if self._bytes < MOST_BYTES:
            self._maps[key] = [level.clone() for level in maps]  # else all of its batch would stay in memory
            self._bytes += sum(level.nbytes for level in maps)


@contextmanager
def frozen_maps(backbone: Backbone) -> Iterator[FrozenMaps]:
    """Compute a frozen backbone's maps only once for each image, within this block. It is meant for a CPU.

    Yields:
        The stand-in for the backbone's body. Afterwards, the body is back, and the maps are gone.

    Raises:
        ConfigError: a part of the backbone is trained.
    """
    if any(parameter.requires_grad for parameter in backbone.parameters()):
        raise ConfigError("Maps can only be kept if the whole backbone is frozen: give a larger frozen_stages.")
    maps = FrozenMaps(backbone.body)
    backbone.body = maps
    try:
        yield maps
    finally:
        backbone.body = maps.body


def _digest(image: Tensor) -> bytes:
    """Return a digest of an image's pixels and shape."""
    pixels = image.permute(1, 2, 0).contiguous()  # (H, W, 3); no copy where channels come last
    return blake2b(pixels.cpu().numpy().data, digest_size=16, salt=str(tuple(pixels.shape)).encode()[:16]).digest()


def _batch(images: list[Maps]) -> list[Tensor]:
    """Put the maps of several images into one batch for each level, in channels-last memory."""
    levels = []
    for maps in zip(*images, strict=True):
        shape = (len(maps), *maps[0].shape)
        level = torch.empty(shape, dtype=maps[0].dtype, device=maps[0].device, memory_format=torch.channels_last)
        levels.append(torch.stack(maps, out=level))
    return levels
