"""Published results of the released checkpoints on video benchmarks, for comparison."""

from __future__ import annotations

from dataclasses import dataclass

_PAPER = "SAM 2 paper v1, table 17, released checkpoints"
_README = "README of the released repository"


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """Published scores of one model on one split: percentages by name, number of clips, source."""

    percentages: dict[str, float]
    clips: int | None
    source: str


def find_published_scores(kind: str, split: str, model: str, prompt: str) -> PublishedScores | None:
    """Find the published scores of a released model on the split of a benchmark.

    Args:
        kind: The `kind` of the dataset.
        split: The name of the split.
        model: The name of the configuration, such as `sam2.1-tiny`.
        prompt: The kind of prompt on the first frame. All published scores are for `mask`.

    Returns:
        The scores, or None if none have been published.
    """
    release, _, size = model.partition("-")
    if prompt != "mask" or size not in _SIZES:
        return None
    table = {"sam2": _PAPER_ROWS, "sam2.1": _README_ROWS}.get(release, {})
    key = kind, split.removesuffix("_all_frames")
    if key not in table:
        return None
    names, rows = table[key]
    numbers = dict(zip(names, rows[_SIZES.index(size)], strict=True))
    return PublishedScores(numbers, _CLIPS.get(key), _PAPER if release == "sam2" else _README)


_CLIPS = {
    ("sa-v", "val"): 155,
    ("sa-v", "test"): 150,
    ("davis-2017", "val"): 30,
    ("davis-2017", "test-dev"): 30,
    ("lvos-v1", "val"): 50,
    ("lvos-v2", "val"): 140,
    ("youtube-vos-2019", "valid"): 507,
}
_SIZES = ("tiny", "small", "base-plus", "large")
_Columns = tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]
_J_AND_F = ("J&F", "J", "F")
_GROUPS = ("J seen", "F seen", "J unseen", "F unseen")

_PAPER_ROWS: dict[tuple[str, str], _Columns] = {
    ("sa-v", "val"): (_J_AND_F, ((73.7, 70.3, 77.1), (72.7, 69.4, 76.0), (75.3, 71.8, 78.7), (76.1, 72.9, 79.2))),
    ("sa-v", "test"): (_J_AND_F, ((75.0, 71.5, 78.5), (74.9, 71.4, 78.4), (74.7, 71.2, 78.2), (76.0, 72.6, 79.3))),
    ("lvos-v1", "val"): (_J_AND_F, ((73.6, 68.8, 78.3), (73.5, 68.6, 78.4), (76.2, 71.6, 80.7), (77.9, 73.1, 82.7))),
    ("mose", "valid"): (_J_AND_F, ((70.9, 66.7, 75.2), (71.5, 67.4, 75.7), (72.8, 68.8, 76.9), (74.6, 70.6, 78.6))),
    ("davis-2017", "val"): (
        _J_AND_F,
        ((89.2, 85.7, 92.7), (88.8, 85.4, 92.2), (88.9, 85.5, 92.2), (89.3, 85.7, 92.8)),
    ),
    ("davis-2017", "test-dev"): (
        _J_AND_F,
        ((86.7, 83.3, 90.0), (86.3, 82.8, 89.9), (86.7, 83.2, 90.1), (88.1, 84.6, 91.6)),
    ),
    ("lvos-v2", "val"): (
        ("J&F", *_GROUPS),
        (
            (75.3, 75.2, 81.8, 67.7, 76.4),
            (76.4, 77.1, 84.0, 67.5, 77.0),
            (75.8, 77.0, 83.4, 67.0, 75.6),
            (79.8, 80.0, 86.6, 71.6, 81.1),
        ),
    ),
    ("youtube-vos-2019", "valid"): (
        ("G", *_GROUPS),
        (
            (87.4, 85.5, 90.0, 83.0, 91.2),
            (87.5, 85.7, 90.1, 83.2, 91.2),
            (87.9, 86.2, 90.7, 83.2, 91.4),
            (88.6, 86.6, 91.3, 84.2, 92.2),
        ),
    ),
}
_README_ROWS: dict[tuple[str, str], _Columns] = {
    ("sa-v", "test"): (("J&F",), ((76.5,), (76.6,), (78.2,), (79.5,))),
    ("mose", "valid"): (("J&F",), ((71.8,), (73.5,), (73.7,), (74.6,))),
    ("lvos-v2", "val"): (("J&F",), ((77.3,), (78.3,), (78.2,), (80.6,))),
}
