"""Runs both backends with the shapes of their arrays checked. It is a script: a hook decorates modules while they load.

The package imports jaxtyping for type checkers only, so this process poses as one.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace

import beartype  # noqa: F401  # here and below: packages that do not expect `TYPE_CHECKING` at run time
import cv2  # noqa: F401
import numpy as np
import onnxruntime  # noqa: F401
import torch
from jaxtyping import TypeCheckError, install_import_hook
from PIL import Image  # noqa: F401

import masklet  # noqa: F401

typing.TYPE_CHECKING = True

from masklet.backend import NO_PROMPT, Backend, Recall, build_query  # noqa: E402
from support import shape_checks  # noqa: E402
from support.networks import make_model  # noqa: E402

CHECKED_PACKAGES = ("masklet.model", "masklet.position_tables", "masklet.backends")
with install_import_hook(CHECKED_PACKAGES, f"{shape_checks.__name__}.{shape_checks.check.__name__}"):
    from masklet.backends import onnx as onnx_backend
    from masklet.backends import torch as torch_backend
    from masklet.backends.onnx import arrays

IMAGE, MASK = np.zeros((40, 50, 3), np.uint8), np.arange(2000).reshape(40, 50) % 50 < 20
CLICK = build_query(np.array([[0.2, 0.3]]), np.array([1], np.int32), ambiguous=True)
MASK_ALONE = build_query(np.zeros((0, 2)), np.zeros(0, np.int32), MASK, ambiguous=False)


def run(backend: Backend) -> None:
    """Call every method that takes or returns arrays."""
    features, _ = backend.encode([IMAGE, IMAGE[:30]])
    backend.encode_normalized(*backend.restore([np.zeros((2, 3, backend.input_size, backend.input_size), np.float32)]))
    first = backend.decode(backend.attend(features, [Recall()]), [CLICK, NO_PROMPT, MASK_ALONE])
    given = backend.use_masks(features, [MASK, MASK[:20]])
    selected = backend.select(first, [(0, None), (1, 2), (2, 0)])
    memories = backend.memorize(features, [*selected, *backend.select(given, [(1, None)])], [True, False, True, True])
    memories = [type(memory)(*backend.restore(backend.store(memory))) for memory in memories]
    recall = Recall(((6, memories[0]), (0, memories[1])), ((1, memories[2]), (2, memories[3]), (3, memories[0])))
    recalls = [recall, Recall(), replace(recall, scales=((0.9, 1.0), (1.0, 1.1, 1.2)))]
    tracked = backend.decode(backend.attend(features, recalls), [NO_PROMPT, CLICK, MASK_ALONE], hide=True)
    backend.fetch([tracked, None, given])
    backend.fetch_candidates(tracked)


def expect_error(call: Callable[[], object]) -> None:
    """Check that a call with arrays of other shapes is rejected."""
    try:
        call()
    except TypeCheckError:
        return
    raise AssertionError("arrays of other shapes are accepted")


def main() -> None:
    """Run both backends, then check that the hook is in effect."""
    model = make_model("nano", 64, calm=True)
    torch_runtime = torch_backend.build(model.config, model.tensors, device="cpu", input_size=64)
    for backend in (torch_runtime, onnx_backend.build(model.config, model.tensors, input_size=64)):
        run(backend)
    for name, size in (("edgetam-micro", 128), ("efficienttam-micro-1", 64), ("efficienttam-micro-2", 64)):
        relative = make_model(name, size, calm=True)
        run(torch_backend.build(relative.config, relative.tensors, device="cpu", input_size=size))
        run(onnx_backend.build(relative.config, relative.tensors, input_size=size))
    features = torch_runtime.encode([IMAGE])[0]
    expect_error(
        lambda: torch_runtime.model.decode(features, torch.zeros(2, 1, 2), torch.zeros(1, 1, dtype=torch.long))
    )
    expect_error(lambda: torch_runtime.decode(features._replace(stride8=features.stride8[0]), [CLICK]))
    expect_error(lambda: arrays.normalize_image(IMAGE[..., 0], 64))


if __name__ == "__main__":
    main()
