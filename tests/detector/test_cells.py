"""Cells against torchvision's FCOS: where they are, which object each answers for, and how a box is encoded."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection import FCOS
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from coursekit.detector import assign_cells, cell_points, centerness, decode_distances, encode_distances
from coursekit.detector.fcos import level_ranges

quick = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**20)
STRIDES = (8, 16, 32)
SCALE = 8.0  # torchvision's ranges end at 8 strides


def _cells(height, width):
    """Return points, strides and ranges of three levels, in float64, and the number of cells of each."""
    grids = [(height // stride, width // stride) for stride in STRIDES]
    points = [cell_points(grid, stride) for grid, stride in zip(grids, STRIDES, strict=True)]
    counts = [len(level) for level in points]
    columns = (torch.tensor(values, dtype=torch.float64) for values in (STRIDES, level_ranges(STRIDES, SCALE)))
    level = torch.tensor([number for number, count in enumerate(counts) for _ in range(count)])
    return torch.cat(points).double(), *(column[level] for column in columns), counts


def _boxes(count, height, width, generator):
    """Return boxes of any size, from two pixels to the whole image."""
    sides = torch.tensor([width, height], dtype=torch.float64)
    size = 2 + (sides - 2) * torch.rand(count, 2, dtype=torch.float64, generator=generator) ** 2
    corner = (sides - size) * torch.rand(count, 2, dtype=torch.float64, generator=generator)
    return torch.cat([corner, corner + size], 1)


def _their_matches(points, strides, counts, boxes):
    """Return what torchvision's FCOS assigns: it passes that on to its head."""
    anchors = torch.cat([points - strides[:, None] / 2, points + strides[:, None] / 2], 1)
    head = SimpleNamespace(compute_loss=lambda targets, outputs, anchors, matches: matches)
    model = SimpleNamespace(center_sampling_radius=1.5, head=head)
    (matches,) = FCOS.compute_loss(model, [{"boxes": boxes}], {}, [anchors], counts)
    return matches


# Points


@quick
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_points_are_the_centers_of_torchvisions_anchors(height, width, down, right):
    generator = AnchorGenerator(((8,),), ((1.0,),))
    images = ImageList(torch.zeros(1, 3, height * down, width * right), [(height * down, width * right)])
    (anchors,) = generator(images, [torch.zeros(1, 4, height, width)])
    points = cell_points((height, width), (down, right))
    assert torch.equal(points, (anchors[:, :2] + anchors[:, 2:]) / 2)
    assert points.dtype == torch.float32


def test_one_stride_serves_both_directions():
    assert torch.equal(cell_points((3, 5), 16), cell_points((3, 5), (16, 16)))
    assert cell_points((2, 3), 8).tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]


# Assignment


@quick
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 30), seeds)
def test_cells_are_assigned_as_in_torchvision(rows, columns, count, seed):
    height, width = 32 * rows, 32 * columns
    points, strides, ranges, counts = _cells(height, width)
    boxes = _boxes(count, height, width, torch.Generator().manual_seed(seed))
    matches = assign_cells(points, strides, ranges, boxes)
    assert torch.equal(matches, _their_matches(points, strides, counts, boxes))
    assert matches.dtype == torch.int64


@quick
@given(st.integers(1, 8), seeds)
def test_whole_pixels_lie_on_borders_and_are_assigned_as_in_torchvision(count, seed):
    """Boxes in multiples of 4 pixels have points on their sides, and sides exactly at a level's limits."""
    points, strides, ranges, counts = _cells(128, 160)
    corners = torch.randint(0, 33, (count, 2, 2), generator=torch.Generator().manual_seed(seed)).double() * 4
    boxes = corners.sort(1).values.flatten(1)
    boxes[:, 2:] += 4
    assert torch.equal(assign_cells(points, strides, ranges, boxes), _their_matches(points, strides, counts, boxes))


def _one(point, stride, limits, *boxes):
    columns = torch.tensor([point]), torch.tensor([stride]), torch.tensor([limits])
    return assign_cells(*columns, torch.tensor(boxes)).item()


def test_all_limits_are_strict():
    everything = (0.0, torch.inf)
    assert _one([8.0, 8.0], 8.0, everything, [0.0, 0.0, 16.0, 16.0]) == 0
    assert _one([8.0, 8.0], 8.0, everything, [8.0, 0.0, 16.0, 16.0]) == -1  # on its left side
    assert _one([8.0, 8.0], 8.0, everything, [0.0, 0.0, 16.0, 8.0]) == -1  # on its lower side
    assert _one([8.0, 8.0], 8.0, everything, [0.0, 0.0, 40.0, 16.0]) == -1  # 1.5 strides from the center
    assert _one([8.0, 8.0], 8.0, everything, [0.0, 0.0, 39.9, 16.0]) == 0
    assert _one([8.0, 8.0], 8.0, (0.0, 8.0), [0.0, 0.0, 16.0, 16.0]) == -1
    assert _one([8.0, 8.0], 8.0, (8.0, 99.0), [0.0, 0.0, 16.0, 16.0]) == -1


def test_the_smallest_box_wins_and_of_equal_ones_the_first():
    point, stride, limits = [8.0, 8.0], 8.0, (0.0, 99.0)
    large, small, as_small = [0.0, 0.0, 20.0, 20.0], [4.0, 4.0, 16.0, 12.0], [4.0, 4.0, 12.0, 16.0]
    assert _one(point, stride, limits, large, small) == 1
    assert _one(point, stride, limits, small, large) == 0
    assert _one(point, stride, limits, large, small, as_small) == 1


def test_no_cell_answers_for_padding():
    points, strides, ranges, _ = _cells(64, 64)
    assert (assign_cells(points, strides, ranges, torch.zeros(3, 4).double()) == -1).all()
    assert (assign_cells(points, strides, ranges, torch.zeros(0, 4).double()) == -1).all()


def test_ranges_follow_one_another():
    assert level_ranges((8, 16, 32), 8) == ((0, 64), (64, 128), (128, float("inf")))  # torchvision's
    assert level_ranges((16,)) == ((0, float("inf")),)


# Distances


@quick
@given(st.integers(0, 20), st.integers(0, 3), seeds)
def test_distances_are_torchvisions(cells, images, seed):
    generator = torch.Generator().manual_seed(seed)
    points = 100 * torch.rand(cells, 2, generator=generator, dtype=torch.float64)
    strides = 8.0 * 2 ** torch.randint(0, 5, (cells,), generator=generator).double()
    boxes = torch.stack([_boxes(cells, 90, 120, generator) for _ in range(images)]) if images else points.repeat(1, 2)
    anchors = torch.cat([points - strides[:, None] / 2, points + strides[:, None] / 2], 1)
    coder = BoxLinearCoder(normalize_by_size=True)
    distances = encode_distances(points, strides, boxes)
    torch.testing.assert_close(distances, coder.encode(anchors, boxes), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(decode_distances(points, strides, distances), boxes, rtol=1e-12, atol=1e-12)
    drawn = torch.rand(distances.shape, generator=generator, dtype=torch.float64) * 9
    expected = coder.decode(drawn, anchors.expand_as(drawn))
    torch.testing.assert_close(decode_distances(points, strides, drawn), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_decoded_in_float32(half):
    boxes = decode_distances(torch.tensor([[1000.0, 700.0]]), torch.tensor([32.0]), torch.full((1, 4), 3.0, dtype=half))
    assert boxes.tolist() == [[904, 604, 1096, 796]]
    assert boxes.dtype == torch.float32


# Centerness


def test_centerness_of_a_few_points():
    distances = torch.tensor([[3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 4.0, 2.0], [4.0, 1.0, 1.0, 9.0]])
    torch.testing.assert_close(centerness(distances), torch.tensor([1.0, 0.5, 1 / 6]))
    assert torch.equal(centerness(distances), centerness(16 * distances[:, [2, 3, 0, 1]]))
