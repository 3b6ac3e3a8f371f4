"""Resolves a screened copy with MONAI's ConfigParser, and gives it no more than it needs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.bundle import ConfigExpression, ConfigParser

from camlime.bundle.expressions import expression_globals
from camlime.bundle.extract import Extract, Role
from camlime.errors import BundleError, UntrustedBundleError

MAX_PARAMETERS = 2**31


class Resolver:
    """Builds the objects of an :class:`Extract`, each once.

    Args:
        extract: the screened copy.
        root: the bundle's folder; with trust its own Python files can be imported while building.
    """

    def __init__(self, extract: Extract, root: Path) -> None:
        self._extract = extract
        self._root = root
        self._parser = self._new_parser()

    def build(self, role: Role) -> Any:
        """Return what the role's entry makes, ``None`` if the config has none.

        Raises:
            BundleError: it cannot be built; says why.
        """
        return self._build(self._parser, role)

    def check_network_size(self) -> None:
        """Count the network's parameters without memory for them, so that a nonsensical size is an error, not a crash.

        Raises:
            BundleError: it has too many.
        """
        if self._extract.refusals:
            return  # the user trusts this code; it is not run more often than needed
        try:
            with torch.device("meta"):
                network = self._build(self._new_parser(), "network")
        except BundleError:
            return  # some networks compute while they are built; then building it for real says what is wrong
        if isinstance(network, torch.nn.Module):
            count = sum(parameter.numel() for parameter in network.parameters())
            if count > MAX_PARAMETERS:
                raise BundleError(f"the network '{self._extract.ids['network']}' has {count} parameters: too many")

    def _new_parser(self) -> ConfigParser:
        parser = ConfigParser(dict(self._extract.config), globals=False)
        parser.globals.update(expression_globals())
        if self._extract.refusals:
            parser.globals.pop("__builtins__")
            parser.globals.update({"monai": monai, "torch": torch, "np": np, "numpy": np})
        return parser

    def _build(self, parser: ConfigParser, role: Role) -> Any:
        key = self._extract.roles.get(role)
        if key is None:
            return None
        try:
            with self._own_code(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                parser.parse()
                self._check_expressions(parser)
                return parser.get_parsed_content(key)
        except UntrustedBundleError:
            raise
        except Exception as error:
            reason = _root_cause(error)
            raise BundleError(
                f"'{self._extract.ids[role]}' of the bundle {self._root.name} cannot be built: {reason}",
                hint="the bundle may need another version of MONAI or a package that is not installed",
            ) from error

    def _check_expressions(self, parser: ConfigParser) -> None:
        """See to it that MONAI is about to evaluate the texts that were screened, letter by letter, and no other."""
        if self._extract.refusals:
            return
        for item in parser.ref_resolver.items.values():
            if isinstance(item, ConfigExpression) and item.get_config() not in self._extract.expressions:
                raise UntrustedBundleError(
                    f"'{str(item.get_config())[:300]}' in the bundle {self._root.name} became another expression than "
                    "the one that was screened",
                    hint="take it out of the config",
                )

    @contextmanager
    def _own_code(self) -> Iterator[None]:
        """With trust, let the bundle import its own scripts; afterwards they are forgotten: bundles do not mix."""
        if not self._extract.refusals:
            yield
            return
        path = str(self._root)
        before = set(sys.modules)
        sys.path.insert(0, path)
        try:
            yield
        finally:
            sys.path.remove(path)
            for name in set(sys.modules) - before:
                file = getattr(sys.modules[name], "__file__", None)
                if file and Path(file).resolve().is_relative_to(self._root):
                    del sys.modules[name]


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error)[:300]}"
