"""One HTML page with pictures of meshes; a click shows the mesh itself, turning, in 3D.

The page holds everything: it opens from a disk or over SSH, asks the network for nothing (its content
security policy forbids it), and works with a keyboard and in the dark. The 3D viewer is
@google/model-viewer, carried in `assets/`.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from polyglyph import __version__

__all__ = ["GalleryItem", "gallery_html"]


@dataclass(frozen=True)
class GalleryItem:
    """One mesh on the page."""

    name: str
    image_png: bytes | None
    """The thumbnail: PNG, WebP, JPEG or GIF bytes."""
    glb: bytes | None
    """The mesh; without one the picture cannot be opened."""
    caption: str = ""


def gallery_html(title: str, items: Sequence[GalleryItem], notes: str = "") -> str:
    """The whole page as text. `title`, names, captions and `notes` are plain text; a blank line in
    `notes` starts a paragraph. About 1.1 MB plus 4/3 of the pictures' and meshes' bytes.
    """
    with_models = any(item.glb is not None for item in items)
    cards = "\n".join(_card(index, item) for index, item in enumerate(items))
    blocks = [html.escape(block.strip()) for block in notes.split("\n\n") if block.strip()]
    values = {
        "generator": html.escape(f"polyglyph {__version__}"),
        "title": html.escape(title),
        "notes": "\n".join(f"<p>{block}</p>" for block in blocks),
        "cards": cards,
        "viewer": _viewer(items) if with_models else "",
    }
    return _filled("gallery.html", values)


def _filled(template: str, values: dict[str, str]) -> str:
    """An asset with its {{markers}} replaced, in one pass: a title with {{cards}} in it stays text."""
    pieces = _asset(template).split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        key, _, rest = piece.partition("}}")
        filled += [values[key], rest]
    return "".join(filled)


def _asset(name: str) -> str:
    return resources.files("polyglyph.formats").joinpath("assets", name).read_text(encoding="utf-8")


def _card(index: int, item: GalleryItem) -> str:
    name, caption = html.escape(item.name), html.escape(item.caption)
    if item.image_png is None:
        picture = '<span class="blank">no picture</span>'
    else:
        data = base64.b64encode(item.image_png).decode()
        alt = html.escape(f"Picture of {item.name}" + (f": {item.caption}" if item.caption else ""))
        picture = f'<img alt="{alt}" loading="lazy" src="data:{_kind(item.image_png)};base64,{data}">'
    text = f'<span class="name">{name}</span>'
    if caption:
        text += f'<span class="caption">{caption}</span>'
    if item.glb is None:
        return f'<li><div class="card">{picture}{text}</div></li>'
    label = html.escape(f"Show {item.name} in 3D")
    opening = f'<button class="card" data-model="model-{index}" title="{label}">'
    return f"<li>{opening}{picture}{text}</button></li>"


def _kind(data: bytes) -> str:
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:4] == b"RIFF":
        return "image/webp"
    return "image/gif" if data[:3] == b"GIF" else "image/png"


def _viewer(items: Sequence[GalleryItem]) -> str:
    models = "\n".join(
        f'<script type="text/plain" id="model-{index}">{base64.b64encode(item.glb).decode()}</script>'
        for index, item in enumerate(items)
        if item.glb is not None
    )
    # without its last line, which names a map for developer tools to fetch
    library = _asset("model-viewer.min.js").partition("\n//# sourceMappingURL")[0]
    return _filled(
        "viewer.html", {"models": models, "library": library, "script": _asset("gallery.js").strip()}
    )
