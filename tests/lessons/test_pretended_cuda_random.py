import pytest
import torch

from coursekit.lessons.pretended_cuda_random import NO_CUDA, pretended_cuda


def test_states_of_two_gpus_are_saved_and_restored():
    with pretended_cuda(2) as gpus:
        assert torch.cuda.is_available()
        torch.manual_seed(5)  # seeds the GPUs, too
        states = torch.cuda.get_rng_state_all()
        first = [torch.rand(3, generator=gpu) for gpu in gpus]
        torch.cuda.set_rng_state_all(states)
        again = [torch.rand(3, generator=gpu) for gpu in gpus]
        assert all(map(torch.equal, first, again))
        torch.cuda.set_rng_state(states[0])
        assert torch.equal(torch.cuda.get_rng_state(), states[0])
        assert not torch.equal(torch.cuda.get_rng_state(1), states[1])


def test_without_a_gpu_it_is_as_it_is_without_one():
    with pretended_cuda(0):
        assert not torch.cuda.is_available()
        assert torch.cuda.get_rng_state_all() == []
        torch.cuda.set_rng_state_all([])
        torch.manual_seed(0)
        with pytest.raises(AssertionError, match=NO_CUDA):
            torch.cuda.get_rng_state()


def test_afterward_torch_is_as_before():
    before = torch.cuda.is_available, torch.cuda.default_generators, torch.cuda.random._lazy_call
    with pretended_cuda(1):
        pass
    assert (torch.cuda.is_available, torch.cuda.default_generators, torch.cuda.random._lazy_call) == before
