"""``$`` expressions: checked by their syntax tree, then rewritten so that nothing but the allowed names is in reach.

MONAI evaluates an expression with Python's ``eval``. What is handed to it here is not the author's text but a text
made from the checked tree: each allowed name is an item of one dictionary, arithmetic goes through functions that limit
sizes, and ``network.to(device)`` is the network itself, because all stays on the CPU until the classifier moves it.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import numpy as np
import torch
from monai.utils import enums

from camlime.bundle.targets import locate_layer

REFERENCE = re.compile(r"@\w*(?:::\w*)*")
"""A reference to another id; the pattern that MONAI replaces, inside strings too."""

NAMESPACE = "camlime_allowed"
"""The one global name of a rewritten expression."""

MAX_LENGTH = 2000
MAX_ITEMS = 100_000
MAX_NUMBER = 10**15
MAX_DIGITS = 30

_BOUNDED = "(bounded)"
"""What is compared or looked up goes through it; no config can name it."""


_PLACEHOLDER = "camlime_ref"
_REWRITTEN_BY_MONAI = ("@", "%", "#")
"""MONAI replaces references, and relative ids such as ``%::`` by the names of mappings around them, in strings too."""
_PLACEHOLDERS = re.compile(rf"\b{_PLACEHOLDER}(\d+)\b")
_DEFAULT_IMPORTS = {"torch": "torch", "np": "numpy", "numpy": "numpy", "monai": "monai"}
_NUMPY_TYPES = (
    "float16",
    "float32",
    "float64",
    "uint8",
    "uint16",
    "uint32",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool_",
)

_OPERATORS: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
}

_PLAIN_NODES = (
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.IfExp,
    ast.BoolOp,
    ast.Compare,
    ast.Subscript,
    ast.Slice,
    ast.UnaryOp,
    ast.And,
    ast.Or,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.Load,
    ast.cmpop,
)


class RefusedExpression(Exception):  # noqa: N818 - a finding, turned into an error by the caller
    """Why an expression is not on the safe list."""


@dataclass(frozen=True)
class SafeExpression:
    """A checked expression.

    Args:
        text: the rewritten text, with a numbered placeholder for each reference.
        names: the ids of the placeholders, by number.
    """

    text: str
    names: tuple[str, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """The ids that the rewritten expression still needs."""
        return tuple(dict.fromkeys(self.names[int(number)] for number in _PLACEHOLDERS.findall(self.text)))

    def render(self, keys: Mapping[str, str]) -> str:
        """Return the expression for MONAI, each reference replaced by its key of ``keys``."""
        return "$" + _PLACEHOLDERS.sub(lambda match: "@" + keys[self.names[int(match[1])]], self.text)


def check_expression(expression: str, imports: Mapping[str, str]) -> SafeExpression:
    """Check ``$...`` and rewrite it.

    Args:
        expression: the text with its ``$``, ids separated by ``::``.
        imports: alias to dotted name, from the config's import statements; none of them is imported.

    Raises:
        RefusedExpression: something in it is not on the safe list.

    Example:
        >>> check_expression("$@size[0] + 1", {}).references
        ('size',)
    """
    text = expression.removeprefix("$").strip()
    if len(text) > MAX_LENGTH:
        raise RefusedExpression(f"it is longer than {MAX_LENGTH} characters")
    if _PLACEHOLDER in text or NAMESPACE in text:
        raise RefusedExpression("it uses a reserved name")
    references: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        references.append(match[0].removeprefix("@"))
        return f" {_PLACEHOLDER}{len(references) - 1} "

    try:
        tree = ast.parse(REFERENCE.sub(placeholder, text).strip(), mode="eval")
        rewritten = _Rewriter({**_DEFAULT_IMPORTS, **imports}, len(references)).visit(tree.body)
        result = ast.unparse(ast.fix_missing_locations(rewritten))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedExpression(f"it is not a simple expression ({type(error).__name__})") from error
    return SafeExpression(result, tuple(references))


def read_imports(statements: Iterable[object]) -> dict[str, str]:
    """Read ``$import a as b`` statements as alias to dotted name; imports nothing.

    Example:
        >>> read_imports(["$import numpy as np", "$from os import path"])
        {'np': 'numpy', 'path': 'os.path'}
    """
    found: dict[str, str] = {}
    for statement in statements:
        if not isinstance(statement, str) or not statement.startswith("$"):
            continue
        try:
            body = ast.parse(statement[1:].strip()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in body:
            if isinstance(node, ast.Import):
                found.update({alias.asname or alias.name: alias.name for alias in node.names})
            elif isinstance(node, ast.ImportFrom):
                found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def expression_globals() -> dict[str, Any]:
    """The globals that rewritten expressions are evaluated with: no builtins, one dictionary of allowed things."""
    return {"__builtins__": {}, NAMESPACE: _Allowed()}


class _Allowed:
    """Answers ``camlime_allowed["torch.float32"]``; only for names that the check lets through."""

    def __getitem__(self, name: str) -> Any:
        if name == _BOUNDED:
            return _bounded
        if name in _FUNCTIONS:
            return _FUNCTIONS[name]
        for symbol, function in _OPERATORS.values():
            if symbol == name:
                return _guarded(symbol, function)
        return _value(name)


class _Rewriter(ast.NodeTransformer):
    """Refuses what is not listed and rewrites the rest."""

    def __init__(self, imports: Mapping[str, str], references: int) -> None:
        self._imports = imports
        self._placeholders = frozenset(f"{_PLACEHOLDER}{number}" for number in range(references))

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, _PLAIN_NODES):
            raise RefusedExpression(f"{_describe(node)} is not allowed")
        return super().generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        if isinstance(value, str):
            if any(mark in value for mark in _REWRITTEN_BY_MONAI) or _PLACEHOLDER in value or NAMESPACE in value:
                raise RefusedExpression("a reference or macro inside a string is not allowed")
        elif isinstance(value, (bool, type(None))):
            return node
        elif not isinstance(value, (int, float)) or (isinstance(value, int) and abs(value) > MAX_NUMBER):
            raise RefusedExpression("a number is too large or of an unusual kind")
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return node if node.id in self._placeholders else self._named(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._named(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        sides: list[ast.expr] = [
            ast.Call(_item(_BOUNDED), [self.visit(side)], []) for side in (node.left, *node.comparators)
        ]
        return ast.Compare(sides[0], node.ops, sides[1:])

    def visit_Set(self, node: ast.Set) -> ast.AST:
        return ast.Set([ast.Call(_item(_BOUNDED), [self.visit(value)], []) for value in node.elts])

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        place = node.slice
        place = (
            self.visit(place) if isinstance(place, ast.Slice) else ast.Call(_item(_BOUNDED), [self.visit(place)], [])
        )
        return ast.Subscript(self.visit(node.value), place, node.ctx)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        if any(key is None for key in node.keys):
            raise RefusedExpression("'**' is not allowed")
        keys: list[ast.expr | None] = [ast.Call(_item(_BOUNDED), [self.visit(key)], []) for key in node.keys if key]
        return ast.Dict(keys, [self.visit(value) for value in node.values])

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if type(node.op) not in _OPERATORS:
            raise RefusedExpression(f"the operator {_describe(node.op)} is not allowed")
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            raise RefusedExpression("formatting text is not allowed")
        symbol, _ = _OPERATORS[type(node.op)]
        return ast.Call(_item(symbol), [self.visit(node.left), self.visit(node.right)], [])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "to" and self._is_reference(function.value):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self.visit(argument)
            return self.visit(function.value)
        name = self._dotted(function)
        if name is None or name not in _FUNCTIONS:
            raise RefusedExpression(f"calling '{ast.unparse(function)}' is not allowed")
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise RefusedExpression(f"'{name}' may only be called with plain arguments")
        return ast.Call(_item(name), [self.visit(argument) for argument in node.args], [])

    def _is_reference(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._placeholders

    def _named(self, node: ast.expr) -> ast.AST:
        name = self._dotted(node)
        if name is None or _value(name) is None:
            raise RefusedExpression(f"'{ast.unparse(node)}' is not on the list of allowed names")
        return _item(name)

    def _dotted(self, node: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or any(part.startswith("_") for part in [*parts, node.id]):
            return None
        return ".".join([self._imports.get(node.id, node.id), *reversed(parts)])


def _describe(node: ast.AST) -> str:
    return {
        "Pow": "'**'",
        "MatMult": "'@'",
        "LShift": "'<<'",
        "Lambda": "a lambda",
        "JoinedStr": "a format string",
        "ListComp": "a comprehension",
        "SetComp": "a comprehension",
        "DictComp": "a comprehension",
        "GeneratorExp": "a generator",
        "NamedExpr": "an assignment",
    }.get(type(node).__name__, f"'{type(node).__name__}'")


def _item(name: str) -> ast.Subscript:
    return ast.Subscript(ast.Name(NAMESPACE, ast.Load()), ast.Constant(name), ast.Load())


@cache
def _value(name: str) -> Any:
    """The constant, type or layer class that an allowed dotted name stands for; ``None`` if it is not allowed."""
    if name in _VALUES:
        return _VALUES[name]
    module, _, last = name.rpartition(".")
    if module == "torch" and isinstance(getattr(torch, last, None), torch.dtype):
        return getattr(torch, last)
    if module == "numpy" and last in _NUMPY_TYPES:
        return getattr(np, last)
    if module == "torch.nn":
        return locate_layer(last)
    module, _, owner = module.rpartition(".")
    if module in {"monai.utils", "monai.utils.enums"}:
        kind = vars(enums).get(owner)
        if isinstance(kind, type) and issubclass(kind, Enum) and last in kind.__members__:
            return kind[last].value
    return None


_VALUES: dict[str, Any] = {
    "numpy.inf": float("inf"),
    "numpy.nan": float("nan"),
    "numpy.pi": float(np.pi),
    "math.inf": float("inf"),
    "math.pi": float(np.pi),
    "torch.sigmoid": torch.sigmoid,
    "torch.softmax": torch.softmax,
    "torch.nn.functional.sigmoid": torch.nn.functional.sigmoid,
    "torch.nn.functional.softmax": torch.nn.functional.softmax,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
}


def _cpu(*_: object) -> torch.device:
    return torch.device("cpu")


def _no_gpu() -> bool:
    return False


def _range(*bounds: int) -> range:
    result = range(*bounds)
    if len(result) > MAX_ITEMS:
        raise ValueError("the range is too long")
    return result


def _number_or_text(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any = 0) -> Any:
        if not isinstance(value, (int, float, str, np.number)) or (isinstance(value, str) and len(value) > MAX_LENGTH):
            raise ValueError(f"{kind.__name__}() takes a number or a short text")
        return kind(value)

    return convert


def _round(value: Any, *digits: Any) -> Any:
    number = isinstance(value, (int, float, np.number))
    if not number or any(not isinstance(n, int) or abs(n) > MAX_DIGITS for n in digits):
        raise ValueError(f"round() takes a number, and at most {MAX_DIGITS} digits")
    return round(value, *digits)


def _bounded(value: Any) -> Any:
    """The value, if it is not lists within lists that hold more than :data:`MAX_ITEMS` things in all."""
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            one = [*one.keys(), *one.values()]
        if isinstance(one, (list, tuple, set)):
            count += len(one)
            if count > MAX_ITEMS:
                raise ValueError("it compares lists that are too large")
            waiting.extend(one)
    return value


def _bounded_function(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(*values: Any) -> Any:
        return function(*_bounded(list(values)))

    return compute


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch.device": _cpu,
    "torch.cuda.is_available": _no_gpu,
    "int": _number_or_text(int),
    "float": _number_or_text(float),
    "bool": bool,
    "str": _number_or_text(str),
    "tuple": tuple,
    "list": list,
    "len": len,
    "range": _range,
    "min": _bounded_function(min),
    "max": _bounded_function(max),
    "abs": abs,
    "round": _round,
}


def _guarded(symbol: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compute(left: Any, right: Any) -> Any:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers:
            _check_sequences(symbol, left, right)
        result = function(left, right)
        if isinstance(result, int) and abs(result) > MAX_NUMBER:
            raise ValueError(f"'{symbol}' gives a number that is too large")
        return result

    return compute


def _check_sequences(symbol: str, left: Any, right: Any) -> None:
    sequences = [value for value in (left, right) if isinstance(value, (str, list, tuple))]
    if symbol == "+" and len(sequences) == 2:
        length = len(left) + len(right)
    elif symbol == "*" and len(sequences) == 1:
        count = right if sequences[0] is left else left
        length = len(sequences[0]) * abs(count) if isinstance(count, int) else MAX_ITEMS + 1
    else:
        raise TypeError(f"'{symbol}' is for numbers, or joins texts and lists")
    if length > MAX_ITEMS:
        raise ValueError(f"'{symbol}' makes something too long")
