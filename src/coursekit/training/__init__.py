"""From a detector and a data set to a trained detector."""

from coursekit.training.hooks import Checkpoints, Evaluate, Hook, Log
from coursekit.training.loop import train
from coursekit.training.optimizer import make_optimizer, warmup_cosine
from coursekit.training.run import DetectorConfig, RunConfig, load_run, save_run
from coursekit.training.settings import Settings
from coursekit.training.state import Run, Step

__all__ = [
    "Checkpoints", "DetectorConfig", "Evaluate", "Hook", "Log", "Run", "RunConfig", "Settings", "Step", "load_run",
    "make_optimizer", "save_run", "train", "warmup_cosine",
]  # fmt: skip
