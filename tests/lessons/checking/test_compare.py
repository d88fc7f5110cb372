import torch

from coursekit.lessons.checking.compare import difference
from coursekit.lessons.checking.outcome import plain


def test_two_numbers_that_print_alike_say_by_how_much_they_differ():
    got, expected = difference(
        plain(torch.tensor([0.325202 + 1e-7], dtype=torch.float64)),
        plain(torch.tensor([0.325202], dtype=torch.float64)),
        1e-5,
    )
    assert got == "[0.3252] (off by +1.0e-07)"
    assert expected == "[0.3252]"


def test_so_does_a_number_of_a_large_tensor():
    right = torch.linspace(0.5, 1, 100, dtype=torch.float64)
    got, expected = difference(plain(right - 3e-9), plain(right), 1e-5)
    assert "(off by -3.0e-09)" in got
    assert expected == "0.5 there"


def test_parts_of_a_result_have_names_and_one_count():
    right = ([{"boxes": torch.zeros(1, 4), "labels": torch.ones(1), "size": 3, "id": 7}], 5)
    wrong = ([{"boxes": torch.zeros(1, 4), "labels": torch.zeros(1), "size": 3, "id": 7}], 5)
    assert difference(plain(wrong), plain(right), 1e-5) == (
        "first result: first value: labels: [0.0]",
        "first result: first value: labels: [1.0]",
    )
    got, _ = difference(plain({"a": {"b": 1, "c": 2}, "d": 3}), plain({"a": {"b": 1, "c": 5}, "d": 3}), 1e-5)
    assert got == "a: c: 2 (right: 1 of its 2 keys)"


def test_a_dict_by_id_is_shown_as_a_dict():
    wrong, right = {7: [{"id": 1}]}, {7: [{"id": 1}], 8: []}
    assert difference(plain(wrong), plain(right), 1e-5) == ("{7: [{id: 1}]}", "{7: [{id: 1}], 8: []}")
    assert difference(plain({"7": 1}), plain({7: 1}), 1e-5)
    assert difference(plain(right), plain(right), 1e-5) is None
