"""What every backend promises, whatever runs below it: one suite over the fake one, PyTorch and onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet import Masks, Segmenter, box, click, clicks, mask
from masklet.backend import (
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
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from parity.inputs import frames
from support.fake_backend import FakeBackend
from support.networks import make_model

CLIP = frames(5, 90, 160, 3)
CLOSE = 1e-3  # of logits up to about 20, in float32, which a batch sums in another order


def made(runtime: str) -> Backend:
    """A small calm network on a runtime."""
    if runtime == "fake":
        return FakeBackend()
    wanted = make_model("sam2.1-micro", 64, calm=True)
    if runtime == "onnx":
        return onnx.build(wanted.config, wanted.tensors, input_size=wanted.input_size)
    pytest.importorskip("torch")
    from masklet.backends import torch

    return torch.build(wanted.config, wanted.tensors, device="cpu", input_size=wanted.input_size)


@pytest.fixture(scope="module", params=["fake", "torch", "onnx"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return made(request.param)


@pytest.fixture(scope="module")
def features(backend: Backend) -> Features:
    return backend.encode([CLIP[0]])[0]


@pytest.fixture(scope="module")
def seen(backend: Backend, features: Features) -> Features:
    return backend.attend(features, [Recall()])


def queries() -> list[Query]:
    """Different numbers of points, with and without a mask, ambiguous and not."""
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


def equal(backend: Backend, found: Decoded, wanted: Sequence[Decoded]) -> bool:
    """Whether a batch of answers is the same as one by one."""
    together, alone = backend.fetch([found]), backend.fetch(wanted)
    return all(np.abs(a - b).max() < CLOSE for a, b in zip(together, alone, strict=True))


def test_it_says_what_it_is(backend: Backend) -> None:
    assert backend.config.name == "sam2.1-micro"
    assert backend.input_size % 16 == 0 and backend.identity


def test_pictures_of_any_sizes_in_one_call_are_encoded_like_one_by_one(backend: Backend) -> None:
    pictures = [CLIP[0], CLIP[1][:40], CLIP[2][:, :30]]
    for one, picture in zip(backend.encode(pictures), pictures, strict=True):
        alone = backend.encode([picture])[0]
        answers = [backend.decode(backend.attend(given, [Recall()]), [NO_PROMPT]) for given in (one, alone)]
        assert equal(backend, answers[0], answers[1:])


def test_a_picture_is_never_changed(backend: Backend) -> None:
    picture = CLIP[0].copy()
    backend.encode([picture])
    assert np.array_equal(picture, CLIP[0])


def test_queries_in_one_call_are_answered_like_one_by_one(backend: Backend, seen: Features) -> None:
    asked = queries()
    assert equal(backend, backend.decode(seen, asked), [backend.decode(seen, [query]) for query in asked])


def test_more_queries_than_fit_a_batch_are_answered_in_order(backend: Backend, seen: Features) -> None:
    asked = queries() * 5
    assert equal(backend, backend.decode(seen, asked), [backend.decode(seen, [query]) for query in asked])


def test_the_same_call_twice_gives_the_same_bits(backend: Backend, seen: Features) -> None:
    first, second = (backend.fetch([backend.decode(seen, queries())]) for _ in range(2))
    assert first.logits.tobytes() == second.logits.tobytes()


def test_hidden_objects_have_no_mask_where_they_are_to_be_hidden(backend: Backend, seen: Features) -> None:
    shown, hidden = (backend.fetch([backend.decode(seen, queries(), hide=hide)]) for hide in (False, True))
    invisible = hidden.object_score <= 0
    assert (hidden.logits[invisible] == NO_OBJECT).all()
    assert (shown.logits != NO_OBJECT).all()


def test_candidates_come_three_by_three(backend: Backend, seen: Features) -> None:
    asked = queries()
    together = backend.fetch_candidates(backend.decode(seen, asked))
    alone = [backend.fetch_candidates(backend.decode(seen, [query])) for query in asked]
    assert len(together.logits) == len(together.iou) == len(together.object_score) == 3 * len(asked)
    assert np.abs(together.logits - np.concatenate([one.logits for one in alone])).max() < CLOSE


def test_the_best_candidate_is_what_an_ambiguous_query_is_answered(backend: Backend, seen: Features) -> None:
    decoded = backend.decode(seen, queries()[:1])
    candidates, answer = backend.fetch_candidates(decoded), backend.fetch([decoded])
    assert np.array_equal(candidates.logits[candidates.iou.argmax()], answer.logits[0])


def test_an_absent_object_is_hidden_everywhere(backend: Backend, seen: Features) -> None:
    decoded = backend.decode(seen, queries()[:1])
    answers = backend.fetch([decoded, None, decoded])
    assert answers.logits.shape == (3, backend.input_size // 4, backend.input_size // 4)
    assert (answers.logits[1] == NO_OBJECT).all() and answers.object_score[1] < 0
    assert np.array_equal(answers.logits[0], answers.logits[2])


def test_an_answer_is_refined_alike_as_it_is_and_as_it_was_fetched(backend: Backend, seen: Features) -> None:
    query = queries()[0]
    decoded = backend.decode(seen, [query])
    own, fetched = (query._replace(mask=mask) for mask in (decoded.logits, backend.fetch([decoded]).logits))
    refined = backend.decode(seen, [own])
    assert equal(backend, refined, [backend.decode(seen, [fetched])])
    assert not equal(backend, refined, [decoded])


def test_answers_are_finite_single_precision_on_the_host(backend: Backend, seen: Features) -> None:
    answers = backend.fetch([backend.decode(seen, queries())])
    assert all(isinstance(array, np.ndarray) and np.isfinite(array).all() for array in answers)
    assert answers.logits.dtype == np.float32


def adopted(backend: Backend, features: Features) -> list[Decoded]:
    """Two masks taken as given, together and alone: one of half the picture, one empty."""
    half = np.zeros((90, 160), bool)
    half[:, :80] = True
    empty = np.zeros((45, 80), bool)
    return [backend.use_masks(features, masks) for masks in ([half, empty], [half], [empty])]


def test_masks_are_adopted_together_as_alone(backend: Backend, features: Features) -> None:
    together, *alone = adopted(backend, features)
    assert equal(backend, together, alone)
    pointers = [np.concatenate([backend.store([one.pointer])[0] for one in ones]) for ones in ([together], alone)]
    assert np.abs(pointers[0] - pointers[1]).max() < CLOSE


def memories(backend: Backend, features: Features, seen: Features) -> list[NDArray[np.uint16]]:
    """What is kept of four objects that are memorized together, then of each alone."""
    decoded, prompted = backend.decode(seen, queries(), hide=True), [True, False, True, False]
    kept = backend.memorize(features, decoded, prompted)
    kept += [backend.memorize(features, decoded.at(k), prompted[k : k + 1])[0] for k in range(4)]
    return [backend.store(memory)[0].astype(np.int64) for memory in kept]


def test_objects_are_memorized_together_as_alone(backend: Backend, features: Features, seen: Features) -> None:
    found = memories(backend, features, seen)
    for together, alone in zip(found[:4], found[4:], strict=True):
        assert np.abs(together - alone).max() <= 1  # the last bit of what is stored


def views(backend: Backend, features: Features, recalls: Sequence[Recall]) -> list[NDArray[np.float32]]:
    """What is answered to objects with these memories, together, then alone."""
    together = backend.fetch([backend.decode(backend.attend(features, recalls), [NO_PROMPT] * len(recalls))]).logits
    alone = [backend.decode(backend.attend(features, [recall]), [NO_PROMPT]) for recall in recalls]
    return [together, backend.fetch(alone).logits]


def test_objects_see_by_their_own_memories_together_as_alone(
    backend: Backend, features: Features, seen: Features
) -> None:
    first, second = backend.memorize(features, backend.decode(seen, queries()[:2]), [True, False])
    recalls = [
        Recall(((6, first),), ((1, first),)),
        Recall(((6, second), (0, first)), ((2, second), (1, first), (3, first))),
        Recall(),
        Recall(((0, first),), ((1, first),)),
    ]
    together, alone = views(backend, features, recalls)
    assert np.abs(together - alone).max() < CLOSE
    assert all(np.abs(together[0] - together[other]).max() > 0 for other in (1, 2, 3))  # memories and slots matter


def test_more_objects_than_fit_a_batch_see_by_their_own_memories(
    backend: Backend, features: Features, seen: Features
) -> None:
    kept = backend.memorize(features, backend.decode(seen, queries()), [True] * 4) * 2
    together, alone = views(backend, features, [Recall(((6, one),), ((1, one),)) for one in kept])
    assert np.abs(together - alone).max() < CLOSE


def test_what_is_stored_comes_back_bit_for_bit(backend: Backend, features: Features, seen: Features) -> None:
    decoded = backend.decode(seen, queries())
    memory = backend.memorize(features, decoded, [True] * 4)[0]
    for kept in (memory, decoded[:4]):
        stored = backend.store(kept)
        again = backend.store(backend.restore(stored))
        assert [array.dtype for array in stored] == [array.dtype for array in again]
        assert [array.tobytes() for array in stored] == [array.tobytes() for array in again]


def close(a: Masks, b: Masks) -> bool:
    return bool(np.abs(a.low_res - b.low_res).max() < CLOSE)


def test_objects_with_memories_of_different_sizes_are_tracked_as_if_alone(backend: Backend) -> None:
    schedule = {0: {1: click(35, 30)}, 2: {2: box(80, 20, 120, 60)}, 3: {1: click(40, 35), 3: click(100, 70)}}
    together = Tracker(backend, CLIP)
    alone = {key: Tracker(backend, CLIP) for key in (1, 2, 3)}
    for frame in range(len(CLIP)):
        for key, prompt in schedule.get(frame, {}).items():
            together.prompt(frame, {key: prompt})
            alone[key].prompt(frame, {key: prompt})
        masks = together.step(frame)
        assert all(close(masks.of(key), alone[key].step(frame)) for key in together.object_ids)


def test_a_saved_session_goes_on_as_if_it_had_never_stopped(backend: Backend, tmp_path: Path) -> None:
    one = Tracker(backend, CLIP)
    one.prompt(0, {1: click(35, 30), 2: box(80, 20, 120, 60)})
    one.step(1)
    one.save(tmp_path / "session")
    other = read_session(tmp_path / "session", backend, CLIP)
    for frame in (2, 3):
        assert one.step(frame).low_res.tobytes() == other.step(frame).low_res.tobytes()


def test_a_picture_is_prompted_and_refined_through_the_public_path(backend: Backend) -> None:
    picture = Segmenter(backend).embed(CLIP[0])
    shape = np.zeros((90, 160), bool)
    shape[20:50, 30:90] = True
    first = picture.predict({4: clicks([(30, 40), (9, 9)], [1, 0]), 7: mask(shape)})
    refined = picture.predict({4: click(50, 40)}, refine=first.of(4))
    assert first.object_ids == (4, 7) and refined.object_ids == (4,)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_an_empty_mask_is_an_object_that_is_not_there(runtime: str) -> None:
    backend = made(runtime)
    _, half, empty = adopted(backend, backend.encode([CLIP[0]])[0])
    half_answer, empty_answer = backend.fetch([half]), backend.fetch([empty])
    assert ((half_answer.logits[0] > 0) == (np.arange(backend.input_size // 4) < backend.input_size // 8)).all()
    assert half_answer.object_score[0] > 0 > empty_answer.object_score[0]


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_memories_are_kept_in_half_precision(runtime: str) -> None:
    backend = made(runtime)
    features = backend.encode([CLIP[0]])[0]
    decoded = backend.decode(backend.attend(features, [Recall()]), [NO_PROMPT], hide=True)
    assert backend.store(backend.memorize(features, decoded, [False])[0])[0].dtype == np.uint16


def test_recalls_that_hold_as_much_are_one_batch_up_to_a_limit() -> None:
    none, some = Recall(), Recall(((6, Memory(None, None)),))
    assert group_recalls([none, some, none, some, some], 2) == [[0, 2], [1, 3], [4]]


def test_an_ambiguous_prompt_gets_the_best_of_three_and_its_pointer() -> None:
    iou = np.array([[0.9, 0.1, 0.8, 0.2]])
    assert choose_masks(iou, np.ones(1), [True]) == ([2], [2])


def test_a_stable_single_mask_is_kept() -> None:
    iou = np.array([[0.1, 0.1, 0.8, 0.2]])
    assert choose_masks(iou, np.array([0.98]), [False]) == ([0], [0])


def test_an_unstable_single_mask_is_replaced_but_keeps_its_pointer() -> None:
    iou = np.array([[0.9, 0.1, 0.8, 0.2]])
    assert choose_masks(iou, np.array([0.97]), [False]) == ([2], [0])
