"""Proposals of masks, the keep list, and the dataset of kept proposals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, SettingsError
from masklet.masks import rle
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.segmenter import Segmenter
from masklet.synthetic import keep_list, proposal_sheet, proposals
from support.gray_world import Box, GrayWorld, draw_boxes
from support.tiny_pack import tiny_pack
from tools.pack import outlines

OBJECTS: dict[int, Box] = {50: (2, 2, 12, 12), 80: (20, 5, 50, 35), 90: (30, 10, 40, 20)}


pytestmark = pytest.mark.usefixtures("gray_world")


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder with two images, one of which is black."""
    folder = tmp_path / "street"
    folder.mkdir()
    Image.fromarray(draw_boxes(OBJECTS)).save(folder / "a street.png")
    Image.fromarray(draw_boxes({})).save(folder / "night.png")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(*words: str | Path) -> int:
    return main(["data", *map(str, words)])


def edit_list(out: Path, old: str, new: str) -> None:
    path = out / keep_list.KEEP_LIST
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def read_proposals(out: Path, name: str) -> dict[int, tuple[int, np.ndarray]]:
    """Read the proposals for an image: by number, the gray value inside the mask, and the mask."""
    content = json.loads((out / proposals.PROPOSALS / f"{name}.json").read_text())
    masks = [rle.decode(entry["segmentation"]) for entry in content["annotations"]]
    return {number: (int(draw_boxes(OBJECTS)[..., 0][mask].mean()), mask) for number, mask in enumerate(masks, start=1)}


def test_selected_proposals_are_a_data_set(street: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("propose", street, "--out", out) == 0
    assert "2 images, 3 proposals" in capsys.readouterr().out
    found = read_proposals(out, "a street.png")
    assert {value for value, _ in found.values()} == set(OBJECTS)
    number = {value: key for key, (value, _) in found.items()}
    edit_list(out, "a street.png:", f"a street.png: {number[80]} red car, {number[50]}")
    assert run("keep", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "images": 1, "objects": 2}
    [record] = list(open_images(out))
    image, annotation = record.read()
    assert np.array_equal(image, draw_boxes(OBJECTS))
    assert {annotation.categories[key] for key in annotation.object_ids} == {"red car", "object"}
    masks = {annotation.categories[key]: annotation.mask(key) for key in annotation.object_ids}
    assert np.array_equal(masks["red car"], draw_boxes(OBJECTS)[..., 0] == 80)
    assert np.array_equal(masks["object"], draw_boxes(OBJECTS)[..., 0] == 50)


def test_a_sheet_shows_the_image_and_each_proposal_on_a_dark_background(street: Path, out: Path) -> None:
    run("propose", street / "a street.png", "--out", out)
    sheet = np.array(Image.open(out / proposals.SHEETS / "a street.png.png"))
    height, width = round(proposal_sheet.TILE_SIDE_PX * 40 / 60), proposal_sheet.TILE_SIDE_PX
    assert sheet.shape == (height, 4 * width, 3)
    found = read_proposals(out, "a street.png")
    for number, (value, mask) in found.items():
        tile = sheet[:, number * width : (number + 1) * width]
        y, x = (np.argwhere(mask).mean(axis=0) * width / 60).astype(int)
        if value != 80:  # another object is in its middle
            assert abs(int(tile[y, x, 0]) - value) < 3
        assert tuple(tile[-1, -1]) == proposal_sheet.DARK_TINT  # the background is black
    assert sheet[:, width:][..., :2].max() > 200  # the numbers


def test_proposing_again_resumes_and_keeps_the_list(street: Path, out: Path) -> None:
    run("propose", street / "night.png", "--out", out)
    edit_list(out, "night.png:", "night.png: 1 moon")
    before = (out / proposals.PROPOSALS / "night.png.json").stat().st_mtime_ns
    assert run("propose", street, "--out", out) == 0
    assert (out / proposals.PROPOSALS / "night.png.json").stat().st_mtime_ns == before
    assert (out / keep_list.KEEP_LIST).read_text().endswith("night.png: 1 moon\na street.png:\n")


def test_an_image_has_at_most_the_given_number_of_proposals(street: Path, out: Path) -> None:
    run("propose", street, "--out", out, "--most", "2")
    assert len(read_proposals(out, "a street.png")) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a street.png: 4", "a street.png has proposals 1 to 3, not 4"),
        ("a street.png: 0", "a street.png has proposals 1 to 3, not 0"),
        ("other.png: 1", "there are no proposals for 'other.png'"),
        ("./a street.png: 1", "there are no proposals for './a street.png'"),
        ("a street.png: 1 clock 10:30", "names end at the last colon of a line"),
        ("a street.png: one", "line 3: expected NAME: 1, 4 tree, 7, .* got 'a street.png: one'"),
        ("a street.png: 1" + 5000 * "0", "line 3: expected NAME"),
        ("a street.png 1", "line 3: expected NAME"),
        ("a street.png: 1, 2 car, 1 dog", "line 3: 1 is listed twice"),
        ("a street.png: 1\na street.png: 2", "line 4: 'a street.png' already has a line"),
        ("a street.png:", "no proposal is listed"),
    ],
)
def test_an_invalid_list_is_an_error(street: Path, out: Path, line: str, message: str) -> None:
    run("propose", street, "--out", out)
    edit_list(out, "a street.png:", line)
    with pytest.raises(FormatError, match=message) as error:
        proposals.write_selected_proposals(out)
    assert error.value.code == "annotation-broken"
    assert not (out / "annotations.json").exists()


def test_a_list_in_another_encoding_is_an_error_before_anything_is_proposed(street: Path, out: Path) -> None:
    out.mkdir()
    (out / keep_list.KEEP_LIST).write_bytes("a street.png: 1 café\n".encode("latin-1"))
    assert run("propose", street, "--out", out) == 65
    assert run("keep", out) == 65
    assert not (out / proposals.PROPOSALS).exists()
    (out / keep_list.KEEP_LIST).write_bytes(b"\xef\xbb\xbf# with a byte order mark\na street.png: 1 " + "café".encode())
    assert run("propose", street, "--out", out) == 0
    assert run("keep", out) == 0
    [record] = list(open_images(out))
    assert set(record.annotation().categories.values()) == {"café"}
    (out / keep_list.KEEP_LIST).unlink()
    assert run("keep", out) == 66
    (out / keep_list.KEEP_LIST).mkdir()
    assert run("propose", street, "--out", out) == 66


def test_a_last_line_without_newline_stays_when_images_are_added(street: Path, out: Path) -> None:
    run("propose", street / "a street.png", "--out", out)
    path = out / keep_list.KEEP_LIST
    path.write_text(path.read_text().rstrip() + " 1 car")
    run("propose", street, "--out", out)
    assert path.read_text().endswith("a street.png: 1 car\nnight.png:\n")


@pytest.mark.parametrize("name", ["#x.png", " x.png", "x\ny.png", "x\udcff.png"])
def test_a_name_that_cannot_be_listed_is_an_error(street: Path, name: str) -> None:
    (street / "night.png").rename(street / name)
    with pytest.raises(SettingsError, match=r"cannot be written into keep\.txt"):
        proposals.find_images([street])


def test_names_with_colons_and_names_that_differ_in_the_suffix_are_accepted(street: Path, out: Path) -> None:
    Image.fromarray(draw_boxes(OBJECTS)).save(street / "10:30.png")
    Image.fromarray(draw_boxes(OBJECTS)).save(street / "10:30.bmp")
    assert run("propose", street, "--out", out) == 0
    edit_list(out, "10:30.png:", "10:30.png: 1")
    assert proposals.write_selected_proposals(out) == (1, 1)


def test_a_name_that_is_too_long_fails_alone(street: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = f"{'x' * 247}.png"
    (street / "night.png").rename(street / long)
    assert run("propose", street, "--out", out) == 3
    assert "output-unwritable" in capsys.readouterr().err
    assert (out / keep_list.KEEP_LIST).read_text().endswith("\na street.png:\n")


def test_another_image_of_the_same_name_is_an_error(street: Path, tmp_path: Path, out: Path) -> None:
    run("propose", street, "--out", out)
    other = tmp_path / "other" / "night.png"
    other.parent.mkdir()
    Image.fromarray(draw_boxes(OBJECTS)).save(other)
    with pytest.raises(SettingsError, match=r"another image named 'night\.png'"):
        proposals.write_proposals(out, proposals.find_images([other])[0], Segmenter(GrayWorld()))


def test_large_masks_are_compared_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rle, "MAX_PIXELS", 40 * 60)
    found = proposals.propose_masks(Segmenter(GrayWorld()), draw_boxes(OBJECTS))
    assert len(found) == len(OBJECTS)


def test_thin_objects_are_visible_on_a_sheet() -> None:
    large = np.zeros((1500, 3200, 3), np.uint8)
    large[700:703] = 200
    code = rle.encode(large[..., 0] > 0)
    found = GeneratedMasks(
        (1500, 3200), (GeneratedMask(code, 9600, (0, 700, 3200, 703), 1.0, 1.0, (5.0, 701.0), (0, 0, 3200, 1500)),)
    )
    sheet = proposal_sheet.draw_sheet(large, found)
    assert (sheet[60:, 320:640] == sheet[60:, :320]).all(axis=2).any()  # the background is tinted, the object is not
    flat = proposal_sheet.draw_sheet(large[:20], GeneratedMasks((20, 3200), found.masks[:0]))
    assert flat.shape == (proposal_sheet.MIN_TILE_SIDE_PX, 4 * proposal_sheet.TILE_SIDE_PX, 3)


def test_a_broken_image_is_reported_and_the_others_are_processed(
    street: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (street / "broken.png").write_bytes((street / "night.png").read_bytes()[:60])
    assert run("propose", street, "--out", out, "--json") == 3
    records = json.loads(capsys.readouterr().out)["pictures"]
    assert [record["picture"] for record in records if "error" in record] == ["broken.png"]
    assert "broken" not in (out / keep_list.KEEP_LIST).read_text()
    assert run("keep", out / "nowhere") == 66


def test_two_images_of_the_same_name_are_an_error(street: Path, tmp_path: Path) -> None:
    (tmp_path / "night.png").write_bytes((street / "night.png").read_bytes())
    with pytest.raises(SettingsError, match=r"two images are named 'night\.png'"):
        proposals.find_images([street, tmp_path / "night.png"])


def test_outlined_photographs_of_a_pack_are_left_out(tmp_path: Path) -> None:
    pack = tiny_pack(tmp_path / "pack")
    photographs = pack.of("photograph")
    assert [image.name for image in proposals.find_images([pack.root])] == [asset.name for asset in photographs]
    found = proposals.find_images([pack.root], {photographs[0].name})
    assert [image.name for image in found] == [asset.name for asset in photographs[1:]]
    for image, asset in zip(found, photographs[1:], strict=True):
        assert image.read() == pack.read(asset)
        assert image.license == asset.license


def test_the_option_marked_leaves_out_the_photographs_in_a_file(tmp_path: Path, out: Path) -> None:
    pack = tiny_pack(tmp_path / "pack")
    first, *others = [asset.name for asset in pack.of("photograph")]
    marked = tmp_path / "marks.json"
    marked.write_text(json.dumps({name: {} for name in others}))
    assert run("propose", pack.root, "--marked", marked, "--out", out) == 0
    assert [line for line in (out / keep_list.KEEP_LIST).read_text().splitlines() if line[0] != "#"] == [f"{first}:"]


@pytest.mark.parametrize(("content", "status"), [(None, 66), ("{", 65), ("[]", 65)])
def test_a_file_for_the_option_marked_that_cannot_be_read_is_an_error(
    street: Path, tmp_path: Path, out: Path, content: str | None, status: int
) -> None:
    if content is not None:
        (tmp_path / "marks.json").write_text(content)
    assert run("propose", street, "--marked", tmp_path / "marks.json", "--out", out) == status
    assert not (out / proposals.PROPOSALS).exists()


def test_selected_masks_become_outlines(street: Path, out: Path) -> None:
    run("propose", street, "--out", out)
    number = {value: key for key, (value, _) in read_proposals(out, "a street.png").items()}
    edit_list(out, "a street.png:", f"a street.png: {number[80]} car")
    run("keep", out)
    entries = outlines.collect_outlines(open_images(out), by="nano")
    [outline] = entries["a street.png"]["objects"]
    assert (outline["name"], outline["by"]) == ("car", "nano")
    expected = draw_boxes(OBJECTS)[..., 0] == 80  # with a hole
    [(_, same)] = outlines.rasterize_outlines(entries["a street.png"], (40, 60))
    assert np.array_equal(same, expected)
    [(_, twice)] = outlines.rasterize_outlines(entries["a street.png"], (80, 120))
    assert np.array_equal(twice, np.kron(expected, np.ones((2, 2), bool)))
