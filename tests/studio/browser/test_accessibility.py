"""Every control of the page has an accessible name, and text has contrast, in the light and the dark theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect

pytestmark = pytest.mark.slow

Open = Callable[..., tuple[StudioProcess, StudioPage]]
CONTROLS = ("button", "textbox", "searchbox", "checkbox", "radio", "slider", "combobox", "spinbutton", "option", "link")
CONTRAST = """
() => {
  const parse = (text) => {
    const values = (text.match(/[\\d.]+(?:e-?\\d+)?/g) || []).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [values[0] * scale, values[1] * scale, values[2] * scale, values[3] ?? 1];
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
  const backgroundOf = (element) => {
    const layers = [];
    for (let node = element; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({visibilityProperty: true})) continue;
    if (element.closest(":disabled, [aria-hidden=true], .visually-hidden, .skip, script, noscript, option")) continue;
    const background = backgroundOf(element);
    const style = getComputedStyle(element);
    const color = over(parse(style.color), background);
    const [a, b] = [luminance(color), luminance(background)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < least) low.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return low;
}
"""


def list_unnamed(page: Any) -> list[str]:
    """Return the controls without a name in the browser's accessibility tree."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    controls = [node for node in nodes if not node["ignored"] and node.get("role", {}).get("value") in CONTROLS]
    assert controls
    return [str(node) for node in controls if not node.get("name", {}).get("value")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_and_contrast(open_studio: Open, scheme: str) -> None:
    _, window = open_studio(EXAMPLES / "car.mp4", EXAMPLES / "cat.jpg", color_scheme=scheme)
    page = window.page

    def check() -> None:
        assert list_unnamed(page) == []
        assert page.evaluate(CONTRAST) == []

    window.open("car.mp4")
    window.button("Add a class").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("car")
    dialog.get_by_label("Attributes").fill("color")
    check()
    window.press("Enter")
    expect(dialog).to_have_count(0)
    window.click(145, 212, (384, 384))
    expect(window.mask()).to_contain_text("prompted, score")
    check()
    for key in ("b", "g", "v", "p"):
        window.press(key)
        check()
    for name in ("Export", "Import annotations", "Statistics", "Shortcuts"):
        window.button(name).click()
        expect(dialog).to_be_visible()
        check()
        window.press("Escape")
        expect(dialog).to_have_count(0)
    window.press("u", "Control+Enter")
    check()
