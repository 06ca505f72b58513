"""Citations of docs/reference-model.md resolve; its tables agree with recorded shapes and configurations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

from masklet.config import CONFIGS

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
DOCUMENT = ROOT / "docs" / "reference-model.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
SHAPES: dict[str, dict[str, list[int]]] = json.loads((ROOT / "tests" / "parity" / "shapes.json").read_text())
TINY = SHAPES["sam2.1-tiny"]
BUFFER = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"

CITING = ("src", "tests", "docs", "scripts", "benchmarks", "tools", "examples")
RECORDS = (  # word for word as they were written, and data
    ROOT / "docs" / "log.md",
    ROOT / "docs" / "decisions",
    ROOT / "tests" / "corpus",
)
SUFFIXES = {".py", ".md", ".html", ".toml", ".yml", ".yaml", ".sh", ""}

PART = r'(?:§\d+(?:\.\d+)*|G\d+|"[^"]+")'
CITATION = re.compile(rf"reference-model((?:[\s,#]*{PART})+)")
OTHER_FORM = re.compile(r"\bspec\w*(?:'s)?[\s#]*(?:§|\d+\.\d)", re.IGNORECASE)


def sources() -> Iterator[Path]:
    """Every text file that may cite the document, itself and the records excepted."""
    files = [path for folder in CITING if (ROOT / folder).is_dir() for path in (ROOT / folder).rglob("*")]
    for path in sorted([*files, *ROOT.glob("*.md")]):
        record = any(path == one or one in path.parents for one in (DOCUMENT, *RECORDS))
        generated = any(
            part.startswith((".", "_")) and part != "__init__.py" for part in path.relative_to(ROOT).parts[:-1]
        )
        if path.is_file() and path.suffix in SUFFIXES and not record and not generated:
            yield path


def sections(text: str) -> dict[str, str]:
    """The text of each numbered section, its subsections included."""
    heads = [
        (m[1], len(m[0].split()[0]), m.start()) for m in re.finditer(r"^#{2,3} (\d+(?:\.\d+)*)\.? .*$", text, re.M)
    ]
    ends = [next((s for _, d, s in heads[k + 1 :] if d <= depth), len(text)) for k, (_, depth, _) in enumerate(heads)]
    return {number: text[start:end] for (number, _, start), end in zip(heads, ends, strict=True)}


def entries(section: str) -> list[str]:
    """The numbers of the entries of a table: G1, G2 …"""
    return re.findall(r"^\| (G\d+) \|", section, re.M)


def unresolved(citation: str, text: str = TEXT) -> list[str]:
    """The parts of a citation that `text` does not have: sections, entries, and words quoted from the last section."""
    known, missing, current = sections(text), [], ""
    for part in re.findall(PART, citation):
        if part.startswith("§"):
            current = known.get(part[1:], "")
            missing += [] if part[1:] in known else [part]
        elif part.startswith("G"):
            missing += [] if part in entries(known.get("12", "")) else [part]
        elif part.strip('"') not in current:
            missing.append(part)
    return missing


def rows(section: str) -> list[list[str]]:
    """The cells of all table rows of a section, headings included."""
    lines = [line for line in sections(TEXT)[section].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(cell: str) -> list[int]:
    """The whole numbers in a cell; commas between digits group thousands."""
    return [int(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*", cell)]


def test_every_citation_resolves() -> None:
    citations = [
        (str(path.relative_to(ROOT)), " ".join(match[0].split()))
        for path in sources()
        if path != Path(__file__).resolve()
        for match in CITATION.finditer(path.read_text(encoding="utf-8"))
    ]
    assert len(citations) >= 50, "the source cites the document in at least 50 places"
    assert [(name, citation, missing) for name, citation in citations if (missing := unresolved(citation))] == []


def test_every_section_sign_belongs_to_a_citation() -> None:
    stray = []
    for path in sources():
        if path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8")
        stray += [f"{path.relative_to(ROOT)}: {m[0]}" for m in OTHER_FORM.finditer(text)]
        rest = CITATION.sub("", text)
        stray += [f"{path.relative_to(ROOT)}: {line.strip()}" for line in rest.splitlines() if "§" in line]
    assert stray == []


def test_the_document_refers_to_its_own_sections_and_entries() -> None:
    references = re.findall(r"§\d+(?:\.\d+)*|(?<![\w.])G\d+\b", TEXT.replace("`reference-model §7.2`", ""))
    assert len(references) > 60
    assert [reference for reference in references if unresolved(reference)] == []


def test_sections_and_entries_are_numbered_in_order_and_once() -> None:
    found = [tuple(map(int, m.split("."))) for m in re.findall(r"^#{2,3} (\d+(?:\.\d+)*)", TEXT, re.M)]
    assert found == sorted(set(found))
    assert entries(sections(TEXT)["12"]) == [f"G{number}" for number in range(1, 54)]
    headings = re.findall(r"^#{2,} .*$", TEXT, re.M)
    assert [heading for heading in headings if not re.match(r"## \d+\. |### \d+\.\d+ ", heading)] == []


@pytest.mark.parametrize(
    ("citation", "missing"),
    [
        ("§7.2", []),
        ("§4, §5", []),
        ("§12, G19", []),
        ('§4, "LN2d"', []),
        ("§13", ["§13"]),
        ("§7.2, §7.99", ["§7.99"]),
        ("§12 G54", ["G54"]),
        ('§3, "LN2d normalizes over"', ['"LN2d normalizes over"']),
    ],
)
def test_a_citation_without_a_section_is_found(citation: str, missing: list[str]) -> None:
    match = CITATION.fullmatch(f"reference-model {citation}")
    assert match and unresolved(match[1]) == missing


def test_a_citation_may_continue_on_the_next_line_of_a_comment() -> None:
    match = CITATION.search("see reference-model §5.5,\n    # §12 G18)")
    assert match and re.findall(PART, match[1]) == ["§5.5", "§12", "G18"]


def test_numbers_of_parameters_and_entries_are_those_of_the_recorded_shapes() -> None:
    table = {cells[0].strip("`").removeprefix("facebook/"): cells for cells in rows("1.1")[1:]}
    assert len(table) == 8
    for name, shapes in SHAPES.items():
        if "micro" in name:
            continue
        release, size = name.split("-")
        cells = table[f"{release}-hiera-{size.replace('_', '-')}"]
        assert numbers(cells[2]) == [sum(prod(shape) for key, shape in shapes.items() if key != BUFFER)], name
        assert numbers(cells[3]) == [len(shapes)], name
        assert cells[1] == f"`{release}_hiera_{size}.pt`"


def test_the_table_of_sizes_is_that_of_the_configurations() -> None:
    table = {cells[0].split("`")[1] if "`" in cells[0] else cells[0]: cells[1:] for cells in rows("1.2")[:11]}
    for column, size in enumerate(("tiny", "small", "base-plus", "large")):
        for release in ("sam2", "sam2.1"):
            config = CONFIGS[f"{release}-{size}"]
            heads = [config.heads * 2**stage for stage in range(4)]
            expected = {
                "embed_dim": [config.width],
                "num_heads": [config.heads],
                "stages": [*config.stages],
                "global_att_blocks": [*config.global_blocks],
                "window_spec": [*config.windows],
                "window_pos_embed_bkg_spatial_size": [config.background] * 2,
                "depth": [config.depth],
                "widths of the stages": [*config.widths],
                "heads of the stages": heads,
                "channels per head": [config.width // config.heads],
            }
            for row, values in expected.items():
                cell = [int(number) for number in re.findall(r"\d+", table[row][column])]
                assert cell == values, (config.name, row)


def test_elements_per_group_are_those_of_the_recorded_shapes() -> None:
    counted: dict[str, int] = {}
    for key, shape in TINY.items():
        parts = key.split(".")
        group = ".".join(parts[:2]) if parts[0] == "image_encoder" else parts[0] if len(parts) > 1 else "other tensors"
        counted[group] = counted.get(group, 0) + prod(shape)
    stated = {cells[0].strip("`"): numbers(cells[1]) for cells in rows("9.1") if re.fullmatch(r"[\d,]+", cells[1])}
    assert stated == {group: [count] for group, count in counted.items()}


def test_the_listed_state_dict_is_the_recorded_one() -> None:
    listed = dict(listed_entries())
    assert set(listed) == set(TINY)
    assert {key: shape for key, shape in listed.items() if shape is not None and shape != TINY[key]} == {}
    assert sum(shape is not None for shape in listed.values()) > 150


@pytest.mark.parametrize(("column", "size"), [(1, "small"), (2, "base_plus"), (3, "large")])
def test_the_table_of_other_checkpoints_is_that_of_the_recorded_shapes(column: int, size: str) -> None:
    shapes, trunk = SHAPES[f"sam2.1-{size}"], "image_encoder.trunk."
    blocks = {int(key.split(".")[3]) for key in shapes if key.startswith(f"{trunk}blocks.")}
    elements = {
        name: sum(prod(shape) for key, shape in shapes.items() if key.startswith(f"image_encoder.{name}."))
        for name in ("trunk", "neck")
    }
    expected = {
        "`pos_embed`": shapes[f"{trunk}pos_embed"],
        "blocks": [len(blocks)],
        "blocks with `proj` (tiny: 1, 3, 10)": [k for k in blocks if f"{trunk}blocks.{k}.proj.weight" in shapes],
        "neck input channels, `convs.0` to `convs.3`": [
            shapes[f"image_encoder.neck.convs.{level}.conv.weight"][1] for level in range(4)
        ],
        "elements of the trunk": [elements["trunk"]],
        "elements of the neck": [elements["neck"]],
    }
    assert {cells[0]: numbers(cells[column]) for cells in rows("9.2")[1:]} == expected


def test_the_older_release_lacks_the_listed_entries() -> None:
    for size in ("tiny", "small", "base_plus", "large"):
        lacking = set(SHAPES[f"sam2.1-{size}"]) - set(SHAPES[f"sam2-{size}"])
        assert lacking == {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"}
    assert "lacks `no_obj_embed_spatial` and both entries of `obj_ptr_tpos_proj`" in sections(TEXT)["9.2"]


def listed_entries() -> Iterator[tuple[str, list[int] | None]]:
    """The keys that §9.1 lists, with their shapes; None for biases and for shapes that depend on the block."""
    for prefix, cell in (cells[:2] for cells in rows("9.1")[1:] if "(" in cells[1]):
        for name, single, shapes in re.findall(r"`([\w.{},]+)`(·?) ((?:\([^)]+\)(?:, )?)+)", cell):
            given = [shape_of(shape) for shape in re.findall(r"\(([^)]+)\)", shapes)]
            for start in expanded("" if prefix == "none" else prefix.strip("`") + "."):
                keys = expanded(name)
                for key, shape in zip(keys, given * len(keys) if len(given) == 1 else given, strict=True):
                    yield start + key + ("" if single else ".weight"), shape
                    if not single:
                        yield f"{start}{key}.bias", None


def shape_of(text: str) -> list[int] | None:
    """`256, 64` as numbers, or None where a letter stands for a width."""
    return None if "C" in text else [int(side) for side in text.split(",")]


def expanded(name: str) -> list[str]:
    """`norm{1,2}` and `layers.{0..3}` written out."""
    match = re.search(r"\{([^}]*)\}", name)
    if not match:
        return [name]
    first, _, last = match[1].partition("..")
    parts = [str(number) for number in range(int(first), int(last) + 1)] if last else match[1].split(",")
    return [one for part in parts for one in expanded(name[: match.start()] + part + name[match.end() :])]
