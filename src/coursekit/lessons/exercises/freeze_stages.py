"""Exercise 2.2: stop training the first stages of a backbone."""

from collections.abc import Iterator

import torch
from torch import nn

from coursekit.core.errors import ConfigError
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
    yield case("a backbone whose stem is frozen already, two stages", (1, 1), 2, (0,))
    yield case("a backbone whose stem has other names", (1, 2), 1, (), ("stem", "norm"))
    yield case("a backbone whose stem has other names, two stages", (1, 2), 2, (), ("stem", "norm"))
    yield case("a backbone in eval mode", (1, 1), 2, (), NAMES, False)


NAMES = ("conv_stem", "bn1")


class _Body(nn.Module):
    """A tiny network like timm's EfficientNets: a stem, and `blocks` with a stage of each depth."""

    def __init__(self, depths, names=NAMES):
        super().__init__()
        self.add_module(names[0], nn.Conv2d(3, 4, 3, 2, 1, bias=False))
        self.add_module(names[1], nn.BatchNorm2d(4))
        stages = [[nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)) for _ in range(n)] for n in depths]
        self.blocks = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))

    def forward(self, images):
        for child in self.children():
            images = child(images)
        return images


def _stages(body):
    """Return the stem as a module, then each stage."""
    stem = [child for name, child in body.named_children() if name != "blocks"]
    return [nn.ModuleList(stem), *body.blocks]


def call(answer, depths, count, frozen_before=(), names=NAMES, is_training=True):
    """Return how many tensors of each stage are still trained, and how many batch norms update their statistics."""
    body = _Body(depths, names).train(is_training)
    for number in frozen_before:
        _stages(body)[number].requires_grad_(False)
    modes = [module.training for module in body.modules()]
    result = {} if count >= 0 else {"for a negative count": _raised(answer, body, count)}
    if count >= 0:
        answer(body, count)
    parts = ["the stem", *(f"blocks[{number}]" for number in range(len(depths)))]
    result |= {
        f"trained in {part}": [
            _kind(name, parameter) for name, parameter in stage.named_parameters() if parameter.requires_grad
        ]
        for part, stage in zip(parts, _stages(body), strict=True)
    }
    changed = sum(module.training != mode for module, mode in zip(body.modules(), modes, strict=True))
    return result | {"modules whose mode (train, eval) changed": changed} | _updated(body)


def _raised(answer, body, count):
    """Return in words which error an answer raises. ConfigError is the course's own kind of ValueError."""
    try:
        answer(body, count)
    except NotImplementedError:
        raise
    except (ValueError, ConfigError):
        return "a ValueError"
    except Exception as error:
        return f"{type(error).__name__}, not ValueError"
    return "no error"


def _kind(name, parameter):
    return f"{'convolution' if parameter.ndim == 4 else 'batch norm'}: {name.split('.')[-1]}"


def _updated(body):
    norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    body.train()
    body(torch.rand(2, 3, 8, 8) + 1)
    updated = sum(not torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    return {
        "batch norms that update their statistics": updated,
        "their momentum": [norm.momentum for norm in norms],
        "their track_running_stats": [norm.track_running_stats for norm in norms],
    }


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
    _freeze([next(body.children()), *body.blocks][:count], count)


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


def wrong_in_eval_mode_too(body, count):
    _freeze(_stages(body)[:count], count)
    for stage in _stages(body)[:count]:
        stage.eval()


def wrong_eval_mode_only(body, count):
    _freeze([], count)
    for stage in _stages(body)[:count]:
        stage.eval()


def wrong_trains_everything_first(body, count):
    _freeze([], count)
    body.requires_grad_(True)
    _freeze(_stages(body)[:count], count)


def wrong_assertion(body, count):
    assert count >= 0, count
    _freeze(_stages(body)[:count], count)


def wrong_index_error(body, count):
    if count < 0:
        raise IndexError(count)
    _freeze(_stages(body)[:count], count)


def wrong_negative_is_zero(body, count):
    _freeze(_stages(body)[: max(count, 0)], 0)


def wrong_freezes_before_it_raises(body, count):
    _freeze(_stages(body)[:count], 0)
    _freeze([], count)


def wrong_only_what_is_called_weight(body, count):
    _freeze([], count)
    for stage in _stages(body)[:count]:
        for name, parameter in stage.named_parameters():
            parameter.requires_grad_(not name.endswith("weight") and parameter.requires_grad)


def wrong_norms_only(body, count):
    modules = [module for stage in _stages(body)[:count] for module in stage.modules()]
    _freeze([module for module in modules if isinstance(module, nn.BatchNorm2d)], count)


def wrong_stem_by_its_usual_names(body, count):
    stem = [child for name, child in body.named_children() if name in NAMES]
    _freeze([nn.ModuleList(stem), *body.blocks][:count], count)


def wrong_counts_blocks(body, count):
    _freeze([_stages(body)[0], *(block for stage in body.blocks for block in stage)][:count], count)


def wrong_stem_and_count_stages(body, count):
    _freeze(_stages(body)[: count + 1] if count else [], count)


def wrong_all(body, count):
    _freeze([body] if count else [], count)


def wrong_no_momentum(body, count):
    _freeze(_stages(body)[:count], count)
    for stage in _stages(body)[:count]:
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0


def wrong_switches(body, count):
    _freeze([], count)
    for stage in _stages(body)[:count]:
        for parameter in stage.parameters():
            parameter.requires_grad = not parameter.requires_grad


def wrong_norms_in_eval_mode(body, count):
    _freeze(_stages(body)[:count], count)
    for stage in _stages(body)[:count]:
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def wrong_all_in_eval_mode(body, count):
    _freeze(_stages(body)[:count], count)
    body.eval()


def wrong_zero_raises(body, count):
    if count <= 0:
        raise ValueError(count)
    _freeze(_stages(body)[:count], count)


# Right answers


def right_parameter_by_parameter(body, count):
    if count < 0:
        raise ValueError(f"{count} stages")
    for name, parameter in body.named_parameters():
        first, second = name.split(".")[:2]
        stage = int(second) + 1 if first == "blocks" else 0
        if stage < count:
            parameter.requires_grad = False


def right_module_by_module(body, count):
    if count < 0:
        raise ValueError(f"count must not be negative: {count}")
    stages = [[child for name, child in body.named_children() if name != "blocks"]]
    stages += [[stage] for stage in body.blocks.children()]
    for number, modules in enumerate(stages):
        for module in modules if number < count else []:
            for parameter in module.parameters():
                parameter.requires_grad_(requires_grad=False)


EXERCISE = Exercise(
    "freeze_stages",
    lesson=2,
    minutes=23,
    reference=freeze_stages,
    cases=cases,
    call=call,
    hints=(
        "“I froze it, but it still trains.” A module has no `requires_grad`, so setting that attribute changes nothing. Its "
        "parameters have one. And `eval()` is about batch norm and dropout, not about training weights.",
        "“The stem is missing.” First make a list of stages. The stem is everything besides `blocks`: a convolution and its "
        "batch norm. `body.named_children()` returns both by name; you can loop over `body.blocks`.",
        "“Nearly there.” Raise a ValueError for a negative count. stem = the children not named 'blocks'; stages = "
        "[nn.ModuleList(stem), *body.blocks]; for stage in stages[:count]: stage.requires_grad_(False). Don't touch the others.",
    ),
    wrong=(
        Wrong(
            wrong_sets_an_attribute_of_the_module,
            "nothing is frozen: `requires_grad` of a module has no effect",
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
        Wrong(wrong_counts_children, "it counts the children of `body`: the stem is two of them, and `blocks` is one"),
        Wrong(
            wrong_in_eval_mode_too, "frozen stages are put in eval mode, too, but batch norm should stay in its mode"
        ),
        Wrong(
            wrong_eval_mode_only,
            "nothing is frozen: eval() is about batch norm and dropout, not about training weights",
        ),
        Wrong(wrong_trains_everything_first),
        Wrong(wrong_assertion, "it raises another error than ValueError: assertions can be switched off"),
        Wrong(wrong_index_error),
        Wrong(wrong_negative_is_zero, "a negative count is taken for 0, but it should raise a ValueError"),
        Wrong(wrong_freezes_before_it_raises, "it freezes stages before it raises the error"),
        Wrong(wrong_only_what_is_called_weight, "only weights are frozen, not biases"),
        Wrong(wrong_norms_only, "only batch norms are frozen, not convolutions"),
        Wrong(wrong_stem_by_its_usual_names, "the stem is looked for by name, but it is all children besides `blocks`"),
        Wrong(wrong_counts_blocks, "it counts the blocks inside stages, not stages"),
        Wrong(wrong_stem_and_count_stages, "the stem is frozen besides `count` stages, but it is the first of them"),
        Wrong(wrong_all, "the whole backbone is frozen"),
        Wrong(wrong_no_momentum, "momentum = 0 stops the statistics of batch norm, which should be updated"),
        Wrong(wrong_switches),
        Wrong(wrong_norms_in_eval_mode, "batch norms are put in eval mode, too, but they should stay in their mode"),
        Wrong(wrong_all_in_eval_mode, "the backbone is put in eval mode, but batch norm should stay in its mode"),
        Wrong(wrong_zero_raises, "a count of 0 raises an error, but it is allowed and freezes nothing"),
    ),
    right=(right_parameter_by_parameter, right_module_by_module),
)
