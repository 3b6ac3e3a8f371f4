"""What bundles' trainings share: each figure against a slower or known one, files as they are promised."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from torch import nn

from camlime.training.results import write_json, write_part
from camlime.training.statistics import balanced_accuracy, bootstrap, calibration, reliability, resamples


def test_parts_are_replaced_one_by_one_and_rounded(tmp_path):
    path = tmp_path / "results.json"
    write_part(path, "test", {"auc": 0.123456, "interval": np.array([0.1, 0.98765]), "n": np.int64(3), "flag": None})
    write_part(path, "validation", {"auc": 0.5})
    write_part(path, "test", {"auc": 0.98766, "bins": [[0.1, 2], [0.3, 4]], "words": ["two  spaces", "[b]"]})
    text = path.read_text()
    assert json.loads(text) == {
        "test": {"auc": 0.9877, "bins": [[0.1, 2], [0.3, 4]], "words": ["two  spaces", "[b]"]},
        "validation": {"auc": 0.5},
    }
    assert "            [0.1, 2],\n" in text
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("value", [{}, [], {"a": {}, "b": [[]], "c": [{}]}, [{"x": [1]}], "text", True])
def test_what_is_written_reads_back(tmp_path, value):
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value


def test_a_value_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "results.json"
    write_part(path, "a", 1)
    with pytest.raises(TypeError):
        write_part(path, "b", object())
    assert json.loads(path.read_text()) == {"a": 1}


def test_balanced_accuracy_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    assert balanced_accuracy(target, predicted) == pytest.approx(metrics.balanced_accuracy_score(target, predicted))


def test_intervals_hold_the_measure_and_close_on_a_sure_one():
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    group = target * 10 + np.arange(90) % 5
    low, high = bootstrap(balanced_accuracy, target, predicted, group=group, within=target, draws=200)
    assert low < balanced_accuracy(target, predicted) < high
    assert bootstrap(balanced_accuracy, target, target, group=group, draws=20) == [1.0, 1.0]


def test_groups_are_drawn_whole_and_within_their_stratum():
    group = np.array(["a", "a", "b", "c", "c", "c"])
    within = np.array([0, 0, 0, 1, 1, 1])
    drawn = set()
    for index in resamples(group, within=within, draws=50):
        counts = np.bincount(index, minlength=6)
        assert counts[0] == counts[1]
        assert counts[3] == counts[4] == counts[5] == 1
        assert counts[0] + counts[2] == 2
        drawn.add(int(counts[0]))
    assert drawn == {0, 1, 2}


def test_a_group_in_two_strata_is_refused():
    with pytest.raises(ValueError, match="more than one stratum"):
        next(resamples(np.array(["a", "a"]), within=np.array([0, 1])))


def test_intervals_by_group_are_wider_than_by_case_where_groups_agree():
    group = np.repeat(np.arange(20), 10)
    right = np.repeat(np.random.default_rng(1).integers(0, 2, 20), 10)
    by_group = bootstrap(lambda x: float(x.mean()), right, group=group, draws=300)
    by_case = bootstrap(lambda x: float(x.mean()), right, group=np.arange(200), draws=300)
    assert by_group[1] - by_group[0] > 2 * (by_case[1] - by_case[0])


def test_calibration_of_a_guess_and_of_honest_and_boastful_probabilities():
    rng = np.random.default_rng(0)
    guess = calibration(rng.integers(0, 3, 90), np.full((90, 3), 1 / 3))
    assert guess["brier"] == pytest.approx(2 / 3)
    assert guess["cross_entropy"] == pytest.approx(np.log(3))
    probability = rng.uniform(0.5, 1, 20_000)
    came_true = rng.uniform(size=20_000) < probability
    assert reliability(probability, came_true)["ece"] < 0.02
    boastful = reliability(np.full(20_000, 0.9), rng.uniform(size=20_000) < 0.6)
    assert boastful["ece"] == pytest.approx(0.3, abs=0.02)
    assert [row[2] for row in boastful["bins"]] == [2500] * 8


def test_fewer_cases_than_bins_leave_no_empty_bin():
    rows = reliability(np.array([0.2, 0.8]), np.array([0, 1]))["bins"]
    assert rows == [[0.2, 0.0, 1], [0.8, 1.0, 1]]


def test_temperature_undoes_what_it_should():
    from camlime.training.weights import temperature

    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 3, generator=generator)
    torch.manual_seed(0)
    label = torch.distributions.Categorical(logits=logits).sample()
    assert temperature(3 * logits, label) == pytest.approx(1 / 3, rel=0.1)


def test_what_is_shipped_says_the_calibrated_logits_and_loads_without_pickle(tmp_path):
    from camlime.training.weights import load_weights, ship

    network, again = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    images = torch.rand(5, 1, 2, 2)
    expected = 0.5 * network(images).detach()
    ship(network, "1", 0.5, tmp_path / "models" / "model.pt", tmp_path, "validation part")
    torch.testing.assert_close(load_weights(again, tmp_path / "models" / "model.pt")(images), expected)
    assert not again.training
    stated = json.loads((tmp_path / "calibration.json").read_text())
    assert stated == {"factor_on_logits": 0.5, "from": "validation part"}


def test_a_last_layer_that_is_not_linear_is_refused():
    from camlime.training.weights import scale_logits

    with pytest.raises(TypeError, match="Flatten"):
        scale_logits(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), "0", 2.0)


@pytest.mark.parametrize("further", [False, True])
def test_log_has_a_line_an_epoch_and_metrics_where_the_validator_ran(tmp_path, further):
    pytest.importorskip("ignite")
    from ignite.engine import Engine, Events

    from camlime.training.engines import EpochLog, balanced_accuracy, cross_entropy

    logits, label = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1, 1])
    output = {"pred": logits, "label": {"label": label} if further else label}
    validator = Engine(lambda *_: output)
    balanced_accuracy().attach(validator, "balanced_accuracy")
    cross_entropy().attach(validator, "cross_entropy")
    trainer = Engine(lambda _, loss: {"loss": torch.tensor(loss)})
    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda _: validator.run([0]))
    EpochLog(tmp_path / "log.csv", validator).attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=2)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["loss"], row["balanced_accuracy"]) for row in rows] == [
        ("1", "1.5000", ""),
        ("2", "1.5000", "0.7500"),
    ]
    assert float(rows[1]["cross_entropy"]) == pytest.approx(float(nn.functional.cross_entropy(logits, label)), abs=1e-4)


def test_plots_are_drawn(tmp_path):
    pandas = pytest.importorskip("pandas")
    from PIL import Image

    from camlime.training.plots import plot_calibration, plot_confusion, plot_training

    log = pandas.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "balanced_accuracy": [None, 0.8]})
    log.to_csv(tmp_path / "log.csv", index=False)
    plot_training(tmp_path / "a.png", tmp_path / "log.csv", metric="balanced_accuracy", label="validation")
    plot_calibration(tmp_path / "b.png", [[0.2, 0.1, 5], [0.8, 1.0, 5]], "title")
    plot_confusion(tmp_path / "c.png", np.eye(6, dtype=int) * 3, [f"class {i}" for i in range(6)], "title")
    for name in "abc":
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 5
