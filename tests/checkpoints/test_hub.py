"""A name becomes a verified local file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import shapes
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
from support.faulty_server import FaultyServer, corrupt, serving, well

CONTENT = b"weights" * 1000
TOY = Release("sam2.1-toy", "092824", "sam2.1_hiera_toy.pt", len(CONTENT), 7, hashlib.sha256(CONTENT).hexdigest())
HURRY = RetryPolicy(timeout_s=0.3, max_attempts=1, pause_s=0.01)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKLET_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(RELEASES, TOY.name, TOY)
    return tmp_path / "home"


@pytest.fixture
def mirror(own_home: Path) -> Iterator[FaultyServer]:
    """A mirror that the settings name."""
    with serving(CONTENT, well) as server:
        own_home.mkdir()
        (own_home / "mirror.txt").write_text(f"{server.url}/sam2/\n")
        yield server


def put(content: bytes) -> Path:
    """A file where the toy release belongs."""
    path = get_release_path(TOY)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_every_released_configuration_is_in_the_table() -> None:
    unreleased = {name for name in CONFIGS if name.endswith("micro") or not name.startswith("sam2")}
    assert set(RELEASES) - {TOY.name} == set(CONFIGS) - unreleased
    assert len(RELEASES) == 9


def test_the_parameters_are_those_of_the_networks() -> None:
    counted = {name.replace("_", "-"): sum(map(math.prod, entries.values())) for name, entries in shapes().items()}
    assert all(release.parameter_count == counted[name] for name, release in RELEASES.items() if name != TOY.name)


def test_an_address_is_the_publishers() -> None:
    base = "https://dl.fbaipublicfiles.com/segment_anything_2"
    assert RELEASES["sam2-base-plus"].url == f"{base}/072824/sam2_hiera_base_plus.pt"
    assert RELEASES["sam2.1-large"].url == f"{base}/092824/sam2.1_hiera_large.pt"


def test_hashes_are_hashes_and_all_different() -> None:
    hashes = {release.sha256 for release in RELEASES.values()}
    assert len(hashes) == len(RELEASES) and all(len(bytes.fromhex(digest)) == 32 for digest in hashes)


def test_home_is_where_the_environment_says(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_home() == own_home
    monkeypatch.setenv("MASKLET_HOME", "")
    assert get_home().name == "masklet" and get_home() != own_home


def test_the_model_in_the_package_is_there_and_is_small() -> None:
    assert find_or_pull("nano") == find_local("nano") == get_embedded_path()
    assert get_embedded_path().stat().st_size <= 16e6
    shapes = {name: value.shape for name, value in to_masklet(read_tensors(get_embedded_path())).items()}
    assert identify_config(shapes).name == "nano"


def test_a_path_that_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    assert find_or_pull(tmp_path / "a.pt") == find_or_pull(str(tmp_path / "a.pt")) == tmp_path / "a.pt"
    assert find_or_pull(tmp_path) == tmp_path


def test_a_file_called_like_a_release_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / TOY.name).write_bytes(b"x")
    assert find_or_pull(TOY.name) == Path(TOY.name)


@pytest.mark.parametrize("missing", ["none.pt", "some/folder", Path("sam2.1-tiny"), "~/none.safetensors"])
def test_a_path_that_leads_nowhere_is_said_to_be_missing(missing: str | Path) -> None:
    with pytest.raises(InputNotFound) as error:
        find_or_pull(missing)
    assert error.value.code == "input-not-found"


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="near are sam2-large") as error:
        find_or_pull("sam2-lagre")
    assert (error.value.code, error.value.exit_status) == ("unknown-model", 78)


def test_a_strange_name_is_answered_with_all() -> None:
    with pytest.raises(SettingsError, match="known are") as error:
        pull("vit-h")
    assert all(name in error.value.message for name in RELEASES)


def test_a_name_is_downloaded_when_it_is_first_needed(mirror: FaultyServer) -> None:
    told: list[int] = []
    path = find_or_pull(TOY.name, lambda done, total: told.append(done))
    assert path == get_release_path(TOY) and path.read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)
    assert find_or_pull(TOY.name) == path
    assert len(mirror.ranges) == 1


def test_a_file_put_there_by_hand_needs_no_network() -> None:
    path = put(CONTENT)
    assert find_or_pull(TOY.name) == find_local(TOY.name) == pull(TOY.name) == path


def test_finding_never_downloads(mirror: FaultyServer) -> None:
    with pytest.raises(InputNotFound) as error:
        find_local(TOY.name)
    assert error.value.hint == "masklet models pull sam2.1-toy"
    assert mirror.ranges == []


def test_a_mirror_given_by_hand_goes_before_the_settings(mirror: FaultyServer) -> None:
    with serving(CONTENT, well) as other:
        pull(TOY.name, mirror=other.url)
        assert (len(other.ranges), len(mirror.ranges)) == (1, 0)


@pytest.mark.parametrize("address", ["mirror.example.org", "file:///srv", "ftp://x", "https://mü.example"])
def test_a_mirror_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError) as error:
        pull(TOY.name, mirror=address)
    assert error.value.code == "bad-mirror"


def test_without_network_the_way_out_is_told(mirror: FaultyServer, own_home: Path) -> None:
    with serving(CONTENT, well) as server:
        closed = server.url
    with pytest.raises(ResourceError) as error:
        pull(TOY.name, mirror=closed, retry_policy=HURRY)
    assert error.value.code == "network-unavailable"
    assert str(get_release_path(TOY)) in error.value.hint and str(own_home / "mirror.txt") in error.value.hint


def test_a_mirror_with_other_bytes_is_refused() -> None:
    with serving(CONTENT, corrupt) as server, pytest.raises(CheckpointError) as error:
        pull(TOY.name, mirror=server.url, retry_policy=HURRY)
    assert error.value.code == "hash-mismatch" and not get_release_path(TOY).exists()


def test_a_file_of_the_wrong_size_is_neither_used_nor_deleted() -> None:
    path = put(CONTENT[:-1])
    for take in (pull, find_or_pull):
        with pytest.raises(CheckpointError) as error:
            take(TOY.name)
        assert error.value.code == "hash-mismatch"
    assert path.read_bytes() == CONTENT[:-1]


def test_a_released_file_is_recognised_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(CONTENT)
    assert verify_file(tmp_path / "mine.pt") == TOY


def test_another_file_under_a_released_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"not the released sam2\.1-toy") as error:
        verify_file(put(CONTENT[::-1]))
    assert error.value.code == "hash-mismatch"


def test_a_file_of_ones_own_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"mine")
    assert verify_file(tmp_path / "mine.pt") is None
    with pytest.raises(InputNotFound):
        verify_file(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["sam2.1_hiera_toy", "facebook/sam2.1-hiera-toy", "sam2.1-hiera-toy", "sam2.1-toy"])
def test_the_publishers_names_mean_the_released_file(name: str) -> None:
    with pytest.raises(InputNotFound) as error:
        find_local(name)
    assert error.value.hint == "masklet models pull sam2.1-toy"
    path = put(CONTENT)
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
def test_an_alias_is_one_release(alias: str, name: str) -> None:
    assert get_release(alias) is RELEASES[name]


def test_no_two_releases_share_a_name() -> None:
    names = [name for release in RELEASES.values() for name in {release.name, *release.aliases}]
    assert len(names) == len(set(names)) > 4 * len(RELEASES)


@pytest.mark.parametrize("name", ["facebook/sam2.1-hiera-tny", "sam2.1_hiera_tinny", "facebook/sam2.1-tiny"])
def test_a_misspelt_alias_is_answered_with_the_nearest_name(name: str) -> None:
    with pytest.raises(SettingsError, match=r"near are sam2\.1-tiny") as error:
        find_or_pull(name)
    assert error.value.code == "unknown-model"


def test_a_folder_called_like_an_alias_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("facebook/sam2.1-hiera-toy")
    folder.mkdir(parents=True)
    assert find_or_pull(str(folder)) == find_local(str(folder)) == folder


def test_the_command_line_takes_an_alias() -> None:
    path = put(CONTENT)
    assert options.located("facebook/sam2.1-hiera-toy") == path
