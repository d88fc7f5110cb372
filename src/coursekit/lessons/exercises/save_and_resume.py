"""Exercise 10.4, `save_and_resume`: a checkpoint after each step, and a run that resumes exactly."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import load, save
from torch.cuda import get_rng_state_all, set_rng_state_all

from coursekit.from_scratch.training import save_and_resume
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.pretended_cuda_random import pretended_cuda
from coursekit.lessons.recording_model import SmallModel, draw_batch, total


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a run that is never stopped", 2)
    yield case("a run of no steps", 0)
    yield case("a run killed in its third step", 4, 2)
    yield case("a run killed in its first step", 2, 0)
    yield case("a run killed while it writes its second checkpoint", 4, 1, "while writing")
    yield case("a finished run, called again", 2, 2)
    yield case("a run killed twice, whose parts have other names", 5, 1, "twice")
    yield case("a run with a scaler, for float16, killed in its third step", 4, 2, "with a scaler")
    yield case("a run on a GPU (here a pretended one), killed in its third step", 4, 2, "on a GPU")
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

    Its state at the end is compared with that of the same answer if it is never stopped.
    """
    kills = {"twice": [killed_in, killed_in + 2]}.get(how, [killed_in] if killed_in >= 0 else [])
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as other,
        pretended_cuda(how == "on a GPU") as gpus,
    ):
        path = Path(folder) / "last.pt"
        if how == "somebody else's":
            return _read_code(answer, path, steps)
        with _watched(path, Path(other)) as watched:
            runs = [_Run(seed, how, gpus, watched.look) for seed in range(len(kills) + 1)]
            for run, kill in zip(runs, [*kills, -1], strict=True):
                first = run.start(answer, path, steps, kill)
        anew = int(kills[:1] == [0])  # a run killed in its first step has left no checkpoint: the next one begins anew
        unstopped = _Run(anew, how, gpus)
        unstopped.start(answer, Path(other) / "never_stopped.pt", steps)
        return {
            "first step of the last run": first,
            "steps done, in order": [step for run in runs for step in run.done],
            "weights at the end, less those of a run never stopped": runs[-1].model.weights()
            - unstopped.model.weights(),
            **({"loss scale at the end": runs[-1].scaler.get_scale()} if how == "with a scaler" else {}),
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
        _Run(0).start(answer, path, steps)
    except Exception:
        refused = True
    return {"refused": refused, "its code was run": folder.exists()}


class _Run:
    """One process of a run: a small model, its optimizer and scaler, and the random numbers that a step draws.

    Args:
        seed: of the random numbers; the model's weights are different, too, as a resumed run's may be.
        how: what is special about the case.
        gpus: generators of pretended GPUs, from which each step draws as well.
        look: called at the start of each step.

    Attributes:
        done: the steps it took.
    """

    def __init__(
        self,
        seed: int,
        how: str = "",
        gpus: Sequence[torch.Generator] = (),
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.how, self.gpus, self.look = SmallModel(), how, gpus, look
        with torch.no_grad():
            self.model.layer.weight.add_(seed)
        self.optimizer = torch.optim.SGD(self.model.layer.parameters(), lr=0.1, momentum=0.9)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2, enabled=how == "with a scaler")
        self.seed, self.done = seed, list[int]()

    def parts(self) -> dict[str, Any]:
        """Return the objects whose state belongs into the checkpoint, by name."""
        if self.how == "twice":
            return {"detector": self.model, "sgd": self.optimizer}
        scaler = {"scaler": self.scaler} if self.how == "with a scaler" else {}
        return {"model": self.model, "optimizer": self.optimizer} | scaler

    def start(self, answer: Answer, path: Path, steps: int, kill: int = -1) -> Any:
        """Return what the answer returned, or "killed"."""
        torch.manual_seed(self.seed)

        def train_step(step: int) -> None:
            self.look()
            if step == kill and self.how != "while writing":
                raise KilledError
            self._step(step)

        with _killed_while_saving(kill) if self.how == "while writing" else contextlib.nullcontext():
            try:
                return answer(path, self.parts(), train_step, steps)
            except KilledError:
                return "killed"

    def _step(self, step: int) -> None:
        self.optimizer.zero_grad()
        self.optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        images, targets = draw_batch(3, step)
        noise = sum((torch.rand(3, 3, generator=gpu) for gpu in self.gpus), torch.rand(3, 3))
        self.scaler.scale(total(self.model(images + noise, targets))).backward()
        with patch.object(torch.cuda, "is_available", bool):  # older optimizers would look at a real GPU
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.done.append(step)


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
    path, parts, train_step, steps, *, left_out=(), named=None, look=True, weights_only=True, offset=1,
    save_at="each", write="beside", result="first", first_of_all=False,
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    first = 0
    restored = {name: part for name, part in parts.items() if name not in left_out and (named is None or name in named)}
    if path.exists() and look:
        content = torch.load(path, weights_only=weights_only)
        for name, part in restored.items():
            part.load_state_dict(content["parts"][name])
        if "random" not in left_out:
            torch.set_rng_state(content["random"])
        if "cuda" not in left_out:
            torch.cuda.set_rng_state_all(content["cuda"])
        first = 0 if "step" in left_out else content["step"]
    for step in range(first, steps):
        train_step(step)
        if (save_at == "end" and step < steps - 1) or (save_at == "first" and step > first):
            continue
        content = {"parts": {name: part.state_dict() for name, part in parts.items()}, "random": torch.get_rng_state()}
        content |= {"cuda": torch.cuda.get_rng_state_all(), "step": step + offset}
        partial = path if write == "over it" else path.with_suffix(".partial")
        if write == "after removing it":
            path.unlink(missing_ok=True)
        torch.save(content, partial)
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


def wrong_seeded_again(path, parts, train_step, steps):
    torch.manual_seed(0)
    return run(path, parts, train_step, steps, left_out=("random", "cuda"))


def wrong_removes_it_first(path, parts, train_step, steps):
    return run(path, parts, train_step, steps, write="after removing it")


def wrong_step_by_step_from_0(path, parts, train_step, steps):
    first = torch.load(path, weights_only=True)["step"] if path.exists() else 0
    return run(path, parts, lambda step: train_step(step - first), steps)


def wrong_returns_nothing(path, parts, train_step, steps):
    save_and_resume(path, parts, train_step, steps)


def wrong_two_parts_only(path, parts, train_step, steps):
    two = {name: part for name, part in parts.items() if name in ("model", "optimizer")}
    return run(path, two, train_step, steps)


def wrong_needs_a_gpu(path, parts, train_step, steps):
    if path.exists():
        torch.cuda.set_rng_state(torch.load(path, weights_only=True)["cuda"][0])

    def step_on_a_gpu(step):
        train_step(step)
        torch.cuda.get_rng_state()

    return run(path, parts, step_on_a_gpu, steps)


def wrong_whole_objects(path, parts, train_step, steps):
    """Without state dicts: the objects themselves."""
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=False)
        first = content["step"]
        for name, part in parts.items():
            part.load_state_dict(content[name].state_dict())
    for step in range(first, steps):
        train_step(step)
        torch.save(parts | {"step": step + 1}, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)
    return first


def right_with_an_imported_save(path, parts, train_step, steps):
    first, beside = 0, path.with_name("next.pt")
    if path.exists():
        state = load(f=str(path), weights_only=True)
        first = state.pop("next")
        torch.set_rng_state(new_state=state.pop("rng"))
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(state.pop("gpu"))
        for name in parts:
            parts[name].load_state_dict(state[name])
    for step in range(first, steps):
        train_step(step)
        state = {name: part.state_dict() for name, part in parts.items()}
        if torch.cuda.is_available():
            state["gpu"] = torch.cuda.get_rng_state("cuda")
        save(obj=state | {"next": step + 1, "rng": torch.get_rng_state()}, f=beside)
        os.replace(beside, path)  # noqa: PTH105
    return first


def right_with_a_seed_for_each_step(path, parts, train_step, steps):
    done = 0
    if path.exists():
        states, done = torch.load(path)
        for part, state in zip(parts.values(), states, strict=True):
            part.load_state_dict(state)
    for step in range(done, steps):
        torch.manual_seed(step)  # on all GPUs, too
        train_step(step)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            torch.save(([part.state_dict() for part in parts.values()], step + 1), file)
        shutil.move(file.name, path)
    return done


def right_as_a_list(path, parts, train_step, steps):
    first = 0
    if path.is_file():
        states, rng_state, gpu_states, first = torch.load(path, weights_only=True, map_location="cpu")
        torch.random.set_rng_state(rng_state)
        set_rng_state_all(gpu_states)
        for name, state in states.items():
            parts[name].load_state_dict(state)
    done = first
    while done < steps:
        train_step(done)
        done += 1
        beside = path.parent / (path.name + ".tmp")
        states = dict(zip(parts, map(methodcaller("state_dict"), parts.values()), strict=True))
        with beside.open("wb") as file:
            torch.save([states, torch.random.get_rng_state(), get_rng_state_all(), done], file)
        beside.replace(path)
    return first


EXERCISE = Exercise(
    "save_and_resume",
    lesson=10,
    minutes=20,
    reference=save_and_resume,
    cases=cases,
    call=call,
    tolerance=1e-7,
    hints=(
        "“It resumes, but ends with other weights.” What else was in memory when the run was killed? The optimizer "
        "remembers earlier gradients, the scaler its scale, and torch the state of its random numbers, on the CPU and on "
        "each GPU. And is the number in the checkpoint that of the last step, or of the next one?",
        "“Killed while it writes, it can't resume.” torch.save into the checkpoint itself first destroys the old one. "
        "Write to another file in the same folder, then call partial.replace(path): renaming happens completely or not "
        "at all.",
        "“Nearly there.” If path.exists(): content = torch.load(path, weights_only=True); part.load_state_dict(…) for each "
        "name and part; torch.set_rng_state(…); torch.cuda.set_rng_state_all(…); first = content[…]. Then for step in "
        "range(first, steps): train_step(step); a dict of all state_dict()s, torch.get_rng_state(), "
        "torch.cuda.get_rng_state_all() and step + 1; save it beside, then replace. Return first.",
    ),
    wrong=(
        Wrong(
            changed(left_out=("optimizer", "sgd")), "the optimizer's state isn't restored: its momentum starts from 0"
        ),
        Wrong(changed(left_out=("random",)), "the state of the CPU's random numbers isn't restored"),
        Wrong(changed(left_out=("cuda",)), "the state of the GPU's random numbers isn't restored"),
        Wrong(changed(left_out=("scaler",)), "the scaler's state isn't restored: its scale starts from the beginning"),
        Wrong(wrong_seeded_again, "the same seed is set again: the random numbers of the first steps are repeated"),
        Wrong(changed(left_out=("step",)), "the number of the step isn't restored: the run takes too many steps"),
        Wrong(changed(offset=0), "the last step is repeated: store the number of the next one"),
        Wrong(changed(offset=2), "a step is skipped after resuming"),
        Wrong(changed(write="over it"), "the checkpoint is overwritten: if the run is killed meanwhile, there is none"),
        Wrong(changed(weights_only=False), "the file is read with weights_only=False, so it may run any code"),
        Wrong(changed(look=False), "the checkpoint isn't read: the run starts from the beginning"),
        Wrong(changed(save_at="end"), "it saves once, at the end: a run that is killed loses everything"),
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
            changed(left_out=("optimizer", "sgd", "scaler", "random", "cuda")),
            "only the weights and the step are restored: not the optimizer, the scaler, or the random numbers",
        ),
        Wrong(changed(named=("model", "optimizer", "scaler")), "parts of other names than “model” aren't restored"),
        Wrong(wrong_two_parts_only, "only “model” and “optimizer” are saved, whatever parts there are"),
        Wrong(wrong_needs_a_gpu, "it fails without a GPU: get_rng_state_all() returns an empty list there"),
        Wrong(wrong_returns_nothing, "it returns nothing: return the first step that it took"),
        Wrong(changed(first_of_all=True), "it returns 0, though it resumes later: return the first step that it took"),
        Wrong(changed(save_at="first"), "it saves only once, after the first step"),
        Wrong(wrong_step_by_step_from_0, "train_step is called with the steps of this call, counted from 0 again"),
        Wrong(changed(write="bytes")),
        Wrong(changed(write="the old one aside")),
        Wrong(wrong_removes_it_first),
        Wrong(wrong_whole_objects),
    ),
    right=(right_as_a_list, right_with_an_imported_save, right_with_a_seed_for_each_step),
)
