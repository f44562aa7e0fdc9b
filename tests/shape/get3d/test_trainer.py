"""One step of training against its definition: lazy R1, its rates, style mixing."""

import copy
import dataclasses

import pytest
import torch
from shape.get3d.tiny import CONFIG

from polyglyph.shape.get3d.config import AugmentConfig, Config
from polyglyph.shape.get3d.trainer import Batch, Trainer, View

CPU = torch.device("cpu")
STILL = AugmentConfig(probability=0.0, target=None)


def with_loss(**loss: float) -> Config:
    return dataclasses.replace(CONFIG, augment=STILL, loss=dataclasses.replace(CONFIG.loss, **loss))


def trainer_of(config: Config) -> Trainer:
    return Trainer(config, View(1.2, 49.134), device=CPU, seed=3)


def batch() -> Batch:
    rng = torch.Generator().manual_seed(5)
    angles = torch.rand(4, 2, generator=rng) * torch.tensor([360.0, 30.0])
    return Batch(torch.rand(4, 4, 16, 16, generator=rng) * 2 - 1, angles)


def gradients(config: Config, step: int = 0) -> dict[str, torch.Tensor]:
    """What the discriminators' optimiser was given in one step."""
    trainer = trainer_of(config)
    trainer.step = step
    trainer.train_step(batch())
    return {
        name: parameter.grad.double()
        for name, parameter in trainer.discriminators.named_parameters()
        if parameter.grad is not None
    }


def penalty_gradients(trainer: Trainer, gammas: dict[str, float]) -> dict[str, torch.Tensor]:
    """The gradient of the penalty by its definition, differentiated twice.

    As in StyleGAN the slope is that of the sum of the batch's logits: minibatch standard deviation ties them.
    """
    networks, given = trainer.discriminators, batch()
    total = torch.zeros(())
    for judge in networks.judges():
        pictures = given.pictures[:, judge.channels].clone().requires_grad_()
        logits = judge.network(pictures, given.angles)
        (slopes,) = torch.autograd.grad(logits, pictures, torch.ones_like(logits), create_graph=True)
        for slope in slopes:
            total = total + gammas[judge.name] / 2 * (slope**2).sum() / len(slopes)
    total.backward()
    return {
        name: parameter.grad.double()
        for name, parameter in networks.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("every", [1, 4])
def test_lazy_r1_adds_its_gradient_times_the_number_of_steps_it_stands_for(every):
    with_r1 = gradients(with_loss(r1_gamma=3.0, r1_gamma_mask=0.5, r1_every=every))
    without = gradients(with_loss(r1_gamma=0.0, r1_gamma_mask=0.0, r1_every=every))
    expected = penalty_gradients(trainer_of(CONFIG), {"color": 3.0, "mask": 0.5})
    largest = max(float(value.abs().max()) for value in expected.values())
    assert largest > 0
    for name, value in with_r1.items():
        wanted = every * expected.get(name, torch.zeros_like(value))
        torch.testing.assert_close(value - without[name], wanted, rtol=1e-3, atol=1e-5 * every * largest)


def test_between_its_steps_lazy_r1_is_not_asked():
    weak, strong = (
        gradients(with_loss(r1_gamma=gamma, r1_gamma_mask=gamma, r1_every=4), step=1) for gamma in (0.0, 50.0)
    )
    assert all(torch.equal(weak[name], strong[name]) for name in weak)


@pytest.mark.parametrize("every", [1, 16])
def test_the_discriminators_optimiser_is_slowed_by_the_steps_that_r1_leaves_out(every):
    config = with_loss(r1_every=every)
    group = trainer_of(config).discriminator_optimiser.param_groups[0]
    share = every / (every + 1)
    assert group["lr"] == pytest.approx(config.optimiser.discriminator_rate * share)
    assert group["betas"] == pytest.approx([beta**share for beta in config.optimiser.betas])
    group = trainer_of(config).generator_optimiser.param_groups[0]
    assert group["lr"] == pytest.approx(config.optimiser.generator_rate)


def drawn_codes(probability: float, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    codes = trainer_of(with_loss(style_mixing=probability))._codes(count)
    return codes.geometry, codes.texture


def changes(codes: torch.Tensor) -> torch.Tensor:
    """For every sample, between which neighbouring layers its code changes [N, layers - 1]."""
    return (codes[:, 1:] != codes[:, :-1]).any(dim=2)


def test_without_style_mixing_every_layer_has_one_code():
    assert not any(changes(codes).any() for codes in drawn_codes(0.0))


def test_style_mixing_changes_the_code_once_at_any_layer_in_its_share_of_the_samples():
    for codes in drawn_codes(0.75):
        places = changes(codes)
        assert int(places.sum(dim=1).max()) == 1
        assert float(places.any(dim=1).float().mean()) == pytest.approx(0.75, abs=0.08)
        share = places.float().mean(dim=0) / places.float().mean(dim=0).sum()
        torch.testing.assert_close(share, torch.full_like(share, 1 / len(share)), rtol=0.6, atol=0)
        assert len(share) > 2


def test_both_codes_of_a_mixed_sample_come_from_the_mapping_network():
    trainer = trainer_of(with_loss(style_mixing=1.0))
    before = copy.deepcopy(trainer.rng.get_state())
    codes = trainer._codes(3)
    trainer.rng.set_state(before)
    z = torch.randn(4, 3, CONFIG.generator.latent, generator=trainer.rng)
    (geometry, _), (texture, _) = trainer._mappings()
    for found, first, second in (
        (codes.geometry, geometry(z[0]), geometry(z[1])),
        (codes.texture, texture(z[2]), texture(z[3])),
    ):
        torch.testing.assert_close(found[:, 0], first)
        torch.testing.assert_close(found[:, -1], second)
