# SPDX-License-Identifier: GPL-3.0-or-later
"""Surfaces cut from the base mesh: selection, refinement, offsets along normals, hems.

Every vertex of a surface is a weighted mean of base vertices plus an offset, so skin weights and
shape offsets follow from the base mesh whatever was done to the surface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from makehuman import Array, Indices
from scipy import sparse


@dataclass(frozen=True)
class Surface:
    """A piece of the character.

    Attributes:
        points: Vertices in the A-pose, (N, 3), metres.
        sources: Row n holds the base vertices that vertex n follows, (N, V) sparse, rows sum to 1.
        quads: Faces, (Q, 4).
        colours: Linear-light RGB of each vertex in [0, 1], (N, 3).
        material: Name of its material.
        extra_shapes: Further shape offsets by shape name, (N, 3), metres.
    """

    points: Array
    sources: sparse.csr_matrix
    quads: Indices
    colours: Array
    material: str
    extra_shapes: dict[str, Array]

    @property
    def num_vertices(self) -> int:
        """Number of vertices."""
        return len(self.points)


def cut(vertices: Array, quads: Indices, level: Array, material: str, slide: bool = False) -> Surface:
    """Take the faces whose corners all have a negative level.

    Args:
        vertices: Base vertices, (V, 3).
        quads: Candidate faces, (Q, 4).
        level: Signed distance to the cut of every base vertex, (V,), metres, negative inside.
        material: Material of the piece.
        slide: Move the vertices along the cut towards their outer neighbours until they lie on it, which
            turns the steps of the mesh into a clean line.
    """
    inside = level < 0
    chosen = quads[inside[quads].all(axis=1)]
    rows, inverse = np.unique(chosen, return_inverse=True)
    count = len(rows)
    share = np.ones(count)
    partner = rows.copy()
    if slide:
        index_of = np.full(len(vertices), -1)
        index_of[rows] = np.arange(count)
        best = np.full(count, np.inf)
        split = quads[inside[quads].any(axis=1) & ~inside[quads].all(axis=1)]
        for first in range(4):
            for second in range(4):
                a, b = split[:, first], split[:, second]
                for inner, outer in zip(a.tolist(), b.tolist(), strict=True):
                    row = index_of[inner]
                    if row < 0 or inside[outer]:
                        continue
                    length = float(np.linalg.norm(vertices[inner] - vertices[outer]))
                    if length < best[row]:
                        best[row] = length
                        share[row] = 1 - level[inner] / (level[inner] - level[outer])
                        partner[row] = outer
    cells = np.arange(count)
    sources = sparse.csr_matrix(
        (np.concatenate([share, 1 - share]), (np.tile(cells, 2), np.concatenate([rows, partner]))),
        (count, len(vertices)),
    )
    return Surface(sources @ vertices, sources, inverse.reshape(-1, 4), np.ones((count, 3)), material, {})


def normals(surface: Surface) -> Array:
    """Area-weighted vertex normals, (N, 3)."""
    corners = surface.points[surface.quads]
    facing = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    total = np.zeros_like(surface.points)
    for corner in range(4):
        np.add.at(total, surface.quads[:, corner], facing)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def inflate(surface: Surface, distance: Array | float) -> Surface:
    """Move vertices along their normals by metres."""
    shift = np.broadcast_to(np.asarray(distance, dtype=float), (surface.num_vertices,))
    return replace(surface, points=surface.points + shift[:, None] * normals(surface))


def edges_of(quads: Indices) -> tuple[Indices, Indices]:
    """Unique undirected edges (E, 2) and how many faces use each."""
    pairs = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]]])
    edges, counts = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    return edges, counts


def border(surface: Surface) -> Array:
    """True for vertices on an open edge, (N,)."""
    edges, counts = edges_of(surface.quads)
    mask = np.zeros(surface.num_vertices, dtype=bool)
    mask[edges[counts == 1]] = True
    return mask


def neighbour_means(surface: Surface) -> sparse.csr_matrix:
    """Matrix that replaces each vertex by the mean of its neighbours, (N, N)."""
    edges, _ = edges_of(surface.quads)
    both = np.concatenate([edges, edges[:, ::-1]])
    count = surface.num_vertices
    adjacency = sparse.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count))
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1.0)
    return sparse.diags(1.0 / degree) @ adjacency


def smooth(surface: Surface, strength: Array | float, steps: int) -> Surface:
    """Laplacian smoothing of the interior by a strength in [0, 1] per vertex."""
    means = neighbour_means(surface)
    amount = np.broadcast_to(np.asarray(strength, dtype=float), (surface.num_vertices,)) * ~border(surface)
    points = surface.points
    for _ in range(steps):
        points = points + amount[:, None] * (means @ points - points)
    return replace(surface, points=points)


def refine(surface: Surface) -> Surface:
    """One step of Catmull and Clark's subdivision (1978), open edges kept as smooth curves."""
    quads, count = surface.quads, surface.num_vertices
    num_quads = len(quads)
    edges, counts = edges_of(quads)
    lookup = {(int(a), int(b)): index for index, (a, b) in enumerate(edges)}
    sides = np.array(
        [
            [lookup[min(a, b), max(a, b)] for a, b in zip(quad, np.roll(quad, -1), strict=True)]
            for quad in quads.tolist()
        ]
    )  # (Q, 4): edge from corner k to corner k + 1
    face_rows = sparse.csr_matrix(
        (np.full(4 * num_quads, 0.25), (np.repeat(np.arange(num_quads), 4), quads.ravel())),
        (num_quads, count),
    )
    num_edges = len(edges)
    middle = sparse.csr_matrix(
        (np.full(2 * num_edges, 0.5), (np.repeat(np.arange(num_edges), 2), edges.ravel())), (num_edges, count)
    )
    share = sparse.csr_matrix(
        (np.ones(4 * num_quads), (sides.ravel(), np.repeat(np.arange(num_quads), 4))), (num_edges, num_quads)
    )
    inner = (counts == 2).astype(float)
    edge_rows = sparse.diags(1 - 0.5 * inner) @ middle + sparse.diags(0.25 * inner) @ share @ face_rows

    open_vertex = border(surface)
    touch = sparse.csr_matrix(
        (np.ones(4 * num_quads), (quads.ravel(), np.repeat(np.arange(num_quads), 4))), (count, num_quads)
    )
    valence = np.maximum(np.asarray(touch.sum(axis=1)).ravel(), 1.0)
    ends = sparse.csr_matrix(
        (np.ones(2 * num_edges), (edges.ravel(), np.repeat(np.arange(num_edges), 2))), (count, num_edges)
    )
    on_open = sparse.diags((counts == 1).astype(float))
    inner_rows = (
        sparse.diags(1 / valence**2) @ touch @ face_rows
        + sparse.diags(2 / valence**2) @ ends @ middle
        + sparse.diags((valence - 3) / valence)
    )
    open_rows = 0.5 * sparse.identity(count) + 0.25 * ends @ on_open @ middle
    point_rows = (
        sparse.diags((~open_vertex).astype(float)) @ inner_rows
        + sparse.diags(open_vertex.astype(float)) @ open_rows
    )
    weights = sparse.vstack([point_rows, edge_rows, face_rows]).tocsr()

    edge_ids, face_ids = count + sides, count + num_edges + np.arange(num_quads)
    finer = np.concatenate(
        [np.column_stack([quads[:, k], edge_ids[:, k], face_ids, edge_ids[:, k - 1]]) for k in range(4)]
    )
    return Surface(
        weights @ surface.points,
        (weights @ surface.sources).tocsr(),
        finer,
        weights @ surface.colours,
        surface.material,
        {name: weights @ offsets for name, offsets in surface.extra_shapes.items()},
    )


def hem(surface: Surface, depth: float) -> Surface:
    """Turn every open edge inwards by `depth` metres, which gives cloth a visible thickness."""
    quads = surface.quads
    pairs = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]]])
    _, index, counts = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True, return_counts=True)
    open_pairs = pairs[counts[index.ravel()] == 1]
    rows = np.unique(open_pairs)
    copy_of = np.full(surface.num_vertices, -1)
    copy_of[rows] = surface.num_vertices + np.arange(len(rows))
    inward = surface.points[rows] - depth * normals(surface)[rows]
    strip = np.column_stack(
        [open_pairs[:, 1], open_pairs[:, 0], copy_of[open_pairs[:, 0]], copy_of[open_pairs[:, 1]]]
    )
    return Surface(
        np.concatenate([surface.points, inward]),
        sparse.vstack([surface.sources, surface.sources[rows]]).tocsr(),
        np.concatenate([quads, strip]),
        np.concatenate([surface.colours, surface.colours[rows]]),
        surface.material,
        {name: np.concatenate([offsets, offsets[rows]]) for name, offsets in surface.extra_shapes.items()},
    )


def paint(
    surface: Surface, colour: tuple[float, float, float] | Array, amount: Array | float = 1.0
) -> Surface:
    """Blend a colour over the surface by an amount in [0, 1] per vertex."""
    mix = np.broadcast_to(np.asarray(amount, dtype=float), (surface.num_vertices,))[:, None]
    return replace(surface, colours=surface.colours * (1 - mix) + mix * np.asarray(colour))


def smoothstep(value: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)
