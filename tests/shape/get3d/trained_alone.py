"""Short trainings whose every number can be compared between one process and several."""

import dataclasses
from typing import Any

from shape.get3d.tiny import CONFIG, discs

from polyglyph.learn.distributed import World
from polyglyph.shape.get3d.config import AugmentConfig, Config
from polyglyph.shape.get3d.data import PictureStream, pictures_of
from polyglyph.shape.get3d.trainer import Batch, Trainer, View

AUGMENT = AugmentConfig(probability=0.5, target=0.6, speed_kimg=0.2)
LONG = dataclasses.replace(
    CONFIG,
    augment=AUGMENT,
    schedule=dataclasses.replace(CONFIG.schedule, batch=8, kimg=0.144, log_every=1),
)
"""18 steps of two groups for minibatch standard deviation."""


def _changed(config: Config, **sections: dict[str, Any]) -> Config:
    return dataclasses.replace(
        config, **{name: dataclasses.replace(getattr(config, name), **new) for name, new in sections.items()}
    )


VARIANTS: dict[str, tuple[Config, int]] = {
    "dmtet": (LONG, 20),
    "empty": (_changed(LONG, isosurface={"initial_radius": 0.02}, loss={"position_gradient": True}), 3),
    "flexicubes": (
        _changed(LONG, isosurface={"method": "flexicubes"}, discriminator={"single": True}),
        3,
    ),
    "pbr": (_changed(LONG, generator={"material": "pbr"}), 3),
}
"""Settings, and how many steps are compared."""


def curve(name: str, world: World) -> list[dict[str, float]]:
    """Every value that is logged, step by step, in the whole batch; then what is left in the networks."""
    config, steps = VARIANTS[name]
    data = discs()
    stream = PictureStream(pictures_of(data, "train"), data.angles("train"), mirror=True, seed=3)
    view = View(data.radius, data.fov)
    trainer = Trainer(config, view, device=world.device, seed=3 + world.rank, world=world)
    trainer.synchronise()
    lines = []
    for _ in range(steps):
        size = config.schedule.batch // world.size
        batch = stream.batch(trainer.seen + world.rank, size, world.device, step=world.size)
        values = {key: value.clone() for key, value in trainer.train_step(Batch(*batch)).items()}
        world.average(list(values.values()))
        lines.append({key: float(value) for key, value in values.items()})
        lines[-1] |= {f"augment_{key}": value for key, value in trainer.augment.state().items()}
    tensors = trainer.checkpoint().model | trainer.checkpoint().optimiser
    kept = {key: float(value.double().square().sum()) for key, value in tensors.items()}
    return [*lines, kept]
