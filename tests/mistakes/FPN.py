"""Wrong answers that people really give. Each is a class named `wrong_…`; those named `right_…` must pass."""

import torch.nn.functional as F
from torch import nn


class wrong_no_top_down(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        return [smooth(lateral(x)) for smooth, lateral, x in zip(self.smooth, self.lateral, maps)]


class wrong_adds_the_neighbour_before_it_is_merged(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        flat = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        for i in range(len(flat) - 1):  # from the bottom: flat[i + 1] has not got its own neighbour yet
            flat[i] = flat[i] + F.interpolate(flat[i + 1], size=flat[i].shape[-2:])
        return [smooth(x) for smooth, x in zip(self.smooth, flat)]


class wrong_smooths_before_it_merges(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        levels = [smooth(lateral(x)) for smooth, lateral, x in zip(self.smooth, self.lateral, maps)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
        return levels


class wrong_hands_the_smoothed_level_down(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        levels = [None] * len(maps)
        for i in range(len(maps) - 1, -1, -1):
            x = self.lateral[i](maps[i])
            if i + 1 < len(maps):
                x = x + F.interpolate(levels[i + 1], size=x.shape[-2:])
            levels[i] = self.smooth[i](x)
        return levels


class wrong_comes_out_coarsest_first(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        x, levels = None, []
        for lateral, smooth, one in reversed(list(zip(self.lateral, self.smooth, maps))):
            x = lateral(one) if x is None else lateral(one) + F.interpolate(x, size=one.shape[-2:])
            levels.append(smooth(x))
        return levels


class wrong_layers_in_a_plain_list(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = [nn.Conv2d(count, out_channels, 1) for count in in_channels]
        self.smooth = [nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels]

    def forward(self, maps):
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
        return [smooth(x) for smooth, x in zip(self.smooth, levels)]


class wrong_no_padding(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3) for _ in in_channels])

    def forward(self, maps):
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
        return [smooth(x) for smooth, x in zip(self.smooth, levels)]


class wrong_one_smoothing_for_all(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, maps):
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
        return [self.smooth(x) for x in levels]


class wrong_lateral_of_three_by_three(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 3, padding=1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
        return [smooth(x) for smooth, x in zip(self.smooth, levels)]


class wrong_scale_factor_two(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels])

    def forward(self, maps):
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], scale_factor=2)
        return [smooth(x) for smooth, x in zip(self.smooth, levels)]


class right_one_level_at_a_time(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.ModuleDict(
                {"in": nn.Conv2d(count, out_channels, 1), "out": nn.Conv2d(out_channels, out_channels, 3, 1, 1)}
            )
            for count in in_channels
        )

    def forward(self, maps):
        above, found = None, []
        for level, one in zip(reversed(self.levels), reversed(maps)):
            here = level["in"](one)
            above = here if above is None else here + F.interpolate(above, size=here.shape[-2:], mode="nearest")
            found.insert(0, level["out"](above))
        return found


class right_as_a_tuple(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding="same") for _ in in_channels])
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])

    def forward(self, maps):
        def merged(i):
            here = self.lateral[i](maps[i])
            return here if i + 1 == len(maps) else here + F.interpolate(merged(i + 1), size=here.shape[-2:])

        return tuple(smooth(merged(i)) for i, smooth in enumerate(self.smooth))
