"""Gates and mixing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends


class SqueezeExcite(Attends):
    """Squeeze and excitation with linear layers, or its one-layer and one-dimensional kin."""

    attention_family = "channel-gate"

    def __init__(self, width: int = 32, kind: str = "se") -> None:
        super().__init__()
        self.attention_heads, self.kind = None, kind
        match kind:
            case "se":
                self.f = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width), nn.Sigmoid())
            case "hard":
                self.f = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width), nn.Hardsigmoid())
            case "ese":
                self.f = nn.Sequential(nn.Linear(width, width), nn.Hardsigmoid())
            case _:
                self.f = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.adaptive_avg_pool2d(x, 1).flatten(1)
        gate = self.f(y.unsqueeze(1)).squeeze(1).sigmoid() if self.kind == "eca" else self.f(y)
        return x * gate[:, :, None, None]


class ChannelPart(Attends):
    """The channel half of CBAM."""

    attention_family = "channel-gate"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.attention_heads = None
        self.f = nn.Sequential(nn.Conv2d(width, 8, 1, bias=False), nn.ReLU(), nn.Conv2d(8, width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.f(x.mean((2, 3), keepdim=True)) + self.f(x.amax((2, 3), keepdim=True))).sigmoid()


class SpatialPart(Attends):
    """The spatial half of CBAM."""

    attention_family = "spatial-gate"

    def __init__(self) -> None:
        super().__init__()
        self.attention_heads = None
        self.f = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid()


class TokenMlp(Attends):
    """A token-mixing perceptron, or gMLP's spatial gating unit."""

    attention_family = "token-mixing"

    def __init__(self, width: int = 32, tokens: int = 16, gates: bool = False) -> None:
        super().__init__()
        self.attention_heads, self.gates = None, gates
        if gates:
            self.inside, self.norm = nn.Linear(width, 2 * width), nn.LayerNorm(width)
            self.mix, self.o = nn.Conv1d(tokens, tokens, 1), nn.Linear(width, width)
        else:
            self.f = nn.Sequential(nn.Linear(tokens, 24), nn.GELU(), nn.Linear(24, tokens))

    def forward(self, x: Tensor) -> Tensor:
        if self.gates:
            u, v = F.gelu(self.inside(x)).chunk(2, -1)
            return self.o(u * self.mix(self.norm(v)))
        return self.f(x.transpose(1, 2)).transpose(1, 2)
