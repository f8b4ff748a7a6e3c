# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the structure of a pickle without importing or calling anything it names.

A pickle is a program for a small stack machine. This machine builds numbers, text, lists, tuples and
tables as Python's does, but a class or function stays a `Name`, and what the program would make
with it a `Made` that remembers the arguments. Names outside an allow-list end the reading.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

MAX_OPERATIONS = 5_000_000
"""Steps of one pickle: a published file has about 50,000."""

READ_ERRORS = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    EOFError,
    OSError,
)
"""What reading a damaged or forged file may raise; callers turn it into one sentence."""


class ForbiddenNameError(ValueError):
    """A pickle names something that its format has no use for."""


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function the pickle names, such as `torch._utils._rebuild_tensor_v2`."""

    full: str


@dataclass(eq=False)
class Made:
    """What the pickle would make by calling something.

    Attributes:
        maker: What would be called, usually a `Name`.
        arguments: Its arguments.
        state: What the object would be filled with, or None.
    """

    maker: object
    arguments: tuple[Any, ...]
    state: object = None


@dataclass(eq=False)
class _Stack:
    """Values under construction, with the marks that open groups."""

    values: list[Any] = field(default_factory=list[Any])
    marks: list[int] = field(default_factory=list[int])

    def pop(self) -> Any:
        """Take the topmost value of the open group."""
        if len(self.values) <= (self.marks[-1] if self.marks else 0):
            raise IndexError("a pickle takes more than it has")
        return self.values.pop()

    def group(self) -> list[Any]:
        """Take everything since the last mark."""
        start = self.marks.pop()
        taken = self.values[start:]
        del self.values[start:]
        return taken


class InertUnpickler:
    """The machine. Formats derive from it and say what a few names mean.

    Args:
        stream: The file, at the start of a pickle; afterwards right behind it.
        is_allowed: Whether a name may occur.
    """

    def __init__(self, stream: IO[bytes], is_allowed: Callable[[str], bool]) -> None:
        self.stream = stream
        self._is_allowed = is_allowed
        self._stack = _Stack()
        self._memo: dict[int, Any] = {}

    def make(self, maker: object, arguments: tuple[Any, ...]) -> object:
        """Value of a call; the default calls nothing."""
        return Made(maker, arguments)

    def build(self, made: Made) -> object:
        """Value of an object whose state has just been set."""
        return made

    def persistent(self, key: object) -> object:
        """Value of a reference to something outside the pickle."""
        raise ValueError(f"a reference to {type(key).__name__}")

    def load(self) -> object:
        """Run one pickle to its end.

        Returns:
            Its value.

        Raises:
            ForbiddenNameError: If it names something outside the allow-list.
            ValueError: If it is damaged; others of `READ_ERRORS` as well.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count > MAX_OPERATIONS:
                raise ValueError("too many steps")
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name in _CONSTANTS:
                self._stack.values.append(_CONSTANTS[opcode.name])
            elif _LITERALS.fullmatch(opcode.name):
                self._stack.values.append(argument)
            elif _CONTAINERS.fullmatch(opcode.name):
                self._contain(opcode.name)
            elif _OBJECTS.fullmatch(opcode.name):
                self._object(opcode.name, argument)
            else:
                self._arrange(opcode.name, argument)
        raise EOFError("no end")

    def _contain(self, name: str) -> None:
        """Operations that make or fill lists, tuples and tables."""
        stack = self._stack
        if name in ("EMPTY_LIST", "EMPTY_SET"):
            stack.values.append([])
        elif name == "EMPTY_DICT":
            stack.values.append({})
        elif name in ("LIST", "FROZENSET"):
            stack.values.append(stack.group())
        elif name == "TUPLE":
            stack.values.append(tuple(stack.group()))
        elif name == "DICT":
            items = stack.group()
            stack.values.append(_put({}, items))
        elif name in _TUPLE_LENGTHS:
            taken = [stack.pop() for _ in range(_TUPLE_LENGTHS[name])]
            stack.values.append(tuple(reversed(taken)))
        else:
            single = {"APPEND": 1, "SETITEM": 2}.get(name)
            items = stack.group() if single is None else [stack.pop() for _ in range(single)][::-1]
            target = stack.values[-1]
            if isinstance(target, list):
                target.extend(items)
            elif isinstance(target, dict):
                _put(target, items)
            elif not isinstance(target, Made):  # what an object of a class would hold is passed over
                raise ValueError("items of something that holds none")

    def _object(self, name: str, argument: Any) -> None:
        """Operations about classes and functions."""
        stack = self._stack
        if name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "GLOBAL":
                module, _, item = str(argument).partition(" ")
            else:
                item, module = stack.pop(), stack.pop()
            full = f"{module}.{item}"
            if not self._is_allowed(full):
                raise ForbiddenNameError(f"it names {full[:80]!r}, which no model file needs")
            stack.values.append(Name(full))
        elif name == "BINPERSID":
            stack.values.append(self.persistent(stack.pop()))
        elif name == "BUILD":
            state, made = stack.pop(), stack.pop()
            if isinstance(made, Made):
                made.state = state
                made = self.build(made)
            stack.values.append(made)
        else:
            keywords = stack.pop() if name == "NEWOBJ_EX" else {}
            arguments, maker = stack.pop(), stack.pop()
            if not isinstance(arguments, tuple) or keywords:
                raise ValueError("a call without arguments")
            stack.values.append(self.make(maker, arguments))

    def _arrange(self, name: str, argument: Any) -> None:
        """Operations that move values about."""
        stack = self._stack
        if name in ("PROTO", "FRAME"):
            return
        if name == "MARK":
            stack.marks.append(len(stack.values))
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            stack.group()
        elif name == "DUP":
            stack.values.append(stack.values[-1])
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.values.append(self._memo[int(argument)])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = stack.values[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack.values[-1]
        else:
            raise ValueError(f"the operation {name}")


def _put(table: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Add keys and values by turns. Only plain keys: hashing a nested one can take for ever."""
    if len(items) % 2:
        raise ValueError("a key without a value")
    pairs: Iterable[tuple[Any, Any]] = zip(items[::2], items[1::2], strict=True)
    table.update((key, value) for key, value in pairs if isinstance(key, (str, bytes, int, float)))
    return table


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}

_LITERALS = re.compile(
    r"INT|BININT[12]?|LONG[14]?|(BIN)?FLOAT|BYTEARRAY8|(SHORT_)?BIN(STRING|UNICODE|BYTES)|STRING|"
    r"UNICODE|BIN(UNICODE|BYTES)8"
)

_TUPLE_LENGTHS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

_CONTAINERS = re.compile(r"EMPTY_(LIST|SET|DICT)|LIST|FROZENSET|DICT|TUPLE[123]?|APPENDS?|SETITEMS?|ADDITEMS")

_OBJECTS = re.compile(r"(STACK_)?GLOBAL|BINPERSID|BUILD|REDUCE|NEWOBJ(_EX)?")
