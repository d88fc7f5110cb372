import pytest
import torch
from torch import nn

from coursekit.from_scratch.memory import count_memory, receptive_field


@pytest.mark.parametrize("layers", [[], [(1, 1)], [(3, 2), (5, 1), (2, 2), (3, 1)], [(1, 2), (3, 2), (7, 1)]])
def test_the_receptive_field_is_where_the_gradient_is_not_zero(layers):
    size, stride = receptive_field(layers)
    net = nn.Sequential(*(nn.Conv1d(1, 1, kernel, step, bias=False) for kernel, step in layers))
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    line = torch.zeros(1, 1, 200, requires_grad=True)
    cells = net(line)[0, 0]
    seen = [torch.autograd.grad(cell, line, retain_graph=True)[0][0, 0].nonzero()[:, 0] for cell in cells[:2]]
    assert int(seen[0].max() - seen[0].min() + 1) == size
    assert int(seen[1].min() - seen[0].min()) == stride


LAYERS = [(3, 8, 3, 2), (8, 8, 5, 1), (8, 16, 1, 2), (16, 32, 3, 2)]


@pytest.mark.parametrize("frozen", range(5))
@pytest.mark.parametrize("images", [(1, 64, 64), (2, 96, 160)])
def test_the_count_is_what_a_step_holds(frozen, images):
    batch, height, width = images
    net = nn.Sequential()
    for n, (c_in, c_out, kernel, stride) in enumerate(LAYERS):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False).requires_grad_(n >= frozen)
        net += nn.Sequential(conv, nn.ReLU())
    kept: dict[int, int] = {}

    def keep(tensor):
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = net(torch.randn(batch, 3, height, width))
    count = count_memory(LAYERS, images, frozen)
    assert count["activations"] == sum(kept.values())
    assert count["weights"] == sum(weight.nbytes for weight in net.parameters())
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    if not trained:
        assert count["gradients"] == count["optimizer"] == 0
        return
    out.sum().backward()
    optimizer = torch.optim.AdamW(trained)
    optimizer.step()
    assert count["gradients"] == sum(weight.grad.nbytes for weight in trained)
    moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert count["optimizer"] == sum(moment.nbytes for moment in moments)


@pytest.mark.parametrize("size", [(7, 9), (31, 33), (1, 5)])
def test_odd_sizes_are_rounded_up(size):
    net = nn.Sequential(*(nn.Conv2d(2, 2, 3, 2, 1, bias=False) for _ in range(3)))
    maps = [torch.zeros(1, 2, *size)]
    for conv in net:
        maps.append(conv(maps[-1]))
    assert count_memory([(2, 2, 3, 2)] * 3, (1, *size))["activations"] == sum(map_.nbytes for map_ in maps)
