"""Demo in the browser: click on an image, and see the masks.

    pip install gradio masklet
    python examples/gradio_demo.py --model nano

Each visitor has an image and clicks of their own. The image is encoded once, when it is opened.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

import masklet

INCLUDE, EXCLUDE = "include", "exclude"
EXAMPLES = [[str(Path(__file__).parent / name)] for name in ("cat.jpg", "coffee.jpg", "rocket.jpg")]


@dataclass
class Session:
    """What one visitor sees: an encoded image, and the clicks on it as (object id, x, y, positive)."""

    image: np.ndarray
    embedded: masklet.EmbeddedImage
    clicks: list[tuple[int, float, float, bool]] = field(default_factory=list)

    def predict(self) -> masklet.Masks:
        """Predict one mask for each object that has a positive click."""
        prompts: dict[int, masklet.Prompt] = {}
        for object_id, x, y, positive in self.clicks:
            prompt = masklet.click(x, y, positive=positive)
            prompts[object_id] = prompts[object_id] + prompt if object_id in prompts else prompt
        prompts = {object_id: prompt for object_id, prompt in prompts.items() if prompt.marks_object}
        return self.embedded.predict(prompts) if prompts else masklet.Masks.empty(self.embedded.size)

    def show(self) -> tuple[np.ndarray, str]:
        """Draw the masks on the image, and list them."""
        masks = self.predict()
        rows = [
            f"| {object_id} | {area} | {score:.2f} |"
            for object_id, area, score in zip(masks.object_ids, masks.areas, masks.scores, strict=True)
        ]
        table = "\n".join(["| object | area in pixels | predicted IoU |", "|---|---|---|", *rows])
        return masks.overlay(self.image), table if rows else "Click on an object."


def build(model: masklet.Segmenter) -> gr.Blocks:
    """Build the page of the demo."""

    def start(image: np.ndarray | None) -> tuple[Session | None, np.ndarray | None, str]:
        if image is None:
            return None, None, "Open an image."
        session = Session(image, model.embed(image, warn=False))
        return session, *session.show()

    def click(session: Session | None, object_id: float, role: str, event: gr.SelectData) -> tuple[Any, Any, str]:
        if session is None:
            raise gr.Error("open an image first")
        x, y = event.index
        session.clicks.append((int(object_id), x + 0.5, y + 0.5, role == INCLUDE))  # the center of the pixel
        return session, *session.show()

    def undo(session: Session | None) -> tuple[Any, Any, str]:
        if session is None:
            return None, None, "Open an image."
        session.clicks = session.clicks[:-1]
        return session, *session.show()

    def save(session: Session | None) -> str:
        if session is None or not session.clicks:
            raise gr.Error("click on an object first")
        path = Path(tempfile.mkdtemp(), "masks.png")
        session.predict().save(path)
        return str(path)

    with gr.Blocks(title="masklet") as demo:
        session = gr.State()
        gr.Markdown("# masklet\nOpen an image, then click on an object in the image on the right.")
        with gr.Row():
            with gr.Column():
                image = gr.Image(label="Image", type="numpy", sources=["upload", "clipboard"], elem_id="image")
                gr.Examples(EXAMPLES, image)
            with gr.Column():
                shown = gr.Image(label="Masks", type="numpy", interactive=False, elem_id="masks")
                with gr.Row():
                    object_id = gr.Number(1, label="Object", minimum=1, precision=0)
                    role = gr.Radio([INCLUDE, EXCLUDE], value=INCLUDE, label="Click")
                with gr.Row():
                    undo_button = gr.Button("Undo")
                    save_button = gr.Button("Save masks")
                table = gr.Markdown("Open an image.", elem_id="table")
                file = gr.File(label="Label map", interactive=False, height=90, elem_id="file")
        outputs = [session, shown, table]
        image.change(start, image, outputs)
        shown.select(click, [session, object_id, role], outputs)
        undo_button.click(undo, session, outputs)
        save_button.click(save, session, file)
    return demo


def main() -> None:
    """Read the options, load the model and start the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano", help="a model that masklet.load() takes")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=7860)
    options = parser.parse_args()
    build(masklet.load(options.model)).launch(server_name=options.host, server_port=options.port)


if __name__ == "__main__":
    main()
