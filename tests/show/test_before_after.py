import torch

from coursekit.show.before_after import before_after

IMAGE = torch.zeros(3, 60, 80, dtype=torch.uint8)
AFTER = {"boxes": torch.tensor([[0.0, 0, 20, 20]]), "labels": torch.tensor([2])}


def test_boxes_without_names_are_counted_and_the_others_are_named(monkeypatch):
    drawn = []
    monkeypatch.setitem(before_after.__globals__, "image_row", lambda panels, alt: drawn.append(panels))
    before_after(IMAGE, torch.zeros(3, 4), AFTER, ["cat", "dog"], ("proposals", "objects"))
    (left, (_, boxes, names)), (right, panel) = drawn[0].items()
    assert (left, right) == ("proposals (3)", "objects (1)")
    assert len(boxes) == len(names) == 3
    assert panel == (IMAGE, AFTER, ["cat", "dog"])
