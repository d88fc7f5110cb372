import torch

from coursekit.export.prepare import nms_padded
from coursekit.lessons.experiments.graphs import operations, print_operations, try_each

INPUTS = (torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3]]), torch.tensor([0.9, 0.4]))


def test_operations_are_counted():
    assert operations(lambda boxes, scores: boxes.clamp(min=0), INPUTS) == 1
    assert operations(lambda boxes, scores: boxes.clamp(min=0) + scores.sum(), INPUTS) == 3
    assert operations(lambda boxes, scores: boxes[scores > 0.5], INPUTS) is None


def test_a_graph_grows_with_its_rounds(capsys):
    print_operations(nms_padded, INPUTS, {1: 10, 2: 20})
    one, two = capsys.readouterr().out.splitlines()
    assert one.endswith("operations; you said 10")
    assert two.endswith("operations; you said 20")
    assert int(two.split()[2]) > int(one.split()[2])


def test_an_nms_that_looks_at_numbers_has_no_graph(capsys):
    print_operations(lambda boxes, scores, threshold, count: boxes[scores > threshold], INPUTS, {1: 10})
    assert "1 places: refused" in capsys.readouterr().out


def test_a_line_for_each_function_and_what_the_reader_had_said(capsys):
    functions = {
        "clamp": lambda boxes, scores: boxes.clamp(min=0),
        "if": lambda boxes, scores: boxes if scores[0] > 0.5 else -boxes,
        "not guessed": lambda boxes, scores: boxes.clamp(min=0) * 2,
    }
    try_each(functions, INPUTS, {"clamp": False, "if": True})
    clamp, branch, other = capsys.readouterr().out.splitlines()
    assert clamp.split(maxsplit=1) == ["clamp", "a graph of 1 operation; you said refused"]
    assert branch.split(maxsplit=1) == ["if", "refused: it needs to know the numbers; you said a graph"]
    assert other.endswith("a graph of 2 operations")
