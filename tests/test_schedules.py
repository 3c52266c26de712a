import math

import pytest

from bpnet.spec.optimizer import (
    BpNetExponentialDecayLRSchedule,
    CosineLearningRateSchedule,
    SoftstartAnnealingLearningRateSchedule,
)
from bpnet.training.schedules import exponential_decay, learning_rate, softstart_annealing

TAO = {"base": 2e-5, "least": 8e-8, "soft_start": 0.05, "annealing": 0.5}


@pytest.mark.parametrize(
    ("progress", "rate"),
    [
        (0.0, 8e-8),
        (0.025, math.sqrt(8e-8 * 2e-5)),  # half-way up in the logarithm
        (0.05, 2e-5),
        (0.5, 2e-5),
        (0.75, math.sqrt(8e-8 * 2e-5)),
        (1.0, 8e-8),
    ],
)
def test_softstart_is_linear_in_the_logarithm(progress: float, rate: float) -> None:
    assert softstart_annealing(progress, **TAO) == pytest.approx(rate)


def test_softstart_without_ends_is_constant() -> None:
    flat = {"base": 3e-4, "least": 1e-6, "soft_start": 0.0, "annealing": 1.0}
    assert [softstart_annealing(p, **flat) for p in (0.0, 0.5, 1.0)] == pytest.approx([3e-4] * 3)


def test_softstart_to_a_least_rate_of_zero_is_a_straight_line() -> None:
    rate = softstart_annealing(0.75, base=1.0, least=0.0, soft_start=0.0, annealing=0.5)
    assert rate == pytest.approx(0.5)


def test_progress_past_the_end_keeps_the_least_rate() -> None:
    assert softstart_annealing(1.01, **TAO) == pytest.approx(8e-8)


def test_cosine_rises_in_a_line_and_falls_in_half_a_wave() -> None:
    schedule = CosineLearningRateSchedule(
        base_learning_rate=1.0, min_learning_rate=0.2, warm_up=0.2
    )
    rates = [learning_rate(schedule, progress=p, epochs=9) for p in (0, 0.1, 0.2, 0.6, 1.0, 1.1)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.2, 0.2])


def test_exponential_staircase_drops_at_whole_decays() -> None:
    stairs = {
        "base": 1.0,
        "least": 1e-3,
        "decay_epochs": 17.0,
        "decay_rate": 0.1,
        "staircase": True,
    }
    rates = [exponential_decay(epoch, **stairs) for epoch in (0, 16.9, 0.17 * 100, 34, 1000)]
    assert rates == pytest.approx([1.0, 1.0, 0.1, 0.01, 1e-3])


def test_exponential_without_staircase_is_smooth() -> None:
    rate = exponential_decay(
        8.5, base=1.0, least=0.0, decay_epochs=17, decay_rate=0.25, staircase=False
    )
    assert rate == pytest.approx(0.5)


def test_the_spec_class_picks_the_schedule() -> None:
    softstart = SoftstartAnnealingLearningRateSchedule(base_learning_rate=1e-3)
    exponential = BpNetExponentialDecayLRSchedule(
        learning_rate=1e-3, decay_epochs=5, decay_rate=0.5
    )
    assert learning_rate(softstart, progress=0.3, epochs=10) == pytest.approx(1e-3)
    assert learning_rate(exponential, progress=0.5, epochs=10) == pytest.approx(5e-4)
