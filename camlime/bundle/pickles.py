"""How deeply the objects of a pickle are nested, found without making them.

torch's restricted unpickler makes no dangerous objects, but a tuple within a tuple, a hundred thousand times over, ends
the process when it is hashed: that happens in C, where no error is raised.
"""

from __future__ import annotations

import pickletools
from typing import IO

MAX_NESTING = 100
"""A state dict has about ten levels."""

_FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
"""Put things into a container that is there already."""


def nesting(stream: IO[bytes], *, limit: int = MAX_NESTING) -> int:
    """The depth of the next pickle's most nested object, or the first one beyond the limit.

    Raises:
        ValueError: it is no pickle.

    Example:
        >>> import io, pickle
        >>> nesting(io.BytesIO(pickle.dumps([[1], 2])))
        2
    """
    depths: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    deepest = 0
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name == "MARK":
                marks.append(len(depths))
            elif name.endswith("PUT") or name == "MEMOIZE":
                memo[len(memo) if argument is None else int(argument)] = depths[-1]
            elif name.endswith("GET"):
                depths.append(memo[int(argument or 0)])
            else:
                before = opcode.stack_before
                if pickletools.markobject in before:
                    first = marks.pop() - before.index(pickletools.markobject)
                else:
                    first = len(depths) - len(before)
                if first < 0:
                    raise ValueError("it takes more from its stack than is there")
                taken = depths[first:]
                del depths[first:]
                if name in _FILLING:
                    made = max([taken[0], *(depth + 1 for depth in taken[1:])])
                else:
                    made = max(taken, default=0) + (1 if opcode.stack_after and name not in _SAME else 0)
                depths.extend([made] * len(opcode.stack_after))
                deepest = max(deepest, made)
                if deepest > limit:
                    return deepest
    except (IndexError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no pickle: {error!r}") from error
    return deepest


_SAME = {
    opcode.name for opcode in pickletools.opcodes if not opcode.stack_before or opcode.name in ("DUP", "POP", "STOP")
}
"""Make what is no deeper than what they take."""
