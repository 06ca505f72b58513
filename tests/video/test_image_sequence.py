"""Folders, patterns, lists, arrays and iterators of images as videos."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.errors import ImageError, InputNotFound, MaskletError, MaskletWarning, PromptError, VideoError
from masklet.video import VideoOptions, open_video

SIZE = (6, 8)


def make_image(value: int, size: tuple[int, int] = SIZE) -> Any:
    return np.full((*size, 3), value, np.uint8)


def write_images(folder: Path, *names: str, size: tuple[int, int] = SIZE) -> None:
    """Write images of these names. The first has the value 0 everywhere, the next 1, …"""
    for value, name in enumerate(names):
        Image.fromarray(make_image(value, size)).save(folder / name)


def read_values(video: Any) -> list[int]:
    """Read the value of every frame."""
    return [int(frame.image[0, 0, 0]) for frame in video]


def get_error_code(call: Any) -> str:
    """Call a function and return the code of its error."""
    with pytest.raises(MaskletError) as caught:
        call()
    return caught.value.code


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    write_images(
        tmp_path, "frame 1.png", "frame 2.BMP", "frame 9.tif", "frame 10.png", "frame 011.tiff", "Frame 12.png"
    )
    video = open_video(tmp_path)
    assert read_values(video) == [0, 1, 2, 3, 4, 5]
    assert [frame.index for frame in video] == [0, 1, 2, 3, 4, 5]
    assert (len(video), video.size, video.times) == (6, SIZE, (None,) * 6)


def test_other_files_in_a_folder_are_left_out(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    (tmp_path / "deeper.png").mkdir()
    assert read_values(open_video(tmp_path)) == [0, 1]


def test_images_without_a_suffix_are_detected_by_content(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png")
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_suffix(""))
    (tmp_path / "notes").write_text("hello")
    assert read_values(open_video(tmp_path)) == [0, 1]


def test_a_pattern_is_read_in_natural_order(tmp_path: Path) -> None:
    write_images(tmp_path, "a2.png", "a10.png", "b1.png")
    assert read_values(open_video(f"{tmp_path}/a*.png")) == [0, 1]


def test_a_folder_whose_name_looks_like_a_pattern_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "shot [1]"
    folder.mkdir()
    write_images(folder, "1.png")
    assert read_values(open_video(str(folder))) == [0]


@pytest.mark.parametrize("name", ["", "*.png"])
def test_a_source_without_images_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert get_error_code(lambda: open_video(f"{tmp_path}/{name}")) == "video-no-frames"


def test_two_images_of_the_same_name_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "00001.jpg", "00001.png")
    with pytest.raises(VideoError, match=r"00001\.jpg and 00001\.png") as caught:
        open_video(tmp_path)
    assert caught.value.code == "frames-inconsistent"


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png")
    write_images(tmp_path, "3.png", size=(7, 9))
    video = open_video(tmp_path)
    assert video[1].shape == (*SIZE, 3)
    with pytest.raises(VideoError, match=r"3\.png has size \(7, 9\), .*1\.png \(6, 8\)") as caught:
        list(video)
    assert caught.value.code == "frames-inconsistent"


def test_images_of_two_sizes_can_be_scaled_to_the_first(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png")
    write_images(tmp_path, "2.png", size=(7, 9))
    assert {frame.image.shape for frame in open_video(tmp_path, VideoOptions(rescale=True))} == {(*SIZE, 3)}


def test_a_broken_image_is_a_corrupt_frame(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png", "3.png", "4.png", "5.png")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:40])
    (tmp_path / "4.png").write_bytes(b"")
    video = open_video(tmp_path)
    with pytest.warns(MaskletWarning, match="frame-corrupt"):
        frames = list(video)
    assert read_values(frames) == [0, 1, 1, 1, 4]
    assert [frame.index for frame in frames if frame.corrupt] == [2, 3]
    assert video[3][0, 0, 0] == 1


def test_a_broken_first_image_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    with pytest.raises(ImageError):
        open_video(tmp_path)


def test_a_list_of_files_arrays_and_images_keeps_its_order(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png")
    video = open_video([tmp_path / "2.png", str(tmp_path / "1.png"), make_image(7), Image.fromarray(make_image(8))])
    assert read_values(video) == [1, 0, 7, 8]
    assert len(video) == 4


def test_a_missing_file_in_a_list_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png")
    video = open_video([tmp_path / "1.png", tmp_path / "2.png"])
    with pytest.raises(InputNotFound, match=r"2\.png"):
        list(video)


def test_an_array_is_a_video() -> None:
    video = open_video(np.stack([make_image(value) for value in range(4)]))
    assert read_values(video) == [0, 1, 2, 3]
    assert read_values(video.frames(range(3, -1, -2))) == [3, 1]
    assert np.array_equal(video[2], make_image(2))


def test_a_tensor_is_planar() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(np.stack([make_image(value) for value in range(4)])).permute(0, 3, 1, 2)
    video = open_video(tensor)
    assert (read_values(video), video.size) == ([0, 1, 2, 3], SIZE)


@pytest.mark.parametrize("source", [[], np.zeros((0, 4, 4, 3), np.uint8), iter([])])
def test_an_empty_source_is_refused(source: Any) -> None:
    assert get_error_code(lambda: open_video(source)) == "video-no-frames"


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(PromptError) as caught:
        open_video([make_image(0), make_image(1)])[index]
    assert caught.value.code == "unknown-frame"


def test_an_iterator_is_consumed_once_and_lazily() -> None:
    taken: list[int] = []

    def source() -> Iterator[Any]:
        for value in range(5):
            taken.append(value)
            yield make_image(value)

    video = open_video(source())
    assert video.size == SIZE
    assert taken == [0]
    frames = iter(video)
    assert [next(frames).index, next(frames).index] == [0, 1]
    assert taken == [0, 1]
    assert read_values(video) == [2, 3, 4]
    assert not hasattr(video, "__len__")


def test_an_iterator_runs_in_the_callers_thread() -> None:
    threads = []

    def source() -> Iterator[Any]:
        for value in range(3):
            threads.append(threading.current_thread())
            yield make_image(value)

    list(open_video(source()))
    assert set(threads) == {threading.current_thread()}


def test_an_iterator_that_changes_size_ends_with_an_error() -> None:
    video = open_video(iter([make_image(0), make_image(1, (7, 9))]))
    frames = iter(video)
    next(frames)
    assert get_error_code(lambda: next(frames)) == "resolution-changed"


def test_a_closed_video_gives_no_frames(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png")
    for source in (tmp_path, [make_image(0)], iter([make_image(0), make_image(1)])):
        video = open_video(source)
        video.close()
        assert list(video) == []


def test_a_folder_of_16_bit_images_warns_once(tmp_path: Path) -> None:
    for index in range(6):
        Image.fromarray(np.full(SIZE, index << 8, np.uint16)).save(tmp_path / f"{index}.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        assert read_values(open_video(tmp_path)) == [0, 1, 2, 3, 4, 5]
    assert len(caught) <= 2  # one for the first image, one in the thread that prefetches the others


def test_a_real_folder_is_read(shared: Path) -> None:
    video = open_video(shared / "media" / "bedroom")
    assert (len(video), video.size, video[59].shape) == (60, (540, 960), (540, 960, 3))
