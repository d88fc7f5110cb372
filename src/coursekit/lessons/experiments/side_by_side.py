"""Trainings too small to keep all cores busy: several at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from tqdm.auto import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], title: str = "runs") -> list[Result]:
    """Call a function with each item, under a bar: as many at a time as torch has threads, each with one thread.

    With small maps, threads that share an operation wait for each other most of the time. Two runs don't.

    Args:
        work: draws from generators of its own. Torch's common one would serve all of them by turns, in an order that is
            luck; so what is drawn from it, such as a model's first weights, is drawn before.
        items: one for each call.
        title: of the bar.

    Returns:
        What came of each, in the order of the items. An error of one of them is raised, when those under way are done.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(tqdm(pool.map(work, items), title, len(items), unit="run"))
    finally:
        torch.set_num_threads(threads)
