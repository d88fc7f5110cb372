import pytest

from coursekit.core.errors import CourseError
from coursekit.core.files import shipped
from coursekit.data.subsets.recipe import names, read_recipe

GOOD = 'name = "a"\nsource = "scenes"\nseed = 1\nclasses = ["dog"]\nimages = { train = 1 }\n'


def test_shipped_recipes_can_be_read():
    assert "mini" in names()
    for name in names():
        assert read_recipe(shipped("data_subsets") / f"{name}.toml").name == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace('["dog"]', "[]"), "`classes` is empty"),
        (GOOD.replace("dog", "dgo"), "no class 'dgo'"),
        (GOOD.replace("seed", "sed"), "sed"),
        (GOOD.replace("1", '"one"', 1), "seed"),
        ("= 3", "not a recipe"),
    ],
)
def test_errors_name_the_field_and_the_file(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CourseError, match=words) as caught:
        read_recipe(path)
    assert "mine.toml" in str(caught.value)
