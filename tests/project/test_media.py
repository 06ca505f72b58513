"""Media: images and videos are found, described, recognized, and opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.errors import InputNotFound, PromptError, VideoError
from masklet.project import media as media_module
from masklet.project.entries import Medium
from masklet.project.media import add_media, locate_medium, open_medium
from masklet.project.project import Project
from support.clips import read_number, write_clip


def write_image(path: Path, width: int = 12, height: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three images, text, a broken image, a hidden file and a folder."""
    folder = tmp_path / "photos"
    for number in (1, 2, 10):
        write_image(folder / f"frame{number}.png", width=10 + number)
    (folder / "notes.txt").write_text("notes")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / ".hidden.png").write_bytes(b"")
    write_image(folder / "inner" / "deep.png")
    return folder


def test_the_images_of_a_folder_are_added_in_natural_order(project: Project, folder: Path) -> None:
    result = add_media(project, [folder])
    media = project.document.media()
    assert result.added == (1, 2, 3) and [one.size for one in media.values()] == [(9, 11), (9, 12), (9, 20)]
    assert [one.path for one in media.values()] == [f"../photos/frame{number}.png" for number in (1, 2, 10)]
    assert {path.name for path, _ in result.skipped} == {"notes.txt", "broken.jpg", "inner"}
    assert all(reason for _, reason in result.skipped)


def test_media_that_the_project_has_are_recognized(project: Project, folder: Path, tmp_path: Path) -> None:
    add_media(project, [folder / "frame2.png"])
    link = tmp_path / "link.png"
    link.symlink_to(folder / "frame2.png")
    result = add_media(project, [folder, link, folder / "frame1.png"])
    assert (result.added, result.known) == ((2, 3), (1,))


def test_media_that_another_thread_adds_meanwhile_are_recognized(
    project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = media_module._describe

    def describe_late(path: Path, name: str) -> Medium:
        with monkeypatch.context() as patch:
            patch.setattr(media_module, "_describe", describe)
            add_media(project, [folder / "frame2.png"])
        return describe(path, name)

    monkeypatch.setattr(media_module, "_describe", describe_late)
    result = add_media(project, [folder / "frame2.png", folder / "frame10.png"])
    assert (result.added, result.known) == ((2,), (1,)) and len(project.document.media()) == 2


def test_a_video_is_described_and_opened(project: Project, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 5)
    assert add_media(project, [path]).added == (1,)
    medium = project.document.medium(1)
    assert (medium.kind, medium.frames, medium.size) == ("video", 5, (48, 128))
    assert medium.times == pytest.approx((0.0, 10.0))
    video = open_medium(project, 1)
    assert read_number(video[3]) == 3 and locate_medium(project, 1) == path
    video.close()  # type: ignore[union-attr]


def test_a_folder_of_frames_is_a_video_if_the_caller_says_so(project: Project, folder: Path) -> None:
    for number in (2, 10):
        write_image(folder / f"frame{number}.png", width=11)
    (folder / "broken.jpg").unlink()
    assert add_media(project, [folder], frame_folders=True).added == (1,)
    medium = project.document.medium(1)
    assert (medium.kind, medium.frames, medium.times, medium.path) == ("video", 3, None, "../photos")
    assert len(open_medium(project, 1)) == 3


def test_changed_and_missing_files_are_refused(project: Project, folder: Path) -> None:
    add_media(project, [folder / "frame1.png"])
    assert open_medium(project, 1).shape == (9, 11, 3)  # type: ignore[union-attr]
    write_image(folder / "frame1.png", width=30)
    with pytest.raises(VideoError, match="when it was added"):
        open_medium(project, 1)
    (folder / "frame1.png").unlink()
    with pytest.raises(InputNotFound):
        open_medium(project, 1)
    with pytest.raises(PromptError):
        open_medium(project, 2)
    with pytest.raises(InputNotFound):
        add_media(project, [folder / "frame1.png"])
