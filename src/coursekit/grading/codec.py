"""Between the grader and the sandbox: messages with their length in front.

What comes out of the sandbox may be forged. So it is MessagePack, decoded into plain data only, and never torch.load:
that unpacks compressed records, and a kilobyte of them can fill the memory of whoever reads it.
"""

import struct
from typing import Any

import msgspec
import torch
from torch import Tensor

from coursekit.lessons.checking.outcome import Outcome, Plain

LENGTH = struct.Struct(">Q")
DTYPES: dict[str, torch.dtype] = {
    str(one).removeprefix("torch."): one
    for one in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
        torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
DEEPEST = 8  # lists in lists: `plain` goes down 6 levels


class ForgedError(ValueError):
    """A message that no honest answer sends."""


def framed(content: bytes) -> bytes:
    """Bytes with their length in front."""
    return LENGTH.pack(len(content)) + content


def frames(content: bytes) -> list[bytes]:
    """The inverse for several in a row; a last one that was cut is left out."""
    found, start = [], 0
    while start + LENGTH.size <= len(content):
        (length,) = LENGTH.unpack_from(content, start)
        start += LENGTH.size
        if start + length > len(content):
            break
        found.append(content[start : start + length])
        start += length
    return found


def pack(message: dict[str, Any]) -> bytes:
    """A message of a trial: an outcome as a dictionary, or how it ended."""
    packed = {key: _packed(value) if key in ("came", "given") and value else value for key, value in message.items()}
    return msgspec.msgpack.encode(packed)


def unpack(content: bytes) -> Outcome | dict[str, str]:
    """The inverse; an outcome, or how it ended.

    Raises:
        ForgedError: it is neither.
    """
    try:
        message = msgspec.msgpack.decode(content)
        if "ended" in message:
            lent = {"lent": "yes"} if message.get("lent") else {}
            return {key: _text(message.get(key)) for key in ("ended", "problem", "printed")} | lent
        came, given = (None if message[key] is None else _unpacked(message[key]) for key in ("came", "given"))
        raised = None if message["raised"] is None else _text(message["raised"])
        if came is None and raised is None:
            raise ForgedError("neither a value nor an error")
        return Outcome(came, given, raised)
    except Exception as error:  # in whatever way it is no message
        raise ForgedError(str(error)[:200]) from None


def _packed(value: Plain) -> list[Any]:
    kind, content = value
    if kind in ("tensor", "array"):
        return _packed_tensor(kind, content)
    if kind == "list":
        return [kind, [_packed(one) for one in content]]
    if kind == "dict":
        return [kind, {key: _packed(one) for key, one in content.items()}]
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
    if depth > DEEPEST:
        raise ForgedError("too deep")
    if kind in ("tensor", "array"):
        return kind, _unpacked_tensor(*value[1:])
    if kind == "list" and type(value[1]) is list:
        return kind, [_unpacked(one, depth + 1) for one in value[1]]
    if kind == "dict" and type(value[1]) is dict:
        return kind, {_text(key): _unpacked(one, depth + 1) for key, one in value[1].items()}
    types = {"number": (int, float), "bool": (bool,), "str": (str,), "other": (str,), "NoneType": (type(None),)}
    if type(value[1]) not in types.get(kind, ()):
        raise ForgedError(f"no {kind}")
    return kind, value[1]


def _unpacked_tensor(name: str, shape: list[int], data: bytes) -> Tensor:
    dtype = DTYPES[name]
    if any(side < 0 for side in shape):
        raise ForgedError("a negative shape")
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat.reshape(shape)


def _text(value: Any) -> str:
    return value[:1000] if isinstance(value, str) else ""
