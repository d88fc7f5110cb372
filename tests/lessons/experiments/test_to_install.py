from coursekit.lessons.experiments.to_install import megabytes, print_sizes


def test_the_size_of_a_package():
    assert megabytes("torch") > 50
    assert megabytes("a package that nobody has") is None


def test_the_guess_is_printed_beside_it(capsys):
    print_sizes(1234)
    pytorch, runtime = capsys.readouterr().out.splitlines()
    assert pytorch.startswith("torch, torchvision, timm: ")
    assert pytorch.endswith("you said 1,234 MB")
    assert runtime.startswith("onnxruntime: ")
