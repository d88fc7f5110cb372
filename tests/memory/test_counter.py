import torch
from torch._subclasses import FakeTensorMode

from coursekit.memory import MemoryCounter


def test_blocks_of_512_bytes_from_first_to_last_tensor():
    with MemoryCounter() as counter:
        one = torch.zeros(1000)  # 4,000 bytes
        assert counter.live == 4096
        two = torch.zeros(1)
        assert counter.live == 4096 + 512
        del one
        assert counter.live == 512
        del two
    assert (counter.live, counter.peak) == (0, 4096 + 512)


def test_a_view_and_an_operation_in_place_take_nothing():
    with MemoryCounter() as counter:
        whole = torch.zeros(4, 256)
        part = whole[1:]
        whole.add_(1)
        assert counter.live == counter.peak == 4096
        del whole
        assert counter.live == 4096  # the view holds it
        del part
        assert counter.live == 0


def test_storages_that_come_and_go_are_not_mixed_up():
    with MemoryCounter() as counter:
        for size in range(1, 200):
            torch.zeros(size * 128)
        assert counter.live == 0
    assert counter.peak == 199 * 512


def test_what_the_peak_is_made_of():
    weight = torch.zeros(256)  # made before
    with MemoryCounter("activations") as counter:
        counter.claim("weights", [weight])
        kept = weight + 1
        counter.kind = "rest"
        work = weight.repeat(2)
        del work
        later = weight + 2
    assert counter.at_peak() == {"weights": 1024, "activations": kept.nbytes, "rest": 2048}
    assert counter.peak == 4096
    assert counter.live == 2048 + later.nbytes


def test_claimed_after_the_peak_it_counts_for_the_peak():
    with MemoryCounter() as counter:
        one, two = torch.zeros(128), torch.zeros(128)
        del two
        counter.claim("gradients", [one])
    assert counter.at_peak() == {"gradients": 512, "rest": 512}


def test_fake_tensors_count_as_real_ones():
    def work() -> int:
        with MemoryCounter() as counter:
            images = torch.zeros(2, 3, 32, 32)
            weight = torch.zeros(8, 3, 3, 3, requires_grad=True)
            torch.nn.functional.conv2d(images, weight, padding=1).relu().sum().backward()
        return counter.peak

    real = work()
    with FakeTensorMode():
        fake = work()
    assert real == fake > 0
