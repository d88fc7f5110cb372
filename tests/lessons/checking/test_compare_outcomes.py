import torch

from coursekit.lessons.checking.compare_outcomes import difference
from coursekit.lessons.checking.outcome import plain


def test_numbers_have_as_many_digits_as_it_takes_to_tell_them_apart():
    got, expected = difference(
        plain(torch.tensor([0.325202 + 1e-7], dtype=torch.float64)),
        plain(torch.tensor([0.325202], dtype=torch.float64)),
        1e-5,
    )
    assert (got, expected) == ("[0.3252021]", "[0.325202]")
    got, expected = difference(plain(torch.tensor([0.5, 2.0])), plain(torch.tensor([0.5, 1.0])), 1e-5)
    assert (got, expected) == ("[0.5, 2.0]", "[0.5, 1.0]")


def test_so_does_a_number_of_a_large_tensor():
    right = torch.linspace(0.5, 1, 100, dtype=torch.float64)
    got, expected = difference(plain(right - 3e-9), plain(right), 1e-5)
    assert got == "0.499999997 at [0] (100 of 100 values differ)"
    assert expected == "0.5 there"


def test_parts_of_a_result_have_names_and_one_count():
    right = ([{"boxes": torch.zeros(1, 4), "labels": torch.ones(1), "size": 3, "id": 7}], 5)
    wrong = ([{"boxes": torch.zeros(1, 4), "labels": torch.zeros(1), "size": 3, "id": 7}], 5)
    assert difference(plain(wrong), plain(right), 1e-5) == (
        "first result: first value: labels: [0.0]",
        "first result: first value: labels: [1.0]",
    )
    got, _ = difference(plain({"a": {"b": 1, "c": 2}, "d": 3}), plain({"a": {"b": 1, "c": 5}, "d": 3}), 1e-5)
    assert got == "a: c: 2 (1 of the 2 things checked is right)"


def test_a_check_says_how_much_is_right_not_how_many_keys_a_result_has():
    wrong, right = {"a": 0, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3, "d": 4}
    assert difference(plain(wrong), plain(right), 1e-5)[0] == "a: 0 (3 of the 4 things checked are right)"
    assert difference(plain({"a": 0, "b": 0}), plain({"a": 1, "b": 2}), 1e-5)[0] == "a: 0"


def test_the_values_of_a_tuple_can_have_names():
    wrong, right, names = plain(("open", 0.25, 0.5)), plain(("open", 0.25, 0.75)), ("verdict", "mean", "low end")
    assert difference(wrong, right, 1e-5, names=names) == ("low end: 0.5", "low end: 0.75")
    assert difference(wrong, right, 1e-5, names=names[:2]) == ("third result: 0.5", "third result: 0.75")


def test_a_dict_by_id_is_shown_as_a_dict():
    wrong, right = {7: [{"id": 1}]}, {7: [{"id": 1}], 8: []}
    assert difference(plain(wrong), plain(right), 1e-5) == ("{7: [{id: 1}]}", "{7: [{id: 1}], 8: []}")
    assert difference(plain({"7": 1}), plain({7: 1}), 1e-5)
    assert difference(plain(right), plain(right), 1e-5) is None
