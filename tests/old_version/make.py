"""Write the fixtures of this folder with version 0.1.0 (commit 4345d4a); README.md describes them.

Run it with a Python in which that version is installed, PyTorch included:

    python make.py

The script uses the names of that version. It is a record: do not adapt it to later versions.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from math import log2, prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from parity.inputs import _gain, frames  # noqa: E402

masklet: Any = importlib.import_module("masklet")  # of another version than the one that is checked out here

SIDE = 64  # pixels a side of the network's input
LOAD: dict[str, Any] = {"size": SIDE}
COUNT, HEIGHT, WIDTH = 10, 48, 80
PERIOD = 127  # values after which a tensor repeats itself, so that the checkpoint compresses to a hundredth
SEED = 264  # chosen among 380: masks differ between objects and change by 4 pixels if all weights change by 1e-4
SPREAD = 24.5  # standard deviation of the table's values
CALM = 1 / 16  # factor of the query weights: sharp attention amplifies rounding errors

TRACK = ["--size", str(SIDE), "--device", "cpu"]
UNFINISHED = ["--box", "20,8,60,40", "--point", "14,30@2#4", "--negative", "70,5@2#4", "--direction", "both"]
ZOOMED = ["--box", "20,8,60,40#2", "--zoom", "1.5", "--holes", "3", "--islands", "3"]
FOUND = ["--points-per-side", "3", "--pred-iou-thresh", "0", "--stability-score-thresh", "0", "--look-every", "4",
         "--most", "3"]  # fmt: skip
FINISHED = ["--box", "20,8,60,40", "--point", "14,30@3#300", "--apart", "--every", "2"]


def main() -> None:
    for old in FOLDER.iterdir():
        if old.name not in ("make.py", "README.md", "clip.mp4", "training"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        models = write_models(work)
        clip = write_clip()
        expected = {"sessions": write_sessions(models, clip), "jobs": write_jobs(models / "micro.safetensors", work)}
        write_outputs(models / "micro.safetensors")
        write_evaluation(models / "exported", work)
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def run(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "masklet", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


# The models


def write_models(work: Path) -> Path:
    """Write models.zip: the checkpoint in float16 under the released names, and the ONNX export of it."""
    from safetensors.numpy import save_file

    models = work / "models"
    models.mkdir()
    shapes = json.loads((FOLDER.parent / "parity/shapes.json").read_text())["sam2.1-micro"]
    table = np.random.RandomState(SEED).randint(-24, 25, (3, PERIOD)).sum(axis=0).astype(np.float32)
    tensors = {name: weight(name, tuple(shape), table) for name, shape in shapes.items()}
    save_file(tensors, models / "micro.safetensors")
    run("export", "onnx", models / "micro.safetensors", models / "exported", "--size", str(SIDE))
    with zipfile.ZipFile(FOLDER / "models.zip", "w", zipfile.ZIP_LZMA) as archive:
        for path in sorted(models.rglob("*")):
            if path.is_file():
                archive.writestr(
                    zipfile.ZipInfo(path.relative_to(models).as_posix()), path.read_bytes(), zipfile.ZIP_LZMA
                )
    return models


def weight(name: str, shape: tuple[int, ...], table: NDArray[np.float32]) -> NDArray[np.float16]:
    """One tensor: whole numbers from the table times a power of two, which float16 holds exactly."""
    last = name.rsplit(".", 1)[-1]
    start, exponent = zlib.crc32(name.encode()) % PERIOD, round(log2(SPREAD / spread(name, last, shape)))
    value = table[(np.arange(prod(shape)) + start) % PERIOD] * np.float32(2.0**-exponent)
    if last == "weight" and len(shape) == 1:  # of a norm
        value += 1
    if name.endswith("pred_obj_score_head.layers.2.bias"):  # most objects are visible
        value += np.float32(0.5)
    result: NDArray[np.float16] = value.astype(np.float16).reshape(shape)
    return result


def spread(name: str, last: str, shape: tuple[int, ...]) -> float:
    """The standard deviation of a tensor's values: as in tests/parity/inputs.py, with calm attention."""
    if last in ("bias", "gamma"):
        return 0.3 if last == "gamma" else 0.1
    if last == "weight" and len(shape) == 1:
        return 0.1
    if last == "weight" and ("token" in name or ("embed" in name and len(shape) == 2 and shape[0] <= 4)):
        return 0.5
    if last == "weight":
        calm = CALM if re.search(r"\.(q_proj|qkv)\.weight$", name) else 1
        return float(calm * 0.7 * _gain(name) / sqrt(prod(shape[1:])))
    return 1.0 if last == "positional_encoding_gaussian_matrix" else 0.2


# The clip


def write_clip() -> NDArray[np.uint8]:
    """Write the same frames as a folder of PNG files and as an H.264 file.

    An H.264 file that is there stays: the encoder does not give the same bytes twice.
    """
    import av
    from PIL import Image

    clip: NDArray[np.uint8] = frames(COUNT, HEIGHT, WIDTH, 7)
    (FOLDER / "frames").mkdir()
    for index, image in enumerate(clip):
        Image.fromarray(image).save(FOLDER / f"frames/{index:05d}.png", optimize=True)
    if (FOLDER / "clip.mp4").exists():
        return clip
    with av.open(str(FOLDER / "clip.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for image in clip:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode(None))
    return clip


# Sessions


def write_sessions(models: Path, clip: NDArray[np.uint8]) -> dict[str, Any]:
    """Write sessions/NAME.session for each runtime, and one with a zoom and cleaned masks."""
    (FOLDER / "sessions").mkdir()
    cleaning = masklet.Cleaning(holes=2, islands=2)
    micro = models / "micro.safetensors"
    return {
        "torch": write_session("torch", masklet.load(micro, runtime="torch", device="cpu", **LOAD), clip),
        "onnx": write_session("onnx", masklet.load(micro, runtime="onnx", **LOAD), clip),
        "zoomed": write_session("zoomed", masklet.load(models / "exported", zoom=1.5), clip, cleaning=cleaning),
    }


def write_session(name: str, model: Any, clip: NDArray[np.uint8], **options: Any) -> dict[str, Any]:
    """Track frames 0 to 5 with prompts of every kind and a correction, save, and go on to the end."""
    click, box = masklet.click, masklet.box
    tracker = model.tracker(**options)
    tracker.prompt(0, {1: click(25, 18) + click(70, 40, positive=False), 7: box(20, 8, 60, 40)}, clip[0])
    for index in range(6):
        tracker.step(index, clip[index])
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[10:30, 40:70] = True
    tracker.prompt(2, {3: masklet.mask(square)}, clip[2])
    tracker.prompt(4, {1: click(40, 24)}, clip[4])
    for index in range(3, 6):
        tracker.step(index, clip[index])
    tracker.save(FOLDER / f"sessions/{name}.session")
    return {
        "stored": [frame(index, tracker.masks(index)) for index in range(6)],
        "next": frame(6, tracker.step(6, clip[6])),
        "corrected": frame(1, tracker.prompt(1, {7: click(50, 20)}, clip[1])),
        "continued": [frame(index, tracker.step(index, clip[index])) for index in range(1, COUNT)],
    }


def frame(index: int, masks: Any) -> dict[str, Any]:
    """The record of one frame's masks."""
    return {
        "frame": index,
        "object_ids": list(masks.object_ids),
        "areas": masks.areas.tolist(),
        "scores": [round(score, 4) for score in masks.scores.tolist()],
        "rle": masks.to_rle(),
    }


# Jobs


def write_jobs(micro: Path, work: Path) -> dict[str, Any]:
    """Write a finished job with every format, and three that were killed; returns how the killed ones end."""
    (FOLDER / "jobs").mkdir()
    formats = ",".join(importlib.import_module("masklet.formats").FORMATS)
    run("track", FOLDER / "clip.mp4", *FINISHED, "--model", micro, *TRACK, "--format", formats,
        "--out", FOLDER / "jobs/finished")  # fmt: skip
    killed: dict[str, list[str | Path]] = {
        "unfinished": ["track", FOLDER / "clip.mp4", *UNFINISHED, "--format", "png,sav,coco,npz"],
        "zoomed": ["track", FOLDER / "frames", *ZOOMED, "--format", "png,coco"],
        "everything": ["everything", FOLDER / "frames", *FOUND, "--format", "png,coco"],
    }
    expected: dict[str, Any] = {}
    for name, words in killed.items():
        command: list[str | Path] = [*words, "--model", micro, *TRACK]
        run(*command, "--out", work / name)
        expected[name] = recorded(work / name / "coco.json")
        kill_between(command, FOLDER / "jobs" / name)
    expected["finished"] = recorded(FOLDER / "jobs/finished/coco.json")
    return expected


def recorded(path: Path) -> list[dict[str, Any]]:
    return [frame(found.index, found.masks) for found in importlib.import_module("masklet.formats").read(path)]


def kill_between(command: list[str | Path], out: Path, first: int = 3, last: int = 7) -> None:
    """Start the job until a kill -9 leaves it with `first` to `last` finished frames and a saved tracker."""
    for _ in range(50):
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "masklet", *map(str, command), "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while finished_frames(out) < first and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        if first <= finished_frames(out) <= last and [*(out / ".masklet").glob("*.session")]:
            return
    raise SystemExit(f"{out}: no kill came in time")


def finished_frames(out: Path) -> int:
    journal = out / ".masklet/journal.jsonl"
    return journal.read_bytes().count(b'{"frame": ') if journal.exists() else 0


# Outputs of other commands


def write_outputs(micro: Path) -> None:
    """Write what `masklet segment` and `masklet everything` write of an image, in every format."""
    image = FOLDER / "frames/00000.png"
    model: list[str | Path] = ["--model", micro, *TRACK]
    run("segment", image, "--point", "25,18#1", "--box", "20,8,60,40#2", *model, "--format",
        "png,overlay,cutout,rle,npz", "--out", FOLDER / "segment")  # fmt: skip
    run("everything", image, *FOUND[:6], *model, "--format", "sa1b,rle,coco,png,overlay",
        "--out", FOLDER / "everything")  # fmt: skip


def write_evaluation(exported: Path, work: Path) -> None:
    """Write the folder of an evaluation that has finished the first of two clips, in the layout of MOSE."""
    from PIL import Image

    data, names = work / "mose", work / "names.txt"
    labels = np.zeros((12, 16), np.uint8)
    labels[2:9, 0:3], labels[2:9, 6:9] = 1, 2
    for clip in ("0a", "1b"):
        images, annotations = data / "valid/JPEGImages" / clip, data / "valid/Annotations" / clip
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for index in range(3):
            Image.fromarray(np.full((12, 16, 3), 40 + 10 * index, np.uint8)).save(images / f"{index:05d}.jpg")
        Image.fromarray(labels).save(annotations / "00000.png")
    names.write_text("0a\n")
    run("evaluate", "vos", data, "--list", names, "--model", exported, "--out", FOLDER / "evaluation")


if __name__ == "__main__":
    main()
