"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

from torch import nn


def wrong_sets_an_attribute_of_the_module(body, count):
    if count < 0:
        raise ValueError(count)
    body.conv_stem.requires_grad = body.bn1.requires_grad = count == 0
    for stage in body.blocks[: max(0, count - 1)]:
        stage.requires_grad = False


def wrong_calls_eval(body, count):
    if count < 0:
        raise ValueError(count)
    for stage in [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks][:count]:
        stage.eval()


def wrong_does_not_count_the_stem(body, count):
    if count < 0:
        raise ValueError(count)
    for stage in body.blocks[:count]:
        for parameter in stage.parameters():
            parameter.requires_grad = False


def wrong_forgets_the_batch_norm_of_the_stem(body, count):
    if count < 0:
        raise ValueError(count)
    for stage in [body.conv_stem, *body.blocks][:count]:
        for parameter in stage.parameters():
            parameter.requires_grad = False


def wrong_always_freezes_the_stem(body, count):
    if count < 0:
        raise ValueError(count)
    for module in (body.conv_stem, body.bn1, *body.blocks[: max(0, count - 1)]):
        module.requires_grad_(False)


def wrong_counts_children(body, count):
    if count < 0:
        raise ValueError(count)
    for module in list(body.children())[:count]:
        module.requires_grad_(False)


def wrong_trains_the_others(body, count):
    if count < 0:
        raise ValueError(count)
    stages = [[body.conv_stem, body.bn1], *([stage] for stage in body.blocks)]
    for number, stage in enumerate(stages):
        for module in stage:
            module.requires_grad_(number >= count)


def wrong_takes_a_negative_count(body, count):
    for module in [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks][:count]:
        module.requires_grad_(False)


def wrong_fails_beyond_the_last(body, count):
    if count < 0:
        raise ValueError(count)
    stages = [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks]
    for number in range(count):
        stages[number].requires_grad_(False)


def wrong_freezes_the_last_ones(body, count):
    if count < 0:
        raise ValueError(count)
    stages = [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks]
    for stage in stages[::-1][:count]:
        stage.requires_grad_(False)


def wrong_leaves_batch_norm_out(body, count):
    if count < 0:
        raise ValueError(count)
    for stage in [nn.ModuleList([body.conv_stem, body.bn1]), *body.blocks][:count]:
        for module in stage.modules():
            if isinstance(module, nn.Conv2d):
                module.requires_grad_(False)


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
