"""Licenses and authors in the copyright files of packages."""

from __future__ import annotations

import pytest

from support.tiny_pack import COPYRIGHT
from tools.pack.licenses import Terms, is_allowed, parse_copyright


@pytest.mark.parametrize(
    "license", ["CC0", "CC0-1.0", "public-domain", "MIT", "BSD-2-clause", "CC-BY-4.0", "CC-BY-3.0-USA"]
)
def test_both_policies_admit_licenses_that_require_attribution_at_most(license: str) -> None:
    assert is_allowed("strict", license) and is_allowed("all", license)


@pytest.mark.parametrize("license", ["GPL-2", "GPL-2+", "CC-BY-SA-3.0", "GFDL-NIV-1.2", "free-art", "GPL and CC-BY-SA"])
def test_only_the_policy_all_admits_share_alike_licenses(license: str) -> None:
    assert not is_allowed("strict", license) and is_allowed("all", license)


@pytest.mark.parametrize("license", ["unknown", "CC-BY-NC-4.0", "CC-BY-ND-2.0", "proprietary", ""])
def test_no_policy_admits_other_licenses(license: str) -> None:
    assert not is_allowed("strict", license) and not is_allowed("all", license)


def test_the_last_matching_paragraph_applies() -> None:
    assert parse_copyright(COPYRIGHT).find_terms("usr/share/things/free/1.png") == Terms(
        "CC-BY-4.0", "2002, Ada 2003, Grace"
    )


def test_the_first_paragraph_applies_to_other_files() -> None:
    assert parse_copyright(COPYRIGHT).find_terms("usr/share/things/bound/0.png") == Terms("GPL-2+", "2001, Everybody")


def test_a_converted_image_has_the_terms_of_its_source() -> None:
    text = "Files: src/fish.jpg\nCopyright: Elma\nLicense: CC-BY-2.0\n"
    assert parse_copyright(text).find_terms("usr/r.rcc/app/src/fish.webp") == Terms("CC-BY-2.0", "Elma")


def test_a_file_in_another_folder_is_found_by_its_name() -> None:
    text = "Files: 20.04/forest.jpg\nCopyright: Jasper\nLicense: CC-BY-4.0\n"
    assert parse_copyright(text).find_terms("usr/share/backgrounds/forest.jpg") == Terms("CC-BY-4.0", "Jasper")


def test_a_file_without_paragraph_has_no_terms() -> None:
    assert parse_copyright("Files: a/*\nCopyright: A\nLicense: MIT\n").find_terms("usr/b/c.png") is None
