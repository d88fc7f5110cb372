"""Does `save_and_resume` resume exactly? Three runs of a detector: undisturbed, killed, and resumed."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.data import CocoDataset

SaveAndResume = Callable[[Path, dict[str, Any], Callable[[int], Any], int], int]
BATCH, LR = 4, 1e-4


class KilledError(Exception):
    """Stands for whatever ends a run."""


@dataclass
class Process:
    """What a process of a run holds: a copy of a detector, its optimizer, and two batches of images.

    Args:
        detector: stays as it is.
        dataset: has at least one image.
        seed: of the random numbers; another process has others. If it isn't 0, the weights are other ones, too.
        killed_in: the step in which it ends; -1 for none.
    """

    detector: nn.Module
    dataset: CocoDataset
    seed: int
    killed_in: int = -1

    def __post_init__(self) -> None:
        self.model = copy.deepcopy(self.detector).train()
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, LR)
        with torch.no_grad():
            for parameter in self.trained:
                parameter.add_(0.1 * self.seed)
        torch.manual_seed(self.seed)

    def train_step(self, step: int) -> None:
        """Take a step on one of the batches."""
        if step == self.killed_in:
            raise KilledError
        start = step % 2 * BATCH
        samples = [self.dataset[n % len(self.dataset)] for n in range(start, start + BATCH)]
        losses = self.model([image / 255 for image, _ in samples], [target for _, target in samples])
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self.optimizer.step()

    def run(self, save_and_resume: SaveAndResume, path: Path, steps: int) -> int:
        """Train with checkpoints in `path`. Return the first step that was taken."""
        return save_and_resume(path, {"model": self.model, "optimizer": self.optimizer}, self.train_step, steps)

    def weights(self) -> Tensor:
        """Return all weights that learn, (N,)."""
        return torch.cat([parameter.detach().flatten() for parameter in self.trained])


def _left(checkpoint: Path) -> str:
    """Return in words which files a killed run has left."""
    names = sorted(path.name for path in checkpoint.parent.iterdir())
    return ", ".join(f"{name}, its checkpoint" if name == checkpoint.name else name for name in names) or "nothing"


def prove(
    save_and_resume: SaveAndResume, detector: nn.Module, dataset: CocoDataset, *, steps: int, killed_in: int
) -> None:
    """Run a detector to the end, kill a second run, resume it, and print whether both end with the same weights.

    Args:
        save_and_resume: the function to use, such as your own.
        detector: where the runs begin; it stays as it is.
        dataset: its first eight images are used.
        steps: steps of a run.
        killed_in: the step in which the second run is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, other = Process(detector, dataset, seed=0), Path(folder) / "other" / "checkpoint.pt"
        other.parent.mkdir()
        undisturbed.run(save_and_resume, Path(folder) / "undisturbed.pt", steps)
        try:
            Process(detector, dataset, seed=0, killed_in=killed_in).run(save_and_resume, other, steps)
        except KilledError:
            print(f"killed in step {killed_in}; left: {_left(other)}")
        resumed = Process(detector, dataset, seed=1)
        first = resumed.run(save_and_resume, other, steps)
    same = int((undisturbed.weights() == resumed.weights()).sum())
    print(f"resumed with step {first} of {steps}")
    print(f"{same:,} of {len(resumed.weights()):,} trained weights are the same to the last bit")
