from coursekit.memory.planner import BATCHES, SIZES
from coursekit.memory.step_config import GIB, MIB, Peak
from coursekit.show.step_memory import explore_memory, memory_by_side_picture, memory_ladder_picture, memory_picture
from tests.show.pictures import all_texts, is_drawn

PEAKS = {  # 200 MiB for an image of 320 pixels, and four times as much for one of 640
    (size, batch): Peak(10 * MIB, 0, 20 * MIB, batch * 200 * MIB * sides[0] * sides[1] // 320**2, 0)
    for size, sides in SIZES.items()
    for batch in BATCHES
}


def _count(side):
    return {"weights": 2 * MIB, "gradients": MIB, "optimizer": 4 * MIB, "activations": side**2 * 1024}


def test_each_part_by_the_side_of_the_image(tmp_path):
    fig, alt = memory_by_side_picture(_count, (32, 64))
    lines = {line.get_label(): list(line.get_ydata()) for line in fig.axes[0].lines}
    assert lines == {"weights": [2, 2], "gradients": [1, 1], "optimizer": [4, 4], "activations": [1, 4]}
    assert "activations from 1.0 to 4.0 MiB" in alt
    assert is_drawn(fig, tmp_path / "sides.png")


def test_a_step_of_the_ladder_fits_or_does_not(tmp_path):
    peaks = {"large": Peak(GIB, GIB, 0, 2 * GIB, 0), "small": Peak(GIB // 2, 0, 0, GIB // 2, 0)}
    fig, alt = memory_ladder_picture(peaks, 3 * GIB)
    assert all_texts(fig.axes[0]) == {"4.00 GiB, does not fit", "1.00 GiB, fits"}
    assert alt == ("Memory of training steps, 3.00 GiB usable. large: 4.00 GiB, does not fit; small: 1.00 GiB, fits.")
    assert sum(bar.get_width() for bar in fig.axes[0].patches) == 5
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert "usable 3.00" in labels
    assert is_drawn(fig, tmp_path / "ladder.png")


def test_the_bar_and_the_text_say_what_fits():
    fig, alt = memory_picture(PEAKS, 4, 320, 8)
    assert alt == "8 of 320 px at a time hold 1.59 of 3.2 GiB: fits. For a batch of 16: 2 passes per step"
    assert sum(bar.get_width() for bar in fig.axes[0].patches) * 1024 == 1630
    assert memory_picture(PEAKS, 4, 320, 16)[1].endswith("3.15 of 3.2 GiB: tight. For a batch of 16: one pass per step")
    assert "does not fit" in memory_picture(PEAKS, 2, 640, 3, "Lite0")[1]


def test_sliders_redraw():
    *sliders, picture = explore_memory(PEAKS).children
    assert [slider.description for slider in sliders] == ["card GB", "long side", "images"]
    assert "does not fit" in picture.value
    sliders[2].value = 2
    assert "2 of 640 px at a time hold 1.59 of 3.2 GiB: fits" in picture.value
