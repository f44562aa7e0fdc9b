"""Augmentation: identity at probability 0, geometry shared by colour and mask, ADA's rule."""

import pytest
import torch

from polyglyph.shape.get3d.augment import Augment
from polyglyph.shape.get3d.config import AugmentConfig


@pytest.fixture
def pictures() -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    color = torch.rand(32, 3, 16, 16, generator=rng) * 2 - 1
    mask = torch.zeros(32, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    return torch.cat((torch.where(mask > 0, color, -1.0), mask), dim=1)


def run(config: AugmentConfig, pictures: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return Augment(config)(pictures, torch.Generator().manual_seed(seed))


def test_nothing_happens_at_probability_zero(pictures):
    assert run(AugmentConfig(probability=0.0), pictures) is pictures


def test_translation_moves_colour_and_mask_together_over_black(pictures):
    moved = run(AugmentConfig(probability=1.0, cutout=0, color=False), pictures)
    assert not torch.equal(moved, pictures)
    outside = moved[:, 3:] == 0
    assert (moved[:, :3][outside.expand(-1, 3, -1, -1)] == -1).all()
    torch.testing.assert_close(moved[:, 3].sum(dim=(1, 2)), pictures[:, 3].sum(dim=(1, 2)))
    assert (moved[:, 3].flatten(1).argmax(dim=1) != pictures[:, 3].flatten(1).argmax(dim=1)).sum() > 16


def test_cutout_only_removes(pictures):
    cut = run(AugmentConfig(probability=1.0, translation=0, color=False), pictures)
    changed = (cut != pictures).any(dim=1)
    assert changed.any()
    assert (cut[:, 3][changed] == 0).all()
    assert (cut[:, :3].permute(0, 2, 3, 1)[changed] == -1).all()


def test_colour_leaves_mask_and_background(pictures):
    colored = run(AugmentConfig(probability=1.0, translation=0, cutout=0), pictures)
    torch.testing.assert_close(colored[:, 3], pictures[:, 3])
    background = (pictures[:, 3:] == 0).expand(-1, 3, -1, -1)
    assert (colored[:, :3][background] == -1).all()
    assert not torch.allclose(colored[:, :3], pictures[:, :3])


def test_it_is_differentiable_where_nothing_was_cut(pictures):
    leaf = pictures.clone().requires_grad_()
    out = run(AugmentConfig(probability=1.0, color=False), leaf)
    (grad,) = torch.autograd.grad(out.sum(), leaf)
    assert set(grad.unique().tolist()) <= {0.0, 1.0, 2.0}
    assert grad.sum() > 0


def test_the_probability_follows_the_signs():
    augment = Augment(AugmentConfig(target=0.6, speed_kimg=0.1))
    for step in range(8):
        augment.adapt(torch.ones(8), 4, step)
    assert augment.probability == pytest.approx(2 * 16 / 100)
    for step in range(8, 12):
        augment.adapt(-torch.ones(8), 4, step)
    assert augment.probability == pytest.approx(16 / 100)
    for step in range(12, 100):
        augment.adapt(torch.ones(8), 4, step)
    assert augment.probability == 0.8


def test_the_state_survives_a_checkpoint():
    one, other = Augment(AugmentConfig(target=0.6)), Augment(AugmentConfig(target=0.6))
    one.adapt(torch.ones(8), 4, 0)
    other.restore(one.state())
    assert other.state() == one.state()
