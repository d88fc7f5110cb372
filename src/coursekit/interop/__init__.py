"""Between torchvision's detectors and ours."""
