"""The lung nodule bundle's further recipes: each lever does what its name says, the choice among tries is honest."""

import json

import numpy as np
import pytest
import torch
from support.bundle_scripts import BUNDLES, scripts_of

BUNDLE = BUNDLES / "lung_nodule_ct"


@pytest.fixture
def scripts(monkeypatch):
    return scripts_of(BUNDLE, monkeypatch, "objective", "trainee", "training", "tried", "tries", needs=("pandas",))


@pytest.fixture(scope="module")
def network():
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    return parser.get_parsed_content("network_def").eval()


def tries_of(scripts):
    return json.loads(scripts.tries.TRIES.read_text())


def test_changes_reach_into_dictionaries_and_lists_and_leave_the_original_alone(scripts):
    config = {"a": {"b": 1, "c": [{"d": 2}, {"d": 3}]}, "e": 4}
    result = scripts.tries.changed(config, {"a": {"c": {"1": {"d": 5}}}})
    assert result == {"a": {"b": 1, "c": [{"d": 2}, {"d": 5}]}, "e": 4}
    assert config["a"]["c"][1]["d"] == 3


def test_every_try_is_a_plan_whose_box_the_views_and_the_preprocessing_share(scripts):
    from monai.bundle import ConfigParser

    train = ConfigParser.load_config_files([BUNDLE / "configs" / f"{name}.json" for name in ("inference", "train")])
    for name, entry in tries_of(scripts).items():
        config = scripts.tries.changed(train, entry.get("changes", {}))
        parser = ConfigParser(config)
        box = config["preprocessing"]["transforms"][-1]["spatial_size"]
        assert parser.get_parsed_content("augment").grid == box, name
        # Unknown settings of a recipe fail here and not after an hour of training.
        for part in ("network_def", "augment", "recipe"):
            parser.get_parsed_content(part)


def test_teachers_are_trained_before_those_whom_they_teach(scripts):
    names = list(scripts.tries.members(tries_of(scripts)))
    for name, (entry, _) in scripts.tries.members(tries_of(scripts)).items():
        for teacher in entry.get("teachers", []):
            assert names.index(teacher) < names.index(name)


def test_table_has_a_row_for_each_try(scripts):
    pandas = pytest.importorskip("pandas")
    rows = set(pandas.read_csv(BUNDLE / "docs" / "tried.csv")["name"])
    assert {"diameter", "mask_volume", "shipped", "chosen", *scripts.tries.members(tries_of(scripts))} <= rows


def answer(logits):
    outputs = torch.zeros(2, 11)
    outputs[:, 1] = torch.tensor(logits)
    return outputs, torch.zeros(2, 1, 8, 8, 4)


def loss(scripts, auxiliary, class_weight=1.0, target=(0.0, 1.0), **changes):
    recipe = scripts.training.Recipe(outline_weight=0.0, **changes)
    mask = torch.zeros(2, 1, 32, 32, 8)
    return scripts.objective.loss_function(
        answer([0.0, 0.0]), torch.tensor(target), auxiliary, mask, recipe, class_weight
    ).item()


def test_size_weight_scales_diameter_and_volume_only(scripts):
    score, size = torch.zeros(2, 9), torch.zeros(2, 9)
    score[:, 0], size[:, -1] = 1.0, 1.0
    assert loss(scripts, score, size_weight=4.0) == pytest.approx(loss(scripts, score))
    none = loss(scripts, torch.zeros(2, 9))
    assert loss(scripts, size, size_weight=4.0) - none == pytest.approx(4 * (loss(scripts, size) - none), rel=1e-5)


def test_class_counts_nothing_while_only_the_outline_is_learnt(scripts):
    nothing = torch.zeros(2, 9)
    assert loss(scripts, nothing, class_weight=0.0, target=(0.0, 1.0)) == 0
    assert loss(scripts, nothing, class_weight=1.0, target=(0.0, 1.0)) == pytest.approx(np.log(2))


def test_mixing_keeps_share_and_partner_together(scripts):
    views, goal = torch.rand(3, 2, 4, 4, 2), torch.tensor([0.0, 1.0, 1.0])
    share, order = torch.tensor([0.25, 0.0, 1.0]), torch.tensor([2, 0, 1])
    mixed_views, mixed_goal = scripts.objective.mixed(share, order, views, goal)
    torch.testing.assert_close(mixed_views[0], 0.75 * views[0] + 0.25 * views[2])
    torch.testing.assert_close(mixed_views[1], views[1])
    torch.testing.assert_close(mixed_views[2], views[1])
    torch.testing.assert_close(mixed_goal, torch.tensor([0.25, 1.0, 1.0]))


class Says(torch.nn.Module):
    """A network that always answers with the same log-odds."""

    def __init__(self, odds):
        super().__init__()
        self.odds = odds

    def forward(self, images):
        return torch.tensor([0.0, self.odds]).expand(len(images), 2)


def test_teachers_are_averaged_in_log_odds_and_mixed_with_the_label(scripts):
    goal = scripts.objective.taught(torch.tensor([0.0, 1.0]), torch.zeros(2, 1, 4, 4, 2), [Says(1.0), Says(3.0)], 0.75)
    taught = 0.75 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(goal, [taught, taught + 0.25], rtol=1e-6)


def test_finer_map_lies_on_the_cells_of_the_first_stage(scripts, network):
    """A single voxel in the outline: the cell whose centre it is says most, and the network's map has that grid."""
    box = torch.zeros(1, 1, 32, 32, 8)
    box[0, 0, 10, 20, 5] = 1
    _, outline, finer = scripts.trainee.Trainee(network, 9, fine=True).eval()(box)
    target = scripts.trainee.fine(box)
    assert finer.shape == target.shape == (1, 1, 16, 16, 8)
    assert outline.shape == scripts.trainee.coarse(box).shape
    assert target[0, 0, 5, 10, 5] == pytest.approx(1 / 9)
    assert target.sum() == pytest.approx(1 / 9)


def test_size_in_view_is_that_of_what_the_view_shows(scripts):
    mask = torch.zeros(2, 1, 32, 32, 8)
    mask[0, 0, 10:14, 10:15, 2:5] = 1
    mask[0, 0, 10:16, 10:16, 4] = 1
    size = scripts.trainee.size_in_view(mask)
    volume, area = 4 * 5 * 2 + 36, 36
    np.testing.assert_allclose(size[0], [np.log(area + 4) - 4.3, (np.log(volume + 4) - 5.6) / 1.4], rtol=1e-5)
    assert torch.isfinite(size[1]).all()


def test_mirroring_averages_all_eight_images(scripts):
    class Corner(torch.nn.Module):
        def forward(self, boxes):
            return torch.stack([torch.zeros(len(boxes)), boxes[:, 0, 0, 0, 0]], 1)

    boxes = torch.rand(2, 1, 2, 2, 2)
    expected = boxes.flatten(1).mean(1)
    np.testing.assert_allclose(scripts.tries.mirrored_log_odds(Corner(), boxes), expected, rtol=1e-5)


def test_choice_on_other_folds_never_sees_the_fold_it_is_judged_on(scripts):
    target = np.tile([0, 0, 1, 1], 3)
    fold = np.repeat(["0", "1", "2"], 4)
    perfect, noise = target.astype(float), np.tile([0.0, 1.0, 0.0, 1.0], 3)
    # "lucky" is perfect on fold 0 and wrong elsewhere: it must not be chosen for fold 0.
    lucky = np.where(fold == "0", perfect * 9, -perfect)
    names, score = scripts.tried.choose_on_other_folds(target, fold, {"lucky": lucky, "noise": noise})
    assert names[0] == "noise"
    np.testing.assert_array_equal(score[fold == "0"], noise[fold == "0"])


def test_figures_are_those_of_the_answers(scripts, tmp_path):
    """A small set: numbers as found by hand, and a try that equals the shipped run differs by nothing."""
    nib, pandas = pytest.importorskip("nibabel"), pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    cases = pandas.DataFrame({"case": [f"c{i}" for i in range(24)], "patient": [f"p{i // 2}" for i in range(24)]})
    cases["label"] = np.where(np.arange(24) % 3 == 0, "malignant", "benign")
    cases["diameter_mm"] = rng.uniform(4, 20, 24)
    image = nib.Nifti1Image(np.ones((2, 2, 2), np.int16), np.eye(4))
    nib.save(image, tmp_path / "one.nii.gz")
    cases["image"] = cases["mask"] = "one.nii.gz"
    cases.to_csv(tmp_path / "cases.csv", index=False)
    answers = cases[["case", "patient"]].assign(fold=np.arange(24) // 2 % 2, target=(cases["label"] == "malignant") * 1)
    answers.assign(log_odds=rng.normal(size=24).round(4)).to_csv(tmp_path / "out_of_fold.csv", index=False)
    shipped = pandas.read_csv(tmp_path / "out_of_fold.csv")["log_odds"]
    other = rng.normal(size=24)
    for name, odds in (("again_1", shipped), ("other_1", other)):
        cases[["case"]].assign(log_odds=odds, mirrored=odds).to_csv(tmp_path / f"{name}.csv", index=False)
    what = {"again_1": "again", "other_1": "other", "half_1": "broken off", "never_1": "not run"}
    half = cases[["case"]].assign(log_odds=np.where(np.arange(24) // 2 % 2 == 0, other, np.nan), mirrored=np.nan)
    half.to_csv(tmp_path / "half_1.csv", index=False)
    scripts.tried.write_answers(tmp_path, tmp_path, list(what))
    scripts.tried.write_figures(tmp_path, tmp_path, what, draws=20)
    table = pandas.read_csv(tmp_path / "tried.csv").set_index("name")
    assert table.loc["again_1", "pooled_minus_shipped"] == table.loc["again_1", "within_minus_shipped_high"] == 0
    expected = scripts.tried.auc(answers["target"].to_numpy(), other)
    assert table.loc["other_1", "pooled"] == pytest.approx(expected, abs=6e-4)
    first = (answers["fold"] == 0).to_numpy()
    expected = scripts.tried.auc(answers["target"].to_numpy()[first], cases["diameter_mm"].to_numpy()[first])
    assert table.loc["diameter", "fold_0"] == pytest.approx(expected, abs=6e-4)
    assert pandas.isna(table.loc["diameter", "pooled_minus_diameter"])
    assert table.loc["half_1", "fold_0"] == table.loc["other_1", "fold_0"]
    assert table.loc["half_1", ["fold_1", "pooled", "within"]].isna().all()
    assert table.loc["never_1"].drop("what").isna().all()


@pytest.mark.parametrize("levers", ["mixup", "measure"])
def test_a_taught_training_runs_from_plan_to_answers(scripts, network, tmp_path, levers):
    """Two folds, one epoch, six cases: broken off, gone on with, and taught by the networks of the same fold."""
    pandas = pytest.importorskip("pandas")
    from scripts.augment import Augment
    from scripts.crossval import Plan
    from scripts.data import SCORES, Volumes
    from scripts.study import Study

    changes = tries_of(scripts)[levers]["changes"]["recipe"]
    rng = np.random.default_rng(0)
    cases = pandas.DataFrame({name: rng.integers(1, 6, 6) for name in SCORES})
    cases = cases.assign(
        case=[f"c{i}" for i in range(6)], target=[0, 1, 0, 1, 0, 1], calcification=["Absent", "Solid"] * 3
    )
    cases = cases.assign(diameter_mm=rng.uniform(4, 20, 6), mask_volume_mm3=rng.uniform(50, 900, 6))
    voxels = torch.rand(6, 2, 48, 48, 16)
    volumes = Volumes(voxels, torch.zeros(6, 3, dtype=torch.long), torch.tensor([[47, 47, 15]] * 6))
    study = Study(cases, np.array(["0", "0", "1", "1", "0", "1"]), voxels[:, :1, 8:40, 8:40, 4:12], volumes)
    recipe = scripts.training.Recipe(epochs=1, batch_size=3, **changes)
    plan = Plan(study, network, Augment((32, 32, 8), (0.85, 0.85, 1.0)), recipe, 0)
    scripts.tries.train_member(plan, "teacher", [], tmp_path, folds=1)
    assert not scripts.tries.finished(tmp_path, "teacher")
    first = pandas.read_csv(tmp_path / "teacher.csv")["log_odds"]
    assert list(first.isna()) == list(study.part == "1")
    scripts.tries.train_member(plan, "teacher", [], tmp_path)
    assert scripts.tries.finished(tmp_path, "teacher")
    assert (pandas.read_csv(tmp_path / "teacher.csv")["log_odds"] == first)[study.part == "0"].all()
    scripts.tries.train_member(plan, "pupil", ["teacher"], tmp_path)
    answers = {name: pandas.read_csv(tmp_path / f"{name}.csv") for name in ("teacher", "pupil")}
    assert list(answers["pupil"]["case"]) == list(cases["case"])
    assert np.isfinite(answers["pupil"][["log_odds", "mirrored"]].to_numpy()).all()
    # Same seed, same views: only what the teacher said differs.
    assert not np.allclose(answers["pupil"]["log_odds"], answers["teacher"]["log_odds"])
