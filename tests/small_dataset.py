"""A whole data set folder of noise, written without a renderer."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from polyglyph.formats.png import write_image
from polyglyph.shape.data.cameras import Placement, sample_angles, write_cameras
from polyglyph.shape.data.config import CameraDistribution
from polyglyph.shape.data.dataset import DatasetInfo, pictures_checksum
from polyglyph.shape.data.manifest import MeshRow, write_rows
from polyglyph.shape.data.split import write_split


def write_dataset(folder: Path, split: dict[str, list[str]], *, views: int = 2) -> Path:
    """Objects by split, each with so many views at 16x16."""
    ids = sorted(identity for ids in split.values() for identity in ids)
    lens = CameraDistribution()
    random = np.random.default_rng(0)
    for identity in ids:
        (folder / "images" / identity).mkdir(parents=True)
        for view in range(views):
            picture = random.integers(0, 256, (16, 16, 4), dtype=np.uint8)
            write_image(folder / "images" / identity / f"{view:02d}.png", picture)
    angles = {identity: sample_angles(lens, identity, views, 0) for identity in ids}
    write_cameras(folder / "cameras.json", lens, angles, {i: Placement((0.0, 0.0, 0.0), 1.0) for i in ids})
    write_split(folder / "split.json", split)
    write_rows(
        folder / "manifest.jsonl",
        [MeshRow(id=i, key=i, name=i[5:], caption=f"caption {i}", category="chair") for i in ids],
    )
    info = DatasetInfo(
        views=views,
        resolution=16,
        objects=len(ids),
        pictures=len(ids) * views,
        checksum=pictures_checksum(folder, dict.fromkeys(ids, views)),
    )
    (folder / "dataset.json").write_text(json.dumps(dataclasses.asdict(info)))
    return folder
