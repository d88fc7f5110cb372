import torch

from coursekit.show.image_row import MOST, before_after, image_row_picture, rois
from tests.show.pictures import all_texts, is_drawn

WIDE, TALL = torch.full((3, 30, 60), 128, dtype=torch.uint8), torch.full((3, 60, 30), 128, dtype=torch.uint8)
BOXES = torch.tensor([[5.0, 5, 25, 25], [30.0, 5, 55, 25]])
IMAGE = torch.zeros(3, 60, 80, dtype=torch.uint8)
AFTER = {"boxes": torch.tensor([[0.0, 0, 20, 20]]), "labels": torch.tensor([2])}


def test_boxes_and_names_of_each_image(tmp_path):
    fig, alt = image_row_picture({"one": (WIDE, BOXES, ["dog", "cat"]), "two": (TALL, BOXES[:0], [])}, "Two scenes.")
    left, right = fig.axes
    assert (all_texts(left), all_texts(right)) == ({"dog", "cat"}, set())
    assert (left.get_title(), right.get_title()) == ("one", "two: no boxes")
    assert [len(axes.patches) for axes in fig.axes] == [2, 0]
    assert alt == "Two scenes. one: dog, cat; two: no boxes."
    assert is_drawn(fig, tmp_path / "row.png")


def test_a_target_brings_its_names_and_crowds():
    target = {"boxes": BOXES, "labels": torch.tensor([2, 1]), "crowd_boxes": BOXES[:1]}
    fig, alt = image_row_picture({"scene": (WIDE, target, ["dog", "cat"])}, "A scene.")
    assert alt.endswith("scene: cat, dog.")
    assert [patch.get_hatch() for patch in fig.axes[0].patches].count("//") == 1


def test_nothing_is_drawn_beyond_an_image():
    fig, _ = image_row_picture({"out": (WIDE, torch.tensor([[40.0, 5, 200, 90]]), ["giraffe"])}, "")
    axes = fig.axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 60), (30, 0))
    assert all(text.get_clip_on() for text in axes.texts)


def test_images_are_equally_high():
    fig, _ = image_row_picture({"wide": (WIDE, BOXES, ["a", "b"]), "tall": (TALL, BOXES, ["a", "b"])}, "")
    fig.draw_without_rendering()
    wide, tall = (axes.get_window_extent() for axes in fig.axes)
    assert wide.width / wide.height > 1.8
    assert abs(wide.height - tall.height) < 0.15 * wide.height


def test_an_image_without_boxes_to_show_has_only_its_title():
    alt = image_row_picture({"1: dog": (torch.zeros(3, 4, 4, dtype=torch.uint8), None, [])}, "An object.")[1]
    assert alt == "An object. 1: dog."


def test_boxes_without_names_are_counted_and_the_others_are_named(monkeypatch):
    drawn = []
    monkeypatch.setitem(before_after.__globals__, "image_row", lambda panels, alt: drawn.append(panels))
    before_after(IMAGE, torch.zeros(3, 4), AFTER, ["cat", "dog"], ("proposals", "objects"))
    (left, (_, boxes, names)), (right, panel) = drawn[0].items()
    assert (left, right) == ("proposals (3)", "objects (1)")
    assert len(boxes) == len(names) == 3
    assert panel == (IMAGE, AFTER, ["cat", "dog"])


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
