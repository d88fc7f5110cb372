from coursekit.lessons.experiments.speed_ladder import Rung
from coursekit.show.speed_ladder import ladder_picture
from tests.show.pictures import all_texts, is_drawn


def test_rungs_that_were_left_out_are_hatched(tmp_path):
    fig, alt = ladder_picture([Rung("plain", 1.25, 1926.0, True), Rung("workers", 1.0, 1926.0, False)])
    speed, memory = fig.axes
    assert [bool(bar.get_hatch()) for bar in speed.patches] == [False, True]
    assert "1,926" in all_texts(memory)
    assert "workers 1.0 images/s, 1,926 MiB" in alt
    assert is_drawn(fig, tmp_path / "ladder.png")
