import copy

import pytest
import torch

from coursekit.training import torch_compile
from coursekit.training.torch_compile import compile_dense, one_of_few_sizes, stop_compiled

TARGET = {"boxes": torch.tensor([[4.0, 4, 30, 40]]), "labels": torch.tensor([1])}


def _losses(detector, size=(64, 64), count=1):
    torch.manual_seed(0)
    images = [torch.rand(3, *size) for _ in range(count)]
    return detector(images, [TARGET] * count, seeds=list(range(count)))


@pytest.fixture
def calls(monkeypatch):
    """Replace the compiler by one that only counts: it returns the shapes that the compiled function was called at."""
    calls = []

    def compile_(dense, dynamic, mode):
        def call(batch):
            calls.append((tuple(batch.shape), mode))
            return dense(batch)

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    return calls


def test_without_a_compiler_the_model_runs_uncompiled(tiny_detector, monkeypatch):
    from torch._inductor.exc import InvalidCxxCompiler

    def no_compiler(_, dynamic, mode):
        def call(_):
            raise InvalidCxxCompiler

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    expected = _losses(tiny_detector)
    messages = compile_dense(tiny_detector)
    assert messages == []
    assert _losses(tiny_detector) == expected
    assert len(messages) == 1
    assert "can't be used here" in messages[0]
    _losses(tiny_detector)
    assert len(messages) == 1  # reported once


def test_an_out_of_memory_error_is_not_taken_for_a_compiler_error(tiny_detector, monkeypatch):
    def full(_, dynamic, mode):
        def call(_):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return call

    monkeypatch.setattr(torch, "compile", full)
    compile_dense(tiny_detector)
    with pytest.raises(torch.OutOfMemoryError):
        _losses(tiny_detector)


def test_a_model_without_a_dense_part_is_reported():
    assert "no dense part" in compile_dense(torch.nn.Linear(1, 1))[0]


@pytest.mark.slow
def test_the_compiled_model_returns_the_same_losses_and_gradients(tiny_detector, monkeypatch):
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda dense, dynamic, mode: compile_(dense, backend="aot_eager"))
    twin = copy.deepcopy(tiny_detector)
    expected = _losses(twin, (64, 48), 2)
    sum(expected.values()).backward()
    assert compile_dense(tiny_detector) == []
    losses = _losses(tiny_detector, (64, 48), 2)
    sum(losses.values()).backward()
    torch.testing.assert_close(losses, expected)
    for (name, parameter), other in zip(tiny_detector.named_parameters(), twin.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(parameter.grad, other.grad, msg=name, rtol=1e-3, atol=1e-5)


def test_evaluation_and_shapes_beyond_the_first_few_run_uncompiled(tiny_detector, calls, monkeypatch):
    monkeypatch.setattr(torch_compile, "MAX_SHAPES", 2)
    compile_dense(tiny_detector)
    with torch.no_grad():
        for count in (1, 2, 3, 1):
            _losses(tiny_detector, count=count)
        assert [shape[0] for shape, _ in calls] == [1, 2, 1]
        tiny_detector.eval()([torch.zeros(3, 64, 64)])
    assert len(calls) == 3


def test_what_a_cuda_graph_returns_is_copied(tiny_detector, calls, monkeypatch):
    compile_dense(tiny_detector, use_cuda_graph=True)
    batch = torch.rand(1, 3, 64, 64)
    static = tiny_detector.dense.eager(batch)
    tiny_detector.dense.compiled = lambda _: static
    levels, logits, deltas = tiny_detector.dense(batch)
    kept = [level.clone() for level in levels]
    with torch.no_grad():
        for tensor in (*static[0], *static[1:]):
            tensor.zero_()  # as the next replay does
    assert all(torch.equal(level, before) for level, before in zip(levels, kept, strict=True))
    assert logits.abs().sum() > 0
    assert deltas.abs().sum() > 0


def test_compiling_can_be_stopped(tiny_detector, calls):
    compile_dense(tiny_detector)
    stop_compiled(tiny_detector)
    stop_compiled(tiny_detector)
    stop_compiled(torch.nn.Linear(1, 1))
    _losses(tiny_detector)
    assert calls == []


def test_sizes_are_rounded_up_to_a_few():
    sizes = {one_of_few_sizes((height, 320), 320) for height in range(1, 321)}
    assert sizes == {(80, 320), (160, 320), (240, 320), (320, 320)}
    assert one_of_few_sizes((800, 1333), 1333)[1] >= 1333
    assert all(one_of_few_sizes((side, side), 200)[0] >= side for side in range(1, 201))
