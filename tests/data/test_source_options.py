from pathlib import Path

import pytest

from coursekit.core.errors import ConfigError
from coursekit.data.source_options import Source, source_of

SOURCES = [
    Source("mini"),
    Source("my data"),
    Source("my data", val_share=0.3),
    Source("data", "a b.json", "c'd.json", "x/y"),
    Source("C:\\my data", "C:\\a.json", val_share=0.25),
]


@pytest.mark.parametrize("source", SOURCES)
def test_the_text_of_a_source_is_parsed_to_the_same(source):
    assert Source.parse(str(source)) == source
    assert Source.parse(source) is source


def test_text_is_as_one_writes_it_after_data():
    assert str(Source("data", "a.json", val_share=0.3)) == "data --train-json a.json --val-share 0.3"
    assert Source.parse("my data --val-share 0.3") == Source("my data", val_share=0.3)
    assert Source.parse(Path("data --val-share 0.3")) == Source("data --val-share 0.3")


def test_a_folder_may_be_called_like_an_option(tmp_path):
    folder = tmp_path / "a --val-share b"
    folder.mkdir()
    assert Source.parse(str(folder)) == Source(str(folder))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data --share 0.3", "only --images, --train-json, --val-json, --val-share can follow"),
        ("data --val-share", "only --images"),
        ("data --val-share x", "--val-share x: give a number between 0 and 1"),
        ("data --val-share 20", "--val-share 20.0: give a share between 0 and 1"),
        ("data --val-share 0", "--val-share 0.0: give a share between 0 and 1"),
        ("data --val-share 0.1 --val-json a", "--val-share and --val-json: choose one"),
        ("data --val-json 'a", "quotation"),
    ],
)
def test_options_that_cannot_be_used(text, words):
    with pytest.raises(ConfigError, match=words):
        Source.parse(text)


def test_without_data_the_files_say_where_it_is():
    assert source_of(None, "a/b.json", None, None, None) == Source("a", "a/b.json")
    assert source_of(None, "a/b.json", None, "pictures", 0.5) == Source("a", "a/b.json", None, "pictures", 0.5)
    with pytest.raises(ConfigError, match="--data is missing"):
        source_of(None, None, None, None, 0.5)
