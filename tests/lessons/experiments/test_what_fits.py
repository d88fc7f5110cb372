from coursekit.lessons.experiments import what_fits as module
from coursekit.lessons.experiments.what_fits import compare_guesses, what_fits
from coursekit.memory import StepConfig
from coursekit.memory.planner import BATCHES, SIZES
from coursekit.memory.step_config import GIB, Peak


def test_the_short_form_predicts_the_last_way_only(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setattr(module, "peaks_of", lambda config: peaks)
    peaks = {(name, batch): Peak(0, 0, 0, GIB, 0) for name in SIZES for batch in BATCHES}
    assert list(what_fits({"slow": StepConfig(), "mine": StepConfig()}, {4})) == ["mine"]
    assert capsys.readouterr().out.startswith("(slow: left out in the short form)\n")


def test_the_most_images_that_fit_comfortably(monkeypatch, capsys):
    monkeypatch.delenv("COURSEKIT_FAST", raising=False)

    def peaks_of(config):
        sides = {name: size[0] / 640 for name, size in SIZES.items()}
        return {
            (name, batch): Peak(0, 0, 0, int(0.3 * sides[name] * batch * GIB), 0) for name in SIZES for batch in BATCHES
        }

    monkeypatch.setattr(module, "peaks_of", peaks_of)
    peaks = what_fits({"mine": StepConfig()}, {4, 1})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine"
    assert [line.split()[:2] for line in lines[2:4]] == [["1", "GB"], ["4", "GB"]]
    assert lines[2].split()[2:] == ["2", "×", "8", "1", "×", "16", "1", "×", "16", "1", "×", "16", "1", "×", "16"]
    assert lines[3].split()[8:11] == ["8", "×", "2"]
    assert peaks["mine"]["640", 1].total == int(0.3 * GIB)

    compare_guesses(peaks, "640", 4, {"mine": 3})
    assert capsys.readouterr().out == "mine: 640 px on 4 GB, 8 at a time; you said 3\n"
