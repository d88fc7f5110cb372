import gzip
import zipfile
from io import BytesIO

import pytest

from coursekit.core.errors import DataError
from coursekit.data.not_an_image import kind_of
from coursekit.data.read_images import read_image


def _zip():
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    return buffer.getvalue()


KINDS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
    "a HEIC image": b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf" + bytes(99),
    "a video (MP4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(99),
    "a JPEG XL": b"\xff\x0a" + bytes(range(99)),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "a git-annex pointer": b"/annex/objects/SHA256E-s1--abc.jpg\n",
    "a web page (HTML)": b"<!DOCTYPE html>\n<html>",
    "a web page": b"\xef\xbb\xbf\n\n  <HTML lang=en><body>",
    "web page (HTML), not": b"<!-- saved -->\n<html><body>x",
    "a web": "<!DOCTYPE html><html>".encode("utf-16"),
    "an SVG": b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>',
    "an XML file": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a JSON file": b'{"error": "not found"}',
    "a text file that begins with '404: Not Found'": b"404: Not Found",
    "a text file": "ü".encode() * 2000,
    "a PDF": b"%PDF-1.7\n" + bytes(99),
    "a PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "a zip": _zip(),
    "a gzip": gzip.compress(b"abc"),
    "a NumPy array": b"\x93NUMPY\1\0" + bytes(99),
    "a DICOM": bytes(128) + b"DICM" + bytes(99),
    "AppleDouble": b"\0\5\x16\7" + bytes(99),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_under_the_name_of_an_image_is_named_as_what_it_is(tmp_path, name):
    path = tmp_path / "a.jpg"
    path.write_bytes(KINDS[name])
    with pytest.raises(DataError) as raised:
        read_image(path, (10, 10))
    message = str(raised.value)
    assert message.startswith(f"{path}: this is ")
    assert name in message
    assert "damaged" not in message
    assert message.endswith("or remove its record.")


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"P3\n2 1\n255\n1 2 3 4 5 6\n", b"GIF89a"]
)
def test_images_and_unknown_bytes_are_no_other_kind(data):
    assert kind_of(data) is None
