"""The rendering equation by brute force: the reference for closed forms and prefiltered pictures, in float64.

Written from the textbook's terms (D, G, F apart; glTF 2.0, appendix B), and shares no code with the package.
"""

import math

import numpy as np
import torch


def globe(samples: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions all round and the solid angle of each."""
    height, weight = np.polynomial.legendre.leggauss(samples)
    around = (np.arange(2 * samples) + 0.5) * math.pi / samples
    z, angle = np.meshgrid(height, around, indexing="ij")
    ring = np.sqrt(1 - z * z)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1).reshape(-1, 3)
    return torch.tensor(directions), torch.tensor(np.repeat(weight, 2 * samples) * math.pi / samples)


def frames(normal: torch.Tensor) -> torch.Tensor:
    """Rotations [N, 3, 3] whose rows are two tangents and the normal."""
    helper = torch.where(normal[:, :1].abs() < 0.7, torch.eye(3)[0].double(), torch.eye(3)[1].double())
    side = torch.nn.functional.normalize(torch.linalg.cross(helper, normal), dim=1)
    return torch.stack([side, torch.linalg.cross(normal, side), normal], 1)


def brdf(normal, view, light, f0, alpha):
    """D G F / (4 n·l n·v) [N, S, 3] for normals, views [N, 3] and light directions [N, S, 3]."""
    half = torch.nn.functional.normalize(view[:, None] + light, dim=-1)
    n_h = (half * normal[:, None]).sum(-1)
    n_l = (light * normal[:, None]).sum(-1).clamp(min=1e-9)
    n_v = (view * normal).sum(-1, keepdim=True)
    v_h = (half * view[:, None]).sum(-1).clamp(0, 1)
    d = alpha**2 / (math.pi * (n_h**2 * (alpha**2 - 1) + 1) ** 2)

    def hidden(cosine):
        return ((1 + alpha**2 * (1 / cosine**2 - 1)).sqrt() - 1) / 2

    g = 1 / (1 + hidden(n_l) + hidden(n_v))
    f = f0[:, None] + (1 - f0[:, None]) * (1 - v_h[..., None]) ** 5
    return (d * g / (4 * n_l * n_v))[..., None] * f


def surface(albedo, metallic):
    return albedo * (1 - metallic), 0.04 * (1 - metallic) + albedo * metallic


def over_the_sphere(radiance, normal, view, albedo, metallic, roughness, samples=300):
    """One sample [1, 3]; every direction of a fine globe. For roughness of 0.25 and more."""
    light, weight = globe(samples)
    matt, f0 = surface(albedo, metallic)
    cosine = light @ normal[0]
    keep = cosine > 0
    light, weight = light[keep], (weight * cosine)[keep][:, None]
    value = matt / math.pi + brdf(normal, view, light[None], f0, roughness**2)[0]
    return (radiance(light) * weight * value).sum(0, keepdim=True)


def by_half_vectors(radiance, normal, view, albedo, metallic, roughness, rings=24, around=48):
    """Samples [N, 3] by midpoints in the half vector's slope, and the matt part over the cosine disc."""
    step, turn = (torch.arange(n, dtype=torch.float64) for n in (rings, around))
    u, phi = torch.meshgrid((step + 0.5) / rings, (turn + 0.5) / around * 2 * math.pi, indexing="ij")
    u, phi = u.reshape(1, -1), phi.reshape(1, -1)
    matt, f0 = surface(albedo, metallic)
    local = frames(normal)
    alpha = roughness**2

    def world(tangent):  # of the angle to the normal
        cosine = 1 / (1 + tangent**2).sqrt()
        sine = tangent * cosine
        flat = torch.stack([sine * phi.cos(), sine * phi.sin(), cosine.expand_as(sine * phi)], -1)
        return flat @ local, cosine

    disc, _ = world((u / (1 - u)).sqrt())
    lit = radiance(disc.reshape(-1, 3)).reshape(*disc.shape).mean(1)
    half, n_h = world(alpha * (u / (1 - u)).sqrt())
    v_h = (half * view[:, None]).sum(-1)
    light = 2 * v_h[..., None] * half - view[:, None]
    n_l = (light * normal[:, None]).sum(-1)
    # half vectors lie with the density D n·h; steradians of light are 4 v·h times theirs
    d = alpha**2 / (math.pi * (n_h**2 * (alpha**2 - 1) + 1) ** 2)
    weight = torch.where((n_l > 0) & (v_h > 0), n_l * 4 * v_h / (d * n_h), 0.0)
    value = brdf(normal, view, light, f0, alpha) * weight[..., None]
    mirrored = (radiance(light.reshape(-1, 3)).reshape(*light.shape) * value).mean(1)
    return matt * lit + mirrored
