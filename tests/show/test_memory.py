from coursekit.memory.planner import BATCHES, SIZES
from coursekit.memory.step_config import MIB, Peak
from coursekit.show.memory import explore_memory, memory_picture

PEAKS = {  # 200 MiB for an image of 320 pixels, and four times as much for one of 640
    (size, batch): Peak(10 * MIB, 0, 20 * MIB, batch * 200 * MIB * sides[0] * sides[1] // 320**2, 0)
    for size, sides in SIZES.items()
    for batch in BATCHES
}


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
