from coursekit.core.files import shipped
from coursekit.data.subsets.recipe import names
from coursekit.lessons.experiments.expected_ap import MEASURED, print_expected, unmeasured


def test_each_recipe_has_a_number_or_says_that_it_has_none(capsys):
    print_expected()
    printed = capsys.readouterr().out
    for name in names():
        assert any(line.startswith((f"{name} ", f"{name},")) for line in printed.splitlines()) or name in unmeasured()
    assert (
        printed.splitlines()[-1]
        == f"recipes of photographs (lesson 10) that aren't measured yet: {', '.join(unmeasured())}"
    )
    assert set(unmeasured()) < set(names())


def test_the_page_on_subsets_says_the_same():
    text = (shipped("data_subsets") / "README.md").read_text(encoding="utf-8")
    for run in MEASURED:
        row = next(line for line in text.splitlines() if line.startswith(f"| {run.data} "))
        assert f"{run.ap50:.2f}" in row
    for name in unmeasured():
        assert f"`{name}`" in text[text.index("## Which AP to expect") :]
