"""What the examples share: cameras, an optimisation loop with its progress, and a picture at the end."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["camera", "options", "rotation", "run", "save", "transform"]


def options(text: str, steps: int) -> argparse.Namespace:
    """The command line of an example."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a picture: what was found beside what was looked for")
    return parser.parse_args()


def rotation(quaternion: Tensor) -> Tensor:
    """The rotation matrix [..., 3, 3] of a quaternion [..., 4] (w, x, y, z) of any length."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def camera(turn: Tensor, distance: float = 3.5, focal: float = 2.5) -> Tensor:
    """Clip matrices [..., 4, 4] of a camera before the origin, the scene turned by `turn` [..., 3, 3]."""
    near, far = 0.1, 10.0
    view = torch.zeros((*turn.shape[:-2], 4, 4), dtype=turn.dtype, device=turn.device)
    view[..., :3, :3] = turn
    view[..., 2, 3], view[..., 3, 3] = -distance, 1
    across, depth = (far + near) / (near - far), 2 * far * near / (near - far)
    rows = [[focal, 0, 0, 0], [0, focal, 0, 0], [0, 0, across, depth], [0, 0, -1, 0]]
    return turn.new_tensor(rows) @ view


def transform(matrix: Tensor, points: Tensor) -> Tensor:
    """Points [V, 3] or [B, V, 3] in clip space [B, V, 4]."""
    padded = torch.nn.functional.pad(points, (0, 1), value=1.0)
    return padded @ matrix.transpose(-1, -2)


def run(
    step: Callable[[int], Tensor],
    parameters: list[Tensor],
    *,
    steps: int,
    rate: float,
    decay: float = 0.05,
) -> float:
    """Minimise what `step(number)` returns with Adam, its rate falling to `decay` of what it was.

    Shows the loss and the time left, and returns the last loss.
    """
    optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: decay ** (n / max(steps, 1)))
    begun, loss = time.time(), torch.zeros(())
    for number in range(steps):
        loss = step(number)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if sys.stderr.isatty() and (number % 20 == 19 or number == steps - 1):
            left = (time.time() - begun) / (number + 1) * (steps - number - 1)
            print(
                f"\rstep {number + 1}/{steps}  loss {loss.item():.6f}  {left:.0f} s left ",
                end="",
                file=sys.stderr,
            )
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return loss.item()


def save(path: Path | None, *pictures: Tensor) -> None:
    """Pictures [H, W, 3] in 0..1, row 0 at the bottom, side by side in one file."""
    if path is None:
        return
    row = torch.cat([picture.detach().cpu().flip(0) for picture in pictures], dim=1)
    Image.fromarray((row.clamp(0, 1) * 255).round().numpy().astype(np.uint8)).save(path)
    print(f"wrote {path}")
