"""The library under the course Build a Detector. A lesson and the code it teaches share a name and an order."""

__version__ = "0.1.0"
