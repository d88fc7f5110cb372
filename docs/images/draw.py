"""Draw the pictures of README and the guides anew, from the lessons' own figures.

    coursekit lessons run solutions --lesson 4
    coursekit lessons run solutions --lesson 7
    python docs/images/draw.py runs/lessons

`predictions.png` is the picture that `coursekit demo` writes.
"""

import base64
import io
import json
import re
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from coursekit.core.errors import CourseError
from coursekit.lessons.course import LESSONS
from coursekit.show import course_map

HERE = Path(__file__).parent
FIGURES = {"anchors": ("04_anchors.ipynb", "A scene twice: with"), "faults": ("07_the_detector.ipynb", "Bars of AP50")}
COLORS = 256


def main(executed: Path) -> None:
    """Write map.png, and the figures of FIGURES from the executed notebooks in a folder. Print their alt texts."""
    _write("map", _rendered(course_map(dict.fromkeys(LESSONS, (1, 1)))))
    for name, (notebook, alt) in FIGURES.items():
        _write(name, _figure(executed / notebook, alt))


def _figure(notebook: Path, alt: str) -> bytes:
    """Return the first figure of an executed notebook whose alt text starts like this."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            page = "".join(output.get("data", {}).get("text/html", ""))
            found = re.search(rf'<img alt="({re.escape(alt)}[^"]*)".*?base64,([^"]+)"', page)
            if found:
                print(found[1])
                return base64.b64decode(found[2])
    raise CourseError(f"{notebook}: has no figure whose alt text starts with {alt!r}. Run the lesson first.")


def _rendered(fig: Figure) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def _write(name: str, picture: bytes) -> None:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLORS, method=Image.Quantize.MEDIANCUT).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
