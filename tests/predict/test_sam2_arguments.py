"""Arguments of SAM 2's predictors are refused with the equivalent call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from masklet import click
from masklet.errors import PromptError
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import Prompts


class Predictor:
    """Takes prompts as an embedded image does."""

    @refuse_sam2_arguments("predict({})")
    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: object = None) -> Prompts:
        """Return the prompts."""
        return prompts


@pytest.mark.parametrize(
    ("args", "named", "call"),
    [
        (([[230, 150]], [1]), {}, "predict(click(230, 150))"),
        (([[230, 150]], [0]), {}, "predict(click(230, 150, positive=False))"),
        (([[1, 2], [3, 4]], [1, 0]), {}, "predict(clicks([(1, 2), (3, 4)], [1, 0]))"),
        (([[1, 2]] * 9, [1] * 9), {}, "predict(clicks(points, labels))"),
        ((None, None, [1, 2, 3, 4]), {}, "predict(box(1, 2, 3, 4))"),
        ((), {"point_coords": np.array([[5, 6]]), "point_labels": np.array([1])}, "predict(click(5, 6))"),
        ((), {"points": [[5, 6]], "labels": [1]}, "predict(click(5, 6))"),
        ((), {"box": np.array([1, 2, 3, 4]), "point_coords": [[2, 2]]}, "predict(box(1, 2, 3, 4) + click(2, 2))"),
        ((), {"box": [1, 2, 3, 4], "multimask_output": False}, "predict(box(1, 2, 3, 4), multimask=False)"),
        ((click(1, 1),), {"multimask_output": True}, "predict(prompt, multimask=True)"),
        ((click(1, 1),), {"mask_input": np.zeros((1, 256, 256))}, "predict(prompt, refine=masks)"),
    ],
)
def test_the_error_for_arguments_of_sam2_shows_the_equivalent_call(args: Any, named: Any, call: str) -> None:
    with pytest.raises(PromptError) as caught:
        Predictor().predict(*args, **named)
    assert str(caught.value).endswith(f"write {call}")
    assert "\n" not in str(caught.value)
    assert caught.value.code == "bad-prompt"


def test_an_unknown_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="multimsk"):
        Predictor().predict(click(1, 1), multimsk=True)  # type: ignore[call-arg]
