"""One triangle with a colour at each corner."""

import torch
from scene import options, save

import polyglyph.compat.nvdiffrast.torch as dr


def main() -> None:
    chosen = options(str(__doc__), steps=0)
    glctx = dr.RasterizeCudaContext()
    pos = torch.tensor([[[-0.8, -0.8, 0, 1], [0.8, -0.8, 0, 1], [-0.8, 0.8, 0, 1]]], device=chosen.device)
    tri = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=chosen.device)
    color = torch.eye(3, device=chosen.device)[None]
    rast, _ = dr.rasterize(glctx, pos, tri, resolution=[256, 256])
    out, _ = dr.interpolate(color, rast, tri)
    picture = dr.antialias(out, rast, pos, tri)
    covered = (rast[..., 3] > 0).float().mean().item()
    print(f"the triangle covers {covered:.4f} of the picture; 1.6 · 1.6 / 2 / 4 = {1.6 * 1.6 / 8:.4f}")
    save(chosen.out, picture[0])


if __name__ == "__main__":
    main()
