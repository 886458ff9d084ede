"""Warp: one linear map of pixel positions, as Pillow's Image.transform; rotate, shear and translate are written as it.

The pixel whose centre is (x, y) shows the input at  (a x + b y + tx, c x + d y + ty),  in pixels from the top left
corner. Nearest: the pixel that contains this position, positions in 65536ths of a pixel as in Pillow for 8-bit images;
bilinear: a weighted mean of four pixels. Outside the image the value is `fill`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import map_coordinates

from data_loading.errors import ViewError, one_of
from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, at, load, load_fixed, put, splat_fixed, store, store_fixed
from data_loading.ops.affine import sample_row, tensor_sample
from data_loading.ops.base import copy_plane, within
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

WARP = 19  # the code of the step, as saved plans hold it
F32 = np.float32
INTERPOLATIONS = ("nearest", "bilinear")
FAR = 1e6  # pixels


def resampling_params(op: object, interpolation: str, fill: float) -> list[float]:
    """Check both arguments -> [0 for "nearest" or 1 for "bilinear", fill]; ViewError."""
    one_of(f"{type(op).__name__}: interpolation", interpolation, INTERPOLATIONS, ViewError)
    return [float(interpolation == "bilinear"), within(op, "fill", fill, 0.0, 255.0)]


@jit
def write(op, arg, n, a, b, c, d, centre, bilinear, fill):
    """Write step n: the map with matrix (a, b; c, d) about the point (centre, centre), in pixels -> n + 1."""
    op[n] = WARP
    arg[n, 0], arg[n, 1], arg[n, 2] = a, b, centre - a * centre - b * centre
    arg[n, 3], arg[n, 4], arg[n, 5] = c, d, centre - c * centre - d * centre
    arg[n, 6], arg[n, 7] = bilinear, fill
    return n + 1


def reference(image, a, b, tx, c, d, ty, bilinear, fill) -> np.ndarray:
    """image (3, H, W) -> (3, H, W); a to ty: the map; bilinear: 0 or 1; fill: 0 to 255."""
    _, height, width = image.shape
    y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    at_x, at_y = a * x + b * y + tx, c * x + d * y + ty
    if bilinear:
        at = [at_y - 0.5, at_x - 0.5]
        return np.stack([map_coordinates(p.astype(float), at, order=1, mode="grid-constant", cval=fill) for p in image])
    column, row = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, image[:, row.clip(0, height - 1), column.clip(0, width - 1)], fill)


@jit
def fixed(value):
    """A number in 65536ths, rounded to an integer as Pillow's FIX; clamped to FAR, so that no position overflows."""
    return int(math.floor(min(max(-FAR, value), FAR) * 65536.0 + 0.5))


@jit
def is_nearest(op, arg, k):
    """Whether step k of a program, op (K,) and arg (K, ARGS), is a nearest warp: one that `take_row` does."""
    return k < op.size and op[k] == WARP and not arg[k, 6] > F32(0.0)


@jit
def fixed_map(arg, side, mirrored, numbers):
    """Write a nearest map in 65536ths of a pixel to numbers (7,) int64: a, b, c, d, the position of pixel (0, 0), fill.

    arg: the step's numbers.  mirrored: the stored rows, `side` pixels each, are those of the image read backwards.
    The fill is in 128ths of a level.
    """
    a, b, x = fixed(arg[0]), fixed(arg[1]), fixed(arg[2] + (arg[0] + arg[1]) * 0.5)
    if mirrored:
        a, b, x = -a, -b, (side << 16) - 1 - x
    numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] = a, b, fixed(arg[3]), fixed(arg[4]), x
    numbers[5], numbers[6] = fixed(arg[5] + (arg[3] + arg[4]) * 0.5), int(arg[7] * F32(128.0) + F32(0.5))


@jit
def inside(first, step, end, low, high):
    """Narrow the interval low <= k < high to those k for which 0 <= first + k step < end -> (low, high).

    An empty interval has high = low.
    """
    if step > 0:
        low, high = max(low, -(first // step)), min(high, (end - 1 - first) // step + 1)
    elif step < 0:
        low, high = max(low, -((end - 1 - first) // -step)), min(high, first // -step + 1)
    elif not 0 <= first < end:
        high = low
    return low, max(low, high)


@jit
def take_row(plane, place, y, side, numbers, line, tile, row, pitch):
    """Read row y of a warped view into the tile, as float32 levels.

    plane: flat int16 in 128ths of a level: the view starts at `place`, three channels of (side, side).
    numbers: of `fixed_map`.  line (3 pitch,) int16: scratch.
    tile (3 n,) float32: channel c is written from c n + row on, `pitch` values, of which only `side` are meaningful.
    """
    a, b, c, d, first_x, first_y, fill = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]
    )  # fmt: skip
    x, y0 = first_x + y * b, first_y + y * d
    low, high = inside(x, a, side << 16, np.int64(0), side)
    low, high = inside(y0, c, side << 16, low, high)
    x, y0 = x + low * a, y0 + low * c  # of the first pixel inside
    size, two = side * side, 2 * pitch
    if low > 0 or high < side:
        for i in range(0, 3 * pitch, LANES):
            store_fixed(line, i, splat_fixed(fill))
    if c == 0 and a == 65536 and high - low >= LANES:  # a run of pixels
        i, k = place + (y0 >> 16) * side + (x >> 16) - low, low
        while k < high:
            k = min(k, high - LANES)  # the last vector overlaps the one before
            store_fixed(line, k, load_fixed(plane, i + k))
            store_fixed(line, pitch + k, load_fixed(plane, i + size + k))
            store_fixed(line, two + k, load_fixed(plane, i + 2 * size + k))
            k += LANES
    else:
        for k in range(low, high):
            i = place + (y0 >> 16) * side + (x >> 16)
            red, green, blue = at(plane, i), at(plane, i + size), at(plane, i + 2 * size)
            put(line, k, red)
            put(line, pitch + k, green)
            put(line, two + k, blue)
            x, y0 = x + a, y0 + c
    n = tile.size // 3
    for channel in range(3):
        for i in range(0, pitch, LANES):
            store(tile, channel * n + row + i, load(line, channel * pitch + i))


@jit(inline=True)
def kernel(plane, scratch, arg):
    """Warp plane (3, H, W) float32 in place, bilinear; scratch: as plane; arg (8,): the step's numbers."""
    _, height, width = plane.shape
    copy_plane(plane, scratch)
    source, target, half = scratch.reshape(-1), plane.reshape(-1), F32(0.5)
    for row in range(height):
        y = F32(row) + half
        for column in range(width):
            x, to = F32(column) + half, row * width + column
            target[to] = arg[0] * x + arg[1] * y + arg[2] - half
            target[height * width + to] = arg[3] * x + arg[4] * y + arg[5] - half
        sample_row(source, target, row * width, height, width, arg[7])


def tensor(images, a, b, tx, c, d, ty, bilinear, fill):
    """images (N, 3, H, W); each number (N,)."""
    import torch

    numbers = torch.stack([a, b, tx, c, d, ty, fill])[..., None, None]  # (7, N, 1, 1)
    smooth, out = bilinear > 0, torch.empty_like(images)
    out[smooth] = tensor_bilinear(images[smooth], *numbers[:, smooth])
    out[~smooth] = tensor_nearest(images[~smooth], *numbers[:, ~smooth])
    return out


def tensor_bilinear(images, a, b, tx, c, d, ty, fill):
    """images (N, 3, H, W); each number (N, 1, 1)."""
    import torch

    height, width = images.shape[2:]
    y, x = (torch.arange(n, device=images.device) + 0.5 for n in (height, width))
    at_x, at_y = a * x + b * y[:, None] + tx, c * x + d * y[:, None] + ty
    fill = fill[..., None]
    return tensor_sample(images - fill, 2 * at_x / width - 1, 2 * at_y / height - 1) + fill


def tensor_nearest(images, a, b, tx, c, d, ty, fill):
    """images (N, 3, H, W); each number (N, 1, 1)."""
    import torch

    height, width = images.shape[2:]
    y, x = (torch.arange(n, device=images.device) for n in (height, width))
    y = y[:, None]
    at_x = tensor_fixed(tx, 0.5 * (a + b)) + x * tensor_fixed(a) + y * tensor_fixed(b)
    at_y = tensor_fixed(ty, 0.5 * (c + d)) + x * tensor_fixed(c) + y * tensor_fixed(d)
    column, row = at_x >> 16, at_y >> 16  # (N, H, W)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    found = images.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, 3, -1)).view_as(images)
    return found.where(inside[:, None], fill[..., None])


def tensor_fixed(*values):
    """The sum of values in 65536ths, rounded as Pillow's FIX -> int64.

    Exact: integer and fractional parts are added separately.
    """
    scaled = [value * 65536 for value in values]
    rest = sum(value - value.floor() for value in scaled)
    return sum(value.floor().long() for value in scaled) + (rest + 0.5).floor().long()


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    plane, spare = planes(image, scratch, height, width)
    kernel(plane, spare, words(arg, word, small)[0])


step(
    WARP,
    "warp",
    ("a", "b", "tx", "c", "d", "ty", "bilinear", "fill"),
    reference=reference,
    tensor=tensor,
    image_kernel=image_kernel,
)
