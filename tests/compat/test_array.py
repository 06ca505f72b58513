"""The wrapper that takes the place of tensors, compared with tensors of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from masklet.compat.sam2.array import Array, make_tensor, to_numpy

VALUES = np.linspace(-2, 3, 12, dtype=np.float32).reshape(1, 3, 4)
CALLS: dict[str, Callable[[Any], Any]] = {
    "compare": lambda x: (x > 0.0).cpu().numpy(),
    "compare with an array": lambda x: x >= x[0, 1, 1],
    "not": lambda x: ~(x > 0),
    "and": lambda x: (x > 0) & (x < 2),
    "equal": lambda x: x == x,
    "arithmetic": lambda x: 1 + x * 2 - x / 4,
    "negative": lambda x: -x,
    "index": lambda x: x[0, 1:, ::2],
    "mask index": lambda x: x[x > 0],
    "squeeze": lambda x: x.squeeze(),
    "squeeze axis": lambda x: x.squeeze(0),
    "squeeze long axis": lambda x: x.squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "float": lambda x: (x > 0).float(),
    "bool": lambda x: x.bool(),
    "int": lambda x: x.int(),
    "flatten": lambda x: x.flatten(),
    "flatten axes": lambda x: x.flatten(0, 1),
    "reshape": lambda x: x.reshape(4, -1),
    "permute": lambda x: x.permute(2, 0, 1),
    "sum": lambda x: x.sum(),
    "any": lambda x: (x > 0).any(),
    "all": lambda x: (x > 0).all(),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "mean": lambda x: x.mean(),
    "argmax": lambda x: x.argmax(),
    "sigmoid": lambda x: x.sigmoid(),
    "detach": lambda x: x.detach().cpu().clone().contiguous(),
    "to": lambda x: x.to("cpu"),
    "iterate": lambda x: list(x[0])[1],
    "numpy": lambda x: np.asarray(x),
    "stack": lambda x: np.concatenate([np.asarray(x), np.asarray(x)]),
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "shape": lambda x: tuple(x.shape),
    "size": lambda x: tuple(x.size()),
    "size of an axis": lambda x: x.size(1),
    "dim": lambda x: (x.ndim, x.dim(), x.numel(), len(x)),
    "item": lambda x: x[0, 0, 0].item(),
    "truth": lambda x: bool((x > 5).any()),
    "number": lambda x: (float(x[0, 0, 0]), int(x[0, 2, 3])),
    "list": lambda x: x.tolist(),
    "as an index": lambda x: [10, 11, 12][x.int()[0, 2, 1]],
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_what_a_tensor_gives(name: str) -> None:
    torch = pytest.importorskip("torch")
    expected = to_numpy(CALLS[name](torch.from_numpy(VALUES.copy())))
    found = CALLS[name](Array(VALUES.copy()))
    assert isinstance(found, Array | np.ndarray)
    assert np.asarray(found).shape == expected.shape
    assert np.asarray(found).dtype == expected.dtype
    assert np.allclose(found, expected)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_those_of_a_tensor(name: str) -> None:
    torch = pytest.importorskip("torch")
    assert NUMBERS[name](Array(VALUES)) == NUMBERS[name](torch.from_numpy(VALUES.copy()))


def test_items_can_be_set() -> None:
    array = Array(VALUES.copy())
    array[array < 0] = 0.0
    array[0, 0] = Array(np.ones(4, np.float32))
    assert array.numpy().min() == 0
    assert (array.numpy()[0, 0] == 1).all()


def test_operators_with_numpy_on_the_left_give_the_wrapper() -> None:
    found = VALUES + Array(VALUES)
    assert isinstance(found, Array)
    assert np.array_equal(found, 2 * VALUES)


def test_a_dtype_of_numpy_converts() -> None:
    assert Array(VALUES).to(np.float64).dtype == np.float64
    assert Array(VALUES).to("cuda").dtype == np.float32
    assert np.asarray(Array(VALUES), np.float16).dtype == np.float16


def test_tensors_are_made_from_arrays_and_back() -> None:
    torch = pytest.importorskip("torch")
    tensor = make_tensor(VALUES, "cpu")
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(to_numpy(tensor), VALUES)
    assert to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    with torch.inference_mode():
        made = torch.ones(2)
    make_tensor(made)[0] = 5  # what a program gets can be changed
    assert made.tolist() == [1, 1]
