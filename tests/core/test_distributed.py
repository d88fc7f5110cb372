"""Train with two processes under torchrun, with gloo."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from coursekit.core import distributed
from coursekit.training.hooks import read_metrics


def test_a_single_process_communicates_with_nobody():
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.all_gather([3, 4]) == [[3, 4]]
    assert distributed.gather_all({"a": 1.0}) == [{"a": 1.0}]
    assert distributed.gather_lists([1, 2]) == [1, 2]
    assert distributed.broadcast("x") == "x"
    tensor = torch.ones(2)
    distributed.all_reduce_sum([tensor])
    assert tensor.tolist() == [1, 1]


def _arguments(folder, out):
    return ["train", "--data", str(folder), "--out", str(out), "--epochs", "2", "--batch", "3", "--size", "64",
            "--precision", "fp32"]  # fmt: skip


def _train_in_two_processes(folder, out):
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command = [sys.executable, *launcher, "-m", "coursekit", *_arguments(folder, out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


@pytest.mark.slow
def test_two_processes_compute_the_losses_of_one(coco_folder, tmp_path, coursekit):
    alone = coursekit(*_arguments(coco_folder, tmp_path / "1"))
    assert alone.returncode == 0, alone.stderr[-3000:]
    done = _train_in_two_processes(coco_folder, tmp_path / "2")
    assert done.returncode == 0, done.stderr[-3000:]
    single, double = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("1", "2"))
    assert sum("loss" in line for line in single) >= 2
    assert any("AP" in line for line in single)
    assert [line["step"] for line in single] == [line["step"] for line in double]
    for first, second in zip(single, double, strict=True):
        if "loss" in first:
            assert first["loss"] == pytest.approx(second["loss"], rel=1e-3)
            assert first["images"] == second["images"]
        elif "AP" in first:
            assert first["AP"] == pytest.approx(second["AP"], abs=1e-3)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("1", "2")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_if_one_process_fails_all_end_with_its_message(coco_folder, tmp_path):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = "gone.jpg"
    path.write_text(json.dumps(content))
    done = _train_in_two_processes(coco_folder, tmp_path / "out")
    assert done.returncode != 0
    assert "gone.jpg" in done.stderr
