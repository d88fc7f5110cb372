import IPython.core.getipython
import IPython.display

from coursekit.data import load
from coursekit.show.live import LivePlot
from coursekit.training import TrainConfig, train


class Place:
    def __init__(self):
        self.pictures = []

    def update(self, data, raw):
        self.pictures.append(data)


def test_outside_a_notebook_it_does_nothing(coco_folder, tiny_detector):
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=1, batch_size=3), hooks=[LivePlot()])


def test_in_a_notebook_one_picture_is_drawn_in_its_place(coco_folder, tiny_detector, monkeypatch):
    place, shown = Place(), []
    monkeypatch.setattr(IPython.core.getipython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda *_, **options: shown.append(options) or place)
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=3, batch_size=3), hooks=[LivePlot(seconds=0)])
    assert [options["display_id"] for options in shown] == [True]
    assert len(place.pictures) == 4  # three steps and the end
    assert '<img alt="Curves of 4 losses over 3 steps' in place.pictures[-1]["text/html"]
