"""Copies out of a config only what a role needs, and screens it on the way, before anything is resolved.

The copy is flat: every id that is reached becomes an entry of its own (``r0``, ``r1`` ...), and references point to
those. So nothing that lies beside a wanted item, such as a data set or an import, comes along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from monai.bundle import ConfigParser

from camlime.bundle.config import MAX_DEPTH, MAX_NODES, MISSING, SEPARATOR, ConfigSource, is_macro, normalise_id
from camlime.bundle.expressions import REFERENCE, RefusedExpression, check_expression, read_imports
from camlime.bundle.limits import TooLarge, check_sizes
from camlime.bundle.targets import (
    Checked,
    RefusedTarget,
    check_arguments,
    is_network,
    is_random,
    locate_target,
    pretrained_arguments,
)
from camlime.errors import BundleError, UntrustedBundleError

Role = Literal["network", "preprocessing", "postprocessing", "inferer"]

ROLE_IDS: dict[Role, tuple[str, ...]] = {
    "network": ("network", "network_def", "net", "model"),
    "preprocessing": (
        "preprocessing",
        "preprocessing_transforms",
        "validate::preprocessing",
        "validate::preprocessing_transforms",
        "validation::preprocessing",
    ),
    "postprocessing": (
        "postprocessing",
        "postprocessing_transforms",
        "validate::postprocessing",
        "validate::postprocessing_transforms",
        "validation::postprocessing",
    ),
    "inferer": ("inferer", "validate::inferer", "validation::inferer"),
}
"""Where each role is looked for, best first."""

_IMPORTS = ("imports", "import")
_COMPONENT_KEYS = frozenset({"_target_", "_requires_", "_disabled_", "_desc_", "_mode_"})
_ALREADY_DONE = ("Load", "Save", "EnsureChannelFirst", "AsChannelFirst", "AddChannel")
"""Transforms skipped by the start of their name: a scan is already read, channel first, and nothing is written."""
_NOT_NEEDED = frozenset({"DataStats", "SimulateDelay", "ToDevice"})
_ACTIVATIONS = frozenset({"Compose", "Activations", "Softmax", "Sigmoid"})
_DICTIONARY_ENDING = re.compile(r"(?:d|D|Dict)$")
_ACTIVATION_ARGUMENTS = frozenset({"transforms", "sigmoid", "softmax", "other", "keys"})


class _Dropped:
    """Stands for an item that is left out of the copy."""


_DROPPED = _Dropped()


@dataclass(frozen=True)
class Refusal:
    """One thing that is not on the safe list.

    Args:
        id: where it stands.
        file: in which config.
        text: the expression or target, as written.
        reason: what is wrong with it.
    """

    id: str
    file: str
    text: str
    reason: str

    def __str__(self) -> str:
        text = self.text if len(self.text) <= 300 else self.text[:297] + "..."
        return f"'{text}' at {self.id} in {self.file}: {self.reason}"


@dataclass
class Extract:
    """The screened copy.

    Args:
        config: flat: ``r0``, ``r1`` ... to what is resolved.
        roles: the entry of each role that the config has.
        ids: the id that each role was found at.
        refusals: what was not on the safe list; it is in ``config`` as written.
        notes: what was changed or skipped, in words for the user.
        reached: every id that was copied.
        expressions: the rewritten text of each one that was found safe.
    """

    config: dict[str, Any] = field(default_factory=dict)
    roles: dict[Role, str] = field(default_factory=dict)
    ids: dict[Role, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    expressions: set[str] = field(default_factory=set)

    def require_safe(self) -> None:
        """Raise for the first refusal.

        Raises:
            UntrustedBundleError: names the expression, its id and its file.
        """
        if not self.refusals:
            return
        more = f" (and {len(self.refusals) - 1} more)" if len(self.refusals) > 1 else ""
        raise UntrustedBundleError(
            f"the bundle asks to run code that is not on the safe list: {self.refusals[0]}{more}",
            hint="if you trust its author, use --trust-code",
        )


def extract(source: ConfigSource, *, skip: frozenset[Role] = frozenset()) -> Extract:
    """Copy out and screen what the roles need.

    Args:
        source: the merged configs.
        skip: roles that are not wanted, such as the network where the weights hold it.

    Raises:
        BundleError: a reference to nothing, references in a circle, too large.
        UntrustedBundleError: what no trust can allow: a macro out of the bundle, a debugger.
    """
    result = Extract()
    for role, ids in ROLE_IDS.items():
        found = next((name for name in ids if source.lookup(name) not in (MISSING, None)), None)
        if found is None or role in skip:
            continue
        result.ids[role] = found
        result.roles[role] = _Extractor(source, role, result).reference(found, found, "", 0)
    if result.refusals:
        result.config["imports"] = [s for s in _import_statements(source) if isinstance(s, str) and s.startswith("$")]
    return result


def left_behind(source: ConfigSource, reached: set[str]) -> tuple[str, ...]:
    """Return the ids of the config that were not copied: top-level ones, or those inside a partly copied one."""
    left: list[str] = []
    for key, value in source.tree.items():
        top = str(key)
        if top in reached or top == "explain":
            continue
        if any(name.startswith(top + SEPARATOR) for name in reached) and isinstance(value, dict):
            inner = [f"{top}{SEPARATOR}{name}" for name in value]
            left.extend(i for i in inner if not any(n == i or n.startswith(i + SEPARATOR) for n in reached))
        elif not any(name.startswith(top + SEPARATOR) for name in reached):
            left.append(top)
    return tuple(left)


def _import_statements(source: ConfigSource) -> list[Any]:
    found = [source.lookup(name) for name in _IMPORTS]
    return [item for entry in found for item in (entry if isinstance(entry, list) else [entry])]


class _Extractor:
    """Walks one role's items; what is met first is copied first."""

    def __init__(self, source: ConfigSource, role: Role, result: Extract) -> None:
        self._source = source
        self._role: Role = role
        self._result = result
        self._imports = read_imports(_import_statements(source))
        self._keys: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._open: list[str] = []
        self._nodes = 0

    def reference(self, name: str, at: str, file: str, depth: int) -> str:
        """Copy the item at the id ``name`` and return its key in the flat copy."""
        name = normalise_id(name)
        if name in self._keys:
            return self._keys[name]
        if name in self._open:
            raise BundleError(f"'{at}' in {file} leads in a circle: {' -> '.join([*self._open, name])[:300]}")
        node, origin = self._source.locate(name)
        if node is MISSING:
            raise BundleError(f"'{at}' in {file} refers to '{name[:80]}', which the config does not have")
        self._open.append(name)
        copied = self._visit(node, name, origin, depth + 1)
        self._open.pop()
        key = self._entry(None if copied is _DROPPED else copied)
        if copied is _DROPPED:
            self._dropped.add(key)
        self._result.reached.add(name)
        self._keys[name] = key
        return key

    def _entry(self, value: Any) -> str:
        key = f"r{len(self._result.config)}"
        self._result.config[key] = value
        return key

    def _visit(self, node: Any, at: str, file: str, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise BundleError(f"'{at[:120]}' in {file} is nested too deeply or too large")
        if isinstance(node, str):
            return self._text(node, at, file, depth)
        if isinstance(node, list):
            items = (self._visit(item, f"{at}{SEPARATOR}{i}", file, depth + 1) for i, item in enumerate(node))
            return [item for item in items if item is not _DROPPED]
        if isinstance(node, dict):
            if "_target_" in node:
                return self._component(node, at, file, depth)
            return self._mapping(node, at, file, depth)
        return node

    def _mapping(self, node: Mapping[Any, Any], at: str, file: str, depth: int) -> dict[Any, Any]:
        items = {key: self._visit(value, f"{at}{SEPARATOR}{key}", file, depth + 1) for key, value in node.items()}
        return {key: value for key, value in items.items() if value is not _DROPPED}

    def _text(self, text: str, at: str, file: str, depth: int) -> Any:
        if text[:1] not in {"$", "@", "%"}:
            return text
        try:
            absolute = ConfigParser.resolve_relative_ids(at, text)
        except ValueError as error:
            raise BundleError(f"'{text[:80]}' at {at} in {file} points outside the config") from error
        if is_macro(absolute):
            node, origin = self._source.expand(absolute, file)
            return self._visit(node, at, origin, depth + 1)
        if absolute.startswith("$"):
            return self._expression(absolute, text, at, file, depth)
        if not REFERENCE.fullmatch(absolute):
            return text
        key = self.reference(absolute[1:], at, file, depth)
        return _DROPPED if key in self._dropped else "@" + key

    def _expression(self, expression: str, written: str, at: str, file: str, depth: int) -> str:
        try:
            safe = check_expression(expression, self._imports)
        except RefusedExpression as reason:
            self._refuse(at, file, written, str(reason))
            return self._as_written(expression, at, file, depth)
        checked = safe.render({name: self.reference(name, at, file, depth) for name in safe.references})
        self._result.expressions.add(checked)
        # an entry of its own, so that no name that the author chose is in its id: MONAI writes ids into expressions
        return "@" + self._entry(checked)

    def _as_written(self, expression: str, at: str, file: str, depth: int) -> str:
        keys = {m[1:]: "" for m in REFERENCE.findall(expression)}
        for name in keys:
            # what is not an id is left to Python, which is only asked with the user's trust
            known = bool(name) and self._source.lookup(name) is not MISSING
            keys[name] = "@" + self.reference(name, at, file, depth) if known else f"@{name}"
        return REFERENCE.sub(lambda match: keys[match[0][1:]], expression)

    def _component(self, node: Mapping[str, Any], at: str, file: str, depth: int) -> Any:
        target = node["_target_"]
        if self._is_disabled(node) or (isinstance(target, str) and self._is_skipped(target)):
            return _DROPPED
        self._check_keys(node, at, file)
        arguments = {str(key): value for key, value in node.items() if key not in {"_target_", "_desc_"}}
        kind = self._locate(target, at, file)
        if kind is not None and is_random(kind):
            self._note(f"the random transform {target} was skipped")
            return _DROPPED
        if self._role == "postprocessing":
            arguments = {key: value for key, value in arguments.items() if key in _ACTIVATION_ARGUMENTS}
        copied = self._mapping(arguments, at, file, depth)
        self._keep_on_cpu(copied)
        off = pretrained_arguments(kind, copied) if is_network(kind) else _pretrained(copied)
        if off:
            self._note(
                f"{target} asked for pretrained weights ({', '.join(sorted(off))}): not fetched, the bundle has its own"
            )
        copied.update(off)
        plain = {key: self._plain(value) for key, value in copied.items()}
        if kind is None:
            return {"_target_": target, **copied}
        try:
            check_sizes(plain)
            check_arguments(kind, plain)
        except TooLarge as reason:
            raise BundleError(f"{reason}, at {at} in {file}") from None
        except RefusedTarget as reason:
            self._refuse(at, file, str(target), str(reason))
            return {"_target_": kind, **copied}
        return {"_target_": Checked(kind, at, file), **copied}

    def _locate(self, target: object, at: str, file: str) -> Callable[..., Any] | None:
        reason = "a target must be a plain name"
        if isinstance(target, str) and target[:1] not in {"$", "@", "%"}:
            try:
                return locate_target(target)
            except RefusedTarget as refused:
                reason = str(refused)
        elif isinstance(target, str) and target[:1] in {"$", "@", "%"}:
            raise UntrustedBundleError(f"'{target[:300]}' at {at} in {file}: {reason}", hint="name the class itself")
        self._refuse(f"{at}{SEPARATOR}_target_", file, str(target), reason)
        return None

    def _is_disabled(self, node: Mapping[str, Any]) -> bool:
        disabled = node.get("_disabled_", False)
        return disabled is True or (isinstance(disabled, str) and disabled.strip().lower() == "true")

    def _is_skipped(self, target: str) -> bool:
        last = target.rpartition(".")[2]
        plain = _DICTIONARY_ENDING.sub("", last)
        if self._role == "postprocessing":
            return not {last, plain} & _ACTIVATIONS
        return self._role == "preprocessing" and (last.startswith(_ALREADY_DONE) or plain in _NOT_NEEDED)

    def _check_keys(self, node: Mapping[Any, Any], at: str, file: str) -> None:
        for key in node:
            if not isinstance(key, str):
                raise BundleError(f"the argument {key!r} at {at} in {file} is not a name")
            if key.startswith("_") and key.endswith("_") and key not in _COMPONENT_KEYS:
                raise UntrustedBundleError(
                    f"'{key}' at {at} in {file} is not allowed", hint="take it out of the config"
                )
        if node.get("_mode_", "default") not in ("default", "callable"):
            raise UntrustedBundleError(
                f"'_mode_: {node['_mode_']}' at {at} in {file} is not allowed", hint="use default or callable"
            )

    def _keep_on_cpu(self, arguments: dict[str, Any]) -> None:
        for name in ("device", "sw_device"):
            if name in arguments:
                arguments[name] = None if self._role == "inferer" else "cpu"

    def _plain(self, value: Any) -> Any:
        for _ in range(MAX_DEPTH):
            if not (isinstance(value, str) and value[:1] == "@" and value[1:] in self._result.config):
                break
            value = self._result.config[value[1:]]
        return value

    def _refuse(self, at: str, file: str, text: str, reason: str) -> None:
        self._result.refusals.append(Refusal(at, file, text, reason))

    def _note(self, text: str) -> None:
        if text not in self._result.notes:
            self._result.notes.append(text)


def _pretrained(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: False for name in ("pretrained", "pretrained_backbone") if arguments.get(name)}
