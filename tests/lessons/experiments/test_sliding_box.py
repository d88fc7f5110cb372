import pytest

from coursekit.detector import roi_align
from coursekit.lessons.experiments.sliding_box import slide_box


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_patch_slides_with_its_box_and_a_rounded_one_jumps(stride, capsys):
    def rounded(features, boxes, spatial_scale):
        return roi_align(features, (boxes * spatial_scale).round(), 1.0)

    asked, read = slide_box({"exact": roi_align, "rounded": rounded}, stride)
    assert len(asked) == 3 * stride
    assert (read["exact"] - asked).abs().max() < 1e-3
    assert (read["rounded"] - asked).abs().max() >= stride / 4
    lines = capsys.readouterr().out.splitlines()
    assert "e+" not in lines[1]
    assert [line.split()[0] for line in lines] == ["exact", "rounded"]
