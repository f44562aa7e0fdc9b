"""A cube's vertices and colours from small pictures of it, starting from noise."""

import torch
from scene import camera, options, rotation, run, save, transform

import polyglyph.compat.nvdiffrast.torch as dr

RESOLUTION, VIEWS = 32, 4
FACES = [
    *((0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4)),
    *((2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5)),
]


def main() -> None:
    chosen = options(str(__doc__), steps=600)
    torch.manual_seed(chosen.seed)
    glctx, device = dr.RasterizeCudaContext(), chosen.device
    axis = torch.tensor([-0.5, 0.5])
    corners = torch.cartesian_prod(axis, axis, axis).to(device)
    colors = corners + 0.5
    tri = torch.tensor(FACES, dtype=torch.int32, device=device)

    def draw(turn: torch.Tensor, points: torch.Tensor, color: torch.Tensor, size: int) -> torch.Tensor:
        pos = transform(camera(turn), points)
        rast, _ = dr.rasterize(glctx, pos, tri, resolution=[size, size])
        out, _ = dr.interpolate(color[None], rast, tri)
        return dr.antialias(out, rast, pos, tri)

    guess = (corners + 0.25 * torch.randn_like(corners)).requires_grad_()
    shades = torch.rand_like(colors).requires_grad_()

    def step(_: int) -> torch.Tensor:
        turn = rotation(torch.randn(VIEWS, 4)).to(device)
        target = draw(turn, corners, colors, RESOLUTION)
        return (draw(turn, guess, shades, RESOLUTION) - target).square().mean()

    before = (guess - corners).norm(dim=1).mean().item()
    run(step, [guess, shades], steps=chosen.steps, rate=0.02)
    place, shade = (guess - corners).norm(dim=1).mean().item(), (shades - colors).abs().mean().item()
    print(f"mean error of vertices {before:.4f} -> {place:.4f}, of colours {shade:.4f}")
    turn = rotation(torch.tensor([[0.9, 0.3, 0.4, 0.1]])).to(device)
    save(chosen.out, draw(turn, guess, shades, 256)[0], draw(turn, corners, colors, 256)[0])


if __name__ == "__main__":
    main()
