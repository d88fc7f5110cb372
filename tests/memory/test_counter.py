import torch
from torch._subclasses import FakeTensorMode

from coursekit.memory import MemoryCounter


def test_a_storage_counts_in_blocks_of_512_bytes_until_it_is_freed():
    with MemoryCounter() as counter:
        large = torch.zeros(1000)  # 4,000 bytes
        assert counter.live == 4096
        small = torch.zeros(1)
        assert counter.live == 4096 + 512
        del large
        assert counter.live == 512
        del small
    assert (counter.live, counter.peak) == (0, 4096 + 512)


def test_views_and_in_place_operations_take_no_memory():
    with MemoryCounter() as counter:
        whole = torch.zeros(4, 256)
        part = whole[1:]
        whole.add_(1)
        assert counter.live == counter.peak == 4096
        del whole
        assert counter.live == 4096  # the view keeps it alive
        del part
        assert counter.live == 0


def test_short_lived_storages_are_not_mixed_up():
    with MemoryCounter() as counter:
        for size in range(1, 200):
            torch.zeros(size * 128)
        assert counter.live == 0
    assert counter.peak == 199 * 512


def test_the_peak_is_split_by_kind():
    weight = torch.zeros(256)  # made before counting starts
    with MemoryCounter("activations") as counter:
        counter.claim("weights", [weight])
        kept = weight + 1
        counter.kind = "rest"
        temporary = weight.repeat(2)
        del temporary
        later = weight + 2
    assert counter.at_peak() == {"weights": 1024, "activations": kept.nbytes, "rest": 2048}
    assert counter.peak == 4096
    assert counter.live == 2048 + later.nbytes


def test_a_claim_after_the_peak_counts_for_the_peak():
    with MemoryCounter() as counter:
        claimed, freed = torch.zeros(128), torch.zeros(128)
        del freed
        counter.claim("gradients", [claimed])
    assert counter.at_peak() == {"gradients": 512, "rest": 512}


def test_fake_tensors_count_like_real_ones():
    def count() -> int:
        with MemoryCounter() as counter:
            images = torch.zeros(2, 3, 32, 32)
            weight = torch.zeros(8, 3, 3, 3, requires_grad=True)
            torch.nn.functional.conv2d(images, weight, padding=1).relu().sum().backward()
        return counter.peak

    real = count()
    with FakeTensorMode():
        fake = count()
    assert real == fake > 0
