"""Two processes under torchrun, with gloo."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from coursekit.core import distributed
from coursekit.training.hooks import read_metrics


def test_with_one_process_nothing_happens():
    assert (distributed.rank(), distributed.world()) == (0, 1)
    assert distributed.gathered([3, 4], torch.device("cpu")).tolist() == [[3, 4]]
    assert distributed.added({"a": 1.0}) == {"a": 1.0}
    assert distributed.collected([1, 2]) == [1, 2]
    assert distributed.told("x") == "x"
    tensor = torch.ones(2)
    distributed.summed([tensor])
    assert tensor.tolist() == [1, 1]


def _train(folder, out, processes, *more):
    words = ["train", "--data", str(folder), "--out", str(out), "--epochs", "2", "--batch", "3", "--size", "64",
             "--precision", "fp32", *more]  # fmt: skip
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "coursekit", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


def test_two_processes_give_the_losses_of_one(coco_folder, tmp_path):
    for processes in (1, 2):
        done = _train(coco_folder, tmp_path / str(processes), processes)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("1", "2"))
    assert sum("loss" in line for line in one) >= 2
    assert any("AP" in line for line in one)
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for first, second in zip(one, two, strict=True):
        if "loss" in first:
            assert first["loss"] == pytest.approx(second["loss"], rel=1e-3)
            assert first["images"] == second["images"]
        elif "AP" in first:
            assert first["AP"] == pytest.approx(second["AP"], abs=1e-3)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("1", "2")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-2, atol=1e-3)


def test_where_one_process_fails_all_end_with_its_message(coco_folder, tmp_path):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = "gone.jpg"
    path.write_text(json.dumps(content))
    done = _train(coco_folder, tmp_path / "out", 2)
    assert done.returncode != 0
    assert "gone.jpg" in done.stderr
