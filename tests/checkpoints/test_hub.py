"""Models by name: the embedded model, releases, aliases, mirrors and the verification of files."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from masklet.checkpoints import read_tensors
from masklet.checkpoints.download import RetryPolicy
from masklet.checkpoints.hub import (
    find_local,
    find_or_pull,
    find_release_by_hash,
    get_embedded_path,
    get_home,
    get_release,
    get_release_path,
    pull,
    verify_file,
)
from masklet.checkpoints.key_names import identify_config, to_masklet
from masklet.checkpoints.releases import RELEASES, Release
from masklet.cli import options
from masklet.config import CONFIGS
from masklet.errors import CheckpointError, InputNotFound, MaskletWarning, ResourceError, SettingsError
from support.faulty_server import FaultyServer, send_correctly, send_wrong_byte, serve
from support.recorded import load_shapes

CONTENT = b"weights" * 1000
TOY = Release(
    "sam2.1-toy",
    "https://example.org/toys",
    "sam2.1_hiera_toy.pt",
    len(CONTENT),
    7,
    hashlib.sha256(CONTENT).hexdigest(),
    hub_ids=("facebook/sam2.1-hiera-toy",),
)
GIT_BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
BLOB_TOY = Release("edgetoy", "https://example.org/toys", "edgetoy.pt", None, 7, git_blob=GIT_BLOB)
HASHLESS_TOY = Release("efficienttoy", "https://example.org/toys", "efficienttoy.pt", None, 7)
QUICK = RetryPolicy(timeout_s=0.3, max_attempts=1, pause_s=0.01)


@pytest.fixture(autouse=True)
def home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKLET_HOME", str(tmp_path / "home"))
    for toy in (TOY, BLOB_TOY, HASHLESS_TOY):
        monkeypatch.setitem(RELEASES, toy.name, toy)
    return tmp_path / "home"


@pytest.fixture
def mirror(home_folder: Path) -> Iterator[FaultyServer]:
    """A mirror whose address is in mirror.txt."""
    with serve(CONTENT, send_correctly) as server:
        home_folder.mkdir()
        (home_folder / "mirror.txt").write_text(f"{server.url}/sam2/\n")
        yield server


def put_release(content: bytes, release: Release = TOY) -> Path:
    """Write a file to the path of a toy release."""
    path = get_release_path(release)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


RELEASED = [release for name, release in RELEASES.items()]


def test_every_released_configuration_has_a_release() -> None:
    families = {"sam2", "sam2.1", "edgetam", "efficienttam"}
    configs = {name for name in CONFIGS if name.split("-")[0] in families and "micro" not in name}
    assert configs <= {release.name for release in RELEASED}
    assert len(RELEASED) == 17


def test_parameter_counts_are_those_of_the_state_dicts() -> None:
    counted = {name.replace("_", "-"): sum(map(math.prod, entries.values())) for name, entries in load_shapes().items()}
    counts = {release.name: release.parameter_count for release in RELEASED if release.name in counted}
    assert counts == {name: count for name, count in counted.items() if "micro" not in name}
    assert len(counts) >= 8


def test_addresses_are_those_of_the_publisher() -> None:
    base = "https://dl.fbaipublicfiles.com/segment_anything_2"
    assert RELEASES["sam2-base-plus"].url == f"{base}/072824/sam2_hiera_base_plus.pt"
    assert RELEASES["sam2.1-large"].url == f"{base}/092824/sam2.1_hiera_large.pt"
    folder = "https://huggingface.co/yunyangx/efficient-track-anything/resolve/main"
    assert RELEASES["efficienttam-ti-512"].url == f"{folder}/efficienttam_ti_512x512.pt"
    assert RELEASES["edgetam"].url == "https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt"


def test_hashes_are_valid_and_all_different() -> None:
    hashes = [release.sha256 or release.git_blob for release in RELEASED]
    published = [digest for digest in hashes if digest]
    assert len(published) == len(set(published)) == len(RELEASED) - 1
    assert {len(bytes.fromhex(digest)) for digest in published} == {20, 32}
    assert [release.name for release in RELEASED if not (release.sha256 or release.git_blob)] == ["efficienttam-ti-1"]


def test_a_release_is_checked_by_its_git_blob_hash(mirror: FaultyServer) -> None:
    path = pull(BLOB_TOY.name)
    assert pull(BLOB_TOY.name) == verify_and_locate(BLOB_TOY) == path and path.read_bytes() == CONTENT
    assert verify_file(path) == BLOB_TOY
    path.write_bytes(CONTENT[::-1])
    for call in (lambda: pull(BLOB_TOY.name), lambda: verify_file(path)):
        with pytest.raises(CheckpointError, match=r"git blob hash is [0-9a-f]{40}, not") as error:
            call()
        assert error.value.code == "hash-mismatch"


def verify_and_locate(release: Release) -> Path:
    path = find_local(release.name)
    assert verify_file(path) == release
    return path


def test_a_git_blob_is_recognized_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(CONTENT)
    assert find_release_by_hash(tmp_path / "mine.pt") in (TOY, BLOB_TOY)
    (tmp_path / "mine.pt").write_bytes(b"mine")
    assert find_release_by_hash(tmp_path / "mine.pt") is None


def test_the_hash_of_a_release_without_one_is_stored_at_its_first_use(mirror: FaultyServer) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    with pytest.warns(MaskletWarning, match=f"its SHA-256 is {digest}") as issued:
        path = pull(HASHLESS_TOY.name)
    assert [warning.message.code for warning in issued] == ["hash-not-published"]
    assert path.with_name("efficienttoy.pt.sha256").read_text() == f"{digest}  efficienttoy.pt\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pull(HASHLESS_TOY.name) == path and verify_file(path) == HASHLESS_TOY
    path.write_bytes(CONTENT[::-1])
    for call in (lambda: pull(HASHLESS_TOY.name), lambda: verify_file(path)):
        with pytest.raises(CheckpointError, match=f"not {digest}"):
            call()


def test_a_release_without_hash_that_is_downloaded_again_must_be_the_same(mirror: FaultyServer) -> None:
    with pytest.warns(MaskletWarning):
        path = pull(HASHLESS_TOY.name)
    path.unlink()
    mirror.content = CONTENT[::-1]
    with pytest.raises(CheckpointError, match="is another file"):
        pull(HASHLESS_TOY.name)


def test_the_home_folder_is_set_by_the_environment(home_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_home() == home_folder
    monkeypatch.setenv("MASKLET_HOME", "")
    assert get_home().name == "masklet" and get_home() != home_folder


def test_the_embedded_model_exists_and_is_small() -> None:
    assert find_or_pull("nano") == find_local("nano") == get_embedded_path()
    assert get_embedded_path().stat().st_size <= 16e6
    shapes = {name: value.shape for name, value in to_masklet(read_tensors(get_embedded_path())).items()}
    assert identify_config(shapes).name == "nano"


def test_an_existing_path_is_returned_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    assert find_or_pull(tmp_path / "a.pt") == find_or_pull(str(tmp_path / "a.pt")) == tmp_path / "a.pt"
    assert find_or_pull(tmp_path) == tmp_path


def test_a_file_with_the_name_of_a_release_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / TOY.name).write_bytes(b"x")
    assert find_or_pull(TOY.name) == Path(TOY.name)


@pytest.mark.parametrize("missing", ["none.pt", "some/folder", Path("sam2.1-tiny"), "~/none.safetensors"])
def test_a_missing_path_is_reported(missing: str | Path) -> None:
    with pytest.raises(InputNotFound) as error:
        find_or_pull(missing)
    assert error.value.code == "input-not-found"


def test_the_error_of_a_misspelled_name_lists_similar_names() -> None:
    with pytest.raises(SettingsError, match="similar names: sam2-large") as error:
        find_or_pull("sam2-lagre")
    assert (error.value.code, error.value.exit_status) == ("unknown-model", 78)


def test_the_error_of_an_unknown_name_lists_all_names() -> None:
    with pytest.raises(SettingsError, match="known names") as error:
        pull("vit-h")
    assert all(name in error.value.message for name in RELEASES)


def test_a_release_is_downloaded_on_its_first_use(mirror: FaultyServer) -> None:
    reports: list[int] = []
    path = find_or_pull(TOY.name, lambda done, total: reports.append(done))
    assert path == get_release_path(TOY) and path.read_bytes() == CONTENT
    assert reports[-1] == len(CONTENT)
    assert find_or_pull(TOY.name) == path
    assert len(mirror.ranges) == 1


def test_a_file_that_the_user_puts_there_needs_no_network() -> None:
    path = put_release(CONTENT)
    assert find_or_pull(TOY.name) == find_local(TOY.name) == pull(TOY.name) == path


def test_find_local_never_downloads(mirror: FaultyServer) -> None:
    with pytest.raises(InputNotFound) as error:
        find_local(TOY.name)
    assert error.value.hint == "masklet models pull sam2.1-toy"
    assert mirror.ranges == []


def test_a_mirror_argument_overrides_mirror_txt(mirror: FaultyServer) -> None:
    with serve(CONTENT, send_correctly) as other:
        pull(TOY.name, mirror=other.url)
        assert (len(other.ranges), len(mirror.ranges)) == (1, 0)


@pytest.mark.parametrize("address", ["mirror.example.org", "file:///srv", "ftp://x", "https://mü.example"])
def test_a_mirror_without_http_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError) as error:
        pull(TOY.name, mirror=address)
    assert error.value.code == "bad-mirror"


def test_without_network_the_hint_names_the_path_and_the_mirror(mirror: FaultyServer, home_folder: Path) -> None:
    with serve(CONTENT, send_correctly) as server:
        closed = server.url
    with pytest.raises(ResourceError) as error:
        pull(TOY.name, mirror=closed, retry_policy=QUICK)
    assert error.value.code == "network-unavailable"
    assert str(get_release_path(TOY)) in error.value.hint and str(home_folder / "mirror.txt") in error.value.hint


def test_a_mirror_with_another_file_is_refused() -> None:
    with serve(CONTENT, send_wrong_byte) as server, pytest.raises(CheckpointError) as error:
        pull(TOY.name, mirror=server.url, retry_policy=QUICK)
    assert error.value.code == "hash-mismatch" and not get_release_path(TOY).exists()


def test_a_file_of_wrong_size_is_neither_used_nor_deleted() -> None:
    path = put_release(CONTENT[:-1])
    for function in (pull, find_or_pull):
        with pytest.raises(CheckpointError) as error:
            function(TOY.name)
        assert error.value.code == "hash-mismatch"
    assert path.read_bytes() == CONTENT[:-1]


def test_a_released_file_is_recognized_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(CONTENT)
    assert verify_file(tmp_path / "mine.pt") == TOY


def test_another_file_with_a_released_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"not the released sam2\.1-toy") as error:
        verify_file(put_release(CONTENT[::-1]))
    assert error.value.code == "hash-mismatch"


def test_a_file_of_the_user_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"mine")
    assert verify_file(tmp_path / "mine.pt") is None
    with pytest.raises(InputNotFound):
        verify_file(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["sam2.1_hiera_toy", "facebook/sam2.1-hiera-toy", "sam2.1-hiera-toy", "sam2.1-toy"])
def test_the_publishers_names_refer_to_the_released_file(name: str) -> None:
    with pytest.raises(InputNotFound) as error:
        find_local(name)
    assert error.value.hint == "masklet models pull sam2.1-toy"
    path = put_release(CONTENT)
    assert find_or_pull(name) == find_local(name) == pull(name) == path


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("facebook/sam2.1-hiera-tiny", "sam2.1-tiny"),
        ("facebook/sam2-hiera-base-plus", "sam2-base-plus"),
        ("facebook/sam2-hiera-large", "sam2-large"),
        ("sam2.1_hiera_tiny", "sam2.1-tiny"),
        ("sam2_hiera_base_plus", "sam2-base-plus"),
        ("sam2.1_hiera_b+", "sam2.1-base-plus"),
        ("sam2_hiera_t", "sam2-tiny"),
        ("sam2.1_hiera_s", "sam2.1-small"),
        ("sam2_hiera_l", "sam2-large"),
        ("facebook/EdgeTAM", "edgetam"),
        ("EdgeTAM", "edgetam"),
        ("efficienttam_s", "efficienttam-s"),
        ("efficienttam_s_2", "efficienttam-s-2"),
        ("efficienttam_ti_512x512", "efficienttam-ti-512"),
        ("yunyangx/efficient-track-anything", "efficienttam-s"),
        ("yunyangx/efficient-track-anything/efficienttam_ti_1.pt", "efficienttam-ti-1"),
    ],
)
def test_an_alias_refers_to_one_release(alias: str, name: str) -> None:
    assert get_release(alias) is RELEASES[name]


def test_no_two_releases_share_a_name() -> None:
    names = [name.lower() for release in RELEASES.values() for name in {release.name, *release.aliases}]
    assert len(names) == len(set(names)) > 3 * len(RELEASES)


@pytest.mark.parametrize("name", ["facebook/sam2.1-hiera-tny", "sam2.1_hiera_tinny", "facebook/sam2.1-tiny"])
def test_the_error_of_a_misspelled_alias_lists_similar_names(name: str) -> None:
    with pytest.raises(SettingsError, match=r"similar names: sam2\.1-tiny") as error:
        find_or_pull(name)
    assert error.value.code == "unknown-model"


def test_a_folder_with_the_name_of_an_alias_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("facebook/sam2.1-hiera-toy")
    folder.mkdir(parents=True)
    assert find_or_pull(str(folder)) == find_local(str(folder)) == folder


def test_the_command_line_accepts_an_alias() -> None:
    path = put_release(CONTENT)
    assert options.locate_model("facebook/sam2.1-hiera-toy") == path
