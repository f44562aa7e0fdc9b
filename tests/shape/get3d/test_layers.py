"""Layers against their definitions, written out here in the plainest way."""

import math

import pytest
import torch
import torch.nn.functional as F

from polyglyph.shape.get3d.layers import (
    Convolution,
    FullyConnected,
    Head,
    Mapping,
    ModulatedConvolution,
    ModulatedLinear,
    downsample,
    normalise,
    upsample,
)

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])).double() / 64


def zeros_after(x: torch.Tensor) -> torch.Tensor:
    """A zero after each sample along both axes."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return wide


def filtered(x: torch.Tensor, gain: float) -> torch.Tensor:
    """Every channel convolved with the low-pass filter, no padding."""
    rows = [F.conv2d(x[:, c : c + 1], FILTER[None, None] * gain) for c in range(x.shape[1])]
    return torch.cat(rows, dim=1)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_upsampling_is_zero_insertion_and_the_low_pass_filter():
    x = randn(2, 3, 5, 4)
    expected = filtered(F.pad(zeros_after(x), (2, 1, 2, 1)), 4.0)
    torch.testing.assert_close(upsample(x), expected)


def test_downsampling_is_the_low_pass_filter_at_even_positions():
    x = randn(2, 3, 8, 6)
    expected = filtered(F.pad(x, (1, 1, 1, 1)), 1.0)[:, :, ::2, ::2]
    torch.testing.assert_close(downsample(x), expected)


def test_normalise_gives_unit_root_mean_square():
    x = normalise(randn(4, 7) * 9)
    torch.testing.assert_close(x.square().mean(dim=1), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_equals_one_convolution_per_sample(up):
    torch.manual_seed(0)
    size = 6
    layer = ModulatedConvolution(3, 5, 4, 2 * size if up else size, up=up, clamp=None).double()
    with torch.no_grad():
        layer.noise_strength.fill_(0.7)
        layer.bias.normal_()
    x, w = randn(2, 3, size, size), randn(2, 4)
    style = w @ (layer.affine.weight / 2.0).T + layer.affine.bias
    results = []
    for sample in range(2):
        weight = layer.weight * style[sample][None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = F.pad(zeros_after(x[sample : sample + 1]), (2, 1, 2, 1))
            y = F.conv2d(wide, weight.flip((2, 3)))
            y = filtered(F.pad(y, (1, 2, 1, 2))[:, :, :, :], 4.0)[:, :, : 2 * size, : 2 * size]
        else:
            y = F.conv2d(x[sample : sample + 1], weight, padding=1)
        y = y + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
        results.append(F.leaky_relu(y, 0.2) * math.sqrt(2))
    torch.testing.assert_close(layer(x, w), torch.cat(results))


def test_head_is_a_modulated_convolution_without_normalisation():
    layer = Head(3, 2, 4, clamp=None).double()
    x, w = randn(2, 3, 4, 4), randn(2, 4)
    style = w @ (layer.affine.weight / 2.0).T + layer.affine.bias
    weight = layer.weight[None, :, :, 0, 0] * style[:, None, :] / math.sqrt(3)
    expected = torch.einsum("boi,bihw->bohw", weight, x)
    torch.testing.assert_close(layer(x, w), expected)


def test_modulated_linear_normalises_each_row_of_each_sample():
    layer = ModulatedLinear(3, 2, 4).double()
    x, w = randn(2, 5, 3), randn(2, 4)
    style = w @ (layer.affine.weight / 2.0).T + layer.affine.bias
    weight = layer.weight[None] * style[:, None, :]
    weight = weight / (weight.square().sum(dim=2, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(layer(x, w), torch.einsum("boi,bni->bno", weight, x) + layer.bias)


@pytest.mark.parametrize("down", [False, True])
def test_discriminator_convolution_scales_weights_by_fan_in(down):
    torch.manual_seed(1)
    layer = Convolution(3, 4, 3, down=down, clamp=None).double()
    with torch.no_grad():
        layer.bias.normal_()
    x = randn(2, 3, 8, 8)
    if down:
        y = F.conv2d(filtered(F.pad(x, (2, 2, 2, 2)), 1.0), layer.weight / math.sqrt(27), stride=2)
    else:
        y = F.conv2d(x, layer.weight / math.sqrt(27), padding=1)
    expected = F.leaky_relu(y + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x), expected)


def test_the_clamp_acts_after_the_gain():
    layer = Convolution(1, 1, 1, clamp=2.0)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    x = torch.tensor([1.3, 1.5, 100.0, -1e6]).view(4, 1, 1, 1)
    torch.testing.assert_close(layer(x).flatten(), torch.tensor([1.3 * math.sqrt(2), 2.0, 2.0, -2.0]))


def test_the_learning_rate_multiplier_changes_nothing_but_the_step():
    torch.manual_seed(0)
    slow = FullyConnected(3, 2, multiplier=0.01, bias=0.5)
    x = torch.randn(4, 3)
    expected = x @ (slow.weight * 0.01 / math.sqrt(3)).T + 0.5
    torch.testing.assert_close(slow(x), expected)
    assert 20 < slow.weight.std() < 300


def test_mapping_ignores_the_length_of_its_code():
    mapping = Mapping(8, 8, 2).double()
    z = randn(3, 8)
    torch.testing.assert_close(mapping(z), mapping(z * 7), rtol=1e-6, atol=1e-6)
