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
from dataclasses import dataclass
from pathlib import Path

from masklet.checkpoints.download import DEFAULT_RETRY_POLICY, Progress, RemoteFile, RetryPolicy, download
from masklet.config import EMBEDDED_MODEL
from masklet.errors import CheckpointError, InputNotFound, SettingsError
from masklet.files.hashing import sha256_of_file

_ORIGIN = "https://dl.fbaipublicfiles.com/segment_anything_2"
_PUBLISHER = "facebook/"  # of the released models on the Hugging Face Hub
_CONFIG_SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}  # in the names of the publisher's configs
_SUFFIXES = (".pt", ".pth", ".safetensors", ".onnx")  # a model with one of these is a path, not a name


@dataclass(frozen=True, slots=True)
class Release:
    """A published checkpoint (Apache-2.0).

    Attributes:
        name: The name of its configuration in `masklet.config`.
        date: The folder at the publisher.
        file: The name of the file.
        size_bytes: The exact size of the file.
        parameter_count: The number of values in all tensors.
        sha256: The hash of the file, in hexadecimal digits.
    """

    name: str
    date: str
    file: str
    size_bytes: int
    parameter_count: int
    sha256: str

    @property
    def url(self) -> str:
        """The publisher's address of the file."""
        return f"{_ORIGIN}/{self.date}/{self.file}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """The publisher's names: the stem of the file, the id on the Hugging Face Hub with and without the publisher,
        and the name of the configuration, such as `sam2.1_hiera_b+`."""
        version, _, model = self.name.partition("-")
        hub_id = f"{version}-hiera-{model}"
        config = f"{version}_hiera_{_CONFIG_SIZES.get(model, model)}"
        return Path(self.file).stem, f"{_PUBLISHER}{hub_id}", hub_id, config


def _make_release(name: str, size_bytes: int, parameter_count: int, sha256: str) -> Release:
    version, _, model = name.partition("-")
    date = "092824" if version == "sam2.1" else "072824"
    return Release(name, date, f"{version}_hiera_{model.replace('-', '_')}.pt", size_bytes, parameter_count, sha256)


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        _make_release(
            "sam2.1-tiny", 156008466, 38962754, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
        ),
        _make_release(
            "sam2.1-small", 184416285, 46060610, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
        ),
        _make_release(
            "sam2.1-base-plus", 323606802, 80850434, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"
        ),
        _make_release(
            "sam2.1-large", 898083611, 224446898, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
        ),
        _make_release(
            "sam2-tiny", 155906050, 38946242, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"
        ),
        _make_release(
            "sam2-small", 184309650, 46044098, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"
        ),
        _make_release(
            "sam2-base-plus", 323493298, 80833922, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"
        ),
        _make_release(
            "sam2-large", 897952466, 224430386, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"
        ),
    )
}
"""Every released checkpoint by name. The publisher states no checksums; these are the ones that users agree on."""


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
        model: A path, the name of the embedded model, or the name or an alias of a release. An existing path takes
            precedence over a name.
        progress: Called during a download with the bytes received so far and the total.

    Raises:
        InputNotFound: The path does not exist.
        SettingsError: No model has that name.
        CheckpointError: See `pull`.
        ResourceError: See `pull`.
    """
    if isinstance(model, str) and find_release(model) and not Path(model).exists():
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
    if isinstance(model, str) and model.startswith(_PUBLISHER):
        raise _make_unknown_model_error(model)
    if isinstance(model, Path) or path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise InputNotFound("input-not-found", f"{path} does not exist", path=str(path))
    raise _make_unknown_model_error(model)


def find_release(name: str) -> Release | None:
    """Return the release with that name or alias, or None."""
    return RELEASES.get(name) or next((release for release in RELEASES.values() if name in release.aliases), None)


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
        The path of the file. The SHA-256 of a downloaded file and the size of an existing one have been checked.

    Raises:
        SettingsError: `unknown-model` or `bad-mirror`.
        CheckpointError: `hash-mismatch`. The file at the mirror, or the existing one, is another file.
        ResourceError: The network or the disk failed; see `download`.
    """
    release = get_release(name)
    path = get_release_path(release)
    if not path.exists():
        return download(_make_remote_file(release, mirror), path, progress, retry_policy)
    if path.stat().st_size != release.size_bytes:
        raise _make_mismatch_error(path, release, f"it has {path.stat().st_size} bytes, not {release.size_bytes}")
    return path


def verify_file(path: Path) -> Release | None:
    """Compare the SHA-256 of a file with the releases.

    Returns:
        The release that the file is, or None if it is no release and does not have the name of one.

    Raises:
        InputNotFound: The file cannot be read.
        CheckpointError: `hash-mismatch`. The file has the name of a release and other content.
    """
    digest = sha256_of_file(path)
    expected = next((entry for entry in RELEASES.values() if entry.file == path.name), None)
    release = find_release_by_sha256(digest)
    if expected and release != expected:
        raise _make_mismatch_error(path, expected, f"its SHA-256 is {digest}, not {expected.sha256}")
    return release


def find_release_by_sha256(digest: str) -> Release | None:
    """Return the release with this SHA-256, or None."""
    return next((release for release in RELEASES.values() if release.sha256 == digest), None)


def _make_remote_file(release: Release, mirror: str | None) -> RemoteFile:
    settings = get_home() / "mirror.txt"
    if mirror is None and settings.is_file():
        mirror = settings.read_text(encoding="utf-8", errors="replace").strip()
    if mirror and not (mirror.isascii() and mirror.startswith(("https://", "http://"))):
        raise SettingsError("bad-mirror", f"a mirror must begin with https:// or http://, got {mirror!r}")
    url = f"{mirror.rstrip('/')}/{release.file}" if mirror else release.url
    path = get_release_path(release)
    hint = f"copy the file from another machine to {path}, or write the address of a mirror into {settings}"
    return RemoteFile(url, release.size_bytes, release.sha256, hint)


def _make_unknown_model_error(name: str | Path) -> SettingsError:
    names = (EMBEDDED_MODEL, *RELEASES)
    normalized = re.sub(r"^facebook/|[-_]hiera", "", str(name).lower()).replace("_", "-")
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
