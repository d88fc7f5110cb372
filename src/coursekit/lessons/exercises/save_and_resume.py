"""Exercise 8.8, `save_and_resume`: a checkpoint after each step, and a run that resumes exactly."""

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from coursekit.from_scratch.training import save_and_resume
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.small_model import SmallModel, draw_batch, total


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a run that is never stopped", 2)
    yield case("a run of no steps", 0)
    yield case("a run killed in its third step", 4, 2)
    yield case("a run killed in its first step", 2, 0)
    yield case("a run killed while it writes its second checkpoint", 4, 1, "while writing")
    yield case("a finished run, called again", 2, 2)
    yield case("a run killed twice", 5, 1, "twice")
    yield case("a checkpoint that runs code when it is read", 2, -1, "somebody else's")


class KilledError(BaseException):
    """End a run. Derived from BaseException, since answers may catch Exception."""


class Code:
    """Make a folder when the pickle that holds this object is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def call(answer: Answer, steps: int, killed_in: int = -1, how: str = "between steps") -> Any:
    """Run, kill the run in step `killed_in`, and start it again with other weights and other random numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pt"
        if how == "somebody else's":
            return _read_code(answer, path, steps)
        kills = {"twice": [killed_in, killed_in + 2]}.get(how, [killed_in] if killed_in >= 0 else [])
        done: list[int] = []
        for seed, kill in enumerate([*kills, -1]):
            first, weights = _one_run(answer, path, steps, seed, done, kill, how == "while writing")
        return {
            "first step of the last run": first,
            "steps done, in order": done,
            "weights at the end": weights,
            "files at the end": sorted(file.name for file in path.parent.iterdir()),
        }


def _read_code(answer: Answer, path: Path, steps: int) -> dict[str, bool]:
    """Start a run from a checkpoint with code in it, and return whether the answer refused it or ran the code."""
    folder = path.with_name("ran")
    torch.save({"model": Code(folder)}, path)
    refused = False
    try:
        _one_run(answer, path, steps, 0, [])
    except Exception:
        refused = True
    return {"refused": refused, "its code was run": folder.exists()}


def _one_run(
    answer: Answer, path: Path, steps: int, seed: int, done: list[int], kill: int = -1, writing: bool = False
) -> tuple[Any, Tensor]:
    """Return what the answer returned, or "killed", and the weights. Add the steps it took to `done`."""
    model = SmallModel()
    with torch.no_grad():
        model.layer.weight.add_(seed)  # a resumed run starts from other weights
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(seed)

    def train_step(step: int) -> None:
        if step == kill and not writing:
            raise KilledError
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        images, targets = draw_batch(3, step)
        total(model(images + torch.rand(3, 3), targets)).backward()
        optimizer.step()
        done.append(step)

    with patch.object(torch, "save", _save_half_of(kill) if writing else torch.save):
        try:
            return answer(path, model, optimizer, train_step, steps), model.weights()
        except KilledError:
            return "killed", model.weights()


def _save_half_of(number: int) -> Answer:
    """Return a `torch.save` that writes half of its checkpoint `number`, counted from 0, and ends the run."""
    save, saved = torch.save, [0]

    def save_half(content: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        saved[0] += 1
        if saved[0] != number + 1:
            return save(content, file, *args, **kwargs)
        whole = io.BytesIO()
        save(content, whole)
        half = whole.getvalue()[: len(whole.getvalue()) // 2]
        if hasattr(file, "write"):
            file.write(half)
        else:
            Path(file).write_bytes(half)
        raise KilledError

    return save_half


def run(
    path, model, optimizer, train_step, steps, *, left_out=(), look=True, weights_only=True, offset=1, save_at="each",
    write="beside", result="first",
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    first = 0
    if path.exists() and look:
        content = torch.load(path, weights_only=weights_only)
        model.load_state_dict(content["model"])
        if "optimizer" not in left_out:
            optimizer.load_state_dict(content["optimizer"])
        if "random" not in left_out:
            torch.set_rng_state(content["random"])
        first = 0 if "step" in left_out else content["step"]
    for step in range(first, steps):
        train_step(step)
        if save_at == "end" and step < steps - 1:
            continue
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
        partial = path if write == "over it" else path.with_suffix(".partial")
        if write == "after removing it":
            path.unlink(missing_ok=True)
        torch.save(content | {"step": step + offset}, partial)
        partial.replace(path)
        if write == "a file for each step":
            torch.save(content, path.with_name(f"step-{step}.pt"))
    return {"first": first, "steps": steps, "nothing": None}[result]


def changed(**how):
    """Return an answer that calls `run` with changed keyword arguments."""
    return lambda *args: run(*args, **how)


def wrong_seeded_again(path, model, optimizer, train_step, steps):
    torch.manual_seed(0)
    return run(path, model, optimizer, train_step, steps, left_out=("random",))


def wrong_only_at_the_end(path, model, optimizer, train_step, steps):
    return run(path, model, optimizer, train_step, steps, save_at="end")


def wrong_only_weights_and_step(path, model, optimizer, train_step, steps):
    return run(path, model, optimizer, train_step, steps, left_out=("optimizer", "random"))


def wrong_removes_it_first(path, model, optimizer, train_step, steps):
    return run(path, model, optimizer, train_step, steps, write="after removing it")


def wrong_returns_nothing(path, model, optimizer, train_step, steps):
    save_and_resume(path, model, optimizer, train_step, steps)


def right_as_a_list(path, model, optimizer, train_step, steps):
    first = 0
    if path.is_file():
        weights, moments, rng_state, first = torch.load(path, weights_only=True, map_location="cpu")
        torch.random.set_rng_state(rng_state)
        optimizer.load_state_dict(moments)
        model.load_state_dict(weights)
    done = first
    while done < steps:
        train_step(done)
        done += 1
        beside = path.parent / (path.name + ".tmp")
        with beside.open("wb") as file:
            torch.save([model.state_dict(), optimizer.state_dict(), torch.random.get_rng_state(), done], file)
        beside.replace(path)
    return first


EXERCISE = Exercise(
    "save_and_resume",
    lesson=8,
    minutes=15,
    reference=save_and_resume,
    cases=cases,
    call=call,
    tolerance=1e-7,
    hints=(
        "“It resumes, but ends with other weights.” What else was in memory when it was stopped? The optimizer remembers "
        "earlier gradients, and torch has the state of its random numbers. “step” is the number of the next step.",
        "“Killed while it writes, it can't resume.” If you torch.save into the checkpoint itself, the old one is destroyed "
        "first. Write into another file in the same folder, then call partial.replace(path): that happens completely or not "
        "at all.",
        "“Nearly there.” If path.exists(): content = torch.load(path, weights_only=True); load_state_dict twice; "
        "torch.set_rng_state(content[…]); first = content[…]. Then for step in range(first, steps): train_step(step); a dict of "
        "both state_dict()s, torch.get_rng_state() and step + 1; save it beside, then replace. Return first.",
    ),
    wrong=(
        Wrong(changed(left_out=("optimizer",)), "the optimizer's state is not restored: its momentum starts from 0"),
        Wrong(changed(left_out=("random",)), "the state of the random numbers is not restored"),
        Wrong(wrong_seeded_again, "the same seed is set again: the random numbers of the first steps are repeated"),
        Wrong(changed(left_out=("step",)), "the number of the step is not restored: the run takes too many steps"),
        Wrong(changed(offset=0), "the last step is repeated: store the number of the next one"),
        Wrong(changed(offset=2), "a step is skipped after resuming"),
        Wrong(changed(write="over it"), "the checkpoint is overwritten: if the run is killed meanwhile, there is none"),
        Wrong(changed(weights_only=False), "the file is read with weights_only=False, so it may run any code"),
        Wrong(changed(look=False), "the checkpoint is not read: the run starts from the beginning"),
        Wrong(wrong_only_at_the_end, "it saves once, at the end: a run that is killed loses everything"),
        Wrong(changed(write="a file for each step"), "a file is kept for each step: the disk fills up"),
        Wrong(changed(result="steps"), "it returns the number of steps, not the first step that it took"),
        Wrong(wrong_only_weights_and_step),
        Wrong(wrong_removes_it_first),
        Wrong(wrong_returns_nothing),
    ),
    right=(right_as_a_list,),
)
