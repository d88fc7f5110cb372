from coursekit.core.errors import did_you_mean, plain


def test_did_you_mean_suggests_similar_names_only():
    assert did_you_mean("cats", ["cat", "dog"]) == " (did you mean 'cat'?)"
    assert did_you_mean("xyz", ["cat", "dog"]) == ""


def test_a_text_from_a_file_cannot_command_the_terminal():
    assert plain("a\x1b[31mb\nc\x9b") == "a\ufffd[31mb\ufffdc\ufffd"
    assert plain("猫 · é") == "猫 · é"
