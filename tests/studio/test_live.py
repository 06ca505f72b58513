"""Live page: prompts on frames that were shown, the images for them, and the commands."""

from __future__ import annotations

import asyncio
from typing import Any

import cv2
import numpy as np
import pytest

from masklet.errors import MaskletError, PromptError
from masklet.masks.masks import Masks
from masklet.memory.policies import POLICIES
from masklet.prompts import click
from masklet.segmenter import Segmenter
from masklet.studio import live_prompts
from masklet.studio.live import MAX_OBJECTS, MAX_WIDTH, LiveCommands
from masklet.studio.live_prompts import LivePrompt, Removal, ShownImages, apply_prompt
from masklet.studio.messages import decode_runs
from support.color_backend import ColorBackend
from support.fake_backend import FakeBackend

SIZE = (48, 64)


def image_of(value: int = 40, left: int | None = None) -> np.ndarray:
    image = np.full((*SIZE, 3), value, np.uint8)
    if left is not None:
        image[10:30, left : left + 20] = 200
    return image


def test_the_latest_images_are_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_prompts, "MAX_IMAGES", 3)
    images = ShownImages()
    for number in range(6):
        images.add(number, image_of(number), held={1})
    assert [images.get(number)[0, 0, 0] for number in (1, 4, 5)] == [1, 4, 5]
    for number in (0, 2, 3, 6, -1):
        with pytest.raises(PromptError) as caught:
            images.get(number)
        assert caught.value.code == "unknown-frame"


def test_images_have_a_budget_of_bytes() -> None:
    images = ShownImages(max_bytes=2 * image_of().nbytes)
    for number in range(4):
        images.add(number, image_of(number))
    assert [*images._images] == [2, 3]
    images.add(4, np.zeros((480, 640, 3), np.uint8))
    assert [*images._images] == [4], "the latest image is always available"


def test_a_new_object_is_tracked_from_the_frame_that_was_shown() -> None:
    tracker = Segmenter(ColorBackend()).tracker()
    tracker.prompt(0, {1: click(1, 43)}, image_of(40, 4))
    for frame in range(1, 5):
        tracker.step(frame, image_of(40, 4 + frame))
    masks = apply_prompt(tracker, LivePrompt(2, 2, click(20, 20)), image_of(40, 6))
    assert masks.of(2).areas.tolist() == [400]
    later = tracker.step(5, image_of(40, 30))
    assert later.of(2).areas.tolist() == [400] and later.of(2).binary[0, 20, 40] and later.of(1).areas[0] > 2000


def test_a_correction_replaces_what_followed_from_the_wrong_mask() -> None:
    tracker = Segmenter(ColorBackend()).tracker()
    tracker.prompt(0, {1: click(20, 20), 2: click(20, 20)}, image_of(40, 4))
    for frame in range(1, 5):
        tracker.step(frame, image_of(40, 4 + frame))
    corrected = click(1, 43)
    apply_prompt(tracker, LivePrompt(3, 1, corrected), image_of(40, 7))
    assert [*tracker.tracks[1].frames] == [0, 1, 2, 3] and [*tracker.tracks[2].frames] == [0, 1, 2, 3, 4]
    masks = tracker.step(5, image_of(40, 9))
    assert masks.of(1).areas[0] > 2000 and masks.of(2).areas.tolist() == [400]


@pytest.mark.parametrize("memory", POLICIES)
def test_every_memory_policy_continues_after_a_correction(memory: str) -> None:
    tracker = Segmenter(FakeBackend(), memory=POLICIES[memory]()).tracker()
    tracker.prompt(0, {1: click(20, 20), 2: click(20, 20)}, image_of(40, 4))
    for frame in range(1, 30):
        tracker.step(frame, image_of(40, 4 + frame))
        if frame % 7 == 0:
            apply_prompt(tracker, LivePrompt(frame - 3, 1, click(1, 43)), image_of(40, 1 + frame))
    assert [frame for frame in tracker.tracks[1].frames if frame > 20] == [22, 23, 24, 25, 29]


def test_a_negative_click_needs_the_mask_that_it_corrects() -> None:
    tracker = Segmenter(ColorBackend()).tracker()
    tracker.prompt(0, {1: click(20, 20)}, image_of(40, 4))
    negative = click(1, 43, positive=False)
    apply_prompt(tracker, LivePrompt(0, 1, negative), image_of(40, 4))
    for prompt in (LivePrompt(0, 2, negative), LivePrompt(7, 1, negative)):
        with pytest.raises(PromptError, match="needs a positive click or a box"):
            apply_prompt(tracker, prompt, image_of(40, 4))
    assert tracker.object_ids == (1,)


class RecordedClient:
    """A client that records what it is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send_binary(self, header: Any, payload: bytes) -> None:
        """Record a binary message."""
        self.messages.append((header, payload))

    def send_event(self, event: Any) -> None:
        """Record an event."""
        self.messages.append(event)


def run(commands: LiveCommands, client: Any, command: str, **arguments: Any) -> Any:
    return asyncio.run(commands.handle(client, command, arguments))


def predict(
    commands: LiveCommands, client: Any = None, frame: int = 3, object_id: int | None = None, **given: Any
) -> Any:
    points = given.get("points", [[5, 5, 1]])
    return run(commands, client, "predict", frame=frame, object=object_id, points=points, box=given.get("box"))


def test_prompts_and_removals_come_in_order_and_once() -> None:
    commands = LiveCommands("camera 0", SIZE, {}, [4])
    assert predict(commands)["object"] == 5
    assert predict(commands, object_id=4, points=[], box=[1, 2, 30, 40])["object"] == 4
    assert predict(commands, object_id=5, points=[[5, 5, 1], [9, 9, 0]])["object"] == 5
    run(commands, None, "remove_objects", objects=[4, 4, 9])
    first, second, third = commands.take_actions()
    assert isinstance(first, LivePrompt) and first[:2] == (3, 4) and first.prompt.points.tolist() == [[1, 2], [30, 40]]
    assert isinstance(second, LivePrompt) and second[:2] == (3, 5) and second.prompt.labels.tolist() == [1, 0]
    assert third == Removal(4)
    assert commands.take_actions() == [] and not commands.is_stopped
    run(commands, None, "stop")
    assert commands.is_stopped


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"points": [[65, 5, 1]]}, "bad-prompt"),
        ({"points": [[5, 5, 2]]}, "bad-prompt"),
        ({"points": []}, "bad-prompt"),
        ({"points": [], "box": [9, 9, 3, 3]}, "bad-prompt"),
        ({"object_id": 7}, "unknown-object"),
        ({"frame": -1}, "bad-request"),
        ({"points": [[5, 5]]}, "bad-request"),
        ({"points": "all"}, "bad-request"),
        ({"points": [[5, 5, 1]] * 1001}, "bad-prompt"),
    ],
)
def test_a_wrong_prompt_is_refused(arguments: Any, code: str) -> None:
    commands = LiveCommands("camera 0", SIZE, {})
    with pytest.raises(MaskletError) as caught:
        predict(commands, **arguments)
    assert caught.value.code == code and commands.take_actions() == []


def test_the_number_of_objects_and_of_waiting_prompts_is_limited() -> None:
    commands = LiveCommands("camera 0", SIZE, {}, range(1, MAX_OBJECTS + 1))
    with pytest.raises(PromptError, match="256 objects"):
        predict(commands)
    for number in range(64):
        predict(commands, object_id=number + 1)
    with pytest.raises(PromptError, match="64 prompts wait"):
        predict(commands, object_id=100)
    predict(commands, object_id=64)  # replaces the one that waits
    assert len(commands.take_actions()) == 64


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(MaskletError, match="the commands are hello, hold, predict"):
        run(LiveCommands("camera 0", SIZE, {}), None, "export")


def test_frames_are_shown_with_their_masks_and_wide_ones_are_reduced() -> None:
    commands, client = LiveCommands("camera 0", (100, 2560), {}), RecordedClient()
    mask = np.zeros((100, 2560), bool)
    mask[20:60, 100:500] = True
    masks = Masks.from_binary(mask, object_ids=[7])
    image = np.full((100, 2560, 3), (250, 10, 20), np.uint8)
    commands.show(1, image, masks, {})
    assert commands._latest is None, "nothing is encoded without clients"
    commands.clients.add(client)  # type: ignore[arg-type]
    commands.show(2, image, masks, {"rate": 9.5})
    header, payload = client.messages[0]
    (shown,) = header.pop("masks")
    assert header == {"kind": "frame", "number": 2, "size": [50, MAX_WIDTH], "rate": 9.5}
    assert (shown["object"], shown["visible"], shown["color"]) == (7, True, "#f0e442")
    runs = payload[: 4 * shown["runs"]]
    assert decode_runs(runs, (50, MAX_WIDTH)).sum() == 20 * 200
    jpeg = cv2.imdecode(np.frombuffer(payload[len(runs) :], np.uint8), cv2.IMREAD_COLOR)
    assert jpeg.shape == (50, MAX_WIDTH, 3) and abs(jpeg.mean(axis=(0, 1)) - (20, 10, 250)).max() < 8
    late = RecordedClient()
    commands.connect(late)  # type: ignore[arg-type]
    assert late.messages == client.messages


def test_masks_of_a_prompted_frame_go_to_the_clients_that_hold_it() -> None:
    commands, holding, other = LiveCommands("camera 0", SIZE, {}), RecordedClient(), RecordedClient()
    run(commands, holding, "hold", frame=5)
    run(commands, other, "hold", frame=6)
    assert commands.held_frames == {5, 6}
    commands.show_prompted(5, Masks.from_binary(np.ones(SIZE, bool)))
    assert [header["kind"] for header, _ in holding.messages] == ["masks"] and not other.messages
    run(commands, holding, "hold", frame=None)
    commands.disconnect(other)  # type: ignore[arg-type]
    assert commands.held_frames == frozenset()
