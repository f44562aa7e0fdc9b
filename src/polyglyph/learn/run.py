"""A run folder: config, command, environment, metrics, preview and checkpoints of one training."""

from __future__ import annotations

import html
import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyglyph import __version__
from polyglyph.base.errors import DataError
from polyglyph.base.files import new_folder, read_json, refuse_overwrite, write_bytes, write_json, write_text
from polyglyph.formats.png import encode_png

__all__ = ["RunFolder"]

NOTES = 12
"""Notes that the page shows."""


class RunFolder:
    """The files of one training run; see docs/formats/run-folder.md."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    @classmethod
    def create(
        cls, path: Path, config: dict[str, Any], *, processes: int = 1, force: bool = False
    ) -> RunFolder:
        """Make a new run folder for so many processes. Raises DataError if it exists and `force` is false."""
        refuse_overwrite(path, force=force)
        with new_folder(path, force=force) as temporary:
            write_json(temporary / "config.json", config)
            write_text(temporary / "command.txt", shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
            write_json(temporary / "environment.json", environment() | {"processes": processes})
            write_text(temporary / "metrics.jsonl", "")
            (temporary / "checkpoints").mkdir()
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder. Raises DataError if it is not one."""
        if not (Path(path) / "config.json").is_file():
            raise DataError(
                f"`{path}` is not a run folder: it has no config.json", fix="start a new run with `--out`"
            )
        return cls(path)

    def config(self) -> Any:
        """The stored config as plain JSON."""
        return read_json(self.path / "config.json")

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line cut short by a kill is dropped."""
        lines = []
        for text in (self.path / "metrics.jsonl").read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return lines

    def rewind(self, step: int) -> None:
        """Drop the metrics of steps after `step`, which will be done again."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
        write_text(self.path / "metrics.jsonl", "".join(kept))

    def preview(self, picture: np.ndarray, *, title: str, said: str = "") -> None:
        """Replace preview.png (uint8 [H, W, 3]) and the page that shows it with the curves, with the last
        `notes` of the metrics, and with what is `said` besides.
        """
        write_bytes(self.path / "preview.png", encode_png(picture))
        write_text(self.path / "index.html", run_page(title, self.metrics(), said=said))


def environment() -> dict[str, Any]:
    """What a number needs beside it to be repeated."""
    return {
        "polyglyph": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def run_page(title: str, metrics: list[dict[str, Any]], *, said: str = "") -> str:
    """A page with the preview beside it, the last notes, and one small curve for each logged value."""
    last = {name: value for line in metrics for name, value in line.items()}
    names = [name for name in last if name not in ("step", "kimg", "seconds", "notes")]
    figures = "".join(
        f"<figure><figcaption>{name}: {last[name]:.4g}</figcaption>{_curve(metrics, name)}</figure>"
        for name in names
    )
    notes = [f"{line['kimg']:.1f} thousand: {note}" for line in metrics for note in line.get("notes", ())]
    told = "".join(f"<p>{html.escape(text)}</p>" for text in [*filter(None, [said]), *notes[-NOTES:]])
    kimg = metrics[-1].get("kimg", 0) if metrics else 0
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta http-equiv="refresh" content="60">'
        f"<title>{title}</title>"
        "<style>body{font:16px system-ui;margin:2rem;max-width:70rem}img{max-width:100%}"
        "div{display:grid;grid-template-columns:repeat(auto-fill,minmax(16rem,1fr));gap:1rem}figure{margin:0}"
        "svg{width:100%;height:6rem}polyline{fill:none;stroke:currentColor;stroke-width:1}</style>"
        f'<h1>{title}</h1><p>{kimg:.1f} thousand pictures seen</p>{told}<img src="preview.png" '
        f'alt="samples of the averaged generator from fixed codes"><div>{figures}</div></html>\n'
    )


def _curve(metrics: list[dict[str, Any]], name: str, points: int = 200) -> str:
    values = np.array(
        [line[name] for line in metrics if isinstance(line.get(name), (int, float))], dtype=float
    )
    chunks = [chunk.mean() for chunk in np.array_split(values, min(points, len(values)))]
    low, high = min(chunks), max(chunks)
    scale = 1 / (high - low) if high > low else 0.0
    step = 300 / max(len(chunks) - 1, 1)
    path = " ".join(f"{k * step:.1f},{95 - 90 * (value - low) * scale:.1f}" for k, value in enumerate(chunks))
    return (
        f'<svg viewBox="0 0 300 100" role="img" aria-label="{name} from {low:.4g} to {high:.4g}">'
        f'<polyline points="{path}" vector-effect="non-scaling-stroke"/></svg>'
    )
