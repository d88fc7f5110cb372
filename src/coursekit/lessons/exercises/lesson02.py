"""02 · The backbone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.detector import freeze_stages
from coursekit.from_scratch.memory import FLOAT32, count_memory, receptive_field
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case

Pairs = Sequence[tuple[int, int]]


def _field_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("no layer at all: a pixel sees itself", [])
    yield case("one 3 × 3 convolution", [(3, 1)])
    yield case("a 1 × 1 convolution", [(1, 1)])
    yield case("one with a stride", [(3, 2)])
    yield case("a 1 × 1 convolution with a stride", [(1, 2)])
    yield case("two without strides", [(3, 1), (3, 1)])
    yield case("a stride before", [(3, 2), (3, 1)])
    yield case("a stride behind", [(3, 1), (3, 2)])
    yield case("two poolings: even kernels", [(2, 2), (2, 2)])
    yield case("a ResNet's first two layers", [(7, 2), (3, 2)])
    yield case("strides of 3 and 2", [(5, 3), (3, 2), (3, 1)])
    for words in ("four layers", "four others"):
        drawn = torch.randint(0, 4, (4, 2), generator=generator).tolist()
        yield case(words, [(kernel + 1, 1 + stride) for kernel, stride in drawn])


def _front_to_back(layers: Pairs, grow: Callable[[int, int, int, int], tuple[int, int]]) -> tuple[int, int]:
    size, stride = 1, 1
    for kernel, step in layers:
        size, stride = grow(size, stride, kernel, step)
    return size, stride


def _whole_kernel(layers: Pairs) -> tuple[int, int]:
    return _front_to_back(layers, lambda size, stride, kernel, step: (size + kernel * stride, stride * step))


def _no_stride(layers: Pairs) -> tuple[int, int]:
    return _front_to_back(layers, lambda size, stride, kernel, step: (size + kernel - 1, stride * step))


def _stride_first(layers: Pairs) -> tuple[int, int]:
    return _front_to_back(
        layers, lambda size, stride, kernel, step: (size + (kernel - 1) * stride * step, stride * step)
    )


def _own_stride(layers: Pairs) -> tuple[int, int]:
    return _front_to_back(layers, lambda size, stride, kernel, step: (size + (kernel - 1) * step, stride * step))


def _wrong_end(layers: Pairs) -> tuple[int, int]:
    return _front_to_back(layers, lambda size, stride, kernel, step: (size * step + kernel - step, stride * step))


def _strides_added(layers: Pairs) -> tuple[int, int]:
    return _front_to_back(layers, lambda size, stride, kernel, step: (size + (kernel - 1) * stride, stride + step - 1))


def _last_stride(layers: Pairs) -> tuple[int, int]:
    return receptive_field(layers)[0], layers[-1][1] if layers else 1


def _swapped(layers: Pairs) -> tuple[int, int]:
    return receptive_field(layers)[::-1]


def _by_radius(layers: Pairs) -> tuple[int, int]:
    return receptive_field([(kernel // 2 * 2 + 1, step) for kernel, step in layers])


def _from_nothing(layers: Pairs) -> tuple[int, int]:
    size, stride = receptive_field(layers)
    return size - 1, stride


def _first_apart(layers: Pairs) -> tuple[int, int]:
    _ = layers[0]
    return receptive_field(layers)


FIELD = Exercise(
    "receptive_field",
    lesson=2,
    minutes=15,
    reference=receptive_field,
    cases=_field_cases,
    hints=(
        "“My field stays far too small.” Behind a stride of 2, two cells that are neighbours lie two pixels apart. By how "
        "many pixels does the window grow, if a 3 × 3 kernel reads one neighbour more on either side?",
        "“One layer is right, two are not.” Keep two numbers, size and stride, and begin with a pixel: 1 and 1. A kernel of "
        "k reads k - 1 cells more than one. How far apart are they *before* this layer's own stride?",
        "“Nearly there.” For each layer, in this order: size grows by (kernel - 1) times stride; then stride is multiplied "
        "by the layer's own. Return both.",
    ),
    mistakes=(
        Mistake("the whole kernel is added: one of its cells was counted before", _whole_kernel),
        Mistake("the strides before a layer do not widen it", _no_stride),
        Mistake("the layer's own stride widens it: it takes effect only behind it", _stride_first),
        Mistake("a layer is widened by its own stride, not by those before it", _own_stride),
        Mistake("the recursion for the way back from the last layer is used from the first on", _wrong_end),
        Mistake("strides are added, not multiplied", _strides_added),
        Mistake("the stride is that of the last layer alone", _last_stride),
        Mistake("size and stride are swapped", _swapped),
        Mistake("each kernel is taken for an odd one (kernel // 2 on either side)", _by_radius),
        Mistake("it begins with nothing, not with one pixel", _from_nothing),
        Mistake("it fails where there is no layer", _first_apart),
    ),
)


class _Body(nn.Module):
    """Like timm's EfficientNets, but tiny: a stem, and `blocks` with a stage for each depth."""

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        stages = [[nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)) for _ in range(n)] for n in depths]
        self.blocks = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.blocks(self.bn1(self.conv_stem(images)))
        return maps

    def stages(self) -> dict[str, nn.Module]:
        stem = nn.ModuleList([self.conv_stem, self.bn1])
        return {"the stem": stem} | {f"blocks[{n}]": stage for n, stage in enumerate(self.blocks)}


def _freeze_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a stem and two stages, none to be frozen", (1, 1), 0)
    yield case("the stem alone", (1, 1), 1)
    yield case("the stem and the first stage", (1, 1, 1), 2)
    yield case("a stage of two blocks", (2, 1, 3), 3)
    yield case("all of it", (1, 2), 3)
    yield case("more than there are", (1, 2), 9)
    yield case("a negative number, which must be refused", (1, 1, 1), -1)
    yield case("a body whose last stage is frozen already", (1, 1), 1, (2,))
    yield case("a body whose stem is frozen already", (1, 1), 0, (0,))


def _use_freeze(answer: Answer, depths: Sequence[int], count: int, frozen_before: Sequence[int] = ()) -> Any:
    """How many tensors of each stage are trained afterwards, and how many batch norms move in train mode."""
    body = _Body(depths)
    for n in frozen_before:
        list(body.stages().values())[n].requires_grad_(False)
    try:
        answer(body, count)
    except NotImplementedError:
        raise
    except Exception:
        if count < 0:
            return {"it is refused": True}
        raise
    if count < 0:
        return {"it is refused": False}
    trained = {
        f"tensors of {name} that are trained": sum(one.requires_grad for one in stage.parameters())
        for name, stage in body.stages().items()
    }
    norms: list[Any] = [one for one in body.modules() if isinstance(one, nn.BatchNorm2d)]
    before = [one.running_mean.clone() for one in norms]
    body.train()
    body(torch.rand(2, 3, 8, 8) + 1)
    moved = sum(not torch.equal(one.running_mean, mean) for one, mean in zip(norms, before, strict=True))
    return trained | {"batch norms whose statistics move": moved}


def _parts(body: Any) -> list[nn.Module]:
    stem = [child for name, child in body.named_children() if name != "blocks"]
    return [nn.ModuleList(stem), *body.blocks]


def _refuse(count: int) -> None:
    if count < 0:
        raise ValueError("negative")


def _freeze(stages: Sequence[Any]) -> None:
    for stage in stages:
        stage.requires_grad_(False)


def _stem_not_counted(body: Any, count: int) -> None:
    _refuse(count)
    _freeze(body.blocks[:count])


def _stem_besides(body: Any, count: int) -> None:
    _refuse(count)
    _freeze(_parts(body)[: count + 1])


def _only_attribute(body: Any, count: int) -> None:
    _refuse(count)
    for stage in _parts(body)[:count]:
        stage.requires_grad = False  # type: ignore[assignment]


def _last_ones(body: Any, count: int) -> None:
    _refuse(count)
    parts = _parts(body)
    _freeze(parts[max(0, len(parts) - count) :])


def _one_only(body: Any, count: int) -> None:
    _refuse(count)
    _freeze(_parts(body)[max(0, count - 1) : count])


def _others_trained(body: Any, count: int) -> None:
    _refuse(count)
    for n, stage in enumerate(_parts(body)):
        stage.requires_grad_(n >= count)


def _norm_left(body: Any, count: int) -> None:
    _refuse(count)
    for stage in _parts(body)[:count]:
        _freeze([one for one in stage.modules() if isinstance(one, nn.Conv2d)])


def _stem_norm_left(body: Any, count: int) -> None:
    _refuse(count)
    _freeze([body.conv_stem, *body.blocks][:count])


def _no_refusal(body: Any, count: int) -> None:
    _freeze(_parts(body)[:count])


def _first_block(body: Any, count: int) -> None:
    _refuse(count)
    first, *rest = _parts(body)
    _freeze([first, *(stage[0] for stage in rest)][:count])  # type: ignore[index]


def _always_stem(body: Any, count: int) -> None:
    _refuse(count)
    _freeze(_parts(body)[: max(1, count)])


def _tensors(body: Any, count: int) -> None:
    _refuse(count)
    _freeze(list(body.parameters())[:count])


def _beyond(body: Any, count: int) -> None:
    _refuse(count)
    parts = _parts(body)
    for n in range(count):
        parts[n].requires_grad_(False)


def _no_statistics(body: Any, count: int) -> None:
    freeze_stages(body, count)
    for stage in _parts(body)[:count]:
        for one in stage.modules():
            if isinstance(one, nn.BatchNorm2d):
                one.track_running_stats = False


FREEZE = Exercise(
    "freeze_stages",
    lesson=2,
    minutes=20,
    reference=freeze_stages,
    cases=_freeze_cases,
    call=_use_freeze,
    hints=(
        "“I froze it, and it is trained all the same.” A module has no `requires_grad`: setting that attribute changes "
        "nothing. Its parameters have one. And `eval()` is about batch norm and dropout, not about training.",
        "“The stem is missing.” Make a list of stages first. The stem is all that stands beside `blocks`: its convolution "
        "and its batch norm. `body.named_children()` gives both by name; `body.blocks` can be looped over.",
        "“Nearly there.” Refuse a negative count. stem = the children not named 'blocks'; stages = one list of modules for "
        "the stem, then one for each of body.blocks; for each of stages[:count], module.requires_grad_(False). Touch no other.",
    ),
    mistakes=(
        Mistake("nothing is frozen: set on a module, `requires_grad` does nothing; `eval()` is about other things", _only_attribute),
        Mistake("the stem is not counted: it stays trained", _stem_not_counted),
        Mistake("the stem is frozen besides, as if it were not the first", _stem_besides),
        Mistake("the stem is frozen even where none should be", _always_stem),
        Mistake("of the stem the convolution is frozen, and its batch norm is not", _stem_norm_left),
        Mistake("the convolutions are frozen, and batch norm's weights are not", _norm_left),
        Mistake("the last stages are frozen, not the first", _last_ones),
        Mistake("one stage is frozen, not all up to it", _one_only),
        Mistake("only the first block of each stage is frozen", _first_block),
        Mistake("the other stages are made to be trained, though somebody had frozen them", _others_trained),
        Mistake("single tensors are counted, not stages", _tensors),
        Mistake("a negative number goes through: [:-1] freezes all but the last stage", _no_refusal),
        Mistake("it fails where there are fewer stages than asked for", _beyond),
        Mistake("batch norm forgets its statistics (track_running_stats): it would go by those of each batch", _no_statistics),
    ),
)  # fmt: skip


def _memory_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one 1 × 1 convolution, an image of one pixel", [(1, 1, 1, 1)], (1, 1, 1))
    yield case("one 3 × 3 convolution", [(3, 8, 3, 1)], (1, 4, 4))
    yield case("a stride", [(3, 8, 3, 2)], (1, 8, 4))
    yield case("two images", [(3, 8, 3, 1)], (2, 4, 4))
    yield case("two layers with strides", [(3, 4, 3, 2), (4, 6, 3, 2)], (1, 8, 8))
    yield case("an odd size, which a stride rounds up", [(3, 4, 3, 2), (4, 4, 3, 2)], (1, 5, 7))
    yield case("the first layer frozen", [(3, 4, 3, 2), (4, 6, 3, 1)], (2, 8, 8), 1)
    yield case("two of four frozen", [(3, 4, 3, 2), (4, 6, 1, 1), (6, 5, 3, 2), (5, 7, 1, 1)], (3, 13, 18), 2)
    yield case("all frozen: backward never comes", [(3, 4, 3, 2), (4, 6, 3, 1)], (2, 8, 8), 2)
    rows, columns = torch.randint(3, 40, (2,), generator=generator).tolist()
    drawn = torch.randint(1, 4, (4,), generator=generator).tolist()
    yield case("large kernels and strides", [(3, 3, 2 * one + 1, one) for one in drawn], (4, rows, columns), 1)


def _counted(
    layers: Any, images: Any, frozen: int, *, half: str = "up", of_path: bool = True, two_axes: bool = True
) -> tuple[list[int], list[int]]:
    """Numbers in each layer's weights, and in the images and each layer's output."""
    weights = [c_in * c_out * kernel * kernel for c_in, c_out, kernel, _ in layers]
    batch, height, width = images
    maps, whole = [batch * layers[0][0] * height * width], 1
    for _, channels, _, stride in layers:
        whole = whole * stride if of_path else stride
        divisor = whole if two_axes else 1
        rows, columns = (
            (-(-height // whole), -(-width // divisor)) if half == "up" else (height // whole, width // divisor)
        )
        maps.append(batch * channels * rows * columns)
    return weights, maps


def _bytes(weights: int, trained: int, moments: int, kept: int) -> dict[str, int]:
    numbers = {"weights": weights, "gradients": trained, "optimizer": moments, "activations": kept}
    return {kind: FLOAT32 * count for kind, count in numbers.items()}


def _summed(weights: list[int], maps: list[int], frozen: int) -> dict[str, int]:
    trained = sum(weights[frozen:])
    return _bytes(sum(weights), trained, 2 * trained, sum(maps[frozen:]) if frozen < len(weights) else 0)


def _numbers(layers: Any, images: Any, frozen: int = 0) -> Any:
    return {kind: count // FLOAT32 for kind, count in count_memory(layers, images, frozen).items()}


def _one_moment(layers: Any, images: Any, frozen: int = 0) -> Any:
    count = count_memory(layers, images, frozen)
    return count | {"optimizer": count["gradients"]}


def _as_if_trained(layers: Any, images: Any, frozen: int = 0) -> Any:
    return count_memory(layers, images) | {"activations": count_memory(layers, images, frozen)["activations"]}


def _moments_of_all(layers: Any, images: Any, frozen: int = 0) -> Any:
    return count_memory(layers, images, frozen) | {"optimizer": count_memory(layers, images)["optimizer"]}


def _maps_of_all(layers: Any, images: Any, frozen: int = 0) -> Any:
    return count_memory(layers, images, frozen) | {"activations": count_memory(layers, images)["activations"]}


def _no_images(layers: Any, images: Any, frozen: int = 0) -> Any:
    weights, maps = _counted(layers, images, frozen)
    trained = sum(weights[frozen:])
    return _bytes(sum(weights), trained, 2 * trained, sum(maps[frozen + 1 :]))


def _no_last(layers: Any, images: Any, frozen: int = 0) -> Any:
    weights, maps = _counted(layers, images, frozen)
    return _summed(weights, [*maps[:-1], 0], frozen)


def _last_of_frozen(layers: Any, images: Any, frozen: int = 0) -> Any:
    weights, maps = _counted(layers, images, frozen)
    trained = sum(weights[frozen:])
    return _bytes(sum(weights), trained, 2 * trained, sum(maps[frozen:]))


def _twice(layers: Any, images: Any, frozen: int = 0) -> Any:
    weights, maps = _counted(layers, images, frozen)
    return _summed(weights, [maps[0], *(2 * one for one in maps[1:])], frozen)


def _rounded_down(layers: Any, images: Any, frozen: int = 0) -> Any:
    return _summed(*_counted(layers, images, frozen, half="down"), frozen)


def _own_stride_only(layers: Any, images: Any, frozen: int = 0) -> Any:
    return _summed(*_counted(layers, images, frozen, of_path=False), frozen)


def _one_axis(layers: Any, images: Any, frozen: int = 0) -> Any:
    return _summed(*_counted(layers, images, frozen, two_axes=False), frozen)


def _no_strides(layers: Any, images: Any, frozen: int = 0) -> Any:
    return count_memory([(*one, 1) for *one, _ in layers], images, frozen)


def _one_image(layers: Any, images: Any, frozen: int = 0) -> Any:
    return count_memory(layers, (1, *images[1:]), frozen)


def _weights_a_batch(layers: Any, images: Any, frozen: int = 0) -> Any:
    weights, maps = _counted(layers, images, frozen)
    return _summed([images[0] * one for one in weights], maps, frozen)


def _side_of_kernel(layers: Any, images: Any, frozen: int = 0) -> Any:
    _, maps = _counted(layers, images, frozen)
    return _summed([c_in * c_out * kernel for c_in, c_out, kernel, _ in layers], maps, frozen)


def _no_frozen_weights(layers: Any, images: Any, frozen: int = 0) -> Any:
    count = count_memory(layers, images, frozen)
    return count | {"weights": count["gradients"]}


MEMORY = Exercise(
    "count_memory",
    lesson=2,
    minutes=20,
    reference=count_memory,
    cases=_memory_cases,
    hints=(
        "“My activations are too few, or too many.” Write down the maps of a chain of two: the images, the first output, "
        "the second output. Which of them does backward need? Each is counted once, the images and the last one too.",
        "“Wrong only where something is frozen.” The weights of a frozen layer are held all the same; its gradient and "
        "AdamW's two numbers are not. The first trained layer needs its own input, and nothing before that is kept. And if "
        "nothing is trained, nothing is kept at all.",
        "“Nearly there.” Make two lists: weights, c_in · c_out · kernel² of each layer; and maps, that begins with the "
        "images and goes on with each output, where a stride divides height and width and rounds up: -(-height // stride). "
        "Then sum(weights), sum(weights[frozen:]) and sum(maps[frozen:]), each times 4.",
    ),
    mistakes=(
        Mistake("numbers are counted, not bytes: a float32 has 4", _numbers),
        Mistake("the optimizer holds one number a weight: AdamW holds two, a mean and a mean of squares", _one_moment),
        Mistake("frozen layers have gradients and a state in the optimizer", _as_if_trained),
        Mistake("the optimizer remembers frozen weights, too", _moments_of_all),
        Mistake("the maps of frozen layers are kept: backward never gets there", _maps_of_all),
        Mistake("what goes into the first trained layer is forgotten", _no_images),
        Mistake("the last output is forgotten: its ReLU keeps it", _no_last),
        Mistake("a map is kept where all is frozen", _last_of_frozen),
        Mistake(
            "each map is counted twice, for its ReLU and for the convolution behind: it is the same tensor", _twice
        ),
        Mistake("a size that a stride does not divide is rounded down", _rounded_down),
        Mistake("a map is divided by its layer's stride alone, not by those before it", _own_stride_only),
        Mistake("a stride divides the height and not the width", _one_axis),
        Mistake("strides are not looked at", _no_strides),
        Mistake("one image is counted, whatever the batch", _one_image),
        Mistake("weights are counted for each image: they are there once", _weights_a_batch),
        Mistake("a kernel counts its side, not its area", _side_of_kernel),
        Mistake("the weights of frozen layers are left out: forward needs them", _no_frozen_weights),
    ),
)

EXERCISES = (FIELD, FREEZE, MEMORY)
