"""Reports as pages, tables and JSON, with plots, error images and provenance."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from masklet.errors import ResourceError
from masklet.evaluate.error_images import CORRECT_COLOR, EXTRA_COLOR, IMAGE_SIDE_PX, MISSED_COLOR, draw_comparison
from masklet.evaluate.plots import compute_ticks, draw_bar_plot, draw_line_plot
from masklet.evaluate.provenance import collect_model_facts, collect_run_facts
from masklet.evaluate.report import (
    CaptionedImage,
    Plot,
    Report,
    Table,
    format_count,
    render_html,
    render_json,
    render_markdown,
    write_report,
)
from masklet.prompts import box, click
from masklet.segmenter import Segmenter
from support.color_backend import ColorBackend


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (73.1, 84.1, [70, 75, 80, 85]),
        (0.2, 0.9, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (5, 5, [5, 6]),
        (0, 0, [0, 0.2]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, expected: list[float]) -> None:
    assert compute_ticks(low, high) == pytest.approx(expected)


def test_a_line_plot_is_well_formed_and_inside_its_frame() -> None:
    svg = draw_line_plot(
        {"a <b>": [(1, 20), (2, 80)], "c": [(1, 21), (2, 80.5)], "empty": []}, "clicks & more", "percent"
    )
    root = ElementTree.fromstring(svg)
    text = [element.text for element in root.iter() if element.text]
    assert "a <b>" in text and "clicks & more" in text and "empty" not in text
    dots = [(float(e.attrib["cx"]), float(e.attrib["cy"])) for e in root.iter() if e.tag.endswith("circle")]
    assert len(dots) == 4
    assert all(0 < x < 720 and 0 < y < 380 for x, y in dots)


def test_names_of_lines_that_end_together_do_not_cover_each_other() -> None:
    svg = draw_line_plot({name: [(1, 50.0 + k / 10), (2, 50.0 + k / 10)] for k, name in enumerate("abc")}, "x", "y")
    heights = sorted(float(y) for y, name in re.findall(r'y="([\d.]+)"[^>]*>([abc])<', svg))
    assert min(np.diff(heights)) >= 16


def test_bars_are_as_long_as_their_values() -> None:
    root = ElementTree.fromstring(draw_bar_plot({"half": 50, "all": 100, "nothing": 0, "x" * 60: 25}, "percent"))
    widths = [float(e.attrib["width"]) for e in root.iter() if e.tag.endswith("rect")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.1)
    assert widths[2] == 0


def test_the_page_escapes_its_texts_and_needs_no_other_file() -> None:
    report = Report(
        "A <b>",
        {"command": "masklet <script>"},
        [Table("T", ["a", "b"], [["<1>", "2"]], "note & more")],
        {},
        [Plot("P", draw_bar_plot({"a": 1}, "l"))],
        [CaptionedImage('say "hi"', b"jpeg")],
    )
    page = render_html(report)
    assert (
        "A &lt;b&gt;" in page and "masklet &lt;script&gt;" in page and "&lt;1&gt;" in page and "note &amp; more" in page
    )
    assert 'alt="say &quot;hi&quot;"' in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_markdown_tables_have_as_many_cells_as_their_header() -> None:
    text = render_markdown(Report("A", {"x": "1 | 2"}, [Table("T", ["a", "b", "c"], [["1", "2", "3"]])], {}))
    assert "| a | b | c |\n| --- | ---: | ---: |\n| 1 | 2 | 3 |" in text
    assert "1 \\| 2" in text


def test_markdown_has_no_html_links_or_images_of_names() -> None:
    name = "<img src=x onerror=alert(1)> ![a](http://b) `c` *d* | x_y_z\n# e &amp;"
    table = Table(name, [name, "b"], [[name, "2"]], name)
    text = render_markdown(Report(name, {"data": name}, [table], {}, subtitle=name))
    lines = [line for line in text.splitlines() if "onerror" in line]
    assert len(lines) == 7  # title, subtitle, fact, title, header, row, note
    for line in lines:
        assert "<" not in line and "](" not in line.replace("\\](", "") and " | x" not in line
        assert "&lt;img src=x onerror=alert(1)&gt;" in line and "&amp;amp;" in line
        assert "!\\[a\\]" in line and "\\`c\\`" in line and "\\*d\\*" in line and "x_y_z # e" in line


def test_a_report_starts_with_what_was_measured_the_model_and_the_date() -> None:
    report = Report("A", {"model": "tiny", "date": "today"}, [], {}, subtitle="1 clip")
    assert render_markdown(report).startswith("# A\n\n1 clip · tiny · today\n")
    assert "1 clip · tiny · today" in render_html(report)


def test_a_count_of_one_is_singular() -> None:
    assert [format_count(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]


def test_nan_is_refused_in_json() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        render_json(Report("A", {}, [], {"x": float("nan")}))


def test_a_report_is_written_to_three_files(tmp_path: Path) -> None:
    write_report(Report("A", {}, [], {"x": 1}), tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    assert json.loads((tmp_path / "new/folder/report.json").read_text())["x"] == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be made"):
        write_report(Report("A", {}, [], {}), tmp_path / "file" / "below")


def test_facts_name_the_command_the_code_the_weights_and_the_machine() -> None:
    facts = {**collect_run_facts(), **collect_model_facts(Segmenter(ColorBackend()), "mine.pt")}
    assert {"command", "code", "machine", "date", "model", "weights", "run on"} == set(facts)
    assert facts["weights"] == "colors"
    assert facts["model"] == "mine.pt (sam2.1-micro, 64 × 64 pixels)"
    assert facts["run on"] == "ColorBackend, cpu, float32"
    assert facts["code"].startswith("masklet ")
    assert all(facts.values())


def test_a_comparison_shows_correct_missed_and_extra_pixels_around_the_object() -> None:
    import cv2

    image = np.zeros((300, 400, 3), np.uint8)
    ground_truth, prediction = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    ground_truth[100:140, 100:140], prediction[100:140, 120:160] = True, True
    shown = cv2.imdecode(
        np.frombuffer(draw_comparison(image, ground_truth, prediction), np.uint8), cv2.IMREAD_COLOR_RGB
    )
    assert max(shown.shape) == IMAGE_SIDE_PX
    middle, third = shown.shape[0] // 2, IMAGE_SIDE_PX / 120  # the crop is 120 wide: 60 and a margin of 30 on each side
    colors = [shown[middle, round((30 + x) * third)].astype(int) for x in (10, 30, 50)]
    for color, expected in zip(colors, (MISSED_COLOR, CORRECT_COLOR, EXTRA_COLOR), strict=True):
        assert np.abs(color - 0.55 * np.array(expected)).max() < 12  # compressed


def test_prompts_are_drawn_at_their_position() -> None:
    import cv2

    image = np.full((100, 100, 3), 128, np.uint8)
    ground_truth = np.ones((100, 100), bool)
    drawn = draw_comparison(
        image, ground_truth, ground_truth, box(20, 20, 80, 80) + click(50, 50) + click(10, 90, positive=False)
    )
    shown = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR_RGB)
    at = IMAGE_SIDE_PX / 100
    assert shown[round(50.5 * at), round(50.5 * at)].min() > 230
    assert shown[round(90.5 * at), round(10.5 * at)].max() < 40
    assert shown[round(20.5 * at), round(50 * at)].min() > 200
