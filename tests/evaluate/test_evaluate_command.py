"""`masklet evaluate` from end to end, with weights by formula on datasets of a few small frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from masklet.cli.main import main
from support import dataset_layouts

Checkpoint = Callable[[str], Path]


@pytest.fixture
def model(checkpoint: Callable[..., Path]) -> Sequence[str]:
    return ["--model", str(checkpoint("sam2.1-micro")), "--device", "cpu", "--size", "64"]


def report(folder: Path) -> dict[str, object]:
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert (folder / "report.md").read_text().startswith("# ")
    found: dict[str, object] = json.loads((folder / "report.json").read_text())
    return found


def test_images_writes_a_report_with_baselines(
    tmp_path: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_layouts.write_coco(tmp_path / "data")
    out = tmp_path / "out"
    assert main(["evaluate", "images", str(tmp_path / "data"), "--baselines", "--out", str(out), *model]) == 0
    summary = report(out)["summary"]
    assert {"1-click", "5-click", "box", "mask", "noc", "GrabCut in the box"} < set(summary)  # type: ignore[call-overload]
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["prompt", "mIoU"]


def test_clicks_reads_clicks_from_a_file_or_samples_them(
    tmp_path: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_layouts.write_coco(tmp_path / "data")
    command = ["evaluate", "clicks", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--json", *model]
    assert main([*command, "--random", "2"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["facts"]["positions"] == "2 at random pixels of each object, seed 0"
    assert (printed["summary"]["all"]["objects"], printed["summary"]["all"]["clicks"]) == (2, 4)
    clicks = [{"image": "a.jpg", "object": 31, "points": [[5, 4, 1]]}]
    file = dataset_layouts.write_json(tmp_path / "clicks.json", {"prompts": clicks})
    assert main([*command, "--clicks", str(file), "--overwrite"]) == 0
    assert [found["clicks"] for found in report(tmp_path / "out")["objects"]] == [[[5.0, 4.0]]]  # type: ignore[attr-defined]
    assert main([*command, "--clicks", str(file), "--random", "2", "--overwrite"]) == 2
    assert "replaces --random 2" in capsys.readouterr().err


def test_everything_writes_a_report_with_the_options_of_the_generator(tmp_path: Path, model: Sequence[str]) -> None:
    dataset_layouts.write_large_object(tmp_path / "data")
    options = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"]
    out = tmp_path / "out"
    assert main(["evaluate", "everything", str(tmp_path / "data"), *options, "--out", str(out), *model]) == 0
    found = report(out)
    assert "points_per_side=2" in found["facts"]["mask generator"]  # type: ignore[index]
    assert found["summary"]["all"]["objects"] == 1  # type: ignore[index, call-overload]


def test_vos_predicts_scores_and_resumes(tmp_path: Path, model: Sequence[str]) -> None:
    dataset_layouts.write_davis(tmp_path / "data")
    command = ["evaluate", "vos", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--workers", "1", *model]
    assert main(command) == 0
    before = report(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/predictions/bear").iterdir()) == [
        f"{k:05d}.png" for k in range(4)
    ]
    assert "davis-2017 val, 1 by name" in before["facts"]["data"]  # type: ignore[index]
    assert main(command) == 73  # there is a report already
    (tmp_path / "out/report.html").unlink()
    assert main(command) == 0  # no clip is predicted again
    after = report(tmp_path / "out")
    assert after["objects"] == before["objects"]
    assert "over 0 of 4 frames" in after["facts"]["speed"]  # type: ignore[index]
    assert main([*command, "--prompt", "box", "--overwrite"]) == 0


def test_vos_resumes_a_run_that_was_restarted_and_interrupted(
    tmp_path: Path, model: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_layouts.write_davis(tmp_path / "data")
    command = ["evaluate", "vos", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--workers", "1", *model]
    assert main(command) == 0

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("masklet.evaluate.score.score_clips", stop)
        assert main([*command, "--prompt", "box", "--overwrite"]) == 130
    assert main([*command, "--prompt", "box"]) == 0
    facts = report(tmp_path / "out")["facts"]
    assert facts["prompt"] == "box" and "over 0 of 4 frames" in facts["speed"]  # type: ignore[index, operator]


def test_vos_without_public_ground_truth_names_the_server_for_the_predictions(
    tmp_path: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_layouts.write_mose(tmp_path / "data")
    out = tmp_path / "out"
    assert main(["evaluate", "vos", str(tmp_path / "data"), "--sample", "1", "--out", str(out), *model]) == 0
    output = capsys.readouterr()
    assert "the ground truth of mose valid is not public" in output.err
    assert "CodaLab competition 10703" in output.err
    assert output.out.strip() == str(out / "predictions")
    assert len(list((out / "predictions/0a").iterdir())) == 3


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_interactive_writes_a_curve(tmp_path: Path, model: Sequence[str], mode: str) -> None:
    dataset_layouts.write_davis(tmp_path / "data")
    options = ["--mode", mode, "--rounds", "2", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "interactive", str(tmp_path / "data"), *options, *model]) == 0
    found = report(tmp_path / "out")
    assert len(found["curve"]["J&F"]) == 2  # type: ignore[index, call-overload]
    assert len(found["objects"]) == 2  # type: ignore[arg-type]


def test_score_reads_a_folder_of_ground_truth_masks_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{frame:05d}" for frame in range(5)]
    dataset_layouts.write_label_maps(
        tmp_path / "ground_truth/a", {name: dataset_layouts.make_labels(0, 6) for name in names}
    )
    dataset_layouts.write_label_maps(tmp_path / "mine/a", {name: dataset_layouts.make_labels(0, 7) for name in names})
    paths = [str(tmp_path / "mine"), str(tmp_path / "ground_truth")]
    assert main(["evaluate", "score", *paths, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"]["j"] == pytest.approx((1 + 2 / 4) / 2)  # object 2 is shifted by one of three columns
    assert Path(found["report"]) == tmp_path / "out/report.html"
    assert found["clips"]["a"]["objects"] == 2


def test_score_reads_unseen_names_from_a_file(tmp_path: Path) -> None:
    names = [f"{frame:05d}" for frame in range(5)]
    for clip in ("a", "b"):
        dataset_layouts.write_label_maps(
            tmp_path / "ground_truth" / clip, {name: dataset_layouts.make_labels(0) for name in names}
        )
    dataset_layouts.write_lines(tmp_path / "unseen.txt", "b")
    ground_truth = str(tmp_path / "ground_truth")
    options = ["--benchmark", "lvos-v2", "--unseen", str(tmp_path / "unseen.txt"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "score", ground_truth, ground_truth, *options, "--workers", "1"]) == 0
    assert report(tmp_path / "out")["summary"]["unseen"]["objects"] == 1  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["images", "nowhere"], 66, "nowhere: no such dataset"),
        (["images", ".", "--prompts", "box,circle"], 2, "prompts must be 1-click"),
        (["vos", ".", "--prompt", "circle"], 2, "the prompt must be mask, box"),
        (["everything", "coco", "--points-per-batch", "1", "--crop-n-layers", "9"], 2, "crop_n_layers must be at most"),
        (["images", "coco", "--split", "test"], 2, "coco has no split 'test'; splits are instances"),
        (["score", "nowhere", "nowhere"], 66, "nowhere: no such dataset"),
    ],
)
def test_invalid_arguments_are_reported(
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset_layouts.write_coco(tmp_path / "coco")
    assert main(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == status
    assert message in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_created_is_reported_before_the_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_layouts.write_coco(tmp_path / "data")
    (tmp_path / "file").write_text("")
    command = [
        "evaluate",
        "images",
        str(tmp_path / "data"),
        "--model",
        "missing.pt",
        "--out",
        str(tmp_path / "file/out"),
    ]
    assert main(command) == 73
    assert "cannot be made" in capsys.readouterr().err
