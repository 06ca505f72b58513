"""Quantization of convolutions: integers, scales and sums of weights."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.onnx_graphs.quantization import MAX_PAIR, MAX_TAP, quantize_kernel

RNG = np.random.default_rng(0)


def dequantize(weight: np.ndarray, bias: np.ndarray, *, depthwise: bool) -> tuple[np.ndarray, np.ndarray]:
    kernel = quantize_kernel(weight, bias, 0.02, depthwise=depthwise)
    scale = kernel.scale.astype(float)
    return kernel.values * scale[:, None, None, None], kernel.bias * kernel.bias_scale.astype(float)


@pytest.mark.parametrize("depthwise", [False, True])
def test_weights_and_bias_are_rounded_to_the_steps_of_their_channel(depthwise: bool) -> None:
    gain = np.array([1e-3, 1.0, 30.0])
    weight = RNG.normal(size=(3, 1, 5, 5) if depthwise else (3, 7, 1, 1)) * gain[:, None, None, None]
    bias = RNG.normal(size=3) * gain
    near, near_bias = dequantize(weight, bias, depthwise=depthwise)
    steps = np.abs(weight).max((1, 2, 3)) / (MAX_TAP if depthwise else 60)
    assert (np.abs(near - weight).max((1, 2, 3)) < (1.01 if depthwise else 0.51) * steps).all()
    assert np.abs(near_bias / bias - 1).max() < 1e-2


def test_two_neighboring_inputs_fit_into_16_bits() -> None:
    weight = np.concatenate([RNG.normal(size=(50, 9, 1, 1)), np.ones((1, 9, 1, 1))])
    values = quantize_kernel(weight, np.zeros(51), 0.02, depthwise=False).values.reshape(51, 9).astype(int)
    pairs = np.pad(values, ((0, 0), (0, 1))).reshape(51, 5, 2)
    for sums in (pairs.clip(min=0).sum(2), pairs.clip(max=0).sum(2)):
        assert np.abs(sums * 255).max() < 2**15
    assert np.abs(values).max() > 0.8 * MAX_PAIR  # most pairs do not add up their largest values


def test_moments_reduce_the_error_of_the_outputs() -> None:
    weight = RNG.normal(size=(20, 48, 1, 1))
    inputs = RNG.normal(size=(500, 48)) @ RNG.normal(size=(48, 48)) + 3  # correlated, as maps are
    errors = {}
    for name, moments in (("nearest", None), ("gptq", inputs.T @ inputs)):
        kernel = quantize_kernel(weight, np.zeros(20), 0.02, depthwise=False, moments=moments)
        near = kernel.values.reshape(20, 48) * kernel.scale[:, None]
        errors[name] = np.abs(inputs @ (near - weight.reshape(20, 48)).T).mean()
        pairs = kernel.values.reshape(20, 24, 2).astype(int)
        assert np.abs([pairs.clip(min=0).sum(2), pairs.clip(max=0).sum(2)]).max() <= MAX_PAIR
    assert errors["gptq"] < 0.75 * errors["nearest"]


def test_a_depthwise_kernel_keeps_its_sum() -> None:
    weight = RNG.normal(size=(40, 1, 3, 3))
    weight[:, 0, 1, 1] -= weight.sum((1, 2, 3))  # edge filters, which give 0 in flat areas
    near, _ = dequantize(weight, np.zeros(40), depthwise=True)
    assert np.abs(near.sum((1, 2, 3))).max() < 1e-9


def test_channels_without_weights_keep_their_bias() -> None:
    weight, bias = np.zeros((2, 3, 1, 1)), np.array([0.0, 5.3])
    near, near_bias = dequantize(weight, bias, depthwise=False)
    assert (near == 0).all() and near_bias == pytest.approx(bias, rel=1e-6)
