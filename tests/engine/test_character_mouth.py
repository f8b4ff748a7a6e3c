# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of the character's teeth, by a small depth buffer over the mouth, while the lips move."""

from __future__ import annotations

import numpy as np
import pytest

from engine.motion.character_asset import CharacterAsset

PIXEL, HALF_WIDTH = 0.0005, 0.032
MOUTH_CENTRE = np.array([0.0, 0.555, 0.12])
NEAR_CORNER = 0.006
LIPS = {
    "jaw alone": {},
    "smile on one side": {"mouthSmileLeft": 0.5},
    "dimple": {"mouthDimpleLeft": 0.5, "mouthDimpleRight": 0.5},
    "stretch": {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5},
    "funnel": {"mouthFunnel": 0.5},
    "pucker": {"mouthPucker": 0.5},
    "lower lip down": {"mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3},
    "upper lip up": {"mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3},
    "rolled": {"mouthRollLower": 0.35, "mouthRollUpper": 0.3},
}
"""Lip shapes as strong as the starter pack mixes them with an open jaw."""


def seen(
    character: CharacterAsset, mix: dict[str, float], yaw_deg: float, pitch_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where teeth are seen, and where the mouth's corners are.

    Returns:
        Places of the pixels that show teeth, (N, 2), and of the two corners, (2, 2), metres across and up.
    """
    vertices = character.vertices.astype(float)
    for name, value in mix.items():
        rows, offsets = character.shapes[name]
        vertices[rows] += value * offsets
    yaw, pitch = np.radians((yaw_deg, pitch_deg))
    towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    points = (vertices - MOUTH_CENTRE) @ np.stack([right, np.cross(towards, right), towards]).T
    size = round(2 * HALF_WIDTH / PIXEL)
    depth, shown = np.full((size, size), -np.inf), np.full((size, size), -1)
    pixels = (points[:, :2] + HALF_WIDTH) / PIXEL
    in_view = ((pixels > 0) & (pixels < size)).all(axis=1) & (vertices[:, 2] > 0.05)
    faces = in_view[character.quads].any(axis=1)
    quads, materials = character.quads[faces], character.quad_materials[faces]
    for corners, material in zip(
        np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]), np.tile(materials, 2), strict=True
    ):
        a, b, c = pixels[corners]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        low = np.maximum(np.floor(np.minimum(np.minimum(a, b), c)).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(np.maximum(a, b), c)).astype(int), size)
        if abs(area) < 1e-9 or (low >= high).any():
            continue
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        u = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
        v = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
        z = points[corners, 2] @ np.stack([(1 - u - v).ravel(), u.ravel(), v.ravel()])
        place = (slice(low[1], high[1]), slice(low[0], high[0]))
        front = (u >= 0) & (v >= 0) & (u + v <= 1) & (z.reshape(u.shape) > depth[place])
        depth[place][front] = z.reshape(u.shape)[front]
        shown[place][front] = material
    rows, columns = np.nonzero(shown == [m.name for m in character.materials].index("Teeth"))
    border = np.intersect1d(character.vertices_of("Lips"), character.vertices_of("Mouth"))
    ends = border[[character.vertices[border, 0].argmin(), character.vertices[border, 0].argmax()]]
    return np.column_stack([columns, rows]) * PIXEL + PIXEL / 2 - HALF_WIDTH, points[ends, :2]


@pytest.mark.parametrize("lips", LIPS)
def test_no_teeth_stand_in_the_corners_of_an_open_mouth(character: CharacterAsset, lips: str) -> None:
    """Seen from above and the side, where molars once stood up like fangs (16 to 25 square mm)."""
    for jaw, yaw, pitch in ((0.3, 12.0, 12.0), (0.6, 12.0, 12.0), (0.6, -12.0, 12.0), (0.6, 12.0, 28.0)):
        teeth, corners = seen(character, {**LIPS[lips], "jawOpen": jaw}, yaw, pitch)
        near = np.linalg.norm(teeth[:, None] - corners, axis=2) < NEAR_CORNER
        assert near.sum(axis=0).max() * PIXEL**2 < 6e-6, (jaw, yaw, pitch)
        assert len(teeth) > 0, "an open mouth shows teeth"


@pytest.mark.parametrize(
    "mix",
    [
        {},
        {"jawOpen": 0.3, "mouthClose": 0.3},
        {"mouthPressLeft": 0.6, "mouthPressRight": 0.6},
        {"mouthPucker": 0.6},
        {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6},
        {"mouthRollLower": 0.4, "mouthRollUpper": 0.4},
    ],
    ids=lambda mix: "+".join(mix) or "rest",
)
@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (35.0, 0.0), (0.0, 25.0)])
def test_closed_lips_cover_the_teeth(
    character: CharacterAsset, mix: dict[str, float], yaw: float, pitch: float
) -> None:
    """Nothing pokes through; between the lips half a millimetre of the mouth's width may show."""
    teeth, _ = seen(character, mix, yaw, pitch)
    assert len(teeth) * PIXEL**2 < 20e-6
