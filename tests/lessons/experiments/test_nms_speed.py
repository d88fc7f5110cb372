from torchvision import ops

from coursekit.detector import nms
from coursekit.lessons.experiments.nms_speed import time_nms


def test_times_and_whether_the_same_boxes_are_kept(capsys):
    times = time_nms({"ours": nms, "theirs": ops.nms}, [4, 8])
    assert {name: len(values) for name, values in times.items()} == {"ours": 2, "theirs": 2}
    assert all(value > 0 for values in times.values() for value in values)
    out = capsys.readouterr().out
    assert "in the same order: yes" in out
    assert "for 8 boxes" in out


def test_a_function_that_keeps_other_boxes_is_noticed(capsys):
    time_nms({"ours": nms, "none": lambda *args: nms(*args)[:0]}, [4])
    assert "in the same order: NO" in capsys.readouterr().out
