"""What every runtime must do, over each of them: the contract of `Backend`, in shapes and in equalities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import masklet
from fakes import FakeBackend
from masklet.backend import NO_OBJECT, NO_PROMPT, Backend, Decoded, ask
from masklet.memory import Memory, Recall
from masklet.prompts import absent
from parity.inputs import frames

ONE, OTHER = frames(2, 48, 64, 3)
CLICK = ask(np.array([[0.3, 0.4]]), np.array([1], np.int32), ambiguous=True)
BOX = ask(np.array([[0.2, 0.2], [0.7, 0.8]]), np.array([2, 3], np.int32), ambiguous=False)
CLOSE = 1e-4  # of objects in a batch to the same objects one by one


@pytest.fixture(scope="module", params=["fake", "torch", "onnx"])
def backend(request: pytest.FixtureRequest, checkpoint: Callable[[str, int], Path]) -> Backend:
    if request.param == "fake":
        return FakeBackend()
    pytest.importorskip("torch")
    return masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", size=64, runtime=request.param).backend


def close(one: Any, other: Any) -> bool:
    return bool(np.allclose(np.asarray(one, np.float64), np.asarray(other, np.float64), atol=CLOSE, rtol=CLOSE))


def seen(backend: Backend, count: int = 2) -> Any:
    """A picture as `count` new objects see it."""
    return backend.attend(backend.encode([ONE])[0], [Recall()] * count)


def remembered(backend: Backend) -> list[Memory]:
    features = backend.encode([ONE])[0]
    return backend.memorize(features, backend.decode(seen(backend), [CLICK, BOX]), [True, True])


def test_pictures_in_one_call_are_encoded_like_one_by_one(backend: Backend) -> None:
    together, alone = backend.encode([ONE, OTHER]), [backend.encode([image])[0] for image in (ONE, OTHER)]
    assert len(together) == 2
    for one, other in zip(together, alone, strict=True):
        assert all(close(a, b) for a, b in zip(one, other, strict=True))


def test_objects_in_one_call_attend_like_one_by_one(backend: Backend) -> None:
    first, second = remembered(backend)
    recalls = [
        Recall(((6, first),), ((1, first),)),
        Recall(((6, second), (0, first)), ((2, second), (1, first), (3, first))),
        Recall(((6, second),), ((4, second),)),
    ]
    features = backend.encode([OTHER])[0]
    together = np.asarray(backend.attend(features, recalls).stride16)
    assert len(together) == 3
    for row, recall in enumerate(recalls):
        assert close(together[row : row + 1], backend.attend(features, [recall]).stride16)


def test_what_is_recalled_changes_what_is_seen(backend: Backend) -> None:
    memory = remembered(backend)[0]
    features = backend.encode([OTHER])[0]
    views = [backend.attend(features, [Recall(((slot, memory),), ((1, memory),))]).stride16 for slot in (6, 0)]
    views.append(backend.attend(features, [Recall()]).stride16)
    assert not close(views[0], views[1]) and not close(views[0], views[2])


def test_queries_in_one_call_are_answered_like_one_by_one(backend: Backend) -> None:
    queries = [CLICK, BOX, NO_PROMPT]
    together = backend.decode(seen(backend, 3), queries)
    assert [len(part) for part in together[:4]] == [3, 3, 3, 3] and together.candidates is not None
    for row, query in enumerate(queries):
        alone = backend.decode(seen(backend, 1), [query])
        assert all(close(a, b) for a, b in zip(together.at(row)[:4], alone[:4], strict=True))


def test_hidden_objects_have_no_mask_when_asked(backend: Backend) -> None:
    plain, hidden = (backend.decode(seen(backend, 3), [CLICK, BOX, NO_PROMPT], hide=hide) for hide in (False, True))
    for row in range(3):
        logits = np.asarray(hidden.logits)[row]
        visible = np.asarray(hidden.object_score)[row, 0] > 0
        assert (logits == NO_OBJECT).all() != visible
    assert not (np.asarray(plain.logits) == NO_OBJECT).any()


def test_a_mask_that_is_adopted_is_there_if_it_is_not_empty(backend: Backend) -> None:
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:40] = True
    features = backend.encode([ONE])[0]
    found = [backend.fetch([backend.adopt(features, [one])]) for one in (mask, mask[::2, ::2])]
    for answers in found:
        assert answers.iou.tolist() == [1] and answers.object_score[0] > 0
    assert backend.adopt(features, [mask]).candidates is None
    if not isinstance(backend, FakeBackend):
        nothing = backend.fetch([backend.adopt(features, [absent().mask])])  # type: ignore[list-item]
        assert nothing.object_score[0] < 0 and (nothing.logits < 0).all()


def test_objects_in_one_call_are_memorized_like_one_by_one(backend: Backend) -> None:
    features = backend.encode([ONE])[0]
    decoded = backend.decode(seen(backend), [CLICK, BOX])
    together = backend.memorize(features, decoded, [True, False])
    assert len(together) == 2
    for row, prompted in enumerate((True, False)):
        (alone,) = backend.memorize(features, decoded.at(row), [prompted])
        for a, b in zip(backend.store(together[row]), backend.store(alone), strict=True):
            assert a.shape == b.shape and a.shape[0] == 1


def test_answers_come_up_as_numpy_and_none_is_an_object_that_is_not_there(backend: Backend) -> None:
    decoded = backend.decode(seen(backend), [CLICK, BOX])
    answers = backend.fetch([decoded.at(1), None, decoded.at(0)])
    assert all(isinstance(part, np.ndarray) and len(part) == 3 for part in answers)
    assert answers.logits.ndim == 3 and (answers.logits[1] == NO_OBJECT).all() and answers.object_score[1] < 0
    assert close(answers.logits[2], backend.fetch([decoded]).logits[0])


def test_each_object_has_three_candidates(backend: Backend) -> None:
    decoded = backend.decode(seen(backend), [CLICK, BOX])
    answers = backend.fetch_candidates(decoded)
    assert len(answers.logits) == len(answers.iou) == len(answers.object_score) == 6
    best = answers.iou[:3].argmax()
    assert close(answers.logits[best], backend.fetch([decoded]).logits[0])


def test_what_is_stored_comes_back_bit_for_bit_and_answers_alike(backend: Backend) -> None:
    memory = remembered(backend)[0]
    stored = backend.store(memory)
    assert all(isinstance(array, np.ndarray) for array in stored)
    back = Memory(*backend.restore([array.copy() for array in stored]))
    assert all(np.array_equal(a, b) for a, b in zip(backend.store(back), stored, strict=True))
    features = backend.encode([OTHER])[0]
    recalls = [Recall(((6, one),), ((1, one),)) for one in (memory, back)]
    one, other = (np.asarray(backend.attend(features, [recall]).stride16) for recall in recalls)
    assert np.array_equal(one, other)


def test_a_decoded_mask_refines_itself(backend: Backend) -> None:
    decoded = backend.decode(seen(backend, 1), [CLICK])
    again = ask(CLICK.points[:1], CLICK.labels[:1], decoded.logits, ambiguous=True)
    from_host = ask(CLICK.points[:1], CLICK.labels[:1], backend.fetch([decoded]).logits, ambiguous=True)
    refined = backend.decode(seen(backend, 1), [again])
    assert isinstance(refined, Decoded) and not close(refined.logits, decoded.logits)
    assert close(refined.logits, backend.decode(seen(backend, 1), [from_host]).logits)
