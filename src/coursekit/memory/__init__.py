"""How much memory a training step takes, and what fits on a card.

To read: setting, counter, guess, predict; then budget, fits, tables, picture, calibrate and plan.
"""

from coursekit.memory.budget import Constants, load_constants, usable
from coursekit.memory.calibrate import calibrate
from coursekit.memory.counter import MemoryCounter
from coursekit.memory.fits import Plan, advice, make_plan
from coursekit.memory.picture import b3_picture
from coursekit.memory.plan import plan_command
from coursekit.memory.predict import peak_of, predict
from coursekit.memory.setting import Peak, Setting
from coursekit.memory.tables import as_json, markdown_table

__all__ = [
    "Constants", "MemoryCounter", "Peak", "Plan", "Setting", "advice", "as_json", "b3_picture",
    "calibrate", "load_constants", "make_plan", "markdown_table", "peak_of", "plan_command", "predict", "usable",
]  # fmt: skip
