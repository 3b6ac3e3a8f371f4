"""The shipped brain tumour bundle: its configs agree, its weights load, its training runs, its figures are true."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from support.bundle_scripts import BUNDLES, config, scripts_of

BUNDLE = BUNDLES / "brain_tumor_mr"
TRAINING = [str(BUNDLE / "configs" / f"{name}.json") for name in ("inference", "train")]


@pytest.fixture(scope="module")
def network():
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(BUNDLE / "models" / "model.pt", weights_only=True), strict=True)
    return network


@pytest.fixture(scope="module")
def bundle():
    from camlime.bundle import Bundle

    return Bundle.load(BUNDLE)


@pytest.fixture
def scripts(monkeypatch):
    return scripts_of(BUNDLE, monkeypatch, "batches", "data", needs=("pandas", "sklearn", "ignite"))


def test_nothing_is_said_twice():
    """Training and evaluation are laid over inference, and repeat none of it."""
    for name in ("train", "evaluate"):
        assert not {"network_def", "network", "preprocessing", "device", "bundle_root"} & set(config(BUNDLE, name))
    assert not set(config(BUNDLE, "train")) & set(config(BUNDLE, "evaluate")) - {"+imports", "run"}


def test_the_input_is_the_same_everywhere(bundle):
    steps = {step["_target_"]: step for step in config(BUNDLE, "inference")["preprocessing"]["transforms"]}
    size, spacing = steps["ResizeWithPadOrCropd"]["spatial_size"], steps["Spacingd"]["pixdim"]
    assert config(BUNDLE, "metadata")["network_data_format"]["inputs"]["image"]["spatial_shape"] == size
    assert bundle.field_of_view_mm == tuple(n * mm for n, mm in zip(size, spacing, strict=True))


def test_weights_are_small_and_a_plain_slice_has_an_answer(network):
    assert (BUNDLE / "models" / "model.pt").stat().st_size < 25e6
    with torch.no_grad():
        logits = network(torch.rand(2, 1, 128, 128))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()


def test_the_engine_needs_no_trust_and_assumes_nothing(bundle):
    assert not bundle.trusted_code
    assert bundle.assumptions == ()
    assert bundle.class_names == ("glioma", "meningioma", "pituitary_tumor")


def test_neighbours_lie_in_one_part(scripts):
    pandas = pytest.importorskip("pandas")
    splits = pandas.read_csv(BUNDLE / "docs" / "splits.csv", dtype=str)
    assert (splits[splits["part"] != "left_out"].groupby("group")["part"].nunique() == 1).all()
    number, part = splits["case"].astype(int).to_numpy(), splits["part"].to_numpy()
    kept = [i for i in np.argsort(number) if part[i] != "left_out"]
    for a, b in itertools.pairwise(kept):
        assert part[a] == part[b] or number[b] - number[a] > scripts.data.SEAM
    assert scripts.data.SEAM >= 3


def test_splits_are_drawn_by_group_with_gaps(scripts):
    pandas = pytest.importorskip("pandas")
    rows = [(n, f"block{n // 40:03d}", n // 400) for n in range(1200)]
    cases = pandas.DataFrame(rows, columns=["number", "group", "target"])
    cases = cases.assign(case=cases["number"].astype(str), label=cases["target"].astype(str))
    splits = scripts.data.make_splits(cases, seed=3)
    part = splits["part"].to_numpy()
    for i, own in enumerate(part):
        if own != "left_out":
            near = part[max(0, i - scripts.data.SEAM) : i + scripts.data.SEAM + 1]
            assert {own, "left_out"} >= set(near)
    for target in range(3):
        inside = part[target * 400 : (target + 1) * 400]
        assert {"train", "validation", "test"} <= set(inside)
        assert np.mean(inside == "test") >= 0.15


@pytest.fixture
def little_set(tmp_path):
    """Eighteen pictures with a square of the class's own brightness, and a table of parts."""
    pandas = pytest.importorskip("pandas")
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    for n in range(18):
        target = n % 3
        image = rng.integers(0, 60, (256, 256)).astype(np.uint8)
        mask = np.zeros((256, 256), np.uint8)
        x, y = rng.integers(60, 160, 2)
        mask[y : y + 30, x : x + 30] = 255
        image[mask > 0] = 100 + 60 * target
        for folder, values, suffix in (("images", image, "jpg"), ("masks", mask, "png")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / f"{n:04d}.{suffix}")
        label = ("glioma", "meningioma", "pituitary_tumor")[target]
        rows.append((f"{n:04d}", f"block{n % 3}", label, f"images/{n:04d}.jpg", f"masks/{n:04d}.png"))
    pandas.DataFrame(rows, columns=["case", "group", "label", "image", "mask"]).to_csv(
        tmp_path / "cases.csv", index=False
    )
    parts = pandas.DataFrame({"case": [row[0] for row in rows], "part": ["train"] * 12 + ["validation"] * 6})
    parts.to_csv(tmp_path / "splits.csv", index=False)
    return tmp_path


def test_training_runs_from_the_configs(little_set, scripts):
    from monai.bundle import run

    run(
        config_file=TRAINING,
        bundle_root=str(BUNDLE),
        dataset_dir=str(little_set),
        docs_dir=str(little_set),
        splits=str(little_set / "splits.csv"),
        model_path=str(little_set / "model.pt"),
        domain_path=str(little_set / "domain.safetensors"),
        epochs=3,
        batch_size=4,
    )
    log = (little_set / "training.csv").read_text().splitlines()
    assert len(log) == 4
    assert [len(line.split(",")) for line in log] == [5] * 4
    assert float(log[3].split(",")[1]) < float(log[1].split(",")[1])
    state = torch.load(little_set / "model.pt", weights_only=True)
    shipped = torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    assert {name: value.shape for name, value in state.items()} == {k: v.shape for k, v in shipped.items()}
    assert (little_set / "domain.safetensors").is_file()


def test_pictures_become_slices_of_known_size(scripts, little_set):
    """A picture goes through the bundle's own preprocessing as a slice of a volume with the same pixels does."""
    from monai.bundle import ConfigParser

    from camlime.bundle import Bundle
    from camlime.scan import Scan

    parser = ConfigParser()
    parser.read_config(TRAINING)
    parser["dataset_dir"] = str(little_set)
    item = scripts.data.items(little_set, little_set / "splits.csv", "train")[0]
    data = dict(item)
    for step in parser.get_parsed_content("reading"):
        data = step(data)
    pixels = Scan.read(item["image"]).image
    slice_ = Scan.from_array(pixels, np.diag([-250 / 256, -250 / 256, 1, 1]))
    np.testing.assert_allclose(data["image"], Bundle.load(BUNDLE).prepare(slice_).image, atol=1e-4)
    assert data["mask"].shape == data["image"].shape == (1, 128, 128)
    assert set(np.unique(data["mask"])) == {0, 1}


@pytest.mark.data
def test_the_card_repeats(data_dir, scripts, bundle):
    """The shipped weights give the probabilities that the card's figures were made from."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(BUNDLE / "docs" / "test.csv", dtype={"case": str})
    table = table.iloc[:: max(len(table) // 40, 1)]
    images = _inputs(data_dir, scripts, table["case"])
    with torch.no_grad():
        probability = torch.softmax(bundle.network(images), 1).numpy()
    np.testing.assert_allclose(probability, table[list(bundle.class_names)], atol=0.01)


@pytest.mark.data
def test_slices_of_other_sequences_are_flagged_and_the_sets_own_are_not(data_dir, scripts, bundle):
    """What the card states, from ``docs/domain.json``, found again."""
    pandas = pytest.importorskip("pandas")
    from camlime.domain import Domain, answers_and_features
    from camlime.pipeline import classifier_of
    from camlime.scan import Scan
    from camlime.slices import classify_slices

    stated = json.loads((BUNDLE / "docs" / "domain.json").read_text())
    domain, classifier = Domain.of(bundle), classifier_of(bundle, device="cpu")
    assert domain.threshold == pytest.approx(stated["threshold"], abs=1e-3)
    table = pandas.read_csv(BUNDLE / "docs" / "test.csv", dtype={"case": str})
    images = _inputs(data_dir, scripts, table["case"].iloc[::4])
    scores = domain.scores(answers_and_features(classifier, images, domain.layers)[1])
    assert np.mean(scores > domain.threshold) < stated["flagged_share"]["test"] + 0.08
    for folder in sorted((data_dir / "dicom" / "brain_mr").iterdir()):
        answers = classify_slices(Scan.read(folder), bundle, plane="axial", classifier=classifier)
        row = stated["series"][f"{folder.name}, axial"]
        within = [a.index for a in answers.answers if a.score is not None and a.score <= answers.threshold]
        assert within == row["not_flagged"]
        doubted = any("may not be a T1-weighted series" in text for text in answers.warnings)
        assert doubted == ("T1post" not in folder.name)


@pytest.mark.data
def test_no_slice_of_an_outside_series_is_classified_with_confidence(data_dir, bundle):
    """Slices 17 to 19 show no tumour, and the network would call them meningioma: its score does not tell.

    One that a person named has a class, if it is in the domain; of another sequence none has, whoever named it.
    """
    from camlime.scan import Scan
    from camlime.slices import classify_slices

    for folder in sorted((data_dir / "dicom" / "brain_mr").iterdir()):
        scan = Scan.read(folder)
        answers = classify_slices(scan, bundle, plane="axial", device="cpu")
        assert all(answer.class_name is None and answer.flag is not None for answer in answers.answers)
        named = classify_slices(scan, bundle, plane="axial", seen=[0, 8], device="cpu")
        with_class = [answer.index for answer in named.answers if answer.class_name is not None]
        assert with_class == ([8] if "T1post" in folder.name else [])
        if "T1post" in folder.name:
            assert [answers[n].class_if_present for n in (17, 18, 19)] == ["meningioma"] * 3
            assert {answers[n].flag for n in (17, 18, 19)} == {"unconfirmed"}
        else:
            assert {answer.flag for answer in answers.answers} == {"other sequence"}


def _inputs(data_dir, scripts, cases):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(TRAINING)
    reading = parser.get_parsed_content("reading")
    rows = scripts.data.read_cases(data_dir / "brain_tumor_mr").set_index("case").loc[list(cases)]
    images = []
    for row in rows.itertuples():
        data = {"image": row.image, "mask": row.mask}
        for step in reading:
            data = step(data)
        images.append(data["image"].as_tensor())
    return torch.stack(images)
