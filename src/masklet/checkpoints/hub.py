"""Models by name: the one that is part of the package, and the released ones, where they come from and are kept.

A name is good wherever a checkpoint is asked for: `masklet.load("sam2.1-tiny")` downloads the file when it is first
needed, `masklet.load("nano")` needs none. The publisher's names mean the same: `facebook/sam2.1-hiera-tiny`,
`sam2.1_hiera_tiny`. Downloaded files lie in `home()/models`; put there by hand they serve as
well. Where the internet is closed off, a mirror serves: the address of a folder with the files under their released
names, as the only line of `home()/mirror.txt`.
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
_CONFIG_SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}  # in names of the publisher's configs
_SUFFIXES = (".pt", ".pth", ".safetensors", ".onnx")  # whoever writes one means a file, not a name


@dataclass(frozen=True, slots=True)
class Release:
    """A checkpoint that was published (Apache-2.0). `name` is that of its configuration in `masklet.config`."""

    name: str
    date: str  # the folder at its origin
    file: str
    size_bytes: int  # bytes
    parameter_count: int
    sha256: str

    @property
    def url(self) -> str:
        """Where it was published."""
        return f"{_ORIGIN}/{self.date}/{self.file}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its other names: the stem of its file, its id on the Hugging Face Hub with and without the publisher, and
        its configuration's, such as `sam2.1_hiera_b+`."""
        version, _, model = self.name.partition("-")
        hub = f"{version}-hiera-{model}"
        return Path(self.file).stem, f"{_PUBLISHER}{hub}", hub, f"{version}_hiera_{_CONFIG_SIZES.get(model, model)}"


def _release(name: str, size: int, parameters: int, sha256: str) -> Release:
    version, _, model = name.partition("-")
    file = f"{version}_hiera_{model.replace('-', '_')}.pt"
    return Release(name, "092824" if version == "sam2.1" else "072824", file, size, parameters, sha256)


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        _release(
            "sam2.1-tiny", 156008466, 38962754, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
        ),
        _release(
            "sam2.1-small", 184416285, 46060610, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
        ),
        _release(
            "sam2.1-base-plus", 323606802, 80850434, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"
        ),
        _release(
            "sam2.1-large", 898083611, 224446898, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
        ),
        _release("sam2-tiny", 155906050, 38946242, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
        _release("sam2-small", 184309650, 46044098, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
        _release(
            "sam2-base-plus", 323493298, 80833922, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"
        ),
        _release(
            "sam2-large", 897952466, 224430386, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"
        ),
    )
}
"""Every released checkpoint by name. The publisher gives no checksums; these are the ones that its users agree on."""


def get_embedded_path() -> Path:
    """The weights inside the package."""
    return Path(__file__).parents[1] / "weights" / f"{EMBEDDED_MODEL}.safetensors"


def get_home() -> Path:
    """The folder of everything that masklet keeps: `$MASKLET_HOME`, or the place that the system has for caches."""
    chosen = os.environ.get("MASKLET_HOME")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "masklet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "masklet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "masklet"


def get_release_path(release: Release) -> Path:
    """Where the file of a release lies once it was downloaded, or can be put by hand."""
    return get_home() / "models" / release.file


def find_or_pull(model: str | Path, progress: Progress | None = None) -> Path:
    """The file or folder that `model` means: an existing path, or the name of a release, downloaded if need be.

    `progress(done, total)` hears of a download, in bytes. Nothing touches the network when the file is there.

    Raises `InputNotFound` for a path that leads nowhere, `SettingsError` for an unknown name, and what `pull` raises.
    """
    if isinstance(model, str) and find_release(model) and not Path(model).exists():
        return pull(model, progress)
    return find_local(model)


def find_local(model: str | Path) -> Path:
    """As `locate`, but never from the network: raises `InputNotFound` for a release that is not here yet."""
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
        raise InputNotFound(
            "input-not-found",
            f"{model} is not downloaded yet, {path} does not exist",
            hint=f"masklet models pull {release.name}",
        )
    if isinstance(model, str) and model.startswith(_PUBLISHER):
        raise _unknown(model)
    if isinstance(model, Path) or path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise InputNotFound("input-not-found", f"{path} does not exist", path=str(path))
    raise _unknown(model)


def find_release(name: str) -> Release | None:
    """The release with that name or alias, if there is one."""
    return RELEASES.get(name) or next((one for one in RELEASES.values() if name in one.aliases), None)


def get_release(name: str) -> Release:
    """The release with that name or alias; raises `SettingsError` with the nearest names otherwise."""
    release = find_release(name)
    if release is None:
        raise _unknown(name)
    return release


def pull(
    name: str,
    progress: Progress | None = None,
    *,
    mirror: str | None = None,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> Path:
    """The file of a release, downloaded unless it is there, whole and checked against its SHA-256.

    An interrupted download goes on where it stopped. `mirror` is the address of a folder with the released files; by
    default that of `home()/mirror.txt`, otherwise the publisher's.

    Raises `SettingsError` for an unknown name or a mirror that is no address, `CheckpointError` (`hash-mismatch`) if
    the file is another, and `ResourceError` for faults of network and disk.
    """
    release = get_release(name)
    path = get_release_path(release)
    if not path.exists():
        return download(_source(release, mirror), path, progress, retry_policy)
    if path.stat().st_size != release.size_bytes:
        raise _differs(path, release, f"it has {path.stat().st_size} bytes, not {release.size_bytes}")
    return path


def verify_file(path: Path) -> Release | None:
    """The release that a file is, byte for byte, or None for a file that is none and does not carry a release's name.

    Raises `InputNotFound`, or `CheckpointError` (`hash-mismatch`) for a file with a released name and other content.
    """
    digest = sha256_of_file(path)
    named = next((release for release in RELEASES.values() if release.file == path.name), None)
    found = find_release_by_sha256(digest)
    if named and found != named:
        raise _differs(path, named, f"its SHA-256 is {digest}, not {named.sha256}")
    return found


def find_release_by_sha256(digest: str) -> Release | None:
    """The release with this SHA-256, if there is one."""
    return next((release for release in RELEASES.values() if release.sha256 == digest), None)


def _source(release: Release, mirror: str | None) -> RemoteFile:
    settings = get_home() / "mirror.txt"
    if mirror is None and settings.is_file():
        mirror = settings.read_text(encoding="utf-8", errors="replace").strip()
    if mirror and not (mirror.isascii() and mirror.startswith(("https://", "http://"))):
        raise SettingsError("bad-mirror", f"a mirror must begin with https:// or http://, got {mirror!r}")
    url = f"{mirror.rstrip('/')}/{release.file}" if mirror else release.url
    otherwise = f"fetch it elsewhere and put it at {get_release_path(release)}, or write the address of a mirror into {settings}"
    return RemoteFile(url, release.size_bytes, release.sha256, otherwise)


def _unknown(name: str | Path) -> SettingsError:
    known = (EMBEDDED_MODEL, *RELEASES)
    spelled = re.sub(r"^facebook/|[-_]hiera", "", str(name).lower()).replace("_", "-")
    near = difflib.get_close_matches(spelled, known, n=3, cutoff=0.5)
    named = f"near are {', '.join(near)}" if near else f"known are {', '.join(known)}"
    return SettingsError(
        "unknown-model",
        f"no model is called {str(name)!r}; {named}",
        hint="masklet models list shows all of them; a path to a checkpoint file works as well",
    )


def _differs(path: Path, release: Release, how: str) -> CheckpointError:
    return CheckpointError(
        "hash-mismatch",
        f"{path} is not the released {release.name}: {how}",
        hint=f"move it away, then masklet models pull {release.name}",
        path=str(path),
    )
