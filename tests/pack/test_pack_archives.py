"""Package files are read member by member, containers within them included."""

from __future__ import annotations

from pathlib import Path

import pytest

from masklet.errors import FormatError, InputNotFound
from masklet.synthetic.packs.archives import members
from support.tiny_pack import deb, ground, jpeg, resource_bundle, tar_gz, zipped


def everything(path: str) -> bool:
    return True


def read(archive: Path) -> dict[str, bytes]:
    return {member.path: member.data for member in members(archive, everything)}


def test_a_debian_package_gives_the_files_it_installs(tmp_path: Path) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(deb({"./usr/share/a.txt": b"A", "usr/share/b.txt": b"BB"}))
    assert read(archive) == {"usr/share/a.txt": b"A", "usr/share/b.txt": b"BB"}


def test_an_npm_package_gives_its_files(tmp_path: Path) -> None:
    archive = tmp_path / "a-1.tgz"
    archive.write_bytes(tar_gz({"package/a.txt": b"A"}))
    assert read(archive) == {"package/a.txt": b"A"}


def test_only_wanted_members_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "a-1.tgz"
    archive.write_bytes(tar_gz({"package/a.txt": b"A", "package/b.png": b"B"}))
    assert [member.path for member in members(archive, lambda path: path.endswith(".png"))] == ["package/b.png"]


def test_a_zip_within_a_package_is_looked_into(tmp_path: Path) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(deb({"usr/m.sh3f": zipped({"cube/cube.obj": b"v 0 0 0"})}))
    assert read(archive) == {"usr/m.sh3f/cube/cube.obj": b"v 0 0 0"}


def test_a_qt_resource_bundle_is_looked_into(tmp_path: Path) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(deb({"usr/r.rcc": resource_bundle("pictures", {"deflated.txt": b"A" * 50, "plain.txt": b"B"})}))
    assert read(archive) == {"usr/r.rcc/pictures/deflated.txt": b"A" * 50, "usr/r.rcc/pictures/plain.txt": b"B"}


def test_jpegs_are_carved_out_of_a_theme(tmp_path: Path) -> None:
    first, second = jpeg(ground(1, 32)), jpeg(ground(2, 32))
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(deb({"usr/t.edj": b"head" + first + b"between" + second + b"tail"}))
    assert read(archive) == {"usr/t.edj/0.jpg": first, "usr/t.edj/1.jpg": second}


def test_a_missing_package_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"nothing\.deb"):
        read(tmp_path / "nothing.deb")


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"!<arch>\n", b""])
def test_what_is_no_debian_package_is_refused(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(content)
    with pytest.raises(FormatError, match="Debian package"):
        read(archive)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_a_package_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    whole = deb({f"usr/{number}.bin": bytes(range(256)) * 20 for number in range(5)})
    archive = tmp_path / "a_1_all.deb"
    archive.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FormatError, match=r"broken|Debian"):
        read(archive)
