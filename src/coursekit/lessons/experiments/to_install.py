"""How much must be installed to run a detector, with PyTorch and without?"""

from importlib.metadata import PackageNotFoundError, distribution, distributions

PYTORCH = ("torch", "torchvision", "timm")
FOR_A_GPU = ("nvidia-", "triton")  # what the CUDA build of torch brings with it


def print_sizes(my_megabytes: float) -> None:
    """Print the size of PyTorch's packages and of onnxruntime, and the reader's guess of the first."""
    names = {installed.metadata["Name"] or "" for installed in distributions()}
    for_a_gpu = [name for name in names if name.startswith(FOR_A_GPU)]
    more = " (with CUDA)" if for_a_gpu else ""
    print(f"torch, torchvision, timm: {_words([*PYTORCH, *for_a_gpu])}{more}; you said {my_megabytes:,.0f} MB")
    print(f"onnxruntime:              {_words(['onnxruntime'])}")


def _words(names: list[str]) -> str:
    sizes = [size for name in names if (size := megabytes(name)) is not None]
    return f"{sum(sizes):,.0f} MB" if sizes else "not installed here"


def megabytes(name: str) -> float | None:
    """Return the size of an installed package, without what it depends on; None if it isn't installed."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return None
    paths = (file.locate() for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6  # type: ignore[attr-defined]
