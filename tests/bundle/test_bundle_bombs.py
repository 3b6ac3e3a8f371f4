"""Small bundles that would take all memory or time, end the process or misplace the grid: each is a clear error."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import DenseNet
from refusing import SCAN
from support.hostile_bundles import TINY, config, scaled_by, write

from camlime.bundle import Bundle
from camlime.bundle.pickles import MAX_NESTING, nesting
from camlime.errors import BundleError

NESTED = {f"{side}{n}": f"$[@{side}{n - 1}]*100000" if n > 1 else "$[0]*100000" for side in "ab" for n in (1, 2, 3)}
GROWING = {
    "encoder of a million million layers": (
        {"_target_": "torch.nn.TransformerEncoder", "encoder_layer": {"_target_": "torch.nn.Identity"}},
        {"num_layers": 10**12},
    ),
    "units": (
        {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [1, 1]},
        {"strides": [1], "num_res_units": 10**8},
    ),
    "blocks": ({"_target_": "DenseNet", **TINY}, {"growth_rate": 0, "block_config": [10**9]}),
}


@pytest.mark.parametrize("value", ["$round(5, -1000000000)", "$round(5, 1000000000)"])
def test_rounding_to_digits_without_end(tmp_path: Path, value: str) -> None:
    with pytest.raises(BundleError, match="at most 30 digits"):
        Bundle.load(write(tmp_path / "b", config(scaled_by(value))))


def test_rounding_is_pythons(tmp_path: Path) -> None:
    Bundle.load(write(tmp_path / "b", config(scaled_by("$round(0.26, 1) + round(2.6)")))).prepare(SCAN)


@pytest.mark.parametrize(
    "value", ["$@a3 == @b3", "$1 if @a3 in [@b3] else 0", "$max(@a3, @b3)", "$len({(1, 2): 3}[@a3])"]
)
def test_lists_of_lists_are_not_compared_without_end(tmp_path: Path, value: str) -> None:
    with pytest.raises(BundleError, match="lists that are too large"):
        Bundle.load(write(tmp_path / "b", config(scaled_by(value), **NESTED)))


@pytest.mark.parametrize("name", GROWING)
def test_networks_of_parts_without_numbers(tmp_path: Path, name: str) -> None:
    network, more = GROWING[name]
    with pytest.raises(BundleError, match="more than 1000 parts of a network"):
        Bundle.load(write(tmp_path / "b", config(network_def=network | more)))


@pytest.mark.parametrize(
    "step",
    [
        {"_target_": "torch.nn.Upsample", "scale_factor": 10**7},
        {"_target_": "DetectEnvelope", "n": 3 * 10**9},
        {"_target_": "SavitzkyGolaySmoothd", "keys": "image", "window_length": 10**9 + 1, "order": 1},
        {"_target_": "ToNumpyd", "keys": "image", "dtype": {"names": ["a"], "formats": ["S8000000"]}},
    ],
    ids=lambda step: step["_target_"],
)
def test_steps_whose_arguments_say_that_they_are_too_large(tmp_path: Path, step: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"too large|plain type"):
        Bundle.load(write(tmp_path / "b", config(step)))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_layer_among_the_steps_moves_no_grid(tmp_path: Path, lazy: bool) -> None:
    """torch's layers hand a MetaTensor's old affine on: maps would lie elsewhere in the patient."""
    steps = {"_target_": "Compose", "transforms": [{"_target_": "torch.nn.Upsample", "scale_factor": 3}], "lazy": lazy}
    with pytest.raises(BundleError, match=r"changes the grid without saying how|in a lazy composition"):
        Bundle.load(write(tmp_path / "b", config(preprocessing=steps))).prepare(SCAN)


def test_a_layer_that_keeps_the_grid_is_fine(tmp_path: Path) -> None:
    Bundle.load(write(tmp_path / "b", config({"_target_": "torch.nn.ReLU"}))).prepare(SCAN)


YAML = """
network_def: {_target_: DenseNet, spatial_dims: 2, in_channels: 1, out_channels: 2, init_features: 4, growth_rate: 2,
  block_config: [1, 1], bn_size: 1}
inferer: {_target_: SimpleInferer}
postprocessing: {_target_: Activationsd, keys: pred, softmax: true}
"""


@pytest.mark.parametrize(
    "line",
    ["x: 1" + ":1" * 250_000, "x: !!bool foo", "x: !!timestamp foo", 'x: !!int ""', "x: 1" + ":00" * 300 + ".5",
     "? 0x" + "f" * 10_000 + "\n: 1"],
    ids=["base 60", "bool", "timestamp", "int", "float", "key"],
)  # fmt: skip
def test_yaml_that_cannot_be_read_is_said_to_be(tmp_path: Path, line: str) -> None:
    Bundle.load(write(tmp_path / "good", YAML, name="inference.yaml"))
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.load(write(tmp_path / "b", f"{YAML}{line}\n", name="inference.yaml"))


@pytest.mark.parametrize("decoy", [False, True])
def test_a_tuple_in_a_tuple_without_end_does_not_end_the_process(tmp_path: Path, decoy: bool) -> None:
    deep = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."
    path = write(tmp_path / "b", config()) / "models" / "model.pt"
    with zipfile.ZipFile(path) as good:
        content = {name: good.read(name) for name in good.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        if decoy:
            archive.writestr("decoy/data.pkl", pickle.dumps({}))
        for name, data in content.items():
            archive.writestr(name, deep if name.endswith("data.pkl") else data)
    with pytest.raises(BundleError, match="objects within objects"):
        Bundle.load(tmp_path / "b")


def test_a_pickle_that_unpacks_to_more_than_any_state_dict_takes(tmp_path: Path) -> None:
    path = write(tmp_path / "b", config()) / "models" / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x02" + b"N0" * (20 << 20) + b"N.")
    with pytest.raises(BundleError, match="more than 32 MiB"):
        Bundle.load(tmp_path / "b")


def test_nor_does_it_in_files_as_older_versions_wrote_them(tmp_path: Path) -> None:
    path = write(tmp_path / "b", config()) / "models" / "model.pt"
    torch.save(DenseNet(**TINY).state_dict(), path, _use_new_zipfile_serialization=False)
    Bundle.load(tmp_path / "b")
    whole = io.BytesIO(path.read_bytes())
    for _ in range(3):
        pickle.load(whole)  # magic number, version, system
    path.write_bytes(path.read_bytes()[: whole.tell()] + b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.")
    with pytest.raises(BundleError, match="objects within objects"):
        Bundle.load(tmp_path / "b")


def test_nesting_is_that_of_the_objects() -> None:
    def deep(levels: int) -> Any:
        found: Any = 0
        for n in range(levels):
            found = (found,) if n % 2 else {"a": [1, 2], "b": found}
        return found

    for protocol in (2, 4, 5):
        shallow = [nesting(io.BytesIO(pickle.dumps(one, protocol))) for one in (0, [], [1] * 5000, {"a": [1, (2,)]})]
        assert shallow[0] == 0 and shallow[1] <= shallow[2] <= 2 and 2 <= shallow[3] <= 4
        assert 40 <= nesting(io.BytesIO(pickle.dumps(deep(40), protocol))) <= 90
        assert nesting(io.BytesIO(pickle.dumps(deep(150), protocol))) == MAX_NESTING + 1
    with pytest.raises(ValueError, match=r"."):
        nesting(io.BytesIO(b"K\x01t."))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bits8, torch.uint64], ids=str)
def test_weights_of_unusual_kinds(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = DenseNet(**TINY).state_dict()
    name = "features.conv0.weight"
    weights[name] = torch.empty(weights[name].shape, dtype=dtype)
    with pytest.raises(BundleError, match="not an ordinary tensor"):
        Bundle.load(write(tmp_path / "b", config(), weights=weights))
