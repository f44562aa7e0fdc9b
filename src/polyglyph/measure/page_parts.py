"""What the pages about measurements share: one file each, nothing asked of the network."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from typing import Any

__all__ = ["PAGE", "embedded_png", "html_table"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2rem .8rem .2rem 0; text-align: left; }}
.scroll {{ overflow-x: auto; }}
.grid {{ display: flex; flex-wrap: wrap; gap: .6rem; }}
figure {{ margin: 0; font-size: 12px; max-width: 13rem; overflow-wrap: anywhere; }}
.wide figure {{ max-width: none; margin-bottom: 1rem; }}
img {{ background: #fff; border-radius: 4px; max-width: 100%; }} .none img {{ opacity: .35; }}
.warning {{ border-left: 3px solid #c80; padding-left: .6rem; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16181c; color: #dde; }} }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""
"""A page; `title` and `body` are HTML."""


def html_table(values: dict[str, Any]) -> str:
    """Names and values, a row each; what is nested gets dotted names."""
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in _flat(values)
    )
    return f"<table>{rows}</table>"


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + str(key), value


def embedded_png(png: bytes, alt: str) -> str:
    """A picture that is part of the page."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'
