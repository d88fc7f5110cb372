import pytest
import torch
from torch import nn

from coursekit.detector import RPNHead, make_anchors, propose, rpn_losses
from coursekit.evaluation.proposal_recall import recall_at
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.experiments.cached_features import CachedFeatures
from coursekit.lessons.experiments.rpn_alone import RPNRun, compare_rpns, loss_table, one_thread, recall_table, run_rpn
from tests.lessons.answers import answer

ANCHORS = [make_anchors((4, 4), (16, 16), [16], [1.0])]
BOX = xyxy((8, 8, 24, 24))  # exactly an anchor's: in row 1 and column 1


@pytest.fixture(scope="module")
def cached():
    """Eight images of 64 pixels with one object each, whose cell of the map is 5, not 0."""
    maps = torch.zeros(8, 16, 4, 4)
    maps[:, :, 1, 1] = 5
    return CachedFeatures(None, [maps], [16], 64, [(64, 64)] * 8, [{"boxes": BOX}] * 8)


class OneLevel(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.head = RPNHead(channels[0], 1)

    def forward(self, maps):
        return self.head(maps)


def test_an_rpn_learns_where_the_object_is(cached, capsys):
    run = run_rpn(OneLevel, cached, cached, ANCHORS, rpn_losses, propose, epochs=20)
    assert run.history.shape == (40, 2)
    assert run.history[0, 0] == pytest.approx(0.693, abs=0.01)
    assert run.history[-1, 0] < 0.6
    assert recall_at(run.before, [BOX] * 8, 1) < 1
    assert recall_at(run.after, [BOX] * 8, 1) == 1
    assert "Short form" not in capsys.readouterr().out


def test_runs_are_repeatable_and_sampling_is_passed_on(cached, monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    asked = []

    def losses(*args, **sampling):
        asked.append(sampling)
        return rpn_losses(*args, **sampling)

    histories = [
        run_rpn(OneLevel, cached, cached, ANCHORS, losses, propose, epochs=1, batch_size_per_image=4).history
        for _ in range(2)
    ]
    assert torch.equal(*histories)
    assert asked == [{"batch_size_per_image": 4}] * 4
    assert "Short form" in capsys.readouterr().out


def test_a_table_of_recalls(cached, capsys):
    runs = {"none": [xyxy()] * 8, "all": [BOX] * 8}
    recalls = recall_table(runs, cached.targets, (1, 10), recall_at)
    assert recalls["all"][:, 0].tolist() == [1, 1]
    assert recalls["none"][:, 0].tolist() == [0, 0]
    assert recalls["all"][:, 1:].isnan().all()
    assert capsys.readouterr().out.splitlines()[1].split() == ["none", "1", "0.00", "nan", "nan"]


def test_a_comparison_shows_the_losses_at_the_end(cached, capsys):
    history = torch.tensor([[9.0, 9.0]] * 5 + [[0.5, 0.25]] * 20)
    run = RPNRun(nn.Identity(), [], [BOX] * 8, history)
    compare_rpns({"a run": run}, cached.targets, 10, recall_at)
    assert capsys.readouterr().out.splitlines()[1].split() == ["a", "run", "0.5000", "0.2500", "1.00", "nan", "nan"]


def test_a_table_of_losses(capsys):
    logits = torch.zeros(16)
    loss_table({"undecided": (logits, torch.zeros(16, 4))}, rpn_losses, ANCHORS[0], BOX)
    assert capsys.readouterr().out.splitlines()[1].split() == ["undecided", "0.693", "0.000"]


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_correct_parts_of_a_workbook_run_as_their_twins(cached, workbook, capsys):
    workbook.store("nms", answer("nms", "right_with_a_shrinking_list"))
    assert check(workbook, "nms").state == "correct"
    called = workbook.store("propose", "from my_detector import nms\n").module
    used = set()

    def spy(*args):
        used.add(called.nms)
        return propose(*args)

    run_rpn(OneLevel, cached, cached, ANCHORS, rpn_losses, spy, workbook, epochs=1)
    assert used == {EXERCISES["nms"].twin}
    assert "nms: its compiled twin runs in place of yours" in capsys.readouterr().out
    assert called.nms.__module__ == "my_detector.nms"
