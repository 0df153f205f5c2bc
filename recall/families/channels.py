"""Channels attend to channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends, Projected


class CrossCovariance(Projected):
    """Channels attend to channels, queries and keys of length 1 along tokens (XCiT), or scaled (DaViT)."""

    attention_family = "cross-covariance"

    def __init__(self, normalizes: bool = True) -> None:
        super().__init__()
        self.normalizes, self.temperature = normalizes, nn.Parameter(torch.ones(self.h, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.transpose(-2, -1) for t in self.qkv(x))
        if self.normalizes:
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
            a = (q @ k.transpose(-2, -1) * self.temperature).softmax(-1)
        else:
            a = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.o(self.merge((a @ v).transpose(-2, -1)))


class Transposed(Attends):
    """Restormer's: 1x1 and depth-wise convolutions, channels attend to channels."""

    attention_family = "cross-covariance"

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__(heads)
        self.h, self.temperature = heads, nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv, self.dw = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width)
        self.o = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q, k, v = (t.reshape(b, self.h, c // self.h, -1) for t in self.dw(self.qkv(x)).chunk(3, 1))
        a = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature).softmax(-1)
        return self.o((a @ v).reshape(b, c, height, width))


class ChannelMap(Attends):
    """DANet's channel attention: raw features, the maximum taken away."""

    attention_family = "cross-covariance"

    def __init__(self) -> None:
        super().__init__(1)
        self.gamma = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        t = x.flatten(2)
        e = torch.bmm(t, t.transpose(1, 2))
        a = (e.amax(-1, keepdim=True).expand_as(e) - e).softmax(-1)
        return self.gamma * torch.bmm(a, t).view_as(x) + x
