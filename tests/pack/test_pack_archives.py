"""Archive members of package files."""

from __future__ import annotations

from pathlib import Path

import pytest

from masklet.errors import FormatError, InputNotFound
from support.tiny_pack import encode_jpeg, ground, make_deb, make_resource_bundle, make_tar_gz, make_zip
from tools.pack.archives import read_members


def read(archive: Path) -> dict[str, bytes]:
    return {member.path: member.data for member in read_members(archive, lambda path: True)}


def test_a_debian_package_has_the_files_that_it_installs(tmp_path: Path) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(make_deb({"./usr/share/a.txt": b"A", "usr/share/b.txt": b"BB"}))
    assert read(archive) == {"usr/share/a.txt": b"A", "usr/share/b.txt": b"BB"}


def test_an_npm_package_has_its_files(tmp_path: Path) -> None:
    archive = tmp_path / "a-1.tgz"
    archive.write_bytes(make_tar_gz({"package/a.txt": b"A"}))
    assert read(archive) == {"package/a.txt": b"A"}


def test_only_needed_members_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "a-1.tgz"
    archive.write_bytes(make_tar_gz({"package/a.txt": b"A", "package/b.png": b"B"}))
    assert [member.path for member in read_members(archive, lambda path: path.endswith(".png"))] == ["package/b.png"]


def test_a_zip_in_a_package_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(make_deb({"usr/m.sh3f": make_zip({"cube/cube.obj": b"v 0 0 0"})}))
    assert read(archive) == {"usr/m.sh3f/cube/cube.obj": b"v 0 0 0"}


def test_a_qt_resource_bundle_in_a_package_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(
        make_deb({"usr/r.rcc": make_resource_bundle("images", {"deflated.txt": b"A" * 50, "plain.txt": b"B"})})
    )
    assert read(archive) == {"usr/r.rcc/images/deflated.txt": b"A" * 50, "usr/r.rcc/images/plain.txt": b"B"}


def test_the_jpeg_files_in_a_theme_are_found(tmp_path: Path) -> None:
    first, second = encode_jpeg(ground(1, 32)), encode_jpeg(ground(2, 32))
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(make_deb({"usr/t.edj": b"head" + first + b"between" + second + b"tail"}))
    assert read(archive) == {"usr/t.edj/0.jpg": first, "usr/t.edj/1.jpg": second}


def test_the_error_names_a_missing_package_file(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"nothing\.deb"):
        read(tmp_path / "nothing.deb")


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"!<arch>\n", b""])
def test_a_file_that_is_no_debian_package_is_an_error(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(content)
    with pytest.raises(FormatError, match="Debian package"):
        read(archive)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_package_is_an_error(tmp_path: Path, share: float) -> None:
    whole = make_deb({f"usr/{number}.bin": bytes(range(256)) * 20 for number in range(5)})
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FormatError, match=r"broken|Debian"):
        read(archive)
