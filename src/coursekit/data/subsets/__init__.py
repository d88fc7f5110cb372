"""Subsets of COCO: a recipe, the selection of images, their download, and the folder they are built into."""
