"""What a field of a record may be: each reader returns its value, or says why the record can't be used."""

import math
import re
from collections.abc import Callable
from typing import Any

from coursekit.data.not_coco_json import kind_of

LARGEST_ID, LARGEST_SIDE = 2**62, 2**20  # an id fits an int64
LARGEST_EXACT = 2**53  # whole numbers up to here are exact as floats
MISSING = -(2**63)  # in place of an id that the file doesn't give
MAX_SHOWN = 40  # characters of a value in a message
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,30}(\.0*)?\s*")


class RecordError(ValueError):
    """A record can't be used: `reason` and `detail` as in `Fault`."""

    def __init__(self, reason: str, value: object = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, "" if value == "" else shown(value)


def whole_number(value: object, name: str = "id") -> int:
    """Return an id that may be written as text or as a float, if it is an exact whole number.

    Raises:
        RecordError: it is not.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value.strip().split(".")[0])
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, "a whole number", value)
    if abs(value) > LARGEST_ID:
        raise RecordError(f"its {name} is beyond 2⁶²", value)
    return value


def license_number(value: object) -> int:
    """Return the number of a license, 0 if it has none."""
    try:
        return whole_number(value)
    except RecordError:
        return 0


def _required(item: dict[str, Any], name: str) -> Any:
    if item.get(name) is None:
        raise RecordError(f"its {name} is null" if name in item else f"it has no {name}")
    return item[name]


def _id(item: dict[str, Any], name: str) -> int:
    return whole_number(_required(item, name), name)


def _optional_id(item: dict[str, Any], name: str) -> int:
    return MISSING if item.get(name) is None else whole_number(item[name], name)


def _side(item: dict[str, Any], name: str) -> int:
    side = _id(item, name)
    if not 1 <= side <= LARGEST_SIDE:
        raise RecordError(f"its {name} is not a number of pixels", side)
    return side


def _text(item: dict[str, Any], name: str) -> str:
    text = _required(item, name)
    if not isinstance(text, str):
        raise _wrong(name, "text", text)
    return text


def _class_name(item: dict[str, Any], name: str) -> str:
    value = _required(item, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return _text({name: value}, name)


def _box(item: dict[str, Any], name: str) -> tuple[float, ...]:
    box = item[name]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        raise RecordError(f"its {name} is not four numbers", box)
    return tuple(float(number) for number in box)


def without_box(item: dict[str, Any]) -> str:
    """Return what an annotation without a bbox is."""
    if "segments_info" in item:
        return "it is a panoptic record without a bbox: use the instances file"
    if "caption" in item:
        return "it is a caption without a bbox: use the instances file"
    if item.get("segmentation"):
        return "it has a segmentation but no bbox: export boxes, too"
    return "its bbox is null" if "bbox" in item else "it has no bbox"


def _area(item: dict[str, Any], name: str) -> float:
    """Return NaN for what isn't an area: training doesn't need it."""
    area: Any = item.get(name)
    return float(area) if _is_finite(area) else math.nan


def _crowd(item: dict[str, Any], name: str) -> int:
    value = item.get(name)
    if value is None:
        return 0
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise _wrong(name, "0 or 1", value)
    return int(value)


def _anything(item: dict[str, Any], name: str) -> Any:
    return item.get(name)


READERS: dict[tuple[str, str], Callable[[dict[str, Any], str], Any]] = {
    ("images", "id"): _id,
    ("images", "file_name"): _text,
    ("images", "width"): _side,
    ("images", "height"): _side,
    ("images", "license"): _anything,
    ("images", "coco_url"): _anything,
    ("categories", "id"): _id,
    ("categories", "name"): _class_name,
    ("categories", "supercategory"): _anything,
    ("annotations", "id"): _optional_id,
    ("annotations", "image_id"): _id,
    ("annotations", "category_id"): _id,
    ("annotations", "bbox"): _box,
    ("annotations", "area"): _area,
    ("annotations", "iscrowd"): _crowd,
}


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _wrong(name: str, expected: str, value: object) -> RecordError:
    """Return the error for a value of the wrong kind."""
    if isinstance(value, int | float) and not isinstance(value, bool) and expected != "text":
        return RecordError(f"its {name} is not {expected}", value)
    return RecordError(f"its {name} is {kind_of(value)}, not {expected}", value)


def shown(value: object) -> str:
    """Return a value as in the file, shortened."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
