"""From a detector and a data set to a trained detector."""

from coursekit.training.loop import Settings, Step, train, warmup_cosine
from coursekit.training.run import DetectorConfig, RunConfig, load_run, save_run

__all__ = ["DetectorConfig", "RunConfig", "Settings", "Step", "load_run", "save_run", "train", "warmup_cosine"]
