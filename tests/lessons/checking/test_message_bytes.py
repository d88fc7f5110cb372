import random
import resource
import subprocess
import sys

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit.lessons.checking import message_bytes
from coursekit.lessons.checking.compare_outcomes import difference
from coursekit.lessons.checking.message_bytes import ForgedError, framed, frames, messages, pack, unpack
from coursekit.lessons.checking.outcome import Outcome, expected_outcomes, plain
from coursekit.lessons.checking.wording import shown
from coursekit.lessons.exercises import EXERCISES

NOTHING = {"args": None, "raised": None}


def _there_and_back(value):
    return unpack(pack({"value": plain(value)} | NOTHING)).value


def _forged(value, data=b""):
    """A message that holds anything."""
    return framed(msgspec.msgpack.encode({"value": value} | NOTHING)) + data


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(12).reshape(3, 4), torch.arange(12).reshape(3, 4).T, torch.ones(2, 1)[:, ::2], torch.tensor(3.5),
        torch.empty(0, 4), torch.tensor([True, False]), torch.randn(3).half(), torch.randn(3).bfloat16(),
        torch.ones(1).expand(5), [1, (2.5, None, "a")], {"a": {"b": [True]}},
        torch.arange(4, dtype=torch.float64).numpy(), float("nan"), -(2**62),
        {7: [torch.ones(2), 1], "b": {8: {9: {}}}}, {1: {2: {3: {4: {5: [0]}}}}},
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
        ["tensor", "float32", [10**9]], ["tensor", "float32", [-1]], ["tensor", "float32", [2], b"12345678"],
        ["tensor", "object", [1]], ["tensor", "float32", [1] * 100_000], ["tensor", "float32", [0] * 17],
        ["tensor", "float32", [10**9, 0]], ["tensor", "float32", [0, 2**62, 2**62]], ["tensor", "float32", [True]],
        ["tensor", "float32", 7], ["tensor", "float32", [2**64 - 1] * 16],
        ["tensor", ["float32"], [0]], ["number", "1"], ["list", 7], ["odd", 1], ["tensor"], [], 7, "tensor",
        ["number", True], ["dict", [1]], ["mapping", 7], ["mapping", [7]], ["mapping", [[["number", 1]]]],
        ["mapping", {"a": 1}],
    ],
)  # fmt: skip
def test_forged_values_are_refused(value):
    with pytest.raises(ForgedError):
        unpack(_forged(value))


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_or_read(content):
    try:
        message = unpack(content)
    except ForgedError:
        return
    assert isinstance(message, Outcome | dict)


def test_lists_that_go_deep_are_refused():
    value = ["list", []]
    for depth in range(2000):
        value = ["list", [value]]
        if depth in (50, 400):
            with pytest.raises(ForgedError):
                unpack(_forged(value))
    with pytest.raises(ForgedError):
        unpack(framed(b"\x91" * 100_000))


@pytest.mark.parametrize("shape", [[1] * 17, [1] * 100_000, [10**9, 0], [3, 10**6, 0]])
def test_a_tensor_that_could_crash_the_grader_comes_as_something_else(shape):
    assert _there_and_back(torch.zeros(shape))[0] == "other"


@pytest.mark.parametrize("shape", [[1] * 16, [0, 10**9], [5, 0, 4], []])
def test_odd_tensors_come_as_they_were(shape):
    assert _there_and_back(torch.zeros(shape))[1].shape == torch.Size(shape)


def test_lists_that_are_too_long_come_as_something_else():
    assert _there_and_back([0.5] * 100_000)[0] == _there_and_back("x" * 10**6)[0] == "other"
    huge = {str(number): 1 for number in range(100_000)}
    message = unpack(pack({"value": ("number", 1), "args": plain((huge,)), "raised": None}))
    assert message.args[0] == "other"


def test_texts_that_are_no_unicode():
    assert _there_and_back({"\ud800": "\udfff"}) == ("dict", {"?": ("str", "?")})
    assert unpack(pack({"value": None, "args": None, "raised": "\ud800" * 2000})).raised == "?" * 1000
    assert unpack(pack({"ended": "well", "problem": "\udfff", "printed": "a"})).get("problem") == "?"


def test_a_bool_is_true_or_false_whatever_its_byte():
    tensor = unpack(_forged(["tensor", "bool", [3]], b"\x00\x07\xff")).value[1]
    assert tensor.view(torch.uint8).tolist() == [0, 1, 1]


def test_all_messages_together_have_a_limit():
    many = framed(_forged(["list", [["str", ""]] * 30_000]))
    with pytest.raises(ForgedError, match="too many"):
        list(messages(many * 20))


def test_right_answers_are_far_from_the_limits():
    for name in ("coco_map", "CocoDataset", "FPN", "pool_levels"):
        sent = [
            pack({"value": outcome.value, "args": outcome.args, "raised": None})
            for outcome in expected_outcomes(EXERCISES[name])
        ]
        lengths = [len(message_bytes._parts(message)[0]) for message in sent]
        assert 25 * max(lengths) < message_bytes.MAX_TEXT
        assert 50 * sum(lengths) < message_bytes.MAX_ALL_TEXT
        assert not [message for message in map(unpack, sent) if message.value[0] == "other"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_what_right_answers_return_comes_as_it_was(name):
    for outcome in expected_outcomes(EXERCISES[name]):
        again = unpack(pack({"value": outcome.value, "args": outcome.args, "raised": outcome.raised}))
        for mine, theirs in ((again.value, outcome.value), (again.args, outcome.args)):
            assert mine is theirs or difference(mine, theirs, 0.0) is None


@pytest.mark.slow
def test_forty_megabytes_of_tiny_things_take_little_memory():
    script = """
import resource, struct, msgspec
from coursekit.lessons.checking.message_bytes import ForgedError, framed, messages
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for item in (b"\\x90", b"\\x80", b"\\xc0", b"\\xa0", b"\\x92\\xa3str\\xa0", b"\\x92\\xa4list\\x90"):
    for size in (40 << 20, 250_000):
        count = size // len(item)
        text = b"\\x83\\xa5value\\x92\\xa4list\\xdd" + struct.pack(">I", count) + item * count
        reply = framed(framed(text + b"\\xa4args\\xc0\\xa6raised\\xc0")) * ((40 << 20) // size)
        try:
            list(messages(reply))
            raise SystemExit("it was read")
        except ForgedError:
            pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) < 500  # MB


@pytest.mark.slow
def test_messages_changed_at_random():
    rng = random.Random(0)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, limits[1]))  # a length that lies may not ask for more
    values = [{"a": [1, torch.ones(2, 3)], "b": "text"}, (torch.zeros(0, 4), None, True), [[1.5, float("nan")]]]
    bases = [pack({"value": plain(value), "args": plain((value,)), "raised": None}) for value in values]
    parts = (b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"\x91" * 1500)
    try:
        for _ in range(5000):
            content = bytearray(rng.choice(bases))
            for _ in range(rng.choice((1, 2, 8))):
                start = rng.randrange(len(content))
                content[start : start + rng.choice((0, 1, 4))] = rng.choice((*parts, b"", rng.randbytes(1)))
                content = content or bytearray(b"x")
            try:
                message = unpack(bytes(content))
            except ForgedError:
                continue
            assert message.value is None or len(shown(message.value)) < 10_000
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_frames():
    assert frames(framed(b"one") + framed(b"") + framed(b"cut")[:-1]) == [b"one", b""]
    assert frames(b"\xff" * 20) == []
