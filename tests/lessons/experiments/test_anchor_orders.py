import torch

from coursekit.detector import make_anchors
from coursekit.lessons.experiments.anchor_orders import RIGHT, share_at_home, try_checks

ANCHORS = make_anchors((2, 3), (8, 8), [12, 20], [1.0])  # 2 rows, 3 columns, 2 anchors per cell


def test_only_the_right_order_has_all_anchors_at_their_address():
    assert share_at_home(ANCHORS, (2, 2, 3), RIGHT, 8) == 1
    assert share_at_home(ANCHORS, (2, 2, 3), (0, 1, 2), 8) < 0.5
    assert share_at_home(ANCHORS, (2, 2, 3), RIGHT, 16) < 0.5


def test_lenient_checks_let_all_orders_pass(capsys):
    try_checks(ANCHORS, torch.arange(12.0).reshape(2, 2, 3), 8)
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.endswith("at their address")
    assert [row[:7] for row in rows] == ["A, H, W", "A, W, H", "H, A, W", "H, W, A", "W, A, H", "W, H, A"]
    assert all(row.split()[3:5] == ["True", "True"] for row in rows)
    assert [row.endswith("100.0%") for row in rows] == [False, False, False, True, False, False]
