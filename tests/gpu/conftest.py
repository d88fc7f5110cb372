"""The device that these tests run on. To try their code without a GPU: COURSEKIT_GPU_TESTS=cpu pytest tests/gpu."""

import os

import pytest
import torch

from coursekit.core.device import as_on_gpu


@pytest.fixture
def cuda():
    """The GPU; for tests of what only a GPU has, such as its memory."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device("cuda")


@pytest.fixture
def device():
    """The GPU, or the CPU on which what would run on a GPU runs."""
    if torch.cuda.is_available():
        yield torch.device("cuda")
    elif os.environ.get("COURSEKIT_GPU_TESTS") == "cpu":
        with as_on_gpu():
            yield torch.device("cpu")
    else:
        pytest.skip("no CUDA device here; to try this test on the CPU: COURSEKIT_GPU_TESTS=cpu")
