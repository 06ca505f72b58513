"""Label configuration of a Label Studio project: its images, videos and labeling tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from masklet.errors import FormatError

MAX_CHARACTERS = 1 << 20
MAX_TAGS = 20_000
MAX_DEPTH = 100
IMAGE, VIDEO = "Image", "Video"
OUTPUT_TAGS = ("BrushLabels", "BitmaskLabels", "PolygonLabels", "RectangleLabels")
"""Tools that masks of images are written with, the most exact first."""


@dataclass(frozen=True, slots=True)
class Media:
    """An image or a video of the configuration.

    Attributes:
        tag: "Image" or "Video".
        name: Name by which tools refer to it.
        field: Field of a task's data with its address.
    """

    tag: str
    name: str
    field: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A labeling tool of the configuration.

    Attributes:
        tag: Its tag, such as "BrushLabels".
        name: Its name, the `from_name` of regions.
        to_name: Name of the media that it labels.
        labels: Its labels, in order.
    """

    tag: str
    name: str
    to_name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """The media and the tools of a configuration."""

    media: tuple[Media, ...]
    tools: tuple[Tool, ...]

    def find_media(self, tag: str, name: str | None = None) -> Media | None:
        """Return the media with a tag and, if it is given, a name; None if there is none."""
        return next((one for one in self.media if one.tag == tag and name in (None, one.name)), None)

    def find_tools(self, media: Media, *tags: str) -> list[Tool]:
        """Return the tools with one of some tags for a media, in the order of `tags`."""
        own = [tool for tool in self.tools if media.name in tool.to_name.split(",")]
        return [tool for tag in tags for tool in own if tool.tag == tag]

    def find_output(self, media: Media) -> Tool:
        """Return the tool that the masks of an image are written with.

        Raises:
            FormatError: `annotation-broken`. The configuration has none.
        """
        tools = self.find_tools(media, *OUTPUT_TAGS)
        if not tools:
            raise _error(f"no tool for the image {media.name!r} can hold a mask; add one of {', '.join(OUTPUT_TAGS)}")
        return tools[0]


def parse_label_config(text: str) -> LabelConfig:
    """Parse the XML of a label configuration.

    Raises:
        FormatError: `annotation-broken`. It is not XML, is too large, or declares a document type, whose entities
            could expand without bound.
    """
    if len(text) > MAX_CHARACTERS:
        raise _error(f"it has {len(text)} characters, over {MAX_CHARACTERS}")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as cause:
        raise _error(f"it is not XML: {cause}") from cause
    return builder.build()


class _Builder:
    """Parser state: the tags so far, and those that are open."""

    def __init__(self) -> None:
        self._media: list[Media] = []
        self._tools: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[list[str] | None] = []  # the labels of each open tag, if it is a tool
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the beginning of a tag."""
        self._count += 1
        if self._count > MAX_TAGS or len(self._open) >= MAX_DEPTH:
            raise _error(f"it has over {MAX_TAGS} tags, or tags in over {MAX_DEPTH} levels")
        labels: list[str] | None = None
        if tag in (IMAGE, VIDEO):
            self._media.append(Media(tag, attributes.get("name", ""), _read_field(attributes)))
        elif "toName" in attributes:
            labels = []
            self._tools.append((tag, attributes, labels))
        elif tag == "Label":
            owner = next((one for one in reversed(self._open) if one is not None), None)
            if owner is not None and "value" in attributes:
                owner.append(attributes["value"])
        self._open.append(labels)

    def end(self, tag: str) -> None:
        """Handle the end of a tag."""
        self._open.pop()

    def build(self) -> LabelConfig:
        """Return the configuration."""
        tools = [Tool(tag, attributes.get("name", ""), attributes["toName"], tuple(labels))
                 for tag, attributes, labels in self._tools]  # fmt: skip
        return LabelConfig(tuple(self._media), tuple(tools))


def _read_field(attributes: dict[str, str]) -> str:
    """Return the field of a task's data that `value="$image"` or `valueList="$images"` names."""
    return (attributes.get("value") or attributes.get("valueList") or "").strip().removeprefix("$")


def _refuse_document_type(*declaration: Any) -> None:
    raise _error("it declares a document type; leave out <!DOCTYPE …>")


def _error(message: str) -> FormatError:
    return FormatError("annotation-broken", f"the label configuration: {message}")
