"""Bundles that try to run code, for whatever reads bundles: each payload would write a marker file.

``CORPUS`` maps a name to a function that writes the bundle to a folder; the marker's path goes into the payload.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from io import BytesIO
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
        filled = {
            key: value.replace("TOUCH", touch(marker)).replace("MARKER", str(marker))
            for key, value in arguments.items()
        }
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


def _hidden_in(name: str) -> Write:
    """The payload lies in another file of the bundle, from where a macro fetches it."""

    def make(root: Path, marker: Path) -> Path:
        write(root, config(scaled_by(f"%configs/{name}::payload")))
        path = root / "configs" / name
        there = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**there, "payload": importing(marker)}))
        return root

    return make


def importing(marker: Path) -> str:
    return f"$__import__('os').system({touch(marker)!r})"


def _laid_over(**ids: Any) -> Write:
    """The payload comes with explain.json, which is laid over a sound inference config; ``MARKER`` stands for it."""

    def make(root: Path, marker: Path) -> Path:
        write(root, config())
        text = json.dumps({"explain": {}, **ids}).replace("MARKER", str(marker))
        (root / "configs" / "explain.json").write_text(text)
        return root

    return make


def _inferer(key: str, value: Any) -> Write:
    """``evil`` is an id that holds the payload."""
    return lambda root, marker: write(
        root,
        config(
            inferer={"_target_": "SimpleInferer", key: importing(marker) if value is None else value},
            evil=importing(marker),
        ),
    )


def _target_made_by_an_expression(root: Path, marker: Path) -> Path:
    return write(root, config({"_target_": "@a", "command": touch(marker)}, a="$'os' + '.system'"))


def _described_mapping(root: Path, marker: Path) -> Path:
    return write(root, config(scaled_by({"_desc_": importing(marker)})))


def _id_twice(root: Path, marker: Path) -> Path:
    """JSON keeps the last of two equal names."""
    evil = json.dumps({"_target_": "os.system", "command": touch(marker)})
    return write(root, json.dumps(config())[:-1] + f', "inferer": {evil}}}')


def _imported(statement: str, text: str) -> Write:
    return lambda root, marker: write(
        root, config(scaled_by(text.replace("MARKER", str(marker))), imports=[statement, "$import payload"])
    )


def _weights(name: str, make_content: Callable[[Path], bytes]) -> Write:
    def make(root: Path, marker: Path) -> Path:
        write(root, config())
        (root / "models" / "model.pt").unlink()
        (root / "models" / name).write_bytes(make_content(marker))
        return root

    return make


def bare_pickle(marker: Path) -> bytes:
    """A pickle without the archive around it."""
    return pickle.dumps(Payload(marker))


def torch_archive(marker: Path) -> bytes:
    """What ``torch.save`` makes of a payload."""
    buffer = BytesIO()
    torch.save({"weight": torch.zeros(1), "extra": Payload(marker)}, buffer)
    return buffer.getvalue()


def _script_in_disguise(marker: Path) -> bytes:
    """TorchScript whose source code lies in folders of another name."""
    script, disguised = BytesIO(), BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Flatten()), script)
    with zipfile.ZipFile(script) as source, zipfile.ZipFile(disguised, "w") as result:
        for name in source.namelist():
            other = name.replace("/code/", "/CODE/").replace("constants.pkl", "Constants.pkl")
            result.writestr(other, source.read(name))
    return disguised.getvalue()


def _device(root: Path, marker: Path) -> Path:
    write(root, config())
    (root / "models" / "model.pt").unlink()
    (root / "models" / "model.pt").symlink_to("/dev/zero")
    return root


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
    "expression: letters that Python takes for others": expression("$\uff4f\uff50\uff45\uff4e('MARKER', 'w')"),
    "expression: low lines that Python takes for others": expression(
        "$\uff3f\uff3fimport\uff3f\uff3f('os').system('touch MARKER')"
    ),
    "expression: assignment": expression("$(x := open('MARKER', 'w'))"),
    "expression: our own files": _imported(
        "$import camlime.training.results as results", "$results.write_json('MARKER', 1)"
    ),
    "expression: imported under an allowed name": _imported("$from os import system as int", "$int('touch MARKER')"),
    "target: our own files": target("camlime.training.results.write_json", path="MARKER", value="x"),
    "target: our own reader": target("camlime.bundle.Bundle.load", path="payload"),
    "target: MONAI's run": target("monai.bundle.run", config_file="payload.json"),
    "target: MONAI's parser": target("monai.bundle.ConfigParser", config="$__import__('os').system(\"TOUCH\")"),
    "target: through a module on the list": target("torch.nn.modules.module.torch.load", f="payload"),
    "target: letters that Python takes for others": target("\uff4f\uff53.\uff53ystem", command="TOUCH"),
    "target: made by an expression": _target_made_by_an_expression,
    "hidden in metadata.json": _hidden_in("metadata.json"),
    "hidden in a file of its own": _hidden_in("labels.json"),
    "laid over by explain.json": _laid_over(inferer="$open('MARKER', 'w')"),
    "added to by explain.json": _laid_over(**{"+preprocessing": {"_requires_": ["$open('MARKER', 'w')"]}}),
    "put inside by explain.json": _laid_over(**{"network_def::act": "$open('MARKER', 'w')"}),
    "in _requires_, not in a list": _inferer("_requires_", None),
    "in _requires_, by reference": _inferer("_requires_", "@evil"),
    "in _disabled_, by reference": _inferer("_disabled_", "@evil"),
    "in _mode_": _inferer("_mode_", None),
    "in _desc_ of a mapping": _described_mapping,
    "an id twice": _id_twice,
    "yaml: module": _yaml("network: !!python/module:payload"),
    "bare pickle as .pt": _weights("model.pt", bare_pickle),
    "bare pickle as .ts": _weights("model.ts", bare_pickle),
    "pickle of torch as .ts": _weights("model.ts", torch_archive),
    "TorchScript in disguise": _weights("model.pt", _script_in_disguise),
    "link: folder of weights": _link("models"),
    "link: metadata": _link("configs/metadata.json"),
    "link: device": _device,
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
