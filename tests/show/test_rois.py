import torch

from coursekit.show.rois import MOST, rois


def test_objects_are_named_and_only_some_of_the_background_is_drawn(monkeypatch):
    drawn = []
    monkeypatch.setitem(rois.__globals__, "image_row", lambda panels, alt: drawn.append(panels))
    boxes = torch.tensor([[-5.0, 0, 20, 20]] * 3 + [[0.0, 0, 9, 9]] * 20)
    labels = torch.tensor([2, 0, 1] + [0] * 20)
    rois(torch.zeros(3, 60, 80, dtype=torch.uint8), boxes, labels, ["cat", "dog"])
    (title, (_, objects, names)), (other, (_, background, _)) = drawn[0].items()
    assert title == "2 RoIs with an object"
    assert names == ["dog", "cat"]
    assert objects[:, 0].tolist() == [0, 0]  # clipped
    assert other == f"21 RoIs of the background ({MOST} drawn)"
    assert len(background) == MOST
