"""polyglyph: words to textured meshes, and back.

Importing this package loads nothing heavy; import the room you need
(`polyglyph.scene`, `polyglyph.shape`, ...).
"""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """`__version__`, looked up in the installed package when first asked for: that costs 40 ms."""
    if name != "__version__":
        raise AttributeError(f"module 'polyglyph' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("polyglyph")
    except PackageNotFoundError:  # running from a source tree that was never installed
        found = "0+source"
    globals()["__version__"] = found
    return found
