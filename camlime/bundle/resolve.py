"""Resolves a screened copy with MONAI's ConfigParser, and gives it no more than it needs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.bundle import ConfigExpression, ConfigParser

from camlime.bundle.expressions import expression_globals
from camlime.bundle.extract import Extract, Role
from camlime.bundle.limits import AllocationLimit
from camlime.errors import BundleError, UntrustedBundleError


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
            BundleError: it cannot be built, or would take too much memory; says why.
            UntrustedBundleError: it became something else than what was screened.
        """
        key = self._extract.roles.get(role)
        if key is None:
            return None
        try:
            with self._own_code(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                self._parser.parse()
                self._check_expressions()
                with nullcontext() if self._extract.refusals else AllocationLimit():
                    return self._parser.get_parsed_content(key)
        except Exception as error:
            known = next((cause for cause in _causes(error) if isinstance(cause, BundleError)), None)
            if known is not None:
                raise known from None
            reason = list(_causes(error))[-1]
            raise BundleError(
                f"'{self._extract.ids[role]}' of the bundle {self._root.name} cannot be built: "
                f"{type(reason).__name__}: {str(reason)[:300]}",
                hint="the bundle may need another version of MONAI or a package that is not installed",
            ) from error

    def _new_parser(self) -> ConfigParser:
        parser = ConfigParser(dict(self._extract.config), globals=False)
        parser.globals.update(expression_globals())
        if self._extract.refusals:
            parser.globals.pop("__builtins__")
            parser.globals.update({"monai": monai, "torch": torch, "np": np, "numpy": np})
        return parser

    def _check_expressions(self) -> None:
        """See to it that MONAI is about to evaluate the texts that were screened, letter by letter, and no other."""
        if self._extract.refusals:
            return
        for item in self._parser.ref_resolver.items.values():
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


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and the ones that it came from, the last one first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__
