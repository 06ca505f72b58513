"""Pickle interpreter for PyTorch checkpoints: builds plain data and tensor descriptions, and never runs code.

Unpickling calls any function that a file names. This interpreter supports only the instructions and the names that
plain weights need. Its values are numbers, strings, lists, tuples, dicts and descriptions of tensors; anything else
raises an error before it has an effect.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from masklet.checkpoints.dtypes import DTYPES_BY_TORCH_STORAGE, Dtype
from masklet.checkpoints.memory_map import MappedFile
from masklet.errors import CheckpointError

_MAX_INSTRUCTIONS = 500_000  # bounds the memory; the largest released checkpoint has 30,000
_MAX_ARGUMENTS = 8  # of a call


class Storage(NamedTuple):
    """A flat array of `length` values in the archive member `data/<key>`."""

    key: str
    dtype: Dtype
    length: int


class Tensor(NamedTuple):
    """A view of a storage as the file describes it, not validated. `offset` and `strides` count values, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def interpret_pickle(file: MappedFile, program: bytes) -> object:
    """Interpret a pickle.

    Args:
        file: The checkpoint, for error messages.
        program: The content of its `data.pkl`.

    Returns:
        The pickled object, with a `Tensor` in place of every tensor.

    Raises:
        CheckpointError: `unsafe-pickle` for anything but plain weights, `checkpoint-corrupt` for a broken pickle,
            `checkpoint-bomb` for too many instructions.
    """
    interpreter = _Interpreter(file, program)
    stop = 0
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(program)):
            if count >= _MAX_INSTRUCTIONS:
                message = f"its pickle has more than {_MAX_INSTRUCTIONS} instructions"
                raise file.make_error("checkpoint-bomb", message)
            interpreter.execute(opcode.name, argument)
            stop = (position or 0) + 1
        _require(stop == len(program), "there are bytes after its end")
        return interpreter.get_result()
    except CheckpointError:
        raise
    except (ValueError, IndexError) as cause:
        message = f"its pickle is broken: {str(cause)[:100]}"
        raise file.make_error("checkpoint-corrupt", message, hint="download it again") from cause


class _Global(NamedTuple):
    """A class or function that the pickle names. It is compared and never imported."""

    name: str


class _Interpreter:
    """The stack, the outer stacks of open marks, and the memo of a pickle.

    The methods for instructions take the argument of the instruction, or `_` where it has none.
    """

    def __init__(self, file: MappedFile, program: bytes) -> None:
        self.file = file
        self.program = program
        self.stack: list[Any] = []
        self.outer_stacks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def execute(self, instruction: str, argument: Any) -> None:
        if instruction in _LITERALS:
            self.stack.append(argument)
        elif instruction in _CONSTRUCTORS:
            self.stack.append(_CONSTRUCTORS[instruction]())
        elif instruction in _INSTRUCTIONS:
            _INSTRUCTIONS[instruction](self, argument)
        else:
            raise self.make_unsafe_error(_find_unknown_global(self.program) or f"the pickle instruction {instruction}")

    def get_result(self) -> object:
        _require(len(self.stack) == 1 and not self.outer_stacks, "it does not end with exactly one value")
        return self.stack[0]

    def make_unsafe_error(self, item: str) -> CheckpointError:
        return self.file.make_error(
            "unsafe-pickle",
            f"uses {item[:100]}, which weights do not need and which could run code; nothing was run",
            hint='ask its author to save only the weights: torch.save({"model": model.state_dict()}, path)',
        )

    def push_mark(self, _: Any) -> None:
        self.outer_stacks.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer_stacks.pop()
        return items

    def push_global(self, argument: str) -> None:
        self.push_name(_join_name(argument))

    def push_global_from_stack(self, _: Any) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        _require(isinstance(module, str) and isinstance(attribute, str), "a name is not a string")
        self.push_name(f"{module}.{attribute}")

    def push_name(self, name: str) -> None:
        if name not in _CALLABLES and name not in DTYPES_BY_TORCH_STORAGE:
            raise self.make_unsafe_error(name)
        self.stack.append(_Global(name))

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or function.name not in _CALLABLES:
            raise self.make_unsafe_error("a call of a value that is not a known function")
        _require(isinstance(arguments, tuple), "the arguments of a call are not a tuple")
        self.stack.append(_CALLABLES[function.name](*arguments[:_MAX_ARGUMENTS]))

    def set_state(self, _: Any) -> None:
        """Ignore the state of an OrderedDict, such as the version numbers of modules."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict):
            raise self.make_unsafe_error("the state of an object")

    def push_storage(self, _: Any) -> None:
        match self.stack.pop():
            case ("storage", _Global(name), str(key), str(), int(length), *views) if (
                name in DTYPES_BY_TORCH_STORAGE and views in ([], [None])  # None: PyTorch before 1.6, no view
            ):
                self.stack.append(Storage(key, DTYPES_BY_TORCH_STORAGE[name], length))
            case _:
                raise ValueError("the description of a storage is invalid")

    def memoize_at(self, slot: int) -> None:
        self.memo[slot] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def push_memo(self, slot: int) -> None:
        _require(slot in self.memo, "it uses a memo entry that does not exist")
        self.stack.append(self.memo[slot])

    def make_tuple_to_mark(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append(tuple(items))

    def make_tuple(self, count: int) -> None:
        _require(len(self.stack) >= count, "the stack is empty")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self, _: Any) -> None:
        self.extend_list([self.stack.pop()])

    def append_to_mark(self, _: Any) -> None:
        self.extend_list(self.pop_to_mark())

    def extend_list(self, items: list[Any]) -> None:
        _require(isinstance(self.stack[-1], list), "it appends to a value that is not a list")
        self.stack[-1].extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update_dict([key, value])

    def set_items_to_mark(self, _: Any) -> None:
        self.update_dict(self.pop_to_mark())

    def update_dict(self, items: list[Any]) -> None:
        is_dict = isinstance(self.stack[-1], dict) and len(items) % 2 == 0
        _require(is_dict, "it sets an entry of a value that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a nested tuple can take exponential time.
            _require(isinstance(key, str | int), "a key is neither a string nor an integer")
            self.stack[-1][key] = value


def _find_unknown_global(program: bytes) -> str | None:
    """Find the first class or function in the pickle that weights do not need, for the error message."""
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in ("GLOBAL", "INST"):
            name = _join_name(argument)
            if name not in _CALLABLES and name not in DTYPES_BY_TORCH_STORAGE:
                return name
    return None


def _join_name(argument: Any) -> str:
    """Join `module name`, as pickletools returns it, with a dot."""
    return str(argument).replace(" ", ".", 1)


def _make_ordered_dict(*arguments: Any) -> dict[Any, Any]:
    _require(not arguments, "an OrderedDict has arguments")
    return {}


def _make_tensor(*arguments: Any) -> Tensor:
    match arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(strides), *_) if len(shape) == len(strides):
            are_integers = all(type(length) is int for length in (*shape, *strides))
            _require(are_integers, "a shape or a stride is not an integer")
            return Tensor(storage, offset, shape, strides)
        case _:
            raise ValueError("the description of a tensor is invalid")


def _make_parameter(*arguments: Any) -> Tensor:
    _require(bool(arguments) and isinstance(arguments[0], Tensor), "a parameter is not a tensor")
    tensor: Tensor = arguments[0]
    return tensor


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


_CALLABLES: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _make_ordered_dict,
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch._utils._rebuild_parameter": _make_parameter,
}
_LITERALS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTRUCTORS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_INSTRUCTIONS: dict[str, Callable[[_Interpreter, Any], None]] = {
    "PROTO": lambda interpreter, _: None,
    "FRAME": lambda interpreter, _: None,
    "STOP": lambda interpreter, _: None,
    "MARK": _Interpreter.push_mark,
    "GLOBAL": _Interpreter.push_global,
    "STACK_GLOBAL": _Interpreter.push_global_from_stack,
    "REDUCE": _Interpreter.call,
    "BUILD": _Interpreter.set_state,
    "BINPERSID": _Interpreter.push_storage,
    "BINPUT": _Interpreter.memoize_at,
    "LONG_BINPUT": _Interpreter.memoize_at,
    "MEMOIZE": _Interpreter.memoize,
    "BINGET": _Interpreter.push_memo,
    "LONG_BINGET": _Interpreter.push_memo,
    "TUPLE": _Interpreter.make_tuple_to_mark,
    "TUPLE1": lambda interpreter, _: interpreter.make_tuple(1),
    "TUPLE2": lambda interpreter, _: interpreter.make_tuple(2),
    "TUPLE3": lambda interpreter, _: interpreter.make_tuple(3),
    "APPEND": _Interpreter.append,
    "APPENDS": _Interpreter.append_to_mark,
    "SETITEM": _Interpreter.set_item,
    "SETITEMS": _Interpreter.set_items_to_mark,
}
