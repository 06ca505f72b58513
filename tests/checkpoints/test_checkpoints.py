"""Checkpoint files: reading to numpy arrays, writing, and the refusal of damaged and hostile files."""

from __future__ import annotations

import json
import os
import weakref
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open

from masklet.checkpoints import read_checkpoint, read_tensors, write_released, write_tensors
from masklet.checkpoints.memory_map import MAX_FILE_BYTES
from masklet.checkpoints.writer import stream_tensors
from masklet.errors import CheckpointError, InputNotFound, MaskletError
from support.hostile_checkpoints import (
    VALUES,
    make_checkpoint,
    make_zip,
    pickle_text,
    pickle_weights,
    write_sound_file,
)

TENSORS = {
    "plain": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.linspace(-1, 1, 7).astype(np.float16),
    "double": np.float64([[1e300]]),
    "whole": np.arange(-3, 3),
    "int32": np.int32([7]),
    "short": np.int16([-300, 300]),
    "char": np.int8([-128]),
    "byte": np.arange(5, dtype=np.uint8),
    "bool": np.array([True, False]),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


def are_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return set(found) == set(expected) and all(
        found[name].dtype == value.dtype and found[name].shape == value.shape and np.array_equal(found[name], value)
        for name, value in expected.items()
    )


def test_a_file_of_torch_save_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    torch.save({"model": OrderedDict((name, torch.from_numpy(value)) for name, value in TENSORS.items())}, path)
    assert are_equal(read_tensors(path), TENSORS)


def test_a_bare_state_dict_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    torch.save(layer.state_dict(), tmp_path / "a.pt")
    assert are_equal(
        read_tensors(tmp_path / "a.pt"), {name: p.detach().numpy() for name, p in layer.named_parameters()}
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_pytorch_is_read(tmp_path: Path, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"model": {"a": torch.arange(3)}}, tmp_path / "a.pt", pickle_protocol=protocol)
    assert are_equal(read_tensors(tmp_path / "a.pt"), {"a": np.arange(3)})


def test_the_weights_of_a_training_checkpoint_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    state = {"epoch": 3, "loss": 0.5, "done": False, "note": "ok", "optimizer": optimizer.state_dict(), "best": None}
    torch.save({**state, "model": {**dict(layer.named_parameters()), "version": 2}}, tmp_path / "a.pt")
    assert are_equal(
        read_tensors(tmp_path / "a.pt"), {name: p.detach().numpy() for name, p in layer.named_parameters()}
    )


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    values = torch.randn(1000, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    torch.save({"model": {"a": values}}, tmp_path / "a.pt")
    safetensors.save_file({"a": values}, tmp_path / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        found = read_checkpoint(tmp_path / name)
        assert found.dtypes == ("bfloat16",)
        assert are_equal(found.tensors, {"a": values.float().numpy()})


def test_views_of_a_shared_storage_keep_their_strides(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0).reshape(4, 6)
    views = {"transposed": base.t(), "part": base[1:3, ::2], "row": base[2]}
    torch.save({"model": views}, tmp_path / "a.pt")
    assert are_equal(read_tensors(tmp_path / "a.pt"), {name: view.numpy() for name, view in views.items()})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "sam.", "module._orig_mod.model.sam."])
def test_the_prefix_of_a_wrapper_is_removed(tmp_path: Path, prefix: str) -> None:
    write_released(tmp_path / "a.pt", {f"{prefix}{name}": value for name, value in TENSORS.items()})
    assert are_equal(read_tensors(tmp_path / "a.pt"), TENSORS)


def test_a_prefix_of_only_some_names_remains(tmp_path: Path) -> None:
    tensors = {"model.a": np.ones(1), "b": np.ones(1)}
    write_released(tmp_path / "a.pt", tensors)
    assert are_equal(read_tensors(tmp_path / "a.pt"), tensors)


NETWORK = {
    "image_encoder.trunk.pos_embed": np.float32([1, 2]),
    "sam_mask_decoder.iou_token.weight": np.float32([3]),
    "no_mem_embed": np.float32([4]),
}


@pytest.mark.parametrize("prefix", ["sam2_model.", "module.net.", "base_model.model.", "_orig_mod.student.sam."])
def test_any_prefix_of_a_known_component_is_removed(tmp_path: Path, prefix: str) -> None:
    write_released(
        tmp_path / "a.pt", {f"{prefix}{name}": value for name, value in NETWORK.items()} | {"head.bias": np.ones(1)}
    )
    assert are_equal(read_tensors(tmp_path / "a.pt"), NETWORK | {"head.bias": np.ones(1)})


def test_wrappers_of_single_components_are_removed(tmp_path: Path) -> None:
    wrapped = {
        "image_encoder._orig_mod.trunk.pos_embed": NETWORK["image_encoder.trunk.pos_embed"],
        "sam_mask_decoder.module._orig_mod.iou_token.weight": NETWORK["sam_mask_decoder.iou_token.weight"],
        "no_mem_embed": NETWORK["no_mem_embed"],
    }
    write_released(tmp_path / "a.pt", wrapped)
    found = read_checkpoint(tmp_path / "a.pt")
    assert are_equal(found.tensors, NETWORK) and found.wrapping == ("model", "module", "_orig_mod")


def test_names_that_would_be_equal_without_wrappers_remain(tmp_path: Path) -> None:
    tensors = {"module.a": np.zeros(1), "a": np.ones(1)}
    write_released(tmp_path / "a.pt", tensors)
    assert are_equal(read_tensors(tmp_path / "a.pt"), tensors)


def test_of_an_averaged_and_a_current_network_the_average_is_read(tmp_path: Path) -> None:
    current = {f"online_model.{name}": value + 1 for name, value in NETWORK.items()}
    average = {f"ema_model.{name}": value for name, value in NETWORK.items()}
    write_released(tmp_path / "a.pt", {**current, **average, "initted": np.ones(1), "step": np.ones(1)})
    assert are_equal(read_tensors(tmp_path / "a.pt"), NETWORK)


def test_a_model_averaged_by_pytorch_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    torch.save(torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(layer)).state_dict(), tmp_path / "a.pt")
    assert are_equal(
        read_tensors(tmp_path / "a.pt"), {name: p.detach().numpy() for name, p in layer.named_parameters()}
    )


def test_several_networks_in_one_file_are_refused(tmp_path: Path) -> None:
    both = {f"{owner}.{name}": value for owner in ("student", "teacher") for name, value in NETWORK.items()}
    write_released(tmp_path / "a.pt", both)
    with pytest.raises(CheckpointError, match=r"a\.pt: 2 networks in one file: 'student\.', 'teacher\.'") as error:
        read_tensors(tmp_path / "a.pt")
    assert error.value.code == "checkpoint-mismatch"


@pytest.mark.parametrize(
    ("entries", "wrapping"),
    [
        (("model_ema",), ("model_ema",)),
        (("ema", "module"), ("ema", "module")),
        (("ema_state_dict",), ("ema_state_dict",)),
        (("state_dict", "model"), ("state_dict", "model")),
        (("net",), ("net",)),
    ],
)
def test_weights_are_found_under_the_entries_of_training_scripts(
    tmp_path: Path, entries: tuple[str, ...], wrapping: tuple[str, ...]
) -> None:
    torch = pytest.importorskip("torch")
    content = {name: torch.from_numpy(value) for name, value in NETWORK.items()}
    for key in reversed(entries):
        content = {key: content, "decay": 0.999, "updates": torch.ones(1)}
    other = {name: torch.zeros(1) for name in NETWORK}
    state = {"epoch": 7, "steps": {"train": 120, "val": 4}, "loss": torch.ones(()), **content}
    torch.save({"model": other, **state} if "ema" in entries[0] else state, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt")
    assert are_equal(found.tensors, NETWORK) and found.wrapping == wrapping
    assert found.counters == {"epoch": 7, "steps of train": 120, "steps of val": 4}


def test_counters_that_no_training_has_are_left_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    phases = {f"phase {k}": k for k in range(100)}
    state = {"epoch": 2**2000, "step": float("nan"), "iter": True, "global_step": 12345678, "steps": phases}
    torch.save({"model": {"a": torch.ones(2)}, **state}, tmp_path / "a.pt")
    expected = {"global_step": 12345678, **{f"steps of phase {k}": k for k in range(4)}}
    assert read_checkpoint(tmp_path / "a.pt").counters == expected


def test_averages_without_names_are_left_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"model": {"a": torch.ones(2)}, "ema": {"shadow": [torch.zeros(2)], "decay": 0.9}}, tmp_path / "a.pt")
    assert are_equal(read_tensors(tmp_path / "a.pt"), {"a": np.ones(2, np.float32)})


def test_the_kind_is_detected_by_content_not_by_name(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.pt", TENSORS)
    write_released(tmp_path / "a.safetensors", TENSORS)
    assert read_checkpoint(tmp_path / "a.pt").kind == "safetensors"
    assert read_checkpoint(tmp_path / "a.safetensors").kind == "torch"


def test_changes_of_tensors_do_not_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    write_released(path, TENSORS)
    before = path.read_bytes()
    read_tensors(path)["plain"][:] = -1
    assert path.read_bytes() == before
    assert are_equal(read_tensors(path), TENSORS)


def test_finite_values_whose_sum_overflows_are_accepted(tmp_path: Path) -> None:
    tensors = {"a": np.full(1000, 3e38, np.float32), "b": np.full(9, 6e4, np.float16)}
    write_released(tmp_path / "a.pt", tensors)
    assert are_equal(read_tensors(tmp_path / "a.pt"), tensors)


def test_infinity_outside_of_every_tensor_is_accepted(tmp_path: Path) -> None:
    values = np.float32([1, 2, np.inf])
    path = tmp_path / "a.pt"
    path.write_bytes(make_checkpoint(pickle_weights(length=3, shape=(2,), strides=(1,)), values.tobytes()))
    assert are_equal(read_tensors(path), {"a": values[:2]})


def test_unaligned_safetensors_are_read(tmp_path: Path) -> None:
    header = {
        "flag": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]},
        "value": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    encoded = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"\x01" + np.float32([1.5, -2]).tobytes())
    found = read_tensors(path)
    assert are_equal(found, {"flag": np.array([True]), "value": np.float32([1.5, -2])})
    assert found["value"].flags.aligned


@pytest.mark.parametrize("write", [write_released, write_tensors])
@settings(max_examples=30, deadline=None)
@given(
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).filter(
            lambda n: n != "__metadata__"
        ),
        arrays.arrays(
            st.sampled_from([np.float32, np.float16, np.float64, np.int64, np.uint8, np.bool_]),
            arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
            elements={"allow_nan": False, "allow_infinity": False},
        ),
        min_size=1,
        max_size=4,
    )
)
def test_written_tensors_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, write: Callable[..., None], tensors: dict[str, np.ndarray]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"round-trip-{write.__name__}"
    write(path, {f"k{name}": value for name, value in tensors.items()})  # not a prefix of a wrapper
    assert are_equal(read_tensors(path), {f"k{name}": value for name, value in tensors.items()})


def test_pytorch_reads_written_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write_released(tmp_path / "a.pt", TENSORS)
    for mapped in (False, True):
        found = torch.load(tmp_path / "a.pt", weights_only=True, mmap=mapped)
        assert list(found) == ["model"] and isinstance(found["model"], OrderedDict)
        assert are_equal({name: value.numpy() for name, value in found["model"].items()}, TENSORS)
        assert all(value.is_contiguous() for value in found["model"].values())


def test_the_safetensors_library_reads_written_files(tmp_path: Path) -> None:
    from safetensors import safe_open

    write_tensors(tmp_path / "a.safetensors", TENSORS)
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert are_equal({name: file.get_tensor(name) for name in file.keys()}, TENSORS)  # noqa: SIM118 - not a dict


def test_written_data_are_aligned_like_those_of_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    write_released(path, TENSORS)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name, extra = (int.from_bytes(content[info.header_offset + k :][:2], "little") for k in (26, 28))
            assert (info.header_offset + 30 + name + extra) % 64 == 0


def test_the_same_tensors_make_the_same_bytes(tmp_path: Path) -> None:
    for write in (write_released, write_tensors):
        write(tmp_path / "a", TENSORS)
        write(tmp_path / "b", TENSORS)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_strided_tensor_is_written_completely(tmp_path: Path) -> None:
    strided = np.arange(24.0).reshape(4, 6)[::2, 1::2].T
    for write in (write_released, write_tensors):
        write(tmp_path / "a", {"a": strided})
        assert are_equal(read_tensors(tmp_path / "a"), {"a": strided})


def test_the_error_of_an_unsafe_pickle_names_the_function(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(
        make_checkpoint(b"\x80\x02}" + pickle_text("model") + b"cposix\nsystem\n" + pickle_text("true") + b"\x85Rs.")
    )
    with pytest.raises(CheckpointError, match=r"posix\.system") as refusal:
        read_tensors(path)
    assert refusal.value.exit_status == 77


def test_many_small_tensors_are_read(tmp_path: Path) -> None:
    tensors = {f"t{k}": np.float32([k]) for k in range(20_000)}
    write_tensors(tmp_path / "a.safetensors", tensors)
    assert len(read_tensors(tmp_path / "a.safetensors")) == 20_000


def test_the_error_of_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound) as missing:
        read_tensors(tmp_path / "none.pt")
    assert missing.value.code == "input-not-found"
    with pytest.raises(FileNotFoundError):
        read_tensors(Path("bad\0name"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_folder_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputNotFound) as odd:
            read_tensors(path)
        assert odd.value.code == "input-unreadable"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_the_error_of_an_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputNotFound) as unreadable:
        read_tensors(path)
    assert unreadable.value.code == "input-unreadable"


def test_an_enormous_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with path.open("wb") as handle:
        handle.truncate(MAX_FILE_BYTES + 1)  # a sparse file, which takes no disk space
    with pytest.raises(CheckpointError) as refusal:
        read_tensors(path)
    assert refusal.value.code == "checkpoint-bomb"


def test_a_released_file_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(MaskletError):
        write_released(tmp_path / "none" / "a.pt", TENSORS)
    write_released(tmp_path / "a.pt", TENSORS)
    with pytest.raises(KeyError):
        write_released(tmp_path / "a.pt", {"a": np.ones(3, np.complex64)})
    assert are_equal(read_tensors(tmp_path / "a.pt"), TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_the_valid_file_behind_the_corpus_is_read(tmp_path: Path) -> None:
    write_sound_file(tmp_path)
    assert set(read_tensors(tmp_path / "good.pt")) == {"a", "b"}
    (tmp_path / "b.pt").write_bytes(make_zip({"m/data.pkl": pickle_weights(), "m/data/0": VALUES}))
    assert set(read_tensors(tmp_path / "b.pt")) == {"a"}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i1", "u2", "i2", "i4", "i8", "?"])
def test_streamed_arrays_are_read_back_by_the_library(tmp_path: Path, dtype: str) -> None:
    array = np.arange(6).astype(dtype).reshape(2, 3).T  # in Fortran order
    stream_tensors(tmp_path / "a.safetensors", lambda: [("b", array), ("a", array[:1])], {"about": "this"})
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"about": "this"}
        found = file.get_tensor("b")
        assert found.dtype == array.dtype and (found == array).all()
        assert (file.get_tensor("a") == array[:1]).all()


def test_streamed_arrays_are_not_in_memory_together(tmp_path: Path) -> None:
    alive, peak = 0, 0

    def count(change: int) -> None:
        nonlocal alive, peak
        alive += change
        peak = max(peak, alive)

    def make_arrays() -> Iterator[tuple[str, Any]]:
        for key in range(5):
            array = np.full(100, key, np.uint8)
            count(1)
            weakref.finalize(array, count, -1)
            yield str(key), array
            del array

    stream_tensors(tmp_path / "a.safetensors", make_arrays, {})
    assert peak <= 2  # the previous array lives until the loop takes the next
    assert read_tensors(tmp_path / "a.safetensors")["4"].tolist() == [4] * 100
