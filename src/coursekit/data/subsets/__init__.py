"""Subsets of COCO: a recipe, the selection of images, their download, and the folder that is built from them."""
