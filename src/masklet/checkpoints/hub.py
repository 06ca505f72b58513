"""Models by name: the embedded model, the released checkpoints, and the folder of downloaded files.

`masklet.load("sam2.1-tiny")` downloads the checkpoint the first time; `masklet.load("nano")` needs no download. The
publisher's names `facebook/sam2.1-hiera-tiny` and `sam2.1_hiera_tiny` mean the same checkpoint. Files are downloaded
to `get_home()/models`, and files that a user puts there are used as well. Machines without internet access can use a
mirror: a folder on a web server that has the files under their released names. Its address is the only line of
`get_home()/mirror.txt`.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path

from masklet.checkpoints.download import DEFAULT_RETRY_POLICY, Progress, RemoteFile, RetryPolicy, download
from masklet.checkpoints.hugging_face import HUB_PREFIX, download_from_hub
from masklet.checkpoints.releases import PUBLISHERS, RELEASES, Release
from masklet.config import EMBEDDED_MODEL
from masklet.errors import CheckpointError, InputNotFound, SettingsError, warn
from masklet.files.atomic import atomic_write
from masklet.files.hashing import git_blob_hash_of_file, sha256_of_file

_SUFFIXES = (".pt", ".pth", ".safetensors", ".onnx")  # a model with one of these is a path, not a name


def get_embedded_path() -> Path:
    """Return the path of the embedded model's weights, which are part of the package."""
    return Path(__file__).parents[1] / "weights" / f"{EMBEDDED_MODEL}.safetensors"


def get_home() -> Path:
    """Return the folder of downloads and caches: `$MASKLET_HOME`, or `masklet` in the system's folder for caches."""
    chosen = os.environ.get("MASKLET_HOME")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "masklet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "masklet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "masklet"


def get_release_path(release: Release) -> Path:
    """Return the path of a release's downloaded file, whether it exists or not."""
    return get_home() / "models" / release.file


def find_or_pull(model: str | Path, progress: Progress | None = None) -> Path:
    """Return the file or folder of a model, and download a release that is not there yet.

    Args:
        model: A path, the name of the embedded model, the name or an alias of a release, or `hf:owner/name` (see
            `download_from_hub`). An existing path takes precedence over a name.
        progress: Called during a download with the bytes received so far and the total.

    Raises:
        InputNotFound: The path does not exist.
        SettingsError: No model has that name.
        CheckpointError: See `pull`.
        ResourceError: See `pull`.
        BackendError: See `download_from_hub`.
    """
    if isinstance(model, str) and not Path(model).exists():
        if model.startswith(HUB_PREFIX):
            return download_from_hub(model)
        if find_release(model):
            return pull(model, progress)
    return find_local(model)


def find_local(model: str | Path) -> Path:
    """Return the file or folder of a model without using the network.

    Args:
        model: As in `find_or_pull`.

    Raises:
        InputNotFound: The path does not exist, or the release is not downloaded.
        SettingsError: No model has that name.
    """
    path = Path(model).expanduser()
    if path.exists():
        return path
    if model == EMBEDDED_MODEL:
        return get_embedded_path()
    release = find_release(model) if isinstance(model, str) else None
    if release is not None:
        path = get_release_path(release)
        if path.exists():
            return path
        message = f"{model} is not downloaded: {path} does not exist"
        raise InputNotFound("input-not-found", message, hint=f"masklet models pull {release.name}")
    if isinstance(model, str) and model.startswith(PUBLISHERS):
        raise _make_unknown_model_error(model)
    if isinstance(model, Path) or path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise InputNotFound("input-not-found", f"{path} does not exist", path=str(path))
    raise _make_unknown_model_error(model)


def find_release(name: str) -> Release | None:
    """Return the release with that name or alias, in lower or upper case, or None."""
    folded = name.lower()
    names = ((release, (release.name, *release.aliases)) for release in RELEASES.values())
    return next((release for release, known in names if folded in map(str.lower, known)), None)


def get_release(name: str) -> Release:
    """Return the release with that name or alias.

    Raises:
        SettingsError: `unknown-model`. The message lists similar names.
    """
    release = find_release(name)
    if release is None:
        raise _make_unknown_model_error(name)
    return release


def pull(
    name: str,
    progress: Progress | None = None,
    *,
    mirror: str | None = None,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> Path:
    """Download a release, unless its file is there already. An interrupted download resumes.

    Args:
        name: The name or an alias of the release.
        progress: Called during the download with the bytes received so far and the total.
        mirror: The http or https address of a folder that has the released files. By default the address in
            `get_home()/mirror.txt`, or else the publisher's.
        retry_policy: Timeout and retries.

    Returns:
        The path of the file. A downloaded file has the published hash, and an existing one the published size, or
        where no size is published, the published hash. Where no hash is published, the SHA-256 at the first use is
        stored beside the file, reported as a warning, and compared later.

    Raises:
        SettingsError: `unknown-model` or `bad-mirror`.
        CheckpointError: `hash-mismatch`. The file at the mirror, or the existing one, is another file.
        ResourceError: The network or the disk failed; see `download`.
    """
    release = get_release(name)
    path = get_release_path(release)
    if not path.exists():
        download(_make_remote_file(release, mirror), path, progress, retry_policy)
    elif release.size_bytes is None:
        _check_hash(path, release)
    elif path.stat().st_size != release.size_bytes:
        raise _make_mismatch_error(path, release, f"it has {path.stat().st_size} bytes, not {release.size_bytes}")
    _store_hash(path, release)
    return path


def verify_file(path: Path) -> Release | None:
    """Compare the hash of a file with the releases.

    Returns:
        The release that the file is, or None if it is no release and does not have the name of one.

    Raises:
        InputNotFound: The file cannot be read.
        CheckpointError: `hash-mismatch`. The file has the name of a release and other content.
    """
    expected = next((entry for entry in RELEASES.values() if entry.file == path.name), None)
    if expected is None:
        return find_release_by_hash(path)
    _check_hash(path, expected)
    _store_hash(path, expected)
    return expected


def find_release_by_hash(path: Path, sha256: str | None = None) -> Release | None:
    """Return the release whose published hash a file has, or None.

    Args:
        path: The file.
        sha256: Its SHA-256, if it is known.

    Raises:
        InputNotFound: The file cannot be read.
    """
    digest = sha256 or sha256_of_file(path)
    found = next((release for release in RELEASES.values() if release.sha256 == digest), None)
    if found is None:
        digest = git_blob_hash_of_file(path)
        found = next((release for release in RELEASES.values() if release.git_blob == digest), None)
    return found


def _check_hash(path: Path, release: Release) -> None:
    """Compare the hash of a file with the published one, or with the one at its first use.

    Raises:
        CheckpointError: `hash-mismatch`.
    """
    if release.git_blob:
        kind, digest, expected = "git blob hash", git_blob_hash_of_file(path), release.git_blob
    else:
        kind, digest, expected = "SHA-256", sha256_of_file(path), release.sha256 or _read_stored_hash(release)
    if expected and digest != expected:
        raise _make_mismatch_error(path, release, f"its {kind} is {digest}, not {expected}")


def _get_hash_path(release: Release) -> Path:
    """Return the path of the stored hash of a release, in the format of `sha256sum`."""
    return get_release_path(release).with_name(f"{release.file}.sha256")


def _read_stored_hash(release: Release) -> str:
    path = _get_hash_path(release)
    return path.read_text(encoding="utf-8", errors="replace").partition(" ")[0].strip() if path.is_file() else ""


def _store_hash(path: Path, release: Release) -> None:
    """Store the SHA-256 of a release without a published hash at its first use, and report it."""
    if release.sha256 or release.git_blob or _read_stored_hash(release):
        return
    digest, stored = sha256_of_file(path), _get_hash_path(release)
    stored.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(stored) as handle:
        handle.write(f"{digest}  {release.file}\n".encode())
    message = f"no hash of {release.file} is published; its SHA-256 is {digest}, which {stored} stores for later checks"
    warn("hash-not-published", message)


def _make_remote_file(release: Release, mirror: str | None) -> RemoteFile:
    settings = get_home() / "mirror.txt"
    if mirror is None and settings.is_file():
        mirror = settings.read_text(encoding="utf-8", errors="replace").strip()
    if mirror and not (mirror.isascii() and mirror.startswith(("https://", "http://"))):
        raise SettingsError("bad-mirror", f"a mirror must begin with https:// or http://, got {mirror!r}")
    url = f"{mirror.rstrip('/')}/{release.file}" if mirror else release.url
    path = get_release_path(release)
    hint = f"copy the file from another machine to {path}, or write the address of a mirror into {settings}"
    sha256 = release.sha256 or ("" if release.git_blob else _read_stored_hash(release))
    return RemoteFile(url, release.size_bytes, sha256, hint, release.git_blob)


def _make_unknown_model_error(name: str | Path) -> SettingsError:
    names = (EMBEDDED_MODEL, *RELEASES)
    normalized = re.sub(r"^(facebook|yunyangx)/|[-_]hiera", "", str(name).lower()).replace("_", "-")
    similar = difflib.get_close_matches(normalized, names, n=3, cutoff=0.5)
    suggestion = f"similar names: {', '.join(similar)}" if similar else f"known names: {', '.join(names)}"
    return SettingsError(
        "unknown-model",
        f"there is no model {str(name)!r}; {suggestion}",
        hint="masklet models list shows all names; the path of a checkpoint file works as well",
    )


def _make_mismatch_error(path: Path, release: Release, difference: str) -> CheckpointError:
    return CheckpointError(
        "hash-mismatch",
        f"{path} is not the released {release.name}: {difference}",
        hint=f"move the file away, then run: masklet models pull {release.name}",
        path=str(path),
    )
