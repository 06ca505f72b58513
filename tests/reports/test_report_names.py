"""Reported fault 6: names of files that are not UTF-8, in all commands, the studio and training."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.errors import SettingsError
from masklet.files.names import replace_surrogates
from masklet.formats import FORMATS, read_masks
from masklet.http.problems import problem
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.studio.exports import stream_zip
from support.gray_world import draw_boxes
from support.studio_session import Session, SlowBackend, write_media
from support.video_formats import VIDEO_FORMATS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")

ODD = os.fsdecode(b"a\xff")
BOXES = {200: (2, 5, 12, 20), 90: (30, 20, 44, 34)}


@pytest.fixture
def folder(tmp_path: Path, gray_world: None) -> Path:
    """A folder with such a name, with three images with such names."""
    folder = tmp_path / f"images{ODD}"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(draw_boxes(BOXES)).save(folder / f"{ODD}{number}.png")
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command in the temporary folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: main([os.fspath(word) for word in words])


def check_names(out: Path, name: str) -> None:
    """Check that the COCO file and the table name images 0 to 2 by `name`."""
    (coco,) = out.rglob("coco.json")
    named = [Path(image["file_name"]).name for image in json.loads(coco.read_text())["images"]]
    assert named == [name.format(number) for number in range(3)]
    (table,) = out.rglob("*.csv")
    assert all(replace_surrogates(name.format(number)) in table.read_text("utf-8") for number in range(3))


@pytest.mark.parametrize("words", [(), ("--frames", "jpg"), ("--frames", "link")])
def test_6_frames_are_tracked_and_written_in_all_formats(
    words: tuple[str, ...], folder: Path, run: Callable[..., int], tmp_path: Path
) -> None:
    formats = ",".join(VIDEO_FORMATS) if not words else ",".join(name for name, form in FORMATS.items() if form.images)
    job = ("track", folder, "--point", "8,10", "--format", formats, *words, "--out", "out")
    assert run(*job) == 0 and run(*job, "--resume") == 0
    for name in formats.split(","):
        path = FORMATS[name].path_in(tmp_path / "out")
        assert path.stat().st_size > 0
        if FORMATS[name].read:
            assert len(list(read_masks(path))) == 3
    ElementTree.parse(tmp_path / "out" / "cvat.xml")


def test_6_a_video_is_tracked_and_resumed(folder: Path, run: Callable[..., int], tmp_path: Path) -> None:
    video = tmp_path / f"{ODD}.mp4"
    shutil.copy(Path(__file__).parents[2] / "examples" / "car.mp4", video)
    job = ("track", video, "--point", "80,80", "--stop", "2", "--format", ",".join(VIDEO_FORMATS), "--frames", "jpg")
    assert run(*job) == 0 and run(*job, "--resume") == 0
    out = tmp_path / f"{ODD}_masks"
    assert all(form.path_in(out).exists() for form in VIDEO_FORMATS.values())
    task = ElementTree.parse(out / "cvat.xml").find("meta/task/name")
    assert task is not None and task.text == "a\ufffd"


def test_6_images_are_segmented_in_all_formats_of_sets(folder: Path, run: Callable[..., int], tmp_path: Path) -> None:
    job = ("segment", folder, "--point", "8,10", "--format", "coco,yolo,labelme,cvat,csv,png,rle", "--out", "out")
    assert run(*job) == 0 and run(*job, "--resume") == 0
    check_names(tmp_path / "out", f"{ODD}{{}}.png")
    (cvat,) = (tmp_path / "out").rglob("cvat.xml")
    assert [image.get("name") for image in ElementTree.parse(cvat).iter("image")] == [
        f"a\ufffd{number}.png" for number in range(3)
    ]


def test_6_all_objects_of_images_are_written_in_all_formats(
    folder: Path, run: Callable[..., int], tmp_path: Path
) -> None:
    images = sorted(folder.iterdir())
    assert run("everything", *images, "--format", "sa1b,rle,png,overlay,coco,csv", "--out", "out") == 0
    check_names(tmp_path / "out", f"{ODD}{{}}.png")
    assert len(list((tmp_path / "out").rglob(f"{ODD}?.json"))) == 3


@pytest.mark.parametrize("protocol", ["images", "clicks"])
def test_6_images_are_evaluated(protocol: str, folder: Path, run: Callable[..., int], tmp_path: Path) -> None:
    assert run("segment", folder, "--point", "8,10", "--format", "labelme", "--out", ODD) == 0
    assert run("evaluate", protocol, f"{ODD}/labelme", "--out", "report") == 0
    assert "3 images" in (tmp_path / "report" / "report.md").read_text("utf-8")


def test_6_clips_are_evaluated(folder: Path, run: Callable[..., int], tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / "clips" / kind / ODD).mkdir(parents=True)
    for frame in range(3):
        image = draw_boxes(BOXES)
        Image.fromarray(image).save(tmp_path / "clips" / "JPEGImages" / ODD / f"{frame}.png")
        Image.fromarray((image[..., 0] == 200).astype(np.uint8)).save(
            tmp_path / "clips" / "Annotations" / ODD / f"{frame}.png"
        )
    assert run("evaluate", "vos", "clips", "--out", "vos") == 0
    assert len(list((tmp_path / "vos" / "predictions" / ODD).iterdir())) == 3
    assert run("evaluate", "interactive", "clips", "--out", "interactive") == 0
    assert run("evaluate", "score", "vos/predictions", "clips", "--out", "score") == 0
    assert "a\ufffd" in (tmp_path / "score" / "report.md").read_text("utf-8")


def test_6_proposals_are_refused_before_the_model_is_loaded(
    folder: Path, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "propose", folder, "--out", "proposals") == 2
    assert "rename the image [bad-usage]" in capsys.readouterr().err
    assert not (tmp_path / "proposals").exists()


def test_6_a_project_exports_names_in_valid_unicode(folder: Path, run: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    write_media(tmp_path / "media")
    place = tmp_path / f"project{ODD}"
    place.mkdir()
    for source, target in (
        ("clip", f"clip{ODD}"),
        ("a.png", "a\udcff.png"),
        ("b.png", "a\udcfe.png"),
        ("c.png", "c.png"),
    ):
        (tmp_path / "media" / source).rename(place / target)
    for number, path in enumerate(sorted((place / f"clip{ODD}").iterdir())):
        path.rename(path.with_name(f"{ODD}{number}.png"))
    with Project.open(place / "project") as project:
        add_media(project, [place / f"clip{ODD}"], frame_folders=True)
        add_media(project, [place / "a\udcff.png", place / "a\udcfe.png", place / "c.png"])
    session = Session(place, SlowBackend())
    try:
        session.click(80, medium=1)
        session.click(80, medium=2)
        session.click(80, medium=3)
        (place / f"{ODD}.json").write_text("{}")
        (found,) = session.run("list_annotations")["files"]
        assert found.endswith("a\ufffd.json")
        session.refuse("import_annotations", "unsupported-format", medium=2, path=found)
        assert [entry["path"] for key, entry in session.run("hello")["entries"].items() if key.startswith("media/")]
    finally:
        session.close()
    assert run("export", "project", place / "project", "--format", ",".join(VIDEO_FORMATS), "--out", "out") == 0
    names = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")]
    "".join(names).encode()
    assert {f"images/labelme/a\ufffd{end}" for end in (".png", "_2.png", ".json", "_2.json")} <= {*names}
    assert "clipa\ufffd/labelme/a\ufffd0.json" in names
    archive = zipfile.ZipFile(BytesIO(b"".join(stream_zip(tmp_path / "out"))))
    assert len(archive.namelist()) == sum(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_6_problem_responses_may_name_such_files() -> None:
    body = bytes(problem(404, "input-not-found", f"{ODD}.png does not exist").body)
    assert json.loads(body)["detail"] == f"{ODD}.png does not exist"


@pytest.mark.parametrize("name", ["initial_weights", "initial_trunk"])
def test_6_settings_of_training_need_names_in_utf_8(name: str) -> None:
    pytest.importorskip("torch")
    from masklet.train.settings import Settings

    with pytest.raises(SettingsError, match="rename it"):
        Settings(**{name: f"{ODD}.safetensors"})
