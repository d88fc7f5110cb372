"""Wrong answers that people really give to `make_anchors`; those named `right_…` must pass."""

import torch


def wrong_column_by_column(grid, stride, sizes, ratios):
    x, y = torch.meshgrid(torch.arange(grid[1]) * stride[1], torch.arange(grid[0]) * stride[0], indexing="ij")
    centres = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    shapes = []
    for ratio in ratios:
        for size in sizes:
            w, h = size / ratio**0.5, size * ratio**0.5
            shapes.append([-w / 2, -h / 2, w / 2, h / 2])
    return (centres + torch.tensor(shapes).round()).reshape(-1, 4)


def wrong_all_cells_of_one_shape_first(grid, stride, sizes, ratios):
    anchors = []
    for ratio in ratios:
        for size in sizes:
            w, h = size / ratio**0.5, size * ratio**0.5
            shape = torch.tensor([-w / 2, -h / 2, w / 2, h / 2]).round()
            for row in range(grid[0]):
                for column in range(grid[1]):
                    x, y = column * stride[1], row * stride[0]
                    anchors.append(shape + torch.tensor([x, y, x, y]))
    return torch.stack(anchors)


def wrong_sizes_before_ratios(grid, stride, sizes, ratios):
    anchors = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            x, y = column * stride[1], row * stride[0]
            for size in sizes:
                for ratio in ratios:
                    w, h = size / ratio**0.5, size * ratio**0.5
                    shape = torch.tensor([-w / 2, -h / 2, w / 2, h / 2]).round()
                    anchors.append(shape + torch.tensor([x, y, x, y]))
    return torch.stack(anchors)


def wrong_centres_in_the_middle_of_the_cells(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(
        (torch.arange(grid[0]) + 0.5) * stride[0], (torch.arange(grid[1]) + 0.5) * stride[1], indexing="ij"
    )
    centres = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    root = torch.tensor(ratios).sqrt()[:, None]
    size = torch.tensor(sizes, dtype=torch.float32)
    w, h = (size / root).flatten(), (size * root).flatten()
    return (centres + (torch.stack([-w, -h, w, h], 1) / 2).round()).reshape(-1, 4)


def wrong_ratio_is_width_over_height(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij")
    root = torch.tensor(ratios).sqrt()[:, None]
    size = torch.tensor(sizes, dtype=torch.float32)
    w, h = (size * root).flatten(), (size / root).flatten()
    shapes = (torch.stack([-w, -h, w, h], 1) / 2).round()
    return (torch.stack([x, y, x, y], -1)[:, :, None] + shapes).reshape(-1, 4)


def wrong_area_grows_with_the_ratio(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij")
    shapes = torch.tensor([[-s / 2, -s * r / 2, s / 2, s * r / 2] for r in ratios for s in sizes]).round()
    return (torch.stack([x, y, x, y], -1)[:, :, None] + shapes).reshape(-1, 4)


def wrong_one_stride_for_both(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[0], indexing="ij")
    shapes = [[-s / r**0.5 / 2, -s * r**0.5 / 2, s / r**0.5 / 2, s * r**0.5 / 2] for r in ratios for s in sizes]
    return (torch.stack([x, y, x, y], -1)[:, :, None] + torch.tensor(shapes).round()).reshape(-1, 4)


def wrong_fractions_of_a_pixel(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij")
    shapes = [[-s / r**0.5 / 2, -s * r**0.5 / 2, s / r**0.5 / 2, s * r**0.5 / 2] for r in ratios for s in sizes]
    return (torch.stack([x, y, x, y], -1)[:, :, None] + torch.tensor(shapes)).reshape(-1, 4)


def wrong_grid_kept(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij")
    shapes = [[-s / r**0.5 / 2, -s * r**0.5 / 2, s / r**0.5 / 2, s * r**0.5 / 2] for r in ratios for s in sizes]
    return torch.stack([x, y, x, y], -1)[:, :, None] + torch.tensor(shapes).round()


def right_four_loops(grid, stride, sizes, ratios):
    anchors = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            for ratio in ratios:
                for size in sizes:
                    w, h = size / ratio**0.5, size * ratio**0.5
                    right, down = round(w / 2), round(h / 2)
                    x, y = column * stride[1], row * stride[0]
                    anchors.append([x - right, y - down, x + right, y + down])
    return torch.tensor(anchors, dtype=torch.float32)


def right_repeated_and_tiled(grid, stride, sizes, ratios):
    rows, columns = grid
    shapes = []
    for ratio in ratios:
        for size in sizes:
            half = torch.tensor([size / ratio**0.5, size * ratio**0.5]) / 2
            shapes.append(torch.cat([-half, half]).round())
    x = torch.arange(columns).mul(stride[1]).repeat(rows)
    y = torch.arange(rows).mul(stride[0]).repeat_interleave(columns)
    centres = torch.stack([x, y, x, y], 1).float().repeat_interleave(len(shapes), 0)
    return centres + torch.stack(shapes).repeat(rows * columns, 1)
