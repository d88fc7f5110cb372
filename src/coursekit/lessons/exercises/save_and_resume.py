"""Exercise 8.8, `save_and_resume`: a checkpoint after each step, and a run that resumes exactly."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, load, save

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
    """Run, kill the run in step `killed_in`, and start it again with other weights and other random numbers.

    Its weights at the end are compared with those of the same answer if it is never stopped.
    """
    kills = {"twice": [killed_in, killed_in + 2]}.get(how, [killed_in] if killed_in >= 0 else [])
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        path = Path(folder) / "last.pt"
        if how == "somebody else's":
            return _read_code(answer, path, steps)
        done: list[int] = []
        with _watched(path, Path(other)) as watched:
            for seed, kill in enumerate([*kills, -1]):
                last = _one_run(answer, path, steps, seed, done, kill, how == "while writing", watched.look)
        start = int(kills[:1] == [0])  # a run killed in its first step has left no checkpoint: the next one begins anew
        _, unstopped = _one_run(answer, Path(other) / "never_stopped.pt", steps, start, [])
        return {
            "first step of the last run": last[0],
            "steps done, in order": done,
            "weights at the end, less those of a run never stopped": last[1] - unstopped,
            "files at the end": sorted(
                file.name for file in path.parent.iterdir() if how != "while writing" or file == path
            ),
            "the checkpoint": watched.words(),
        }


class _Watched:
    """Watch a checkpoint: once there is one, it must be complete at any moment."""

    def __init__(self, path: Path, links: Path) -> None:
        self.path, self.links = path, links
        self.was_removed, self.contents = False, list[tuple[Path, bytes]]()

    def look(self) -> None:
        """Keep a second name of the file that is there now: if it is written again, the content changes there, too."""
        if self.path.exists():
            link = self.links / str(len(self.contents))
            with contextlib.suppress(OSError):  # not on every file system
                os.link(self.path, link)
                self.contents.append((link, self.path.read_bytes()))

    def record(self, gone: Any) -> None:
        """Record that a file is removed or renamed."""
        self.was_removed |= Path(os.fsdecode(gone)) == self.path

    def words(self) -> str:
        """Return what happened to the checkpoint."""
        if self.was_removed:
            return "is removed before there is a new one"
        is_same = all(link.read_bytes() == content for link, content in self.contents)
        return "is complete at any moment" if is_same else "is written over, so it isn't complete meanwhile"


@contextlib.contextmanager
def _watched(path: Path, links: Path) -> Iterator[_Watched]:
    """Watch what the block does to a checkpoint; `links` is an empty folder on the same disk."""
    watched = _Watched(path, links)

    def recording(change: Answer) -> Answer:
        def recorded(source: Any, *args: Any, **kwargs: Any) -> Any:
            watched.record(source)
            return change(source, *args, **kwargs)

        return recorded

    names = ("remove", "unlink", "rename", "replace")
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(os, name, recording(getattr(os, name))))
        yield watched


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
    answer: Answer,
    path: Path,
    steps: int,
    seed: int,
    done: list[int],
    kill: int = -1,
    writing: bool = False,
    look: Callable[[], None] = lambda: None,
) -> tuple[Any, Tensor]:
    """Return what the answer returned, or "killed", and the weights. Add the steps it took to `done`.

    `look` is called at the start of each step.
    """
    model = SmallModel()
    with torch.no_grad():
        model.layer.weight.add_(seed)  # a resumed run starts from other weights
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(seed)

    def train_step(step: int) -> None:
        look()
        if step == kill and not writing:
            raise KilledError
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        images, targets = draw_batch(3, step)
        total(model(images + torch.rand(3, 3), targets)).backward()
        optimizer.step()
        done.append(step)

    with _killed_while_saving(kill) if writing else contextlib.nullcontext():
        try:
            return answer(path, model, optimizer, train_step, steps), model.weights()
        except KilledError:
            return "killed", model.weights()


def _killed_while_saving(number: int) -> Any:
    """End the run in `torch.save` while it writes checkpoint `number`, counted from 0: when its file is open, and empty."""
    write, saved = torch.serialization._save, [0]

    def write_or_die(*args: Any, **kwargs: Any) -> Any:
        saved[0] += 1
        if saved[0] == number + 1:
            raise KilledError
        return write(*args, **kwargs)

    return patch.object(torch.serialization, "_save", write_or_die)  # also of a `save` that was imported from torch


def run(
    path, model, optimizer, train_step, steps, *, left_out=(), look=True, weights_only=True, offset=1, save_at="each",
    write="beside", result="first", first_of_all=False,
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
        if (save_at == "end" and step < steps - 1) or (save_at == "first" and step > first):
            continue
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
        partial = path if write == "over it" else path.with_suffix(".partial")
        if write == "after removing it":
            path.unlink(missing_ok=True)
        torch.save(content | {"step": step + offset}, partial)
        if write == "a copy":
            shutil.copy(partial, path)
            partial.unlink()
            continue
        if write == "bytes":
            path.write_bytes(partial.read_bytes())
            partial.unlink()
            continue
        if write == "removed before renaming":
            path.unlink(missing_ok=True)
        if write == "the old one aside" and path.exists():
            path.rename(path.with_suffix(".old"))
        if write not in ("left beside", "over it"):
            partial.replace(path)
        path.with_suffix(".old").unlink(missing_ok=True)
        if write == "a file for each step":
            torch.save(content, path.with_name(f"step-{step}.pt"))
    return {"first": 0 if first_of_all else first, "steps": steps, "nothing": None}[result]


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


def wrong_step_by_step_from_0(path, model, optimizer, train_step, steps):
    first = torch.load(path, weights_only=True)["step"] if path.exists() else 0
    return run(path, model, optimizer, lambda step: train_step(step - first), steps)


def wrong_returns_nothing(path, model, optimizer, train_step, steps):
    save_and_resume(path, model, optimizer, train_step, steps)


def right_with_an_imported_save(path, model, optimizer, train_step, steps):
    first, beside = 0, path.with_name("next.pt")
    if path.exists():
        state = load(f=str(path), weights_only=True)
        first = state.pop("next")
        model.load_state_dict(state_dict=state["model"])
        optimizer.load_state_dict(state_dict=state["sgd"])
        torch.set_rng_state(new_state=state["rng"])
    for step in range(first, steps):
        train_step(step)
        state = {"model": model.state_dict(), "sgd": optimizer.state_dict(), "rng": torch.get_rng_state()}
        save(obj=state | {"next": step + 1}, f=beside)
        os.replace(beside, path)  # noqa: PTH105
    return first


def right_with_a_seed_for_each_step(path, model, optimizer, train_step, steps):
    done = 0
    if path.exists():
        model_state, optimizer_state, done = torch.load(path)
        model.load_state_dict(model_state)
        optimizer.load_state_dict(optimizer_state)
    for step in range(done, steps):
        torch.manual_seed(step)
        train_step(step)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            torch.save((model.state_dict(), optimizer.state_dict(), step + 1), file)
        shutil.move(file.name, path)
    return done


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
        Wrong(
            changed(write="a copy"),
            "the new checkpoint is copied over the old one: a copy isn't complete at any moment",
        ),
        Wrong(
            changed(write="removed before renaming"),
            "the old checkpoint is removed before the new one is renamed: killed in between, there is none",
        ),
        Wrong(changed(write="left beside"), "the new checkpoint is never renamed, so it is never read"),
        Wrong(
            wrong_only_weights_and_step, "only weights and step are restored: not the optimizer, nor the random numbers"
        ),
        Wrong(wrong_returns_nothing, "it returns nothing: return the first step that it took"),
        Wrong(changed(first_of_all=True), "it returns 0, though it resumes later: return the first step that it took"),
        Wrong(changed(save_at="first"), "it saves only once, after the first step"),
        Wrong(wrong_step_by_step_from_0, "train_step is called with the steps of this call, counted from 0 again"),
        Wrong(changed(write="bytes")),
        Wrong(changed(write="the old one aside")),
        Wrong(wrong_removes_it_first),
    ),
    right=(right_as_a_list, right_with_an_imported_save, right_with_a_seed_for_each_step),
)
