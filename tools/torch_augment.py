"""Augmentation of whole batches on the device that trains, in PyTorch; strengths as for src/data/augment.py."""
import math

import torch
from torch.nn import functional

from src.data.augment import Strengths

_GEOMETRY_SHARE = 0.5
_PIXEL_SHARE = 0.25
_COLOUR_SHARE = 0.6
_LARGEST_RISE = 0.6  # of the height, by turning
_GREY = (0.114, 0.587, 0.299)


def augment_batch(images: torch.Tensor, strengths: Strengths, generator: torch.Generator | None = None) -> torch.Tensor:
    """Changes every image in its own way.

    The geometry is one bilinear sampling; blur is a mix with a blurred copy. ``shrink`` and ``jpeg`` are left to the
    renderer, whose images went through both.

    Args:
        images: (N, 3, H, W) float32, 0 to 255, BGR.
        strengths: how far each effect goes.
        generator: of the random numbers, on the images' device.

    Returns:
        (N, 3, H, W) float32, 0 to 255.
    """
    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=images.device)

    count = len(images)
    if any((strengths.crop, strengths.rotation, strengths.shear, strengths.perspective, strengths.curve)):
        images = functional.grid_sample(images, _grid(images, strengths, draw), mode="bilinear",
                                        padding_mode="border", align_corners=False)
    if strengths.blur:
        kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
        planes = images.reshape(-1, 1, *images.shape[2:])
        for shape, padding in (((1, 1, 5, 1), (0, 0, 2, 2)), ((1, 1, 1, 5), (2, 2, 0, 0))):
            planes = functional.conv2d(functional.pad(planes, padding, mode="replicate"), kernel.reshape(shape))
        # The kernel's sigma is 1 pixel; a share of it is about as strong as a kernel of that sigma squared.
        share = (draw(count) * strengths.blur).clamp(max=1) ** 2 * (draw(count) < 2 * _PIXEL_SHARE)
        images = images + share[:, None, None, None] * (planes.reshape(images.shape) - images)
    if strengths.colour or strengths.invert:
        images = _recolour(images, strengths, draw)
    if strengths.noise:
        sigma = draw(count) * strengths.noise * (draw(count) < _PIXEL_SHARE)
        sigma = torch.minimum(sigma, 0.4 * images.flatten(1).std(1))
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = images + sigma[:, None, None, None] * noise
    return images.clamp(0, 255)


def _grid(images: torch.Tensor, strengths: Strengths, draw) -> torch.Tensor:
    """Where each pixel comes from: (N, H, W, 2), -1 to 1 from edge to edge."""
    count, _, rows, columns = images.shape
    half_x, half_y = columns / 2, rows / 2

    def sway(on: bool | float) -> torch.Tensor:
        """(N, 1, 1), between -1 and 1, for half of the images 0; all 0 where the effect is off."""
        return (2 * draw(count, 1, 1) - 1) * (draw(count, 1, 1) < _GEOMETRY_SHARE) * bool(on)

    angle = sway(strengths.rotation) * min(math.radians(strengths.rotation), math.atan(_LARGEST_RISE * rows / columns))
    slant = torch.tan(sway(strengths.shear) * math.radians(strengths.shear))
    bend = sway(strengths.curve) * strengths.curve * rows
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Half the box around the turned and sheared image, in pixels.
    reach_x = (cos * half_x).abs() + ((cos * slant - sin) * half_y).abs()
    reach_y = (sin * half_x).abs() + ((sin * slant + cos) * half_y).abs() + bend.abs() / 2
    on = (draw(count, 1, 1) < _GEOMETRY_SHARE) * strengths.crop * rows
    edges = [on * torch.where(move > 0, move, 0.4 * move) for move in (2 * draw(4, count, 1, 1) - 1)]
    across = ((torch.arange(columns, device=images.device) + 0.5) / columns).reshape(1, 1, columns)
    down = ((torch.arange(rows, device=images.device) + 0.5) / rows).reshape(1, rows, 1)
    x = -reach_x - edges[0] + across * (2 * reach_x + edges[0] + edges[1])
    y = -reach_y - edges[2] + down * (2 * reach_y + edges[2] + edges[3])
    # Arcs and waves: a quarter to three quarters of a period, at any phase.
    phase, turns = 2 * math.pi * draw(count, 1, 1), math.pi * (0.5 + draw(count, 1, 1))
    y = y - bend / 2 * torch.sin(turns * across + phase)
    # Back to the image: turned, then sheared, then tilted, about its middle.
    back_x, back_y = cos * x + sin * y, -sin * x + cos * y
    back_x = back_x - slant * back_y
    tilt = 1 + strengths.perspective * (sway(strengths.perspective) * back_x / half_x
                                        + 0.5 * sway(strengths.perspective) * back_y / half_y)
    return torch.stack([(back_x / half_x / tilt).expand(count, rows, columns),
                        (back_y / half_y / tilt).expand(count, rows, columns)], -1)


def _recolour(images: torch.Tensor, strengths: Strengths, draw) -> torch.Tensor:
    """One affine change of the colours around each image's mean."""
    count, device = len(images), images.device
    sway = strengths.colour * (2 * draw(count, 6) - 1) * (draw(count, 1) < _COLOUR_SHARE)
    grey = torch.tensor([_GREY] * 3, device=device)
    mix = grey + (1 + sway[:, :1, None]) * (torch.eye(3, device=device) - grey)
    matrix = ((1 + sway[:, 1:2]) * (1 + 0.3 * sway[:, 2:5]))[..., None] * mix
    mean = images.mean((2, 3))
    centre = mean * (1 + 0.5 * sway[:, 5:])
    negative = draw(count, 1) < strengths.invert
    matrix = torch.where(negative[..., None], -matrix, matrix)
    centre = torch.where(negative, 255 - centre, centre)
    changed = torch.einsum("nij,njhw->nihw", matrix, images - mean[:, :, None, None])
    return changed + centre[:, :, None, None]
