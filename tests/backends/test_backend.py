"""The `Backend` protocol, tested with the same tests on the fake backend, PyTorch and onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet import Masks, Segmenter, box, click, clicks, mask
from masklet.backend import (
    IMAGE_MEAN,
    IMAGE_STD,
    NO_OBJECT,
    NO_PROMPT,
    Backend,
    Decoded,
    Features,
    Memory,
    Query,
    Recall,
    build_query,
    choose_masks,
    group_recalls,
)
from masklet.backends import onnx
from masklet.backends.onnx.arrays import from_bfloat16
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from parity.inputs import frames
from support.fake_backend import FakeBackend
from support.networks import make_model

CLIP = frames(5, 90, 160, 3)
TOLERANCE = 1e-3  # of float32 logits up to about 20, which a batch sums in another order


SIZES = {"sam2.1-micro": 64, "edgetam-micro": 128, "efficienttam-micro-1": 64, "efficienttam-micro-2": 64}


def make_backend(runtime: str, name: str = "sam2.1-micro") -> Backend:
    """Build a small calm network on a runtime."""
    if runtime == "fake":
        return FakeBackend()
    model = make_model(name, SIZES[name], calm=True)
    if runtime == "onnx":
        return onnx.build(model.config, model.tensors, input_size=model.input_size)
    pytest.importorskip("torch")
    from masklet.backends import torch

    return torch.build(model.config, model.tensors, device="cpu", input_size=model.input_size)


RUNTIMES = ["fake", *(f"{runtime} {name}" for name in SIZES for runtime in ("onnx", "torch"))]


@pytest.fixture(scope="module", params=RUNTIMES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return make_backend(*request.param.split())


@pytest.fixture(scope="module")
def features(backend: Backend) -> Features:
    return backend.encode([CLIP[0]])[0]


@pytest.fixture(scope="module")
def seen(backend: Backend, features: Features) -> Features:
    return backend.attend(features, [Recall()])


def queries() -> list[Query]:
    """Make queries with different numbers of points, with and without a mask, ambiguous and not."""
    shape = np.zeros((90, 160), bool)
    shape[20:50, 30:90] = True
    return [
        build_query(np.array([[0.2, 0.3]]), np.array([1], np.int32), ambiguous=True),
        build_query(np.array([[0.1, 0.2], [0.6, 0.7]]), np.array([2, 3], np.int32), ambiguous=False),
        build_query(
            np.array([[0.5, 0.5], [0.1, 0.9], [0.7, 0.2]]), np.array([1, 0, 1], np.int32), shape, ambiguous=False
        ),
        NO_PROMPT,
    ]


def equal(backend: Backend, found: Decoded, expected: Sequence[Decoded]) -> bool:
    """Return whether a batch of results is the same as the results one by one."""
    together, alone = backend.fetch([found]), backend.fetch(expected)
    return all(np.abs(a - b).max() < TOLERANCE for a, b in zip(together, alone, strict=True))


def test_it_has_a_configuration_an_input_size_and_an_identity(backend: Backend) -> None:
    assert backend.config.name in SIZES
    assert backend.input_size % 16 == 0 and backend.identity


def test_images_of_different_sizes_are_encoded_in_one_call_as_one_by_one(backend: Backend) -> None:
    images = [CLIP[0], CLIP[1][:40], CLIP[2][:, :30]]
    for together, image in zip(backend.encode(images), images, strict=True):
        alone = backend.encode([image])[0]
        results = [backend.decode(backend.attend(each, [Recall()]), [NO_PROMPT]) for each in (together, alone)]
        assert equal(backend, results[0], results[1:])


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_images_that_the_caller_normalized_are_encoded_as_others(runtime: str) -> None:
    backend = make_backend(runtime)
    squares = [image[:64, :64] for image in CLIP[:2]]
    normalized = ((np.stack(squares) / 255 - IMAGE_MEAN) / IMAGE_STD).transpose(0, 3, 1, 2).astype(np.float32)
    together = backend.store(backend.encode_normalized(*backend.restore([normalized])))
    for k, features in enumerate(backend.encode(squares)):
        for level, expected in zip(together, backend.store(features), strict=True):
            assert np.abs(level[k : k + 1] - expected).max() < TOLERANCE


def test_an_image_is_not_modified(backend: Backend) -> None:
    image = CLIP[0].copy()
    backend.encode([image])
    assert np.array_equal(image, CLIP[0])


def test_queries_are_decoded_in_one_call_as_one_by_one(backend: Backend, seen: Features) -> None:
    batch = queries()
    assert equal(backend, backend.decode(seen, batch), [backend.decode(seen, [query]) for query in batch])


def test_more_queries_than_a_batch_holds_are_decoded_in_order(backend: Backend, seen: Features) -> None:
    batch = queries() * 5
    assert equal(backend, backend.decode(seen, batch), [backend.decode(seen, [query]) for query in batch])


def test_the_same_call_twice_gives_the_same_bits(backend: Backend, seen: Features) -> None:
    first, second = (backend.fetch([backend.decode(seen, queries())]) for _ in range(2))
    assert first.logits.tobytes() == second.logits.tobytes()


def test_hide_removes_the_masks_of_hidden_objects(backend: Backend, seen: Features) -> None:
    shown, hidden = (backend.fetch([backend.decode(seen, queries(), hide=hide)]) for hide in (False, True))
    invisible = hidden.object_score <= 0
    assert (hidden.logits[invisible] == NO_OBJECT).all()
    assert (shown.logits != NO_OBJECT).all()


def test_three_candidates_are_fetched_per_object(backend: Backend, seen: Features) -> None:
    batch = queries()
    together = backend.fetch_candidates(backend.decode(seen, batch))
    alone = [backend.fetch_candidates(backend.decode(seen, [query])) for query in batch]
    assert len(together.logits) == len(together.iou) == len(together.object_score) == 3 * len(batch)
    assert np.abs(together.logits - np.concatenate([one.logits for one in alone])).max() < TOLERANCE


def test_an_ambiguous_query_gets_the_best_candidate(backend: Backend, seen: Features) -> None:
    decoded = backend.decode(seen, queries()[:1])
    candidates, chosen = backend.fetch_candidates(decoded), backend.fetch([decoded])
    assert np.array_equal(candidates.logits[candidates.iou.argmax()], chosen.logits[0])


def test_none_is_fetched_as_a_hidden_object(backend: Backend, seen: Features) -> None:
    decoded = backend.decode(seen, queries()[:1])
    predictions = backend.fetch([decoded, None, decoded])
    assert predictions.logits.shape == (3, backend.input_size // 4, backend.input_size // 4)
    assert (predictions.logits[1] == NO_OBJECT).all() and predictions.object_score[1] < 0
    assert np.array_equal(predictions.logits[0], predictions.logits[2])


def test_a_decoded_and_a_fetched_mask_are_refined_to_the_same_mask(backend: Backend, seen: Features) -> None:
    query = queries()[0]
    decoded = backend.decode(seen, [query])
    own, fetched = (query._replace(mask=mask) for mask in (decoded.logits, backend.fetch([decoded]).logits))
    refined = backend.decode(seen, [own])
    assert equal(backend, refined, [backend.decode(seen, [fetched])])
    assert not equal(backend, refined, [decoded])


def test_predictions_are_finite_float32_on_the_host(backend: Backend, seen: Features) -> None:
    predictions = backend.fetch([backend.decode(seen, queries())])
    assert all(isinstance(array, np.ndarray) and np.isfinite(array).all() for array in predictions)
    assert predictions.logits.dtype == np.float32


def use_given_masks(backend: Backend, features: Features) -> list[Decoded]:
    """Use two masks as given, together and alone: one of half the image, one empty."""
    half = np.zeros((90, 160), bool)
    half[:, :80] = True
    empty = np.zeros((45, 80), bool)
    return [backend.use_masks(features, masks) for masks in ([half, empty], [half], [empty])]


def test_masks_are_used_together_as_alone(backend: Backend, features: Features) -> None:
    together, *alone = use_given_masks(backend, features)
    assert equal(backend, together, alone)
    pointers = [np.concatenate([backend.store([one.pointer])[0] for one in ones]) for ones in ([together], alone)]
    assert np.abs(pointers[0] - pointers[1]).max() < TOLERANCE


def select_all(backend: Backend, decoded: Decoded, count: int) -> list[Decoded]:
    """Return the selected mask of each object alone."""
    return backend.select(decoded, [(row, None) for row in range(count)])


def test_any_candidate_can_be_selected(backend: Backend, features: Features, seen: Features) -> None:
    decoded = backend.decode(seen, queries(), hide=True)
    candidates = backend.fetch_candidates(decoded)
    picks = [(row, candidate) for row in range(4) for candidate in range(3)]
    selected = backend.fetch(backend.select(decoded, picks))
    assert all(np.array_equal(a, b) for a, b in zip(selected, candidates, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(
        backend.fetch(select_all(backend, decoded, 4)), backend.fetch([decoded]), strict=True))  # fmt: skip


def memorize_all(backend: Backend, features: Features, seen: Features) -> list[NDArray[np.float32]]:
    """Memorize four objects together, then each alone, and return the stored maps."""
    decoded, prompted = backend.decode(seen, queries(), hide=True), [True, False, True, False]
    alone = select_all(backend, decoded, 4)
    memories = backend.memorize(features, alone, prompted)
    memories += [backend.memorize(features, [alone[k]], prompted[k : k + 1])[0] for k in range(4)]
    return [from_bfloat16(backend.store(memory)[0]) for memory in memories]


def test_objects_are_memorized_together_as_alone(backend: Backend, features: Features, seen: Features) -> None:
    stored = memorize_all(backend, features, seen)
    for together, alone in zip(stored[:4], stored[4:], strict=True):
        np.testing.assert_allclose(
            together, alone, rtol=2**-7, atol=1e-5
        )  # the last bit of bfloat16, and more near zero


def decode_recalls(backend: Backend, features: Features, recalls: Sequence[Recall]) -> list[NDArray[np.float32]]:
    """Return the logits of objects with these memories, decoded together and alone."""
    together = backend.fetch([backend.decode(backend.attend(features, recalls), [NO_PROMPT] * len(recalls))]).logits
    alone = [backend.decode(backend.attend(features, [recall]), [NO_PROMPT]) for recall in recalls]
    return [together, backend.fetch(alone).logits]


def test_objects_attend_to_their_own_memories_together_as_alone(
    backend: Backend, features: Features, seen: Features
) -> None:
    first, second = backend.memorize(features, select_all(backend, backend.decode(seen, queries()), 2), [True, False])
    recalls = [
        Recall(((6, first),), ((1, first),)),
        Recall(((6, second), (0, first)), ((2, second), (1, first), (3, first))),
        Recall(),
        Recall(((0, first),), ((1, first),)),
    ]
    together, alone = decode_recalls(backend, features, recalls)
    assert np.abs(together - alone).max() < TOLERANCE
    assert all(np.abs(together[0] - together[other]).max() > 0 for other in (1, 2, 3))  # memories and slots matter


@pytest.fixture
def recall(backend: Backend, features: Features, seen: Features) -> Recall:
    """Memories of two frames and the pointers of three."""
    if backend.runtime == "fake":
        pytest.skip("the fake backend does not attend")
    first, second = backend.memorize(features, select_all(backend, backend.decode(seen, queries()), 2), [True, False])
    return Recall(((6, first), (0, second)), ((5, first), (1, second), (2, first)))


def test_recalls_with_scales_attend_among_others_as_alone(backend: Backend, features: Features, recall: Recall) -> None:
    ones, scaled = replace(recall, scales=((1, 1), (1, 1, 1))), replace(recall, scales=((0.1, 5), (5, 0.1, 3)))
    together, alone = decode_recalls(backend, features, [scaled, recall, ones, scaled])
    assert np.abs(together - alone).max() < TOLERANCE
    assert np.abs(together[2] - together[1]).max() < TOLERANCE
    assert np.abs(together[0] - together[1]).max() > 5 * TOLERANCE


def test_more_objects_than_a_batch_holds_attend_to_their_own_memories(
    backend: Backend, features: Features, seen: Features
) -> None:
    memories = backend.memorize(features, select_all(backend, backend.decode(seen, queries()), 4), [True] * 4) * 2
    recalls = [Recall(((6, memory),), ((1, memory),)) for memory in memories]
    together, alone = decode_recalls(backend, features, recalls)
    assert np.abs(together - alone).max() < TOLERANCE


def test_stored_arrays_are_restored_bit_for_bit(backend: Backend, features: Features, seen: Features) -> None:
    decoded = backend.decode(seen, queries())
    memory = backend.memorize(features, select_all(backend, decoded, 1), [True])[0]
    for arrays in (memory, decoded[:4]):
        stored = backend.store(arrays)
        again = backend.store(backend.restore(stored))
        assert [array.dtype for array in stored] == [array.dtype for array in again]
        assert [array.tobytes() for array in stored] == [array.tobytes() for array in again]


def are_close(a: Masks, b: Masks) -> bool:
    return bool(np.abs(a.low_res - b.low_res).max() < TOLERANCE)


def test_objects_with_different_numbers_of_memories_are_tracked_as_alone(backend: Backend) -> None:
    schedule = {0: {1: click(35, 30)}, 2: {2: box(80, 20, 120, 60)}, 3: {1: click(40, 35), 3: click(100, 70)}}
    together = Tracker(backend, CLIP)
    alone = {key: Tracker(backend, CLIP) for key in (1, 2, 3)}
    for frame in range(len(CLIP)):
        for key, prompt in schedule.get(frame, {}).items():
            together.prompt(frame, {key: prompt})
            alone[key].prompt(frame, {key: prompt})
        masks = together.step(frame)
        assert all(are_close(masks.of(key), alone[key].step(frame)) for key in together.object_ids)


def test_a_resumed_session_gives_the_same_masks_as_an_uninterrupted_one(backend: Backend, tmp_path: Path) -> None:
    one = Tracker(backend, CLIP)
    one.prompt(0, {1: click(35, 30), 2: box(80, 20, 120, 60)})
    one.step(1)
    one.save(tmp_path / "session")
    other = read_session(tmp_path / "session", backend, CLIP)
    for frame in (2, 3):
        assert one.step(frame).low_res.tobytes() == other.step(frame).low_res.tobytes()


def test_an_image_is_prompted_and_refined_through_the_public_api(backend: Backend) -> None:
    image = Segmenter(backend).embed(CLIP[0])
    shape = np.zeros((90, 160), bool)
    shape[20:50, 30:90] = True
    first = image.predict({4: clicks([(30, 40), (9, 9)], [1, 0]), 7: mask(shape)})
    refined = image.predict({4: click(50, 40)}, refine=first.of(4))
    assert first.object_ids == (4, 7) and refined.object_ids == (4,)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_an_empty_mask_is_a_hidden_object(runtime: str) -> None:
    backend = make_backend(runtime)
    _, half, empty = use_given_masks(backend, backend.encode([CLIP[0]])[0])
    half_mask, empty_mask = backend.fetch([half]), backend.fetch([empty])
    assert ((half_mask.logits[0] > 0) == (np.arange(backend.input_size // 4) < backend.input_size // 8)).all()
    assert half_mask.object_score[0] > 0 > empty_mask.object_score[0]


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_memories_are_stored_in_bfloat16(runtime: str) -> None:
    backend = make_backend(runtime)
    features = backend.encode([CLIP[0]])[0]
    decoded = backend.decode(backend.attend(features, [Recall()]), [NO_PROMPT], hide=True)
    assert backend.store(backend.memorize(features, select_all(backend, decoded, 1), [False])[0])[0].dtype == np.uint16


def test_recalls_of_equal_counts_form_batches_up_to_a_limit() -> None:
    none, some = Recall(), Recall(((6, Memory(None, None)),))
    assert group_recalls([none, some, none, some, some], 2) == [[0, 2], [1, 3], [4]]


def test_an_ambiguous_prompt_gets_the_best_of_three_and_its_pointer() -> None:
    iou = np.array([[0.9, 0.1, 0.8, 0.2]])
    assert choose_masks(iou, np.ones(1), [True]) == ([2], [2])


def test_a_stable_single_mask_is_chosen() -> None:
    iou = np.array([[0.1, 0.1, 0.8, 0.2]])
    assert choose_masks(iou, np.array([0.98]), [False]) == ([0], [0])


def test_an_unstable_single_mask_is_replaced_but_keeps_its_pointer() -> None:
    iou = np.array([[0.9, 0.1, 0.8, 0.2]])
    assert choose_masks(iou, np.array([0.97]), [False]) == ([2], [0])
