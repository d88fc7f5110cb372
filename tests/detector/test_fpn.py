from collections import OrderedDict

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import FeaturePyramidNetwork

from coursekit.detector import FPN


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(5, 40), st.integers(5, 40))
def test_it_is_torchvisions_with_the_same_weights(batch, height, width):
    torch.manual_seed(0)
    ours, theirs = FPN([8, 12, 16], 6), FeaturePyramidNetwork([8, 12, 16], 6)
    for level in range(3):
        theirs.inner_blocks[level][0].load_state_dict(ours.lateral[level].state_dict())
        theirs.layer_blocks[level][0].load_state_dict(ours.smooth[level].state_dict())
    sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in range(3)]
    maps = [torch.rand(batch, channels, *size) for channels, size in zip([8, 12, 16], sizes, strict=True)]
    expected = theirs(OrderedDict(enumerate(maps)))
    for level, features in enumerate(ours(maps)):
        torch.testing.assert_close(features, expected[level])
