"""Exercise 2.2: stop training the first stages of a backbone."""

from collections.abc import Iterator

import torch
from torch import nn

from coursekit.detector.backbone import freeze_stages
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a stem and two stages, of which none is frozen", (1, 1), 0)
    yield case("the stem only", (1, 1), 1)
    yield case("the stem and the first stage", (1, 1, 1), 2)
    yield case("a stage of two blocks", (2, 1, 3), 3)
    yield case("all stages", (1, 2), 3)
    yield case("a count larger than the number of stages", (1, 2), 9)
    yield case("a negative count, which must raise an error", (1, 1, 1), -1)
    yield case("a backbone whose last stage is frozen already", (1, 1), 1, (2,))
    yield case("a backbone whose stem is frozen already", (1, 1), 0, (0,))


class _Body(nn.Module):
    """A tiny network like timm's EfficientNets: a stem, and `blocks` with a stage of each depth."""

    def __init__(self, depths):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        stages = [[nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)) for _ in range(n)] for n in depths]
        self.blocks = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))

    def forward(self, images):
        return self.blocks(self.bn1(self.conv_stem(images)))


def _stages(body):
    """Return the stem as a module, then each stage."""
    return [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks]


def call(answer, depths, count, frozen_before=()):
    """Return how many tensors of each stage are still trained, and how many batch norms update their statistics."""
    body = _Body(depths)
    for number in frozen_before:
        _stages(body)[number].requires_grad_(False)
    try:
        answer(body, count)
    except Exception as error:
        if count < 0 and not isinstance(error, NotImplementedError):
            return {"an error was raised": True}
        raise
    if count < 0:
        return {"an error was raised": False}
    names = ["the stem", *(f"blocks[{number}]" for number in range(len(depths)))]
    trained = {
        f"trained tensors of {name}": sum(parameter.requires_grad for parameter in stage.parameters())
        for name, stage in zip(names, _stages(body), strict=True)
    }
    norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    body.train()
    body(torch.rand(2, 3, 8, 8) + 1)
    updated = sum(not torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    return trained | {"batch norms that update their statistics": updated}


# Wrong answers


def _freeze(modules, count):
    if count < 0:
        raise ValueError(f"{count} is negative")
    for module in modules:
        module.requires_grad_(False)


def wrong_sets_an_attribute_of_the_module(body, count):
    _freeze([], count)
    for stage in _stages(body)[:count]:
        stage.requires_grad = False


def wrong_does_not_count_the_stem(body, count):
    _freeze(body.blocks[:count], count)


def wrong_one_stage_too_many(body, count):
    _freeze(_stages(body)[: count + 1], count)


def wrong_always_freezes_the_stem(body, count):
    _freeze(_stages(body)[: max(1, count)], count)


def wrong_forgets_the_batch_norm_of_the_stem(body, count):
    _freeze([body.conv_stem, *body.blocks][:count], count)


def wrong_convolutions_only(body, count):
    modules = [module for stage in _stages(body)[:count] for module in stage.modules()]
    _freeze([module for module in modules if isinstance(module, nn.Conv2d)], count)


def wrong_last_stages(body, count):
    _freeze(_stages(body)[::-1][:count], count)


def wrong_one_stage_only(body, count):
    _freeze(_stages(body)[max(0, count - 1) : count], count)


def wrong_first_block_of_each_stage(body, count):
    stem, *stages = _stages(body)
    _freeze([stem, *(stage[0] for stage in stages)][:count], count)


def wrong_trains_the_others(body, count):
    _freeze([], count)
    for number, stage in enumerate(_stages(body)):
        stage.requires_grad_(number >= count)


def wrong_counts_tensors(body, count):
    _freeze(list(body.parameters())[:count], count)


def wrong_accepts_a_negative_count(body, count):
    for stage in _stages(body)[:count]:
        stage.requires_grad_(False)


def wrong_fails_beyond_the_last_stage(body, count):
    stages = _stages(body)
    _freeze([stages[number] for number in range(count)], count)


def wrong_forgets_statistics(body, count):
    _freeze(_stages(body)[:count], count)
    for stage in _stages(body)[:count]:
        for module in stage.modules():
            module.track_running_stats = False


def wrong_counts_children(body, count):
    _freeze(list(body.children())[:count], count)


# Right answers


def right_parameter_by_parameter(body, count):
    if count < 0:
        raise ValueError(f"{count} stages")
    for name, parameter in body.named_parameters():
        first, second = name.split(".")[:2]
        stage = int(second) + 1 if first == "blocks" else 0
        if stage < count:
            parameter.requires_grad = False


def right_and_in_eval_mode_too(body, count):
    assert count >= 0
    for stage in [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks][:count]:
        stage.requires_grad_(False).eval()


EXERCISE = Exercise(
    "freeze_stages",
    lesson=2,
    minutes=20,
    reference=freeze_stages,
    cases=cases,
    call=call,
    hints=(
        "“I froze it, but it still trains.” A module has no `requires_grad`, so setting that attribute changes nothing. Its "
        "parameters have one. And `eval()` is about batch norm and dropout, not about training weights.",
        "“The stem is missing.” First make a list of stages. The stem is everything besides `blocks`: a convolution and its "
        "batch norm. `body.named_children()` returns both by name; you can loop over `body.blocks`.",
        "“Nearly there.” Raise an error for a negative count. stem = the children not named 'blocks'; stages = "
        "[nn.ModuleList(stem), *body.blocks]; for stage in stages[:count]: stage.requires_grad_(False). Don't touch the others.",
    ),
    wrong=(
        Wrong(
            wrong_sets_an_attribute_of_the_module,
            "nothing is frozen: `requires_grad` of a module has no effect, and `eval()` doesn't freeze weights",
        ),
        Wrong(wrong_does_not_count_the_stem, "the stem is not counted, so it is still trained"),
        Wrong(wrong_one_stage_too_many, "one stage too many is frozen: the stem is the first stage"),
        Wrong(wrong_always_freezes_the_stem, "the stem is frozen even if count is 0"),
        Wrong(
            wrong_forgets_the_batch_norm_of_the_stem, "the batch norm of the stem is not frozen, only its convolution"
        ),
        Wrong(wrong_convolutions_only, "the weights of batch norm are not frozen, only convolutions"),
        Wrong(wrong_last_stages, "the last stages are frozen, not the first"),
        Wrong(wrong_one_stage_only, "only one stage is frozen, not all up to it"),
        Wrong(wrong_first_block_of_each_stage, "only the first block of each stage is frozen"),
        Wrong(wrong_trains_the_others, "the other stages are made trainable, even if they were frozen before"),
        Wrong(wrong_counts_tensors, "it counts parameter tensors, not stages"),
        Wrong(wrong_accepts_a_negative_count, "a negative count is accepted: [:-1] freezes all but the last stage"),
        Wrong(wrong_fails_beyond_the_last_stage, "it fails if count is larger than the number of stages"),
        Wrong(
            wrong_forgets_statistics,
            "track_running_stats is off, so batch norm normalizes with the statistics of each batch",
        ),
        Wrong(wrong_counts_children),
    ),
    right=(right_parameter_by_parameter, right_and_in_eval_mode_too),
)
