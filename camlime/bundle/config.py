"""A bundle's configs as plain text: read, merged and looked up, with nothing resolved.

Ids follow MONAI: ``a::b::0`` (or ``a#b#0``) is item 0 of ``b`` of ``a``; ``%file::id`` copies a part of another config.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from camlime.errors import BundleError, UntrustedBundleError

MAX_CONFIG_BYTES = 512 * 1024
MAX_DEPTH = 60
"""Levels of nesting, counted through references; real configs stay below 15."""
MAX_NODES = 100_000
MAX_WHOLE_NUMBER = 2**63

SEPARATOR = "::"
METADATA = "configs/metadata.json"
_MACRO = re.compile(r"^%(?P<file>.*?\.(?:json|yaml|yml))?(?:::)?(?P<id>.*)$", re.IGNORECASE | re.DOTALL)
_SUFFIXES = ("json", "yaml", "yml")


class _Missing:
    """Stands for an id that the config does not have."""


MISSING = _Missing()


def normalise_id(text: str) -> str:
    """Return an id with MONAI's older separator ``#`` replaced by ``::``."""
    return text.replace("#", SEPARATOR)


@dataclass
class BundleFolder:
    """A bundle's folder, from which no path and no link leads out.

    Args:
        root: the folder.
    """

    root: Path
    digests: dict[str, str] = field(default_factory=dict)
    _read: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.root.resolve()

    def find(self, name: str) -> Path | None:
        """Return the file ``name`` (relative, with ``/``), or ``None`` if there is none.

        Raises:
            UntrustedBundleError: the name or a link leads out of the bundle.
            BundleError: it is not a regular file.
        """
        path = self.root / name
        try:
            inside = path.resolve().is_relative_to(self.root)
        except (OSError, ValueError, RuntimeError) as error:  # a null character, a link to itself
            raise BundleError(f"{name[:80]!a} cannot be the name of a file in {self.root}") from error
        if PurePosixPath(name).is_absolute() or not inside:
            raise UntrustedBundleError(
                f"'{name}' leads out of the bundle {self.root}", hint="put a copy of the file into the bundle"
            )
        try:
            there = path.exists()
        except OSError as error:  # a name that is too long
            raise BundleError(f"{name[:80]!a} cannot be the name of a file in {self.root}") from error
        if not there:
            return None
        if not path.is_file():
            raise BundleError(f"'{name}' in {self.root} is not a file")
        return path

    def read(self, name: str) -> dict[str, Any]:
        """Read the JSON or YAML file ``name`` as plain data, once.

        Raises:
            BundleError: missing, too large, damaged, or not a mapping.
            UntrustedBundleError: a YAML tag that would make Python objects.
        """
        if name not in self._read:
            path = self.find(name)
            if path is None:
                raise BundleError(f"the bundle {self.root} has no {name}")
            if path.stat().st_size > MAX_CONFIG_BYTES:
                raise BundleError(f"{name} is larger than {MAX_CONFIG_BYTES // 1024} KiB: not a config")
            content = path.read_bytes()
            self.digests[name] = hashlib.sha256(content).hexdigest()
            self._read[name] = _parse(content, name)
        return self._read[name]

    def read_any(self, stem: str) -> tuple[str, dict[str, Any]] | None:
        """Read ``stem`` with the suffix json, yaml or yml, whichever is there first; ``None`` if none is."""
        for suffix in _SUFFIXES:
            name = f"{stem}.{suffix}"
            if self.find(name) is not None:
                return name, self.read(name)
        return None


class _PlainLoader(yaml.SafeLoader):
    """Plain YAML whose merge keys (``<<``) cannot multiply without bound."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_NODES:
            raise ValueError("its merge keys make a mapping that is too large")

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Refuses numbers so long that reading them takes the square of their length (base 60, such as ``1:30:00``)."""
        if node.tag in _NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
            raise ValueError(f"it holds a number of {len(node.value)} characters")
        return super().construct_scalar(node)


_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_LONGEST_NUMBER = 1000


def _parse(content: bytes, name: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text) if name.lower().endswith(".json") else yaml.load(text, Loader=_PlainLoader)
    except yaml.constructor.ConstructorError as error:
        raise UntrustedBundleError(
            f"{name} uses a YAML tag that makes objects: {str(error.problem)[:200]}", hint="write plain YAML"
        ) from error
    except (ValueError, yaml.YAMLError, RecursionError, LookupError, AttributeError, ArithmeticError) as error:
        raise BundleError(f"{name} cannot be read: {str(error)[:300]}") from error
    if not isinstance(data, dict):
        raise BundleError(f"{name} does not hold a mapping of ids")
    _check_content(data, name)
    return data


def _check_content(data: object, name: str) -> None:
    stack: list[tuple[object, int]] = [(data, 0)]
    count = 0
    while stack:
        value, depth = stack.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise BundleError(f"{name} is nested too deeply or holds too many items")
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, int) and abs(key) > MAX_WHOLE_NUMBER:
                    raise BundleError(f"{name} holds a whole number of {key.bit_length()} bits: too large")
            stack.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            stack.extend((item, depth + 1) for item in value)
        elif isinstance(value, int) and abs(value) > MAX_WHOLE_NUMBER:
            raise BundleError(f"{name} holds a whole number of {value.bit_length()} bits: too large")
        elif value is not None and not isinstance(value, (str, int, float, bool, datetime.date)):
            raise BundleError(f"{name} holds a {type(value).__name__}, which JSON does not have: write a list")


@dataclass
class ConfigSource:
    """One or more configs laid over each other, looked up by id.

    Args:
        folder: where they and the files of macros come from.
    """

    folder: BundleFolder
    tree: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """The file that each top-level id came from (the last one that touched it)."""

    def merge(self, name: str, data: dict[str, Any]) -> None:
        """Lay ``data`` (from the file ``name``) over what is there; ``a::b`` goes into ``a``, ``+a`` adds to ``a``."""
        for key, value in data.items():
            name_of_id = normalise_id(str(key))
            add = name_of_id.startswith("+")
            parts = name_of_id.removeprefix("+").split(SEPARATOR)
            self.files[parts[0]] = name
            parent = self._parent(parts, name)
            last = _index(parent, parts[-1])
            if add and _has(parent, last):
                parent[last] = _added(parent[last], value, key, name)
            elif isinstance(parent, list) and not _has(parent, last):
                raise BundleError(f"the id '{key}' in {name} points past the end of a list")
            else:
                parent[last] = copy.deepcopy(value)

    def _parent(self, parts: list[str], name: str) -> Any:
        node: Any = self.tree
        for part in parts[:-1]:
            key = _index(node, part)
            if isinstance(node, dict) and key not in node:
                node[key] = {}
            if not _has(node, key) or not isinstance(node[key], (dict, list)):
                raise BundleError(f"the id '{SEPARATOR.join(parts)}' in {name} does not fit the config it is laid over")
            node = node[key]
        return node

    def lookup(self, name_of_id: str) -> Any:
        """Return what is at an id, macros on the way replaced, or :data:`MISSING`."""
        node, _ = self.locate(name_of_id)
        return node

    def locate(self, name_of_id: str) -> tuple[Any, str]:
        """Return what is at an id (or :data:`MISSING`) and the file it was written in."""
        parts = normalise_id(name_of_id).split(SEPARATOR)
        node: Any = self.tree
        file = self.files.get(parts[0], "")
        for part in parts:
            node, file = self._without_macro(node, file)
            node = _walk(node, [part])
        return node, file

    def _without_macro(self, node: Any, file: str) -> tuple[Any, str]:
        for _ in range(MAX_DEPTH):
            if not is_macro(node):
                return node, file
            node, file = self.expand(node, file)
        raise BundleError(f"the macro '{node[:80]}' in {file} leads in a circle")

    def expand(self, macro: str, file: str) -> tuple[Any, str]:
        """Return what a ``%file::id`` macro names, not to be changed, and the file it was written in.

        Raises:
            UntrustedBundleError: the file lies outside the bundle.
            BundleError: there is no such file or id.
        """
        match = _MACRO.match(normalise_id(macro))
        name, wanted = (match["file"], match["id"]) if match else (None, "")
        if not name:
            found: Any = self.tree if wanted == "" else _walk(self.tree, wanted.split(SEPARATOR))
            origin = self.files.get(wanted.split(SEPARATOR)[0], file)
        else:
            origin = next((n for n in (_clean(name), f"configs/{_clean(name)}") if self.folder.find(n)), "")
            if not origin:
                raise BundleError(f"the macro '{macro}' in {file} names a file that the bundle does not have")
            other = self.folder.read(origin)
            found = other if wanted == "" else _walk(other, wanted.split(SEPARATOR))
        if found is MISSING:
            raise BundleError(f"the macro '{macro}' in {file} names an id that is not there")
        return found, origin


def is_macro(value: object) -> bool:
    """Whether a value copies a part of a config, such as ``%train.json::network_def``."""
    return isinstance(value, str) and value.startswith("%")


def _clean(name: str) -> str:
    return name.removeprefix("./")


def _index(node: object, part: str) -> Any:
    if isinstance(node, list):
        return int(part) if _is_number(part) else -1
    if isinstance(node, dict) and part not in node and _is_number(part) and int(part) in node:
        return int(part)
    return part


def _is_number(part: str) -> bool:
    return part.isdecimal() and len(part) < 7


def _has(node: object, key: Any) -> bool:
    if isinstance(node, list):
        return isinstance(key, int) and 0 <= key < len(node)
    return isinstance(node, dict) and key in node


def _walk(node: Any, parts: list[str]) -> Any:
    for part in parts:
        key = _index(node, part)
        if not _has(node, key):
            return MISSING
        node = node[key]
    return node


def _added(old: Any, new: Any, key: str, name: str) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **new}
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    raise BundleError(f"'{key}' in {name} adds to something that is neither a list nor a mapping")
