"""A process that unwraps one mesh with xatlas, so that it can be stopped: arrays on stdin, arrays on stdout.

xatlas holds the interpreter while it works and takes hours on some surfaces; a process can be killed, a
thread cannot. Run as `python -m polyglyph.scene.xatlas_worker`; `atlas.unwrap` is its only caller.
"""

import io
import sys

import numpy as np


def main() -> int:
    """Read `positions`, `faces`, `resolution`, `padding`; write `vertex_map`, `faces`, `uvs`."""
    import xatlas

    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as job:
        positions, faces = job["positions"], job["faces"]
        options = xatlas.PackOptions()
        options.resolution, options.padding = int(job["resolution"]), int(job["padding"])
        options.bilinear = True
        options.create_image = False
    atlas = xatlas.Atlas()
    atlas.add_mesh(positions, faces)
    atlas.generate(pack_options=options)
    vertex_map, indices, uvs = atlas[0]
    result = io.BytesIO()
    np.savez(
        result,
        vertex_map=vertex_map.astype(np.int64),
        faces=indices.astype(np.int32),
        uvs=uvs.astype(np.float32),
        pages=atlas.atlas_count,
    )
    sys.stdout.buffer.write(result.getvalue())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
