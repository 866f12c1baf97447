"""What is done to a photo on its way into the network in training."""

from __future__ import annotations

import albumentations as A
import cv2

from lite0ca.images.own_steps import Step, in_any_orientation, shrunk_and_mirrored, with_noise


def augmentation(image_size: int, kind: str = "standard", afar: bool = False) -> A.Compose:
    """For training: a part of the photo, in any of the 8 orientations, light, and grain.

    "strong" turns, shears and hides parts as well, under any light, and takes smaller parts;
    `on_another_background` belongs to it. With `afar` half of the photos are shrunk first.
    """
    strong = kind == "strong"
    return A.Compose(
        [
            *([from_afar()] if afar else []),
            *([turned()] if strong else []),
            A.RandomResizedCrop(
                (image_size, image_size),
                scale=(0.25 if strong else 0.5, 1.0),
                interpolation=cv2.INTER_CUBIC,
                area_for_downscale="image",
            ),
            Step(in_any_orientation, p=1),  # a leaf has no up and down
            *(any_light() if strong else [other_light()]),
            *grain(),
            *([hidden()] if strong else []),
        ]
    )


def from_afar() -> A.BasicTransform:
    """A photo, mirrored at its edges, each side from up to 2.5 times as far.

    Parts of photos show everything larger than the whole photos that a network is asked about
    (Touvron et al. 2019, arXiv 1906.06423), and in fields leaves are smaller still.
    """
    return Step(shrunk_and_mirrored, p=0.5)


def other_light() -> A.BasicTransform:
    # Without `hue` albumentations turns colours by up to 180 degrees: blue leaves.
    return A.ColorJitter(
        brightness=(0.8, 1.2),
        contrast=(0.8, 1.2),
        saturation=(0.8, 1.2),
        hue=(-0.02, 0.02),
        p=0.8,
    )


def any_light() -> list[A.BasicTransform]:
    """Sun, shade, tungsten and another camera's colours; now and then none at all."""
    return [
        A.ColorJitter(
            brightness=(0.6, 1.4),
            contrast=(0.6, 1.4),
            saturation=(0.4, 1.6),
            hue=(-0.06, 0.06),
            p=0.9,
        ),
        A.RandomGamma(gamma_limit=(60, 160), p=0.5),  # percent
        A.RGBShift(r_shift_limit=30, g_shift_limit=30, b_shift_limit=30, p=0.5),  # of 255
        A.ToGray(p=0.1),
    ]


def grain() -> list[A.BasicTransform]:
    """The finest detail as other lenses, sensors and JPEG encoders leave it.

    A network that has never met it hangs on it: see 05_deploy.
    """
    return [
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.0), p=0.3),  # sigma in pixels
        Step(with_noise, p=0.8),
        A.ImageCompression(quality_range=(60, 95), p=0.5),
    ]


def turned() -> A.BasicTransform:
    return A.Affine(
        rotate=(-45, 45), shear=(-10, 10), scale=(0.9, 1.2), border_mode=cv2.BORDER_REFLECT_101,
        p=0.5,
    )  # fmt: skip


def hidden() -> A.BasicTransform:
    share = (0.1, 0.3)  # of the side
    return A.CoarseDropout(
        num_holes_range=(1, 4), hole_height_range=share, hole_width_range=share,
        fill="random_uniform", p=0.5,
    )  # fmt: skip
