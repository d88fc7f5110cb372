from types import SimpleNamespace

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.catch import catch
from coursekit.lessons.checking.verdict import find
from coursekit.lessons.notebooks import magics
from coursekit.lessons.notebooks.magics import Session

CHAIN = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])


def test_a_weak_input_lets_wrong_answers_through():
    found = catch("nms", (CHAIN[:1], torch.tensor([0.5]), 0.5))
    assert any("one-shot" in words for words in found.through)
    assert "Look at this case" in str(found)


def test_a_chain_catches_the_one_shot():
    found = catch("nms", (CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.4))
    assert any("one-shot" in words for words in found.caught)
    assert f"of {len({mistake.words for mistake in find('nms').mistakes})} caught" in str(found)
    assert "<table>" in found._repr_html_()


def test_the_smallest_case_is_shown():
    look = str(catch("match_anchors", (CHAIN, CHAIN[:1]))).splitlines()[-1]
    assert "anchors=[[" in look
    assert "boxes=[[" in look


def test_an_input_that_is_too_short_is_told_what_it_lacks():
    with pytest.raises(ConfigError, match=r"missing .* It is called with \(boxes, scores, iou_threshold\)"):
        catch("nms", (CHAIN,))


def test_inputs_must_be_tuples_that_the_reference_can_take():
    with pytest.raises(ConfigError, match="tuple of arguments"):
        catch("nms", CHAIN)
    with pytest.raises(ConfigError, match="can't take"):
        catch("nms", (CHAIN, "no scores", 0.5))


@pytest.mark.slow
def test_in_a_notebook_each_call_of_a_cell_is_shown_and_an_error_is_a_line(workbook, monkeypatch, capsys):
    shown, notebook = [], Session(workbook)
    monkeypatch.setattr(magics, "get_ipython", lambda: SimpleNamespace(user_ns={}))
    monkeypatch.setattr(magics, "display", shown.append)
    assert notebook.catch("nms", (CHAIN[:1], torch.tensor([0.5]), 0.5)) is None
    assert notebook.examine("nms", lambda boxes, scores, threshold: scores.argsort()) is None
    assert [type(result).__name__ for result in shown] == ["Caught", "Verdict"]
    assert notebook.catch("nms", (CHAIN,)) is None
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(ConfigError):
        Session(workbook, is_strict=True).catch("nms", (CHAIN,))
