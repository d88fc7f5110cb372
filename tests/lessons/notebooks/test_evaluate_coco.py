"""The script that `lessons copy` puts beside the notebooks: COCO's numbers without the course."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from coursekit.core.files import shipped
from coursekit.data import load
from coursekit.evaluation import score, to_coco_results
from coursekit.lessons.experiments.lesson07_run import stand_in

SCRIPT = shipped("course") / "evaluate_coco.py"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder that holds pycocotools and NumPy, which it needs, and no other package."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("numpy", "pycocotools"):
        package = Path(find_spec(name).origin).parent
        for path in (package, package.parent / f"{name}.libs"):
            if path.exists():
                (folder / path.name).symlink_to(path)
    return folder


def _run(alone, *args):
    """Run the script where nothing can be imported but Python's own modules and `alone`."""
    code = (
        f"import sys; sys.path.insert(0, {str(alone)!r}); sys.argv = {[str(SCRIPT), *map(str, args)]!r}\n"
        f"exec(compile(open(sys.argv[0], encoding='utf-8').read(), sys.argv[0], 'exec'))\n"
        f"assert 'coursekit' not in sys.modules and 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_it_gives_coco_s_numbers_with_only_pycocotools_to_import(alone, tmp_path):
    dataset = load("mini", "val").head(12)
    results = to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids)
    for name, content in (("truth.json", dataset.ground_truth()), ("found.json", results)):
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    done = _run(alone, tmp_path / "truth.json", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    printed = [float(line.split("=")[-1]) for line in done.stdout.splitlines() if "@[" in line]
    assert printed == pytest.approx(list(score(results, dataset).values()), abs=5e-4)
    assert len(printed) == 12


def test_nothing_else_can_be_imported_there(alone):
    assert subprocess.run([sys.executable, "-I", "-S", "-c", "import coursekit"], check=False).returncode != 0


def test_without_files_it_says_how_to_call_it(alone):
    done = _run(alone)
    assert done.returncode == 1
    assert "usage: python evaluate_coco.py ground_truth.json detections.json" in done.stderr


def test_the_lesson_shows_the_same_lines():
    """What lesson 09 runs is what the script does."""
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.startswith(("evaluator", "from"))]
    notebook = json.loads((shipped("course") / "09_evaluation.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert any(all(line in cell for line in lines) for cell in cells)
