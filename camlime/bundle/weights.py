"""A bundle's weights: found, hashed, read without running code, and fitted to the network."""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from camlime.archives import is_zip
from camlime.bundle.config import BundleFolder
from camlime.bundle.pickles import MAX_NESTING, nesting
from camlime.errors import BundleError, UntrustedBundleError

MAX_WEIGHT_BYTES = 8 * 1024**3
MAX_PICKLE_BYTES = 32 << 20
"""Of a checkpoint without its tensors' numbers; that of a network of a thousand tensors has 0.2 MB."""

WEIGHT_FILES = ("models/model.pt", "models/model.safetensors", "models/model.ts")
"""Best first; the last is TorchScript, which is code."""

_NESTED = ("model", "state_dict", "network", "net", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")
_REFUSED_GLOBAL = re.compile(
    r"(?:Unsupported global: GLOBAL|Unsupported class|Trying to (?:call reduce for|load unsupported GLOBAL)) (\S+)"
)
_SHOWN_KEYS = 4
_PICKLES_IN_OLD_FILES = 5
"""Of torch before 1.6: a magic number, a version, the system, the content, the names of the tensors' numbers."""

_NUMBERS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8}
    | {torch.uint8, torch.bool}
)


def find_weights(folder: BundleFolder) -> str:
    """Return the name of the bundle's weights, such as ``models/model.pt``.

    Raises:
        BundleError: there are none.
        UntrustedBundleError: a link leads out of the bundle.
    """
    for name in WEIGHT_FILES:
        if folder.find(name) is not None:
            return name
    hint = "put them there"
    if any(folder.find(f"large_files.{suffix}") for suffix in ("yml", "yaml")):
        hint = "this copy of the bundle came without its large files: fetch it with python -m monai.bundle download"
    raise BundleError(f"the bundle {folder.root} has no weights ({' or '.join(WEIGHT_FILES)})", hint=hint)


def is_torchscript(name: str) -> bool:
    """Whether weights of that name are TorchScript, which is code."""
    return name.endswith(".ts")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint as plain tensors by name; nothing in it is run.

    Args:
        path: ``.pt`` (a state dict, or one nested under ``model``, ``state_dict``, ``network`` or ``net``) or
            ``.safetensors``.

    Raises:
        BundleError: empty, truncated, too large, or not a checkpoint.
        UntrustedBundleError: it holds more than tensors; names what it asks for.
    """
    _check_file(path)
    if path.suffix == ".safetensors":
        try:
            content = dict(load_file(path, device="cpu"))
        except (SafetensorError, OSError, ValueError) as error:
            raise BundleError(f"the weights {path} are damaged: {error}", hint="copy the file again") from error
        _check_tensors(content, path)
        return content
    return _state_dict(_load_pickle(path), path)


def fit_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into the network, in place.

    Raises:
        BundleError: they belong to another network, or hold values that are not finite; names some of them.
    """
    if any(is_lazy(value) for value in [*network.parameters(), *network.buffers()]):
        raise BundleError("the network has lazy layers, whose sizes are not known", hint="write the sizes out")
    own = network.state_dict()
    given = {_strip(name, own): value for name, value in weights.items()}
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in own]
    wrong = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    findings = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN_KEYS])}{', ...' if len(names) > _SHOWN_KEYS else ''}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if findings:
        raise BundleError(
            f"the weights {path} belong to another network than the config's ({'; '.join(findings)})",
            hint="check network_def in the inference config",
        )
    with torch.no_grad():
        network.load_state_dict(given, strict=False)
    bad = [
        name for name, value in network.state_dict().items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if bad:
        raise BundleError(
            f"the weights {path} hold values that are not numbers (NaN or infinite): {', '.join(bad[:_SHOWN_KEYS])}",
            hint="the training diverged or the file is damaged",
        )


def load_torchscript(path: Path) -> nn.Module:
    """Load a TorchScript network. This is code: only with the user's trust.

    Raises:
        BundleError: damaged or not TorchScript.
    """
    _check_file(path)
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise BundleError(f"{path} cannot be loaded as TorchScript: {_first_line(error)}") from error


def _check_file(path: Path) -> None:
    size = path.stat().st_size
    if size == 0:
        raise BundleError(f"the weights {path} are empty", hint="copy the file again")
    if size > MAX_WEIGHT_BYTES:
        raise BundleError(f"the weights {path} are larger than {MAX_WEIGHT_BYTES // 1024**3} GiB")
    with path.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise BundleError(f"{path} is a Git LFS pointer, not the weights", hint="run git lfs pull")
    packed = _entries(path) if path.suffix != ".safetensors" and is_zip(path) else []
    if sum(entry.file_size for entry in packed) > MAX_WEIGHT_BYTES:
        raise BundleError(f"the weights {path} unpack to more than {MAX_WEIGHT_BYTES // 1024**3} GiB")


def _load_pickle(path: Path) -> Any:
    if is_zip(path) and _holds_code(path):
        raise UntrustedBundleError(
            f"the weights {path} are TorchScript, which is code",
            hint="save the state dict alone; or, if you trust its author, name it model.ts and use --trust-code",
        )
    _check_nesting(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip(path))
    except pickle.UnpicklingError as error:
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is None and "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise BundleError(
                f"the weights {path} are damaged: {_first_line(error)}", hint="copy the file again"
            ) from error
        name = refused[1] if refused else "something that is not a tensor"
        raise UntrustedBundleError(
            f"the weights {path} would run code when loaded: they ask for '{name}'",
            hint="save the state dict alone, or as safetensors",
        ) from error
    except Exception as error:
        raise BundleError(
            f"the weights {path} are damaged: {_first_line(error)}", hint="copy the file again"
        ) from error


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        why = _first_line(error)
        raise BundleError(f"the weights {path} are damaged: {why}", hint="copy the file again") from error


def _check_nesting(path: Path) -> None:
    """Refuse objects within objects without end, which would end the process, not raise an error."""
    try:
        if is_zip(path):
            with zipfile.ZipFile(path) as archive:
                # Every one: which of several torch would read is not for this to guess.
                entries = [entry for entry in archive.infolist() if entry.filename.rpartition("/")[2] == "data.pkl"]
                if sum(entry.file_size for entry in entries) > MAX_PICKLE_BYTES:
                    raise ValueError(f"its objects without their numbers take more than {MAX_PICKLE_BYTES >> 20} MiB")
                deepest = max((_nesting_of_entry(archive, entry) for entry in entries), default=0)
        else:
            with path.open("rb") as stream:
                deepest = _nesting_in_old_file(stream)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"the weights {path} are damaged: {_first_line(error)}", hint="copy the file again"
        ) from error
    if deepest > MAX_NESTING:
        raise BundleError(
            f"the weights {path} hold objects within objects, more than {MAX_NESTING} deep: this is no state dict"
        )


def _nesting_of_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    with archive.open(entry) as stream:
        return nesting(stream)


def _nesting_in_old_file(stream: IO[bytes]) -> int:
    deepest = 0
    for _ in range(_PICKLES_IN_OLD_FILES):
        try:
            deepest = max(deepest, nesting(stream))
        except ValueError:  # torch stops here as well, and says what it is
            break
    return deepest


def _holds_code(path: Path) -> bool:
    """Whether a zip archive of torch is TorchScript: only that has source code beside its tensors."""
    names = [entry.filename for entry in _entries(path)]
    return any("/code/" in name or name.endswith("/constants.pkl") for name in names)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(3):
        if not isinstance(content, Mapping):
            break
        if content and all(isinstance(value, Tensor) for value in content.values()):
            _check_tensors(content, path)
            return {str(name): value for name, value in content.items()}
        inner = next((content[name] for name in _NESTED if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    raise BundleError(
        f"{path} is not a checkpoint: no weights by name, nor under {', '.join(_NESTED)}",
        hint="save network.state_dict()",
    )


def _check_tensors(content: Mapping[str, Tensor], path: Path) -> None:
    for name, value in content.items():
        usual = value.dtype in _NUMBERS and not value.is_nested
        if not usual or value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise BundleError(f"'{name}' in {path} is not an ordinary tensor")


def _strip(name: str, own: Mapping[str, Tensor]) -> str:
    for prefix in _PREFIXES:
        if name not in own and name.startswith(prefix):
            name = name.removeprefix(prefix)
    return name


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
