"""polyglyph: words to textured meshes, and back.

Importing this package loads nothing heavy; import the room you need
(`polyglyph.scene`, `polyglyph.shape`, ...).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("polyglyph")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+source"

__all__ = ["__version__"]
