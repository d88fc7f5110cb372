import time
from types import SimpleNamespace

from torch import nn

from coursekit.detector.frozen_maps import FrozenMaps
from coursekit.runs.fit_epochs import FIRST, LAST, LEAST_EPOCHS, FitEpochs
from coursekit.training import TrainConfig

STEP, IMAGE = 0.1, 0.05  # seconds of a step without the backbone, and of an image in the backbone


def _fitted(seconds, *, most=100, flip=True, val_images=0, frozen=True):
    """Take the steps of a run with 60 steps of 4 images in an epoch, each of which is new to the backbone."""
    maps = FrozenMaps(nn.Identity())
    run = SimpleNamespace(
        steps=0,
        seconds=0.0,
        config=TrainConfig(epochs=most, batch_size=4, flip=flip),
        loader=_Loader(),
        model=SimpleNamespace(backbone=SimpleNamespace(body=maps if frozen else nn.Identity())),
        events=[],
    )

    hook = FitEpochs(time.monotonic() + seconds, most, val_images)
    for number in range(1, LAST + 5):
        slow = 20 if number < FIRST else 1  # the first steps are slow, and don't count
        maps.computed, maps.seconds = 4 * number, 4 * IMAGE * number
        run.steps = number
        took = slow * STEP + 4 * IMAGE if frozen else slow * STEP
        run.seconds += took
        hook.after_step(run)
    return hook, run


class _Loader:
    dataset = range(240)

    def __len__(self):
        return 60


def test_the_epochs_fit_into_the_time():
    new = (2 * 240 - 4 * LAST) * IMAGE  # images and their mirror images that the backbone has not seen
    hook, run = _fitted(new - LAST * STEP + 7.5 * 60 * STEP)
    assert (hook.epochs, run.config.epochs) == (7, 7)
    assert "--epochs 7" in run.events[0]
    assert len(run.events) == 1


def test_without_mirror_images_and_with_images_to_evaluate():
    fixed = (240 - 4 * LAST) * IMAGE + 120 * (IMAGE + STEP / 4)
    assert _fitted(fixed - LAST * STEP + 5.5 * 60 * STEP, flip=False, val_images=120)[0].epochs == 5


def test_without_frozen_maps_a_step_is_all_there_is():
    assert _fitted(5.5 * 60 * STEP - LAST * STEP, frozen=False, flip=False)[0].epochs == 5


def test_there_are_no_more_epochs_than_wanted_and_no_fewer_than_the_least():
    assert _fitted(1e6, most=9)[0].epochs == 9
    hook, run = _fitted(-5.0)
    assert hook.epochs == run.config.epochs == LEAST_EPOCHS
    assert "the least" in run.events[0]
