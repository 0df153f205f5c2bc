"""Attention through a few tokens in between: agents, inducing points, bottleneck tokens, latent and appended keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends, Projected
from families.scores import rotate


class Agent(Projected):
    """Pooled queries gather from all tokens and hand out to all tokens (Han et al. 2024)."""

    attention_family = "linear"

    def __init__(self, grid: int = 4, agents: int = 2) -> None:
        super().__init__()
        self.grid, self.agents = grid, agents

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        b, n, c = x.shape
        agents = F.adaptive_avg_pool2d(self.q(x).transpose(1, 2).reshape(b, c, self.grid, self.grid), self.agents)
        a = self.split(agents.flatten(2).transpose(1, 2))
        gathered = (a @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v
        return self.o(self.merge((q @ a.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ gathered))


class Inducing(nn.Module):
    """Learned points ask the set, and the set asks them (Lee et al. 2019)."""

    def __init__(self, width: int = 32, points: int = 5) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, points, width))
        self.gather, self.spread = nn.MultiheadAttention(width, 4, batch_first=True), nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        points = self.points.expand(x.shape[0], -1, -1)
        held = self.gather(points, x, x, need_weights=False)[0]
        return self.spread(x, held, held, need_weights=False)[0]


class Bottleneck(Attends):
    """Mobile-Former's bridge: a few tokens ask the pixels; keys and values are the pixels themselves (Chen et al. 2022)."""

    attention_family = "cross"

    def __init__(self, width: int = 32, heads: int = 4, tokens: int = 6) -> None:
        super().__init__(heads)
        self.h, self.d = heads, width // heads
        self.tokens = nn.Parameter(torch.randn(1, tokens, width))
        self.q, self.o = nn.Linear(width, width), nn.Linear(width, width)
        self.back = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(self.tokens.expand(b, -1, -1)).view(b, -1, self.h, self.d).transpose(1, 2)
        kv = x.view(b, n, self.h, self.d).transpose(1, 2)
        y = (q @ kv.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ kv
        y = self.o(y.transpose(1, 2).reshape(b, -1, self.h * self.d))
        return self.back(y.mean(1, keepdim=True)) + x


class MultiHeadLatent(Attends):
    """Keys and values come out of a narrow latent; a part of each key carries positions and is shared by all heads (DeepSeek-V2)."""

    def __init__(self, width: int = 32, heads: int = 4, latent: int = 12, plain: int = 8, turned: int = 4, tokens: int = 16) -> None:
        super().__init__(heads)
        self.h, self.plain, self.turned = heads, plain, turned
        self.q = nn.Linear(width, heads * (plain + turned))
        self.down, self.norm = nn.Linear(width, latent + turned), nn.LayerNorm(latent)
        self.up, self.o = nn.Linear(latent, heads * (plain + 8)), nn.Linear(heads * 8, width)
        angles = torch.arange(tokens)[:, None] * 10000 ** (-torch.arange(0, turned, 2) / turned)[None]
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.h, -1).transpose(1, 2)
        q, q_turned = q.split([self.plain, self.turned], -1)
        latent, k_turned = self.down(x).split([self.down.out_features - self.turned, self.turned], -1)
        k, v = self.up(self.norm(latent)).view(b, n, self.h, -1).transpose(1, 2).split([self.plain, 8], -1)
        q_turned = rotate(q_turned, self.cos, self.sin, False)
        k_turned = rotate(k_turned[:, None], self.cos, self.sin, False).expand(-1, self.h, -1, -1)
        q, k = torch.cat([q, q_turned], -1), torch.cat([k, k_turned], -1)
        y = (q @ k.transpose(-2, -1) * (self.plain + self.turned) ** -0.5).softmax(-1) @ v
        return self.o(y.transpose(1, 2).reshape(b, n, -1))


class Prefixed(Projected):
    """Learned keys and values stand before those of the tokens (prefix tuning)."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.keys, self.values = nn.Parameter(torch.randn(1, self.h, count, self.d)), nn.Parameter(torch.randn(1, self.h, count, self.d))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        k = torch.cat([self.keys.expand(x.shape[0], -1, -1, -1), k], 2)
        v = torch.cat([self.values.expand(x.shape[0], -1, -1, -1), v], 2)
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class PyramidKeys(Projected):
    """Keys from pools of several sizes (P2T)."""

    attention_family = "spatial-reduction"

    def __init__(self, grid: int = 8) -> None:
        super().__init__()
        self.grid, self.norm = grid, nn.LayerNorm(self.width)
        self.convs = nn.ModuleList(nn.Conv2d(self.width, self.width, 3, 1, 1, groups=self.width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        b, _, c = x.shape
        image = x.transpose(1, 2).reshape(b, c, self.grid, self.grid)
        pools = [F.adaptive_avg_pool2d(image, size) for size in (4, 2)]
        y = torch.cat([(p + conv(p)).flatten(2) for p, conv in zip(pools, self.convs, strict=True)], -1).transpose(1, 2)
        y = self.norm(y)
        q, k, v = self.split(self.q(x)), self.split(self.k(y)), self.split(self.v(y))
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class NativeMultihead(nn.Module):
    """PyTorch's own module with its options."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        match kind:
            case "widths":
                self.layer = nn.MultiheadAttention(32, 4, kdim=24, vdim=20, batch_first=True)
                self.keys, self.values = nn.Linear(32, 24), nn.Linear(32, 20)
                self.layer.attention_family, self.layer.attention_heads = "self", 4
            case "extended":
                self.layer = nn.MultiheadAttention(32, 4, add_bias_kv=True, add_zero_attn=True, batch_first=True)
            case _:
                self.layer = nn.MultiheadAttention(32, 4, batch_first=True)
                self.layer.attention_family, self.layer.attention_heads = "causal", 4

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "widths":
            return self.layer(x, self.keys(x), self.values(x), need_weights=False)[0]
        if self.kind == "masked":
            mask = torch.triu(torch.full((x.shape[1], x.shape[1]), float("-inf")), 1)
            return self.layer(x, x, x, attn_mask=mask, need_weights=False)[0]
        return self.layer(x, x, x, need_weights=False)[0]
