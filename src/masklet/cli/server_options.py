"""What the commands that serve share: the token, the names of the server, the model, and the end."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from pathlib import Path

from masklet.checkpoints.hub import find_release
from masklet.cli.options import ModelOptions, locate_model
from masklet.errors import SettingsError
from masklet.files.error_translation import translate_read_errors
from masklet.http.security import LOOPBACK_NAMES, is_loopback
from masklet.signals import END_SIGNALS

TOKEN_VARIABLE = "MASKLET_TOKEN"
_EVERY_HOST = ("0.0.0.0", "::", "")
_MAX_TOKEN_BYTES = 4096


def read_token(file: Path | None, host: str) -> str | None:
    """Read the token. The variable is removed, so that other programs do not inherit it.

    Args:
        file: File with the token; None for the environment variable.
        host: The address to listen on.

    Raises:
        SettingsError: Other machines may connect, but there is no token.
        InputNotFound: The file cannot be read.
    """
    variable = os.environ.pop(TOKEN_VARIABLE, None)
    token = (variable or None) if file is None else _read_token_file(file)
    if token is None and not is_loopback(host):
        message = f"--host {host} lets other machines connect; set ${TOKEN_VARIABLE} or --token-file"
        raise SettingsError("bad-usage", f"{message} to a token of at least 16 characters")
    return token


def list_hosts(host: str, allowed_hosts: list[str]) -> list[str]:
    """Return the names of a server beside those of the loopback address: its address, unless it is every one."""
    own = [] if host in (*_EVERY_HOST, *LOOPBACK_NAMES, "::1") else [host]
    return [*own, *allowed_hosts]


def check_model(model: str) -> None:
    """Raise `MaskletError` for a model that does not exist; a release is downloaded later."""
    if find_release(model) is None:
        locate_model(model)


def select_runtime(options: ModelOptions) -> str | None:
    """Select onnxruntime on a CPU, where it predicts sooner than PyTorch; None leaves the choice to `load`."""
    if find_spec("torch") is None or options.dtype not in (None, "float32"):
        return None
    from masklet.backends.torch_device import select_device

    is_cpu = options.device == "cpu" or (options.device is None and select_device(None).type == "cpu")
    return "onnx" if is_cpu else None


def ignore_signals() -> None:
    """Ignore further signals while a server ends."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _read_token_file(file: Path) -> str:
    with translate_read_errors(file), file.open("rb") as handle:
        content = handle.read(_MAX_TOKEN_BYTES)
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise SettingsError("bad-usage", f"{file}: the token must be a line of text in UTF-8") from None
