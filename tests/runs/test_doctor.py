import json

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
