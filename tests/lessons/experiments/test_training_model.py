import pytest
import torch

from coursekit.from_scratch.loader import collate
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.experiments import training_model
from tests.lessons.answers import IOU, answer


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, 64, 96), dtype=torch.uint8, generator=generator) for _ in range(2)]
    target = {"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])}
    return collate([(image, target | {"image_id": number - 1}) for number, image in enumerate(images)])


def test_it_takes_a_batch_of_lesson_01_and_starts_from_the_same_weights(batch):
    models = [training_model.new_model({}, 2, 64, seeded=True) for _ in range(2)]
    first, second = (model(*batch) for model in models)
    assert {name: loss.item() for name, loss in first.items()} == {name: loss.item() for name, loss in second.items()}
    assert len(first) == 4


def test_a_seeded_model_samples_the_same_whatever_was_drawn_before(batch):
    model = training_model.new_model({}, 2, 64, seeded=True)
    losses = []
    for seed in (0, 5):
        torch.manual_seed(seed)
        losses.append(sum(model(*batch).values()).item())
    assert losses[0] == losses[1]


def test_its_gradients_come_as_one_vector(batch):
    model = training_model.new_model({}, 2, 64)
    sum(model(*batch).values()).backward()
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.grad is not None)
    assert training_model.gradient(model).shape == (trained,)


def test_parts_that_draw_at_random_can_be_left_out(workbook):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    workbook.store("sample_balanced", answer("sample_balanced", "right_by_random_keys"))
    check(workbook, "sample_balanced")
    assert set(training_model.own_parts_of(workbook)) == {"box_iou", "sample_balanced"}
    assert set(training_model.own_parts_of(workbook, without_random=True)) == {"box_iou"}


def test_a_batch_is_moved_when_it_is_asked_for(batch):
    images, targets = next(training_model.on_device([batch], torch.device("meta")))
    assert (images.device.type, targets[0]["boxes"].device.type, targets[0]["labels"].device.type) == ("meta",) * 3
    assert targets[1]["image_id"] == 0
    assert batch[0].device.type == "cpu"
