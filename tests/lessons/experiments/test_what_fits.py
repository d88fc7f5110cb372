import pytest

from coursekit.data import load
from coursekit.lessons.experiments import what_fits
from coursekit.lessons.experiments.what_fits import compare_guesses
from coursekit.memory import StepConfig
from coursekit.memory.planner import BATCHES, SIZES
from coursekit.memory.step_config import GIB, Peak


def test_the_short_form_predicts_the_last_way_only(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setattr(what_fits, "peaks_of", lambda config: peaks)
    peaks = {(name, batch): Peak(0, 0, 0, GIB, 0) for name in SIZES for batch in BATCHES}
    assert list(what_fits.what_fits({"slow": StepConfig(), "mine": StepConfig()}, {4})) == ["mine"]
    assert capsys.readouterr().out.startswith("(slow: left out in the short form)\n")


def test_the_most_images_that_fit_comfortably(monkeypatch, capsys):
    monkeypatch.delenv("COURSEKIT_FAST", raising=False)

    def peaks_of(config):
        sides = {name: size[0] / 640 for name, size in SIZES.items()}
        return {
            (name, batch): Peak(0, 0, 0, int(0.3 * sides[name] * batch * GIB), 0) for name in SIZES for batch in BATCHES
        }

    monkeypatch.setattr(what_fits, "peaks_of", peaks_of)
    peaks = what_fits.what_fits({"mine": StepConfig()}, {4, 1})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine"
    assert [line.split()[:2] for line in lines[2:4]] == [["1", "GB"], ["4", "GB"]]
    assert lines[2].split()[2:] == ["2", "×", "8", "1", "×", "16", "1", "×", "16", "1", "×", "16", "1", "×", "16"]
    assert lines[3].split()[8:11] == ["8", "×", "2"]
    assert peaks["mine"]["640", 1].total == int(0.3 * GIB)

    compare_guesses(peaks, "640", 4, {"mine": 3})
    assert capsys.readouterr().out == "mine: 640 px on 4 GB, 8 at a time; you said 3\n"


def test_the_short_form_says_that_there_is_no_plan(capsys, monkeypatch):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    assert what_fits.print_plan(4.0, num_classes=4) is None
    assert "left out in the short form" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "less than a second"), (1.4, "1 second"), (3, "3 seconds"), (59, "59 seconds"), (90, "1.5 minutes")],
)
def test_less_than_a_minute_is_said_in_seconds(seconds, words):
    assert what_fits.duration(seconds) == words


@pytest.mark.slow
def test_the_plan_of_a_card_and_the_speed_of_this_machine(coco_folder, capsys, monkeypatch):
    monkeypatch.delenv("COURSEKIT_FAST", raising=False)
    card = what_fits.print_plan(4.0, num_classes=4)
    printed = capsys.readouterr().out
    assert card.recommended is not None
    assert f"to start with: long side {card.recommended.size}, {card.recommended.batch} images at a time" in printed
    assert "800 × 1333" in printed
    assert what_fits.images_per_second(load(coco_folder, "train"), batch=1, size=64, frozen_stages=8) > 0
