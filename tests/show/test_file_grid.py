import numpy as np
import torch

from coursekit.show.file_grid import file_grid, file_grid_picture
from tests.show.pictures import is_drawn

FILES = {
    "gray.jpg": np.zeros((4, 6), np.uint8),
    "cmyk.jpg": np.zeros((4, 6, 4), np.uint8),
    "mine.jpg": torch.zeros(3, 4, 6, dtype=torch.uint8),
}


def _read(path):
    return FILES[path.name]


def test_shapes_and_errors_are_named(tmp_path):
    fig, alt, errors = file_grid_picture(tmp_path, [*FILES, "broken.jpg", "a", "b"], _read)
    assert errors == 3
    assert "gray.jpg: array (4, 6); cmyk.jpg: array (4, 6, 4); mine.jpg: tensor (3, 4, 6); broken.jpg: KeyError" in alt
    assert [len(axes.images) for axes in fig.axes[:4]] == [1, 1, 1, 0]
    assert "KeyError" in fig.axes[3].get_title()
    assert is_drawn(fig, tmp_path / "grid.png")


def test_the_number_of_errors_is_printed(tmp_path, capsys):
    file_grid(tmp_path, ["gray.jpg", "broken.jpg"], _read)
    assert capsys.readouterr().out == "1 of 2 files raised an error\n"
