import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons import description
from coursekit.lessons.description import describe
from coursekit.lessons.exercises import EXERCISES

CELLS = {
    "area": '''%%exercise area
def area(boxes: Tensor, scale: tuple[int, ...] = (1, 2)) -> Tensor:
    """Return the `area` of boxes.

    More that is long.

    Args:
        boxes: (N, 4) < xyxy. N may be 0,
            or more.
        scale, unit: factors.

    Returns:
        (N,) in pixels
        squared.

    Raises:
        torch.OutOfMemoryError: none is left. Then
            there is no area.

    >>> area(1)
    """
    raise NotImplementedError''',
    "Head": '''%%exercise Head
class Head(nn.Module):
    """Predict.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, levels):
        """Turn levels into logits."""''',
    "Images": '''%%exercise Images
class Images(Dataset):
    """The images.

    Args:
        path: a file.

    len(images) is
    their number.
    """

    def __init__(self, path):
        raise NotImplementedError''',
    "bare": "%%exercise bare\ndef bare():\n    pass",
}


@pytest.fixture
def cells(monkeypatch):
    monkeypatch.setattr(description, "_cells", lambda: CELLS)


@pytest.mark.usefixtures("cells")
def test_a_function_is_described_by_all_that_its_docstring_says():
    (area,) = describe("area")
    assert area.signature == "area(boxes, scale=(1, 2))"
    assert area.summary == "Return the `area` of boxes."
    assert area.more == "More that is long."
    assert area.takes == {"boxes": "(N, 4) < xyxy. N may be 0, or more.", "scale, unit": "factors."}
    assert area.returns == "(N,) in pixels squared."
    assert area.raises == {"torch.OutOfMemoryError": "none is left. Then there is no area."}


@pytest.mark.usefixtures("cells")
def test_a_class_is_described_with_its_forward_or_with_what_its_docstring_says_about_use():
    head, called = describe("Head")
    assert (head.signature, head.takes, head.returns) == ("Head(channels)", {"channels": "C."}, "")
    assert (called.signature, called.summary) == ("Head(…)(levels)", "Turn levels into logits.")
    (images,) = describe("Images")
    assert images.more == "len(images) is their number."


@pytest.mark.usefixtures("cells")
def test_without_a_docstring_there_is_only_the_signature():
    assert [part.signature for part in describe("bare")] == ["bare()"]


def test_an_exercise_without_a_cell_is_an_error():
    with pytest.raises(ConfigError, match="did you mean 'nms'"):
        describe("nmss")


@pytest.mark.parametrize("name", EXERCISES)
def test_nothing_of_a_contract_is_lost(name):
    cell = " ".join(description._cells()[name].split())
    for part in describe(name):
        for text in (part.summary, part.more, part.returns, *part.takes.values(), *part.raises.values()):
            assert text in cell
    assert sum(len(part.raises) > 0 for part in describe(name)) == cell.count("Raises:")


def test_the_arguments_of_a_reference_are_described_in_the_cell():
    (nms,) = describe("nms")
    assert list(nms.takes) == EXERCISES["nms"].argument_names()
