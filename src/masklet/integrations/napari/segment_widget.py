"""SegmentWidget: the dock widget that segments the selected image layer and tracks through stacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    Container,
    Label,
    LineEdit,
    ProgressBar,
    PushButton,
    RadioButtons,
    SpinBox,
    create_widget,
)
from napari.layers import Image
from napari.qt.threading import create_worker
from napari.utils.notifications import show_warning

from masklet.config import EMBEDDED_MODEL
from masklet.errors import MaskletError
from masklet.integrations.napari.prompt_layers import EXCLUDE, INCLUDE, Prompts, set_defaults
from masklet.integrations.napari.segment_target import SegmentTarget
from masklet.masks.masks import Masks
from masklet.segmenter import Segmenter, load

if TYPE_CHECKING:
    from napari.viewer import Viewer

_DATA_ACTIONS = ("added", "removed", "changed")  # of a layer's event `data`, once the change is complete


class SegmentWidget(Container):  # type: ignore[misc]
    """Dock widget: prompts in points and shapes layers become masks in a labels layer, and are tracked through stacks.

    Masks are predicted in a worker thread, after each change of the prompts if "Predict after each change" is on.

    Args:
        napari_viewer: The viewer.
        model: The model. By default the one that the widget names is loaded.
    """

    def __init__(self, napari_viewer: Viewer, model: Segmenter | None = None) -> None:
        self._viewer, self._stop = napari_viewer, threading.Event()
        self._models: dict[str, Segmenter] = {} if model is None else {EMBEDDED_MODEL: model}
        self._targets: list[SegmentTarget] = []
        self._worker: Any = None
        self._running: SegmentTarget | None = None
        self._waiting = False  # whether prompts changed while the worker ran
        self._is_closed = False
        self.image = create_widget(label="Image", annotation=Image)
        self.model_name = LineEdit(label="Model", value=EMBEDDED_MODEL, tooltip="A model that masklet.load() takes")
        self.start = _button("Add prompt layers", self._start)
        self.object_id = SpinBox(label="Object", value=1, min=1, max=65535)
        self.role = RadioButtons(label="Click", choices=[INCLUDE, EXCLUDE], value=INCLUDE, orientation="horizontal")
        self.live = CheckBox(text="Predict after each change", value=True)
        self.predict = _button("Predict", lambda: self._run(track=False))
        self.track = _button("Track through the stack", lambda: self._run(track=True))
        self.paint = _button("Use painted labels of this frame", self._use_painted)
        self.cancel = _button("Cancel", self._stop.set)
        self.progress = ProgressBar(value=0, min=0, max=1)
        self.status = Label(value="")
        widgets = [self.image, self.model_name, self.start, self.object_id, self.role, self.live, self.predict,
                   self.paint, self.track, self.cancel, self.progress, self.status]  # fmt: skip
        super().__init__(widgets=widgets)
        self.cancel.enabled = False
        self.object_id.changed.connect(self._set_defaults)
        self.role.changed.connect(self._set_defaults)
        napari_viewer.layers.events.removed.connect(self._forget)
        self.native.destroyed.connect(self._close)

    @property
    def target(self) -> SegmentTarget | None:
        """The selected image layer with its layers; None before they are added."""
        return next((target for target in self._targets if target.image is self.image.value), None)

    @property
    def is_running(self) -> bool:
        """Whether a worker predicts or tracks."""
        return self._worker is not None

    def _start(self) -> None:
        """Add the layers of prompts and masks, or select the points layer if they exist."""
        if self.image.value is None:
            self._report("open an image first")
            return
        try:
            target = self.target or self._create_target()
        except MaskletError as error:
            self._report(str(error))
            return
        self._set_defaults()
        self._viewer.layers.selection.active = target.points
        target.points.mode = "add"
        self._report("click on an object, or draw a rectangle around it in the shapes layer", warn=False)

    def _create_target(self) -> SegmentTarget:
        target = SegmentTarget.create(self._viewer, self.image.value)
        self._targets.append(target)
        for layer in (target.points, target.shapes):
            layer.events.data.connect(self._on_prompts)
            layer.events.features.connect(self._on_prompts)
        return target

    def _set_defaults(self, _: Any = None) -> None:
        """Give the next click, shape and painted label the object and the role that are selected."""
        if self.target is not None:
            set_defaults(self.target.points, self.object_id.value, self.role.value)
            set_defaults(self.target.shapes, self.object_id.value)
            self.target.labels.selected_label = self.object_id.value

    def _on_prompts(self, event: Any) -> None:
        if self.live.value and str(getattr(event, "action", "changed")) in _DATA_ACTIONS:
            self._run(track=False)

    def _use_painted(self) -> None:
        """Take what the labels layer shows of the selected object on the current frame as its prompt."""
        if self.target is not None:
            position = self.target.image.world_to_data(self._viewer.dims.point[-self.target.image.ndim :])
            frame = round(position[0]) if self.target.image.ndim == 3 else 0
            self.target.use_painted(frame, self.object_id.value)
            self._run(track=False)

    def _run(self, *, track: bool) -> None:
        """Start a worker. While one runs, changed prompts wait for its end."""
        target = self.target
        if target is None:
            self._report("add prompt layers first")
            return
        if self.is_running:
            self._waiting = True
            return
        try:
            prompts = target.read_prompts()
        except MaskletError as error:
            self._report(str(error))
            return
        self._stop.clear()
        self._running, self._waiting = target, False
        self.progress.max = len(target.labels.data) if track and target.image.ndim == 3 else 1
        self.progress.value = 0
        self.cancel.enabled, self.track.enabled = True, False
        self._report("tracking …" if track else "predicting …", warn=False)
        self._worker = create_worker(
            self._work,
            target,
            prompts,
            self.model_name.value.strip() or EMBEDDED_MODEL,
            track=track,
            _start_thread=False,
            _connect={"yielded": self._show, "finished": self._finish},
        )
        self._worker.start()

    def _work(
        self, target: SegmentTarget, prompts: Prompts, name: str, *, track: bool
    ) -> Iterator[tuple[int, Masks] | MaskletError]:
        """Load the model if necessary, and run it. This runs in the worker's thread. The last item may be an error."""
        try:
            if name not in self._models:
                self._models[name] = load(name)
            yield from target.run(self._models[name], prompts, self._stop.is_set, track=track)
        except MaskletError as error:  # a worker takes a RuntimeError, which some are, for its own end
            yield error

    def _show(self, result: tuple[int, Masks] | MaskletError) -> None:
        if self._is_closed or self._running is None:
            return
        if isinstance(result, MaskletError):
            self._report(str(result))
        else:
            self._running.write(*result)
            self.progress.value = min(self.progress.value + 1, self.progress.max)

    def _finish(self) -> None:
        target, self._worker, self._running = self._running, None, None
        if self._is_closed or target is None:
            return
        target.erase_removed()
        self.cancel.enabled, self.track.enabled = False, True
        if self.status.value.endswith("…"):
            self._report("cancelled" if self._stop.is_set() else "done", warn=False)
        if self._waiting:
            self._run(track=False)

    def _forget(self, event: Any) -> None:
        """Stop and forget the target of a layer that is removed from the viewer."""
        for target in [target for target in self._targets if event.value in target.layers]:
            self._targets.remove(target)
            if target is self._running:
                self._stop.set()

    def _close(self) -> None:
        """Stop when the dock widget is destroyed; what the worker still yields is dropped."""
        self._is_closed = True
        self._stop.set()

    def _report(self, message: str, *, warn: bool = True) -> None:
        self.status.value = message
        if warn:
            show_warning(message)


def _button(text: str, run: Callable[[], object]) -> PushButton:
    button = PushButton(text=text)
    button.changed.connect(lambda: run())
    return button
