"""Predict the memory of a training step, and plan what fits on a GPU.

Read in this order: step_config, counter, without_data, predict; then budget, planner, tables, picture and calibrate.
"""

from coursekit.memory.b3_picture import b3_picture
from coursekit.memory.budget import Constants, load_constants, usable
from coursekit.memory.calibrate import calibrate
from coursekit.memory.counter import MemoryCounter
from coursekit.memory.plan_tables import as_json, markdown_table
from coursekit.memory.planner import Plan, advice, make_plan
from coursekit.memory.predict_peak import peak_of, predict
from coursekit.memory.step_config import Peak, StepConfig

__all__ = [
    "Constants", "MemoryCounter", "Peak", "Plan", "StepConfig", "advice", "as_json", "b3_picture",
    "calibrate", "load_constants", "make_plan", "markdown_table", "peak_of", "predict", "usable",
]  # fmt: skip
