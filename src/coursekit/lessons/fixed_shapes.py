"""Could an answer be part of an exported graph? Then no shape and no branch in it depends on numbers.

torch's fake tensors have shapes but no numbers, and refuse what would need them. Numbers that an answer only passes on,
such as a position that it indexes with, are symbols.
"""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv

from coursekit.lessons.exercise import Answer

DYNAMIC = (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode)
NEEDS_NUMBERS = (
    "a graph is built before there are any numbers, but this needs some: an if or a loop over values, item(), "
    "tolist(), nonzero or where(mask), or an index with a mask"
)


class NeedsNumbersError(Exception):
    """The answer looks at the numbers in a tensor."""


def in_graph(answer: Answer, *args: Any) -> str:
    """Run an answer on tensors without numbers, and say what shape its result has.

    Raises:
        NeedsNumbersError: it looks at a number, or its shapes depend on some.
    """
    shapes = ShapeEnv(allow_scalar_outputs=True, allow_dynamic_output_shape_ops=False)
    with FakeTensorMode(shape_env=shapes) as mode:
        fakes = [mode.from_tensor(arg, static_shapes=True) if isinstance(arg, Tensor) else arg for arg in args]
        try:
            result = answer(*fakes)
        except DYNAMIC as error:
            raise NeedsNumbersError(NEEDS_NUMBERS).with_traceback(error.__traceback__) from None
    if not isinstance(result, Tensor):
        return f"a {type(result).__name__}, not a tensor"
    if any(isinstance(side, torch.SymInt) for side in result.shape):
        raise NeedsNumbersError(NEEDS_NUMBERS)
    return f"a tensor {tuple(result.shape)} of {str(result.dtype).removeprefix('torch.')}, whatever the numbers are"


# Autograd starts before the first fake tensor. After it, autograd would start a thread for a GPU, and no forked process
# could run backward any more: see `coursekit.memory.predict_peak`.
torch.ones(1, requires_grad=True).sum().backward()
# The first use takes a second to load parts of torch: not in the time of an answer.
in_graph(lambda x: x.index_select(0, x.argmax()[None]) + x[x.argmax()], torch.zeros(2))
