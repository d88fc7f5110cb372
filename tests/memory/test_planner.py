import json
from pathlib import Path

import msgspec
import pytest

from coursekit.core.errors import ConfigError, DataError
from coursekit.memory import Constants, Peak, StepConfig, advice, as_json, load_constants, make_plan, markdown_table
from coursekit.memory.budget import constants_file, usable, verdict
from coursekit.memory.plan_tables import recommendation
from coursekit.memory.planner import BATCHES, CARDS, EFFECTIVE_BATCH, SIZES, Candidate, recommend
from coursekit.memory.predict_peak import predict
from coursekit.memory.step_config import GIB

USUAL_B3 = StepConfig("efficientnet_b3", (800, 1333), 1, "fp32", 0, channels=256, hidden=1024, folds_norm=False)


def candidate(size: str, batch: int, verdict: str = "fits") -> Candidate:
    return Candidate(size, batch, Peak(0, 0, 0, batch, 0), verdict)


def test_usable_memory():
    assert usable(4, Constants()) / GIB == pytest.approx(3.2, abs=0.05)
    assert usable(0.25, Constants()) == 0
    assert usable(4, Constants(context=GIB, overhead=1.5)) == 2 * GIB


def test_verdicts():
    assert [verdict(needed, 100) for needed in (0, 90, 91, 100, 101)] == [
        "fits",
        "fits",
        "tight",
        "tight",
        "does not fit",
    ]


@pytest.mark.slow
def test_efficientnet_b3_at_full_size_does_not_train_in_fp32_on_4_gb():
    assert verdict(predict(USUAL_B3).total, usable(4, Constants())) == "does not fit"


def test_the_largest_size_of_which_four_images_fit_is_recommended():
    c = candidate
    assert recommend([c("320", 16), c("640", 4), c("800", 2)]) == c("640", 4)
    assert recommend([c("320", 16), c("640", 4), c("640", 8), c("800", 4, "tight")]) == c("640", 8)
    assert recommend([c("320", 1), c("320", 2), c("480", 1), c("320", 4, "tight")]) == c("320", 2)
    assert recommend([c("320", 1, "tight"), c("320", 2, "does not fit")]) is None


def test_the_recommended_configuration_fits_its_card(quick_plan):
    assert [card.vram for card in quick_plan.others] == list(CARDS)
    for card in quick_plan.others:
        assert card.recommended.peak.total <= usable(card.vram, Constants())
        assert card.recommended.batch * card.accumulation == EFFECTIVE_BATCH


def test_a_larger_card_gets_no_smaller_recommendation(quick_plan):
    areas = [SIZES[card.recommended.size][0] ** 2 * card.recommended.batch for card in quick_plan.others]
    assert areas == sorted(areas)
    for small, large in zip(quick_plan.others, quick_plan.others[1:], strict=False):
        order = ["fits", "tight", "does not fit"]
        assert all(
            order.index(a.verdict) >= order.index(b.verdict)
            for a, b in zip(small.candidates, large.candidates, strict=True)
        )


def test_interpolated_peaks_are_as_predicted(quick, quick_plan):
    for each in quick_plan.card.candidates:
        exact = quick(msgspec.structs.replace(quick_plan.config, size=SIZES[each.size], batch=each.batch))
        assert each.peak.total == pytest.approx(exact.total, rel=1e-6)


def test_a_card_without_memory_is_refused():
    for vram in (0, -4, float("nan")):
        with pytest.raises(ConfigError, match="memory in GB"):
            make_plan(vram)


def test_nothing_fits_on_a_card_of_half_a_gigabyte(quick):
    plan = make_plan(0.5)
    assert plan.card.recommended is None
    assert plan.card.accumulation == 0
    assert "smaller backbone" in recommendation(plan)
    assert as_json(plan)["recommended"] is None


def test_the_command_has_the_recommended_options(quick_plan):
    chosen = quick_plan.card.recommended
    text = recommendation(quick_plan)
    assert f"--size {chosen.size} " in text
    assert f"--micro-batch {chosen.batch} " in text
    assert "--batch 16 " in text


def test_json_has_stable_names_and_survives_a_round_trip(quick_plan):
    content = as_json(quick_plan)
    assert json.loads(json.dumps(content)) == content
    assert set(content) == {
        "kind", "backbone", "precision", "frozen_stages", "optimizer", "num_classes", "effective_batch", "constants",
        "vram_gib", "usable_gib", "recommended", "fits", "cards",
    }  # fmt: skip
    assert len(content["fits"]) == len(SIZES) * len(BATCHES)
    assert set(content["recommended"]) == {
        "size", "height", "width", "batch", "verdict", "accumulation", "peak_mib", "weights_mib", "gradients_mib",
        "optimizer_mib", "activations_mib", "rest_mib",
    }  # fmt: skip
    assert [card["vram_gib"] for card in content["cards"]] == list(CARDS)


def test_the_markdown_table(quick_plan):
    lines = markdown_table(quick_plan).splitlines()
    assert len(lines) == 2 + len(CARDS)
    assert len({line.count("|") for line in lines}) == 1
    assert all("**" in line for line in lines[2:])


def table_in_docs() -> str:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    return text.split("<!-- plan -->\n")[1].split("<!-- /plan -->")[0]


def test_the_table_in_the_docs_has_the_cards_and_sizes_of_the_planner(quick_plan):
    written, made = (
        [row.split("|") for row in table.splitlines()] for table in (table_in_docs(), markdown_table(quick_plan))
    )
    assert written[:2] == made[:2]  # the header
    assert [row[:3] for row in written] == [row[:3] for row in made]  # cards, and what is usable of them
    assert [len(row) for row in written] == [len(row) for row in made]


@pytest.mark.long
def test_the_table_in_the_docs_is_the_planners():
    assert table_in_docs() == markdown_table(make_plan(4))


def test_advice_is_the_smallest_change_that_fits(quick):
    text = advice(StepConfig(size=(1280, 1280), batch=1, precision="fp32", frozen_stages=0), 3)
    assert text == "This needs 2.5 GiB, and 2.3 of 3 GiB are usable. With --precision bf16 it needs 1.3 GiB."


def test_advice_lowers_the_batch_before_the_size(quick):
    full = StepConfig(size=(1280, 1280), batch=8, precision="fp32", frozen_stages=0)
    assert "With --precision bf16 --micro-batch 2 it needs" in advice(full, 4)
    changes = "--precision bf16 --micro-batch 1 --checkpoint-activations --frozen-stages 3 --size 480"
    assert f"With {changes} it needs" in advice(full, 0.75)


def test_advice_that_is_followed_fits(quick):
    config = StepConfig(size=(640, 640), batch=16, precision="fp32")
    text = advice(config, 2)
    batch = int(text.split("--micro-batch ")[1].split()[0])
    followed = msgspec.structs.replace(config, precision="bf16", batch=batch)
    assert verdict(quick(followed).total, usable(2, Constants())) == "fits"


def test_advice_if_it_should_fit_and_if_nothing_does(quick):
    small = StepConfig(size=(64, 64), batch=1)
    assert "should fit" in advice(small, 8)
    assert "No configuration fits" in advice(small, 0.55)


def test_damaged_constants():
    constants_file().write_text('{"context": "much"}')
    with pytest.raises(DataError, match=r"memory\.json: damaged"):
        load_constants()
