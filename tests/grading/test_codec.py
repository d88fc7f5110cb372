import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit.grading.codec import ForgedError, framed, frames, pack, unpack
from coursekit.lessons.checking.compare import difference
from coursekit.lessons.checking.outcome import Outcome, plain


def _there_and_back(value):
    return unpack(pack({"value": plain(value), "args": None, "raised": None})).value


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(12).reshape(3, 4), torch.arange(12).reshape(3, 4).T, torch.ones(2, 1)[:, ::2], torch.tensor(3.5),
        torch.empty(0, 4), torch.tensor([True, False]), torch.randn(3).half(), torch.randn(3).bfloat16(),
        torch.ones(1).expand(5), [1, (2.5, None, "a")], {"a": {"b": [True]}},
        torch.arange(4, dtype=torch.float64).numpy(), float("nan"), -(2**62),
    ],
)  # fmt: skip
def test_values_come_as_they_were(value):
    again = _there_and_back(value)
    assert difference(again, plain(value), 0.0) is None
    assert difference(plain(value), again, 0.0) is None


def test_what_no_check_expects_comes_as_something_else():
    assert _there_and_back(2**70)[0] == "other"
    sparse = pack({"value": ("tensor", torch.eye(3).to_sparse()), "args": None, "raised": None})
    assert unpack(sparse).value[0] == "other"


@pytest.mark.parametrize(
    "value",
    [
        ["tensor", "float32", [10**9], b""], ["tensor", "float32", [-1], b"1234"], ["tensor", "float32", [2], b"123"],
        ["tensor", "object", [1], b"1234"], ["number", "1"], ["list", 7], ["odd", 1], ["tensor"], [], 7, "tensor",
        ["number", True], ["dict", [1]],
    ],
)  # fmt: skip
def test_forged_values_are_refused(value):
    with pytest.raises(ForgedError):
        unpack(msgspec.msgpack.encode({"value": value, "args": None, "raised": None}))


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_or_read(content):
    try:
        message = unpack(content)
    except ForgedError:
        return
    assert isinstance(message, Outcome | dict)


def test_lists_that_go_deep_are_refused():
    value = ["list", []]
    for _ in range(50):
        value = ["list", [value]]
    with pytest.raises(ForgedError):
        unpack(msgspec.msgpack.encode({"value": value, "args": None, "raised": None}))


def test_frames():
    assert frames(framed(b"one") + framed(b"") + framed(b"cut")[:-1]) == [b"one", b""]
    assert frames(b"\xff" * 20) == []
