"""Reported faults of checkpoints: dtypes that are no weights. Numbers are those of the reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from masklet import load
from masklet.checkpoints import read_tensors, write_tensors
from masklet.checkpoints.hub import get_embedded_path
from masklet.checkpoints.key_names import to_masklet, to_transformers
from masklet.cli.main import main
from masklet.errors import CheckpointError

DTYPES = ("int64", "int32", "int16", "int8", "uint8", "bool")


@pytest.mark.parametrize("layout", ["released", "masklet", "transformers"])
def test_15_a_tensor_of_integers_is_no_weight(layout: str) -> None:
    released = read_tensors(get_embedded_path())
    tensors = {"released": released, "masklet": to_masklet(released), "transformers": to_transformers(released)}[layout]
    for number, name in enumerate(tensors):
        changed = {**tensors, name: tensors[name].astype(DTYPES[number % len(DTYPES)])}
        if "shared_image_embedding" in name:  # a copy, which is not read
            continue
        with pytest.raises(CheckpointError, match="floating-point") as caught:
            to_masklet(changed)
        assert caught.value.code == "checkpoint-mismatch" and name in caught.value.message


@pytest.mark.parametrize("dtype", DTYPES)
def test_15_a_checkpoint_of_integers_is_refused_by_every_command(
    dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "integers.safetensors"
    tensors = {name: value.astype(dtype) for name, value in read_tensors(get_embedded_path()).items()}
    write_tensors(path, tensors)
    for words in (
        ["models", "verify", path],
        ["models", "info", path],
        ["models", "convert", path, tmp_path / "out.pt"],
        ["export", "onnx", path, tmp_path / "out"],
    ):
        status, message = main([str(word) for word in words]), capsys.readouterr().err
        assert status == 65 and "[checkpoint-mismatch]" in message, words
    with pytest.raises(CheckpointError, match="floating-point"):
        load(path)
