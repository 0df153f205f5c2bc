"""Gates that read other statistics than the mean, or other axes than channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends


class Moments(Attends):
    """Mean and deviation of each channel, weighed channel by channel (Lee et al. 2019)."""

    attention_family = "channel-gate"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.weigh, self.norm = nn.Conv1d(width, width, 2, groups=width, bias=False), nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        moments = torch.stack([flat.mean(2), flat.std(2)], -1)
        return x * self.norm(self.weigh(moments)).sigmoid().unsqueeze(-1)


class Frequencies(Attends):
    """Squeeze by given cosines in place of the mean (Qin et al. 2021)."""

    attention_family = "channel-gate"

    def __init__(self, width: int = 32, size: int = 4) -> None:
        super().__init__()
        self.register_buffer("basis", torch.randn(width, size, size))
        self.f = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f((x * self.basis).sum((2, 3)))[:, :, None, None]


class PlaceSqueeze(Attends):
    """One gate for each place, from a projection of its channels (Roy et al. 2018)."""

    attention_family = "spatial-gate"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.f = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f(x).sigmoid()


class Additive(Attends):
    """The gate of attention U-nets: a coarser signal says which places pass (Oktay et al. 2018)."""

    attention_family = "spatial-gate"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.signal, self.features, self.f = nn.Conv2d(width, 16, 1), nn.Conv2d(width, 16, 1), nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0)
        return x * self.f(F.relu(self.signal(coarse) + self.features(x))).sigmoid()


class Energy(Attends):
    """A gate without weights, from each place's distance to the mean (Yang et al. 2021)."""

    attention_family = "spatial-gate"

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[2] * x.shape[3] - 1
        distance = (x - x.mean((2, 3), keepdim=True)).square()
        energy = distance / (4 * (distance.sum((2, 3), keepdim=True) / count + 1e-4)) + 0.5
        return x * energy.sigmoid()


class Instances(Attends):
    """Gated attention pooling of a bag of instances (Ilse et al. 2018)."""

    attention_family = "global-context"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.v, self.u, self.w = nn.Linear(width, 16), nn.Linear(width, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.w(self.v(x).tanh() * self.u(x).sigmoid()).transpose(1, 2).softmax(-1)
        return (a @ x).squeeze(1)
