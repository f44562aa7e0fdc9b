"""The texture of a sphere, mip-mapped, from pictures of it at many distances."""

import torch
from scene import camera, options, rotation, run, save, transform

import polyglyph.compat.nvdiffrast.torch as dr

RESOLUTION, TEXELS = 128, 128


def sphere(device: str) -> tuple[torch.Tensor, ...]:
    """Points, texture coordinates and triangles of a UV sphere; the seam has vertices of its own."""
    rings, around = 32, 64
    v, u = torch.meshgrid(torch.linspace(0, 1, rings + 1), torch.linspace(0, 1, around + 1), indexing="ij")
    polar, angle = v * torch.pi, u * 2 * torch.pi
    points = torch.stack((polar.sin() * angle.cos(), polar.cos(), polar.sin() * angle.sin()), dim=-1)
    first = (torch.arange(rings)[:, None] * (around + 1) + torch.arange(around)).reshape(-1)
    right, below = first + 1, first + around + 1
    tri = torch.cat((torch.stack((first, right, below), 1), torch.stack((right, below + 1, below), 1)))
    return (
        points.reshape(-1, 3).to(device),
        torch.stack((u, v), -1).reshape(-1, 2).to(device),
        tri.int().to(device),
    )


def pattern(device: str) -> torch.Tensor:
    """A texture with detail of every size."""
    v, u = torch.meshgrid(*[(torch.arange(TEXELS) + 0.5) / TEXELS] * 2, indexing="ij")
    waves = [0.5 + 0.5 * torch.sin(2 * torch.pi * (k * u + m * v)) for k, m in ((2, 3), (7, -5), (13, 17))]
    squares = ((u * 16).floor() + (v * 8).floor()) % 2
    return (torch.stack(waves, dim=-1) * (0.4 + 0.6 * squares[..., None])).to(device)


def main() -> None:
    chosen = options(str(__doc__), steps=250)
    torch.manual_seed(chosen.seed)
    glctx, (points, uv, tri) = dr.RasterizeCudaContext(), sphere(chosen.device)
    truth = pattern(chosen.device)

    def draw(turn: torch.Tensor, tex: torch.Tensor, distance: float, size: int = RESOLUTION) -> torch.Tensor:
        pos = transform(camera(turn, distance), points)
        rast, rast_db = dr.rasterize(glctx, pos, tri, resolution=[size, size])
        place, place_da = dr.interpolate(uv[None], rast, tri, rast_db=rast_db, diff_attrs="all")
        color = dr.texture(tex[None], place, place_da, filter_mode="linear-mipmap-linear")
        return color * (rast[..., 3:] > 0)

    guess = torch.full_like(truth, 0.5).requires_grad_()

    def step(number: int) -> torch.Tensor:
        turn, distance = rotation(torch.randn(2, 4)).to(chosen.device), (2.6, 3.5, 6.0)[number % 3]
        return (draw(turn, guess, distance) - draw(turn, truth, distance)).square().mean()

    def decibels() -> float:
        return -10 * (guess - truth).square().mean().log10().item()

    before = decibels()
    run(step, [guess], steps=chosen.steps, rate=0.05)
    print(f"the texture's signal to noise: {before:.1f} dB -> {decibels():.1f} dB")
    turn = rotation(torch.tensor([[0.9, 0.3, 0.4, 0.1]])).to(chosen.device)
    save(chosen.out, draw(turn, guess, 2.8, 256)[0], draw(turn, truth, 2.8, 256)[0])


if __name__ == "__main__":
    main()
