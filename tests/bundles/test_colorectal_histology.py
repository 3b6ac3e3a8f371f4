"""The shipped histology bundle: its configs agree, its weights load, its training runs, its figures are true."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from support.bundle_scripts import BUNDLES, config, scripts_of

BUNDLE = BUNDLES / "colorectal_histology"
TRAINING = [str(BUNDLE / "configs" / f"{name}.json") for name in ("inference", "train")]
CLASSES = ("normal", "polyp", "low_grade_in", "high_grade_in", "adenocarcinoma", "serrated_adenoma")


@pytest.fixture(scope="module")
def bundle():
    from camlime.bundle import Bundle

    return Bundle.load(BUNDLE)


@pytest.fixture
def scripts(monkeypatch):
    return scripts_of(
        BUNDLE, monkeypatch, "cohort", "data", "folds", "report", "views", needs=("pandas", "sklearn", "ignite")
    )


def test_nothing_is_said_twice():
    """Training and evaluation are laid over inference, and repeat none of it."""
    for name in ("train", "evaluate"):
        assert not {"network_def", "network", "preprocessing", "device", "bundle_root"} & set(config(BUNDLE, name))
    assert not set(config(BUNDLE, "train")) & set(config(BUNDLE, "evaluate")) - {"+imports", "run"}


def test_the_input_is_the_same_everywhere(bundle):
    steps = {step["_target_"]: step for step in config(BUNDLE, "inference")["preprocessing"]["transforms"]}
    size = steps["ResizeWithPadOrCropd"]["spatial_size"]
    assert config(BUNDLE, "metadata")["network_data_format"]["inputs"]["image"]["spatial_shape"] == size
    assert [config(BUNDLE, "explain")["explain"]["tile_size"]] * 2 == size


def test_weights_are_small_and_a_plain_tile_has_an_answer(bundle):
    assert (BUNDLE / "models" / "model.pt").stat().st_size < 25e6
    with torch.no_grad():
        logits = bundle.network.eval()(2 * torch.rand(2, 3, 224, 224) - 1)
    assert logits.shape == (2, 6)
    assert torch.isfinite(logits).all()


def test_the_engine_needs_no_trust_and_assumes_nothing(bundle):
    assert not bundle.trusted_code
    assert bundle.assumptions == ()
    assert bundle.class_names == CLASSES


def test_a_case_lies_in_one_part():
    pandas = pytest.importorskip("pandas")
    splits = pandas.read_csv(BUNDLE / "docs" / "splits.csv", dtype=str)
    assert (splits.groupby("group")["part"].nunique() == 1).all()
    assert set(splits["part"]) == {"test", "fold1", "fold2", "fold3", "fold4", "fold5"}
    for part, own in splits.groupby("part"):
        assert set(own["label"]) == set(CLASSES), part
    answered = pandas.read_csv(BUNDLE / "docs" / "out_of_fold.csv", dtype=str)
    held = splits.set_index("case")["part"]
    assert (answered["fold"] == answered["case"].map(held)).all()
    assert set(answered["case"]) == set(held[held != "test"].index)


def test_the_cards_figures_come_from_its_tables(scripts):
    """F1 by another way, and the goal."""
    pandas = pytest.importorskip("pandas")
    metrics = pytest.importorskip("sklearn.metrics")
    results = json.loads((BUNDLE / "docs" / "results.json").read_text())
    for key in ("out_of_fold", "test"):
        table = pandas.read_csv(BUNDLE / "docs" / f"{key}.csv")
        predicted = table[list(CLASSES)].to_numpy().argmax(1)
        wanted = metrics.f1_score(table["target"], predicted, labels=[1, 2, 3, 4], average="macro")
        stated = results[key]["macro_f1_of_four"]
        assert stated["value"] == pytest.approx(wanted, abs=1e-4)
        assert stated["interval_95"][0] < wanted < stated["interval_95"][1]
    assert results["out_of_fold"]["macro_f1_of_four"]["value"] >= 0.75


def test_measures_of_a_class_that_is_missing_are_not_numbers(scripts):
    counts = np.diag([0, 5, 5, 5, 5, 5])
    found = scripts.report.figures(counts)
    assert found["macro_f1_of_four"] == 1.0
    assert math.isnan(found["f1_normal"]) and math.isnan(found["macro_f1"])
    low, high = scripts.report.interval_of([found, {**found, "macro_f1": 0.5}], "macro_f1")
    assert low == high == 0.5


def test_a_view_is_the_tile_moved_and_the_outline_with_it(scripts):
    """Without a change of colour, a disk in the middle keeps its place in the mask, whatever the turn."""
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)
    disk = ((x[:, None] - 0.2) ** 2 + x[None] ** 2 < 0.1).float()
    image = (0.8 - 0.5 * disk).expand(8, 3, 64, 64)
    views = scripts.views.Views(size=48, stain=0.0, gamma=0.0, gain=0.0)
    seen, mask = views(image, disk.expand(8, 1, 64, 64))
    assert seen.shape == (8, 3, 48, 48)
    np.testing.assert_allclose(seen[:, :1], 0.8 - 0.5 * mask, atol=1e-5)
    assert len({tuple(view.argmax().tolist() for view in [one]) for one in mask}) > 4


def test_other_stains_change_the_colour_and_not_the_tissue(scripts):
    torch.manual_seed(0)
    image = torch.rand(16, 3, 8, 8) * 0.8 + 0.1
    np.testing.assert_allclose(scripts.views.restain(image, 0.0), image, atol=1e-5)
    other = scripts.views.restain(image, 0.2)
    assert 0.01 < (other - image).abs().mean() < 0.15
    assert other.min() >= 0 and other.max() <= 1


def test_restaining_scales_the_stains_themselves(scripts, monkeypatch):
    """A pixel of pure haematoxylin stays so: its density changes by one factor in all colours."""
    stains = scripts.views.STAINS / scripts.views.STAINS.norm(dim=1, keepdim=True)
    draws = iter([torch.tensor([[0.5, -0.5, 0.0]]), torch.zeros(1, 3)])
    monkeypatch.setattr(scripts.views, "_either_way", lambda *shape: next(draws))
    pure = torch.exp(-0.7 * stains[0]).reshape(1, 3, 1, 1)
    density = -torch.log(scripts.views.restain(pure, 0.4)).flatten()
    np.testing.assert_allclose(density, 0.7 * 1.2 * stains[0], rtol=1e-4)


def test_weights_of_classes(scripts):
    tiles = [{"label": label} for label in [1] * 100 + [2] * 25]
    weights = scripts.data.class_weights(tiles)
    assert weights[2] == pytest.approx(2 * weights[1])
    assert 100 * weights[1] + 25 * weights[2] == pytest.approx(125)
    assert weights[0] == 0


def test_cohort_has_a_case_once(scripts, tmp_path):
    pandas = pytest.importorskip("pandas")
    items = [
        {"image": f"{case}{label}.jpg", "mask": "m.png", "label": label, "case": f"{case}{label}", "group": str(case)}
        for case in range(12)
        for label in (1, 2, 3)[: 1 + case % 3]
    ]
    scripts.cohort.write_cohort(items, tmp_path / "new" / "cohort.csv", 4)
    table = pandas.read_csv(tmp_path / "new" / "cohort.csv", dtype=str)
    assert table["patient"].is_unique
    assert set(table["case"].str[-1].value_counts()) == {4}


@pytest.fixture
def little_set(tmp_path):
    """Thirty-six tiles whose colour is their class, each its own case, with the class's disk outlined."""
    pandas = pytest.importorskip("pandas")
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for n in range(36):
        target = n % 6
        image = rng.integers(150, 255, (224, 224, 3)).astype(np.uint8)
        mask = np.zeros((224, 224), np.uint8)
        mask[40:180, 40:180] = 255
        image[mask > 0, target % 3] = 40 + 60 * (target // 3)
        Image.fromarray(image).save(tmp_path / "images" / f"t{n}.jpg")
        Image.fromarray(mask).save(tmp_path / "masks" / f"t{n}.png")
        rows.append((f"t{n}", f"g{n}", CLASSES[target], f"images/t{n}.jpg", f"masks/t{n}.png"))
    columns = ["case", "group", "label", "image", "mask"]
    pandas.DataFrame(rows, columns=columns).to_csv(tmp_path / "cases.csv", index=False)
    return tmp_path


@pytest.fixture
def settings(little_set):
    work = little_set / "work"
    work.mkdir()
    return {
        "bundle_root": str(BUNDLE),
        "dataset_dir": str(little_set),
        "docs_dir": str(little_set),
        "splits": str(little_set / "splits.csv"),
        "work_dir": str(work),
        "model_path": str(little_set / "model.pt"),
        "domain_path": str(little_set / "domain.safetensors"),
        "epochs": 1,
        "batch_size": 10,
    }


def test_all_that_is_trained_is_on_the_device(settings, scripts):
    """The pyramid beside the network and the weights of the classes too, which CPUs alone do not notice."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(TRAINING)
    parser.update({**settings, "device": "$torch.device('meta')"})
    trainer = parser.get_parsed_content("trainer")
    assert {parameter.device.type for parameter in trainer.network.parameters()} == {"meta"}
    assert {buffer.device.type for buffer in trainer.loss_function.buffers()} == {"meta"}


def test_one_training_leaves_answers_on_what_it_was_not_shown(little_set, settings, scripts):
    from monai.bundle import run

    pandas = pytest.importorskip("pandas")
    run("one", config_file=TRAINING, held="fold2", **settings)
    splits = pandas.read_csv(little_set / "splits.csv").set_index("case")["part"]
    answered = pandas.read_csv(little_set / "work" / "fold2.csv")
    assert set(answered["case"]) == set(splits[splits == "fold2"].index)
    assert len((little_set / "work" / "training_fold2.csv").read_text().splitlines()) == 2


def test_what_is_shipped_is_calibrated_by_the_folds(little_set, settings, scripts, bundle):
    """The last steps of the training command, on made-up answers of the folds that are four times too sure."""
    from monai.bundle import run

    pandas = pytest.importorskip("pandas")
    scripts.data.items(little_set, settings["splits"], [])
    splits = pandas.read_csv(settings["splits"])
    rng, work = np.random.default_rng(0), little_set / "work"
    for held in (*scripts.data.FOLDS, "none"):
        own = splits[splits["part"] == held]
        (work / f"training_{held}.csv").write_text("epoch,loss\n1,2.0\n")
        torch.save(bundle.network.state_dict(), work / f"{held}.pt")
        if held != "none":
            own = pandas.concat([own] * 60)
            logits = rng.normal(size=(len(own), 6))
            honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            target = [rng.choice(6, p=row) for row in honest]
            table = own[["case", "group"]].assign(target=target, **dict(zip(CLASSES, 4 * logits.T, strict=True)))
            table.assign(fold=held).to_csv(work / f"{held}.csv", index=False)
    run(config_file=TRAINING, **settings)
    factor = json.loads((little_set / "calibration.json").read_text())["factor_on_logits"]
    assert factor == pytest.approx(0.25, rel=0.1)
    state = torch.load(little_set / "model.pt", weights_only=True)
    np.testing.assert_allclose(state["fc.weight"], factor * bundle.network.fc.weight.detach(), rtol=1e-3)
    assert (little_set / "domain.safetensors").is_file()
    assert len(pandas.read_csv(little_set / "training.csv")) == 6


def test_a_training_that_fails_says_where_to_look(little_set, scripts):
    with pytest.raises(RuntimeError, match=r"fold1\.log"):
        scripts.folds.run_all(["missing.json"], little_set / "work", 1)


@pytest.mark.data
def test_the_card_repeats(data_dir, bundle):
    """The shipped weights give the answers that the card's figures were made from."""
    pandas = pytest.importorskip("pandas")
    from camlime.scan import Scan

    table = pandas.read_csv(BUNDLE / "docs" / "test.csv").iloc[::12]
    folder = data_dir / "colorectal_histology" / "images"
    inputs = [bundle.prepare(Scan.read(folder / f"{case}.jpg")).image for case in table["case"]]
    with torch.no_grad():
        logits = bundle.network.eval()(torch.stack(inputs))
    np.testing.assert_allclose(
        torch.softmax(logits, 1), torch.softmax(torch.tensor(table[list(CLASSES)].to_numpy()), 1), atol=0.01
    )
