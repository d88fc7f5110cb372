import pytest
import torch
from torch import nn

from coursekit.detector import nms, pool_levels, postprocess
from coursekit.lessons.checking.verdict import examine
from coursekit.lessons.description import describe
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import (
    PretendedGpu,
    anywhere,
    from_gpu,
    index_anywhere,
    module_anywhere,
    on_a_gpu,
    on_gpu,
)

X = torch.arange(12.0).reshape(3, 4)

WRONG = {
    "a product": lambda x: x * torch.arange(4),
    "a minimum": lambda x: torch.minimum(x, torch.tensor([1.0, 2, 3, 4])),
    "cat": lambda x: torch.cat([x, torch.zeros(1, 4)]),
    "rows written into a CPU tensor": lambda x: torch.zeros(3, 4).index_put_((torch.where(x[:, 0] > 1)[0],), x[0]),
    "a CPU tensor indexed": lambda x: torch.zeros(3)[x[:, 0].long() * 0],
    "in place": lambda x: torch.zeros(4).add_(x[0]),
    "a result on the CPU": lambda x: torch.tensor(x.tolist()),
    "numpy": lambda x: x.numpy(),
}
RIGHT = {
    "a product": lambda x: x * torch.arange(4, device=x.device),
    "a number": lambda x: x * torch.tensor(2.0),
    "new_tensor": lambda x: x / x.new_tensor([1.0, 2, 3, 4]),
    "new_zeros": lambda x: torch.cat([x, x.new_zeros(1, 4)]),
    "to": lambda x: x + torch.ones(4).to(x),
    "positions on the CPU": lambda x: x[torch.tensor([2, 0])],
    "a mask": lambda x: x[x[:, 0] > 1],
    "numbers": lambda x: x * float(x[0, 1]) if bool(x[0, 1] > 0) else x,
    "in place": lambda x: x.new_zeros(3, 4).index_put_((torch.where(x[:, 0] > 1)[0],), x[0]),
    "a part": lambda x: x.cpu()[1:].to(x.device),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_gpu_would_refuse_is_refused(name):
    case = on_a_gpu(X)
    assert is_elsewhere(case.args)
    with pytest.raises((RuntimeError, TypeError), match=r"GPU|on a GPU"):
        anywhere(WRONG[name], *case.args)


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_gpu_would_do_is_done(name):
    with PretendedGpu():
        assert torch.equal(from_gpu(RIGHT[name](on_gpu(X))), RIGHT[name](X))


DRAWN = {  # with x on the GPU: is it right to draw like that?
    "there": (lambda x, g: torch.randperm(3, generator=g, device=x.device), True),
    "on the generator's device": (lambda x, g: x[torch.randperm(3, generator=g, device=g.device)], True),
    "into a tensor": (lambda x, g: torch.empty_like(x).uniform_(generator=g), True),
    "by weight": (lambda x, g: x[0].softmax(0).multinomial(2, generator=g), True),
    "by torch's own": (lambda x, g: x[torch.randperm(3)], True),
    "here": (lambda x, g: x[torch.randperm(3, generator=g)], False),
    "here, then moved": (lambda x, g: torch.rand(3, generator=g).to(x.device), False),
    "there, from a generator here": (
        lambda x, g: torch.randperm(3, generator=torch.Generator(), device=x.device),
        False,
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_generator_draws_on_its_own_device(name):
    draw, is_right = DRAWN[name]
    if is_right:
        assert anywhere(draw, on_gpu(X), on_gpu(torch.Generator())) == "a result on the GPU"
    else:
        with pytest.raises(RuntimeError, match=r"random numbers on the .PU, from a generator on the .PU.*device="):
            anywhere(draw, on_gpu(X), on_gpu(torch.Generator()))


def test_a_generator_there_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(3)
    moved = on_gpu(generator)
    assert torch.rand(2, generator=moved).tolist() == torch.rand(2, generator=generator).tolist()


def test_gradients_flow_there():
    x = on_gpu(X.clone()).requires_grad_()
    with PretendedGpu():
        made = x.new_zeros(3, 4)
        made[torch.where(x[:, 0] > 1)[0]] = 2 * x[1:]
        (gradient,) = torch.autograd.grad(made.sum(), [x])
    assert from_gpu(gradient.sum()) == 16


def test_positions_may_be_on_the_cpu():
    boxes, scores = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0.5])
    args = on_a_gpu(boxes, scores, 0.5).args
    assert index_anywhere(lambda *inputs: torch.tensor(nms(*inputs).tolist()), *args) == "a result on the GPU"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("axis_weights", "wrong_on_the_cpu"),
        ("nms", "wrong_on_the_cpu"),
        ("propose", "wrong_limits_on_the_cpu"),
        ("sample_rois", "zeros_on_the_cpu"),
        ("sample_balanced", "wrong_shuffled_on_the_cpu"),
        ("FPN", "wrong_zeros_on_the_cpu"),
        ("RPNHead", "wrong_copied_to_the_cpu"),
        ("BoxHead", "wrong_zeros_on_the_cpu"),
    ],
)
def test_an_answer_that_would_die_on_a_gpu_is_rejected(name, wrong):
    answers = {getattr(wrong.answer, "__name__", ""): wrong.answer for wrong in EXERCISES[name].wrong}
    verdict = examine(EXERCISES[name], answers[wrong])
    assert verdict.state == "not yet"
    assert "on a GPU" in verdict.problem.tried
    assert "device=" in verdict.problem.got


class _Scaled(nn.Module):
    def __init__(self, is_buffer):
        super().__init__()
        if is_buffer:
            self.register_buffer("factor", torch.ones(4))
        else:
            self.factor = torch.ones(4)  # .to(device) leaves it on the CPU
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x) * self.factor


def test_a_module_takes_its_weights_and_buffers_there_and_nothing_else():
    assert module_anywhere(_Scaled(is_buffer=True), *on_a_gpu(X).args) == "a result on the GPU"
    with pytest.raises(RuntimeError, match="device="):
        module_anywhere(_Scaled(is_buffer=False), *on_a_gpu(X).args)
    assert module_anywhere(_Scaled(is_buffer=False), X).shape == (3, 4)


def test_the_detector_s_parts_run_there():
    levels, boxes = [torch.randn(1, 2, 20, 20), torch.randn(1, 2, 10, 10)], torch.tensor([[0.0, 0, 40, 40]])
    for part, case in (
        (pool_levels, on_a_gpu(levels, [8, 16], [boxes])),
        (postprocess, on_a_gpu(torch.randn(1, 3), torch.zeros(1, 3, 4), boxes, (60, 60))),
    ):
        assert anywhere(part, *case.args) == "a result on the GPU"


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_that_is_tried_on_a_gpu_says_so(name):
    if any(is_elsewhere(case.args) for case in EXERCISES[name].all_cases()):
        texts = [text for part in describe(name) for text in (part.summary, part.more, *part.takes.values())]
        assert "any device" in " ".join(texts)
