from coursekit.core.errors import did_you_mean


def test_did_you_mean_suggests_similar_names_only():
    assert did_you_mean("cats", ["cat", "dog"]) == " (did you mean 'cat'?)"
    assert did_you_mean("xyz", ["cat", "dog"]) == ""
