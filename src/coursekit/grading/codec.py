"""Messages between the grader and the sandbox, each with its length in front.

A message from the sandbox may be forged. So it is MessagePack, decoded into plain data only. torch.load would unpack
compressed records, and a kilobyte of them can fill the reader's memory.
"""

import struct
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
MAX_DEPTH = 8  # of lists in lists: `plain` goes down 6 levels


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


def pack(message: dict[str, Any]) -> bytes:
    """Return a trial's message as bytes: an outcome as a dictionary, or how it ended."""
    packed = {key: _packed(value) if key in ("value", "args") and value else value for key, value in message.items()}
    return msgspec.msgpack.encode(packed)


def unpack(content: bytes) -> Outcome | dict[str, str]:
    """Return a trial's message: the inverse of `pack`. It is an outcome, or how the trial ended.

    Raises:
        ForgedError: it is neither.
    """
    try:
        message = msgspec.msgpack.decode(content)
        if "ended" in message:
            lent = {"lent": "yes"} if message.get("lent") else {}
            return {key: _text(message.get(key)) for key in ("ended", "problem", "printed")} | lent
        value, args = (None if message[key] is None else _unpacked(message[key]) for key in ("value", "args"))
        raised = None if message["raised"] is None else _text(message["raised"])
        if value is None and raised is None:
            raise ForgedError("neither a value nor an error")
        return Outcome(value, args, raised)
    except Exception as error:  # anything can be wrong with it
        raise ForgedError(str(error)[:200]) from None


def _packed(value: Plain) -> list[Any]:
    kind, content = value
    if kind in ("tensor", "array"):
        return _packed_tensor(kind, content)
    if kind == "list":
        return [kind, [_packed(item) for item in content]]
    if kind == "dict":
        return [kind, {key: _packed(item) for key, item in content.items()}]
    if type(content) is int and not -(2**63) <= content < 2**63:
        return ["other", "int of more than 64 bits"]
    return [kind, content]


def _packed_tensor(kind: str, content: Tensor) -> list[Any]:
    name = str(content.dtype).removeprefix("torch.")
    if name not in DTYPES or content.layout != torch.strided or content.is_meta:
        return ["other", f"Tensor, {content.layout}, {content.dtype}"]
    flat = torch.empty(content.numel(), dtype=content.dtype).copy_(content.reshape(-1))
    return [kind, name, list(content.shape), flat.view(torch.uint8).numpy().tobytes()]


def _unpacked(value: Any, depth: int = 0) -> Plain:
    kind = value[0]
    if depth > MAX_DEPTH:
        raise ForgedError("too deep")
    if kind in ("tensor", "array"):
        return kind, _unpacked_tensor(*value[1:])
    if kind == "list" and type(value[1]) is list:
        return kind, [_unpacked(item, depth + 1) for item in value[1]]
    if kind == "dict" and type(value[1]) is dict:
        return kind, {_text(key): _unpacked(item, depth + 1) for key, item in value[1].items()}
    types = {"number": (int, float), "bool": (bool,), "str": (str,), "other": (str,), "NoneType": (type(None),)}
    if type(value[1]) not in types.get(kind, ()):
        raise ForgedError(f"not a {kind}")
    return kind, value[1]


def _unpacked_tensor(name: str, shape: list[int], data: bytes) -> Tensor:
    dtype = DTYPES[name]
    if any(side < 0 for side in shape):
        raise ForgedError("a negative shape")
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat.reshape(shape)


def _text(value: Any) -> str:
    return value[:1000] if isinstance(value, str) else ""
