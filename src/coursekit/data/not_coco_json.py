"""What a file is that isn't in COCO's format: words for the message that refuses it."""

import json
from typing import Any

# The first key that is in the file says what wrote it.
_KEYS = {
    "_via_img_metadata": "a project of the VGG Image Annotator (VIA)",
    "_via_settings": "a project of the VGG Image Annotator (VIA)",
    "shapes": "the LabelMe file of one image",
    "completions": "a task of Label Studio",
    "segments_info": "a panoptic record",
    "categories_info": "a data set of Datumaro",
    "items": "a data set of Datumaro",
    "objects": "an annotation of Supervisely",
    "regions": "an export of VIA or VoTT",
}
_EXPORT = ": export it in COCO's format"
_STARTS = {
    b"version https://git-lfs": "it is a Git LFS pointer. Fetch the file itself with `git lfs pull`.",
    b"<": "it is HTML or XML, perhaps an error page. Download it again.",
    b"PK\x03\x04": "it is a .zip archive. Unpack it first.",
    b"\x1f\x8b": "it is compressed with gzip. Unpack it first.",
}


def kind_of(value: object) -> str:
    """Return what JSON calls a value, with its article."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def broken(content: bytes, error: Exception) -> str:
    """Return why bytes aren't JSON, and what to do."""
    start = content.lstrip()[:40]
    for known, reason in _STARTS.items():
        if start.startswith(known):
            return reason
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}). Save the file as UTF-8."
    if isinstance(error, json.JSONDecodeError):
        return f"{error}. {_cure(error)}"
    return f"{error}. Download or export the file again."


def _cure(error: json.JSONDecodeError) -> str:
    before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos :].lstrip()
    if error.msg == "Extra data" and after[:1] in ("{", "["):
        return "It looks like JSON Lines, one object per line: export a single COCO file."
    if before.endswith(",") and after[:1] in ("}", "]"):
        return "Remove the comma before the closing bracket."
    return "Download or export the file again."


def foreign(parsed: Any) -> str:
    """Return a sentence on what a parsed file looks like, after a space; an empty text if that is unknown."""
    guess = _guess(parsed)
    return f" It looks like {guess}." if guess else ""


def _guess(parsed: Any) -> str:
    if isinstance(parsed, list):
        first = parsed[0] if parsed else None
        if not isinstance(first, dict):
            return ""
        if "score" in first and "bbox" in first:
            return "a results file (detections): pass the annotation file that it belongs to"
        if "data" in first and ("annotations" in first or "predictions" in first):
            return f"the JSON of Label Studio{_EXPORT}"
        return f"CreateML's format{_EXPORT}" if "image" in first and "annotations" in first else _guess(first)
    if not isinstance(parsed, dict):
        return ""
    values = [parsed, *list(parsed.values())[:1]]
    for value in filter(lambda value: isinstance(value, dict), values):
        for key, name in _KEYS.items():
            if key in value:
                return name + _EXPORT
    annotations = parsed.get("annotations")
    record: Any = annotations[0] if isinstance(annotations, list) and annotations else None
    captioned = isinstance(record, dict) and "caption" in record
    return "COCO's captions, which have no boxes: use the instances file" if captioned else ""
