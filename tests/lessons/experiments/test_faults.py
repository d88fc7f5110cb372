import pytest

from coursekit.data import load
from coursekit.evaluation import score, to_coco_results
from coursekit.lessons.experiments import faults
from coursekit.lessons.experiments.lesson07_run import stand_in


def corners(record):
    x, y, w, h = record["bbox"]
    return record | {"bbox": [x, y, x + w, y + h]}


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(20)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_a_fault_is_planted_in_copies(detected):
    before = [dict(record) for record in detected[0]]
    wrong = faults.spoil(detected[0], corners)
    assert detected[0] == before
    assert wrong[0]["bbox"][2] == pytest.approx(before[0]["bbox"][0] + before[0]["bbox"][2])


def test_the_table_names_score_and_cause(detected, capsys):
    faults.diagnose_faults(*detected, {"corners": corners}, "corners")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["nothing", f"{score(*detected)['AP50']:.3f}", "nothing"]
    assert lines[2].startswith("corners  0.")
    assert lines[2].endswith("xyxy_as_xywh")
    assert lines[3] == "mildest: corners; you said corners"


def test_a_mended_file_has_its_score_again(detected, capsys):
    faults.mend_all(*detected, {"corners": corners}, lambda wrong, name: detected[0])
    whole = f"{score(*detected)['AP']:.4f}"
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"AP without a fault: {whole}"
    assert second.startswith("corners  AP 0.0")
    assert second.endswith(f"→ {whole}")


def test_findings_are_printed_with_their_cure(detected, capsys):
    faults.print_findings(*detected)
    assert "finds nothing wrong" in capsys.readouterr().out
    faults.explain_all({"corners": faults.spoil(detected[0], corners)}, detected[1])
    printed = capsys.readouterr().out
    assert printed.startswith("corners: AP50 0.0")
    assert "xyxy_as_xywh: Boxes seem to be written as two corners" in printed
    assert max(map(len, printed.splitlines())) <= faults.WIDTH


def test_the_mean_with_minus_1_is_lower(detected, capsys):
    faults.mean_with_minus_1(*detected)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("-1: airplane")
    with_it, without = (float(line.split(":")[1].split(",")[0]) for line in lines[1:3])
    assert with_it < without == pytest.approx(score(*detected)["AP"], abs=1e-3)


def test_boxes_are_shown_as_coco_reads_them(detected, monkeypatch):
    shown = []
    monkeypatch.setattr(faults.show, "misplaced_boxes", lambda *args: shown.append(args))
    faults.show_faults(*detected, 1, {"corners": corners}, most=3)
    image, boxes, names = shown[0]
    assert image.shape[0] == 3
    assert boxes["corners"].shape == (len(names), 4) == (3, 4)
