"""Zips and folders as nobody should hand them in, each with what its problem says."""

import io
import os
import socket
import struct
import warnings
import zipfile
import zlib

BOX = "def box_iou(first, second):\n    return 1\n"
ANSWER = "my_detector/box_iou.py"


def zipped(members=((ANSWER, BOX),), method=zipfile.ZIP_DEFLATED):
    """The bytes of a zip; a member is a name or a ZipInfo, and its content."""
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there already
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def renamed(old, new, **options):
    """A zip with an answer, and a member that gets a name that `zipfile` doesn't write."""
    assert len(old) == len(new)
    return zipped(((ANSWER, BOX), (old, "x")), **options).replace(old.encode(), new)


def without_a_name():
    """A zip with an answer and a member whose name is empty."""
    content = zipped(((ANSWER, BOX), ("x", "y")), zipfile.ZIP_STORED)
    local = content.index(b"PK\3\4", 4)
    content = content[: local + 26] + b"\0\0" + content[local + 28 :].replace(b"\0\0x", b"\0\0", 1)
    central = content.rindex(b"PK\1\2")
    entry = content[central : central + 28] + b"\0\0" + content[central + 30 : central + 46]
    rest = content[central + 47 :]
    end = rest.index(b"PK\5\6")
    start, size = struct.unpack("<II", rest[end + 12 : end + 20])[::-1]
    return content[:central] + entry + rest[: end + 12] + struct.pack("<II", size - 1, start - 1) + rest[end + 20 :]


def encrypted():
    """A zip whose members claim to be encrypted."""
    content = bytearray(zipped())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def patched(signature, offset, value):
    """A zip in which something is written over, counted from the last such signature."""
    content = bytearray(zipped())
    start = content.rindex(signature) + offset
    content[start : start + len(value)] = value
    return bytes(content)


def overlapping():
    """A zip with 400 names for one member."""
    archive = zipped((("a.ipynb", b"0" * (1 << 20)),))
    central, end = archive.index(b"PK\1\2"), archive.index(b"PK\5\6")
    entries = archive[central:end] * 400
    sizes = struct.pack("<HHHHII", 0, 0, 400, 400, len(entries), central)
    return archive[:central] + entries + b"PK\5\6" + sizes + b"\0\0"


# Name → the bytes of a zip.
ZIPS = {
    "no_name": without_a_name,
    "nul_in_a_name": lambda: renamed("abc.py", b"a\0c.py"),
    "controls_in_a_name": lambda: renamed("../abc.py", b"../\x1b[2J.y"),
    "encrypted": encrypted,
    "wrong_crc": lambda: patched(b"PK\1\2", 16, b"1234"),
    "wrong_size": lambda: patched(b"PK\1\2", 24, b"\xff\xff\xff\x7f"),
    "zip64_without_sizes": lambda: patched(b"PK\1\2", 20, b"\xff" * 8),
    "wrong_method": lambda: patched(b"PK\1\2", 10, b"\x63\0"),
    "bzip2": lambda: zipped(((ANSWER, b"#" * (1 << 24)),), zipfile.ZIP_BZIP2),
    "lzma": lambda: zipped(((ANSWER, b"#" * (1 << 24)),), zipfile.ZIP_LZMA),
    "new_version": lambda: patched(b"PK\1\2", 6, b"\xff\0"),
    "wrong_offset": lambda: patched(b"PK\1\2", 42, b"\xff\xff\xff\x7f"),
    "cut_listing": lambda: zipped()[:-40],
    "listing_elsewhere": lambda: patched(b"PK\5\6", 16, b"\xff\xff\xff\x7f"),
    "listing_of_4_GB": lambda: patched(b"PK\5\6", 12, b"\xff\xff\xff\xff"),
    "overlapping": overlapping,
    "zip_in_a_zip": lambda: zipped((("inner.zip", zipped()),)),
    "absolute": lambda: zipped(
        ((f"/{ANSWER}", BOX), ("C:\\x.py", BOX), ("\\\\server\\x.py", BOX), ("../../x.py", BOX))
    ),
    "twice": lambda: zipped(((ANSWER, "x = 1"), (ANSWER, BOX))),
    "prepended": lambda: b"#!/bin/sh\n" * 1000 + zipped(),
    "nothing": lambda: b"PK\5\6" + bytes(18),
    "not_a_zip": lambda: b"Rar!\x1a\x07\x01\0",
    "empty": lambda: b"",
    "deflate_of_garbage": lambda: zipped().replace(zlib.compress(BOX.encode())[2:-4][:8], b"\xff" * 8),
}
READ = {"no_name", "nul_in_a_name", "controls_in_a_name", "twice", "prepended"}  # their answer is read nevertheless


def special_files(folder):
    """Submissions that are no files: links, pipes, sockets."""
    os.mkfifo(folder / "pipe.zip")
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "loop.zip").symlink_to("loop.zip")
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    (folder / "nowhere.zip").symlink_to("/nowhere/at/all")
    (folder / "up").symlink_to("..")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket.zip"))
    (folder / "folder.zip").mkdir()
    return {"pipe", "pipe-2", "loop", "link", "nowhere", "up", "socket", "folder.zip"}


NAMES = [
    "面" * 83, "é" * 125, "x" * 250, "a\nb", "a\x1b[2Jb", "a\u202eb", "\udcff\udcfe", "CON", "nul.tar", "aux ", "COM1",
    "a.", "b ", " c", "'", "=1+1", "a;=1", "-1", "＝1", "<b>", "a:b", "a|b", "e\u0301", "é", "E\u0301", "Straße",
    "STRASSE", "ﬁ", "fi", "💻" * 60, "a\u200db", "%00", "a%2fb", "$(x)", "`x`", "[x](y)", "~",
]  # fmt: skip
