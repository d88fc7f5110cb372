"""Training runs too small to keep all cores busy, several at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from tqdm.auto import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], title: str = "runs") -> list[Result]:
    """Call a function with each item: as many calls at a time as torch has threads, one thread each.

    On small feature maps, threads that share an operation wait for each other most of the time. Two runs don't.

    Args:
        work: draws random numbers from generators of its own. Torch's global generator would serve all calls in turns,
            in an order that changes from run to run. So draw what needs it, such as initial weights, beforehand.
        items: one for each call.
        title: title of the progress bar.

    Returns:
        The result for each item, in order. An error in a call is raised here once the running calls are done.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(tqdm(pool.map(work, items), title, len(items), unit="run"))
    finally:
        torch.set_num_threads(threads)
