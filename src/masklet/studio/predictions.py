"""Predictions of the studio: masks of the prompts in a project, their candidates, and previews."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from masklet.errors import MaskletError, MaskWarning, PromptError
from masklet.http.engine import Engine, Job, Priority
from masklet.masks.masks import Masks
from masklet.predict.mask_checks import check_mask, list_facts
from masklet.project.cells import Cell
from masklet.project.entries import PromptEntry, prompt_key
from masklet.project.project import ActionGroup, Project
from masklet.prompts import POSITIVE, click
from masklet.studio.displayed_masks import BinaryMessage, DisplayedMasks, reduce_size, resize_mask
from masklet.studio.embeddings import Embeddings
from masklet.studio.frames import BoundedCache
from masklet.studio.messages import encode_runs, pack_masks

_PREVIEW_SIDE_PX = 1024
_GIVEN_MASK_SIDE_PX = 2048  # to which a mask is reduced before it is refined; the network takes far fewer pixels
_MAX_PREDICTED_BYTES = 32 << 20


class Reports(NamedTuple):
    """What a prediction calls after its command was replied to.

    Attributes:
        error: Called with the error, if it fails.
        warning: Called with each reason why its mask may be wrong.
    """

    error: Callable[[MaskletError], object]
    warning: Callable[[MaskWarning], object]


class Target(NamedTuple):
    """An object on a frame."""

    medium: int
    object_id: int
    frame: int


class _Predicted(NamedTuple):
    """Masks and the prompt that they were predicted from."""

    masks: Masks
    prompt: PromptEntry


class _Request(NamedTuple):
    """A prompt whose mask is to be predicted.

    Attributes:
        target: The object and the frame.
        prompt: The prompt.
        group: The action that the mask becomes part of.
        cell: The cell when the prompt was saved.
        continues: Whether the prompt adds points to the one before, and changes nothing else.
        warn: Called with each reason why the mask may be wrong.
    """

    target: Target
    prompt: PromptEntry
    group: ActionGroup
    cell: Cell | None
    continues: bool
    warn: Callable[[MaskWarning], object]


class Predictions:
    """Predicts masks in the thread of the inference engine, and stores them in the project.

    A prediction starts from the mask that is shown if its prompt adds points to the prompt of that mask, or to a mask
    that was tracked, imported or painted. It is stored only if the user has changed neither prompt nor mask meanwhile.

    Args:
        project: The project.
        masks: Its masks as they are displayed.
        engine: The inference engine.
    """

    def __init__(self, project: Project, masks: DisplayedMasks, engine: Engine[Embeddings]) -> None:
        self._project, self._masks, self._engine = project, masks, engine
        self._predicted = BoundedCache[_Predicted](_MAX_PREDICTED_BYTES)  # by medium and number of the mask
        self._candidates = BoundedCache[_Predicted](_MAX_PREDICTED_BYTES)  # by target: three masks, the best first
        self._jobs: list[tuple[int, Job[Embeddings]]] = []  # with the medium

    def save(self, target: Target, prompt: PromptEntry, entries: dict[str, Any], reports: Reports) -> int:
        """Save a prompt, and predict its mask later, which becomes part of the same action.

        Args:
            target: The object and the frame.
            prompt: The prompt.
            entries: Entries to save with it, such as that of a new object.
            reports: Receives the error of the prediction, and its warnings.

        Returns:
            Number of the change.

        Raises:
            PromptError: A point lies outside the frame, or there are only negative points and no mask to refine.
            ResourceError: The log cannot be written.
        """
        with self._project.lock, ExitStack() as stack:
            document = self._project.document
            cell, continues = document.cell(*target), _continues(document.prompt(*target), prompt)
            prompt.to_prompt().normalize_points(document.medium(target.medium).size)
            if not _is_positive(prompt) and not (continues and cell is not None and cell.visible):
                message = "there is no mask that the negative points could refine; add a positive point or a box"
                raise PromptError("bad-prompt", message)
            group = stack.enter_context(self._project.group())
            saved = {**entries, prompt_key(*target): prompt.to_json()}
            step = self._project.act("prompt", saved, group=group)
            close_group = stack.pop_all().close

        def end(job: Job[Embeddings]) -> None:
            if job.error is not None:
                reports.error(job.error)
            close_group()

        request = _Request(target, prompt, group, cell, continues, reports.warning)
        slot = "predict", target
        job = self._engine.submit(
            Priority.PREDICTION, lambda model: self._predict(model, request), on_end=end, slot=slot
        )
        self._jobs = [*((medium, other) for medium, other in self._jobs if not other.has_ended), (target.medium, job)]
        return step.seq

    def wait(self, medium: int) -> None:
        """Return when the prompts of a medium that were saved have their masks, or the errors were reported."""
        for other, job in self._jobs:
            if other == medium:
                job.wait()

    def choose(self, target: Target, candidate: int, reports: Reports) -> int:
        """Choose one of the three masks of a lone click, and return the number of the change.

        Raises:
            PromptError: The object has no prompt of one click on the frame.
            ResourceError: The log cannot be written.
        """
        prompt = self._project.document.prompt(*target)
        if prompt is None or not _is_lone_click(prompt):
            message = f"object {target.object_id} has no prompt of one click on frame {target.frame}; click on it first"
            raise PromptError("bad-prompt", message)
        chosen = replace(prompt, candidate=candidate)
        found = self._candidates.get(target)
        if found is None or found.prompt.points != prompt.points:
            return self.save(target, chosen, {}, reports)
        cell = self._store(target, _Predicted(found.masks[candidate], chosen))
        return self._project.act("choose_candidate", {prompt_key(*target): chosen.to_json()}, {(*target,): cell}).seq

    def preview(
        self, model: Embeddings, medium: int, frame: int, point: tuple[float, float], turn: int
    ) -> BinaryMessage:
        """Predict a click, and return the message `preview`.

        Raises:
            PromptError: The point lies outside the frame.
        """
        prompt = click(*point)
        prompt.normalize_points(self._project.document.medium(medium).size)
        model.encode(medium, frame)
        masks = model.open_whole(medium, frame).predict(prompt)
        size = reduce_size(masks.size, _PREVIEW_SIDE_PX)
        reduced = Masks.from_logits(masks.low_res, size)
        header = {"kind": "preview", "medium": medium, "frame": frame, "turn": turn, "size": [*size]}
        return pack_masks(header, [({"score": _score(masks)}, encode_runs(reduced.binary[0]))])

    def _predict(self, model: Embeddings, request: _Request) -> None:
        """Predict and store the mask of a prompt."""
        if not self._is_current(request):
            return
        target, prompt = request.target, request.prompt
        base = self._find_base(request)
        if base is None and prompt.box is None and model.uses_whole_frames:
            model.encode(target.medium, target.frame)
        embedded = model.open(target.medium, target.frame)
        if base is None and _is_lone_click(prompt):
            three = embedded.predict(prompt.to_prompt(), multimask=True)
            three = three[np.argsort(-three.scores, kind="stable")]
            self._candidates.put(target, _Predicted(three, prompt), three.low_res.nbytes)
            masks = three[prompt.candidate or 0]
        else:
            masks = embedded.predict(prompt.to_prompt(), refine=base)
        if self._is_current(request):
            cell = self._store(target, _Predicted(masks, prompt))
            with self._project.lock:
                if not self._is_current(request):
                    return
                self._project.act("prompt", {}, {(*target,): cell}, group=request.group)
                warnings = [*self._check(target, _Predicted(masks, prompt))]
            for warning in warnings:
                request.warn(warning)

    def _check(self, target: Target, predicted: _Predicted) -> Iterator[MaskWarning]:
        """Yield the reasons why a mask may be wrong."""
        medium, masks = self._project.document.medium(target.medium), predicted.masks
        facts = next(list_facts(masks))._replace(object_id=target.object_id)
        frame = target.frame if medium.kind == "video" else None
        return check_mask(facts, masks.size, predicted.prompt.to_prompt(), frame)

    def _is_current(self, request: _Request) -> bool:
        """Return whether the user has not changed the prompt or the mask since the prompt was saved."""
        document, group = self._project.document, request.group
        now = document.cell(*request.target)
        is_edited = now != request.cell and now is not None and now.annotated and now.source != "prompt"
        return not group.undone and not is_edited and document.prompt(*request.target) == request.prompt

    def _find_base(self, request: _Request) -> Masks | None:
        """Return the mask from which a prediction starts."""
        cell, medium = self._project.document.cell(*request.target), request.target.medium
        if cell is None or cell.mask is None or not cell.visible:
            return None
        predicted = self._predicted.get((medium, cell.mask))
        if predicted is not None:
            return predicted.masks if _continues(predicted.prompt, request.prompt) else None
        if not request.continues:
            return None
        mask = self._project.masks(medium).read(cell.mask)
        size = mask.shape[0], mask.shape[1]
        reduced = resize_mask(mask, reduce_size(size, _GIVEN_MASK_SIDE_PX))
        return Masks.from_logits(Masks.from_binary(reduced).low_res, size)

    def _store(self, target: Target, predicted: _Predicted) -> Cell:
        """Store a mask in the file of the medium, and return its cell."""
        masks = predicted.masks
        number = self._masks.store(target.medium, masks[0].binary[0])  # a copy: `binary` is not to stay in memory
        self._predicted.put((target.medium, number), predicted, masks.low_res.nbytes)
        return Cell(number, _score(masks), "prompt")


def _score(masks: Masks) -> float:
    return float(1 - masks.uncertainty[0])


def _is_positive(prompt: PromptEntry) -> bool:
    return prompt.box is not None or any(label == POSITIVE for _, _, label in prompt.points)


def _is_lone_click(prompt: PromptEntry) -> bool:
    return prompt.box is None and len(prompt.points) == 1 and prompt.points[0][2] == POSITIVE


def _continues(previous: PromptEntry | None, prompt: PromptEntry) -> bool:
    """Return whether a prompt adds points to the one before and changes nothing else."""
    points, box = ((), None) if previous is None else (previous.points, previous.box)
    return box == prompt.box and len(prompt.points) > len(points) and prompt.points[: len(points)] == points
