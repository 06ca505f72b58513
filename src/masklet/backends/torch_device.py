"""PyTorch devices and dtypes by name."""

from __future__ import annotations

import torch

from masklet.errors import ResourceError, SettingsError

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def select_device(name: str | None) -> torch.device:
    """Return PyTorch's device of that name; by default CUDA, else MPS, else the CPU.

    Raises:
        ResourceError: The device does not exist (`device-unavailable`).
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as cause:
        raise ResourceError(
            "device-unavailable",
            f"no device {name!r} here: {str(cause).splitlines()[0]}",
            hint="leave device= out, or use 'cpu'",
        ) from cause
    return torch.device(name)


def parse_dtype(name: str | None) -> torch.dtype:
    """Return PyTorch's dtype of that name, by default float32.

    Raises:
        SettingsError: The name is not in `DTYPES` (`bad-dtype`).
    """
    if name is None:
        return torch.float32
    if name not in DTYPES:
        raise SettingsError("bad-dtype", f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")
    return DTYPES[name]
