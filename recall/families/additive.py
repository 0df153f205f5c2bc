"""Additive attention: scores without a product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from families.base import Attends


class Bahdanau(Attends):
    """Scores by a tanh of the sum of projected query and key (Bahdanau et al. 2015)."""

    attention_family = "additive"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.attention_heads = None
        self.q, self.k, self.s = nn.Linear(width, 16), nn.Linear(width, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.s(torch.tanh(self.q(x)[:, :, None] + self.k(x)[:, None])).squeeze(-1).softmax(-1)
        return a @ x


class Fastformer(Attends):
    """Additive attention of a global query and a global key (Wu et al. 2021)."""

    attention_family = "additive"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.attention_heads = None
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.wq, self.wk, self.o = nn.Linear(width, 1), nn.Linear(width, 1), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        g = (self.wq(q).softmax(1) * q).sum(1, keepdim=True)
        p = g * k
        g = (self.wk(p).softmax(1) * p).sum(1, keepdim=True)
        return self.o(g * v) + q


class Separable(Attends):
    """MobileViT-v2's: one score for each token, one context for all."""

    attention_family = "linear"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.attention_heads = None
        self.width = width
        self.qkv, self.o = nn.Linear(width, 1 + 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).split([1, self.width, self.width], -1)
        context = (q.softmax(1) * k).sum(1, keepdim=True)
        return self.o(v.relu() * context)


class AttentionPooling(Attends):
    """Tokens weighed by a learned vector and added: a pool before a head."""

    attention_family = "global-context"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.attention_heads = None
        self.s = nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.s(x).softmax(1) * x).sum(1)
