"""The model behind the predictors: a `Segmenter` with the settings and attributes of `sam2.modeling.sam2_base`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import Self

from masklet.backend import MAX_POINTERS, Backend, StabilityRule
from masklet.checkpoints.weights import Weights
from masklet.compat.sam2.array import has_torch, make_tensor, to_numpy
from masklet.compat.sam2.loading import Placement, build, load_checkpoint, read_state_dict
from masklet.compat.sam2.modeling.network_methods import NetworkMethods
from masklet.compat.sam2.overrides import ModelSettings
from masklet.errors import StateError
from masklet.segmenter import Segmenter


class IncompatibleKeys(NamedTuple):
    """Result of `load_state_dict`. Both lists are empty, since weights that do not fit are refused."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class SAM2Base(NetworkMethods):
    """A model of SAM 2.

    Attributes:
        settings: Settings that the configuration and the overrides gave. Attributes with the names of settings may be
            changed later, and the changed values are used.
        placement: Where and in which numbers the model runs.
        image_size: Side of the square, in pixels, that images are resized to.
    """

    training = False
    directly_add_no_mem_embed = True
    num_feature_levels = 3
    max_obj_ptrs_in_encoder = MAX_POINTERS

    def __init__(self, settings: ModelSettings, placement: Placement) -> None:
        self.settings, self.placement = settings, placement
        self.image_size = settings.image_size
        self.num_maskmem = settings.num_maskmem
        self.binarize_mask_from_pts_for_mem_enc = settings.binarize_mask_from_pts_for_mem_enc
        self._source: str | os.PathLike[str] | Weights | None = None
        self._segmenter: Segmenter | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._segmenter or self.settings.config.name})"

    @property
    def segmenter(self) -> Segmenter:
        """The model of masklet.

        Raises:
            StateError: No weights have been loaded.
        """
        if self._segmenter is None:
            message = f"the model {self.settings.config.name} has no weights; pass ckpt_path, or call load_state_dict"
            raise StateError("bad-usage", message)
        return self._segmenter

    @property
    def backend(self) -> Backend:
        """The networks. Raises `StateError` without weights."""
        return self.segmenter.backend

    @property
    def device(self) -> Any:
        """Device of results: a device of PyTorch where that is installed, else "cpu"."""
        if self.runs_on_torch:
            return self.backend.device
        if not has_torch():
            return "cpu"
        import torch

        return torch.device("cpu")

    @property
    def runs_on_torch(self) -> bool:
        """Whether PyTorch runs the networks."""
        return self.backend.runtime == "torch"

    @property
    def is_double(self) -> bool:
        """Whether the networks compute in float64."""
        return str(self.backend.dtype).endswith("float64")

    def make_tensor(self, values: Any) -> Any:
        """Convert an array of NumPy or of the backend to what predictors return, on the model's device."""
        if not isinstance(values, np.ndarray) and not hasattr(values, "detach"):
            values = self.backend.store([values])[0]
        return make_tensor(values, self.device if has_torch() else None)

    def to_backend(self, values: Any) -> Any:
        """Convert a tensor that a predictor returned, or a copy of it in NumPy, to an array of the backend."""
        if not self.runs_on_torch:
            return to_numpy(values)
        import torch

        return torch.as_tensor(values, device=self.backend.device)

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Load weights: a checkpoint, an exported folder, or whatever `masklet.load` takes as a name.

        Raises:
            StateDictError: The weights are of another configuration. It is also a `RuntimeError`.
            InputNotFound: The file does not exist.
            CheckpointError: The file is not a checkpoint.
        """
        self._install(load_checkpoint(path, self.settings, self.placement))
        self._source = path

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights from a state dict, the value of `"model"` in a checkpoint file.

        Args:
            state_dict: Tensors or arrays by name.
            strict: Has no effect: weights that do not fit are always refused.
            assign: Has no effect.

        Raises:
            StateDictError: The weights are of another configuration, or not complete. It is also a `RuntimeError`.
        """
        weights = read_state_dict(state_dict, self.settings)
        self._install(build(weights, self.settings, self.placement))
        self._source = weights
        return IncompatibleKeys([], [])

    def to(self, device: Any = None, *args: Any, **kwargs: Any) -> Self:
        """Move the model to a device. The weights are loaded again, unless they are there already."""
        if device is None or (not isinstance(device, str) and not hasattr(device, "type")):
            return self
        placement = Placement.of(device, self.placement.dtype, self.placement.runtime)
        if self._source is not None and str(device) != str(self.backend.device):
            self._install(self._load_again(self._source, placement))
        self.placement = placement
        return self

    def cuda(self, device: Any = None) -> Self:
        """Move the model to CUDA."""
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def cpu(self) -> Self:
        """Move the model to the CPU."""
        return self.to("cpu")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse the call, as the reference does: predictors have methods of their own.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("call the methods of a predictor; models are trained by `masklet train`")

    __call__ = forward

    def eval(self) -> Self:
        """Return the model, which only predicts."""
        return self

    def train(self, mode: bool = True) -> Self:
        """Return the model, which is trained by `masklet train` and not here."""
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Return the model, whose weights have no gradients."""
        return self

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Yield the weights as tensors. On onnxruntime there are none outside the graphs."""
        model = getattr(self.backend, "model", None)
        return iter(()) if model is None else model.parameters(recurse)

    def _install(self, segmenter: Segmenter) -> None:
        settings = self.settings
        segmenter.backend.stability_rule = StabilityRule(
            settings.dynamic_multimask_stability_delta,
            settings.dynamic_multimask_stability_thresh if settings.dynamic_multimask_via_stability else 0.0,
        )
        self._segmenter = segmenter

    def _load_again(self, source: str | os.PathLike[str] | Weights, placement: Placement) -> Segmenter:
        if isinstance(source, Weights):
            return build(source, self.settings, placement)
        return load_checkpoint(source, self.settings, placement)
