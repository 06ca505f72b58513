"""Segmenter: what must not change the masks of an image or a video, and which arguments are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import masklet
from masklet import AutoTrackOptions, EmbeddedImage, MaskGeneratorOptions, Masks, Segmenter, box, click, clicks, mask
from masklet.backend import MAX_POINTERS
from masklet.errors import InputNotFound, MaskletError, PromptError, ResourceError, SettingsError
from masklet.masks.rle_frame import encode_frame
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.tracking.tracker import Tracker
from masklet.video import open_video
from masklet.views.view_fields import view_of_zoom
from support.fake_backend import FakeBackend

torch = pytest.importorskip("torch")

SIZE = (90, 160)
CLOSE = 1e-4  # of logits up to about 20: float32 sums in another order


@pytest.fixture(scope="module")
def path(checkpoint: Callable[[str, int], Path]) -> Path:
    return checkpoint("sam2.1-micro", 5)


@pytest.fixture(scope="module")
def model(path: Path) -> Segmenter:
    # float64, where random networks do not amplify rounding into visible differences
    return masklet.load(path, device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def embedded(model: Segmenter) -> EmbeddedImage:
    return model.embed(image(1))


def image(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.random.RandomState(seed).randint(0, 256, (*size, 3), np.uint8)


def close(a: Masks, b: Masks) -> bool:
    return bool(np.abs(a.low_res - b.low_res).max() < CLOSE and np.abs(a.scores - b.scores).max() < CLOSE)


points = st.tuples(st.integers(0, SIZE[1]), st.integers(0, SIZE[0]))


def test_the_same_call_twice_gives_the_same_bits(model: Segmenter) -> None:
    first, second = (model.segment(image(2), click(30, 40)) for _ in range(2))
    assert first.low_res.tobytes() == second.low_res.tobytes()


def test_inputs_are_never_changed(model: Segmenter) -> None:
    pixels, marked = image(2), np.zeros(SIZE, bool)
    marked[20:50, 30:60] = True
    before = pixels.copy(), marked.copy()
    model.segment(pixels, mask(marked) + click(40, 30))
    assert np.array_equal(pixels, before[0])
    assert np.array_equal(marked, before[1])


def test_images_of_different_sizes_in_one_call_have_the_masks_of_separate_calls(model: Segmenter) -> None:
    images = [image(1), image(2, (40, 200)), image(3, (256, 256))]
    for together, alone in zip(model.embed(images), map(model.embed, images), strict=True):
        assert together.size == alone.size
        assert close(together.predict(click(9, 9)), alone.predict(click(9, 9)))


def test_no_images_have_no_embeddings(model: Segmenter) -> None:
    assert model.embed([]) == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(points, min_size=1, max_size=4), min_size=2, max_size=5))
def test_prompts_in_one_call_have_the_masks_of_separate_calls(
    embedded: EmbeddedImage, points_of: list[list[tuple[int, int]]]
) -> None:
    # they have different numbers of points: padding points of a batch must have no effect
    prompts = [clicks(one) for one in points_of]
    together = embedded.predict(prompts)
    for k, prompt in enumerate(prompts):
        assert close(together[k], embedded.predict(prompt))


def test_prompts_with_and_without_a_mask_in_one_call_have_the_masks_of_separate_calls(embedded: EmbeddedImage) -> None:
    marked = np.zeros(SIZE, bool)
    marked[20:50, 30:60] = True
    prompts = [mask(marked) + click(40, 30), click(40, 30)]
    together = embedded.predict(prompts, multimask=False)
    for k, prompt in enumerate(prompts):
        assert close(together[k], embedded.predict(prompt, multimask=False))


def test_a_mask_alone_is_a_prompt(embedded: EmbeddedImage) -> None:
    marked = np.zeros((45, 80), bool)  # of another size than the image: it covers the whole image
    marked[10:25, 15:30] = True
    assert len(embedded.predict(mask(marked))) == 1


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_the_order_of_objects_does_not_matter(embedded: EmbeddedImage, order: list[int]) -> None:
    prompts = {k: click(10 + 30 * k, 20 + 15 * k) for k in range(4)}
    straight = embedded.predict(prompts)
    mixed = embedded.predict({k: prompts[k] for k in order})
    for k in range(4):
        assert close(straight.of(k), mixed.of(k))


@settings(max_examples=10, deadline=None)
@given(points, points)
def test_a_box_is_its_two_labeled_corners(embedded: EmbeddedImage, a: tuple[int, int], b: tuple[int, int]) -> None:
    (x0, x1), (y0, y1) = sorted((a[0], b[0])), sorted((a[1], b[1]))
    if x0 == x1 or y0 == y1:
        return
    corners = masklet.Prompt(np.array([(x0, y0), (x1, y1)], np.float32), np.array([2, 3], np.int32))
    assert close(embedded.predict(box(x0, y0, x1, y1)), embedded.predict(corners))


@settings(max_examples=10, deadline=None)
@given(points, st.sampled_from([0.5, 2.0, 4.0]))
def test_prompts_scale_with_the_image(model: Segmenter, point: tuple[int, int], scale: float) -> None:
    flat = np.full((*SIZE, 3), 90, np.uint8)
    scaled = np.full((int(SIZE[0] * scale), int(SIZE[1] * scale), 3), 90, np.uint8)
    small, large = model.embed(flat), model.embed(scaled)
    assert close(small.predict(click(*point)), large.predict(click(point[0] * scale, point[1] * scale)))


def test_multimask_gives_three_masks_of_one_object(embedded: EmbeddedImage) -> None:
    masks = embedded.predict(click(30, 40), multimask=True)
    assert masks.object_ids == (1, 1, 1)
    assert masks.best.scores[0] == masks.scores.max()


def test_a_lone_click_is_ambiguous_and_gets_the_best_of_three(embedded: EmbeddedImage) -> None:
    assert close(embedded.predict(click(30, 40)), embedded.predict(click(30, 40), multimask=True).best)


def test_a_box_is_not_ambiguous(embedded: EmbeddedImage) -> None:
    prompt = box(10, 10, 90, 70)
    assert close(embedded.predict(prompt), embedded.predict(prompt, multimask=False))


def test_refining_starts_from_the_best_mask_of_each_object(embedded: EmbeddedImage) -> None:
    prompts = {3: click(30, 40), 8: click(90, 20)}
    first = embedded.predict(prompts, multimask=True)
    together = embedded.predict(prompts, refine=first, multimask=False)
    for key, prompt in prompts.items():
        assert close(together.of(key), embedded.predict(prompt, refine=first.of(key).best, multimask=False))


def test_refining_an_object_without_a_mask_is_refused(embedded: EmbeddedImage) -> None:
    first = embedded.predict({1: click(30, 40), 2: click(90, 20)})
    with pytest.raises(PromptError, match="no mask of object 3"):
        embedded.predict({1: click(1, 1), 3: click(1, 1)}, refine=first)
    with pytest.raises(PromptError, match="cannot also refine"):
        embedded.predict(mask(np.ones((90, 160), bool)) + click(1, 1), refine=first[0])


@pytest.mark.parametrize("input_size", [64, 96, 128, 160, 512])
def test_any_multiple_of_32_is_an_input_size(path: Path, input_size: int) -> None:
    model = masklet.load(path, device="cpu", input_size=input_size)
    masks = model.segment(image(1), click(30, 40))
    assert masks.low_res.shape == (1, input_size // 4, input_size // 4)
    assert masks.binary.shape == (1, *SIZE)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_every_number_format_gives_finite_masks(path: Path, dtype: str) -> None:
    masks = masklet.load(path, device="cpu", dtype=dtype).segment(image(1), click(30, 40))
    assert masks.low_res.dtype == np.float32
    assert np.isfinite(masks.low_res).all()


@pytest.mark.parametrize(
    ("keywords", "fault", "code"),
    [
        ({"input_size": 1000}, SettingsError, "bad-size"),
        ({"input_size": 8192}, SettingsError, "bad-size"),
        ({"dtype": "int8"}, SettingsError, "bad-dtype"),
        ({"device": "cuda:99"}, ResourceError, "device-unavailable"),
        ({"device": "toaster"}, ResourceError, "device-unavailable"),
    ],
)
def test_options_that_cannot_be_run_are_refused_when_loading(
    path: Path, keywords: dict[str, object], fault: type[MaskletError], code: str
) -> None:
    with pytest.raises(fault) as caught:
        masklet.load(path, **keywords)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_point_outside_the_image_is_refused(embedded: EmbeddedImage) -> None:
    with pytest.raises(PromptError, match="outside the image of 160 × 90"):
        embedded.predict(click(200, 20))


def test_no_prompt_is_refused(embedded: EmbeddedImage) -> None:
    with pytest.raises(PromptError, match="no prompt given"):
        embedded.predict([])


def test_weights_keep_their_identity_in_every_format(path: Path) -> None:
    identities = {masklet.load(path, device="cpu", dtype=dtype).backend.identity for dtype in ("float32", "float64")}
    assert len(identities) == 1


@pytest.fixture(scope="module")
def small(path: Path) -> Segmenter:
    return masklet.load(path, device="cpu", input_size=64)


def clip(count: int) -> NDArray[np.uint8]:
    return np.stack([np.roll(image(7), 3 * shift, axis=1) for shift in range(count)])


def test_a_video_is_tracked_from_its_prompt_to_its_end(small: Segmenter) -> None:
    found = list(small.track(clip(4), {5: box(20, 20, 70, 70)}))
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    assert all(frame.masks.object_ids == (5,) for frame in found)


def test_a_stream_has_the_masks_of_a_video_bit_for_bit(small: Segmenter) -> None:
    frames = clip(18)  # at least 16: in shorter clips, times of pointers are fractions of the length
    from_file = list(small.track(frames, box(20, 20, 70, 70)))
    streamed = list(small.track(iter(frames), box(20, 20, 70, 70)))
    assert len(from_file) == len(streamed) == 18
    for a, b in zip(from_file, streamed, strict=True):
        assert a.masks.low_res.tobytes() == b.masks.low_res.tobytes()


def test_both_directions_reach_every_frame_once(small: Segmenter) -> None:
    found = [frame.index for frame in small.track(clip(5), {2: {1: click(30, 40)}}, direction="both")]
    assert found == [2, 3, 4, 1, 0]


def test_a_range_is_that_of_python(small: Segmenter) -> None:
    assert [frame.index for frame in small.track(clip(6), click(30, 40), start=1, stop=4)] == [1, 2, 3]


def test_backward_tracks_from_the_prompt_to_the_start(small: Segmenter) -> None:
    found = small.track(clip(4), {2: {1: click(30, 40)}}, direction="backward")
    assert [frame.index for frame in found] == [2, 1, 0]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_frames_that_are_not_recalled_again_are_dropped_which_changes_no_mask(
    direction: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trackers: list[Tracker] = []
    before = Tracker.__init__
    monkeypatch.setattr(Tracker, "__init__", lambda self, *a, **k: (before(self, *a, **k), trackers.append(self))[0])
    frames = np.random.default_rng(0).integers(0, 256, (70, 8, 12, 3)).astype(np.uint8)
    start, prompted = 3, {30: {1: click(3, 3)}, 40: {2: box(1, 1, 6, 6)}}
    tracked = {}
    for frame in Segmenter(FakeBackend()).track(frames, prompted, direction=direction, start=start):
        tracked[frame.index] = frame.masks
        (tracker,) = trackers
        assert len(list(tracker.disk_cache)) <= 2 * 2 * 2 * MAX_POINTERS
    whole = Tracker(FakeBackend(), open_video(frames), length=len(frames))
    for index, prompts in prompted.items():
        whole.prompt(index, prompts)
    for index in tracked:
        sign = -1 if direction == "backward" or (direction == "both" and index < 30) else 1
        assert np.array_equal(whole.step(index, direction=sign).low_res, tracked[index].low_res)


CALLS: list[tuple[Callable[[Segmenter], object], str]] = [
    (lambda model: model.embed(image(1)).predict((230, 150)), "predict(click(230, 150))"),  # type: ignore[arg-type]
    (lambda model: model.embed(image(1)).predict([[9, 8]], [1]), "predict(click(9, 8))"),  # type: ignore[call-overload, call-arg, list-item]
    (lambda model: model.embed(image(1)).predict(point_coords=[[9, 8]], point_labels=[1]), "predict(click(9, 8))"),  # type: ignore[call-arg]
    (lambda model: model.embed(image(1)).predict(click(9, 8), refine="x"), "predict(click(230, 150), refine=masks)"),  # type: ignore[arg-type]
    (lambda model: model.segment(image(1), (9, 8)), "segment(image, click(9, 8))"),  # type: ignore[arg-type]
    (lambda model: model.segment(image(1), [[9, 8]], [1]), "segment(image, click(9, 8))"),  # type: ignore[call-arg, list-item]
    (lambda model: model.segment("nowhere.jpg", (9, 8)), "segment(image, click(9, 8))"),  # type: ignore[arg-type]
    (lambda model: model.track(clip(2), (9, 8)), "track(video, click(9, 8))"),  # type: ignore[arg-type]
    (lambda model: model.track(clip(2), [[9, 8]], [1]), "track(video, click(9, 8))"),  # type: ignore[call-arg, list-item]
    (lambda model: model.track(clip(2), {0: {5: (9, 8)}}), "track(video, {0: {5: click(9, 8)}})"),  # type: ignore[dict-item]
    (lambda model: model.track(clip(2), {0: (9, 8)}), "track(video, {0: click(9, 8)})"),  # type: ignore[dict-item]
    (lambda model: model.track(clip(2), {1: click(1, 1), 2: (9, 8)}), "track(video, {2: click(9, 8)})"),  # type: ignore[dict-item]
]


@pytest.mark.parametrize("zoom", [0.0, 2.0])
@pytest.mark.parametrize(("run", "call"), CALLS)
def test_common_mistakes_raise_an_error_with_the_correct_call(
    run: Callable[[Segmenter], object], call: str, zoom: float
) -> None:
    with pytest.raises(PromptError) as caught:
        run(Segmenter(FakeBackend(), view_of_zoom(zoom)))
    assert caught.value.code == "bad-prompt"
    assert str(caught.value).endswith(f"write {call}")
    assert "\n" not in str(caught.value)


def test_a_sequence_of_prompts_is_tracked_as_objects_1_and_2() -> None:
    model, listed = Segmenter(FakeBackend()), [click(30, 40), click(50, 40)]
    expected = [frame.masks.low_res.tobytes() for frame in model.track(clip(3), {1: listed[0], 2: listed[1]})]
    for prompts in (listed, {0: listed}, {0: {1: listed[0], 2: listed[1]}}, iter(listed)):
        found = list(model.track(clip(3), prompts))  # type: ignore[arg-type]
        assert [frame.masks.object_ids for frame in found] == [(1, 2)] * 3
        assert [frame.masks.low_res.tobytes() for frame in found] == expected


@pytest.mark.parametrize(
    ("call", "fault", "code"),
    [
        (lambda model: model.track("nowhere.mp4", click(1, 1)), InputNotFound, "input-not-found"),
        (lambda model: model.track(clip(3), click(1, 1), direction="up"), SettingsError, "bad-usage"),
        (lambda model: model.track(iter(clip(3)), click(1, 1), direction="up"), SettingsError, "bad-usage"),
        (lambda model: model.track(iter(clip(3)), click(1, 1), direction="both"), SettingsError, "bad-usage"),
        (lambda model: model.track(clip(3), click(1, 1), start=2, stop=1), SettingsError, "bad-usage"),
        (lambda model: model.track(clip(3), {5: {1: click(1, 1)}}), PromptError, "unknown-frame"),
        (lambda model: model.track(clip(3), {"a": {1: click(1, 1)}}), PromptError, "bad-prompt"),
        (lambda model: model.track(clip(3), {0: {1.5: click(1, 1)}}), PromptError, "bad-prompt"),
        (lambda model: model.track(clip(3), {0: {}}), PromptError, "bad-prompt"),
        (lambda model: model.track(clip(3), {}), PromptError, "bad-prompt"),
        (lambda model: model.track(clip(3), {2: {1: click(900, 1)}}), PromptError, "bad-prompt"),
        (lambda model: model.track(iter(clip(3)), {2: {1: click(900, 1)}}), PromptError, "bad-prompt"),
        (lambda model: model.auto_track("nowhere.mp4"), InputNotFound, "input-not-found"),
        (lambda model: model.auto_track(clip(3), MaskGeneratorOptions()), SettingsError, "bad-usage"),
        (lambda model: model.auto_track(clip(3), start=2, stop=1), SettingsError, "bad-usage"),
    ],
)
def test_arguments_are_checked_at_the_call(
    call: Callable[[Segmenter], object], fault: type[MaskletError], code: str
) -> None:
    backend = FakeBackend()
    with pytest.raises(fault) as caught:
        call(Segmenter(backend))
    assert caught.value.code == code
    assert backend.calls == []


def test_networks_run_when_the_iterator_is_advanced() -> None:
    backend = FakeBackend()
    frames = Segmenter(backend).track(clip(3), click(1, 1))
    assert backend.calls == []
    assert next(frames).index == 0
    assert backend.methods().count("encode") == 1


def test_the_repr_of_public_objects_is_one_line(small: Segmenter, tmp_path: Path) -> None:
    assert repr(small) == "Segmenter(sam2.1-micro, torch, cpu, float32, 64 px)"
    assert repr(small.backend) == "TorchBackend(sam2.1-micro, torch, cpu, float32, 64 px)"
    assert repr(small.embed(image(1))) == "EmbeddedImage(size=(90, 160))"
    tracked = next(small.track(clip(2), {5: box(20, 20, 70, 70)}))
    assert repr(tracked) == "TrackedFrame(index=0, time=None, masks=Masks(object_ids=[5], size=(90, 160)))"
    assert repr(encode_frame(tracked)) == "RleFrame(index=0, time=None, size=(90, 160), object_ids=[5])"
    video = open_video(clip(2))
    assert repr(video) == "ImageSequence('the array', size=(90, 160))"
    assert repr(next(iter(video))) == "Frame(index=0, time=None, size=(90, 160))"
    assert repr(open_video(iter(clip(2)))) == "ImageIterator('the iterator', size=(90, 160))"
    options = MaskGeneratorOptions(points_per_side=None, point_grids=(np.zeros((500, 2)),))
    assert repr(options) == "MaskGeneratorOptions(points_per_side=None, point_grids=[(500, 2)])"
    assert repr(AutoTrackOptions()) == (
        "AutoTrackOptions(mask_generator=MaskGeneratorOptions(), every=15, min_uncovered=0.5, patience=30, "
        "max_objects=64, detector=None, min_score=None, max_misses=None)"
    )
    assert repr(masklet.PostProcessing()) == (
        "PostProcessing(fill_holes=0, remove_islands=0, non_overlapping=False, in_memory=False)"
    )
    rle = {"size": [9, 9], "counts": "x" * 999}
    generated = GeneratedMask(rle, 7, (1, 2, 3, 4), 0.8765, 0.9, (1.0, 2.0), (0, 0, 9, 9))
    assert repr(generated) == "GeneratedMask(area=7, box=(1, 2, 3, 4), score=0.876, stability=0.9)"
    assert repr(GeneratedMasks((9, 9), (generated,) * 2)) == "GeneratedMasks(2 masks, size=(9, 9))"


def test_the_repr_of_a_model_on_onnxruntime_is_one_line() -> None:
    model = masklet.load(runtime="onnx", input_size=512, zoom=0)
    assert repr(model) == "Segmenter(nano, onnx, cpu, float32, 512 px)"
