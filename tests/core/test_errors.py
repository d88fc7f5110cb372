import sys

from coursekit.core.errors import command, did_you_mean, plain


def test_did_you_mean_suggests_similar_names_only():
    assert did_you_mean("cats", ["cat", "dog"]) == " (did you mean 'cat'?)"
    assert did_you_mean("xyz", ["cat", "dog"]) == ""


def test_a_text_from_a_file_cannot_command_the_terminal():
    assert plain("a\x1b[31mb\nc\x9b") == "a\ufffd[31mb\ufffdc\ufffd"
    assert plain("猫 · é") == "猫 · é"


def test_a_printed_command_can_be_copied(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert (
        command("coursekit", "train", "--out", "my runs/it's $1") == """coursekit train --out 'my runs/it'"'"'s $1'"""
    )
    monkeypatch.setattr(sys, "platform", "win32")
    assert command("coursekit", "train", "--out", "C:\\my runs") == 'coursekit train --out "C:\\my runs"'
