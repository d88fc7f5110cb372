"""Subsets of COCO: a recipe, the choice of images, their download, and the built folder."""
