"""Volumes with a known truth, made on the spot: for tests, for the demo, for the pictures in the documentation.

The same seed gives the same volume. Nothing here comes from a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from camlime.scan import Scan

CHEST_SHAPE = (320, 248, 64)
CHEST_SPACING = (1.0, 1.0, 1.25)
NODULE_DIAMETER_MM = 16.0

_AIR, _LUNG, _FAT, _SOFT, _BLOOD, _MARROW, _CORTEX = -1000.0, -865.0, -100.0, 45.0, 40.0, 180.0, 650.0  # HU


def blob(
    shape: Sequence[int] = (40, 36, 32),
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    direction: np.ndarray | None = None,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    center_ras: Sequence[float] | None = None,
    radius_mm: float = 5.0,
    channels: int = 1,
    seed: int = 0,
) -> Scan:
    """Make a bright ball on a darker, noisy background; the ball's centre is a known point in the patient.

    Values are about 100 in the background (noise with a standard deviation of 5) and 1000 in the ball, with partial
    volume at its edge; further channels are the same ball, each 10 % darker than the one before.

    Args:
        shape: spatial shape, 2D or 3D; a 2D image lies in the plane of its first two axes.
        spacing: mm, one number an axis.
        direction: 3x3, columns are the voxel axes in RAS; the identity by default, need not be orthogonal.
        origin: RAS mm of voxel (0, 0, 0).
        center_ras: RAS mm of the ball's centre; the middle of the volume by default.
        radius_mm: the ball's radius.
        channels: how many channels.
        seed: of the noise.

    Example:
        >>> scan = blob(center_ras=(20, 10, 15))
        >>> bool(scan.image[0, 20, 10, 15] > 900)
        True
    """
    dims = len(shape)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3) if direction is None else np.asarray(direction, dtype=float)
    affine[:3, :dims] *= np.asarray(spacing, dtype=float)[:dims]
    affine[:3, 3] = origin
    middle = np.zeros(3)
    middle[:dims] = (np.array(shape) - 1) / 2
    center = affine[:3, :3] @ middle + affine[:3, 3] if center_ras is None else np.asarray(center_ras, dtype=float)

    index = np.stack([*np.indices(shape), *[np.zeros(shape)] * (3 - dims)], axis=-1)
    distance = np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - center, axis=-1)
    soft = float(np.linalg.norm(affine[:3, :dims], axis=0).mean())
    inside = np.clip(0.5 + (radius_mm - distance) / soft, 0, 1)
    noise = np.random.default_rng(seed).normal(0, 5, (channels, *shape))
    brightness = (900 * 0.9 ** np.arange(channels)).reshape([-1] + [1] * dims)
    image = (100 + brightness * inside + noise).astype(np.float32)
    return Scan.from_array(image, affine, source="blob phantom")


def chest_ct_nodule(seed: int = 0) -> tuple[Scan, np.ndarray, np.ndarray]:
    """Make a part of a chest CT, in HU, with one spiculated nodule of about 16 mm in one of the lungs.

    80 mm of a thorax at 1.0 x 1.0 x 1.25 mm: skin, fat, muscle, ribs, spine and sternum; mediastinum with heart and
    aorta; two lungs with branching vessels and airways; correlated noise. The voxel axes run as a scanner's do (to the
    patient's left, to the back, to the head). The seed moves the nodule and draws vessels, shapes and noise.

    Returns:
        The scan ``(1, 320, 248, 64)``; the nodule's centre in RAS mm, shape (3,), the centroid of its mask; and the
        mask, bool ``(320, 248, 64)``, spicules included.

    Example:
        >>> scan, center, nodule = chest_ct_nodule(seed=3)
        >>> bool(scan.covers(center))
        True
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas()
    hu, lungs, walls = _thorax(canvas, rng)
    side = int(rng.choice((-1, 1)))
    center = np.array([side * rng.uniform(86, 94), rng.uniform(-25, 15), rng.uniform(-16, 16)])
    nodule = _nodule(canvas, center, rng)

    vessels, lumens = canvas.empty(), canvas.empty()
    for lung_side in (-1, 1):
        hilum = np.array([lung_side * 36.0, -6.0, 0.0])
        _tree(canvas, vessels, hilum, lung_side, rng, radius=5.0, reach=1.0)
        _tree(canvas, lumens, hilum + (0, -9, 4), lung_side, rng, radius=4.2, reach=0.45)
    canvas.capsule(lumens, (-36, -15, 4), (0, -12, 26), 6.0, 6.0)
    canvas.capsule(lumens, (36, -15, 4), (0, -12, 26), 6.5, 6.0)
    canvas.capsule(lumens, (0, -12, 26), (0, -14, 60), 8.5, 8.5)
    airway_wall = ndimage.maximum_filter(lumens, size=3) * (1 - lumens)

    hu += lungs * vessels * (_BLOOD - hu)
    hu += lungs * airway_wall * 0.8 * (_SOFT - 30 - hu)
    hu += (1 - walls) * lumens * (_AIR + 20 - hu)
    hu += nodule * (35 + 12 * canvas.clouds(rng, 6) - hu)

    ndimage.gaussian_filter(hu, (0.55, 0.55, 0.45), output=hu, truncate=2.5)
    noise = ndimage.gaussian_filter(rng.standard_normal(CHEST_SHAPE, dtype=np.float32), (0.7, 0.7, 0.5), truncate=2.5)
    hu += noise * (20 / noise.std())
    np.clip(np.rint(hu, out=hu), -1024, 3071, out=hu)

    mask = nodule > 0.5
    affine = canvas.affine
    centroid = affine[:3, :3] @ np.array(ndimage.center_of_mass(mask)) + affine[:3, 3]
    return Scan.from_array(hu[None], affine, source="chest CT phantom"), centroid, mask


class _Canvas:
    """The grid of the chest phantom, with RAS coordinates that broadcast, and brushes."""

    def __init__(self) -> None:
        spacing = np.array(CHEST_SPACING)
        signs = np.array([-1.0, -1.0, 1.0])
        self.shape = CHEST_SHAPE
        self.affine = np.eye(4)
        self.affine[:3, :3] = np.diag(signs * spacing)
        self.affine[:3, 3] = -signs * spacing * (np.array(CHEST_SHAPE) - 1) / 2
        axes = [signs[a] * spacing[a] * (np.arange(n) - (n - 1) / 2) for a, n in enumerate(CHEST_SHAPE)]
        self.x, self.y, self.z = (
            axis.astype(np.float32).reshape([-1 if a == b else 1 for b in range(3)]) for a, axis in enumerate(axes)
        )

    def empty(self) -> np.ndarray:
        return np.zeros(self.shape, np.float32)

    def clouds(self, rng: np.random.Generator, size_mm: float) -> np.ndarray:
        """Smooth random field with about unit standard deviation and features of the given size."""
        coarse = [max(4, round(n * s / size_mm) + 3) for n, s in zip(self.shape, CHEST_SPACING, strict=True)]
        field = torch.from_numpy(rng.standard_normal((1, 1, *coarse), dtype=np.float32))
        fine = functional.interpolate(field, size=self.shape, mode="trilinear", align_corners=True)[0, 0]
        return np.asarray(fine.numpy() * np.float32(1.8))  # interpolation lowers the spread

    def ellipse(self, cx: float, cy: float, ax: Any, ay: Any, power: float = 2.0) -> np.ndarray:
        """Return a field that is 0 at the centre and 1 on a (super-)ellipse in the axial plane."""
        x, y = np.abs((self.x - cx) / ax), np.abs((self.y - cy) / ay)
        return np.asarray((x**power + y**power) ** np.float32(1 / power))

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice]:
        """Return the voxels between two RAS corners."""
        inverse = np.linalg.inv(self.affine)
        ends = np.stack([inverse[:3, :3] @ p + inverse[:3, 3] for p in (low, high)])
        start = np.clip(np.floor(ends.min(0)).astype(int), 0, self.shape)
        stop = np.clip(np.ceil(ends.max(0)).astype(int) + 1, 0, self.shape)
        return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])

    def capsule(self, field: np.ndarray, a: object, b: object, radius_a: float, radius_b: float) -> None:
        """Draw a tapering tube from a to b (RAS mm) into a field of fractions, keeping what is larger."""
        start, end = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
        reach = max(radius_a, radius_b) + 1
        i, j, k = self.window(np.minimum(start, end) - reach, np.maximum(start, end) + reach)
        if i.start >= i.stop or j.start >= j.stop or k.start >= k.stop:
            return
        dx, dy, dz = self.x[i] - start[0], self.y[:, j] - start[1], self.z[:, :, k] - start[2]
        along = end - start
        t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / max(float(along @ along), 1e-6), 0, 1)
        distance = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2)
        fraction = np.clip(0.5 + radius_a + t * (radius_b - radius_a) - distance, 0, 1)
        field[i, j, k] = np.maximum(field[i, j, k], fraction)


def _thorax(canvas: _Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paint everything but the lungs' contents; return HU, the lungs' fraction, and where airways cannot run (0..1)."""
    x, y, z = canvas.x, canvas.y, canvas.z
    wobble = canvas.clouds(rng, 45)

    hu = np.full(canvas.shape, _AIR, np.float32)
    couch = np.abs(y + 119 - 0.0012 * x**2)
    _paint(hu, -550, _step(1.2 - couch) * (np.abs(x) < 150))

    body = 103 * (1 - canvas.ellipse(0, 0, 156, 106, 2.5))  # about the depth below the skin, mm
    _paint(hu, 20, _step(body))
    _paint(hu, _FAT + 6 * wobble, _step(body - 2))
    chest = canvas.ellipse(0, 0, 139, 92, 2.3)
    _paint(hu, _SOFT + 8 * wobble, _step(90 * (1 - chest) + 1.5 * wobble))
    back = _step(14 * (1 - canvas.ellipse(0, -92, 74, 17))) * _step(body - 6)
    _paint(hu, _SOFT + 10, back)
    seams = 1 - np.abs(canvas.clouds(rng, 16)) * 6  # thin layers of fat between the muscles
    _paint(hu, _FAT, 0.7 * np.clip(seams, 0, 1) * _step(90 * (1 - chest)))

    lungs = np.zeros(canvas.shape, np.float32)
    for side in (-1, 1):
        lung = 62 * (1 - canvas.ellipse(side * 69, 2, 53 - 0.03 * z, 79 - 0.05 * z, 2.4)) + 0.8 * wobble
        np.maximum(lungs, _step(lung), out=lungs)
    grow = 1 - z / 190  # the heart is wider below
    heart = _step(42 * (1 - canvas.ellipse(-22, 30, 50 * grow, 42 * grow, 2.2)) + 1.5 * wobble)
    middle = _step(30 * (1 - canvas.ellipse(0, -12, 27, 60, 2.5)) + 1.5 * wobble)
    aorta = _step(12.5 * (1 - canvas.ellipse(-25, -46, 12.5, 12.5)))
    spine_room = _step(30 * (1 - canvas.ellipse(0, -66, 29, 25)))
    solid = np.maximum(np.maximum(heart, middle), np.maximum(aorta, spine_room))
    lungs *= 1 - solid

    _paint(hu, _FAT + 10 * wobble, np.clip(middle - heart, 0, 1) * 0.85)
    _paint(hu, _SOFT, np.clip(heart + _step(6 * canvas.clouds(rng, 20) - 1.5) * middle, 0, 1))
    fat_pad = _step(3 - np.abs(40 * (1 - canvas.ellipse(-22, 30, 47 * grow, 39 * grow, 2.2)) - 2)) * heart
    _paint(hu, _FAT + 20, 0.5 * fat_pad)
    _paint(hu, _BLOOD + 4, aorta)
    for cx, cy, radius in ((14, 16, 14.0), (-12, 12, 13.0), (24, 6, 9.0)):
        _paint(hu, _BLOOD, _step(radius - np.hypot(x - cx, y - cy) - 0.02 * z))

    dependent = 0.35 * np.clip(-y, -60, 80)  # blood and weight make the lung denser at the back
    _paint(hu, _LUNG + dependent + 14 * canvas.clouds(rng, 9) + 12 * wobble, lungs)

    _skeleton(canvas, hu, body, wobble, rng)
    return hu, lungs, np.clip(aorta + spine_room + heart, 0, 1)


def _skeleton(canvas: _Canvas, hu: np.ndarray, body: np.ndarray, wobble: np.ndarray, rng: np.random.Generator) -> None:
    """Paint ribs, spine and sternum, each with a dense rim; ``body`` is the depth below the skin in mm."""
    x, y, z = canvas.x, canvas.y, canvas.z
    slant = (z + 0.55 * y + 0.08 * np.abs(x) + 300) % 27 - 13.5
    ring = 98 * (canvas.ellipse(0, 0, 131, 87, 2.35) - 1)
    rib = 4.8 - np.hypot(ring * 1.15, slant * 0.8) + 0.3 * wobble
    ribs = (np.abs(x) > 20).astype(np.float32)
    _paint(hu, _CORTEX, _step(rib) * ribs)
    _paint(hu, _MARROW + 60, _step(rib - 1.8) * ribs)
    disc = _step(2.5 - np.abs((z + 200) % 25 - 12.5))
    vertebra = np.maximum(
        np.maximum(
            16 * (1 - canvas.ellipse(0, -60, 18, 15)), 5 - np.abs(y + 82) - 0.002 * x**2 - 0.6 * (np.abs(x) > 30) * 20
        ),
        3.5 - np.abs(x) - 0.25 * np.clip(-98 - y, 0, 99) - 0.25 * np.clip(y + 80, 0, 99),
    )
    bone = _step(vertebra) * _step(body - 12)
    _paint(hu, _CORTEX - 150, bone * (1 - disc * (y > -76)))
    _paint(hu, _MARROW + 25 * canvas.clouds(rng, 4), _step(vertebra - 1.8) * bone)
    _paint(hu, 80, disc * _step(16 * (1 - canvas.ellipse(0, -60, 18, 15))))
    _paint(hu, 25, _step(8 - np.hypot(x, y + 82)))
    sternum = 6 * (1 - canvas.ellipse(0, 84, 17, 6.5, 2.5))
    _paint(hu, _CORTEX - 200, _step(sternum))
    _paint(hu, _MARROW, _step(sternum - 1.5))


def _step(distance_mm: np.ndarray) -> np.ndarray:
    """Return 1 where the distance is positive, 0 where it is negative, with an edge of a voxel."""
    shifted = distance_mm + np.float32(0.5)
    return np.asarray(np.clip(shifted, 0, 1, out=shifted))


def _paint(hu: np.ndarray, value: float | np.ndarray, where: np.ndarray) -> None:
    """Blend a value into the volume; ``where`` is the fraction of each voxel, and may have axes of length 1."""
    found = ndimage.find_objects((where > 0).view(np.int8))[0]  # most things are small: blend their surroundings only
    box = tuple(slice(None) if n == 1 else part for part, n in zip(found, where.shape, strict=True))
    new = np.broadcast_to(value, hu.shape)[box] if isinstance(value, np.ndarray) else np.float32(value)
    hu[box] += where[box] * (new - hu[box])


def _tree(
    canvas: _Canvas,
    field: np.ndarray,
    root: np.ndarray,
    side: int,
    rng: np.random.Generator,
    *,
    radius: float,
    reach: float,
) -> None:
    """Draw a branching tree of tubes that starts at a lung's root and spreads outwards."""
    outward = [
        (1, 0.2, 0.1),
        (1, 0.9, 0.4),
        (1, -0.9, 0.3),
        (0.8, -0.5, -0.9),
        (1, 0.6, -0.7),
        (0.7, -0.2, 1.0),
        (0.5, 1, 0),
    ]
    spread = np.array(outward) * (side, 1, 1)
    todo = [(root, v / np.linalg.norm(v), radius * rng.uniform(0.7, 1.0)) for v in spread]
    while todo:
        start, heading, size = todo.pop()
        length = reach * (7 + 4.2 * size) * rng.uniform(0.7, 1.3)
        bend = heading + rng.normal(0, 0.12, 3)
        knee = start + heading * length / 2
        end = knee + bend / np.linalg.norm(bend) * length / 2
        canvas.capsule(field, start, knee, size, size * 0.93)
        canvas.capsule(field, knee, end, size * 0.93, size * 0.85)
        if np.any(np.abs(end) > (125, 85, 50)):
            continue
        for part in (rng.uniform(0.76, 0.88), rng.uniform(0.5, 0.78)):
            child = bend / np.linalg.norm(bend) + rng.normal(0, 0.45, 3)
            if size * part > 0.65 * (1 if reach > 0.6 else 2.5):
                todo.append((end, child / np.linalg.norm(child), size * part))


def _nodule(canvas: _Canvas, center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the nodule's fraction of each voxel: a lobulated body and thin spicules."""
    field = canvas.empty()
    radius = NODULE_DIAMETER_MM / 2
    i, j, k = canvas.window(center - 1.6 * radius, center + 1.6 * radius)
    dx, dy, dz = canvas.x[i] - center[0], canvas.y[:, j] - center[1], canvas.z[:, :, k] - center[2]
    distance = np.sqrt(dx**2 + dy**2 + (dz * 1.1) ** 2) + 1e-3
    surface = np.full(distance.shape, radius * 0.95)
    for _ in range(14):  # bulges and dents in random directions
        way = rng.normal(size=3)
        way /= np.linalg.norm(way)
        cosine = (dx * way[0] + dy * way[1] + dz * way[2]) / distance
        surface += radius * rng.uniform(-0.3, 0.27) * np.exp(7 * (cosine - 1))
    field[i, j, k] = np.clip(0.5 + surface - distance, 0, 1)
    for _ in range(22):
        way = rng.normal(size=3)
        way /= np.linalg.norm(way)
        kink = center + way * radius * rng.uniform(1.1, 1.3)
        tip = kink + (way + rng.normal(0, 0.25, 3)) * rng.uniform(3.0, 8.0)
        canvas.capsule(field, center + way * radius * 0.7, kink, 2.2, 1.2)
        canvas.capsule(field, kink, tip, 1.2, 0.5)
    return field
