"""The shipped lung nodule bundle: its configs agree, its weights load, its training code keeps its promises."""

import json

import numpy as np
import pytest
import torch
from support.bundle_scripts import BUNDLES, config, scripts_of

BUNDLE = BUNDLES / "lung_nodule_ct"


def laid_over(*names):
    """The configs merged as MONAI merges ``--config_file "['configs/inference.json', ...]"``."""
    from monai.bundle import ConfigParser

    return ConfigParser(ConfigParser.load_config_files([BUNDLE / "configs" / f"{name}.json" for name in names]))


@pytest.fixture(scope="module")
def network():
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    return parser.get_parsed_content("network_def").eval()


@pytest.fixture
def scripts(monkeypatch):
    return scripts_of(
        BUNDLE, monkeypatch, "augment", "data", "probes", "statistics", "trainee", "training", needs=("pandas",)
    )


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_nothing_is_said_twice(name):
    """Training is laid over inference, evaluation over both: they repeat none of it."""
    assert not (set(config(BUNDLE, name)) - {"run"}) & set(config(BUNDLE, "inference"))


def test_box_is_the_same_everywhere(scripts):
    size = config(BUNDLE, "inference")["preprocessing"]["transforms"][-1]["spatial_size"]
    spacing = next(
        t for t in config(BUNDLE, "inference")["preprocessing"]["transforms"] if t["_target_"] == "Spacingd"
    )["pixdim"]
    augment = laid_over("inference", "train", "evaluate").get_parsed_content("augment")
    assert config(BUNDLE, "metadata")["network_data_format"]["inputs"]["image"]["spatial_shape"] == size == augment.grid
    assert augment.spacing == spacing
    millimetres = [n * s for n, s in zip(size, spacing, strict=True)]
    assert config(BUNDLE, "explain")["explain"]["field_of_view_mm"] == pytest.approx(millimetres)


def test_weights_load_strictly_and_are_small(network):
    path = BUNDLE / "models" / "model.pt"
    assert path.stat().st_size < 25e6
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    size = config(BUNDLE, "inference")["preprocessing"]["transforms"][-1]["spatial_size"]
    with torch.no_grad():
        logits = network(torch.full((1, 1, *size), 0.09375))
    assert logits.shape == (1, 2)
    assert torch.isfinite(logits).all()


def test_no_patient_lies_in_two_parts():
    pandas = pytest.importorskip("pandas")
    splits = pandas.read_csv(BUNDLE / "docs" / "splits.csv", dtype=str)
    assert (splits.groupby("patient")["part"].nunique() == 1).all()
    assert set(splits["part"]) == {"0", "1", "2", "3", "4", "test"}


def volumes_of(scripts, image, low, high):
    voxels = torch.stack([image, torch.zeros_like(image)])[None]
    return scripts.data.Volumes(voxels, torch.tensor([low]), torch.tensor([high]))


def still(scripts, grid, **changes):
    """Augmentation without any change but those asked for."""

    class Upright(scripts.augment.Augment):
        def _positions(self, uniform):
            axes = [torch.arange(n) - n // 2 for n in self.grid]
            return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).float()[None]

    nothing = {"shift_mm": (0, 0, 0), "scale": 0, "cut_probability": 0, "gain": 0, "offset": 0, "noise": 0}
    return Upright(grid, (0.85, 0.85, 1.0), **{**nothing, "edge_probability": 0.0, "fill": (0.5, 0.5), **changes})


def test_augmentation_that_changes_nothing_is_the_inference_box(scripts):
    from monai.transforms import ResizeWithPadOrCrop

    image = torch.rand(48, 48, 16)
    volumes = volumes_of(scripts, image, [0, 0, 0], [47, 47, 15])
    view = still(scripts, (32, 32, 8))(volumes, torch.tensor([0]), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(view[0, 0], np.asarray(ResizeWithPadOrCrop((32, 32, 8))(image[None]))[0], atol=1e-5)


def test_padding_stands_where_the_preprocessing_pads(scripts):
    from monai.transforms import ResizeWithPadOrCrop

    crop = torch.rand(28, 27, 5)
    low = [(n - s) // 2 for n, s in zip((48, 48, 16), crop.shape, strict=True)]
    high = [a + s - 1 for a, s in zip(low, crop.shape, strict=True)]
    image = torch.zeros(48, 48, 16)
    image[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = crop
    view = still(scripts, (32, 32, 8))(
        volumes_of(scripts, image, low, high), torch.tensor([0]), torch.Generator().manual_seed(0)
    )
    expected = ResizeWithPadOrCrop((32, 32, 8), constant_values=0.5)(crop[None])
    np.testing.assert_allclose(view[0, 0], np.asarray(expected)[0], atol=1e-5)


def test_cuts_shorten_the_box_to_the_wanted_range(scripts):
    volumes = volumes_of(scripts, torch.ones(48, 48, 16), [0, 0, 0], [47, 47, 15])
    augment = still(scripts, (32, 32, 8), cut_probability=1.0, shortest_mm=3.0, fill=(0.0, 0.0))
    generator = torch.Generator().manual_seed(0)
    kept = {int(augment(volumes, torch.tensor([0]), generator)[0, 0, 16, 16].sum()) for _ in range(60)}
    assert min(kept) >= 2
    assert max(kept) <= 8
    assert len(kept) >= 4


def test_shipped_network_says_what_calibration_makes_of_the_trained_one(scripts, network):
    training = scripts.training
    trained = scripts.trainee.Trainee(network, 9).eval()
    box = torch.rand(2, 1, 32, 32, 8)
    with torch.no_grad():
        before = training.log_odds(trained(box)[0].numpy())
    shipped = scripts.trainee.narrow(network, trained.network.state_dict(), slope=0.5, intercept=-1.0)
    np.testing.assert_allclose(training.log_odds(training.predict(shipped, box)), 0.5 * before - 1.0, atol=1e-4)


def test_trainee_is_the_network_itself(scripts, network):
    trained = scripts.trainee.Trainee(network, 9).eval()
    box = torch.rand(2, 1, 32, 32, 8)
    with torch.no_grad():
        outputs, outline = trained(box)
        np.testing.assert_allclose(outputs, trained.network(box), atol=1e-5)
    assert outline.shape == scripts.trainee.coarse(box).shape


def test_area_agrees_with_counting_pairs(scripts):
    rng = np.random.default_rng(0)
    target, score = rng.integers(0, 2, 60), rng.integers(0, 9, 60).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[target == 1] for b in score[target == 0]]
    assert scripts.statistics.auc(target, score) == pytest.approx(np.mean(pairs))


def test_bootstrap_of_a_score_with_itself_is_zero(scripts):
    rng = np.random.default_rng(0)
    target, score, patient = rng.integers(0, 2, 60), rng.normal(size=60), np.arange(60) // 2
    result = scripts.statistics.bootstrap(target, {"a": score, "b": score}, patient, "a", draws=50)
    assert result["b"]["minus_a_95"] == [0.0, 0.0]


def test_cut_probe_keeps_only_the_central_slices(scripts):
    boxes = torch.rand(1, 1, 4, 4, 8)
    spoilt = scripts.probes.cut(boxes, 4)
    assert torch.equal(spoilt[..., 2:6], boxes[..., 2:6])
    assert (spoilt[..., [0, 1, 6, 7]] == scripts.probes.LUNG).all()


def test_explanation_runs_from_the_configs_alone(tmp_path):
    """``python -m monai.bundle run`` on explain.json, which names the engine, gives what the command line gives."""
    from monai.bundle import run

    from camlime import explain
    from camlime.phantom import chest_ct_nodule
    from camlime.scan import save_volume

    scan, centre, _ = chest_ct_nodule(0)
    crop = scan.crop(centre, 40.0)
    path = save_volume(tmp_path / "nodule.nii.gz", crop.image[0].numpy(), crop.affine)
    run(
        config_file=str(BUNDLE / "configs" / "explain.json"),
        bundle_root=str(BUNDLE),
        scan=str(path),
        output_dir=str(tmp_path / "out"),
        budget=64,
        device_name="cpu",
        methods=["gradcam", "lime"],
    )
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    here = explain(path, BUNDLE, methods=["gradcam", "lime"], budget=64, device="cpu")
    assert record["prediction"]["probabilities"] == pytest.approx(dict(here.prediction.probabilities))
    assert [row["weight"] for row in record["regions"]] == pytest.approx([row["weight"] for row in here.region_table()])


@pytest.fixture
def little_set(tmp_path):
    """Crops of 24 patients with a ball, larger and brighter where malignant; five folds and a test part."""
    nib, pandas = pytest.importorskip("nibabel"), pytest.importorskip("pandas")
    from scripts.data import SCORES

    rng, rows, parts = np.random.default_rng(0), [], []
    distance = np.linalg.norm(np.stack(np.indices((40, 40, 12)), -1) - [20, 20, 6], axis=-1)
    affine = np.diag([0.8, 0.8, 1.0, 1])
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for n in range(24):
        malignant = n % 2
        ball = distance < 3 + 2 * malignant
        image = rng.normal(-850, 40, ball.shape)
        image[ball] = -200 + 200 * malignant
        for folder, values in (("images", image), ("masks", ball)):
            nib.save(nib.Nifti1Image(values.astype(np.int16), affine), tmp_path / folder / f"{n}.nii.gz")
        row = {
            "case": f"c{n}",
            "patient": f"p{n}",
            "label": ("benign", "malignant")[malignant],
            "diameter_mm": 5 + rng.uniform(),
        }
        row |= {name: int(rng.integers(1, 6)) for name in SCORES} | {"calcification": ("Absent", "Solid")[n % 3 == 0]}
        rows.append(row | {"image": f"images/{n}.nii.gz", "mask": f"masks/{n}.nii.gz"})
        parts.append({"case": f"c{n}", "patient": f"p{n}", "part": "test" if n >= 20 else str(n // 4)})
    pandas.DataFrame(rows).to_csv(tmp_path / "cases.csv", index=False)
    pandas.DataFrame(parts).to_csv(tmp_path / "splits.csv", index=False)
    return tmp_path


def test_training_and_evaluation_run_from_the_configs(scripts, little_set):
    """As documented: training laid over inference, evaluation over both; all files of the card are written."""
    from monai.bundle import run

    configs = [str(BUNDLE / "configs" / f"{name}.json") for name in ("inference", "train", "evaluate")]
    places = {"bundle_root": str(BUNDLE), "dataset_dir": str(little_set), "docs_dir": str(little_set)}
    places |= {"model_path": str(little_set / "model.pt"), "workers": 1}
    run(config_file=configs[:2], **places, **{"recipe::epochs": 1, "recipe::batch_size": 4})
    state = torch.load(little_set / "model.pt", weights_only=True)
    shipped = torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    assert {name: value.shape for name, value in state.items()} == {k: v.shape for k, v in shipped.items()}
    run(config_file=configs, **places)
    results = json.loads((little_set / "results.json").read_text())
    assert (results["out_of_fold"]["cases"], results["test"]["cases"]) == (20, 4)
    written = {path.name for path in little_set.iterdir()}
    shipped = {path.name for path in (BUNDLE / "docs").iterdir() if "tried" not in path.name}
    assert written >= shipped - {"README.md", "data_license.txt", "evidence_card.md"}
