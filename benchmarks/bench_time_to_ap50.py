"""Measure the time to an AP50 of 0.5 on `mini`: our trainer against torchvision's FasterRCNN and training recipe.

Both sides have the same backbone (EfficientNet-Lite0, three stages frozen), images, anchors and batches of 8. Both
start from ImageNet weights and are scored on the val split at the end of each epoch. Theirs follows
references/detection/train.py: SGD with momentum 0.9 and weight decay 1e-4, a learning rate of 0.02 / 16 per image of
the batch, warm-up over the first epoch, a tenth of the rate after 16 and 22 of 26 epochs, fp32. Ours is
`coursekit.training.train` with 6 epochs.

Only training counts, not the time for imports and scoring. By default, both sides have our numbers of proposals and
RoIs; with `--rois 512`, theirs has torchvision's.

    python benchmarks/bench_time_to_ap50.py [--seeds 3] [--rois 64|512]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from bench_detector import BATCH, NUMBERS, their_model

from coursekit.data import load
from coursekit.data.augment import mirror
from coursekit.data.loader import make_loader
from coursekit.detector import build_detector
from coursekit.evaluation import predict_dataset, score
from coursekit.training import Evaluate, TrainConfig, train

GOAL, OUR_EPOCHS, THEIR_EPOCHS = 0.5, 6, 26


def main() -> None:
    """Measure both sides with each seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rois", type=int, choices=NUMBERS, default=64)
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "ours":
        print(json.dumps(ours(options.seed)))
        return
    if options.side == "theirs":
        print(json.dumps(theirs(options.seed, options.rois)))
        return
    load("mini", "train")  # drawn before anything is timed
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    for seed in range(options.seeds):
        for side, times in seconds.items():
            command = [sys.executable, __file__, "--side", side, "--seed", str(seed), "--rois", str(options.rois)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            answer = json.loads(done.stdout.splitlines()[-1])
            times.append(answer["seconds"])
            print(f"seed {seed}, {side}: {answer['seconds']:.0f} s, AP50 by epoch {answer['scores']}", flush=True)
    median = {side: statistics.median(times) for side, times in seconds.items()}
    share = median["ours"] / median["theirs"]
    print(
        f"median {median['ours']:.0f} s against {median['theirs']:.0f}: {share:.2f} of the time (target: at most 0.33)"
    )


class GoalReachedError(Exception):
    """The AP50 has reached the goal."""


def ours(seed: int) -> dict[str, Any]:
    """Return the seconds that our trainer takes to the goal (infinite if it isn't reached), and the scores by epoch."""
    train_set, val_set = load("mini", "train"), load("mini", "val")
    torch.manual_seed(seed)
    model = build_detector(num_classes=len(train_set.classes))
    scores: list[float] = []
    seconds: list[float] = []

    class Goal(Evaluate):
        """Stop the run when the goal is reached."""

        def after_step(self, run: Any) -> None:
            """Score the model at the end of an epoch."""
            if run.ends_epoch:
                scores.append(round(score(predict_dataset(model, val_set), val_set)["AP50"], 3))
                seconds.append(run.seconds)
                if scores[-1] >= GOAL:
                    raise GoalReachedError

    try:
        train(model, train_set, TrainConfig(epochs=OUR_EPOCHS, seed=seed), hooks=[Goal(lambda _: {})])
    except GoalReachedError:
        return {"seconds": seconds[-1], "scores": scores}
    return {"seconds": float("inf"), "scores": scores}


def theirs(seed: int, rois: int) -> dict[str, Any]:
    """Return the same for torchvision's model and recipe."""
    train_set, val_set = load("mini", "train"), load("mini", "val")
    torch.manual_seed(seed)
    model = their_model(rois)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02 / 16 * BATCH, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[16, 22], gamma=0.1)
    loader = make_loader(train_set, BATCH, seed=seed, augment=mirror)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.001, total_iters=len(loader) - 1)
    scores, seconds = [], 0.0
    for epoch in range(THEIR_EPOCHS):
        start = time.perf_counter()
        model.train()
        for images, targets in loader.epoch(epoch):
            gt = [{"boxes": target["boxes"], "labels": target["labels"]} for target in targets]
            losses = sum(model([image / 255 for image in images], gt).values())
            if not losses.isfinite():  # references/detection stops the run here, too
                return {"seconds": float("inf"), "scores": [*scores, float("nan")]}
            optimizer.zero_grad()
            losses.backward()
            optimizer.step()
            if epoch == 0:
                warm_up.step()
        schedule.step()
        seconds += time.perf_counter() - start
        scores.append(round(score(predict_dataset(model, val_set), val_set)["AP50"], 3))
        if scores[-1] >= GOAL:
            return {"seconds": seconds, "scores": scores}
    return {"seconds": float("inf"), "scores": scores}


if __name__ == "__main__":
    main()
