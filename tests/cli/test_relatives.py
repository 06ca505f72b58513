"""Files of EdgeTAM and EfficientTAM in the commands and in `masklet.load`: recognized by their entries alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.errors import SettingsError
from masklet.formats import read_masks
from masklet.prompts import box, click
from masklet.segmenter import Segmenter, load
from parity.inputs import frames
from support.clips import write_clip

pytest.importorskip("torch")

SIZES = {"edgetam-micro": 128, "efficienttam-micro": 64}
VARIANTS = {"efficienttam-micro": "plain"}  # the name of the file does not tell it
Checkpoint = Callable[[str, int], Path]


def run(command: str, name: str, checkpoint: Checkpoint, *words: str | Path) -> Segmenter:
    """Run a command with a network, and return the network."""
    options: list[str | Path | int] = ["--model", checkpoint(name, 1), "--size", SIZES[name], "--device", "cpu"]
    if name in VARIANTS:
        options += ["--variant", VARIANTS[name]]
    assert main([command, *map(str, (*words, *options))]) == 0
    model = load(checkpoint(name, 1), input_size=SIZES[name], runtime="torch", variant=VARIANTS.get(name))
    assert model.backend.config.name == name
    return model


@pytest.mark.parametrize("name", SIZES)
def test_segment_writes_the_mask_that_the_loaded_model_predicts(
    name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    image = frames(1, 60, 80, 1)[0]
    Image.fromarray(image).save(tmp_path / "image.png")
    words = (tmp_path / "image.png", "--point", "40,30", "--out", tmp_path / "out", "--format", "npz")
    model = run("segment", name, checkpoint, *words)
    (written,) = (frame.masks for frame in read_masks(next((tmp_path / "out").glob("*.npz"))))
    assert np.array_equal(written.binary, model.embed(image).predict(click(40, 30)).binary)


@pytest.mark.parametrize("name", SIZES)
def test_track_writes_the_masks_that_the_loaded_model_tracks(
    name: str, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5)
    words = (clip, "--box", "20,5,100,40", "--point", "10,40#4", "--out", tmp_path / "out", "--format", "npz")
    model = run("track", name, checkpoint, *words, "--json")
    record = json.loads(capsys.readouterr().out)
    tracked = [frame.masks.binary for frame in model.track(clip, {1: box(20, 5, 100, 40), 4: click(10, 40)})]
    written = [frame.masks.binary for frame in read_masks(record["files"]["npz"])]
    assert len(written) == 5
    assert all(np.array_equal(a, b) for a, b in zip(written, tracked, strict=True))


def test_an_input_size_that_does_not_fit_the_latents_is_an_error(checkpoint: Checkpoint) -> None:
    with pytest.raises(SettingsError, match="a multiple of 128 from 128 to 4096 for edgetam-micro, got 64") as caught:
        load(checkpoint("edgetam-micro", 1), input_size=64, runtime="torch")
    assert caught.value.code == "bad-size"
