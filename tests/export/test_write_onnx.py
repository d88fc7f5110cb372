"""The file that is written, run by onnxruntime."""

from pathlib import Path

import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.export import packages
from coursekit.export.agreement import check_agreement
from coursekit.export.onnx_detector import OnnxDetector
from coursekit.export.prepare import nms_padded
from coursekit.export.write_onnx import write_onnx
from tests.export.conftest import CLASSES, SIZE, make_exported, noise, tiny

IMAGES = [noise(48, 64, 1), noise(200, 90, 2), noise(SIZE, SIZE, 3), noise(20, 150, 4)]


def test_it_finds_what_pytorch_finds(exported):
    agreement = check_agreement(exported.model, exported.detector, IMAGES)
    assert agreement.images == len(IMAGES)
    assert agreement.detections > 20
    assert agreement.box_error < 1e-3
    assert agreement.score_error < 1e-5


@pytest.mark.slow
def test_so_does_a_one_stage_detector(tmp_path):
    exported = make_exported(tmp_path, "fcos")
    assert check_agreement(exported.model, exported.detector, IMAGES).detections > 20
    assert [stage.title for stage in exported.settings.stages] == ["Boxes before NMS", "Detections"]


def test_it_is_one_file_with_standard_operators_and_both_nms(exported):
    onnx = pytest.importorskip("onnx")
    nodes = onnx.load(exported.path).graph.node
    assert {node.domain for node in nodes} <= {"", "ai.onnx"}
    assert sum(node.op_type == "NonMaxSuppression" for node in nodes) == 2
    assert not any(node.op_type == "RoiAlign" for node in nodes)
    assert [file.name for file in exported.path.parent.iterdir()] == ["model.onnx"]


def test_its_outputs_have_the_names_of_the_stages_and_fixed_shapes(exported):
    shapes = {output.name: output.shape for output in exported.detector.session.get_outputs()}
    assert shapes == {
        "proposals_before_nms": [1500, 4], "objectness_before_nms": [1500], "proposals": [200, 4],
        "objectness": [200], "boxes": [100, 4], "scores": [100], "labels": [100],
    }  # fmt: skip


def test_the_file_knows_its_classes_and_its_input(exported):
    assert OnnxDetector(exported.path).settings == exported.settings
    assert exported.settings.classes == CLASSES
    assert exported.settings.size == (SIZE, SIZE)


def test_detections_are_in_pixels_of_the_image(exported):
    found = exported.detector(noise(200, 90))
    with torch.inference_mode():
        expected = exported.model([noise(200, 90) / 255], pad_to=(SIZE, SIZE))[0]
    torch.testing.assert_close(found["boxes"], expected["boxes"], atol=1e-2, rtol=0)
    assert found["boxes"][:, 3].max() > 100


@pytest.mark.long  # a graph of thousands of operators: half a minute
def test_without_the_operator_it_finds_the_same(tmp_path):
    """20 proposals and 10 detections: `nms_padded` becomes as many steps of the graph."""
    pytest.importorskip("onnxruntime")
    model = tiny()
    object.__setattr__(model.options, "rpn_post_nms_top_n", (20, 20))
    object.__setattr__(model.options, "box_detections_per_img", 10)
    write_onnx(model, CLASSES, tmp_path / "padded.onnx", nms=nms_padded)
    detector = OnnxDetector(tmp_path / "padded.onnx", threads=1)
    onnx = pytest.importorskip("onnx")
    assert not any(node.op_type == "NonMaxSuppression" for node in onnx.load(tmp_path / "padded.onnx").graph.node)
    assert check_agreement(model, detector, IMAGES).detections > 5


class Picky(torch.nn.Module):
    """A box head that decides in Python by what it is given."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, patches):
        return self.head(patches if patches.sum() > 0 else -patches)


@pytest.mark.slow
def test_a_part_that_cannot_be_recorded_is_explained(tmp_path):
    pytest.importorskip("onnxscript")
    model = tiny()
    model.box_head = Picky(model.box_head)
    with pytest.raises(ConfigError, match="can't be written as ONNX .*no part may decide in Python"):
        write_onnx(model, CLASSES, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(ConfigError, match=r"needs onnxscript, onnxruntime, .*pip install .*\[export\]"):
        write_onnx(tiny(), CLASSES, tmp_path / "model.onnx")


def test_a_file_that_is_no_export_is_refused(exported, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(DataError, match=r"text\.onnx: can't be loaded"):
        OnnxDetector(tmp_path / "text.onnx")
    with pytest.raises(DataError, match=r"none\.onnx: can't be loaded"):
        OnnxDetector(Path("none.onnx"))
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported.path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(DataError, match="not exported by coursekit"):
        OnnxDetector(tmp_path / "other.onnx")
