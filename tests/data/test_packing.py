from types import SimpleNamespace

import pytest
import torch

from coursekit.data import packing
from coursekit.data.packing import SLOTS, Slots, pack, unpack


def _sample(seed, height=5, width=7, boxes=2, crowds=1):
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=draw),
        {
            "boxes": torch.rand(boxes, 4, generator=draw),
            "labels": torch.randint(1, 9, (boxes,), generator=draw),
            "crowd_boxes": torch.rand(crowds, 4, generator=draw),
            "image_id": seed,
        },
    )


def _packed(samples, slots, expected=None):
    sizes = [tuple(image.shape[1:]) for image, _ in samples]
    return pack(((sample, {}) for sample in samples), slots, expected or sizes)


def _assert_same(samples, images, targets):
    assert len(samples) == len(images) == len(targets)
    for (image, target), new_image, new_target in zip(samples, images, targets, strict=True):
        assert torch.equal(image, new_image)
        assert target["image_id"] == new_target["image_id"]
        assert all(torch.equal(target[name], new_target[name]) for name in ("boxes", "labels", "crowd_boxes"))


def test_unpack_undoes_pack():
    samples = [_sample(1), _sample(2, 3, 9, boxes=0), _sample(3, crowds=0)]
    slots = Slots(workers=0, capacity=1000)
    _assert_same(samples, *unpack(_packed(samples, slots), slots))


def test_batch_larger_than_a_slot():
    samples = [_sample(1, 20, 20), _sample(2, 30, 30), _sample(3)]
    slots = Slots(workers=0, capacity=1300)
    assert isinstance(_packed(samples, slots).images, list)
    _assert_same(samples, *unpack(_packed(samples, slots), slots))


def test_samples_may_share_memory():
    first, second = _sample(1), _sample(2)
    shared = torch.empty_like(first[0])

    def in_turn():
        for image, target in (first, second):
            yield (shared.copy_(image), target), {}

    slots = Slots(workers=0, capacity=1000)
    _assert_same([first, second], *unpack(pack(in_turn(), slots, [(5, 7)] * 2), slots))


def test_unreadable_files_are_passed_on():
    slots = Slots(workers=0, capacity=10)
    packed = pack([(None, {"a.jpg": "cut"}), (None, {"b.jpg": "empty"})], slots, [(8, 8)] * 2)
    assert packed.unreadable == {"a.jpg": "cut", "b.jpg": "empty"}
    assert unpack(packed, slots) == ([], [])


@pytest.fixture
def in_a_worker(monkeypatch):
    """Make this process appear to be the second of two workers."""
    monkeypatch.setattr(packing, "get_worker_info", lambda: SimpleNamespace(id=1))


@pytest.mark.parametrize(("missing", "fits"), [(0, True), (2, False)])
def test_batch_that_fills_its_slot_to_the_last_byte_still_uses_it(in_a_worker, missing, fits):
    samples = [_sample(1), _sample(2, 3, 9)]
    slots = Slots(workers=2, capacity=(2 * 3 * 32 * 32 - missing) // 2)  # a slot has room for as much padding again
    packed = _packed(samples, slots)
    assert (packed.slot is not None) == (packed.images is None) == fits
    _assert_same(samples, *unpack(packed, slots))


def test_worker_uses_its_slots_in_turn(in_a_worker):
    slots = Slots(workers=2, capacity=3 * 32 * 32)
    used = [_packed([_sample(1)], slots).slot for _ in range(SLOTS + 1)]
    assert len(set(used[:SLOTS])) == SLOTS
    assert used[SLOTS] == used[0]
    assert {worker for worker, _ in used} == {1}


def test_images_larger_than_expected_get_a_larger_canvas(in_a_worker):
    samples = [_sample(1, 20, 20), _sample(2, 40, 30), _sample(3, 40, 50)]
    slots = Slots(workers=2, capacity=3 * 3 * 64 * 64)
    packed = _packed(samples, slots, expected=[(20, 20)] * 3)
    assert packed.canvas == (64, 64)
    assert packed.slot is not None
    _assert_same(samples, *unpack(packed, slots))


def test_images_that_would_leave_a_canvas_mostly_empty_are_sent_apart(in_a_worker):
    samples = [_sample(1, 300, 20), _sample(2, 20, 300)]
    slots = Slots(workers=2, capacity=10**6)
    packed = _packed(samples, slots, expected=[(20, 20)] * 2)
    assert packed.slot is None
    assert isinstance(packed.images, list)
    _assert_same(samples, *unpack(packed, slots))
