"""Released checkpoints: their names, addresses, sizes and hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_SAM2_FOLDER = "https://dl.fbaipublicfiles.com/segment_anything_2"
_CONFIG_SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}  # in the names of SAM 2's configs
EFFICIENTTAM_REPOSITORY = "yunyangx/efficient-track-anything"  # on the Hugging Face Hub; it has all eight files
PUBLISHERS = ("facebook/", "yunyangx/")  # of releases on the Hugging Face Hub


@dataclass(frozen=True, slots=True)
class Release:
    """A published checkpoint (Apache-2.0).

    Attributes:
        name: The name of its configuration in `masklet.config`.
        folder: The address of the folder that has the file.
        file: The name of the file.
        size_bytes: The exact size of the file; None if it is not published.
        parameter_count: The number of values in all tensors.
        sha256: The hash of the file, in hexadecimal digits; empty if it is not published.
        git_blob: Git's hash of the file, as `git hash-object` prints it, where no SHA-256 is published.
        hub_ids: Its names on the Hugging Face Hub.
    """

    name: str
    folder: str
    file: str
    size_bytes: int | None
    parameter_count: int
    sha256: str = ""
    git_blob: str = ""
    hub_ids: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The publisher's address of the file."""
        return f"{self.folder}/{self.file}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """The publisher's names: the stem of the file, the ids on the Hugging Face Hub, and for SAM 2 also the id
        without the publisher and the name of the configuration, such as `sam2.1_hiera_b+`."""
        names = (Path(self.file).stem, *self.hub_ids)
        version, _, model = self.name.partition("-")
        if not version.startswith("sam2"):
            return names
        return *names, f"{version}-hiera-{model}", f"{version}_hiera_{_CONFIG_SIZES.get(model, model)}"


class _Sizes(NamedTuple):
    """Size of a file in bytes, and the number of values in its tensors."""

    size_bytes: int | None
    parameter_count: int


def _make_sam2_release(name: str, size_bytes: int, parameter_count: int, sha256: str) -> Release:
    version, _, model = name.partition("-")
    folder = f"{_SAM2_FOLDER}/{'092824' if version == 'sam2.1' else '072824'}"
    file = f"{version}_hiera_{model.replace('-', '_')}.pt"
    hub_ids = (f"facebook/{version}-hiera-{model}",)
    return Release(name, folder, file, size_bytes, parameter_count, sha256, hub_ids=hub_ids)


def _make_efficienttam_release(name: str, stem: str, sizes: _Sizes, sha256: str = "") -> Release:
    hub_ids = [f"{EFFICIENTTAM_REPOSITORY}/{stem}", f"{EFFICIENTTAM_REPOSITORY}/{stem}.pt"]
    if name == "efficienttam-s":  # the first of the publisher's list
        hub_ids.append(EFFICIENTTAM_REPOSITORY)
    folder = f"https://huggingface.co/{EFFICIENTTAM_REPOSITORY}/resolve/main"
    return Release(name, folder, f"{stem}.pt", *sizes, sha256, hub_ids=tuple(hub_ids))


_SMALL, _TINY = 34056098, 17866274  # numbers of values of EfficientTAM

RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        _make_sam2_release(
            "sam2.1-tiny", 156008466, 38962754, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
        ),
        _make_sam2_release(
            "sam2.1-small", 184416285, 46060610, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
        ),
        _make_sam2_release(
            "sam2.1-base-plus", 323606802, 80850434, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"
        ),
        _make_sam2_release(
            "sam2.1-large", 898083611, 224446898, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
        ),
        _make_sam2_release(
            "sam2-tiny", 155906050, 38946242, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"
        ),
        _make_sam2_release(
            "sam2-small", 184309650, 46044098, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"
        ),
        _make_sam2_release(
            "sam2-base-plus", 323493298, 80833922, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"
        ),
        _make_sam2_release(
            "sam2-large", 897952466, 224430386, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"
        ),
        Release(
            "edgetam",
            "https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints",
            "edgetam.pt",
            None,
            13943148,
            git_blob="abd54d22bbd22ba3e53cf59a307e59e0f3701be6",
            hub_ids=("facebook/EdgeTAM",),
        ),
        _make_efficienttam_release(
            "efficienttam-s",
            "efficienttam_s",
            _Sizes(136375868, _SMALL),
            "2b572be30d9e96ee29c8d785fe157c6b079ede7d56fbc8a3671d4120e63c89cd",
        ),
        _make_efficienttam_release(
            "efficienttam-s-1",
            "efficienttam_s_1",
            _Sizes(136376327, _SMALL),
            "4fd5d1f7ae08a7e15086623bf8b12f0b111b773b15564b43c0a5d451fc1a4267",
        ),
        _make_efficienttam_release(
            "efficienttam-s-2",
            "efficienttam_s_2",
            _Sizes(136376327, _SMALL),
            "253e490b4a3d56eedd64e4d466155ec538d1289f52abe78b091b14caefd92343",
        ),
        _make_efficienttam_release(
            "efficienttam-s-512",
            "efficienttam_s_512x512",
            _Sizes(136379145, _SMALL),
            "67b5840012737ed2c94a4cb8787c5c1b27b3a946045d2e602e65ef77230b6085",
        ),
        _make_efficienttam_release(
            "efficienttam-ti",
            "efficienttam_ti",
            _Sizes(71616316, _TINY),
            "acbb17b28cca1f860acee09c9ecb6efdb732080dc7a85a07292c31813175fa7d",
        ),
        _make_efficienttam_release("efficienttam-ti-1", "efficienttam_ti_1", _Sizes(None, _TINY)),
        _make_efficienttam_release(
            "efficienttam-ti-2",
            "efficienttam_ti_2",
            _Sizes(None, _TINY),
            "d2a9ca0a736257ee9bb238d335ba7c794ad853e594cb4f679019ecc0854ee587",
        ),
        _make_efficienttam_release(
            "efficienttam-ti-512",
            "efficienttam_ti_512x512",
            _Sizes(71620052, _TINY),
            "7d4d652a465f0081391050932f45d8a66768ccc99c8ea393ce8a5927e83f3b9b",
        ),
    )
}
"""Every released checkpoint by name. The publishers state no SHA-256; these are the ones that users agree on."""
