"""Wrong answers that people really give. Each is a class named `wrong_…`; those named `right_…` must pass."""

import torch
from torch import nn


class wrong_without_background(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * output_size * output_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.classes = nn.Linear(hidden, num_classes)
        self.deltas = nn.Linear(hidden, 4 * num_classes)

    def forward(self, patches):
        x = self.body(patches)
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_deltas_turned_round(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * output_size * output_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches):
        x = self.body(patches)
        logits = self.classes(x)
        return logits, self.deltas(x).view(len(x), 4, logits.shape[1]).permute(0, 2, 1)


class wrong_with_softmax(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * output_size * output_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.classes = nn.Sequential(nn.Linear(hidden, num_classes + 1), nn.Softmax(-1))
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches):
        x = self.body(patches)
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_without_relu(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * output_size * output_size, hidden), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches):
        x = self.body(patches)
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_channels_last(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * output_size * output_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches):
        x = self.body(patches.permute(0, 2, 3, 1))
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class wrong_cannot_take_none(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.first, self.second = nn.Linear(channels * output_size * output_size, hidden), nn.Linear(hidden, hidden)
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches):
        x = torch.relu(self.second(torch.relu(self.first(patches.view(patches.shape[0], -1)))))
        return self.classes(x), self.deltas(x).view(x.shape[0], -1, 4)


class wrong_flat_deltas(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * output_size * output_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches):
        x = self.body(patches)
        return self.classes(x), self.deltas(x)


class right_with_sequential(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.deltas = nn.Sequential(nn.Linear(hidden, 4 * (num_classes + 1)), nn.Unflatten(1, (num_classes + 1, 4)))
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * output_size**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )

    def forward(self, patches):
        x = self.body(patches)
        return self.classes(x), self.deltas(x)


class right_as_a_list(nn.Module):
    def __init__(self, channels, num_classes, hidden=256, output_size=7):
        super().__init__()
        self.count = num_classes + 1
        self.layers = nn.ModuleList(
            [
                nn.Linear(channels * output_size * output_size, hidden),
                nn.Linear(hidden, hidden),
                nn.Linear(hidden, self.count),
                nn.Linear(hidden, self.count * 4),
            ]
        )

    def forward(self, patches):
        x = patches.reshape(len(patches), self.layers[0].in_features)
        x = torch.relu(self.layers[1](torch.relu(self.layers[0](x))))
        return [self.layers[2](x), self.layers[3](x).reshape(len(x), self.count, 4)]
