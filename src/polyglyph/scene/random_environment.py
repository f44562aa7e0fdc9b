"""Random surroundings for training and for data sets; nothing is downloaded.

The distribution, all draws independent:

* a sky: lobe at +Y, sharpness log-uniform in 0.5..3, radiance uniform in 0.3..1.2 with a tint from warm to
  blue; the ground: lobe at −Y, sharpness as the sky's, radiance uniform in 0.05..0.5, tinted brown to grey;
  and even light of radiance 0.1;
* two to four softboxes: directions uniform over the sphere above −30° of elevation, sharpness log-uniform in
  6..40, each lighting a white matt surface that faces it by log-uniform 0.1..0.6;
* none, one or two lamps (equally likely): directions uniform over the sphere above the horizon, sharpness
  log-uniform in 80..500, lighting a facing white matt surface by uniform 0.2..0.7;
* everything scaled so that the mean radiance over the sphere, of the mean of the three colours, is `MEAN`.

Legend: K lobes.
"""

import math

import numpy as np
import torch

from polyglyph.scene.spherical_gaussians import SphericalGaussians

__all__ = ["LOBES", "MEAN", "random_environment"]

LOBES = 9
"""Every environment has this many: sky, ground, even light, four softboxes, two lamps; some may be dark."""
MEAN = 0.55
"""Mean radiance over the sphere. It is what a white matt ball shows, averaged over its normals (linear)."""


def random_environment(rng: np.random.Generator) -> SphericalGaussians:
    """One draw from the distribution at the top of this module: `LOBES` lobes, some of which may be dark."""
    axes, sharpness, colors = _softboxes_and_lamps(rng)
    lamps = SphericalGaussians.lamps(
        torch.from_numpy(axes), torch.from_numpy(sharpness), torch.from_numpy(colors)
    )
    up, dull = np.array([[0.0, 1, 0], [0, -1, 0], [0, 1, 0]]), float(_log_uniform(rng, 0.5, 3.0, 1)[0])
    sky = rng.uniform(0.3, 1.2) * _tint(rng, warm=(1.1, 1.0, 0.85), cold=(0.8, 0.95, 1.25))
    ground = rng.uniform(0.05, 0.5) * _tint(rng, warm=(1.2, 1.0, 0.75), cold=(1.0, 1.0, 1.0))
    even = np.full(3, 0.1)
    light = SphericalGaussians(
        torch.cat([torch.from_numpy(up), lamps.axes]).float(),
        torch.cat([torch.tensor([dull, dull, 0.0]), lamps.sharpness]).float(),
        torch.cat([torch.from_numpy(np.stack([sky, ground, even])), lamps.amplitude]).float(),
    )
    return SphericalGaussians(light.axes, light.sharpness, light.amplitude * (MEAN / light.mean().mean()))


def _softboxes_and_lamps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes [6, 3], sharpness [6] and what they light a facing surface to [6, 3]."""
    softboxes, lamps = rng.integers(2, 5), rng.integers(0, 3)
    lowest = np.array([-0.5] * 4 + [0.0] * 2)
    height = rng.uniform(lowest, 1.0)
    azimuth = rng.uniform(0, 2 * math.pi, 6)
    ring = np.sqrt(1 - height**2)
    axes = np.stack([ring * np.sin(azimuth), height, ring * np.cos(azimuth)], -1)
    sharpness = np.concatenate([_log_uniform(rng, 6.0, 40.0, 4), _log_uniform(rng, 80.0, 500.0, 2)])
    bright = np.concatenate([_log_uniform(rng, 0.1, 0.6, 4), rng.uniform(0.2, 0.7, 2)])
    lit = np.concatenate([np.arange(4) < softboxes, np.arange(2) < lamps])
    tints = np.stack([_tint(rng, warm=(1.15, 1.0, 0.8), cold=(0.9, 1.0, 1.15)) for _ in range(6)])
    return axes, sharpness, (bright * lit)[:, None] * tints


def _log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    return np.exp(rng.uniform(math.log(low), math.log(high), count))


def _tint(rng: np.random.Generator, *, warm: tuple, cold: tuple) -> np.ndarray:
    """A colour on the line between two."""
    share = rng.uniform()
    return share * np.array(warm) + (1 - share) * np.array(cold)
