import torch

from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.experiments.crops import new_body
from coursekit.lessons.experiments.receptive_fields import (
    compare_with_gradient,
    gradient_of_cell,
    middle_width,
    width_of,
)


def _field(body, stages):
    modules = [body.conv_stem, *body.blocks[:stages]]
    convs = [layer for module in modules for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
    return EXERCISES["receptive_field"].reference([(conv.kernel_size[0], conv.stride[0]) for conv in convs])


def test_widths_of_a_line():
    line = torch.tensor([0.0, 1, 0, 8, 1, 0])
    assert width_of(line) == 4
    assert middle_width(torch.ones(100)) in (90, 91)  # 0.05 is rounded
    assert middle_width(torch.tensor([0.0, 0.01, 10, 0.01, 0])) == 1


def test_the_gradient_reaches_as_far_as_the_computed_field(capsys):
    body = new_body(pretrained=True).eval()
    fields = {stages: _field(body, stages) for stages in (2, 3)}
    compare_with_gradient(body, fields, (2, 3), side=128)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [[str(stride), str(size), str(size)] for size, stride in fields.values()]
    assert all(0 < int(row[3]) < int(row[1]) for row in rows)


def test_a_field_that_is_wider_than_the_image_is_marked(capsys):
    body = new_body(pretrained=True).eval()
    compare_with_gradient(body, {7: (775, 32)}, (7,), side=64)
    assert "(the image is 64 wide)" in capsys.readouterr().out


def test_the_gradient_is_that_of_the_chosen_map():
    body = new_body(pretrained=True).eval()
    image = torch.randn(3, 64, 64)
    first, third = (gradient_of_cell(body, image, stages) for stages in (1, 3))
    assert first.shape == (64, 64)
    assert (first > 0).sum() < (third > 0).sum()
