"""The way from a photo to the answer as one graph, so that no app can get its first half wrong.

Shapes: H x W pixels of the photo, S x S of the network's input.
"""

from __future__ import annotations

import torch
from torch import nn

from lite0ca.model.network import LeafClassifier


class PhotoClassifier(nn.Module):
    """uint8 RGB (H, W, 3) of any size -> calibrated probabilities (classes,), and of a network that
    knows its training photos (1,) how far from them.

    Resizes as `resizing.squeezed` does, a grey level apart at most. A photo with a shorter side of
    more than `reading.side_for(S)` pixels meets one average here and two where it is read for us,
    which differ by more where it has grain of a pixel or two.
    """

    def __init__(self, network: LeafClassifier, mean, std, image_size: int, temperature: float):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        self.image_size, self.temperature = image_size, temperature

    def forward(self, photo: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        photo = photo.permute(2, 0, 1).float()  # H W 3 -> 3 H W
        square = (resized(photo, self.image_size) + 0.5).floor().clamp(0, 255)  # 3 S S
        images = ((square / 255 - self.mean) / self.std).unsqueeze(0)  # 1 3 S S
        logits, distance = self.network.with_distance(images)
        probabilities = (logits / self.temperature).softmax(dim=1).squeeze(0)  # classes
        return probabilities if distance is None else (probabilities, distance)


def resized(photo: torch.Tensor, size: int) -> torch.Tensor:
    """(3, H, W) -> (3, size, size) as OpenCV does it, in two matrix products.

    INTER_CUBIC for a photo that is nowhere larger, else INTER_AREA; that is an average where the
    photo is nowhere smaller, and a kind of linear interpolation otherwise. The way is chosen by
    arithmetic, since a graph for photos of any size cannot branch.
    """
    rows, columns = (torch.arange(photo.shape[axis], device=photo.device) for axis in (1, 2))
    height, width = rows[-1] + 1, columns[-1] + 1
    larger = (height > size) | (width > size)
    smaller = (height < size) | (width < size)
    down, across = (
        torch.where(
            larger,
            torch.where(smaller, linear(pixels, size), area(pixels, size)),
            cubic(pixels, size),
        )
        for pixels in (rows.float(), columns.float())
    )
    return down @ photo @ across.T  # (S H) (3 H W) (W S) -> 3 S S


def area(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """(size, pixels): how much of each of `size` equal parts lies in a pixel."""
    scale = (pixels[-1] + 1) / size
    start = torch.arange(size, device=pixels.device).unsqueeze(1) * scale  # S 1
    overlap = torch.minimum(start + scale, pixels + 1) - torch.maximum(start, pixels)  # S H
    return overlap.clamp(min=0) / scale


def linear(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """(size, pixels): INTER_AREA's weights when one side of the photo grows."""
    scale = (pixels[-1] + 1) / size
    to = torch.arange(size, device=pixels.device).unsqueeze(1)  # S 1
    first = (to * scale).floor()
    share = to + 1 - (first + 1) / scale
    share = torch.where(share <= 0, 0, share - share.floor())
    second = torch.minimum(first + 1, pixels[-1])
    return (1 - share) * (pixels == first) + share * (pixels == second)


def cubic(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """(size, pixels): Keys' kernel with a = -0.75; beyond the edge its pixels are repeated."""
    last = pixels[-1]
    scale = (last + 1) / size
    at = (torch.arange(size, device=pixels.device).unsqueeze(1) + 0.5) * scale - 0.5  # S 1
    two = torch.tensor([1.0, 2.0], device=pixels.device)
    shares = keys(at - torch.cat([-two, pixels, last + two]))  # S H+4
    before, behind = (ends.sum(dim=1, keepdim=True) for ends in (shares[:, :2], shares[:, -2:]))
    return shares[:, 2:-2] + before * (pixels == 0) + behind * (pixels == last)


def keys(distance: torch.Tensor, a: float = -0.75) -> torch.Tensor:
    """The cubic convolution kernel of Keys 1981."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
