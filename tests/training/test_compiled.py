import pytest
import torch

from coursekit.training.compiled import compile_dense

pytestmark = pytest.mark.slow


def test_without_a_compiler_the_model_runs_uncompiled(tiny_detector, monkeypatch):
    from torch._inductor.exc import InvalidCxxCompiler

    def no_compiler(_, dynamic):
        def call(_):
            raise InvalidCxxCompiler

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    tiny_detector.eval()
    expected = tiny_detector([torch.zeros(3, 64, 64)])
    messages = compile_dense(tiny_detector)
    assert messages == []
    detections = tiny_detector([torch.zeros(3, 64, 64)])
    assert torch.equal(detections[0]["boxes"], expected[0]["boxes"])
    assert len(messages) == 1
    assert "can't be used here" in messages[0]
    tiny_detector([torch.zeros(3, 64, 64)])
    assert len(messages) == 1  # reported once


def test_an_out_of_memory_error_is_not_taken_for_a_compiler_error(tiny_detector, monkeypatch):
    def full(_, dynamic):
        def call(_):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return call

    monkeypatch.setattr(torch, "compile", full)
    compile_dense(tiny_detector)
    try:
        tiny_detector.eval()([torch.zeros(3, 64, 64)])
    except torch.OutOfMemoryError:
        return
    raise AssertionError("the error was swallowed")


def test_a_model_without_a_dense_part_is_reported():
    assert "no dense part" in compile_dense(torch.nn.Linear(1, 1))[0]


def test_the_compiled_model_returns_the_same_boxes(tiny_detector, monkeypatch):
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda dense, dynamic: compile_(dense, backend="eager", dynamic=dynamic))
    tiny_detector.eval()
    images = [torch.rand(3, 64, 48)]
    expected = tiny_detector(images)[0]
    assert compile_dense(tiny_detector) == []
    torch.testing.assert_close(tiny_detector(images)[0]["boxes"], expected["boxes"])
