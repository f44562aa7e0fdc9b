"""One page about two sets of shapes: is anything copied, what is covered, how the distances lie.

The page holds everything and asks the network for nothing.

Legend: N generated shapes, M reference shapes.
"""

from __future__ import annotations

import hashlib
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from polyglyph.base.errors import PolyglyphError
from polyglyph.base.files import write_bytes
from polyglyph.base.progress import track
from polyglyph.formats.png import encode_png
from polyglyph.measure.page_parts import PAGE, embedded_png, html_table
from polyglyph.measure.shapes import Shape
from polyglyph.scene.camera import orbit
from polyglyph.scene.material import Material, to_srgb_uint8
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render

__all__ = ["Matrices", "Portraits", "report_html", "thumbnails"]

SIDE, NEIGHBOURS = 96, 24
"""Side of a thumbnail; how many generated shapes are shown with what they are nearest to."""


CLAY = Material("clay", base_color=torch.tensor([0.28, 0.33, 0.40, 1.0]))
"""What every shape is made of on the page."""


class Matrices(NamedTuple):
    """Distances of one kind."""

    cross: np.ndarray
    """[N, M], generated and reference."""
    reference: np.ndarray
    """[M, M], reference among themselves."""


class Portraits(NamedTuple):
    """Pictures of textured shapes (PNG), and how far apart the means of their features are."""

    cross: np.ndarray
    """[N, M], generated and reference."""
    generated: Sequence[bytes]
    reference: Sequence[bytes]


def thumbnails(shapes: Sequence[Shape], names: Sequence[str], cache: Path) -> list[bytes]:
    """A small picture (PNG) of each named shape, without its textures, kept in `cache`."""
    wanted = set(names)
    found = []
    for shape in track([shape for shape in shapes if shape.name in wanted], "pictures"):
        path = cache / f"{hashlib.sha256(f'{shape.key} {SIDE} clay'.encode()).hexdigest()[:32]}.png"
        if not path.is_file():
            write_bytes(path, _picture(shape))
        found.append(path.read_bytes())
    return found


def _picture(shape: Shape) -> bytes:
    positions, faces = shape.load()
    try:
        mesh = Mesh(positions, faces, materials=[CLAY]).normalised("sphere", 0.9)
    except PolyglyphError:
        return encode_png(np.full((SIDE, SIDE, 3), 255, dtype=np.uint8))
    seen = render(mesh, orbit(35.0, 20.0), SIDE, background=(1.0, 1.0, 1.0))
    return encode_png(to_srgb_uint8(seen.rgba[0, ..., :3]).cpu().numpy())


def report_html(
    result: dict[str, Any],
    matrices: dict[str, Matrices],
    generated: Sequence[bytes],
    reference: Sequence[bytes],
    *,
    portraits: Portraits | None = None,
) -> str:
    """The whole page as text. `result` is what `compare` writes; pictures are in the order of its names."""
    ours, theirs = result["generated"], result["reference"]
    title = f"{ours['source']} against {theirs['source']}"
    sections = [_numbers(result)]
    if portraits is not None:
        sections.append("<h2>Pictures: the nearest reference of each shape</h2>")
        sections.append("<p>By the distance between the means of their pictures' features.</p>")
        sections.append(_neighbours(portraits.cross, ours["names"], theirs["names"], *portraits[1:]))
    for name, held in matrices.items():
        word = html.escape(name.upper())
        sections.append(f"<h2>{word}: the nearest reference of each shape</h2>")
        sections.append(_neighbours(held.cross, ours["names"], theirs["names"], generated, reference))
        sections.append(f"<h2>{word}: how near</h2>{_histogram(held)}")
        sections.append(f"<h2>{word}: what is covered</h2>")
        sections.append(_coverage(held, theirs["names"], reference))
    for side in (ours, theirs):
        if side["skipped"]:
            rows = "".join(
                f"<li>{html.escape(one['name'])}: {html.escape(one['reason'])}</li>"
                for one in side["skipped"]
            )
            sections.append(f"<h2>Not measured, of {html.escape(side['source'])}</h2><ul>{rows}</ul>")
    protocol = dict(result["config"]["protocol"])
    seen = protocol.pop("pictures", None)
    sections.append(f"<h2>Protocol</h2>{html_table(protocol)}")
    sections.append(html_table({"polyglyph": result["polyglyph"], "seed": result["config"]["seed"]}))
    if portraits is not None:
        sections.append(
            f"<h2>Protocol of the pictures</h2>{html_table(seen)}{html_table(result['extractor'])}"
        )
        for side in (ours, theirs):
            sections.append(f"<h3>{html.escape(side['source'])}</h3>{html_table(side['pictures'])}")
    return PAGE.format(title=html.escape(title), body="\n".join(sections))


def _numbers(result: dict[str, Any]) -> str:
    rows, warnings = [], []
    for name, found in result["metrics"].items():
        if name == "jsd":
            rows.append(("JSD", f"{found:.4f} bits", "0: the same places are filled"))
        elif name == "pr":
            rows += _shares(found)
        elif "distance" in found:
            rows.append(_distance(name, found))
            warnings += [found["warning"]] if found.get("warning") else []
        else:
            rows += _matched(name.upper(), found)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    counts = f"{result['generated']['shapes']} shapes against {result['reference']['shapes']}"
    told = "".join(f'<p class="warning">Warning: {html.escape(text)}.</p>' for text in warnings)
    return f"<p>{counts}.</p><table>{lines}</table>{told}"


def _matched(word: str, found: dict[str, Any]) -> list[tuple[str, str, str]]:
    interval = found["minimum_matching_distance_interval"]
    between = f", 95 % from {interval[0]:.4g} to {interval[1]:.4g}" if interval else ""
    return [
        (f"COV {word}", f"{100 * found['coverage']:.1f} %", "of the reference is nearest to something"),
        (f"MMD {word}", f"{found['minimum_matching_distance']:.4g}{between}", "small is good"),
        (
            f"1-NNA {word}",
            f"{100 * found['one_nearest_neighbour_accuracy']:.1f} %",
            f"50 % is best, of {found['one_nearest_neighbour_shapes']} shapes a side",
        ),
    ]


def _distance(name: str, found: dict[str, Any]) -> tuple[str, str, str]:
    counts = f"{found['generated_pictures']} pictures against {found['reference_pictures']}"
    if found.get("deviation") is None:
        return name, f"{found['distance']:.4g}", f"0 is best; {counts}"
    subsets = f"{found['subsets']} subsets of {found['subset_pictures']}"
    return name, f"{found['distance']:.4g} ± {found['deviation']:.2g}", f"0 is best; {counts}, {subsets}"


def _shares(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("Precision", f"{100 * found['precision']:.1f} %", "of generated pictures look like the reference"),
        ("Recall", f"{100 * found['recall']:.1f} %", "of reference pictures look like something generated"),
        ("Density", f"{found['density']:.3f}", "about 1 for pictures of the same kind"),
        (
            "Coverage",
            f"{100 * found['coverage']:.1f} %",
            f"of the reference; {found['shapes']} shapes a side",
        ),
    ]


def _neighbours(
    cross: np.ndarray,
    names: Sequence[str],
    others: Sequence[str],
    ours: Sequence[bytes],
    theirs: Sequence[bytes],
) -> str:
    """The generated shapes that are nearest to the reference first: copies are at the top."""
    figures = []
    for n in map(int, np.argsort(cross.min(axis=1), kind="stable")[:NEIGHBOURS]):
        m = int(cross[n].argmin())
        pair = embedded_png(ours[n], names[n]) + embedded_png(theirs[m], others[m])
        caption = html.escape(f"{names[n]} · {others[m]} · {cross[n, m]:.4g}")
        figures.append(f"<figure>{pair}<figcaption>{caption}</figcaption></figure>")
    return (
        "<p>Left what was generated, right the reference that is nearest to it; the nearest pairs first. If "
        f'they are the same shape, it was copied.</p><div class="grid">{"".join(figures)}</div>'
    )


def _coverage(held: Matrices, names: Sequence[str], pictures: Sequence[bytes]) -> str:
    counts = np.bincount(held.cross.argmin(axis=1), minlength=len(names))
    figures = [
        f'<figure class="{"some" if counts[n] else "none"}">{embedded_png(pictures[n], names[n])}'
        f"<figcaption>{html.escape(names[n])} · {counts[n]}</figcaption></figure>"
        for n in map(int, np.argsort(-counts, kind="stable"))
    ]
    return (
        "<p>Each reference shape, and how many generated ones it is nearest to; pale where it is nearest to "
        f'none.</p><div class="grid">{"".join(figures)}</div>'
    )


def _histogram(held: Matrices) -> str:
    """Distances to the nearest other shape."""
    figure = Figure(figsize=(7, 2.6), dpi=110)
    axes = figure.subplots()
    kinds = [
        ("generated to reference", held.cross.min(axis=1)),
        ("reference to generated", held.cross.min(axis=0)),
    ]
    if len(held.reference) > 1:
        apart = held.reference + np.diag(np.full(len(held.reference), np.inf))
        kinds.append(("reference to other reference", apart.min(axis=1)))
    most = float(np.quantile(np.concatenate([values for _, values in kinds]), 0.99))
    edges = np.linspace(0, most or 1, 31).tolist()
    for label, values in kinds:
        axes.hist(np.minimum(values, most), edges, histtype="step", linewidth=1.6, label=label, density=True)
    axes.set_xlabel("distance to the nearest; the farthest hundredth is at the right end")
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return (
        embedded_png(buffer.getvalue(), "histogram")
        + "<p>New shapes lie about as near to the reference as reference shapes lie to each other. A hump "
        "far to the left is copies, a hump far to the right shapes of another kind.</p>"
    )
