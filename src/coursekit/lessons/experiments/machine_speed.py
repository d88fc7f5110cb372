"""How fast is this machine at what detectors do most: matrix products?"""

import time

import torch

from coursekit.core.device import best_device

SIDE, TIMES = 1024, 20


def operations_per_second(side: int = SIDE, times: int = TIMES) -> float:
    """Time products of two matrices, print the result, and return operations per second.

    Args:
        side: rows and columns of the matrices. A product takes 2 · side³ operations: as many additions as products.
        times: how many products to time.
    """
    device = best_device()
    matrix = torch.randn(side, side, device=device)
    for _ in range(3):
        (matrix @ matrix).sum().item()  # warm up; .item() waits until a GPU has finished
    start = time.perf_counter()
    for _ in range(times):
        product = matrix @ matrix
    product.sum().item()
    seconds = (time.perf_counter() - start) / times
    rate = 2 * side**3 / seconds
    print(f"{side} × {side} matrices on the {_name(device)}: a product takes {1e3 * seconds:.2f} ms,")
    print(f"that is {rate / 1e9:,.0f} billion operations per second")
    return rate


def _name(device: torch.device) -> str:
    return "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
