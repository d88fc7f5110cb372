import json
import os

import pytest

from coursekit.runs import doctor


def test_each_finding_says_what_it_means():
    findings = doctor.examine()
    assert {finding.name for finding in findings} == {
        "python", "torch", "cpu", "gpu", "memory", "disk", "weights", "data", "compiler"
    }  # fmt: skip
    assert all(finding.value and len(finding.meaning) > 10 for finding in findings)
    assert json.loads(json.dumps(doctor.as_json(findings)))["cpu"]["ok"] is True


def test_a_full_disk_is_reported_with_what_to_do(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9})())
    disk = next(finding for finding in doctor.examine() if finding.name == "disk")
    assert not disk.ok
    assert "COURSEKIT_CACHE" in disk.meaning


def test_a_card_that_other_programs_use_is_reported(monkeypatch):
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor.torch.cuda, "mem_get_info", lambda: (10**9, 4 * 10**9))
    monkeypatch.setattr(doctor.torch.cuda, "get_device_name", lambda: "Card 4000")
    monkeypatch.setattr(doctor.torch.cuda, "get_device_capability", lambda device: (7, 5))
    card = doctor._gpu()
    assert card.value == "Card 4000, 1.0 of 4.0 GB free"
    assert not card.ok
    assert "Its 16-bit precision is fp16" in card.meaning


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Return a function that puts a program of this name first on the path."""

    def install(script):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return install


@pytest.mark.skipif(os.name == "nt", reason="the program that stands in is a shell script")
def test_a_card_that_torch_cannot_use_is_reported(nvidia_smi, monkeypatch):
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: False)
    nvidia_smi("echo 'NVIDIA GeForce RTX 3050 Laptop GPU'")
    monkeypatch.setattr(doctor.torch.version, "cuda", None)
    card = doctor._gpu()
    assert (card.ok, card.value) == (False, "NVIDIA GeForce RTX 3050 Laptop GPU, not used")
    assert "built for the CPU only" in card.meaning
    monkeypatch.setattr(doctor.torch.version, "cuda", "13.0")
    assert "a driver for CUDA 13.0" in doctor._gpu().meaning


@pytest.mark.skipif(os.name == "nt", reason="the program that stands in is a shell script")
@pytest.mark.parametrize("script", ["exit 9", "echo broken; exit 1", ""])
def test_a_program_that_finds_no_card_means_none(nvidia_smi, monkeypatch, script):
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: False)
    nvidia_smi(script)
    assert (doctor._gpu().value, doctor._gpu().ok) == ("none", True)


@pytest.mark.skipif(os.name == "nt", reason="the program that stands in is a shell script")
def test_another_kernel_that_holds_memory_is_named(nvidia_smi, monkeypatch):
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor.torch.cuda, "mem_get_info", lambda: (10**9, 4 * 10**9))
    monkeypatch.setattr(doctor.torch.cuda, "get_device_name", lambda: "Card 4000")
    monkeypatch.setattr(doctor.torch.cuda, "get_device_capability", lambda device: (7, 5))
    nvidia_smi(f"echo '{os.getpid()}, python, 300 MiB'; echo '77, /usr/bin/python3, 2210 MiB'")
    meaning = doctor._gpu().meaning
    assert "process 77 (python3) holds 2210 MiB" in meaning
    assert str(os.getpid()) not in meaning
    assert "until you shut it down" in meaning
