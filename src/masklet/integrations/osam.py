"""Model of osam, which labelme's AI polygon and AI mask run on.

    masklet.integrations.osam.register("sam2.1-small", replaces="sam2:latest")

adds the model to osam in this process. `python -m masklet.integrations.osam labelme FOLDER` does the same and starts
labelme. Needs osam: `pip install osam`, or labelme, which brings it.
"""

from __future__ import annotations

import argparse
import hashlib
import runpy
import sys
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.hub import find_or_pull
from masklet.config import EMBEDDED_MODEL
from masklet.errors import BackendError, MaskletError
from masklet.images import read_image
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.point_labels import make_prompt
from masklet.prompts import Prompt, click
from masklet.segmenter import Segmenter, load

try:
    import osam
except ModuleNotFoundError as missing:
    if missing.name != "osam":
        raise
    raise BackendError("backend-missing", "osam is not installed", hint="pip install osam") from missing

NAME = "masklet:latest"
_EMBEDDED_IMAGES = 3  # as many as labelme keeps
_ID_LENGTH = 12  # hexadecimal digits, as of osam's own models
_LICENSE = "https://www.apache.org/licenses/LICENSE-2.0"
_SOURCE = "https://pypi.org/project/masklet/"


class MaskletModel(osam.types.Model):  # type: ignore[misc]
    """A model of masklet as a model of osam. `register` makes the classes.

    The weights are read once in a process. The encodings of the last three images are kept, by their content, so that
    `encode_image` is not needed and raises, as that of osam's base class does.
    """

    name = NAME
    metadata = osam.types.ModelMetadata(
        license_name="Apache License 2.0", license_url=_LICENSE, source_url=_SOURCE, license_spdx="Apache-2.0"
    )
    _blobs: dict[str, Any] = {}  # noqa: RUF012
    _weights: Path

    def __init__(self) -> None:
        self._segmenter = _load(self._weights)
        self._embedded: OrderedDict[bytes, EmbeddedImage] = OrderedDict()

    @classmethod
    def pull(cls, progress: Any = None, cancel: Any = None, timeout: Any = None) -> None:
        """Do nothing: the weights are there since the model was registered."""

    @classmethod
    def remove(cls) -> None:
        """Do nothing: the weights belong to masklet. `masklet models` manages them."""

    @classmethod
    def get_id(cls) -> str:
        """Return a hash of the weights' path and time."""
        text = f"{cls._weights} {cls.get_modified_at()}"
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]

    @classmethod
    def get_size(cls) -> int:
        """Return the size of the weights in bytes."""
        return sum(path.stat().st_size for path in _list_files(cls._weights))

    @classmethod
    def get_modified_at(cls) -> float:
        """Return the time at which the weights were written, in seconds since 1970."""
        return max((path.stat().st_mtime for path in _list_files(cls._weights)), default=0.0)

    def generate(self, request: osam.types.GenerateRequest) -> osam.types.GenerateResponse:
        """Predict the mask of one object from points, a box or both.

        Args:
            request: `image` (H, W, 3) or (H, W, 4) RGB or (H, W) gray, and `prompt` with `points` and `point_labels`;
                without a prompt, the object in the middle of the image.

        Returns:
            One annotation with the box, the predicted IoU as score, and the mask of the box; none if the mask is empty.

        Raises:
            ValueError: There is no image, or the prompt has no points or is invalid.
        """
        if request.image is None:
            raise ValueError("masklet needs request.image; it takes no image_embedding")
        embedded = self._embed(request.image)
        masks = embedded.predict(_read_prompt(request.prompt, embedded.size))
        return osam.types.GenerateResponse(model=self.name, annotations=_annotate(masks))

    def _embed(self, image: NDArray[Any]) -> EmbeddedImage:
        key = hashlib.sha256(f"{image.shape} {image.dtype}".encode() + np.ascontiguousarray(image).tobytes()).digest()
        if key not in self._embedded:
            self._embedded[key] = self._segmenter.embed(read_image(image), warn=False)
        self._embedded.move_to_end(key)
        while len(self._embedded) > _EMBEDDED_IMAGES:
            self._embedded.popitem(last=False)
        return self._embedded[key]


def register(
    model: str | Path = EMBEDDED_MODEL, *, name: str = NAME, replaces: str | Sequence[str] = ()
) -> type[MaskletModel]:
    """Add a model to osam in this process.

    labelme offers a fixed list of names (docs/integrations/labelme.md), so there the model has to replace one of them.

    Args:
        model: What `masklet.load` takes.
        name: Name of the model in osam.
        replaces: Names of osam's models in whose place this model is also used, such as "sam2:latest".

    Returns:
        The registered class.

    Raises:
        MaskletError: See `masklet.load`.
    """
    kind: type[MaskletModel] = type("MaskletModel", (MaskletModel,), {"name": name, "_weights": find_or_pull(model)})
    others = [replaces] if isinstance(replaces, str) else list(replaces)
    kinds: list[type[MaskletModel]] = [kind, *(type(kind.__name__, (kind,), {"name": other}) for other in others)]
    names = {each.name for each in kinds}
    registered = osam.apis.registered_model_types
    registered[:] = [each for each in registered if each.name not in names] + kinds
    running = osam.apis.running_model
    if running is not None and running.name in names:
        osam.apis.running_model = None
    return kind


def main(arguments: Sequence[str] | None = None) -> None:
    """Register a model, and run a program that uses osam: `labelme` by default."""
    parser = argparse.ArgumentParser(
        prog="python -m masklet.integrations.osam",
        description="Run labelme, or another program that uses osam, with a model of masklet.",
    )
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="a model of masklet (default: %(default)s)")
    parser.add_argument(
        "--as",
        dest="replaces",
        action="append",
        metavar="NAME",
        help="a name of osam's list that the model takes; may be repeated (default: sam2:latest)",
    )
    parser.add_argument("program", nargs="?", default="labelme", help="a module to run (default: %(default)s)")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    options = parser.parse_args(arguments)
    try:
        register(options.model, replaces=options.replaces or ["sam2:latest"])
    except MaskletError as error:
        parser.exit(error.exit_status, f"{error}\n")
    sys.argv = [options.program, *options.rest]
    runpy.run_module(options.program, run_name="__main__", alter_sys=True)


@cache
def _load(weights: Path) -> Segmenter:
    return load(weights)


def _list_files(weights: Path) -> list[Path]:
    return [path for path in weights.rglob("*") if path.is_file()] if weights.is_dir() else [weights]


def _read_prompt(prompt: Any, size: tuple[int, int]) -> Prompt:
    if prompt is None:
        return click(size[1] / 2, size[0] / 2)
    if prompt.points is None or prompt.point_labels is None:
        raise ValueError("masklet needs points and point_labels; it has no text prompts")
    return make_prompt(prompt.points, prompt.point_labels)


def _annotate(masks: Masks) -> list[Any]:
    """Return the annotation of the first mask. The last row and column of osam's box belong to it."""
    mask = masks.binary[0]
    if not mask.any():
        return []
    x0, y0, x1, y1 = (int(edge) for edge in masks.boxes[0])
    box = osam.types.BoundingBox(xmin=x0, ymin=y0, xmax=x1 - 1, ymax=y1 - 1)
    score = float(np.clip(masks.scores[0], 0, 1))
    return [osam.types.Annotation(bounding_box=box, score=score, mask=np.ascontiguousarray(mask[y0:y1, x0:x1]))]


if __name__ == "__main__":
    main()
