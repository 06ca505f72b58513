"""Licences and authors come from the packages' own copyright files."""

from __future__ import annotations

import pytest

from masklet.synthetic.packs.licenses import Terms, allows, parse_copyright
from support.tiny_pack import COPYRIGHT


@pytest.mark.parametrize(
    "licence", ["CC0", "CC0-1.0", "public-domain", "MIT", "BSD-2-clause", "CC-BY-4.0", "CC-BY-3.0-USA"]
)
def test_strict_and_all_admit_what_asks_for_attribution_at_most(licence: str) -> None:
    assert allows("strict", licence) and allows("all", licence)


@pytest.mark.parametrize("licence", ["GPL-2", "GPL-2+", "CC-BY-SA-3.0", "GFDL-NIV-1.2", "free-art", "GPL and CC-BY-SA"])
def test_only_all_admits_share_alike(licence: str) -> None:
    assert not allows("strict", licence) and allows("all", licence)


@pytest.mark.parametrize("licence", ["unknown", "CC-BY-NC-4.0", "CC-BY-ND-2.0", "proprietary", ""])
def test_neither_admits_other_terms(licence: str) -> None:
    assert not allows("strict", licence) and not allows("all", licence)


def test_the_last_matching_paragraph_rules() -> None:
    assert parse_copyright(COPYRIGHT).terms("usr/share/things/free/1.png") == Terms(
        "CC-BY-4.0", "2002, Ada 2003, Grace"
    )


def test_other_files_fall_to_the_first_paragraph() -> None:
    assert parse_copyright(COPYRIGHT).terms("usr/share/things/bound/0.png") == Terms("GPL-2+", "2001, Everybody")


def test_a_converted_picture_has_the_terms_of_the_one_it_was_made_from() -> None:
    text = "Files: src/fish.jpg\nCopyright: Elma\nLicense: CC-BY-2.0\n"
    assert parse_copyright(text).terms("usr/r.rcc/app/src/fish.webp") == Terms("CC-BY-2.0", "Elma")


def test_a_file_installed_in_another_folder_is_known_by_its_name() -> None:
    text = "Files: 20.04/forest.jpg\nCopyright: Jasper\nLicense: CC-BY-4.0\n"
    assert parse_copyright(text).terms("usr/share/backgrounds/forest.jpg") == Terms("CC-BY-4.0", "Jasper")


def test_a_file_that_no_paragraph_names_has_no_terms() -> None:
    assert parse_copyright("Files: a/*\nCopyright: A\nLicense: MIT\n").terms("usr/b/c.png") is None
