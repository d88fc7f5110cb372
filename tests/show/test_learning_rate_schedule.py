from coursekit.show.learning_rate_schedule import schedule_picture
from coursekit.training import warmup_cosine
from tests.show.pictures import is_drawn


def test_the_alt_text_says_where_the_factor_is_highest(tmp_path):
    fig, alt = schedule_picture(warmup_cosine, 60, 9)
    assert alt == "The factor is 0.10 at step 0, 1.00 at step 9, 0.00 at the end."
    assert is_drawn(fig, tmp_path / "schedule.png")
