"""What is added to scores, and what changes queries and keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends, Projected


class Alibi(Projected):
    """Linear biases by distance, causal (Press et al. 2022)."""

    attention_family = "causal"

    def __init__(self, tokens: int = 16) -> None:
        super().__init__()
        distance = torch.arange(tokens)[None] - torch.arange(tokens)[:, None]
        slopes = torch.tensor([2.0 ** (-8 * (i + 1) / self.h) for i in range(self.h)])
        bias = slopes[:, None, None] * distance[None]
        self.register_buffer("bias", bias.masked_fill(distance[None] > 0, float("-inf"))[None])

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5 + self.bias).softmax(-1) @ v))


class CausalFill(Projected):
    """The causal mask by masked_fill of a triangle made from the size of the input."""

    attention_family = "causal"

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        n = x.shape[1]
        mask = torch.ones(n, n, dtype=torch.bool).triu(1)
        s = (q @ k.transpose(-2, -1) * self.d**-0.5).masked_fill(mask, float("-inf"))
        return self.o(self.merge(s.softmax(-1) @ v))


class CausalFused(Projected):
    """PyTorch's fused operator with is_causal."""

    attention_family = "causal"

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.merge(F.scaled_dot_product_attention(*self.qkv(x), is_causal=True)))


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    if interleaved:
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    else:
        a, b = x.chunk(2, -1)
        turned = torch.cat([-b, a], -1)
    return x * cos + turned * sin


class Rotary(Projected):
    """Rotary positions (Su et al. 2021), halves or interleaved pairs."""

    def __init__(self, tokens: int = 16, interleaved: bool = False) -> None:
        super().__init__()
        self.interleaved = interleaved
        angles = torch.arange(tokens)[:, None] * 10000 ** (-torch.arange(0, self.d, 2) / self.d)[None]
        angles = angles.repeat_interleave(2, -1) if interleaved else torch.cat([angles, angles], -1)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        q, k = (rotate(t, self.cos, self.sin, self.interleaved) for t in (q, k))
        return self.o(self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class RotaryPairs(Projected):
    """Rotary positions with pairs in an axis of their own, as complex numbers."""

    def __init__(self, tokens: int = 16) -> None:
        super().__init__()
        angles = torch.arange(tokens)[:, None] * 10000 ** (-torch.arange(0, self.d, 2) / self.d)[None]
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def turned(self, x: Tensor) -> Tensor:
        pairs = x.unflatten(-1, (-1, 2))
        real, imaginary = pairs[..., 0], pairs[..., 1]
        return torch.stack([real * self.cos - imaginary * self.sin, real * self.sin + imaginary * self.cos], -1).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        return self.o(self.merge((self.turned(q) @ self.turned(k).transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class GroupedExpand(Attends):
    """Two heads of keys for four of queries, copied by expand (Ainslie et al. 2023)."""

    attention_family = "gqa"

    def __init__(self, width: int = 32, heads: int = 4, groups: int = 2, how: str = "expand") -> None:
        super().__init__(heads)
        self.h, self.g, self.d, self.how = heads, groups, width // heads, how
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * groups * self.d)
        self.o = nn.Linear(width, width)

    def copies(self, x: Tensor) -> Tensor:
        r = self.h // self.g
        if self.how == "interleave":
            return x.repeat_interleave(r, 1)
        b, g, n, d = x.shape
        return x[:, :, None].expand(b, g, r, n, d).reshape(b, self.h, n, d)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.h, self.d).transpose(1, 2)
        k, v = self.kv(x).view(b, n, 2, self.g, self.d).permute(2, 0, 3, 1, 4)
        if self.how == "broadcast":
            q = q.reshape(b, self.g, self.h // self.g, n, self.d)
            a = (q @ k[:, :, None].transpose(-2, -1) * self.d**-0.5).softmax(-1)
            y = (a @ v[:, :, None]).reshape(b, self.h, n, self.d)
        elif self.how == "fused":
            y = F.scaled_dot_product_attention(q, self.copies(k), self.copies(v))
        else:
            y = (q @ self.copies(k).transpose(-2, -1) * self.d**-0.5).softmax(-1) @ self.copies(v)
        return self.o(y.transpose(1, 2).reshape(b, n, -1))


class MultiQuery(Attends):
    """One head of keys and values for all (Shazeer 2019)."""

    attention_family = "gqa"

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__(heads)
        self.h, self.d = heads, width // heads
        self.q, self.kv, self.o = nn.Linear(width, width), nn.Linear(width, 2 * self.d), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.h, self.d).transpose(1, 2)
        k, v = self.kv(x).chunk(2, -1)
        a = torch.einsum("bhid,bjd->bhij", q * self.d**-0.5, k).softmax(-1)
        return self.o(torch.einsum("bhij,bjd->bihd", a, v).reshape(b, n, -1))


class Cosine(Projected):
    """Cosine scores with a learned temperature for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.full((self.h, 1, 1), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature.exp()
        return self.o(self.merge(s.softmax(-1) @ v))


class NormedHeads(Projected):
    """Queries and keys normalized inside each head."""

    def __init__(self, rms: bool = False) -> None:
        super().__init__()
        kind = nn.RMSNorm if rms else nn.LayerNorm
        self.q_norm, self.k_norm = kind(self.d), kind(self.d)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        return self.o(self.merge((self.q_norm(q) @ self.k_norm(k).transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class Capped(Projected):
    """Scores capped by a tanh (Gemma 2)."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = 30 * torch.tanh(q @ k.transpose(-2, -1) * self.d**-0.5 / 30)
        return self.o(self.merge(s.softmax(-1) @ v))


class RelativeProduct(Projected):
    """Queries times a table of relative positions, skewed into place (Huang et al. 2019)."""

    def __init__(self, tokens: int = 16) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(2 * tokens - 1, self.d) * 0.2)
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        n = self.tokens
        rel = q @ self.table.t()
        rel = F.pad(rel, (0, 1)).flatten(2)
        rel = F.pad(rel, (0, n - 1)).view(-1, self.h, n + 1, 2 * n - 1)[:, :, :n, n - 1 :]
        return self.o(self.merge(((q @ k.transpose(-2, -1) + rel) * self.d**-0.5).softmax(-1) @ v))


class RelativeGather(Projected):
    """Shaw's relative keys: an embedding for each pair, contracted with queries by einsum."""

    def __init__(self, tokens: int = 16, reach: int = 4) -> None:
        super().__init__()
        place = torch.arange(tokens)
        self.register_buffer("index", (place[None] - place[:, None]).clamp(-reach, reach) + reach)
        self.table = nn.Embedding(2 * reach + 1, self.d)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        rel = torch.einsum("bhid,ijd->bhij", q, self.table(self.index))
        return self.o(self.merge(((q @ k.transpose(-2, -1) + rel) * self.d**-0.5).softmax(-1) @ v))
