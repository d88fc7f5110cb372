import importlib
import subprocess
import sys
from functools import partial

import pytest
import torch

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import own_parts
from coursekit.lessons.workbook.own_parts import PartError, functions, guarded, parts_of
from coursekit.lessons.workbook.trusted_workbooks import digests
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.runs.save_and_load import build
from tests.lessons.answers import IOU, answer


def test_a_name_is_the_interns_if_it_is_right_else_the_reference(workbook):
    workbook.begin()
    package = importlib.import_module("my_detector")
    assert package.box_iou is EXERCISES["box_iou"].reference
    workbook.store("box_iou", IOU.replace(".clamp(min=0)", ""))
    check(workbook, "box_iou")
    assert package.box_iou is EXERCISES["box_iou"].reference
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    assert package.box_iou.__module__ == "my_detector.box_iou"
    importlib.import_module("my_detector.box_iou")
    assert callable(package.box_iou)
    with pytest.raises(AttributeError, match="has no 'nsm'"):
        package.nsm  # noqa: B018


def test_an_answer_uses_earlier_answers(workbook):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    workbook.store("nms", answer("nms", "right_with_a_shrinking_list"))
    assert check(workbook, "nms").state == "correct"
    assert workbook.answer("nms").box_iou.__module__ == "my_detector.box_iou"


@pytest.mark.slow
def test_it_imports_in_a_plain_python(workbook):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    code = "from my_detector import box_iou, nms; print(box_iou.__module__, nms.__module__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=workbook.folder.parent, capture_output=True, text=True)
    assert done.stdout.split() == ["my_detector.box_iou", "coursekit.detector.boxes"], done.stderr


def test_the_parts_of_a_detector_and_whose_they_are(workbook):
    workbook.store("box_iou", IOU)
    workbook.store("nms", "from torchvision.ops import nms\n")
    workbook.store("encode_boxes", answer("encode_boxes", "wrong_shift_in_pixels"))
    parts = {part.name: part for part in parts_of(workbook)}
    assert parts["box_iou"].owner == "yours"
    assert parts["nms"].owner == "borrowed"
    assert parts["nms"].function is EXERCISES["nms"].twin
    assert parts["encode_boxes"].function is None
    assert "not right yet" in parts["encode_boxes"].owner
    table = own_parts.table(list(parts.values()))
    assert "compiled twin" in table
    assert "  box_iou            yours (for a batch, its twin runs, which gives the same results)" in table
    assert "The course's: " in table
    parts = {part.name: part for part in parts_of(workbook, ["box_iou"])}
    assert parts["box_iou"].function is None


def test_a_part_that_calls_another_trains_with_its_twin(workbook):
    workbook.store("nms", answer("nms", "right_with_a_shrinking_list"))
    check(workbook, "nms")
    workbook.store("box_iou", f"from my_detector import nms\n\nused = nms\n{IOU}")
    check(workbook, "box_iou")
    part = next(part for part in parts_of(workbook) if part.name == "box_iou")
    assert part.function.__wrapped__.__globals__["used"] is EXERCISES["nms"].twin
    assert workbook.answer("box_iou").used.__module__ == "my_detector.nms"  # in the notebook it stays theirs


def test_correct_parts_switch_no_twin_off(workbook):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    config = DetectorConfig(2, size=64, channels=16, hidden=16)
    own = functions(parts_of(workbook))
    assert list(own) == ["box_iou"]
    built = build(config, pretrained=False, parts=own)
    assert vars(built.stages) == vars(build(config, pretrained=False).stages)
    assert built.parts.box_iou is own["box_iou"]


def test_no_workbook_and_no_such_part(tmp_path, workbook):
    with pytest.raises(ConfigError, match="no workbook here"):
        parts_of(Workbook(tmp_path / "nothing"))
    workbook.begin()
    with pytest.raises(ConfigError, match="no such part"):
        parts_of(workbook, ["box_oiu"])


def test_a_part_that_breaks_later_is_named(workbook):
    code = IOU.replace("):\n", "):\n    if len(first) == 7:\n        raise ValueError('seven')\n", 1)
    workbook.store("box_iou", code)
    assert check(workbook, "box_iou").state == "correct"
    part = next(part for part in parts_of(workbook) if part.name == "box_iou")
    with pytest.raises(PartError, match=r"your box_iou failed.*seven.*line 7.*--reference box_iou"):
        part.function(torch.zeros(7, 4), torch.zeros(1, 4))


def test_a_class_is_guarded_too(workbook):
    class FPN(torch.nn.Module):
        def forward(self, maps):
            raise IndexError("no map")

    with pytest.raises(PartError, match="your FPN failed"):
        guarded(workbook, "FPN", FPN)()([])


def test_all_methods_that_a_detector_calls_are_guarded(workbook):
    class OneStage(torch.nn.Module):
        def losses(self, outputs):
            raise IndexError("no cell")

    with pytest.raises(PartError, match="your OneStage failed"):
        guarded(workbook, "OneStage", OneStage)().losses(())


def test_each_kind_of_detector_has_its_own_parts(workbook):
    workbook.store("box_iou", IOU)
    parts = {part.name: part for part in parts_of(workbook, kind="fcos")}
    assert {"FPN", "nms", "assign_cells", "focal_loss"} <= set(parts)
    assert not {"RPNHead", "match_anchors"} & set(parts)
    assert (parts["box_iou"].owner, parts["box_iou"].note) == ("yours", "")
    with pytest.raises(ConfigError, match="--reference RPNHead: no such part"):
        parts_of(workbook, ["RPNHead"], "fcos")


@pytest.mark.slow
def test_an_interns_detector_trains(workbook, coco_folder, tmp_path, capsys):
    from coursekit.core.config import DetectorConfig
    from coursekit.evaluation import score
    from coursekit.lessons.workbook.own_parts import parts_from, results_of_run
    from coursekit.runs.run_config import load_config
    from coursekit.runs.train_or_resume import train_run
    from coursekit.training import TrainConfig

    workbook.store("box_iou", IOU)
    workbook.store("encode_boxes", answer("encode_boxes", "right_number_by_number"))
    training = TrainConfig(epochs=1, batch_size=2, warmup_steps=1)
    detector = DetectorConfig(0, backbone="tf_efficientnet_lite0", size=64)
    parts = parts_from(workbook)
    train_run(
        str(coco_folder), tmp_path / "run", training, detector, evaluate_every=0, parts=parts, workbook=workbook.folder,
        digests=digests(workbook, parts),
    )  # fmt: skip
    assert "box_iou            yours" in capsys.readouterr().out
    assert load_config(tmp_path / "run").parts == ["box_iou", "encode_boxes"]
    assert load_config(tmp_path / "run").workbook == "../my_detector"
    assert "AP" in score(*results_of_run(tmp_path / "run", str(coco_folder), workbook=workbook))
    with pytest.raises(ConfigError, match="only if you name that workbook"):
        results_of_run(tmp_path / "run", str(coco_folder))


@pytest.mark.slow
def test_a_resumed_run_uses_the_parts_it_started_with(workbook, coco_folder, tmp_path, capsys):
    from coursekit.core.config import DetectorConfig
    from coursekit.lessons.workbook.own_parts import parts_from, parts_of_run
    from coursekit.runs.run_config import load_config
    from coursekit.runs.train_or_resume import train_run
    from coursekit.training import TrainConfig

    workbook.store("box_iou", IOU)
    training = TrainConfig(epochs=2, batch_size=2, warmup_steps=1)
    detector = DetectorConfig(0, backbone="tf_efficientnet_lite0", size=64)
    run = partial(train_run, str(coco_folder), tmp_path, training, detector, evaluate_every=0)
    run(parts=parts_from(workbook), workbook=workbook.folder, digests=digests(workbook, ["box_iou"]))
    (tmp_path / "model.safetensors").unlink()  # as if it had been stopped
    workbook.store("box_iou", IOU.replace(".clamp(min=0)", ""))
    with pytest.raises(ConfigError, match="box_iou there is not what this run was trained with"):
        parts_of_run(load_config(tmp_path), workbook)
    run(resume=True, parts=parts_of_run(load_config(tmp_path), workbook, reference_for=["box_iou"]))
    assert load_config(tmp_path).parts == []


def test_loading_parts_of_another_workbook_leaves_my_detector_as_it_was(workbook, tmp_path):
    workbook.store("box_iou", IOU)
    package = importlib.import_module("my_detector")
    other = Workbook(tmp_path / "other" / "my_detector")
    other.begin()
    workbook.make_importable()
    package = importlib.import_module("my_detector")
    other.file_of("nms").write_text(answer("nms", "right_with_a_shrinking_list"))
    check(other, "nms")
    assert "nms" in own_parts.functions(parts_of(other))
    assert importlib.import_module("my_detector") is package
    assert package.workbook is workbook
