"""Attention whose map is a product of feature maps, decays with distance, or is normalized by other means than a softmax."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends, Projected


class CosineWeighed(Projected):
    """Rectified queries and keys weighed by the cosine of their distance (cosFormer)."""

    attention_family = "linear"

    def __init__(self, tokens: int = 16) -> None:
        super().__init__()
        angle = math.pi / 2 * torch.arange(tokens) / tokens
        self.register_buffer("cos", angle.cos()[:, None])
        self.register_buffer("sin", angle.sin()[:, None])

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        q, k = F.relu(q), F.relu(k)
        q, k = (torch.cat([t * self.cos, t * self.sin], -1) for t in (q, k))
        z = 1 / (q @ k.sum(2).unsqueeze(-1)).clamp(min=1e-4)
        return self.o(self.merge(q @ (k.transpose(-2, -1) @ v) * z))


class Focused(Projected):
    """Linear attention with sharpened features and a depth-wise convolution on values (FLatten)."""

    attention_family = "linear"

    def __init__(self, grid: int = 4) -> None:
        super().__init__()
        self.grid = grid
        self.scale = nn.Parameter(torch.randn(1, 1, self.width) * 0.1)
        self.dwc = nn.Conv2d(self.width, self.width, 3, padding=1, groups=self.width)

    def focus(self, x: Tensor) -> Tensor:
        x = (F.relu(x) + 1e-6) / F.softplus(self.scale)
        sharp = x**3
        return sharp / sharp.norm(dim=-1, keepdim=True) * x.norm(dim=-1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.split(self.focus(self.q(x))), self.split(self.focus(self.k(x))), self.v(x)
        z = 1 / (q @ k.mean(2, keepdim=True).transpose(-2, -1) + 1e-6)
        y = q @ ((k.transpose(-2, -1) * n**-0.5) @ (self.split(v) * n**-0.5)) * z
        local = self.dwc(v.transpose(1, 2).reshape(b, c, self.grid, self.grid)).flatten(2).transpose(1, 2)
        return self.o(self.merge(y) + local)


class Hydra(Attends):
    """As many heads as channels: sums of products over tokens (Bolya et al. 2022)."""

    attention_family = "linear"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.qkv, self.o = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return self.o(q * (k * v).sum(1, keepdim=True))


class AttentionFree(Attends):
    """The simple form of the attention-free transformer: each channel weighs tokens by itself (Zhai et al. 2021)."""

    attention_family = "linear"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.k(x).softmax(1)
        return self.o(self.q(x).sigmoid() * (weights * self.v(x)).sum(1, keepdim=True))


class Retention(Projected):
    """Products that decay with distance take the place of a softmax (RetNet, parallel form)."""

    attention_family = "causal"

    def __init__(self, tokens: int = 16) -> None:
        super().__init__()
        distance = torch.arange(tokens)[:, None] - torch.arange(tokens)[None]
        decay = 1 - 2.0 ** (-5 - torch.arange(self.h))
        mask = torch.where(distance >= 0, decay[:, None, None] ** distance[None].clamp(min=0), 0.0)
        self.register_buffer("decay", mask[None])
        self.norm, self.gate = nn.GroupNorm(self.h, self.width), nn.Linear(self.width, self.width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x)
        y = self.merge((q @ (k * self.d**-0.5).transpose(-2, -1)) * self.decay @ v)
        return self.o(F.silu(self.gate(x)) * self.norm(y.reshape(b * n, c)).reshape(b, n, c))


class UnitSum(Projected):
    """Queries and keys with unit sums of magnitudes over the tokens; no softmax (SimA)."""

    attention_family = "linear"

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        q, k = F.normalize(q, p=1.0, dim=-2), F.normalize(k, p=1.0, dim=-2)
        return self.o(self.merge(q @ (k.transpose(-2, -1) @ v)))


class Double(Attends):
    """Gather with one softmax over places, hand out with one over features (A2-Net)."""

    attention_family = "factorized"

    def __init__(self, width: int = 32, features: int = 12) -> None:
        super().__init__()
        self.a, self.b, self.v = nn.Conv2d(width, features, 1), nn.Conv2d(width, features, 1), nn.Conv2d(width, features, 1)
        self.o = nn.Conv2d(features, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b, v = self.a(x).flatten(2), self.b(x).flatten(2).softmax(-1), self.v(x).flatten(2).softmax(1)
        descriptors = torch.bmm(a, b.transpose(1, 2))
        return self.o(torch.bmm(descriptors, v).view(x.shape[0], -1, *x.shape[2:]))
