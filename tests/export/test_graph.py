"""The graphs with fixed shapes find what the detectors find, before anything is exported."""

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.detector.resize import to_batch
from coursekit.export.graph import input_size, limits_of, make_graph
from coursekit.export.prepare import nms_padded
from tests.export.conftest import SIZE, noise, tiny

SHAPES = [(SIZE, SIZE), (48, 64), (200, 90), (20, 150), (1, 300)]


def _both(model, graph, image):
    """Detections of the model and of the graph, in pixels of the batch."""
    batch, sizes = to_batch([image / 255], SIZE, SIZE, model.backbone.mean, model.backbone.std, (SIZE, SIZE))
    with torch.inference_mode():
        expected = model.predict(batch, sizes)[0]
        *_, boxes, scores, labels = graph(batch[:, :, :SIZE, :SIZE], torch.tensor(sizes[0], dtype=torch.float32))
    real = scores >= 0
    assert torch.equal(labels > 0, real)
    return expected, {"boxes": boxes[real], "labels": labels[real], "scores": scores[real]}


def _assert_same(expected, found, at_least=1):
    assert len(expected["scores"]) >= at_least
    torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-5, rtol=0)
    torch.testing.assert_close(found["boxes"], expected["boxes"], atol=1e-3, rtol=0)
    assert torch.equal(found["labels"], expected["labels"])


@pytest.mark.parametrize("kind", ["faster_rcnn", "fcos"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_graph_finds_what_the_detector_finds(kind, shape):
    model = tiny(kind)
    _assert_same(*_both(model, make_graph(model), noise(*shape)), at_least=2)


@pytest.mark.parametrize("kind", ["faster_rcnn", "fcos"])
def test_nms_padded_can_take_the_place_of_the_operator(kind):
    model = tiny(kind)
    _assert_same(*_both(model, make_graph(model, nms_padded), noise(48, 64)), at_least=2)


@pytest.mark.parametrize("kind", ["faster_rcnn", "fcos"])
def test_an_image_without_detections_is_all_padding(kind):
    model = tiny(kind)
    name = "score_thresh" if kind == "fcos" else "box_score_thresh"
    object.__setattr__(model.options, name, 1.0)
    expected, found = _both(model, make_graph(model), noise(48, 64))
    assert len(expected["scores"]) == len(found["scores"]) == 0


def test_stages_have_fixed_shapes_and_padding_without_a_score():
    graph = make_graph(tiny())
    with torch.inference_mode():
        outputs = graph(torch.zeros(1, 3, SIZE, SIZE), torch.tensor([1.0, SIZE]))
    names = [name for stage in graph.stages for name in stage.outputs]
    shapes = {name: tuple(output.shape) for name, output in zip(names, outputs, strict=True)}
    assert shapes == {
        "proposals_before_nms": (1500, 4), "objectness_before_nms": (1500,), "proposals": (200, 4),
        "objectness": (200,), "boxes": (100, 4), "scores": (100,), "labels": (100,),
    }  # fmt: skip
    for boxes, scores in ((2, 3), (4, 5)):
        assert (outputs[boxes][outputs[scores] < 0] == 0).all()
        assert outputs[scores].diff().le(0).all()  # best first


def test_limits_are_those_of_the_options():
    assert limits_of(tiny()) == (0.05, 0.5, 100)
    assert limits_of(tiny("fcos")) == (0.05, 0.6, 100)


def test_another_model_is_refused():
    with pytest.raises(ConfigError, match="a Linear can't be exported"):
        make_graph(torch.nn.Linear(1, 1))
    model = tiny()
    object.__setattr__(model.options, "min_size", 48)
    with pytest.raises(ConfigError, match="no square"):
        input_size(model)
