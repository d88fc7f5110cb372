import pytest
import torch

from coursekit.core.device import (
    autocast,
    best_device,
    choose_device,
    choose_precision,
    half_precision,
    half_precision_advice,
    half_precision_of_card,
    is_out_of_memory,
    total_memory,
)
from coursekit.core.errors import ConfigError

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


@pytest.mark.parametrize(
    ("card", "capability", "half"),
    [
        ("GTX 1080", (6, 1), "fp16"), ("T4", (7, 5), "fp16"), ("A100", (8, 0), "bf16"), ("RTX 3060", (8, 6), "bf16"),
        ("RTX 4090", (8, 9), "bf16"), ("H100", (9, 0), "bf16"), ("RTX 5090", (12, 0), "bf16"),
    ],
)  # fmt: skip
def test_ampere_and_later_cards_use_bf16(monkeypatch, card, capability, half):
    assert half_precision_of_card(capability) == half, card
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert half_precision(torch.device("cuda")) == half
    assert half in half_precision_advice(torch.device("cuda"))


def test_a_device_is_chosen_by_name(monkeypatch):
    assert choose_device(None) == best_device()
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps").type == "mps"
    assert best_device().type != "mps"  # only on request
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device is 'cuda': PyTorch finds none here"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="device is 'tpu': choose one of cpu, cuda, mps"):
        choose_device("tpu")


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
