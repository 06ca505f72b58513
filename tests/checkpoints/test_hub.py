"""Models by name: the embedded model, releases, aliases, mirrors and the verification of files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from masklet.checkpoints import read_tensors
from masklet.checkpoints.download import RetryPolicy
from masklet.checkpoints.hub import (
    RELEASES,
    Release,
    find_local,
    find_or_pull,
    get_embedded_path,
    get_home,
    get_release,
    get_release_path,
    pull,
    verify_file,
)
from masklet.checkpoints.key_names import identify_config, to_masklet
from masklet.cli import options
from masklet.config import CONFIGS
from masklet.errors import CheckpointError, InputNotFound, ResourceError, SettingsError
from support.faulty_server import FaultyServer, send_correctly, send_wrong_byte, serve
from support.recorded import load_shapes

CONTENT = b"weights" * 1000
TOY = Release("sam2.1-toy", "092824", "sam2.1_hiera_toy.pt", len(CONTENT), 7, hashlib.sha256(CONTENT).hexdigest())
QUICK = RetryPolicy(timeout_s=0.3, max_attempts=1, pause_s=0.01)


@pytest.fixture(autouse=True)
def home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKLET_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(RELEASES, TOY.name, TOY)
    return tmp_path / "home"


@pytest.fixture
def mirror(home_folder: Path) -> Iterator[FaultyServer]:
    """A mirror whose address is in mirror.txt."""
    with serve(CONTENT, send_correctly) as server:
        home_folder.mkdir()
        (home_folder / "mirror.txt").write_text(f"{server.url}/sam2/\n")
        yield server


def put_release(content: bytes) -> Path:
    """Write a file to the path of the toy release."""
    path = get_release_path(TOY)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_every_released_configuration_has_a_release() -> None:
    unreleased = {name for name in CONFIGS if name.endswith("micro") or not name.startswith("sam2")}
    assert set(RELEASES) - {TOY.name} == set(CONFIGS) - unreleased
    assert len(RELEASES) == 9


def test_parameter_counts_are_those_of_the_state_dicts() -> None:
    counted = {name.replace("_", "-"): sum(map(math.prod, entries.values())) for name, entries in load_shapes().items()}
    assert all(release.parameter_count == counted[name] for name, release in RELEASES.items() if name != TOY.name)


def test_addresses_are_those_of_the_publisher() -> None:
    base = "https://dl.fbaipublicfiles.com/segment_anything_2"
    assert RELEASES["sam2-base-plus"].url == f"{base}/072824/sam2_hiera_base_plus.pt"
    assert RELEASES["sam2.1-large"].url == f"{base}/092824/sam2.1_hiera_large.pt"


def test_hashes_are_valid_and_all_different() -> None:
    hashes = {release.sha256 for release in RELEASES.values()}
    assert len(hashes) == len(RELEASES) and all(len(bytes.fromhex(digest)) == 32 for digest in hashes)


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
    ],
)
def test_an_alias_refers_to_one_release(alias: str, name: str) -> None:
    assert get_release(alias) is RELEASES[name]


def test_no_two_releases_share_a_name() -> None:
    names = [name for release in RELEASES.values() for name in {release.name, *release.aliases}]
    assert len(names) == len(set(names)) > 4 * len(RELEASES)


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
