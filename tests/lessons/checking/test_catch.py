from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch.utils._pytree import tree_map

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.catch import catch
from coursekit.lessons.checking.shapes import wrong_shape
from coursekit.lessons.checking.verdict import check, find, state_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.gradients import is_trained
from coursekit.lessons.notebooks import notebook_session
from coursekit.lessons.notebooks.notebook_session import Session
from coursekit.lessons.workbook.own_parts import part
from tests.lessons.answers import right_answer

CHAIN = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])


def test_it_says_how_many_got_through_and_gives_none_away(workbook):
    found = catch(workbook, "nms", (CHAIN[:1], torch.tensor([0.5]), 0.5))
    assert any("one-shot" in words for words in found.through)
    count = len({mistake.words for mistake in find("nms").mistakes})
    for text in (str(found), found._repr_html_()):
        assert f"{len(found.caught)} of {count} wrong answers caught; {len(found.through)} got through." in text
        assert not any(words in text for words in found.through)
        assert found.look not in text


def test_one_that_got_through_is_given_away_when_asked(workbook):
    found = catch(workbook, "nms", (CHAIN[:1], torch.tensor([0.5]), 0.5), show=True)
    for text in (str(found), found._repr_html_()):
        assert found.through[0] in text
        assert not any(words in text for words in found.through[1:])
        assert "This would catch it" in text


def test_a_chain_catches_the_one_shot(workbook):
    found = catch(workbook, "nms", (CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.4))
    assert any("one-shot" in words for words in found.caught)
    assert "one-shot" in str(found)
    assert "one-shot" in found._repr_html_()


def test_the_smallest_case_is_shown(workbook):
    look = str(catch(workbook, "match_anchors", (CHAIN, CHAIN[:1]), show=True)).splitlines()[-1]
    assert "anchors=[[" in look
    assert "boxes=[[" in look


@pytest.mark.parametrize("name", ["merge_top_down", "roi_align", "pool_levels"])
def test_where_training_flows_an_input_catches_what_cuts_it_off(workbook, name):
    args = next(case.args for case in find(name).all_cases() if is_trained(case.args))
    plain = tree_map(lambda arg: arg.detach() if isinstance(arg, torch.Tensor) else arg, args)
    assert any("no gradient" in words for words in catch(workbook, name, plain).caught)


def test_a_delegated_answer_counts_once_the_inputs_let_none_through(workbook):
    workbook.store("collate", right_answer("collate"))
    assert check(workbook, "collate").state == "untested"
    inputs = [case.args for case in find("collate").all_cases()]
    assert catch(workbook, "collate", *inputs[:1]).through
    assert state_of(workbook, "collate") == "untested"
    assert "a correct collate counts" in str(catch(workbook, "collate", *inputs))
    assert state_of(workbook, "collate") == check(workbook, "collate").state == "correct"


def test_an_untested_answer_is_used_in_later_lessons_and_is_no_error_in_a_strict_run(workbook):
    workbook.store("collate", right_answer("collate"))
    assert check(workbook, "collate", is_strict=True).state == "untested"
    assert part(workbook, "collate").__module__ == "my_detector.collate"


def test_an_input_that_is_too_short_is_told_what_it_lacks(workbook):
    with pytest.raises(ConfigError, match=r"missing .* It is called with \(boxes, scores, iou_threshold\)"):
        catch(workbook, "nms", (CHAIN,))


def test_inputs_must_be_tuples_that_the_reference_can_take(workbook):
    with pytest.raises(ConfigError, match="tuple of arguments"):
        catch(workbook, "nms", CHAIN)
    with pytest.raises(ConfigError, match="can't take"):
        catch(workbook, "nms", (CHAIN, "no scores", 0.5))


def test_an_input_whose_shape_the_docstring_rules_out_is_refused(workbook):
    with pytest.raises(ConfigError, match=r"first has the shape \(1, 3\), but it should be \(N, 4\)"):
        catch(workbook, "box_iou", (torch.zeros(1, 3), torch.zeros(1, 3)))


@pytest.mark.parametrize("name", EXERCISES)
def test_no_case_of_a_check_is_refused(name):
    assert [wrong_shape(find(name), case.args) for case in find(name).all_cases()] == [""] * len(find(name).all_cases())


@pytest.mark.slow
def test_in_a_notebook_each_call_of_a_cell_is_shown_and_an_error_is_a_line(workbook, monkeypatch, capsys):
    shown, notebook = [], Session(workbook)
    monkeypatch.setattr(notebook_session, "get_ipython", lambda: SimpleNamespace(user_ns={}))
    monkeypatch.setattr(notebook_session, "display", shown.append)
    assert notebook.catch("nms", (CHAIN[:1], torch.tensor([0.5]), 0.5)) is None
    assert notebook.examine("nms", lambda boxes, scores, threshold: scores.argsort()) is None
    assert [type(result).__name__ for result in shown] == ["Caught", "VBox", "Verdict"]
    assert notebook.catch("nms", (CHAIN,)) is None
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(ConfigError):
        Session(workbook, is_strict=True).catch("nms", (CHAIN,))


def test_an_image_to_read_may_be_a_file_of_one_s_own(workbook, tmp_path):
    Image.new("CMYK", (5, 4), (255, 0, 128, 0)).save(tmp_path / "print.jpg")
    found = catch(workbook, "read_image", (tmp_path / "print.jpg",), (tmp_path / "none.jpg",))
    assert found.caught
    assert "file=" in found.look
