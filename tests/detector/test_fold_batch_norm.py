"""A convolution with a folded batch norm computes the same as the two of them."""

import copy

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import BatchNormAct2d
from timm.layers.conv2d_same import Conv2dSame
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.ops import FrozenBatchNorm2d

from coursekit.detector.fold_batch_norm import ConvNorm, fold_batch_norm, is_batch_norm

quick = settings(max_examples=60, deadline=None, derandomize=True)
halves = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])


@st.composite
def layers(draw):
    """Draw a convolution without bias and a batch norm with random statistics, of all kinds that backbones have."""
    torch.manual_seed(draw(st.integers(0, 2**20)))
    groups, kernel = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (3, 5)]))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    make = draw(st.sampled_from([nn.Conv2d, Conv2dSame]))
    stride, dilation = draw(st.sampled_from([1, 2, (1, 2)])), draw(st.sampled_from([1, 2]))
    padding = draw(st.sampled_from([0, 1, (2, 1)])) if make is nn.Conv2d else 0
    conv = make(*channels, kernel, stride, padding, dilation, groups, bias=False)
    norm = draw(st.sampled_from([nn.BatchNorm2d, FrozenBatchNorm2d, _without_activation]))(channels[1])
    return conv.double(), _randomised(norm).double().eval()


def _without_activation(channels):
    return BatchNormAct2d(channels, apply_act=False, eps=1e-3)


def _randomised(norm):
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.2, 3.0)
        norm.weight.uniform_(-1.5, 1.5)
        norm.bias.normal_()
    return norm


@quick
@given(layers(), st.integers(0, 2), st.integers(9, 14), st.integers(9, 14))
def test_values_and_gradients_are_those_of_the_pair(pair, batch, height, width):
    conv, norm = pair
    weight = conv.weight.detach().clone()
    images = torch.randn(batch, conv.in_channels, height, width, dtype=torch.float64)
    x = images.clone().requires_grad_()
    expected = norm(conv(x))
    pull = torch.randn_like(expected)
    grads = torch.autograd.grad((expected * pull).sum(), [x, conv.weight])

    folded, y = ConvNorm(conv, norm), images.clone().requires_grad_()
    output = folded(y)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    ours = torch.autograd.grad((output * pull).sum(), [y, folded.weight])
    torch.testing.assert_close(ours, grads, rtol=1e-12, atol=1e-11)
    assert torch.equal(folded.weight, weight)  # the trained parameter is the weight of the convolution
    assert [name for name, _ in folded.named_parameters()] == ["weight"]


def _layer(kernel=3, groups=1, channels=8):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups, bias=False)
    return ConvNorm(conv, _randomised(nn.BatchNorm2d(channels)).eval())


@halves
@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (3, 1), (3, 8), (5, 1)])
def test_under_autocast_the_output_has_half_precision(half, kernel, groups):
    layer, x = _layer(kernel, groups), torch.randn(2, 8, 9, 9)
    expected = layer(x)
    with torch.autocast("cpu", half):
        output = layer(x.to(half))
        assert layer(x).dtype == half  # like that of any convolution
    assert output.dtype == half
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.1)
    assert layer.weight.dtype == torch.float32


@halves
@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (3, 8), (5, 8), (5, 1)])
def test_a_module_of_half_precision_keeps_it(half, kernel, groups):
    layer, x = _layer(kernel, groups), torch.randn(2, 8, 9, 9)
    expected = layer(x)
    output = layer.to(half)(x.to(half))
    assert output.dtype == half
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.1)


@halves
def test_wide_depthwise_layers_compute_in_float32_under_autocast_on_a_cpu(half):
    layer, x = _layer(kernel=5, groups=8), torch.randn(2, 8, 9, 9).to(half)
    with torch.autocast("cpu", half):
        output = layer(x)
    assert output.dtype == torch.float32
    assert torch.equal(output, layer(x.float()))
    output.sum().backward()
    assert torch.isfinite(layer.weight.grad).all()


@halves
@pytest.mark.parametrize(("kernel", "groups"), [(3, 1), (5, 8)])
def test_gradients_under_autocast_are_float32_and_close_to_those_without(half, kernel, groups):
    layer, x = _layer(kernel, groups), torch.randn(2, 8, 9, 9)
    (expected,) = torch.autograd.grad(layer(x).square().mean(), layer.weight)
    with torch.autocast("cpu", half):
        loss = layer(x).float().square().mean()
    (gradient,) = torch.autograd.grad(loss, layer.weight)
    assert gradient.dtype == torch.float32
    assert (gradient - expected).norm() < 0.02 * expected.norm()


# A frozen layer is folded once


def _frozen(**options):
    layer = _layer(**options)
    layer.weight.requires_grad_(False)
    return layer


class Multiplications(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten.mul.Tensor
        return func(*args, **(kwargs or {}))


def _multiplications(layer, x):
    with Multiplications() as counter:
        layer(x)
    return counter.count


def test_a_frozen_layer_is_folded_once_and_a_trained_one_in_each_step():
    layer, x = _layer(), torch.randn(1, 8, 9, 9)
    assert [_multiplications(layer, x) for _ in range(3)] == [1, 1, 1]
    layer.weight.requires_grad_(False)
    assert [_multiplications(layer, x) for _ in range(3)] == [1, 0, 0]
    layer.weight.requires_grad_(True)
    assert [_multiplications(layer, x) for _ in range(3)] == [1, 1, 1]


def _load_other(layer):
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})


def _assign_other(layer):
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()}, assign=True)


def _train(layer):
    layer.weight.requires_grad_(True)
    layer(torch.ones(1, 8, 9, 9)).sum().backward()
    torch.optim.SGD([layer.weight], lr=0.1, fused=True).step()  # doesn't raise the weight's version
    layer.weight.requires_grad_(False)


def _replace(layer):
    layer.weight = nn.Parameter(2 * layer.weight, requires_grad=False)


def _change_in_place(layer):
    layer.scale.mul_(3)


@pytest.mark.parametrize(
    "change", [_load_other, _assign_other, _train, _replace, _change_in_place, lambda layer: layer.double().float()]
)
def test_a_changed_frozen_layer_is_folded_again(change):
    layer, x = _frozen(), torch.randn(1, 8, 9, 9)
    layer(x)
    change(layer)
    weight = layer.weight * layer.scale[:, None, None, None]
    torch.testing.assert_close(layer(x), nn.functional.conv2d(x, weight, layer.shift, padding=1))


def test_folding_once_keeps_state_copies_and_inference_apart():
    layer, x = _frozen(), torch.randn(1, 8, 9, 9)
    with torch.inference_mode():
        expected = layer(x)
    assert list(layer.state_dict()) == ["weight", "scale", "shift"]
    twin = copy.deepcopy(layer)
    twin.scale.mul_(2)
    assert torch.equal(layer(x), expected)
    assert not torch.equal(twin(x), expected)
    y = x.clone().requires_grad_()
    layer(y).sum().backward()  # a weight folded in inference mode could not be saved for backward
    assert y.grad is not None
    assert layer.half()(x.half()).dtype == torch.float16


# Folding a whole network


def test_the_activation_of_a_folded_norm_stays():
    body = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), _randomised(BatchNormAct2d(4, act_layer=nn.ReLU6))).eval()
    images = 9 * torch.randn(2, 3, 8, 8)
    expected = body(images)
    fold_batch_norm(body)
    assert isinstance(body[0], ConvNorm)
    assert isinstance(body[1], nn.ReLU6)
    torch.testing.assert_close(body(images), expected)


def test_a_norm_that_cant_be_folded_stays_and_is_not_trained():
    body = nn.Sequential(
        nn.BatchNorm2d(3),  # before the convolution
        nn.Conv2d(3, 4, 3),  # with a bias
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.BatchNorm2d(4),  # not after a convolution
        nn.Conv2d(4, 4, 3, bias=False),
        nn.GroupNorm(2, 4),  # no batch norm
    ).eval()
    images = torch.randn(2, 3, 12, 12)
    expected = body(images)
    fold_batch_norm(body)
    assert not any(isinstance(module, ConvNorm) for module in body)
    torch.testing.assert_close(body(images), expected)
    trained = [module for module in body if any(parameter.requires_grad for parameter in module.parameters())]
    assert [type(module) for module in trained] == [nn.Conv2d, nn.Conv2d, nn.GroupNorm]


def test_folding_twice_changes_nothing():
    body = timm.create_model("test_resnet", pretrained=False).eval()
    for module in body.modules():
        if is_batch_norm(module):
            _randomised(module)
    images = torch.rand(1, 3, 64, 64)
    expected = body(images)
    for _ in range(2):
        fold_batch_norm(body)
        torch.testing.assert_close(body(images), expected)
