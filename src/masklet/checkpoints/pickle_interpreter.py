"""Reads the pickle inside a PyTorch checkpoint without unpickling: a machine that can build inert values only.

Unpickling runs whatever code a file names. This machine knows the handful of instructions that plain weights consist
of and the ten-odd names that PyTorch writes for them; everything it makes is a number, a string, a list, a tuple, a
dict, or a description of a tensor. Anything else is refused before it is looked at further.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from masklet.checkpoints.dtypes import DTYPES_BY_TORCH_STORAGE, Dtype
from masklet.checkpoints.memory_map import MappedFile
from masklet.errors import CheckpointError

_MAX_INSTRUCTIONS = 500_000  # the largest released checkpoint takes 30,000; this bounds the memory of a hostile one


class Storage(NamedTuple):
    """A row of `length` numbers, kept in the archive as `data/<key>`."""

    key: str
    dtype: Dtype
    length: int


class Tensor(NamedTuple):
    """A view of a storage: `offset` and `strides` count numbers, not bytes. As in the file, so not yet checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def interpret_pickle(file: MappedFile, program: bytes) -> object:
    """What the pickle stands for, with `Tensor` for every tensor.

    Raises `CheckpointError`: `unsafe-pickle` for anything but plain data, `checkpoint-corrupt` for a broken pickle.
    """
    machine = _Machine(file, program)
    end = 0
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(program)):
            if count >= _MAX_INSTRUCTIONS:
                raise file.make_error("checkpoint-bomb", f"its pickle has more than {_MAX_INSTRUCTIONS} instructions")
            machine.run(opcode.name, argument)
            end = (position or 0) + 1
        _require(end == len(program), "something follows its end")
        return machine.answer()
    except CheckpointError:
        raise
    except (ValueError, IndexError) as cause:
        raise file.make_error(
            "checkpoint-corrupt", f"its pickle is broken: {str(cause)[:100]}", hint="download it again"
        ) from cause


class _Name(NamedTuple):
    """A class or function that the pickle mentions; only ever compared, never looked up."""

    full: str


class _Machine:
    """The stack, the stacks that wait for the end of a mark, and the memo of a pickle."""

    def __init__(self, file: MappedFile, program: bytes) -> None:
        self.file = file
        self.program = program
        self.stack: list[Any] = []
        self.waiting: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, instruction: str, argument: Any) -> None:
        if instruction in _PUSHED:
            self.stack.append(argument)
        elif instruction in _FRESH:
            self.stack.append(_FRESH[instruction]())
        elif instruction in _STEPS:
            _STEPS[instruction](self, argument)
        else:
            raise self.refusal(_first_strange_name(self.program) or f"the pickle instruction {instruction}")

    def answer(self) -> object:
        _require(len(self.stack) == 1 and not self.waiting, "values are left over")
        return self.stack[0]

    def refusal(self, what: str) -> CheckpointError:
        return self.file.make_error(
            "unsafe-pickle",
            f"uses {what[:100]}, which weights do not need and which could run code; nothing was run",
            hint='whoever made the file can save the weights alone: torch.save({"model": model.state_dict()}, path)',
        )

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.waiting.pop()
        return items

    def mark(self, _: Any) -> None:
        self.waiting.append(self.stack)
        self.stack = []

    def name(self, argument: str) -> None:
        self.mention(_dotted(argument))

    def name_from_stack(self, _: Any) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        _require(isinstance(module, str) and isinstance(attribute, str), "a name is not a text")
        self.mention(f"{module}.{attribute}")

    def mention(self, full: str) -> None:
        if full not in _CALLED and full not in DTYPES_BY_TORCH_STORAGE:
            raise self.refusal(full)
        self.stack.append(_Name(full))

    def call(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or name.full not in _CALLED:
            raise self.refusal("the call of something that is no function of its own")
        _require(isinstance(arguments, tuple), "arguments are not a tuple")
        self.stack.append(_CALLED[name.full](*arguments[:_MOST_ARGUMENTS]))

    def attributes(self, _: Any) -> None:
        """The state of an OrderedDict, such as a module's version numbers: not needed, not kept."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict):
            raise self.refusal("the state of an object")

    def storage(self, _: Any) -> None:
        match self.stack.pop():
            case ("storage", _Name(full), str(key), str(), int(length)) if full in DTYPES_BY_TORCH_STORAGE:
                self.stack.append(Storage(key, DTYPES_BY_TORCH_STORAGE[full], length))
            case _:
                raise ValueError("a storage is described wrongly")

    def remember(self, slot: int) -> None:
        self.memo[slot] = self.stack[-1]

    def remember_next(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def recall(self, slot: int) -> None:
        _require(slot in self.memo, "a value is recalled that was never remembered")
        self.stack.append(self.memo[slot])

    def tuple_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        _require(len(self.stack) >= count, "the stack is empty")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self, _: Any) -> None:
        self.extend([self.stack.pop()])

    def appends(self, _: Any) -> None:
        self.extend(self.since_mark())

    def extend(self, items: list[Any]) -> None:
        _require(isinstance(self.stack[-1], list), "something is appended to what is no list")
        self.stack[-1].extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def set_items(self, _: Any) -> None:
        self.update(self.since_mark())

    def update(self, items: list[Any]) -> None:
        _require(isinstance(self.stack[-1], dict) and len(items) % 2 == 0, "an entry is set in what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _require(isinstance(key, str | int), "a key is neither a text nor a number")  # tuples may take ages to hash
            self.stack[-1][key] = value


def _first_strange_name(program: bytes) -> str | None:
    """What a program with an unknown instruction is about: the first thing in it that weights do not mention."""
    for opcode, argument, _ in pickletools.genops(program):
        if (
            opcode.name in ("GLOBAL", "INST")
            and _dotted(argument) not in _CALLED
            and _dotted(argument) not in DTYPES_BY_TORCH_STORAGE
        ):
            return _dotted(argument)
    return None


def _dotted(argument: Any) -> str:
    """`module name`, as pickletools gives it, with a dot."""
    return str(argument).replace(" ", ".", 1)


def _empty(*arguments: Any) -> dict[Any, Any]:
    _require(not arguments, "an OrderedDict is made of something")
    return {}


def _tensor(*arguments: Any) -> Tensor:
    match arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(strides), *_) if len(shape) == len(strides):
            _require(
                all(type(length) is int for length in (*shape, *strides)), "a shape holds something else than numbers"
            )
            return Tensor(storage, offset, shape, strides)
        case _:
            raise ValueError("a tensor is described wrongly")


def _parameter(*arguments: Any) -> Tensor:
    _require(bool(arguments) and isinstance(arguments[0], Tensor), "a parameter is no tensor")
    tensor: Tensor = arguments[0]
    return tensor


def _require(claim: bool, otherwise: str) -> None:
    if not claim:
        raise ValueError(otherwise)


_MOST_ARGUMENTS = 8
_CALLED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _empty,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
_PUSHED = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": _Machine.mark,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.attributes,
    "BINPERSID": _Machine.storage,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember_next,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
}
