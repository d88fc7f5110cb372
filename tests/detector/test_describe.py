import pytest
import torch

from coursekit.detector import build_detector


def _rows(capsys, monkeypatch, detector, *size):
    """Return the title, and the cells of each row of the table."""
    monkeypatch.setenv("COLUMNS", "160")
    detector.describe(*size)
    title, *lines = capsys.readouterr().out.splitlines()
    return title, [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_the_table_lists_the_parts_with_shapes_and_strides(capsys, monkeypatch, tiny_detector):
    title, rows = _rows(capsys, monkeypatch, tiny_detector, (64, 96))
    assert "96 × 64" in title  # width × height, as people write sizes of images
    for part in ("backbone", "fpn", "rpn_head", "box_head"):
        assert any(row[0].startswith(part) for row in rows)
    shapes = {cell: row for row in rows for cell in row if "×" in cell}
    for shape, stride in {"40 × 8 × 12": "8", "112 × 4 × 6": "16", "16 × 8 × 12": "8", "16 × 2 × 3": "32"}.items():
        assert stride in shapes[shape]
    assert f"{9 * (96 + 24 + 6)} × 4" in shapes  # the anchors' deltas
    assert "3 × 4" in shapes  # one box's, for two classes and the background


def test_it_counts_all_parameters_and_the_trained_ones(capsys, monkeypatch, tiny_detector):
    _, rows = _rows(capsys, monkeypatch, tiny_detector, (64, 64))
    count = sum(parameter.numel() for parameter in tiny_detector.parameters())
    trained = sum(parameter.numel() for parameter in tiny_detector.parameters() if parameter.requires_grad)
    (total,) = [row for row in rows if row[0] == "all"]
    assert f"{count:,}" in total
    assert f"{trained:,}" in total
    assert trained < count


def test_the_default_size_is_the_detectors_own(capsys, monkeypatch, tiny_detector):
    assert "64 × 64" in _rows(capsys, monkeypatch, tiny_detector)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_describing_changes_nothing(capsys, monkeypatch, tiny_detector, dtype, training):
    tiny_detector.to(dtype).train(training)
    before = {name: value.clone() for name, value in tiny_detector.state_dict().items()}
    _rows(capsys, monkeypatch, tiny_detector)
    assert all(torch.equal(before[name], value) for name, value in tiny_detector.state_dict().items())
    assert tiny_detector.training == training
    assert all(parameter.grad is None for parameter in tiny_detector.parameters())


def test_a_detector_with_one_stage_lists_its_head(capsys, monkeypatch):
    detector = build_detector(num_classes=2, size=64, channels=16, pretrained=False, kind="fcos")
    _, rows = _rows(capsys, monkeypatch, detector, (64, 96))
    assert [row[0] for row in rows if row[0]] == ["backbone", "fpn", "head", "all"]
    cells = 8 * 12 + 4 * 6 + 2 * 3
    assert {f"{cells} × 2", f"{cells} × 4", f"{cells}"} <= {row[3] for row in rows}
