"""How an object is turned, from one picture of it: tries a few beginnings, then refines the best."""

import math

import torch
from scene import camera, options, rotation, run, save, transform

import polyglyph.compat.nvdiffrast.torch as dr

RESOLUTION, BEGINNINGS = 64, 32
SIZES, COLORS = (1.1, 0.7, 0.4), ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1))


def block(device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A block with a colour on each side, and corners of its own: points, triangles, colours."""
    points, tri, colors = [], [], []
    for side, color in enumerate(COLORS):
        axis, sign = side // 2, 1 if side % 2 == 0 else -1
        for b, c in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            corner = [0.0, 0.0, 0.0]
            corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = sign, b, c
            points.append([value * size / 2 * 1.4 for value, size in zip(corner, SIZES, strict=True)])
            colors.append(color)
        tri += [(4 * side, 4 * side + 1, 4 * side + 2), (4 * side, 4 * side + 2, 4 * side + 3)]
    return (
        torch.tensor(points, device=device),
        torch.tensor(tri, dtype=torch.int32, device=device),
        torch.tensor(colors, dtype=torch.float32, device=device),
    )


def main() -> None:
    chosen = options(str(__doc__), steps=250)
    torch.manual_seed(chosen.seed)
    glctx, device = dr.RasterizeCudaContext(), chosen.device
    points, tri, colors = block(device)

    def draw(pose: torch.Tensor, size: int = RESOLUTION) -> torch.Tensor:
        pos = transform(camera(rotation(pose)), points)
        rast, _ = dr.rasterize(glctx, pos, tri, resolution=[size, size])
        out, _ = dr.interpolate(colors[None], rast, tri)
        return dr.antialias(out, rast, pos, tri)

    truth = torch.randn(1, 4, device=device)
    target = draw(truth)
    tried = torch.randn(BEGINNINGS, 4, device=device)
    with torch.no_grad():
        start = tried[(draw(tried) - target).square().mean(dim=(1, 2, 3)).argmin()]
    guess = start[None].clone().requires_grad_()

    def degrees() -> float:
        turn = rotation(guess.detach())[0].T @ rotation(truth)[0]
        return math.degrees(math.acos(min(max((turn.trace().item() - 1) / 2, -1.0), 1.0)))

    before = degrees()
    run(lambda _: (draw(guess) - target).square().mean(), [guess], steps=chosen.steps, rate=0.03)
    print(f"off by {before:.1f} degrees at first, {degrees():.2f} in the end")
    save(chosen.out, draw(guess, 256)[0], draw(truth, 256)[0])


if __name__ == "__main__":
    main()
