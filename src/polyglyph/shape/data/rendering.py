"""A mesh folder becomes a dataset folder: pictures of every mesh from random cameras, without Blender.

The work is divided by object: over the processes of one machine, and over machines by the launcher's RANK
and WORLD_SIZE. An object's pictures appear together or not at all, so that an interrupted run goes on where
it stopped. See docs/formats/dataset.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import polyglyph
from polyglyph.base.config import to_dict
from polyglyph.base.errors import ConfigError, DataError, PolyglyphError
from polyglyph.base.files import new_folder, read_json, write_json
from polyglyph.formats.meshes import read_mesh
from polyglyph.formats.model import Part
from polyglyph.formats.png import contact_sheet, encode_png, read_image, write_image
from polyglyph.learn.device import rank_and_world
from polyglyph.shape.data.cameras import (
    CAMERAS_FILE,
    Placement,
    clip_planes,
    read_cameras,
    sample_angles,
    write_cameras,
)
from polyglyph.shape.data.config import CameraDistribution, DatasetConfig, camera_distribution
from polyglyph.shape.data.dataset import DATASET_FILE, IMAGES, DatasetInfo, picture_name, pictures_checksum
from polyglyph.shape.data.geometry import bounds
from polyglyph.shape.data.importing import check
from polyglyph.shape.data.manifest import (
    MANIFEST,
    MESH,
    SKIPPED,
    MeshRow,
    SkippedRow,
    read_manifest,
    write_rows,
)
from polyglyph.shape.data.pool import run_over
from polyglyph.shape.data.split import SPLIT_FILE, split_rows, write_split

__all__ = ["RenderResult", "photograph", "place", "render_dataset"]

PARTS = ".parts"
SETTINGS = ".settings.json"
PREVIEW = "preview.png"


@dataclass(frozen=True)
class RenderResult:
    """What a call of `render_dataset` did."""

    folder: Path
    rendered: int
    """Objects whose pictures this call made."""
    kept: int
    """Objects whose pictures were there already."""
    skipped: tuple[SkippedRow, ...]
    finished: bool
    """False while other ranks still have objects to do."""
    checksum: str

    def summary(self) -> str:
        """One line for a person."""
        text = f"{self.rendered} objects rendered, {self.kept} already there, in {self.folder}"
        if self.skipped:
            text += f"; {len(self.skipped)} skipped (see {SKIPPED}), the first: {self.skipped[0].reason}"
        return text if self.finished else text + "; other ranks are still at work"


def render_dataset(meshes: Path, out: Path, config: DatasetConfig | None = None) -> RenderResult:
    """Render every mesh of the mesh folder `meshes` into the dataset folder `out`.

    Pictures are RGBA with straight alpha, sRGB, the object centred. They depend on the settings and the mesh
    alone, not on the number of processes or the order. Run again to continue.

    Raises DataError if `meshes` is not a mesh folder, every mesh is bad, or `out` is something else;
    ConfigError if `out` was begun with other settings.
    """
    config = config or DatasetConfig()
    meshes, out = Path(meshes), Path(out)
    rows = read_manifest(meshes)[: config.limit]
    distribution = camera_distribution(config.camera)
    split = split_rows(rows, seed=config.seed, path=Path(config.split) if config.split else None)
    rank, world = rank_and_world()
    _begin(out, config, distribution, world)
    jobs = [
        _Job(row, meshes / row.id / MESH, out, config, distribution)
        for row in rows[rank::world]
        if not is_complete(out, row.id, config.views)
    ]
    mine = len(rows[rank::world])
    done = 0
    for _, reason in run_over(_render_one, jobs, workers=config.workers, label="rendering"):
        done += reason is None
    finished, skipped, checksum = _finish(out, rows, split, config, distribution)
    return RenderResult(out, done, mine - len(jobs), skipped, finished, checksum)


def _begin(out: Path, config: DatasetConfig, distribution: CameraDistribution, world: int) -> None:
    """Make or check the output folder: continued only with the settings it was begun with."""
    wanted = _settings(config, distribution)
    if config.force and world > 1:
        raise ConfigError(
            "`--force` with several ranks would delete what others write", fix="delete the folder first"
        )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / SETTINGS).is_file())):
        raise DataError(f"`{out}` is there and is not a dataset", fix="choose another name")
    if (out / SETTINGS).is_file():
        found = read_json(out / SETTINGS)
        if config.force:
            shutil.rmtree(out)
        elif found != wanted:
            names = sorted(
                name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]
            )
            raise ConfigError(
                f"`{out}` was begun with other settings: {', '.join(names)}",
                fix="use the same settings, another folder, or `--force` to render everything again",
            )
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    (out / PARTS).mkdir(exist_ok=True)
    if not (out / SETTINGS).is_file():
        write_json(out / SETTINGS, wanted)


def _settings(config: DatasetConfig, distribution: CameraDistribution) -> dict[str, object]:
    """What the pictures depend on, JSON-ready."""
    values = to_dict(config)
    for name in ("workers", "force", "limit", "split", "camera"):
        del values[name]
    camera = {name: list(v) if isinstance(v, tuple) else v for name, v in to_dict(distribution).items()}
    return {**values, "camera": camera}


def is_complete(out: Path, identity: str, views: int) -> bool:
    """Whether all pictures of an object are there."""
    folder = out / IMAGES / identity
    return folder.is_dir() and all((folder / picture_name(view)).is_file() for view in range(views))


@dataclass(frozen=True)
class _Job:
    row: MeshRow
    mesh: Path
    out: Path
    config: DatasetConfig
    distribution: CameraDistribution


def _render_one(job: _Job) -> str | None:
    """Render one object into `images/ID`. Returns why not, if not."""
    part = job.out / PARTS / f"{job.row.id}.json"
    try:
        with new_folder(job.out / IMAGES / job.row.id, force=True) as folder:
            placement = _place_and_draw(job, folder)
            write_json(part, {"center": list(placement.center), "scale": placement.scale})
    except (PolyglyphError, OSError, MemoryError) as problem:
        if isinstance(problem, OSError) and problem.errno == 28:  # no space left: not the mesh's fault
            raise
        reason = str(problem) or type(problem).__name__
        write_json(part, {"skipped": reason})
        return reason
    return None


def place(
    low: np.ndarray, high: np.ndarray, points: np.ndarray, config: DatasetConfig, lens: CameraDistribution
) -> Placement:
    """Where and how large an object stands: its box centred, the longest side `object_size`.

    With `keep_in_view` it shrinks until the sphere around the box's centre through its farthest point lies
    inside the cone of view (98 % of it) from every side. `points` are the used vertices [V, 3].
    """
    center = (low + high) / 2
    scale = config.object_size / float((high - low).max())
    if config.keep_in_view:
        reach = float(np.linalg.norm(points - center, axis=1).max())
        scale = min(scale, 0.98 * lens.radius * float(np.sin(np.radians(lens.fov / 2))) / reach)
    return Placement((float(center[0]), float(center[1]), float(center[2])), scale)


def _place_and_draw(job: _Job, folder: Path) -> Placement:
    import torch

    torch.set_num_threads(1)
    file = read_mesh(job.mesh)
    check(file)
    angles = sample_angles(job.distribution, job.row.key, job.config.views, job.config.seed)
    pixels, placement = photograph(file.parts, angles, job.config, job.distribution, key=job.row.key)
    for view, array in enumerate(pixels):
        (folder / picture_name(view)).write_bytes(encode_png(array))
    return placement


def photograph(
    parts: Sequence[Part],
    angles: np.ndarray,
    config: DatasetConfig,
    lens: CameraDistribution,
    *,
    key: str = "",
    unlit: bool = False,
    device: str = "cpu",
) -> tuple[np.ndarray, Placement]:
    """An object's pictures, uint8 [N, H, W, 4], sRGB with straight alpha, and how it was placed for them.

    `angles` [N, 2] are azimuth and elevation in degrees; radius and field of view are the `lens`'. With
    `unlit` the pictures show plain base colours, for colours that hold their light already.

    The light `environment` is drawn for every picture, as its camera is (GET3D's materials, section 4.3.2):
    with one for all pictures of an object, what is bright on it and what shines on it would look the same
    from most sides. Picture v has the light of `config.seed`, the mesh's `key` and v alone.
    """
    import torch

    from polyglyph.scene.camera import orbit
    from polyglyph.scene.mesh import Mesh
    from polyglyph.scene.render import render

    low, high = bounds(parts)
    points = np.concatenate([part.positions[np.unique(part.faces)] for part in parts if len(part.faces)])
    placement = place(low, high, points.astype(np.float64), config, lens)
    mesh = Mesh.from_parts(parts)
    center = torch.tensor(placement.center, dtype=mesh.positions.dtype)
    mesh = dataclasses.replace(mesh, positions=(mesh.positions - center) * placement.scale).to(device)
    near, far = clip_planes(lens.radius)
    azimuth, elevation = torch.from_numpy(angles).float().unbind(1)
    cameras = orbit(azimuth, elevation, lens.radius, lens.fov, near=near, far=far)
    lit = [(cameras, _lights(config.light))]
    if config.light == "environment" and not unlit:
        lit = [(cameras[v : v + 1], _environment(config.seed, key, v)) for v in range(len(angles))]
    with torch.inference_mode():
        pixels = np.concatenate(
            [
                render(
                    mesh,
                    some,
                    config.resolution,
                    lights=lights,
                    supersample=config.supersample,
                    shading="albedo" if unlit else "shaded",
                )
                .to_uint8()
                .cpu()
                .numpy()
                for some, lights in lit
            ]
        )
    pixels[pixels[..., 3] == 0] = 0
    return pixels, placement


def _environment(seed: int, key: str, view: int) -> tuple:
    """The surroundings of one picture; not those random numbers that its camera comes from."""
    from polyglyph.scene.random_environment import random_environment

    digest = hashlib.sha256(f"{seed}\n{key}\nlight {view}".encode()).digest()
    return (random_environment(np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))),)


def _lights(name: str) -> tuple:
    from polyglyph.scene.light import FLAT, STUDIO, Directional, SphericalHarmonics

    if name == "studio":
        return STUDIO
    if name == "flat":
        return FLAT
    sky = SphericalHarmonics.sky(above=(0.92, 0.92, 0.92), below=(0.50, 0.50, 0.50))
    return (sky, Directional((0.0, 0.9, 0.6), (0.28, 0.28, 0.28)))


def _finish(
    out: Path,
    rows: list[MeshRow],
    split: dict[str, list[str]],
    config: DatasetConfig,
    distribution: CameraDistribution,
) -> tuple[bool, tuple[SkippedRow, ...], str]:
    """Write the files that describe the whole, once every object is done or skipped.

    With several ranks the last one gets here with nothing missing; two at once write the same bytes.
    """
    placements: dict[str, Placement] = {}
    if (out / CAMERAS_FILE).is_file():
        placements.update(read_cameras(out / CAMERAS_FILE).placements)
    skipped = []
    for row in rows:
        part = out / PARTS / f"{row.id}.json"
        value = read_json(part) if part.is_file() else {}
        if is_complete(out, row.id, config.views):
            if "scale" in value:
                placements[row.id] = Placement(tuple(value["center"]), value["scale"])
        elif "skipped" in value:
            skipped.append(SkippedRow(key=row.key, name=row.name, reason=value["skipped"], source=row.source))
        else:
            return False, tuple(skipped), ""
    done = [row for row in rows if is_complete(out, row.id, config.views)]
    if not done:
        raise DataError(
            f"none of the {len(rows)} meshes could be rendered; the first: {skipped[0].reason}",
            fix="run `polyglyph inspect` on the mesh folder",
        )
    ids = [row.id for row in done]
    angles = {row.id: sample_angles(distribution, row.key, config.views, config.seed) for row in done}
    write_rows(out / MANIFEST, done)
    write_rows(out / SKIPPED, skipped)
    write_cameras(
        out / CAMERAS_FILE, distribution, angles, {identity: placements[identity] for identity in ids}
    )
    write_split(
        out / SPLIT_FILE, {name: [i for i in chosen if i in angles] for name, chosen in split.items()}
    )
    write_image(out / PREVIEW, contact_sheet(list(_preview(out, ids)), background=(255, 255, 255)))
    checksum = pictures_checksum(out, dict.fromkeys(ids, config.views))
    info = DatasetInfo(
        renderer=f"polyglyph {polyglyph.__version__}",
        views=config.views,
        resolution=config.resolution,
        camera=distribution,
        light=config.light,
        object_size=config.object_size,
        keep_in_view=config.keep_in_view,
        supersample=config.supersample,
        seed=config.seed,
        objects=len(ids),
        pictures=len(ids) * config.views,
        checksum=checksum,
    )
    write_json(out / DATASET_FILE, to_dict(info))
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return True, tuple(skipped), checksum


def _preview(out: Path, ids: list[str]) -> Iterator[np.ndarray]:
    """The first view of at most 100 objects, evenly chosen."""
    step = max(1, -(-len(ids) // 100))
    for identity in ids[::step]:
        yield read_image(out / IMAGES / identity / picture_name(0))
