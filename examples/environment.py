"""The surroundings that a shiny ball reflects, as a cube map, from pictures of the ball."""

import torch
from scene import camera, options, rotation, run, save, transform
from trimesh.creation import icosphere

import polyglyph.compat.nvdiffrast.torch as dr

RESOLUTION, TEXELS = 96, 32
BLUR = 0.5
"""Of the ball: the mip level that it reflects."""
SIDES = (
    (0.9, 0.3, 0.2),
    (0.2, 0.6, 0.9),
    (0.9, 0.9, 0.8),
    (0.3, 0.25, 0.2),
    (0.3, 0.8, 0.3),
    (0.7, 0.4, 0.8),
)


def surroundings(device: str) -> torch.Tensor:
    """A cube map [1, 6, h, h, 3]: a colour for each side, brighter patches on it."""
    rows = (torch.arange(TEXELS) + 0.5) / TEXELS
    v, u = torch.meshgrid(rows, rows, indexing="ij")
    base = torch.tensor(
        [
            [0.9, 0.3, 0.2],
            [0.2, 0.6, 0.9],
            [0.9, 0.9, 0.8],
            [0.3, 0.25, 0.2],
            [0.3, 0.8, 0.3],
            [0.7, 0.4, 0.8],
        ]
    )
    patches = ((u * 4).floor() + (v * 4).floor()) % 2
    return (base[:, None, None] * (0.3 + 0.7 * patches[None, :, :, None]))[None].to(device)


def main() -> None:
    chosen = options(str(__doc__), steps=300)
    torch.manual_seed(chosen.seed)
    glctx, device, mesh = dr.RasterizeCudaContext(), chosen.device, icosphere(subdivisions=4)
    points = torch.tensor(mesh.vertices, dtype=torch.float32, device=device)
    tri = torch.tensor(mesh.faces, dtype=torch.int32, device=device)
    truth = surroundings(device)

    def draw(turn: torch.Tensor, tex: torch.Tensor, size: int = RESOLUTION) -> torch.Tensor:
        pos = transform(camera(turn, focal=3.0), points)
        rast, _ = dr.rasterize(glctx, pos, tri, resolution=[size, size])
        place, _ = dr.interpolate(points[None], rast, tri)
        eye = turn.transpose(1, 2) @ turn.new_tensor([0, 0, 3.5])
        normal = torch.nn.functional.normalize(place, dim=-1, eps=1e-6)
        sight = torch.nn.functional.normalize(place - eye[:, None, None], dim=-1)
        mirrored = sight - 2 * (sight * normal).sum(dim=-1, keepdim=True) * normal
        level = torch.full_like(mirrored[..., 0], BLUR)
        light = dr.texture(tex, mirrored, mip_level_bias=level, boundary_mode="cube")
        return light * (rast[..., 3:] > 0)

    guess = torch.full_like(truth, 0.5).requires_grad_()

    def step(_: int) -> torch.Tensor:
        turn = rotation(torch.randn(3, 4)).to(device)
        return (draw(turn, guess) - draw(turn, truth)).square().mean()

    def decibels() -> float:
        return -10 * (guess - truth).square().mean().log10().item()

    before = decibels()
    run(step, [guess], steps=chosen.steps, rate=0.03)
    print(f"the surroundings' signal to noise: {before:.1f} dB -> {decibels():.1f} dB")
    turn = rotation(torch.tensor([[0.9, 0.3, 0.4, 0.1]])).to(device)
    save(chosen.out, draw(turn, guess, 256)[0], draw(turn, truth, 256)[0])


if __name__ == "__main__":
    main()
