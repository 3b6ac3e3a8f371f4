"""Bundles that try to run code, for whatever reads bundles: each payload would write a marker file.

``CORPUS`` maps a name to a function that writes the bundle to a folder; the marker's path goes into the payload.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import DenseNet

TINY = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
TINY |= {"init_features": 4, "growth_rate": 2, "block_config": [1, 1], "bn_size": 1}
FORMATS = {
    "inputs": {"image": {"num_channels": 1, "spatial_shape": [16, 16]}},
    "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "healthy", "1": "ill"}}},
}
ESCAPE = "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__"

Write = Callable[[Path, Path], Path]


class Payload:
    """Unpickling it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.command = touch(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def touch(marker: Path) -> str:
    return f"touch '{marker}'"


def write(root: Path, config: dict[str, Any] | str, *, name: str = "inference.json", weights: Any = None) -> Path:
    """Write a bundle that is sound but for what ``config`` and ``weights`` bring."""
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / name).write_text(config if isinstance(config, str) else json.dumps(config))
    metadata = {"version": "1", "name": "Hostile", "network_data_format": FORMATS}
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.manual_seed(0)
    torch.save(DenseNet(**TINY).state_dict() if weights is None else weights, root / "models" / "model.pt")
    return root


def config(*steps: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """A sound inference config with these preprocessing steps; ``extra`` ids take the place of others."""
    return {
        "network_def": {"_target_": "DenseNet", **TINY},
        "preprocessing": {"_target_": "Compose", "transforms": list(steps)},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        **extra,
    }


def scaled_by(value: Any) -> dict[str, Any]:
    return {"_target_": "ScaleIntensityd", "keys": "image", "minv": value}


def expression(text: str) -> Write:
    """``MARKER`` in the text stands for the marker's path."""
    return lambda root, marker: write(root, config(scaled_by(text.replace("MARKER", str(marker)))))


def target(name: str, **arguments: str) -> Write:
    def make(root: Path, marker: Path) -> Path:
        filled = {key: value.replace("TOUCH", touch(marker)) for key, value in arguments.items()}
        return write(root, config({"_target_": name, **filled}))

    return make


def _hidden_in_references(root: Path, marker: Path) -> Path:
    attack = f"$__import__('os').system({touch(marker)!r})"
    hidden = {"a": "@b::0::x", "b": [{"x": "%configs/more.json::y::0"}]}
    write(root, config(scaled_by("@a"), **hidden))
    (root / "configs" / "more.json").write_text(json.dumps({"y": [attack]}))
    return root


def _name_of_a_mapping(root: Path, marker: Path) -> Path:
    """MONAI writes the names of mappings around an expression into it where it finds a relative id, in texts too."""
    return write(root, config(scaled_by({breaking_out(marker): {"a": "$'\\x25::x'"}})))


def breaking_out(marker: Path) -> str:
    """Between quotes, ends the text and runs a command."""
    return f"' + {ESCAPE}['system']({json.dumps(touch(marker))}) * '' + '"


def _requirement(root: Path, marker: Path) -> Path:
    inferer = {"_target_": "SimpleInferer", "_requires_": [f"$open({str(marker)!r}, 'w')"]}
    return write(root, config(inferer=inferer))


def _disabled_by_an_expression(root: Path, marker: Path) -> Path:
    return write(root, config(inferer={"_target_": "SimpleInferer", "_disabled_": f"$open({str(marker)!r}, 'w')"}))


def _debugger(root: Path, marker: Path) -> Path:
    return write(root, config(inferer={"_target_": "SimpleInferer", "_mode_": "debug"}))


def _reader(root: Path, marker: Path) -> Path:
    reader = {"_target_": "LoadImage", "reader": "subprocess.getoutput", "cmd": touch(marker)}
    return write(root, config(inferer=reader))


def _own_module(root: Path, marker: Path) -> Path:
    write(root, config({"_target_": "scripts.Payload"}, imports=["$import scripts"]))
    (root / "scripts").mkdir()
    (root / "scripts" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')\nclass Payload: pass\n")
    return root


def _beside_what_is_needed(root: Path, marker: Path) -> Path:
    """Everything that MONAI's own run would execute: imports, a data set, an evaluator, a logging config."""
    attack = f"$open({str(marker)!r}, 'w')"
    ids = {"imports": ["$import payload", attack], "initialize": [attack], "run": [attack], "evaluator": attack}
    write(root, config(**ids, dataset={"_target_": "subprocess.Popen", "args": ["touch", str(marker)]}))
    (root / "payload.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (root / "configs" / "logging.conf").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n"
        f"[logger_root]\nhandlers=h\n[handler_h]\nclass=FileHandler\nargs=({str(marker)!r}, 'w')\n"
    )
    return root


def _yaml(text: str) -> Write:
    return lambda root, marker: write(root, text.replace("TOUCH", touch(marker)), name="inference.yaml")


def _pickle(**options: Any) -> Write:
    def make(root: Path, marker: Path) -> Path:
        write(root, config())
        content = {"model": DenseNet(**TINY).state_dict(), "extra": Payload(marker)}
        torch.save(content, root / "models" / "model.pt", **options)
        return root

    return make


def _torchscript(root: Path, marker: Path) -> Path:
    write(root, config())
    (root / "models" / "model.pt").unlink()
    torch.jit.script(torch.nn.Flatten()).save(str(root / "models" / "model.ts"))
    return root


def _link(name: str) -> Write:
    def make(root: Path, marker: Path) -> Path:
        write(root, config())
        outside = root.parent / f"outside-{root.name}"
        (root / name).rename(outside)
        (root / name).symlink_to(outside)
        return root

    return make


def _macro_outside(root: Path, marker: Path) -> Path:
    (root.parent / "other.json").write_text(json.dumps({"x": {"_target_": "SimpleInferer"}}))
    return write(root, config(inferer="%../other.json::x"))


CORPUS: dict[str, Write] = {
    "expression: import": expression("$__import__('os').system('touch MARKER')"),
    "expression: os through torch": expression("$torch.os.system('touch MARKER')"),
    "expression: open": expression("$open('MARKER', 'w')"),
    "expression: lambda": expression("$(lambda: open('MARKER', 'w'))()"),
    "expression: comprehension": expression("$[open('MARKER', 'w') for _ in [1]]"),
    "expression: format string": expression("$f\"{open('MARKER', 'w')}\""),
    "expression: attributes by format": expression("$'{0.__class__}'.format(1)"),
    "expression: getattr": expression("$getattr(torch, 'os').system('touch MARKER')"),
    "expression: subclasses": expression(f"${ESCAPE}['system']('touch MARKER')"),
    "expression: numpy.load": expression("$np.load('MARKER', allow_pickle=True)"),
    "expression: torch.load": expression("$torch.load('MARKER', weights_only=False)"),
    "expression: optional_import": expression("$monai.utils.optional_import('os')[0].system('touch MARKER')"),
    "expression: import statement": expression("$import payload"),
    "hidden in references and macros": _hidden_in_references,
    "in the name of a mapping": _name_of_a_mapping,
    "in _requires_": _requirement,
    "in _disabled_": _disabled_by_an_expression,
    "debugger": _debugger,
    "target: os.system": target("os.system", command="TOUCH"),
    "target: subprocess": target("subprocess.getoutput", cmd="TOUCH"),
    "target: builtins": target("builtins.exec", source='import os; os.system("TOUCH")'),
    "target: partial": target("functools.partial", func="os.system"),
    "target: Lambdad": target("Lambdad", keys="image", func="$lambda x: __import__('os').system(\"TOUCH\")"),
    "target: torch.hub": target("torch.hub.load", repo_or_dir="x", model="y", source="local"),
    "target: torch.jit.load": target("torch.jit.load", f="model.ts"),
    "target: logging config": target("logging.config.fileConfig", fname="configs/logging.conf"),
    "target: locate": target("pydoc.locate", path="payload"),
    "target: reader": _reader,
    "a module of its own": _own_module,
    "pickle in the weights": _pickle(),
    "pickle in the weights, old format": _pickle(_use_new_zipfile_serialization=False),
    "yaml: apply": _yaml('network: !!python/object/apply:os.system ["TOUCH"]'),
    "yaml: new": _yaml('network: !!python/object/new:os.system ["TOUCH"]'),
    "yaml: name": _yaml("network: !!python/name:os.system"),
    "TorchScript": _torchscript,
    "link: weights": _link("models/model.pt"),
    "link: configs": _link("configs"),
    "macro out of the bundle": _macro_outside,
}
"""Each has to be refused."""

HARMLESS: dict[str, Write] = {"beside what is needed": _beside_what_is_needed}
"""What is hostile in them is left behind: they may be explained, and nothing runs."""


def zipped(root: Path, archive: Path) -> Path:
    """The bundle as a zip; links as links."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target_file:
        for path in sorted(root.rglob("*")):
            name = f"{root.name}/{path.relative_to(root)}"
            if path.is_symlink():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o120777 << 16
                target_file.writestr(entry, str(path.readlink()))
            elif path.is_file():
                target_file.write(path, name)
    return archive
