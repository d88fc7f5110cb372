"""Arithmetic on boxes."""

from coursekit.data.boxes import xywh_to_xyxy, xyxy_to_xywh

__all__ = ["xywh_to_xyxy", "xyxy_to_xywh"]
