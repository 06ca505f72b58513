"""`masklet models test`: a recorded model compared with the published scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.checkpoints.releases import RELEASES
from masklet.cli.main import main
from masklet.config import CONFIGS
from masklet.errors import ImageError, InputNotFound, SettingsError
from masklet.evaluate import published_ious
from masklet.evaluate.published_ious import CAR, GROCERIES, PUBLISHED_IOUS, TRUCK, compare_with_published_ious
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, click

RECORDED = (0.0427, 0.9547, 0.4932)  # scores of the three masks of a click in the decoder's order


class RecordedModel:
    """Model that gives the published scores plus `error`, in the decoder's order. `calls` lists what it predicts."""

    def __init__(self, name: str = "sam2.1-tiny", error: float = 0.0) -> None:
        self.config, self.error = CONFIGS[name], error
        self.calls: list[tuple[tuple[int, ...], int, bool, float | None]] = []

    def embed(self, image: NDArray[np.uint8], *, warn: bool) -> RecordedImage:
        assert not warn
        return RecordedImage(self, image.shape[:2])


class RecordedImage:
    def __init__(self, model: RecordedModel, size: tuple[int, int]) -> None:
        self.model, self.size = model, size

    def predict(self, prompts: Prompt | list[Prompt], *, multimask: bool, refine: Masks | None = None) -> Masks:
        if isinstance(prompts, Prompt):
            return self.make_masks(RECORDED)
        self.model.calls.append((self.size, len(prompts), multimask, refine and float(refine.scores[0])))
        (entry,) = (
            entry
            for entry in PUBLISHED_IOUS[self.model.config.name]
            if list(entry.prompts) == prompts
            and entry.is_multimask == multimask
            and (entry.refined is not None) == (refine is not None)
        )
        return self.make_masks([score + self.model.error for score in entry.scores[:: -1 if multimask else 1]])

    def make_masks(self, scores: Any) -> Masks:
        return Masks.from_logits(np.zeros((len(scores), 4, 4), np.float32), self.size, scores=scores)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for photograph in (TRUCK, GROCERIES, CAR):
        Image.new("RGB", photograph.size or (64, 48)).save(tmp_path / photograph.name)
    return tmp_path


def test_a_model_with_the_published_scores_is_equal(photographs: Path) -> None:
    model = RecordedModel(error=0.009)
    comparisons = compare_with_published_ious(model, photographs)  # type: ignore[arg-type]
    assert [comparison.is_equal for comparison in comparisons] == [True] * 8
    assert all(abs((comparison.difference or 0) - 0.009) < 1e-6 for comparison in comparisons)
    truck, groceries, car = (1200, 1800), (534, 800), (48, 64)
    best = pytest.approx(0.9547)
    assert model.calls == [
        (truck, 1, True, None),
        (truck, 1, False, None),
        (truck, 4, False, None),
        (truck, 1, False, best),
        (truck, 1, False, best),
        (groceries, 1, False, None),
        (groceries, 4, False, None),
        (car, 1, True, None),
    ]


def test_a_larger_difference_is_found(photographs: Path) -> None:
    comparisons = compare_with_published_ious(RecordedModel(error=0.011), photographs)  # type: ignore[arg-type]
    assert [comparison.is_equal for comparison in comparisons] == [False] * 8


def test_photographs_that_are_not_there_are_left_out(photographs: Path) -> None:
    (photographs / TRUCK.name).unlink()
    model = RecordedModel()
    comparisons = compare_with_published_ious(model, photographs)  # type: ignore[arg-type]
    assert [comparison.is_equal for comparison in comparisons] == [None] * 5 + [True] * 3
    assert len(model.calls) == 3


def test_without_any_photograph_the_error_has_their_sources(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"car\.png from huggingface\.co/ybelkada") as error:
        compare_with_published_ious(RecordedModel("edgetam"), tmp_path)  # type: ignore[arg-type]
    assert error.value.code == "input-not-found" and "truck" not in error.value.message


def test_a_photograph_of_another_size_is_refused(photographs: Path) -> None:
    Image.new("RGB", (900, 600)).save(photographs / TRUCK.name)
    with pytest.raises(ImageError, match=r"must have \(1800, 1200\) pixels \(W, H\), got \(900, 600\)"):
        compare_with_published_ious(RecordedModel(), photographs)  # type: ignore[arg-type]


def test_a_model_without_published_scores_is_refused(photographs: Path) -> None:
    with pytest.raises(SettingsError, match=r"no predicted IoUs of nano are published; they are of sam2\.1-tiny"):
        compare_with_published_ious(RecordedModel("nano"), photographs)  # type: ignore[arg-type]


def test_every_release_of_sam2_and_edgetam_has_published_scores() -> None:
    assert set(PUBLISHED_IOUS) == {name for name in RELEASES if not name.startswith("efficienttam")}
    for entries in PUBLISHED_IOUS.values():
        for entry in entries:
            assert len(entry.scores) in (len(entry.prompts), 3)
            assert not entry.is_multimask or list(entry.scores) == sorted(entry.scores, reverse=True)
            assert str(entry.refined) in ("None", str(click(500, 375)))


@pytest.fixture
def command(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command on the recorded model, whose error is that of the fixture's test."""
    (photographs / "model.pt").write_bytes(b"x")
    return ["models", "test", str(photographs / "model.pt"), "--images", str(photographs)]


def test_the_command_prints_a_table(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {}
    monkeypatch.setattr("masklet.segmenter.load", lambda path, **given: options.update(given) or RecordedModel())
    assert main([*command, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["image", "prompt", "published", "predicted", "difference", "result"]
    assert lines[1].split() == [
        "truck.jpg",
        "click,",
        "three",
        "masks",
        *["0.9547", "0.4932", "0.0427"] * 2,
        "0.0000",
        "equal",
    ]
    assert len(lines) == 9 and all(line.endswith("equal") for line in lines[1:])
    assert options == {"device": "cpu", "variant": None, "base": None}


def test_the_command_fails_if_a_score_differs(
    command: list[str], photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / CAR.name).unlink()
    monkeypatch.setattr("masklet.segmenter.load", lambda path, **given: RecordedModel(error=-0.02))
    assert main([*command]) == 65
    out, err = capsys.readouterr()
    assert "7 of 7 predictions of sam2.1-tiny differ by more than 0.01" in err and "[weights-differ]" in err
    assert out.splitlines()[-1].split()[-2:] == ["no", "photograph"]


def test_the_command_writes_json(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("masklet.segmenter.load", lambda path, **given: RecordedModel("edgetam", 0.004))
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["architecture"], record["tolerance"]) == ("edgetam", published_ious.TOLERANCE)
    (entry,) = record["predictions"]
    assert entry["published"] == [0.9707, 0.2141, 0.0356] and entry["predicted"] == [0.9747, 0.2181, 0.0396]
    assert (entry["image"], entry["difference"], entry["result"]) == ("car.png", 0.004, "equal")
