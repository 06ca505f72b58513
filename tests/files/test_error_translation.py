"""Errors of the system are translated to errors of masklet that name the file, the reason and a remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from masklet.errors import FormatError, InputNotFound, PromptError, ResourceError
from masklet.files.error_translation import translate_errors, translate_read_errors, translate_write_errors


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_only_the_listed_classes_are_translated() -> None:
    translating = translate_errors(
        KeyError, IndexError, into=lambda cause: FormatError("bad-rle", f"no {cause.args[0]}")
    )
    with pytest.raises(FormatError, match="no key") as raised, translating:
        raise KeyError("key")
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(TypeError), translate_errors(KeyError, into=lambda cause: FormatError("bad-rle", "no key")):
        raise TypeError


def test_an_error_of_masklet_is_not_translated_unless_its_class_is_listed() -> None:
    error = PromptError("bad-prompt", "a prompt")  # a ValueError too
    with pytest.raises(PromptError) as raised, translate_errors(ValueError, into=lambda _: FormatError("bad-rle", "")):
        raise error
    assert raised.value is error
    with pytest.raises(FormatError), translate_errors(PromptError, into=lambda _: FormatError("bad-rle", "")):
        raise error


def test_an_exception_that_is_returned_is_not_changed() -> None:
    error = KeyError("key")
    with pytest.raises(KeyError) as raised, translate_errors(KeyError, into=lambda cause: cause):
        raise error
    assert raised.value is error and error.__cause__ is None


@pytest.mark.parametrize(
    ("number", "code", "remedy"),
    [
        (errno.ENOSPC, "disk-full", "free some space"),
        (errno.EDQUOT, "disk-full", "free some space"),
        *(
            (number, "output-unwritable", "choose another place")
            for number in (errno.EACCES, errno.EROFS, errno.ENOENT)
        ),
        *((number, "output-failed", "check the disk") for number in (errno.EIO, errno.EBUSY)),
    ],
)
def test_an_error_of_writing_names_a_remedy(tmp_path: Path, number: int, code: str, remedy: str) -> None:
    with pytest.raises(ResourceError, match=remedy) as raised, translate_write_errors(tmp_path / "file", hint="a hint"):
        raise system_error(number)
    assert (raised.value.code, raised.value.hint) == (code, "a hint")
    assert str(tmp_path / "file") in raised.value.message


def test_the_code_of_other_errors_of_writing_can_be_chosen(tmp_path: Path) -> None:
    translating = translate_write_errors(tmp_path / "file", other="output-unwritable")
    with pytest.raises(ResourceError, match="choose another place") as raised, translating:
        raise system_error(errno.ENOTDIR)
    assert raised.value.code == "output-unwritable"


def test_the_error_for_a_full_disk_says_how_much_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    translating = translate_write_errors(Path("not/there/yet"), needed=70)
    with pytest.raises(ResourceError, match="70 more bytes are needed") as raised, translating:
        raise system_error(errno.ENOSPC)
    assert raised.value.context["needed"] == 70 and raised.value.context["free"] > 0


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (system_error(errno.ENOENT), "input-not-found"),
        (system_error(errno.ENOTDIR), "input-not-found"),
        (system_error(errno.EACCES), "input-unreadable"),
        (ValueError("embedded null byte"), "input-unreadable"),
    ],
)
def test_an_error_of_reading_names_the_file(cause: Exception, code: str) -> None:
    with pytest.raises(InputNotFound, match=r"some/file") as raised, translate_read_errors("some/file"):
        raise cause
    assert raised.value.code == code


def test_a_missing_input_while_an_output_is_written_stays_a_missing_input(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound), translate_write_errors(tmp_path / "out"):
        raise InputNotFound("input-not-found", "the image does not exist")
