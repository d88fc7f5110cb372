"""How long the lessons train, in one place: in full, and in the short form that CI takes (COURSEKIT_FAST=1)."""

import os

LENGTHS = {  # name: (in full, short)
    "first detector, images": (225, 16),
    "first detector, epochs": (4, 1),  # 300 steps of 3 images
    "first score, images": (120, 12),
    "02 scenes for crops": (240, 20),
    "02 steps from scratch and not": (30, 2),
    "02 head, epochs": (30, 3),
    "02 steps with two crops": (80, 2),
    "02 backbones and sizes": (3, 1),
    "02 pixels of noise": (1024, 384),
    "01 images to time": (80, 24),
    "01 images to train on": (32, 8),
    "03 images to train on": (128, 8),
    "03 images to test on": (64, 8),
    "03 epochs": (4, 1),
    "03 seeds": (3, 2),
    "06 images to train on": (128, 8),
    "06 images to test on": (64, 8),
    "06 epochs": (8, 2),
    "04 scenes to match": (240, 40),
    "04 images to train on": (96, 8),
    "04 images to test on": (48, 8),
    "04 epochs": (6, 1),
    "05 boxes to suppress, most": (4000, 500),
    "05 images to train on": (200, 16),
    "05 images to test on": (100, 16),
    "05 epochs": (5, 1),
    "07 scenes to propose in": (40, 8),
    "07 scenes for the oracle": (120, 24),
    "07 images to know by heart": (16, 4),
    "07 epochs to know them by heart": (24, 1),
    "07 images to train on": (200, 8),
    "07 epochs": (3, 1),
    "07 images to test on": (120, 8),
    "08 steps at each rate": (12, 3),
    "08 steps to time": (2, 1),
    "08 plans": (2, 1),
    "09 images to test on": (120, 12),
    "09 images to train on further": (100, 4),
    "09 draws": (200, 40),
    "10 images to train on": (0, 12),  # 0: all that there are
    "10 images to test on": (0, 12),
    "10 plans": (1, 0),
    "10 epochs": (3, 1),
    "10 draws": (200, 40),
    "10 images to train on further": (48, 8),
    "10 seeds": (3, 2),
}


def length(name: str) -> int:
    """The number for this session."""
    full, short = LENGTHS[name]
    return short if os.environ.get("COURSEKIT_FAST") == "1" else full
