"""Exercise 11.5, `focal_loss`: cross-entropy in which easy answers hardly count."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.detector.one_stage import focal_loss
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients, is_trained
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    # In float64, alpha is a number that float32 holds exactly: torch.where(…, alpha, 1 - alpha) gives float32.
    yes, no = torch.ones(1), torch.zeros(1)
    yield case("a logit of 0 whose target is 1", torch.tensor([0.0]), yes)
    yield case("a logit of 0 whose target is 0", torch.tensor([0.0]), no)
    yield case("a sure and correct yes", torch.tensor([4.0]), yes)
    yield case("a sure and correct no", torch.tensor([-4.0]), no)
    yield case("a sure and wrong answer", torch.tensor([-4.0, 4.0]), torch.tensor([1.0, 0.0]))
    yield case("gamma = 0", torch.tensor([1.0, -2.0, 3.0]), torch.tensor([1.0, 0.0, 0.0]), 0.25, 0.0)
    yield case("another alpha", torch.tensor([1.0, -2.0, 3.0]), torch.tensor([1.0, 0.0, 0.0]), 0.9, 2.0)
    yield case("another gamma", torch.tensor([1.0, -2.0, 3.0]), torch.tensor([1.0, 0.0, 0.0]), 0.25, 1.5)
    sure = torch.tensor([200.0, -200.0, 200.0, -200.0])
    yield case("logits of ±200, which no probability can show", sure, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    grid = 3 * torch.randn(2, 6, 4, generator=generator)
    labels = (torch.rand(2, 6, 4, generator=generator) < 0.3).float()
    yield case("two images, six cells, four classes", grid, labels)
    yield case("float64", grid.double(), labels.double(), 0.75, 3.0)
    yield case("no cells", torch.empty(0, 4), torch.empty(0, 4))
    yield case("logits of a network that is trained", grid[0].clone().requires_grad_(), labels[0])
    yield on_a_gpu(grid, labels, what="logits and targets")


def call(answer: Answer, logits: Tensor, targets: Tensor, *rest: float) -> Any:
    """Return the losses; where training goes through the logits, their gradient too."""
    if not is_trained([logits]):
        return anywhere(answer, logits, targets, *rest)
    losses = answer(logits, targets, *rest)
    return {"losses": losses} | gradients(losses, {"logits": logits})


def parts_of(logits, targets):
    """Return the cross-entropy, and the probability given to the correct answer."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    return cross_entropy, torch.where(targets == 1, probability, 1 - probability)


def weight_of(targets, alpha):
    return alpha * targets + (1 - alpha) * (1 - targets)


def wrong_cross_entropy(logits, targets, alpha=0.25, gamma=2.0):
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def wrong_no_alpha(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return (1 - p_t) ** gamma * cross_entropy


def wrong_no_gamma(logits, targets, alpha=0.25, gamma=2.0):
    return weight_of(targets, alpha) * parts_of(logits, targets)[0]


def wrong_alpha_for_all(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return alpha * (1 - p_t) ** gamma * cross_entropy


def wrong_alpha_for_yes_only(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return (alpha * targets + 1 - targets) * (1 - p_t) ** gamma * cross_entropy


def wrong_alpha_for_no(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, 1 - alpha, gamma)


def wrong_defaults(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets)


def wrong_alpha_fixed(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, 0.25, gamma)


def wrong_gamma_fixed(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, alpha, 2.0)


def wrong_p_for_p_t(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, _ = parts_of(logits, targets)
    return weight_of(targets, alpha) * (1 - logits.sigmoid()) ** gamma * cross_entropy


def wrong_p_t_itself(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return weight_of(targets, alpha) * p_t**gamma * cross_entropy


def wrong_one_minus_a_power(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return weight_of(targets, alpha) * (1 - p_t**gamma) * cross_entropy


def wrong_gamma_as_a_factor(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return weight_of(targets, alpha) * gamma * (1 - p_t) * cross_entropy


def wrong_log_of_the_probability(logits, targets, alpha=0.25, gamma=2.0):
    _, p_t = parts_of(logits, targets)
    return -weight_of(targets, alpha) * (1 - p_t) ** gamma * p_t.log()


def wrong_log_with_an_epsilon(logits, targets, alpha=0.25, gamma=2.0):
    _, p_t = parts_of(logits, targets)
    return -weight_of(targets, alpha) * (1 - p_t) ** gamma * (p_t + 1e-6).log()


def wrong_sign(logits, targets, alpha=0.25, gamma=2.0):
    return -focal_loss(logits, targets, alpha, gamma)


def wrong_takes_probabilities(logits, targets, alpha=0.25, gamma=2.0):
    p_t = torch.where(targets == 1, logits, 1 - logits)
    return -weight_of(targets, alpha) * (1 - p_t) ** gamma * p_t.clamp(min=1e-8).log()


def wrong_sigmoid_twice(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits.sigmoid(), targets, alpha, gamma)


def wrong_softmax(logits, targets, alpha=0.25, gamma=2.0):
    probability = logits.softmax(-1).clamp(1e-8, 1 - 1e-8)
    p_t = torch.where(targets == 1, probability, 1 - probability)
    return -weight_of(targets, alpha) * (1 - p_t) ** gamma * p_t.log()


def wrong_summed(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, alpha, gamma).sum()


def wrong_averaged(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, alpha, gamma).mean()


def wrong_averaged_cross_entropy(logits, targets, alpha=0.25, gamma=2.0):
    _, p_t = parts_of(logits, targets)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets)
    return weight_of(targets, alpha) * (1 - p_t) ** gamma * cross_entropy


def wrong_summed_over_classes(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, alpha, gamma).sum(-1)


def wrong_only_yes(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits, targets, alpha, gamma) * targets


def wrong_focus_detached(logits, targets, alpha=0.25, gamma=2.0):
    cross_entropy, p_t = parts_of(logits, targets)
    return weight_of(targets, alpha) * (1 - p_t.detach()) ** gamma * cross_entropy


def wrong_without_gradient(logits, targets, alpha=0.25, gamma=2.0):
    return focal_loss(logits.detach(), targets, alpha, gamma)


def wrong_weights_on_the_cpu(logits, targets, alpha=0.25, gamma=2.0):
    weights = torch.empty(targets.shape, dtype=logits.dtype)
    weights[...] = weight_of(targets, alpha)
    return weights * focal_loss(logits, targets, 0.5, gamma) * 2


def right_with_where(logits, targets, alpha=0.25, gamma=2.0):
    is_object = targets > 0.5
    signed = torch.where(is_object, logits, -logits)  # so that a large one is always correct
    weight = 1 - alpha + (2 * alpha - 1) * targets
    return -weight * (-signed).sigmoid() ** gamma * F.logsigmoid(signed)


def right_from_the_cross_entropy(logits, targets, alpha=0.25, gamma=2.0):
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = torch.exp(-loss)
    return loss * (1 - p_t).pow(gamma) * (targets * alpha + (1 - targets) * (1 - alpha))


def right_with_where_for_alpha(logits, targets, alpha=0.25, gamma=2.0):
    alpha_t = torch.where(targets == 1, alpha, 1 - alpha)
    cross_entropy, p_t = parts_of(logits, targets)
    return alpha_t * (1 - p_t) ** gamma * cross_entropy


EXERCISE = Exercise(
    "focal_loss",
    lesson=11,
    minutes=12,
    reference=focal_loss,
    cases=cases,
    call=call,
    library=("torchvision.ops.sigmoid_focal_loss", "torchvision.ops.focal_loss.sigmoid_focal_loss"),
    hints=(
        "“It is right where the target is 1.” p_t is the probability given to the *correct* answer: the sigmoid where the target "
        "is 1, and one minus it where the target is 0. α goes the same way.",
        "“It is infinite or NaN.” Don't take the logarithm of a sigmoid: for a logit of −200 it is 0. "
        'F.binary_cross_entropy_with_logits(…, reduction="none") gives −log(p_t) from the logits.',
        "“Nearly there.” probability = logits.sigmoid(); p_t = probability * targets + (1 - probability) * (1 - targets); "
        "alpha_t = alpha * targets + (1 - alpha) * (1 - targets). The loss is alpha_t * (1 - p_t) ** gamma * cross_entropy.",
    ),
    wrong=(
        Wrong(wrong_cross_entropy, "it is plain cross-entropy"),
        Wrong(wrong_no_alpha, "alpha is not used"),
        Wrong(wrong_no_gamma, "gamma is not used"),
        Wrong(wrong_alpha_for_all, "alpha is the weight of all: where the target is 0, the weight is 1 − alpha"),
        Wrong(wrong_alpha_for_yes_only, "where the target is 0, the weight is 1, but it should be 1 − alpha"),
        Wrong(wrong_alpha_for_no, "the weights are swapped: alpha belongs to targets of 1"),
        Wrong(wrong_defaults, "0.25 and 2 are hard-coded, whatever alpha and gamma are"),
        Wrong(wrong_alpha_fixed, "0.25 is hard-coded, whatever alpha is"),
        Wrong(wrong_gamma_fixed, "2 is hard-coded, whatever gamma is"),
        Wrong(wrong_p_for_p_t, "the factor takes the probability of a yes, even where the correct answer is no"),
        Wrong(wrong_p_t_itself, "the factor is p_t to the power of gamma: easy answers count most"),
        Wrong(wrong_one_minus_a_power, "the factor is 1 − p_t^γ, not (1 − p_t)^γ"),
        Wrong(wrong_gamma_as_a_factor, "gamma multiplies, but it is an exponent"),
        Wrong(wrong_log_of_the_probability, "the logarithm is taken of a probability, which can be 0: use the logits"),
        Wrong(wrong_log_with_an_epsilon, "a small number is added before the logarithm: large losses are capped"),
        Wrong(wrong_sign, "the sign is wrong: a loss is at least 0"),
        Wrong(wrong_takes_probabilities, "logits are taken for probabilities"),
        Wrong(wrong_sigmoid_twice, "the sigmoid is applied twice"),
        Wrong(wrong_softmax, "it uses a softmax over the classes: each class is a yes or no of its own"),
        Wrong(wrong_summed, "the losses are summed up, but each should stay by itself"),
        Wrong(wrong_averaged, "the losses are averaged, but each should stay by itself"),
        Wrong(wrong_averaged_cross_entropy, 'the cross-entropy is averaged before it is weighted (reduction="none")'),
        Wrong(wrong_summed_over_classes, "the losses are summed over the classes, but each should stay by itself"),
        Wrong(wrong_only_yes, "only targets of 1 have a loss"),
        Wrong(wrong_focus_detached, "no gradient flows through the factor (detach on the way)"),
        Wrong(wrong_without_gradient, "no gradient flows through the logits (detach on the way)"),
        Wrong(wrong_weights_on_the_cpu),
    ),
    right=(right_with_where, right_with_where_for_alpha, right_from_the_cross_entropy),
)
