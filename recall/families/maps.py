"""Maps that are changed before they weigh values: gated by positions, mixed between heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from families.base import Projected


class PositionalGate(Projected):
    """Content and position maps joined by a gate for each head (ConViT)."""

    def __init__(self, grid: int = 4) -> None:
        super().__init__()
        place = torch.arange(grid)
        row, column = (t.flatten() for t in torch.meshgrid(place, place, indexing="ij"))
        dy, dx = row[None] - row[:, None], column[None] - column[:, None]
        self.register_buffer("relative", torch.stack([dx, dy, dx**2 + dy**2], -1).float()[None])
        self.position, self.gate = nn.Linear(3, self.h), nn.Parameter(torch.randn(self.h))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        content = (q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1)
        position = self.position(self.relative.expand(x.shape[0], -1, -1, -1)).permute(0, 3, 1, 2).softmax(-1)
        g = self.gate.view(1, -1, 1, 1).sigmoid()
        a = (1 - g) * content + g * position
        return self.o(self.merge((a / a.sum(-1, keepdim=True)) @ v))


class TalkingHeads(Projected):
    """Heads mixed before and behind the softmax (Shazeer et al. 2020), by linear layer or convolution."""

    attention_family = "talking-heads"

    def __init__(self, convolves: bool = False) -> None:
        super().__init__()
        self.convolves = convolves
        if convolves:
            self.before, self.behind = nn.Conv2d(self.h, self.h, 1), nn.Conv2d(self.h, self.h, 1)
        else:
            self.before, self.behind = nn.Parameter(torch.randn(self.h, self.h)), nn.Parameter(torch.randn(self.h, self.h))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = q @ k.transpose(-2, -1) * self.d**-0.5
        if self.convolves:
            a = self.behind(self.before(s).softmax(-1))
        else:
            a = torch.einsum("bhij,hg->bgij", torch.einsum("bhij,hg->bgij", s, self.before).softmax(-1), self.behind)
        return self.o(self.merge(a @ v))


class ReAttention(Projected):
    """Maps are mixed between heads and normalized after the softmax (DeepViT)."""

    attention_family = "talking-heads"

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(self.h, self.h))
        self.norm = nn.LayerNorm(self.h)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        a = (q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1)
        a = self.norm(torch.einsum("bhij,hg->bgij", a, self.mix).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.o(self.merge(a @ v))
