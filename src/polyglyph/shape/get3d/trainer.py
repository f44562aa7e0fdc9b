"""One training step of GET3D, and the state that must survive between steps.

With several processes each holds every n-th sample of the batch, and every sum and mean below is taken over
the whole batch: a step gives what it gives in one process, up to rounding.

Legend: B batch (this process's share of it), H W picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.learn.checkpoint import Checkpoint, load_into, optimiser_tensors, restore_optimiser
from polyglyph.learn.distributed import World
from polyglyph.learn.ema import MovingAverage
from polyglyph.scene.camera import orbit
from polyglyph.shape.get3d.augment import Augment
from polyglyph.shape.get3d.config import Config
from polyglyph.shape.get3d.discriminator import Discriminators, Judge
from polyglyph.shape.get3d.generator import Codes, make_generator
from polyglyph.shape.get3d.lighting import random_lighting
from polyglyph.shape.get3d.loss import discriminator_loss, generator_loss, r1_penalty
from polyglyph.shape.get3d.picture import Drawing, draw
from polyglyph.shape.get3d.regularisers import regularisers

__all__ = ["Batch", "Trainer", "View"]

W_AVERAGE_DECAY = 0.998
"""Of the running mean of w, per step."""


class View:
    """What the cameras of a data set have in common."""

    def __init__(self, radius: float, fov: float) -> None:
        self.radius, self.fov = radius, fov


class Batch:
    """Real pictures [B, 4, H, W], colour -1..1 over black, mask 0..1; angles [B, 2] in degrees."""

    def __init__(self, pictures: Tensor, angles: Tensor) -> None:
        self.pictures, self.angles = pictures, angles


class Trainer:
    """Networks, optimisers, averages, counters and the one stream of random numbers."""

    def __init__(
        self, config: Config, view: View, *, device: torch.device, seed: int, world: World | None = None
    ) -> None:
        """`world` says which part of every batch this process is given; all of it when left out.

        The networks are of torch's default floating-point type. Raises ConfigError for a batch that cannot
        be divided among the processes.
        """
        self.config, self.view, self.device = config, view, device
        self.world = World(device) if world is None else world
        _check_batch(config, self.world.size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = make_generator(config.generator, config.isosurface).to(device)
            self.discriminators = Discriminators(config.discriminator, config.resolution).to(device)
        optimiser = config.optimiser
        self.average = MovingAverage(
            self.generator, half_life_kimg=optimiser.ema_kimg, rampup=optimiser.ema_rampup
        )
        lazy = config.loss.r1_every / (config.loss.r1_every + 1)
        self.rates = (optimiser.generator_rate, optimiser.discriminator_rate * lazy)
        self.generator_optimiser = _adam(self.generator, self.rates[0], optimiser.betas)
        lazy_betas = (optimiser.betas[0] ** lazy, optimiser.betas[1] ** lazy)
        self.discriminator_optimiser = _adam(self.discriminators, self.rates[1], lazy_betas)
        self.dtype = next(self.generator.parameters()).dtype
        self.augment = Augment(config.augment, self.world)
        self.rng = torch.Generator().manual_seed(seed)
        self.step = 0

    @property
    def seen(self) -> int:
        """Real pictures shown so far."""
        return self.step * self.config.schedule.batch

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the discriminators, then of the generator, on the same generated pictures.

        `batch` is this process's share. The generator's pictures are made once: its own update comes after
        the discriminators', and nothing that its graph holds has changed by then. Returns scalars for the
        log; their means over the processes are those of the whole batch.
        """
        self._set_rates()
        batch = Batch(batch.pictures.to(self.dtype), batch.angles.to(self.dtype))
        fake = self._generate(batch.angles)
        values = self._update_discriminators(fake.pictures.detach(), batch)
        values |= self._update_generator(fake, batch.angles)
        self.step += 1
        self.average.update(self.generator, batch=self.config.schedule.batch, seen=self.seen)
        return values

    def _set_rates(self) -> None:
        factor = self.config.schedule.rate_factor(self.seen)
        optimisers = (self.generator_optimiser, self.discriminator_optimiser)
        for optimiser, rate in zip(optimisers, self.rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor

    def _generate(self, angles: Tensor) -> Drawing:
        cameras = orbit(angles[:, 0], angles[:, 1], self.view.radius, self.view.fov, device=self.device)
        codes = self._codes(len(angles))
        return draw(
            self.generator,
            codes,
            cameras,
            self.config.resolution,
            antialias_color=self.config.loss.antialias_color,
            position_gradient=self.config.loss.position_gradient,
            lighting=random_lighting(
                self.generator, len(angles) * self.world.size, self.rng, self.world.share
            ),
        )

    def _codes(self, batch: int) -> Codes:
        """Random codes, two of them mixed at a random layer in a part of the samples."""
        latent, probability = self.config.generator.latent, self.config.loss.style_mixing
        share, whole = self.world.share, batch * self.world.size
        z = share(torch.randn(4, whole, latent, generator=self.rng), dim=1).to(self.device, self.dtype)
        both = [mapping(z[k : k + 2].flatten(0, 1)) for mapping, k in self._mappings()]
        means = [w.detach().mean(dim=0) for w in both]
        self.world.average(means)
        for (mapping, _), mean in zip(self._mappings(), means, strict=True):
            mapping.w_avg.lerp_(mean, 1 - W_AVERAGE_DECAY)
        slots = (self.generator.geometry_slots, self.generator.texture_slots)
        mixed = []
        for w, count in zip(both, slots, strict=True):
            cut = share(torch.randint(1, count, (whole, 1), generator=self.rng))
            mixing = share(torch.rand(whole, 1, generator=self.rng)) < probability
            second = (mixing & (torch.arange(count) >= cut)).to(self.device)
            mixed.append(torch.where(second[..., None], w[batch:, None], w[:batch, None]))
        return Codes(*mixed)

    def _mappings(self) -> tuple[tuple[Any, int], tuple[Any, int]]:
        return (self.generator.mapping_geo, 0), (self.generator.mapping, 2)

    def _update_discriminators(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        loss_config, every = self.config.loss, self.config.loss.r1_every
        networks = self.discriminators
        real = self.augment(batch.pictures, self.rng)
        real_logits, fake_logits = networks.compare(real, self.augment(fake, self.rng), batch.angles)
        losses = [discriminator_loss(f, r) for f, r in zip(fake_logits, real_logits, strict=True)]
        total = torch.stack(losses).sum()
        values = {}
        if self.step % every == 0:
            penalties = {
                f"r1{_suffix(judge)}": r1_penalty(judge.network, real[:, judge.channels], batch.angles)
                for judge in networks.judges()
            }
            gammas = {"r1": loss_config.r1_gamma, "r1_mask": loss_config.r1_gamma_mask}
            charged = [gammas[name] * penalty for name, penalty in penalties.items()]
            total = total + every * torch.stack(charged).sum()
            values = {name: penalty.detach() for name, penalty in penalties.items()}
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.world.average_gradients(networks)
        self.discriminator_optimiser.step()
        signs = torch.cat(real_logits).detach().sign()
        self.augment.adapt(signs, len(real) * self.world.size, self.step)
        for judge, loss, logits in zip(networks.judges(), losses, real_logits, strict=True):
            name = _suffix(judge)
            values |= {f"loss_d{name}": loss.detach(), f"sign_real{name}": logits.detach().sign().mean()}
        return values

    def _update_generator(self, fake: Drawing, angles: Tensor) -> dict[str, Tensor]:
        self.discriminators.requires_grad_(False)
        logits = self.discriminators(self.augment(fake.pictures, self.rng), angles)
        total = generator_loss(*logits)
        terms = regularisers(fake, self.config, self.world)
        for term in terms.values():
            total = total + term.weight * term.value
        self.generator_optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.world.average_gradients(self.generator)
        self.generator_optimiser.step()
        self.discriminators.requires_grad_(True)
        values = {
            f"loss_g{_suffix(judge)}": generator_loss(logit.detach())
            for judge, logit in zip(self.discriminators.judges(), logits, strict=True)
        }
        return values | {name: term.value.detach() for name, term in terms.items()}

    def checkpoint(self) -> Checkpoint:
        """Everything `restore` needs to go on bit for bit; the same in every process, however many."""
        model = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        model |= {f"discriminators.{k}": v for k, v in self.discriminators.state_dict().items()}
        model |= {f"average.{k}": v for k, v in self.average.module.state_dict().items()}
        tensors = optimiser_tensors(self.generator_optimiser, self.generator, "generator")
        tensors |= optimiser_tensors(self.discriminator_optimiser, self.discriminators, "discriminators")
        tensors["rng"] = self.rng.get_state()
        return Checkpoint(self.step, model, tensors, {"seen": self.seen, "augment": self.augment.state()})

    def restore(self, checkpoint: Checkpoint, where: Any) -> None:
        """Put back what `checkpoint` gave. Raises FormatError if it belongs to another network."""
        load_into(self.generator, checkpoint.model, prefix="generator", where=where)
        load_into(self.discriminators, checkpoint.model, prefix="discriminators", where=where)
        load_into(self.average.module, checkpoint.model, prefix="average", where=where)
        restore_optimiser(self.generator_optimiser, self.generator, "generator", checkpoint.optimiser)
        restore_optimiser(
            self.discriminator_optimiser, self.discriminators, "discriminators", checkpoint.optimiser
        )
        self.rng.set_state(checkpoint.optimiser["rng"])
        self.augment.restore(checkpoint.state["augment"])
        self.step = checkpoint.step

    def synchronise(self) -> None:
        """Take over the state of process 0, in all processes together."""
        if self.world.size > 1:
            first = self.checkpoint() if self.world.first else None
            self.restore(self.world.broadcast(first), "process 0")

    def require_equal(self) -> None:
        """Raise BackendError unless every process has the same weights."""
        for network in (self.generator, self.discriminators, self.average.module):
            self.world.require_equal_tensors(network.state_dict().values(), "weights")


def _check_batch(config: Config, processes: int) -> None:
    """Refuse a batch whose groups for minibatch standard deviation cannot each lie in one process.

    Sample i belongs to group i mod (batch / group) and to process i mod processes: whole groups meet in one
    process, in their order, where the number of groups is a multiple of the number of processes.
    """
    batch, wanted = config.schedule.batch, config.discriminator.minibatch_group
    group = min(wanted, batch)
    groups = batch // group
    if groups % processes:
        least = processes * wanted
        fits = ", ".join(str(n) for n in range(1, groups + 1) if groups % n == 0)
        raise ConfigError(
            f"{processes} processes cannot share `schedule.batch` {batch}: each needs whole groups of the"
            f" {group} pictures that `discriminator.minibatch_group` compares",
            fix=f"pass `--schedule.batch {max(least, batch // least * least)}`, or start {fits} processes",
        )


def _suffix(judge: Judge) -> str:
    """What sets this discriminator's values apart in the log; nothing for the one that sees colour."""
    return "_mask" if judge.name == "mask" else ""


def _adam(module: torch.nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas, eps=1e-8, fused=True)
