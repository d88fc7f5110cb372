"""Exercise 6.5, `BoxHead`: two hidden layers, then a class and a box for each class."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.detector import BoxHead
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import NONE, gradients
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import module_anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    def patches(count: int, channels: int, output_size: int) -> Tensor:
        return torch.randn(count, channels, output_size, output_size, generator=generator)

    yield case("one patch of one cell", 2, 1, 3, 1, patches(1, 2, 1))
    yield case("one patch of 2 × 2 cells", 2, 2, 6, 2, patches(1, 2, 2))
    yield case("three patches, three classes", 3, 3, 10, 2, patches(3, 3, 2))
    yield case("5 × 5 cells, seven classes", 2, 7, 14, 5, patches(4, 2, 5))
    yield case("patches of 7 × 7 cells", 4, 5, 20, 7, patches(2, 4, 7))
    yield case("no patch", 3, 3, 10, 2, patches(0, 3, 2))
    yield case("float64", 3, 3, 10, 2, patches(3, 3, 2).double())
    yield case(
        "patches with channels last in memory",
        3,
        2,
        5,
        2,
        patches(2, 3, 2).contiguous(memory_format=torch.channels_last),
    )
    yield case("`hidden` and `output_size` left at 256 and 7", 1, 2, None, None, patches(2, 1, 7))
    yield on_a_gpu(3, 3, 10, 2, patches(3, 3, 2), what="the head and its patches")


def call(
    answer: Answer, channels: int, num_classes: int, hidden: int | None, output_size: int | None, patches: Tensor
) -> Any:
    """Return what a head computes from patches, with weights that depend on the shapes of its layers only."""
    head = answer(channels, num_classes, *(size for size in (hidden, output_size) if size is not None))
    if not isinstance(head, nn.Module):
        raise TypeError(f"BoxHead(…) should make an nn.Module, and made a {type(head).__name__}")
    if is_elsewhere((patches,)):
        return module_anywhere(head, patches)
    shapes = sorted(tuple(parameter.shape) for parameter in head.parameters())
    with torch.no_grad():
        for parameter in head.parameters():
            drawn = torch.Generator().manual_seed(sum(parameter.shape))
            parameter.copy_(torch.randn(parameter.shape, generator=drawn) / parameter[0].numel() ** 0.5)
    patches = patches.clone().requires_grad_()
    result = head.to(patches.dtype)(patches)
    if isinstance(result, tuple | list) and len(result) == 2:
        found = gradients(result, {"the patches": patches} | dict(head.named_parameters()))
        return {
            "logits": result[0],
            "deltas": result[1],
            "shapes of the weights": shapes,
            "gradient of the patches": found["gradient of the patches"],
            "weights that no gradient reaches": sum(value is NONE for value in found.values()),
        }
    return {"answer": result, "shapes of the weights": shapes}


# Wrong answers: the reference with one part changed.


class wrong_without_background(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes - 1, hidden, output_size)


class wrong_one_box_for_all_classes(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, hidden, output_size)
        self.deltas = nn.Linear(hidden, 4)

    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1)).relu()).relu()
        return self.classes(x), self.deltas(x)


class wrong_deltas_turned_round(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return logits, deltas.reshape(len(logits), 4, logits.shape[1]).transpose(1, 2)


class wrong_flat_deltas(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return logits, deltas.flatten(1)


class wrong_zeros_on_the_cpu(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return logits, deltas + torch.zeros(deltas.shape, dtype=deltas.dtype)


class wrong_without_relu(BoxHead):
    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1)))
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_without_first_relu(BoxHead):
    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1))).relu()
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_without_second_relu(BoxHead):
    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1)).relu())
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_relu_at_the_end(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return logits.relu(), deltas.relu()


class wrong_with_softmax(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return logits.softmax(1), deltas


class wrong_one_hidden_layer(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, hidden, output_size)
        self.second = nn.Identity()


class wrong_mean_of_the_patch(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, hidden, 1)

    def forward(self, patches):
        return super().forward(patches.mean((2, 3), keepdim=True))


class wrong_always_7(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, hidden, 7)


class wrong_deltas_first(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return deltas, logits


class wrong_without_gradient(BoxHead):
    def forward(self, patches):
        with torch.no_grad():
            return super().forward(patches)


class wrong_patches_detached(BoxHead):
    def forward(self, patches):
        return super().forward(patches.detach())


class wrong_deltas_detached(BoxHead):
    def forward(self, patches):
        logits, deltas = super().forward(patches)
        return logits, deltas.detach()


class wrong_hidden_detached(BoxHead):
    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1)).relu()).relu().detach()
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_always_256(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, 256, output_size)


class wrong_no_bias(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, hidden, output_size)
        self.first.bias = self.second.bias = self.classes.bias = self.deltas.bias = None


class wrong_deltas_of_objects_only(BoxHead):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__(channels, num_classes, hidden, output_size)
        self.deltas = nn.Linear(hidden, 4 * num_classes)

    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1)).relu()).relu()
        return self.classes(x), self.deltas(x).view(len(x), self.classes.out_features - 1, 4)


class wrong_deltas_from_the_first_layer(BoxHead):
    def forward(self, patches):
        x = self.first(patches.flatten(1)).relu()
        logits = self.classes(self.second(x).relu())
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_dropout(BoxHead):
    def forward(self, patches):
        x = nn.functional.dropout(self.second(self.first(patches.flatten(1)).relu()).relu(), 0.5, training=True)
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_cannot_take_none(BoxHead):
    def forward(self, patches):
        x = self.second(self.first(patches.flatten(1)).relu()).relu()
        return self.classes(x), self.deltas(x).view(len(x), -1, 4)


class wrong_channels_last(BoxHead):
    def forward(self, patches):
        return super().forward(patches.permute(0, 2, 3, 1))


class right_with_sequential(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.deltas = nn.Sequential(nn.Linear(hidden, 4 * (num_classes + 1)), nn.Unflatten(1, (num_classes + 1, 4)))
        self.classes = nn.Linear(hidden, num_classes + 1)
        first = nn.Linear(channels * output_size**2, hidden)
        self.body = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())

    def forward(self, patches):
        x = self.body(patches)
        return self.classes(x), self.deltas(x)


class right_as_a_list(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.count = num_classes + 1
        sizes = [(channels * output_size * output_size, hidden), (hidden, hidden)]
        sizes += [(hidden, self.count), (hidden, self.count * 4)]
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)

    def forward(self, patches):
        x = patches.reshape(len(patches), self.layers[0].in_features)
        x = torch.relu(self.layers[1](torch.relu(self.layers[0](x))))
        return [self.layers[2](x), self.layers[3](x).reshape(len(x), self.count, 4)]


EXERCISE = Exercise(
    "BoxHead",
    lesson=6,
    minutes=10,
    regions=2,
    reference=BoxHead,
    cases=cases,
    call=call,
    library=(
        "torchvision.models.detection.faster_rcnn.TwoMLPHead",
        "torchvision.models.detection.faster_rcnn.FastRCNNPredictor",
    ),
    tolerance=1e-4,
    hints=(
        "“The weights have other shapes.” Four linear layers. The first reads all numbers of a patch: how many are those? The "
        "last two are side by side, and both read `hidden` numbers. One of them gives four numbers for every class.",
        "“The weights are right, the values are not.” There is a ReLU after the first layer and one after the second, none "
        "after the last two: logits and deltas may be negative. And the four numbers of a class are next to each other.",
        "“Nearly there.” x = patches.flatten(1), then twice a layer and .relu(); logits = self.classes(x); deltas = "
        "self.deltas(x).view(*logits.shape, 4). Written like this, it also works for no patch: -1 can't be inferred there.",
    ),
    wrong=(
        Wrong(wrong_without_background, "there is no background: K outputs instead of K + 1"),
        Wrong(wrong_one_box_for_all_classes, "one box for all classes, where each class has its own"),
        Wrong(
            wrong_deltas_turned_round,
            "the deltas are reshaped as (4, K + 1): the four numbers of a class belong together",
        ),
        Wrong(wrong_zeros_on_the_cpu),
        Wrong(wrong_flat_deltas, "the deltas are flat: (R, 4 (K + 1)) instead of (R, K + 1, 4)"),
        Wrong(wrong_without_relu, "there is no ReLU: two linear layers in a row are one"),
        Wrong(wrong_without_second_relu, "the ReLU after the second layer is missing"),
        Wrong(wrong_relu_at_the_end, "there is a ReLU at the end: nothing can be negative anymore"),
        Wrong(wrong_with_softmax, "there is a softmax at the end: the loss applies its own, so it would be done twice"),
        Wrong(wrong_one_hidden_layer, "there is only one hidden layer"),
        Wrong(wrong_mean_of_the_patch, "each patch is averaged before it is read, which loses where things are in it"),
        Wrong(wrong_always_7, "7 × 7 is hard-coded, whatever `output_size` is"),
        Wrong(wrong_deltas_first, "the deltas come first, the logits second"),
        Wrong(wrong_cannot_take_none, "it fails for no patch: view(0, -1, 4) can't infer the -1"),
        Wrong(wrong_without_gradient, "no gradient reaches patches or weights (no_grad on the way)"),
        Wrong(wrong_patches_detached, "no gradient reaches the patches (detach or .data on the way)"),
        Wrong(wrong_deltas_detached, "no gradient flows through the deltas (detach on the way)"),
        Wrong(wrong_hidden_detached, "no gradient reaches the hidden layers (detach on the way)"),
        Wrong(wrong_without_first_relu, "the ReLU after the first layer is missing"),
        Wrong(wrong_always_256, "256 is hard-coded, whatever `hidden` is"),
        Wrong(wrong_no_bias, "the layers have no bias"),
        Wrong(wrong_deltas_of_objects_only, "the background has no deltas: 4 K instead of 4 (K + 1)"),
        Wrong(wrong_deltas_from_the_first_layer),
        Wrong(wrong_dropout),
        Wrong(wrong_channels_last),
    ),
    right=(right_with_sequential, right_as_a_list),
)
