"""The discriminators: camera code, minibatch deviation, one pass for real and generated."""

import math

import pytest
import torch

from polyglyph.shape.get3d.config import DiscriminatorConfig
from polyglyph.shape.get3d.discriminator import Discriminators, camera_code, minibatch_deviation
from polyglyph.shape.get3d.loss import discriminator_loss, generator_loss, r1_penalty

CONFIG = DiscriminatorConfig(channel_base=64, channel_max=8, embedding=8, mapping_depth=2)


def networks(camera: bool = True) -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(
        DiscriminatorConfig(channel_base=64, channel_max=8, embedding=8, mapping_depth=2, camera=camera), 16
    ).double()


def inputs(batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    pictures = torch.rand(batch, 4, 16, 16, generator=rng, dtype=torch.float64)
    return pictures, torch.rand(batch, 2, generator=rng, dtype=torch.float64) * 90


def test_the_camera_code_is_sines_cosines_and_the_angles():
    code = camera_code(torch.tensor([[90.0, 30.0]], dtype=torch.float64))[0].tolist()
    theta, phi = math.pi / 2, math.pi / 3
    expected = []
    for f in (1, 2, 4):
        expected += [math.sin(f * theta), math.sin(f * phi), math.cos(f * theta), math.cos(f * phi)]
    torch.testing.assert_close(torch.tensor(code), torch.tensor([*expected, theta, phi]))


def test_minibatch_deviation_is_that_of_the_interleaved_group():
    x, _ = inputs(8)
    found = minibatch_deviation(x, 4)
    for i in range(8):
        group = x[i % 2 :: 2]
        expected = (group.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[i], expected.expand(1, 16, 16))


@pytest.mark.parametrize("batch", [2, 4, 8])
def test_one_pass_gives_what_two_passes_give(batch):
    net = networks()
    (real, angles), (fake, _) = inputs(batch), inputs(batch, seed=1)
    together = net.compare(real, fake, angles)
    apart = (net(real, angles), net(fake, angles))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b)


def test_the_camera_is_seen_and_can_be_hidden():
    pictures, angles = inputs(4)
    seeing, blind = networks(), networks(camera=False)
    assert not torch.allclose(seeing(pictures, angles)[0], seeing(pictures, angles + 30)[0])
    torch.testing.assert_close(blind(pictures, angles)[0], blind(pictures, angles + 30)[0])


def test_each_discriminator_sees_only_its_channels():
    net = networks()
    pictures, angles = inputs(4)
    recoloured = pictures.clone()
    recoloured[:, :3] += 1
    torch.testing.assert_close(net(pictures, angles)[1], net(recoloured, angles)[1])
    assert not torch.allclose(net(pictures, angles)[0], net(recoloured, angles)[0])


def test_a_single_discriminator_sees_all_channels_and_gives_one_logit():
    torch.manual_seed(0)
    config = DiscriminatorConfig(channel_base=64, channel_max=8, embedding=8, mapping_depth=2, single=True)
    net = Discriminators(config, 16).double()
    pictures, angles = inputs(4)
    for channel in range(4):
        changed = pictures.clone()
        changed[:, channel] += 1
        assert not torch.allclose(net(pictures, angles)[0], net(changed, angles)[0])
    (real,), (fake,) = net.compare(pictures, pictures.flip(0), angles)
    torch.testing.assert_close(real, net(pictures, angles)[0])
    torch.testing.assert_close(fake, net(pictures.flip(0), angles)[0])
    assert [judge.name for judge in net.judges()] == ["both"]
    assert [judge.name for judge in networks().judges()] == ["color", "mask"]


def test_r1_is_half_the_squared_norm_of_a_finite_difference_gradient():
    net = networks().mask
    pictures, angles = inputs(4)
    mask = pictures[:, 3:, :, :]
    penalty = r1_penalty(net, mask, angles)
    step = 1e-6
    changes = []
    # Minibatch deviation couples the pictures, so the gradient is that of the summed logits.
    with torch.no_grad():
        for index in range(4 * 256):
            moved = mask.clone().flatten()
            moved[index] += step
            up = net(moved.view_as(mask), angles).sum()
            moved[index] -= 2 * step
            changes.append((up - net(moved.view_as(mask), angles).sum()) / (2 * step))
    expected = torch.stack(changes).square().sum() / 4 / 2
    torch.testing.assert_close(penalty.detach(), expected, rtol=1e-3, atol=0)


def test_losses_are_the_logistic_ones():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    sigmoid = torch.sigmoid
    expected = -(sigmoid(real).log().mean() + (1 - sigmoid(fake)).log().mean())
    torch.testing.assert_close(discriminator_loss(fake, real), expected)
    torch.testing.assert_close(generator_loss(fake), -sigmoid(fake).log().mean())
