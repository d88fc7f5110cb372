"""Train a detector: the loop, its step, hooks, checkpoints."""

from coursekit.core.config import DetectorConfig, TrainConfig
from coursekit.training.hooks import Checkpoints, Evaluate, Hook, Log
from coursekit.training.loop import train
from coursekit.training.optimizer import make_optimizer, warmup_cosine
from coursekit.training.run_state import Run, Step

__all__ = [
    "Checkpoints",
    "DetectorConfig",
    "Evaluate",
    "Hook",
    "Log",
    "Run",
    "Step",
    "TrainConfig",
    "make_optimizer",
    "train",
    "warmup_cosine",
]  # fmt: skip
