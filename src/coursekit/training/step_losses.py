"""The losses of a step. Python reads them once the GPU has computed them, and doesn't wait for that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from coursekit.core import distributed
from coursekit.core.errors import CourseError
from coursekit.detector.boxes import at_least_float32


@dataclass
class StepLosses:
    """The losses of a step in micro-batches.

    Attributes:
        names: L names.
        total: (L,) the sum over micro-batches, weighted by their share of the batch; zeros without images.
        parts: (L,) unweighted, of each micro-batch of this process.
        image_ids: the images of each micro-batch.
    """

    names: Sequence[str] = ()
    total: Tensor = field(default_factory=lambda: torch.zeros(0))
    parts: list[Tensor] = field(default_factory=list)
    image_ids: list[list[int]] = field(default_factory=list)

    def add(self, losses: Mapping[str, Tensor], weight: float, image_ids: list[int]) -> None:
        """Add the losses of a micro-batch that is this share, `weight`, of the batch."""
        self.names = self.names or list(losses)
        values = at_least_float32(torch.stack([losses[name].detach() for name in self.names]))
        self.total = self.total + values * weight if self.parts else values * weight
        self.parts.append(values)
        self.image_ids.append(image_ids)

    def is_bad(self) -> Tensor:
        """Return 1.0 if the total of a loss is NaN or infinite, else 0.0: a scalar on the device, so nobody waits."""
        return (~torch.isfinite(self.total.sum())).float()

    def send(self) -> None:
        """Start to copy the numbers to the CPU, without waiting for them."""
        table = torch.stack([self.total, *self.parts])
        self._table = table.to("cpu", non_blocking=table.is_cuda)
        self._arrived = torch.cuda.Event() if table.is_cuda else None
        if self._arrived:
            self._arrived.record()

    def read(self) -> dict[str, float]:
        """Return the total by name. `send` comes first; this waits until the numbers have arrived.

        Raises:
            CourseError: a loss is NaN or infinite; the message names it and the images of its micro-batch.
        """
        if self._arrived:
            self._arrived.synchronize()
        total, *parts = self._table
        if not total.sum().isfinite():
            raise CourseError(self._complaint(parts))
        return dict(zip(self.names, total.tolist(), strict=True))

    def _complaint(self, parts: list[Tensor]) -> str:
        for values, image_ids in zip(parts, self.image_ids, strict=True):
            if not values.isfinite().all():
                numbers = zip(self.names, values.tolist(), values.isfinite().tolist(), strict=True)
                bad = ", ".join(f"{name} = {value}" for name, value, is_finite in numbers if not is_finite)
                images = ", ".join(map(str, image_ids))
                return f"The loss is NaN or infinite ({bad}) on the images {images}. Try a tenth of the learning rate."
        return "A loss is NaN or infinite in another process, which names it. Try a tenth of the learning rate."


def sum_over_processes(losses: StepLosses, gradients: Sequence[Tensor], names: Sequence[str]) -> None:
    """Add up the losses and gradients of all processes, in place and in a single message.

    Args:
        losses: of this process, which may have no images.
        gradients: of each parameter.
        names: names of the losses, the same in all processes.
    """
    if not losses.parts:
        losses.names, losses.total = names, gradients[0].new_zeros(len(names), dtype=torch.float32)
    distributed.all_reduce_sum([losses.total, *gradients])
