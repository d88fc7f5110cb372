"""Wrong answers that people really give. Each is a class named `wrong_…`; those named `right_…` must pass."""

import torch
from torch import nn


class wrong_flattened_as_it_lies(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            hidden = torch.relu(self.layers[0](level))
            logits.append(self.layers[1](hidden).flatten(1))
            deltas.append(self.layers[2](hidden).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_deltas_viewed_as_fours_first(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.anchors = anchors
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            batch, _, height, width = level.shape
            hidden = torch.relu(self.layers[0](level))
            logits.append(self.layers[1](hidden).permute(0, 2, 3, 1).reshape(batch, -1))
            one = self.layers[2](hidden).view(batch, 4, self.anchors, height, width)
            deltas.append(one.permute(0, 3, 4, 2, 1).reshape(batch, -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_columns_before_rows(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            hidden = torch.relu(self.layers[0](level))
            logits.append(self.layers[1](hidden).transpose(1, 3).flatten(1))
            deltas.append(self.layers[2](hidden).transpose(1, 3).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_no_activation(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            hidden = self.layers[0](level)
            logits.append(self.layers[1](hidden).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.layers[2](hidden).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_probabilities(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            hidden = torch.relu(self.layers[0](level))
            logits.append(self.layers[1](hidden).permute(0, 2, 3, 1).flatten(1).sigmoid())
            deltas.append(self.layers[2](hidden).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_lists_of_levels(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        hidden = [torch.relu(self.layers[0](level)) for level in levels]
        logits = [self.layers[1](one).permute(0, 2, 3, 1).flatten(1) for one in hidden]
        deltas = [self.layers[2](one).permute(0, 2, 3, 1).reshape(len(one), -1, 4) for one in hidden]
        return logits, deltas


class wrong_a_hidden_layer_for_each_output(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        self.layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            one, other = torch.relu(self.layers[0](level)), torch.relu(self.layers[3](level))
            logits.append(self.layers[1](one).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.layers[2](other).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_two_logits_an_anchor(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.layers[1] = nn.Conv2d(channels, 2 * anchors, 1)
        nn.init.normal_(self.layers[1].weight, std=0.01)
        nn.init.zeros_(self.layers[1].bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            hidden = torch.relu(self.layers[0](level))
            logits.append(self.layers[1](hidden).permute(0, 2, 3, 1).reshape(len(level), -1, 2))
            deltas.append(self.layers[2](hidden).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class wrong_starting_weights(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.score, self.move = nn.Conv2d(channels, anchors, 1), nn.Conv2d(channels, 4 * anchors, 1)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            hidden = torch.relu(self.hidden(level))
            logits.append(self.score(hidden).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.move(hidden).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class right_with_views(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.anchors = anchors
        self.layers = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, anchors, 1)])
        self.layers.append(nn.Conv2d(channels, 4 * anchors, 1))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            batch, _, height, width = level.shape
            hidden = torch.relu(self.layers[0](level))
            logits.append(self.layers[1](hidden).permute(0, 2, 3, 1).reshape(batch, -1))
            one = self.layers[2](hidden).view(batch, self.anchors, 4, height, width)
            deltas.append(one.permute(0, 3, 4, 1, 2).reshape(batch, -1, 4))
        return [torch.cat(logits, 1), torch.cat(deltas, 1)]


class right_matrix_products_at_each_cell(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.score, self.move = nn.Conv2d(channels, anchors, 1), nn.Conv2d(channels, 4 * anchors, 1)
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        for layer in (self.hidden, self.score, self.move):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels):
        hidden = [torch.relu(self.hidden(level)) for level in levels]
        rows = torch.cat([one.flatten(2).transpose(1, 2) for one in hidden], 1)  # (B, cells, C)
        logits = rows @ self.score.weight.flatten(1).T + self.score.bias
        deltas = rows @ self.move.weight.flatten(1).T + self.move.bias
        return logits.flatten(1), deltas.reshape(len(rows), -1, 4)
