import subprocess
import sys

import pytest
import torch

from coursekit.lessons.checking.runner import can_fork
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.fixed_shapes import NeedsNumbersError, in_graph
from tests.lessons.answers import answer

X = torch.tensor([3.0, 1.0, 2.0])


def _loop(x):
    rounds = 0
    while x.max() > 0:
        x, rounds = x - 1, rounds + 1
    return x + rounds


REFUSED = {
    "a mask as index": lambda x: x[x > 1],
    "nonzero": lambda x: x.nonzero(),
    "where with a mask alone": lambda x: torch.where(x > 1)[0],
    "if": lambda x: x if x.max() > 2 else -x,
    "while": _loop,
    "int": lambda x: x[int(x.argmax())],
    "item": lambda x: torch.tensor([x.max().item()]),
    "tolist": lambda x: torch.tensor(x.tolist()),
    "a range": lambda x: torch.arange(x.argmax()),
    "a sort in Python": lambda x: torch.tensor(sorted(range(3), key=lambda place: x[place])),
}
ACCEPTED = {
    "where": lambda x: torch.where(x > 1, x, 0),
    "a position as index": lambda x: x[x.argmax()][None].expand(3),
    "index_select": lambda x: x.index_select(0, x.argsort()),
    "an item of the result is set": lambda x: torch.zeros(3).index_put((x.argmax()[None],), x.max()),
    "shapes": lambda x: x * len(x) * x.shape[0],
    "a loop of fixed length": lambda x: sum(x * n for n in range(3)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_at_numbers_is_refused(name):
    with pytest.raises(NeedsNumbersError, match="before there are any numbers"):
        in_graph(REFUSED[name], X)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_does_not_is_accepted(name):
    assert in_graph(ACCEPTED[name], X) == "a tensor (3,) of float32, whatever the numbers are"


def test_a_result_that_is_no_tensor_is_named():
    assert in_graph(lambda x: [x], X) == "a list, not a tensor"


@pytest.mark.parametrize("key", ["wrong_looks_at_the_numbers", "wrong_stops_when_nothing_is_left"])
def test_the_check_says_what_a_graph_can_not_hold_and_where(workbook, key):
    workbook.store("nms_padded", answer("nms_padded", key))
    verdict = check(workbook, "nms_padded")
    assert verdict.state == "not yet"
    assert "as a graph is built" in verdict.problem.tried
    assert "before there are any numbers" in verdict.problem.got
    assert "of your cell:" in verdict.problem.got


BACKWARD_IN_A_FORK = """
import os, torch
import coursekit.lessons.fixed_shapes
torch.ones(1, requires_grad=True).sum().backward()
child = os.fork()
if child == 0:
    try:
        torch.ones(1, requires_grad=True).sum().backward()
        os._exit(0)
    finally:
        os._exit(1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not can_fork(), reason="no forks on this system")
def test_a_forked_process_can_still_run_backward():
    assert subprocess.run([sys.executable, "-c", BACKWARD_IN_A_FORK], check=False).returncode == 0
