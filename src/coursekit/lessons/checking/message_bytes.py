"""What an answer did as bytes, to send it from the process that tries the answer to the one that compares.

A message may be forged by the answer, and who reads it must not run out of memory or crash over it. torch.load would
unpack compressed records: a kilobyte of them fills the memory. MessagePack alone isn't enough either: a list of a
million empty lists takes a byte each, and 64 bytes each as Python objects. So a message has two parts. The lists,
numbers and texts come first, as MessagePack of limited length; the numbers of all tensors follow as bytes.
"""

import math
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec
import torch
from torch import Tensor

from coursekit.lessons.checking.outcome import Outcome, Plain

LENGTH = struct.Struct(">Q")
DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
        torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
# The largest of a right answer in the course: 4 dimensions, 4 kB without tensors per case, 11 kB for all its cases.
MAX_DEPTH = 8  # of lists in lists: `plain` goes down 6 levels
MAX_DIMENSIONS = 16  # of a tensor: torch crashes at some thousands
MAX_ROWS = 1 << 12  # of a tensor without numbers: as a list, a tensor of shape (10**9, 0) is 10**9 empty lists
MAX_TEXT, MAX_ALL_TEXT = 256 << 10, 2 << 20  # bytes without tensors, of one message and of a whole reply


class ForgedError(ValueError):
    """Raised for a message that a valid answer can't send."""


def framed(content: bytes) -> bytes:
    """Return bytes with their length in front."""
    return LENGTH.pack(len(content)) + content


def frames(content: bytes) -> list[bytes]:
    """Return the messages in a row of frames: the inverse of `framed`. A last one that was cut off is left out."""
    messages, start = [], 0
    while start + LENGTH.size <= len(content):
        (length,) = LENGTH.unpack_from(content, start)
        start += LENGTH.size
        if start + length > len(content):
            break
        messages.append(content[start : start + length])
        start += length
    return messages


def messages(content: bytes) -> Iterator[Outcome | dict[str, str]]:
    """Yield the messages in a reply, up to one that was cut off.

    Raises:
        ForgedError: one of them makes no sense, or all together have more text than right answers need.
    """
    left = MAX_ALL_TEXT
    for message in frames(content):
        left -= len(_parts(message)[0])
        if left < 0:
            raise ForgedError("too many messages")
        yield unpack(message)


def pack(message: dict[str, Any]) -> bytes:
    """Return a trial's message as bytes: an outcome as a dictionary, or how it ended."""
    data: list[bytes] = []
    text = msgspec.msgpack.encode({key: _packed_part(key, value, data) for key, value in message.items()})
    if len(text) <= MAX_TEXT:
        return framed(text) + b"".join(data)
    too_large = ("other", f"list, dict or str of more than {MAX_TEXT >> 10} kB")
    return pack(message | {key: too_large for key in ("value", "args") if message.get(key)})


def unpack(content: bytes) -> Outcome | dict[str, str]:
    """Return a trial's message: the inverse of `pack`. It is an outcome, or how the trial ended.

    Raises:
        ForgedError: it is neither.
    """
    try:
        text, data = _parts(content)
        message = msgspec.msgpack.decode(text)
        if "ended" in message:
            lent = {"lent": "yes"} if message.get("lent") else {}
            return {key: _text(message.get(key)) for key in ("ended", "problem", "printed")} | lent
        value, args = (None if message[key] is None else _unpacked(message[key], data) for key in ("value", "args"))
        raised = None if message["raised"] is None else _text(message["raised"])
        if value is None and raised is None:
            raise ForgedError("neither a value nor an error")
        return Outcome(value, args, raised)
    except Exception as error:  # anything can be wrong with it
        raise ForgedError(str(error)[:200]) from None


def _parts(content: bytes) -> tuple[bytes, BytesIO]:
    """Return a message without its tensors, and the tensors' bytes."""
    if len(content) < LENGTH.size:
        raise ForgedError("no length")
    end = LENGTH.size + LENGTH.unpack_from(content)[0]
    if not end <= min(len(content), LENGTH.size + MAX_TEXT):
        raise ForgedError("a wrong length")
    return content[LENGTH.size : end], BytesIO(content[end:])


def _packed_part(key: str, value: Any, data: list[bytes]) -> Any:
    if key in ("value", "args") and value:
        return _packed(value, data)
    return _sent(value)[:1000] if isinstance(value, str) else value


def _packed(value: Plain, data: list[bytes]) -> list[Any]:
    kind, content = value
    if kind in ("tensor", "array"):
        return _packed_tensor(kind, content, data)
    if kind == "list":
        return [kind, [_packed(item, data) for item in content]]
    if kind == "mapping":
        return [kind, [[_packed(key, data), _packed(item, data)] for _, (key, item) in content]]
    if kind == "dict":
        return [kind, {_sent(key): _packed(item, data) for key, item in content.items()}]
    if type(content) is int and not -(2**63) <= content < 2**63:
        return ["other", "int of more than 64 bits"]
    return [kind, _sent(content) if isinstance(content, str) else content]


def _packed_tensor(kind: str, content: Tensor, data: list[bytes]) -> list[Any]:
    name = str(content.dtype).removeprefix("torch.")
    if name not in DTYPES or content.layout != torch.strided or content.is_meta:
        return ["other", f"Tensor, {content.layout}, {content.dtype}"]
    if not _is_sensible(list(content.shape)):
        return ["other", f"Tensor of {content.dim()} dimensions, {content.numel()} numbers"]
    flat = torch.empty(content.numel(), dtype=content.dtype).copy_(content.reshape(-1))
    data.append(flat.view(torch.uint8).numpy().tobytes())
    return [kind, name, list(content.shape)]


def _unpacked(value: Any, data: BytesIO, depth: int = 0) -> Plain:
    kind = value[0]
    if depth > MAX_DEPTH:
        raise ForgedError("too deep")
    if kind in ("tensor", "array"):
        return kind, _unpacked_tensor(data, *value[1:])
    if kind == "list" and type(value[1]) is list:
        return kind, [_unpacked(item, data, depth + 1) for item in value[1]]
    if kind == "mapping" and type(value[1]) is list:
        return kind, [("list", [_unpacked(part, data, depth + 1) for part in (key, item)]) for key, item in value[1]]
    if kind == "dict" and type(value[1]) is dict:
        return kind, {_text(key): _unpacked(item, data, depth + 1) for key, item in value[1].items()}
    types = {"number": (int, float), "bool": (bool,), "str": (str,), "other": (str,), "NoneType": (type(None),)}
    if type(value[1]) not in types.get(kind, ()):
        raise ForgedError(f"not a {kind}")
    return kind, value[1]


def _unpacked_tensor(data: BytesIO, name: str, shape: Any) -> Tensor:
    dtype = DTYPES[name]
    if type(shape) is not list or not _is_sensible(shape):
        raise ForgedError("not a shape")
    size = math.prod(shape) * dtype.itemsize
    content = bytearray(data.read(min(size, len(data.getbuffer()))))
    if len(content) != size:
        raise ForgedError("too few numbers")
    if not content:
        return torch.empty(shape, dtype=dtype)
    if dtype == torch.bool:  # torch relies on each byte being 0 or 1
        return torch.frombuffer(content, dtype=torch.uint8).ne(0).reshape(shape)
    return torch.frombuffer(content, dtype=dtype).reshape(shape)


def _is_sensible(shape: list[Any]) -> bool:
    """Return whether a tensor of this shape is safe to make, to show as a list, and to compare."""
    if len(shape) > MAX_DIMENSIONS or any(type(side) is not int or not 0 <= side < 2**63 for side in shape):
        return False
    return 0 not in shape or math.prod(shape[: shape.index(0)]) <= MAX_ROWS


def _sent(text: str) -> str:
    """Return a text without lone surrogates, which can't be sent in UTF-8."""
    return text.encode(errors="replace").decode()


def _text(value: Any) -> str:
    return value[:1000] if isinstance(value, str) else ""
