"""Queries from another place than keys: memories, latents, class tokens, fewer keys or queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from families.base import Projected


class Cross(Projected):
    """Queries of one input, keys and values of another."""

    attention_family = "cross"

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class Latents(Projected):
    """Learned queries gather from all tokens (Perceiver)."""

    attention_family = "cross"

    def __init__(self, count: int = 5) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, count, self.width))

    def forward(self, x: Tensor) -> Tensor:
        q = self.split(self.q(self.latents.expand(x.shape[0], -1, -1)))
        k, v = self.split(self.k(x)), self.split(self.v(x))
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class ClassAttention(Projected):
    """Only the first token asks (CaiT)."""

    attention_family = "class"

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x[:, :1])), self.split(self.k(x)), self.split(self.v(x))
        y = self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))
        return torch.cat([x[:, :1] + y, x[:, 1:]], 1)


class Reduced(Projected):
    """Keys from a strided convolution, a pool, or the first tokens (PVT and kin)."""

    attention_family = "spatial-reduction"

    def __init__(self, grid: int = 8, how: str = "conv") -> None:
        super().__init__()
        self.grid, self.how = grid, how
        self.sr = nn.Conv2d(self.width, self.width, 2, 2) if how == "conv" else nn.AvgPool2d(2)
        self.norm = nn.LayerNorm(self.width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        y = self.sr(x.transpose(1, 2).reshape(b, c, self.grid, self.grid)).flatten(2).transpose(1, 2)
        y = self.norm(y)
        q, k, v = self.split(self.q(x)), self.split(self.k(y)), self.split(self.v(y))
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class Linformer(Projected):
    """Keys and values projected along tokens (Wang et al. 2020)."""

    attention_family = "spatial-reduction"

    def __init__(self, tokens: int = 16, kept: int = 4) -> None:
        super().__init__()
        self.e, self.f = nn.Linear(tokens, kept, bias=False), nn.Linear(tokens, kept, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q = self.split(self.q(x))
        k = self.split(self.e(self.k(x).transpose(1, 2)).transpose(1, 2))
        v = self.split(self.f(self.v(x).transpose(1, 2)).transpose(1, 2))
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))
