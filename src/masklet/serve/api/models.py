"""Requests and responses of the API as pydantic models, from which the OpenAPI document is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.tracking.traversal import Direction

Output = Literal["rle", "polygons", "png", "none"]
_DATA_HELP = "Base64 of a JPEG, PNG, WebP, TIFF or BMP file, also as a `data:` URL."
_OUTPUT_HELP = "Form of the masks: COCO's compressed RLE, polygons, base64 of black-and-white PNG files, or none."


class _Request(BaseModel):
    """Fields that are not listed are refused, so that a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class Rle(_Request):
    """COCO's run-length encoding of a mask."""

    size: Annotated[tuple[int, int], Field(description="Height and width in pixels.")]
    counts: Annotated[str | list[int], Field(description="Compressed as text, or lengths of runs, column by column.")]


class ObjectPrompt(_Request):
    """Prompt of one object: points, a box, a mask, or points with one of these. Coordinates are pixels (x, y)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"points": [[230, 150], [60, 40]], "labels": [1, 0]}, {"box": [40, 20, 420, 290]}]
        },
    )

    id: Annotated[int | None, Field(description="Object id. By default the position in the list, from 1.")] = None
    points: Annotated[list[tuple[float, float]], Field(max_length=1000, description="Points (x, y).")] = []
    labels: Annotated[
        list[Literal[0, 1]] | None, Field(description="1 for points of the object, 0 for others. By default all 1.")
    ] = None
    box: Annotated[tuple[float, float, float, float] | None, Field(description="(x0, y0, x1, y1) at pixel edges.")] = (
        None
    )
    mask: Annotated[
        Rle | str | None, Field(description="A mask of the whole image: RLE, or base64 of an image file.")
    ] = None
    absent: Annotated[bool, Field(description="The object is not in this frame of a video.")] = False
    label: Annotated[str | None, Field(description="Name of the object's class.")] = None


class ImageRequest(_Request):
    """An image: its key, or its content."""

    image: Annotated[str | None, Field(description="Key of an image that was sent before.")] = None
    data: Annotated[str | None, Field(description=_DATA_HELP)] = None


class PredictRequest(ImageRequest):
    """Predict masks of prompted objects."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"image": "5f0c…", "objects": [{"points": [[230, 150]]}], "output": "rle"}],
        },
    )

    objects: Annotated[list[ObjectPrompt], Field(min_length=1, description="One prompt per object.")]
    multimask: Annotated[
        bool | None,
        Field(
            description="True: three masks of each object. False: one. Default: for a single point the best of three."
        ),
    ] = None
    output: Annotated[Output, Field(description=_OUTPUT_HELP)] = "rle"


class GenerateOptions(_Request):
    """Options of automatic mask generation, with the names and meaning of SAM 2's `SAM2AutomaticMaskGenerator`."""

    points_per_side: Annotated[int, Field(ge=1, le=128)] = 32
    pred_iou_thresh: Annotated[float | None, Field(ge=0, le=1)] = None
    stability_score_thresh: Annotated[float | None, Field(ge=0, le=1)] = None
    stability_score_offset: Annotated[float, Field(ge=0, le=100)] = 1.0
    box_nms_thresh: Annotated[float, Field(ge=0, le=1)] = 0.7
    crop_n_layers: Annotated[int, Field(ge=0, le=2)] = 0
    crop_nms_thresh: Annotated[float, Field(ge=0, le=1)] = 0.7
    crop_n_points_downscale_factor: Annotated[int, Field(ge=1, le=8)] = 1
    min_mask_region_area: Annotated[int, Field(ge=0)] = 0
    use_m2m: bool = False
    multimask_output: bool = True

    def to_options(self) -> MaskGeneratorOptions:
        """Return the options of the mask generator."""
        return MaskGeneratorOptions(**self.model_dump())


class GenerateRequest(ImageRequest):
    """Segment an image without prompts."""

    options: Annotated[GenerateOptions, Field(description="Options of the mask generator.")] = GenerateOptions()
    output: Annotated[Output, Field(description=_OUTPUT_HELP)] = "rle"


class OpenRequest(_Request):
    """A video that the server can read: a file or a folder of images below `--root`, or an allowed address."""

    path: Annotated[str | None, Field(description="Path relative to the folder of `--root`, with slashes.")] = None
    url: Annotated[str | None, Field(description="An address that begins with one of `--allow-url`.")] = None


class PromptRequest(_Request):
    """Prompt or correct objects on a frame of a video."""

    frame: Annotated[int, Field(ge=0, description="Number of the frame, from 0.")]
    objects: Annotated[list[ObjectPrompt], Field(min_length=1, description="One prompt per object.")]
    output: Annotated[Output, Field(description=_OUTPUT_HELP)] = "rle"


class PropagateRequest(_Request):
    """Track all objects of a session through frames."""

    start: Annotated[int | None, Field(ge=0, description="First frame. Default: 0.")] = None
    stop: Annotated[int | None, Field(ge=0, description="End of the range, exclusive. Default: the end.")] = None
    direction: Annotated[
        Direction,
        Field(description="From the first prompted frame on, from the last one back, or both ways from the first one."),
    ] = "forward"
    output: Annotated[Output, Field(description=_OUTPUT_HELP)] = "rle"


class ModelResponse(BaseModel):
    """The model of the server."""

    name: str
    identity: str
    runtime: str
    device: str
    dtype: str
    input_size: int
    zoom: float
    version: str


class ImageResponse(BaseModel):
    """An image that the server keeps while its budget allows."""

    image: Annotated[str, Field(description="Key of the image, for later requests.")]
    width: int
    height: int


class MaskResponse(BaseModel):
    """One mask. One of `rle`, `polygons` and `png` is there, as `output` says."""

    object: Annotated[int, Field(description="Object id; of automatic masks their position, from 1.")]
    label: str | None = None
    score: Annotated[float, Field(description="Predicted IoU.")]
    object_score: Annotated[float, Field(description="Logit; above 0 the object is visible.")]
    stability: Annotated[float | None, Field(description="Stability of an automatic mask, from 0 to 1.")] = None
    area: Annotated[int, Field(description="Number of pixels.")]
    box: Annotated[tuple[float, float, float, float], Field(description="(x0, y0, x1, y1) at pixel edges.")]
    rle: Rle | None = None
    polygons: Annotated[list[list[tuple[float, float]]] | None, Field(description="Outlines on pixel corners.")] = None
    png: Annotated[str | None, Field(description="Base64 of a PNG file, white where the object is.")] = None


class WarningResponse(BaseModel):
    """A reason why a mask may be wrong."""

    code: str
    object: int
    message: str


class MasksResponse(BaseModel):
    """Masks of an image."""

    image: str
    width: int
    height: int
    masks: list[MaskResponse]
    warnings: list[WarningResponse] = []


class SessionResponse(BaseModel):
    """A video session."""

    session: Annotated[str, Field(description="Id of the session, for later requests.")]
    frames: int
    width: int
    height: int
    objects: list[int]
    idle_s: Annotated[float, Field(description="Seconds without a request after which the session ends.")]


class FrameResponse(BaseModel):
    """Masks of all objects on a frame."""

    frame: int
    time: float | None = None
    width: int
    height: int
    masks: list[MaskResponse]
    warnings: list[WarningResponse] = []


class ProblemResponse(BaseModel):
    """Why a request was refused (RFC 9457), as `application/problem+json`."""

    title: str
    status: int
    code: Annotated[str, Field(description="Stable code; docs/serving.md lists them.")]
    detail: str
    retryable: Annotated[bool, Field(description="The same request may succeed later.")]
    errors: Annotated[
        list[dict[str, Any]], Field(description="Invalid fields: `pointer` (RFC 6901) and `detail`.")
    ] = []
