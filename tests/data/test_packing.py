import torch

from coursekit.data.packing import Slots, pack, unpack


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


def _assert_same(samples, images, targets):
    assert len(samples) == len(images) == len(targets)
    for (image, target), came, described in zip(samples, images, targets, strict=True):
        assert torch.equal(image, came)
        assert target["image_id"] == described["image_id"]
        assert all(torch.equal(target[name], described[name]) for name in ("boxes", "labels", "crowd_boxes"))


def test_what_is_packed_comes_out_again():
    samples = [_sample(1), _sample(2, 3, 9, boxes=0), _sample(3, crowds=0)]
    slots = Slots(workers=0, capacity=1000)
    _assert_same(samples, *unpack(pack(((one, {}) for one in samples), slots), slots))


def test_a_batch_larger_than_expected_is_no_error():
    samples = [_sample(1, 20, 20), _sample(2, 30, 30), _sample(3)]
    slots = Slots(workers=0, capacity=1300)
    _assert_same(samples, *unpack(pack(((one, {}) for one in samples), slots), slots))


def test_samples_may_share_their_memory():
    first, second = _sample(1), _sample(2)
    shared = torch.empty_like(first[0])

    def in_turn():
        for image, target in (first, second):
            yield (shared.copy_(image), target), {}

    slots = Slots(workers=0, capacity=1000)
    _assert_same([first, second], *unpack(pack(in_turn(), slots), slots))


def test_what_could_not_be_read_is_told():
    slots = Slots(workers=0, capacity=10)
    packed = pack([(None, {"a.jpg": "cut"}), (None, {"b.jpg": "empty"})], slots)
    assert packed.unreadable == {"a.jpg": "cut", "b.jpg": "empty"}
    assert unpack(packed, slots) == ([], [])
