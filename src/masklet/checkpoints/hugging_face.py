"""Models of the Hugging Face Hub, `hf:owner/name[/file][@revision]`, downloaded by huggingface_hub to its cache."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from masklet.checkpoints.weight_folder import ADAPTER_CONFIG
from masklet.errors import BackendError, CheckpointError, InputNotFound, ResourceError, SettingsError

HUB_PREFIX = "hf:"
_REFERENCE = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<file>[\w./ -]+))?(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_FOLDERS = (  # files of a folder, the first of which a repository must have, in order of preference
    (ADAPTER_CONFIG, "adapter_model.safetensors", "adapter_model.bin"),
    ("manifest.json", "*.onnx", "tables.safetensors"),
    ("model.safetensors.index.json", "model-*.safetensors", "config.json"),
    ("model.safetensors", "config.json"),
)
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


class _Reference(NamedTuple):
    """A model of the hub."""

    repository: str
    file: str | None
    revision: str | None


def looks_like_repository(name: str) -> bool:
    """Return whether a name has the form `owner/name`, without the suffix of a checkpoint file."""
    return _REPOSITORY.fullmatch(name) is not None and not name.endswith(_SUFFIXES)


def download_from_hub(model: str) -> Path:
    """Download a model of the hub, or the part that is not in the cache. `HF_ENDPOINT` is the address of a mirror.

    Args:
        model: `hf:owner/name`, with `/file` for a file of the repository, and with `@revision` for a branch, a tag or
            a commit. Without a file, the files of an adapter, an exported model or of transformers are preferred to a
            checkpoint, of which there must be only one.

    Returns:
        The file, or the folder with the files.

    Raises:
        SettingsError: `bad-usage`. The name is malformed, or the repository has several checkpoints.
        BackendError: `backend-missing`. huggingface_hub is not installed.
        InputNotFound: The repository, the revision or the file does not exist.
        ResourceError: The hub cannot be reached, or refuses the download.
    """
    reference = _parse(model)
    hub = _import_library()
    with _translate_errors(model):
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="masklet")
        file = reference.file
        if file is None:
            names = api.list_repo_files(reference.repository, revision=reference.revision)
            patterns = next((folder for folder in _FOLDERS if folder[0] in names), None)
            if patterns is not None:
                folder = api.snapshot_download(
                    reference.repository, revision=reference.revision, allow_patterns=list(patterns)
                )
                return Path(folder)
            file = _choose_file(model, names)
        return Path(api.hf_hub_download(reference.repository, file, revision=reference.revision))


def _parse(model: str) -> _Reference:
    match = _REFERENCE.fullmatch(model.removeprefix(HUB_PREFIX))
    if match is None or ".." in PurePosixPath(match["file"] or "").parts:
        message = f"a model of the hub is hf:owner/name, hf:owner/name/file or hf:owner/name@revision, got {model!r}"
        raise SettingsError("bad-usage", message)
    return _Reference(match["repository"], match["file"], match["revision"])


def _choose_file(model: str, names: list[str]) -> str:
    """Return the only checkpoint of a repository."""
    checkpoints = [name for name in names if name.endswith(_SUFFIXES)]
    if not checkpoints:
        listed = ", ".join(names[:5]) or "nothing"
        raise CheckpointError("checkpoint-unknown-format", f"{model} has no checkpoint; it has {listed}")
    if len(checkpoints) > 1:
        repository, _, revision = model.partition("@")
        example = f"{repository}/{checkpoints[0]}" + (f"@{revision}" if revision else "")
        message = f"{model} has {len(checkpoints)} checkpoints: {', '.join(checkpoints[:10])}"
        raise SettingsError("bad-usage", message, hint=f"name one of them, such as {example}")
    return checkpoints[0]


def _import_library() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as missing:
        if missing.name != "huggingface_hub":
            raise
        message = "hf: needs huggingface_hub, which is not installed"
        raise BackendError("backend-missing", message, hint='pip install "huggingface_hub>=0.30"') from missing
    return huggingface_hub


@contextmanager
def _translate_errors(model: str) -> Iterator[None]:
    """Raise masklet's errors in place of the library's, whose kinds are known by the names of their classes."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as cause:
        hint = "accept its terms on its page, then run: hf auth login"
        raise ResourceError("download-failed", f"{model} needs permission", hint=hint) from cause
    except errors.LocalEntryNotFoundError as cause:
        message = f"{model} is not in the cache, and the hub cannot be reached: {_first_line(cause)}"
        raise ResourceError("network-unavailable", message, hint="HF_ENDPOINT may name a mirror") from cause
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as cause:
        hint = "a private repository needs: hf auth login"
        raise InputNotFound("input-not-found", f"{model} does not exist on the hub", hint=hint) from cause
    except errors.HFValidationError as cause:
        raise SettingsError("bad-usage", f"{model} is not the name of a repository: {_first_line(cause)}") from cause
    except errors.HfHubHTTPError as cause:
        raise ResourceError("download-failed", f"the hub refused {model}: {_first_line(cause)}") from cause
    except Exception as cause:
        if isinstance(cause, OSError) or "Connect" in type(cause).__name__ or "Timeout" in type(cause).__name__:
            message = f"the hub cannot be reached for {model}: {_first_line(cause)}"
            raise ResourceError("network-unavailable", message, hint="HF_ENDPOINT may name a mirror") from cause
        raise


def _first_line(cause: BaseException) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
