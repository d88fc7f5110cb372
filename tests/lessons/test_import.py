"""The first cell of a notebook imports little besides torch and torchvision."""

import json
import subprocess
import sys

CODE = """
import json, sys
from coursekit.lessons import check
print(json.dumps(sorted(sys.modules)))
"""
# What takes long to import, and is used later if at all: 0.1 to 2 s each.
LATER = {"timm", "matplotlib", "huggingface_hub", "httpx2", "ipywidgets", "scipy", "pandas"}


def test_what_is_used_later_is_imported_later():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert {"torch", "torchvision"} < modules
    assert not LATER & modules
