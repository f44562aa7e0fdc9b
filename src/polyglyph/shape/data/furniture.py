"""The furniture archives of Sweet Home 3D: 820 free models with names, tags, sizes, creators and licences.

They come from Debian's package `sweethome3d-furniture`, through the system's own package tool; nothing else
is contacted and nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from polyglyph.base.errors import BackendError, DataError
from polyglyph.base.files import new_folder, refuse_overwrite

__all__ = ["PACKAGE", "FetchResult", "fetch_furniture"]

PACKAGE = "sweethome3d-furniture"
_BY_HAND = (
    f"on a Debian or Ubuntu machine run `apt-get download {PACKAGE} && dpkg-deb -x {PACKAGE}_*.deb DIR` "
    "and give `import` the folder DIR/usr/share/sweethome3d/furniture"
)


@dataclass(frozen=True)
class FetchResult:
    """What `fetch_furniture` brought."""

    folder: Path
    archives: tuple[str, ...]
    bytes: int

    def summary(self) -> str:
        """One line for a person."""
        return f"{len(self.archives)} furniture archives ({self.bytes / 1e6:.0f} MB) in {self.folder}"


def fetch_furniture(directory: Path, *, force: bool = False) -> FetchResult:
    """Put the `.sh3f` archives and their copyright file into `directory` (about 130 MB).

    Raises BackendError, saying how to get them by hand, where apt and dpkg are missing; DataError if the
    download fails or `directory` is not empty.
    """
    directory = Path(directory).resolve()  # the commands run in a scratch folder of their own
    refuse_overwrite(directory, force=force)
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise BackendError(f"this machine has no `{'apt-get' if apt is None else 'dpkg-deb'}`", fix=_BY_HAND)
    with (
        new_folder(directory, force=force) as folder,
        tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
    ):
        _run([apt, "download", PACKAGE], scratch)
        packages = sorted(Path(scratch).glob(f"{PACKAGE}_*.deb"))
        if not packages:
            raise DataError(f"apt-get downloaded no `{PACKAGE}` package", fix=_BY_HAND)
        unpacked = Path(scratch) / "unpacked"
        _run([dpkg, "-x", str(packages[0]), str(unpacked)], scratch)
        archives = sorted(unpacked.rglob("*.sh3f"))
        if not archives:
            raise DataError(f"`{packages[0].name}` holds no furniture archive", fix=_BY_HAND)
        for path in [*archives, *unpacked.rglob(f"doc/{PACKAGE}/copyright")]:
            shutil.copyfile(path, folder / path.name)
    total = sum((directory / path.name).stat().st_size for path in archives)
    return FetchResult(directory, tuple(path.name for path in archives), total)


def _run(command: list[str], folder: str) -> None:
    """Run a command in `folder`; its last words become the error if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        reason = words[-1] if words else f"exit {done.returncode}"
        raise DataError(
            f"`{Path(command[0]).name} {command[1]}` failed: {reason}",
            fix="run `apt-get update` as root first, or " + _BY_HAND,
        )
