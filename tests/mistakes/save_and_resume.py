"""Wrong answers that people really give to `save_and_resume`; those named `right_…` must pass."""

import random

import torch


def wrong_weights_only_kept(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        torch.save({"model": model.state_dict(), "step": step + 1}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    return first


def wrong_no_random_numbers(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(content, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    return first


def wrong_random_numbers_of_python(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        random.seed(content["seed"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1, "seed": 0}
        torch.save(content, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    return first


def wrong_same_step_again(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        torch.save(content | {"random": torch.get_rng_state()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    return first


def wrong_saves_over_it(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(content | {"random": torch.get_rng_state()}, path)
    return first


def wrong_removes_it_first(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        path.unlink(missing_ok=True)
        torch.save(content | {"random": torch.get_rng_state()}, path.with_suffix(".new"))
        path.with_suffix(".new").rename(path)
    return first


def wrong_reads_anything(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=False)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(content | {"random": torch.get_rng_state()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    return first


def wrong_never_reads(path, model, optimizer, train_step, steps):
    for step in range(steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(content | {"random": torch.get_rng_state()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    return 0


def wrong_says_nothing(path, model, optimizer, train_step, steps):
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(content | {"random": torch.get_rng_state()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)


def right_as_a_list(path, model, optimizer, train_step, steps):
    first = 0
    if path.is_file():
        weights, moments, draws, first = torch.load(path, weights_only=True, map_location="cpu")
        torch.random.set_rng_state(draws)
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
