"""What the commands do: train, load, predict, and the demo."""

from coursekit.runs.run_config import RunConfig, load_config, save_config
from coursekit.runs.save_and_load import build, load_run, save_run

__all__ = ["RunConfig", "build", "load_config", "load_run", "save_config", "save_run"]
