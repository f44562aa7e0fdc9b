"""Which edge collapses keep a surface a surface.

A quadric decimator that looks at distances alone pinches thin parts: edges with four faces, faces on top of
each other. The link condition (Dey, Edelsbrunner, Guha and Nekhayev 1999) says which collapses do not: those
where the vertices that both ends have as neighbours are just the ones opposite the edge. Every surface that
is left has the topology of the first: as many parts, as many handles, still closed.

Legend: V vertices, F faces, K collapses.
"""

import numpy as np
from jaxtyping import Integer

__all__ = ["sound_collapses"]


def sound_collapses(
    faces: Integer[np.ndarray, "F 3"], collapses: Integer[np.ndarray, "K 2"], limit: int
) -> tuple[Integer[np.ndarray, "k 2"], Integer[np.ndarray, "f 3"]]:
    """The collapses that may be done, in their order until `limit` faces are left, and the faces then.

    Row (a, b) of `collapses` merges vertex b into a; b is not named again. `faces` must be manifold; borders
    are kept as borders. Rows that no longer name an edge, since an earlier one was left out, are left out.
    """
    surface = _Surface(faces)
    done = []
    for a, b in collapses.tolist():
        if surface.count <= limit:
            break
        if surface.may_collapse(a, b):
            surface.collapse(a, b)
            done.append((a, b))
    return np.array(done, dtype=np.int32).reshape(-1, 2), surface.faces()


class _Surface:
    """Faces, and for each vertex the numbers of its faces."""

    def __init__(self, faces: np.ndarray) -> None:
        self.corners: list[list[int] | None] = faces.tolist()
        self.count = len(faces)
        self.around: dict[int, set[int]] = {}
        for number, face in enumerate(faces.tolist()):
            for vertex in face:
                self.around.setdefault(vertex, set()).add(number)

    def faces(self) -> np.ndarray:
        kept = [face for face in self.corners if face is not None]
        return np.array(kept, dtype=np.int32).reshape(-1, 3)

    def ring(self, vertex: int) -> set[int]:
        """The neighbours of a vertex."""
        found: set[int] = set()
        for face in self.around[vertex]:
            found.update(self.corners[face] or ())
        found.discard(vertex)
        return found

    def may_collapse(self, a: int, b: int) -> bool:
        left, right = self.around.get(a), self.around.get(b)
        if not left or not right:
            return False
        shared = left & right
        if not 1 <= len(shared) <= 2:
            return False
        ring_a, ring_b = self.ring(a), self.ring(b)
        opposite = {v for face in shared for v in self.corners[face] or () if v not in (a, b)}
        if ring_a & ring_b != opposite or len(opposite) != len(shared):
            return False
        if len(shared) == 2:
            # an edge inside between two borders would pinch them; of a tetrahedron two faces would be left
            both_on_border = len(ring_a) > len(left) and len(ring_b) > len(right)
            c, d = opposite
            over = self.around[c] & self.around[d]
            return not both_on_border and not (over & left and over & right)
        return len(self.around[opposite.pop()]) > 1

    def collapse(self, a: int, b: int) -> None:
        for number in self.around[a] & self.around[b]:
            for vertex in self.corners[number] or ():
                self.around[vertex].discard(number)
            self.corners[number] = None
            self.count -= 1
        for number in self.around.pop(b):
            face = self.corners[number]
            if face is not None:
                face[face.index(b)] = a
                self.around[a].add(number)
