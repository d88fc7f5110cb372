import pytest

from coursekit.core.errors import ConfigError, CourseError
from coursekit.core.files import shipped
from coursekit.data.subsets.build import build_subset
from coursekit.data.subsets.recipe import Recipe, names, read_recipe
from coursekit.data.synthetic.write_coco_folder import build_scenes

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


COCO = 'name = "a"\nsource = "coco"\nseed = 1\nimages = { train = 9, val = 9 }\n'
SCENES = 'name = "a"\nsource = "scenes"\nseed = 1\nclasses = ["dog", "cat"]\nimages = { train = 9, val = 9 }\n'
MANY = "9" * 5000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            COCO.replace("train = 9", "train = -1"),
            r"`images.train`: -1 is out of range. Use 0 to 118,287 \(0",
        ),
        (COCO.replace("val = 9", "val = 1000000000000"), "`images.val`: 1000000000000 is out of range. Use 0 to 5,000"),
        (COCO.replace("train = 9, val = 9", ""), "`images`: .* are not its splits"),
        (COCO.replace("val = 9", "test = 9"), r"`images`: \['train', 'test'\] are not its splits"),
        (COCO.replace("9", "true", 1), "Expected `int`, got `bool`"),
        (COCO.replace("9", "nan", 1), "Expected `int`, got `float`"),
        (COCO.replace("9", MANY, 1), "not a recipe"),
        (COCO.replace("9", "0x" + "f" * 400, 1), "images.train`: a number of more than 60 digits is out of range"),
        (COCO.replace("seed = 1", "seed = -1"), "`seed`: -1 is out of range. Use 0 to 4,294,967,295"),
        (COCO.replace("seed = 1", "seed = 1e300"), "seed"),
        (COCO.replace("seed = 1", f"seed = {2**64}"), f"`seed`: {2**64} is out of range"),
        (COCO + "long_side = 1000000", r"`long_side`: 1000000 is out of range. Use 32 to 4,096, or 0"),
        (COCO + "long_side = 31", "`long_side`: 31 is out of range"),
        (COCO + "long_side = -1", "`long_side`: -1 is out of range"),
        (COCO + "long_side = 320.5", "long_side"),
        (COCO + "smallest_box = nan", "`smallest_box`: nan is out of range. Use 0 to 4,096"),
        (COCO + "smallest_box = inf", "`smallest_box`: inf is out of range"),
        (COCO + "smallest_box = -0.5", "`smallest_box`: -0.5 is out of range"),
        (COCO + "licenses = [9]", "`licenses`: 9 is out of range. Use 1 to 8"),
        (COCO + "licenses = [1, 2, 1]", "`licenses`: 1 is there twice"),
        (COCO + 'classes = ["dog", "dog"]', "`classes`: 'dog' is there twice"),
        (COCO + 'classes = [""]', "`classes`: COCO has no class ''"),
        (COCO + f'classes = ["{"x" * 5000}"]', "`classes`: COCO has no class 'xxx"),
        (COCO + "classes = [1]", "classes"),
        (COCO + 'classes = "dog"', "classes"),
        (COCO + 'crowds = "maybe"', "crowds"),
        (COCO + 'split_of = { train = "test2017", val = "val2017" }', "`split_of`: .*Choose train2017 or val2017"),
        (COCO + 'split_of = { train = "val2017" }', "`split_of`"),
        (COCO + "quality = 101", "has no field 'quality'.*Its fields: name, source"),
        (COCO + "share = 7.0", "has no field 'share'"),
        (COCO + "long_sides = 320", "did you mean 'long_side'"),
        (COCO.replace('"a"', '"../a"'), "`name`: '../a' can't be the name of a folder"),
        (COCO.replace('"a"', '"/etc/a"'), "`name`"),
        (COCO.replace('"a"', '".a"'), "`name`"),
        (COCO.replace('"a"', '"a."'), "`name`"),
        (COCO.replace('"a"', '""'), "`name`"),
        (COCO.replace('"a"', '"C:a"'), "`name`"),
        (COCO.replace('"a"', '"a\\u0000b"'), "`name`"),
        (COCO.replace('"a"', f'"{"a" * 81}"'), "`name`.*at most 80"),
        (COCO.replace('"coco"', '"imagenet"'), "source"),
        (COCO + "a = " + "[" * 5000, "not a recipe"),
        (COCO * 2, "not a recipe"),
        ("#" * 1_000_001, "more than 1,000,000 bytes"),
        (SCENES.replace("train = 9", "train = 0"), "`images.train`: 0 is out of range. Use 1 to 2,000"),
        (SCENES.replace("train = 9", "train = 2001"), "`images.train`"),
        (SCENES + "object_size = [0, 10]", r"`object_size`: \[0.0, 10.0\] is out of range.*4 to 320"),
        (SCENES + "object_size = [20, 10]", "`object_size`.*the smaller first"),
        (SCENES + "object_size = [10, inf]", "`object_size`"),
        (SCENES + "object_size = [nan, 20]", "`object_size`"),
        (SCENES + "object_size = [10]", "object_size"),
        (SCENES + "rare = { horse = 3 }", "`rare`: `classes` has no class 'horse'"),
        (SCENES + "rare = { dog = -1 }", '`rare."dog"`: -1 is out of range. Use 1 to 10,000'),
        (SCENES + "rare = { dog = 1, cat = 1 }", "all of them are in `rare` or `absent_from_val`"),
        (SCENES + 'absent_from_val = ["cow"]', "`absent_from_val`: `classes` has no class 'cow'"),
        (SCENES + 'absent_from_val = ["cat", "dog"]', "all of them are in"),
        (
            SCENES + "scenes_with_a_crowd = { train = 10 }",
            "`scenes_with_a_crowd.train`: 10 is out of range",
        ),
        (SCENES + "scenes_with_a_crowd = { test = 1 }", "`scenes_with_a_crowd`: 'test' is not in `images`"),
    ],
)
def test_absurd_values_are_refused_with_their_range(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CourseError, match=words) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0" * 100, b"name = ", b"[[", b""])
def test_files_that_are_no_recipes(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(CourseError, match="not a recipe"):
        read_recipe(path)
    with pytest.raises(CourseError, match="can't be read"):
        read_recipe(tmp_path)


def test_a_byte_order_mark_is_no_problem(tmp_path):
    (tmp_path / "mine.toml").write_text(COCO, encoding="utf-8-sig")
    assert read_recipe(tmp_path / "mine.toml").images == {"train": 9, "val": 9}


def test_recipes_made_in_python_are_checked_too():
    with pytest.raises(ConfigError, match="a: `images.train`: -1 is out of range"):
        build_subset(Recipe("a", "coco", 1, {"train": -1}))
    with pytest.raises(ConfigError, match="a: `seed`: -1 is out of range"):
        build_scenes(Recipe("a", "scenes", -1, {"train": 1}, classes=["dog"]))
