import torch
from torch import nn

from coursekit.detector.backbone import freeze_stages
from coursekit.lessons.experiments.freezing import kept_for_backward, norm_modes, savings

IMAGES = torch.randn(2, 3, 64, 64)


def _numbers(line):
    return [float(word.replace(",", "")) for word in line.split() if word[0].isdigit()]


def test_forward_keeps_the_input_of_a_convolution_and_the_output_of_a_relu_once():
    chain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU())
    assert kept_for_backward(chain, torch.rand(1, 3, 4, 4)) == 4 * (3 + 8) * 16
    chain += nn.Sequential(nn.Conv2d(8, 2, 1, bias=False), nn.ReLU())
    assert kept_for_backward(chain, torch.rand(1, 3, 4, 4)) == 4 * (3 + 8 + 2) * 16
    assert kept_for_backward(chain.requires_grad_(False), torch.rand(1, 3, 4, 4)) == 0


def test_the_table_uses_your_function_and_frozen_stages_save_maps(capsys):
    savings(freeze_stages, (0, 3, 8), IMAGES)
    rows = [_numbers(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == [0, 3, 8]
    assert rows[0][1] > rows[1][1] > rows[2][1] == 0
    assert rows[0][2] > rows[1][2] > rows[2][2] == 0
    savings(lambda body, count: None, (0, 8), IMAGES)
    rows = [_numbers(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows[0][1] == rows[1][1]


def test_a_folded_norm_keeps_fewer_maps(capsys):
    norm_modes(torch.randn(2, 3, 192, 192))  # so that maps outweigh the weights
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == "what forward keeps of 2 images:"
    by_batch, frozen, folded = (_numbers(row)[0] for row in rows)
    assert folded < 0.8 * frozen
    assert folded < 0.8 * by_batch
