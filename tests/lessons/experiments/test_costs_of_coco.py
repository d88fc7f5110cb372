from coursekit.lessons.experiments import costs_of_coco
from coursekit.memory.planner import Candidate, Card
from coursekit.memory.step_config import Peak


def test_the_bill_names_each_recipe_of_photographs(capsys):
    peak = Peak(*[1] * len(Peak.__struct_fields__))
    candidates = [
        Candidate("320", 8, peak, "fits"),
        Candidate("480", 4, peak, "fits"),
        Candidate("480", 8, peak, "tight"),
    ]
    costs_of_coco.print_bill(10.0, 320, 8.0, Card(4.0, 3.2, candidates, None))
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert {"coco-tiny", "coco-5class", "coco-10k", "coco-320"} <= set(lines)
    assert "mini" not in lines
    assert lines["coco-320"].split()[-4:] == ["8", "of", "320", "px"]
    assert lines["coco-5class"].split()[-4:] == ["4", "of", "480", "px"]
    assert lines["coco-10k"].split()[-4:] == ["?", "of", "512", "px"] or "of 512 px" in lines["coco-10k"]
    hours = 118_287 / 10 / 3600
    assert f"{hours:.1f} h" in lines["coco-320"]
    costs_of_coco.print_bill(10.0, 320, 8.0, None)
    *rows, note = capsys.readouterr().out.splitlines()[1:]
    assert all(line.endswith("–") for line in rows)
    assert note == "(–: no card was planned for in 10.3, as in the short form)"


def test_expected_and_published_scores_are_printed(capsys):
    costs_of_coco.print_expected_and_published()
    printed = capsys.readouterr().out
    assert "aren't measured yet" in printed
    assert "MobileNetV3, 320 px   22.8" in printed
