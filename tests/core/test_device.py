import pytest
import torch

from coursekit.core.device import autocast, choose_precision, is_out_of_memory, total_memory

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("the card is full"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_out_of_memory_errors_of_all_devices_are_recognized(error):
    assert is_out_of_memory(error)


def test_other_errors_are_not_taken_for_out_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize(("helps", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_it_helps(monkeypatch, helps, precision):
    monkeypatch.setattr("coursekit.core.device.helps_bf16", lambda device: helps)
    assert choose_precision(CPU, "auto") == precision
    assert choose_precision(CPU, "fp16") == "fp16"
    with autocast(CPU, "auto"):
        assert torch.is_autocast_enabled("cpu") == helps


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_computes_in_the_precision_asked_for(precision, dtype):
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with autocast(CPU, "fp32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_the_computers_memory_is_in_bytes():
    assert total_memory() > 2**28
