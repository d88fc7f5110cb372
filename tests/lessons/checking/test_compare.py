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
