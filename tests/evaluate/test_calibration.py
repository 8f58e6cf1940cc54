import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from evaluate.calibration import (
    Confidence,
    area,
    confidence,
    curve,
    expected_error,
    fit,
    loss,
    risks,
)
from tests.evaluate.made import predict, scores

CLASSES = 30
PROBABILITIES, LABELS = scores(1500, CLASSES)


def sure(sureness: list[float], right: list[int]) -> Confidence:
    return Confidence(
        sure=np.array(sureness), right=np.array(right, float), losses=np.zeros(len(right))
    )


def test_the_calibration_error_is_that_of_scikit_learns_bins() -> None:
    found = confidence(predict(PROBABILITIES, LABELS))
    accuracy, mean = calibration_curve(found.right, found.sure, n_bins=15, strategy="quantile")
    theirs = np.abs(accuracy - mean).mean()  # 1,500 pictures: all bins are equally full
    assert expected_error(found) == pytest.approx(theirs, abs=1e-9)


def test_the_loss_is_that_of_scikit_learn() -> None:
    mean, impossible = loss(confidence(predict(PROBABILITIES, LABELS)))
    assert mean == pytest.approx(log_loss(LABELS, PROBABILITIES, labels=range(CLASSES)), abs=1e-9)
    assert impossible == 0


def test_the_temperature_is_the_one_that_torch_finds() -> None:
    logits = torch.from_numpy(np.log(PROBABILITIES) * 2.5)  # too sure by a factor of 2.5
    spoilt = logits.softmax(1).numpy()
    power = torch.ones((), dtype=torch.float64, requires_grad=True)
    steps = torch.optim.LBFGS([power], max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        steps.zero_grad()
        value = torch.nn.functional.cross_entropy(logits * power, torch.from_numpy(LABELS))
        value.backward()  # type: ignore[no-untyped-call]
        return value

    steps.step(closure)  # type: ignore[no-untyped-call]
    found = fit(predict(spoilt, LABELS))
    assert found == pytest.approx(1 / float(power.detach()), abs=1e-5)
    cooled = confidence(predict(spoilt, LABELS), found)
    theirs = (logits / found).softmax(1).numpy()
    assert cooled.sure == pytest.approx(theirs.max(1), abs=1e-6)
    assert loss(cooled)[0] < loss(confidence(predict(spoilt, LABELS)))[0]


def test_few_guesses_kept_find_nearly_the_same_temperature() -> None:
    spoilt, labels = scores(800, 500, lift=6)
    assert fit(predict(spoilt**2 / (spoilt**2).sum(1, keepdims=True), labels, 100)) == (
        pytest.approx(fit(predict(spoilt**2 / (spoilt**2).sum(1, keepdims=True), labels)), rel=0.05)
    )


def test_a_calibrated_model_needs_no_other_temperature() -> None:
    rng = np.random.default_rng(1)
    probabilities, _ = scores(4000, 10)
    labels = np.array([rng.choice(10, p=row) for row in probabilities])
    assert fit(predict(probabilities, labels)) == pytest.approx(1, abs=0.1)
    assert expected_error(confidence(predict(probabilities, labels))) < 0.03


def test_a_truth_without_probability_is_counted_and_left_out() -> None:
    at = Confidence(sure=np.ones(2), right=np.zeros(2), losses=np.array([0.5, np.inf]))
    assert loss(at) == (0.5, 1)


def test_risk_is_the_share_of_errors_among_the_surest() -> None:
    at = sure([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert risks(at).tolist() == [0, 1 / 2, 1 / 3, 2 / 4]
    assert area(at) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve(at)[-1] == (1.0, 0.5)


def test_equally_sure_guesses_come_in_no_order() -> None:
    one, other = sure([0.5] * 4, [1, 1, 0, 0]), sure([0.5] * 4, [0, 1, 0, 1])
    assert area(one) == area(other) == 0.5


def test_no_pictures_have_no_calibration() -> None:
    assert np.isnan(expected_error(sure([], [])))
    assert np.isnan(area(sure([], [])))
    assert curve(sure([], [])) == []
