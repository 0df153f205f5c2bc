"""Attention as papers write it, in plain PyTorch: families and spellings that model libraries do not offer.

Every module says its family and its heads in `attention_family` and `attention_heads`. All of them map tokens
(batch, token, channel) to tokens, or images (batch, channel, row, column) to images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attends(nn.Module):
    """A module that counts as one block."""

    attention_family = "self"

    def __init__(self, heads: int | None = None) -> None:
        super().__init__()
        self.attention_heads = heads


# --- plain attention in other spellings ---


class Projected(Attends):
    """Query, key, value and output projections, for those below."""

    def __init__(self, width: int = 32, heads: int = 4, bias: bool = True) -> None:
        super().__init__(heads)
        self.h, self.d, self.width = heads, width // heads, width
        self.q, self.k, self.v = (nn.Linear(width, width, bias=bias) for _ in range(3))
        self.o = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.h, self.d).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(x.shape[0], -1, self.h * self.d)

    def qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))


class EinsumLast(Projected):
    """Heads stay behind tokens; einsum does the rest."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (p(x).view(b, n, self.h, self.d) for p in (self.q, self.k, self.v))
        a = torch.einsum("bihd,bjhd->bhij", q * self.d**-0.5, k).softmax(-1)
        return self.o(torch.einsum("bhij,bjhd->bihd", a, v).reshape(b, n, -1))


class EinsumKeysFirst(Projected):
    """Scores lie as key by query, and the softmax runs over the axis before the last."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        a = torch.einsum("bhjd,bhid->bhji", k, q).div(math.sqrt(self.d)).softmax(-2)
        return self.o(self.merge(torch.einsum("bhji,bhjd->bhid", a, v)))


class EinsumRearranged(nn.Module):
    """The packed projection of lucidrains' style: channels are (qkv, head, dim)."""

    attention_family = "self"

    def __init__(self, width: int = 32, heads: int = 4, dim: int = 12) -> None:
        super().__init__()
        self.attention_heads, self.dim = heads, dim
        self.to_qkv = nn.Linear(width, heads * dim * 3, bias=False)
        self.to_out = nn.Linear(heads * dim, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (t.reshape(b, n, self.attention_heads, self.dim).permute(0, 2, 1, 3) for t in self.to_qkv(x).chunk(3, dim=-1))
        dots = torch.matmul(q, k.transpose(-1, -2)) * self.dim**-0.5
        out = torch.matmul(dots.softmax(dim=-1), v)
        return self.to_out(out.permute(0, 2, 1, 3).reshape(b, n, -1))


class MergedBatch(Projected):
    """Batch and heads in one axis, torch.bmm, as memory-efficient kernels want their operands."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (p(x).view(b, n, self.h, self.d).permute(0, 2, 1, 3).reshape(b * self.h, n, self.d) for p in (self.q, self.k, self.v))
        a = torch.bmm(q / self.d**0.5, k.transpose(1, 2)).softmax(-1)
        return self.o(torch.bmm(a, v).view(b, self.h, n, self.d).permute(0, 2, 1, 3).reshape(b, n, -1))


class SequenceFirst(Projected):
    """Tokens before batch, as fairseq lays them out."""

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        x = x.transpose(0, 1)
        q = (self.q(x) * self.d**-0.5).contiguous().view(n, b * self.h, self.d).transpose(0, 1)
        k, v = (p(x).contiguous().view(n, b * self.h, self.d).transpose(0, 1) for p in (self.k, self.v))
        a = F.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
        out = torch.bmm(a, v).transpose(0, 1).contiguous().view(n, b, c)
        return self.o(out).transpose(0, 1)


class ChannelsFirst(Attends):
    """1x1 convolutions on an image; tokens lie behind channels all the way."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__(heads)
        self.h, self.d = heads, width // heads
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.o = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q, k, v = self.qkv(x).view(b, 3, self.h, self.d, height * width).unbind(1)
        a = (k.transpose(-2, -1) @ q * self.d**-0.5).softmax(-2)
        return self.o((v @ a).view(b, c, height, width))


class DiffusionSpatial(Attends):
    """The attention of diffusion U-nets: group norm, one head, a residual around it."""

    def __init__(self, width: int = 32) -> None:
        super().__init__(1)
        self.norm = nn.GroupNorm(8, width)
        self.q, self.k, self.v, self.o = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        y = self.norm(x)
        q, k, v = self.q(y).flatten(2), self.k(y).flatten(2), self.v(y).flatten(2)
        w = torch.bmm(q.permute(0, 2, 1), k) * c**-0.5
        w = F.softmax(w, dim=2)
        return x + self.o(torch.bmm(v, w.permute(0, 2, 1)).reshape(b, c, height, width))


class Chunked(Projected):
    """Queries in two chunks, keys whole, results joined: two softmaxes, one block for each."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        parts = [(part @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v for part in q.chunk(2, dim=2)]
        return self.o(self.merge(torch.cat(parts, dim=2)))


class SafeSoftmax(Projected):
    """The softmax written out with the maximum subtracted."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        e = (s - s.amax(-1, keepdim=True)).exp()
        return self.o(self.merge((e / e.sum(-1, keepdim=True)) @ v))


class LateNormalized(Projected):
    """Exponentials meet values first and are divided by their sum afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = q @ k.transpose(-2, -1) * self.d**-0.5
        e = (s - s.amax(-1, keepdim=True)).exp()
        return self.o(self.merge((e @ v) / e.sum(-1, keepdim=True)))


class SplitScale(Projected):
    """The fourth root of the head size on both sides, as half precision wants it."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        f = self.d**-0.25
        return self.o(self.merge(((q * f) @ (k * f).transpose(-2, -1)).softmax(-1) @ v))


class PlusOne(Projected):
    """Softmax with one more in the denominator, by a column of zeros (softmax1)."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = q @ k.transpose(-2, -1) * self.d**-0.5
        a = F.pad(s, (0, 1)).softmax(-1)[..., :-1]
        return self.o(self.merge(a @ v))


class Sink(Projected):
    """A learned sink for each head that takes part in the softmax but has no value."""

    def __init__(self) -> None:
        super().__init__()
        self.sinks = nn.Parameter(torch.randn(self.h))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = q @ k.transpose(-2, -1) * self.d**-0.5
        sink = self.sinks.view(1, -1, 1, 1).expand(s.shape[0], -1, s.shape[2], 1)
        a = torch.cat([s, sink], -1).softmax(-1)[..., :-1]
        return self.o(self.merge(a @ v))


class HeadGated(Projected):
    """What each head gives is gated by a sigmoid of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(self.width, self.width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        y = self.merge((q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v)
        return self.o(y * self.gate(x).sigmoid())


class SharedQueryKey(Projected):
    """One projection for queries and keys."""

    def forward(self, x: Tensor) -> Tensor:
        q, v = self.split(self.q(x)), self.split(self.v(x))
        return self.o(self.merge((q @ q.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v))


class NoProjection(Attends):
    """The parameter-free form: tokens are queries, keys and values."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.transpose(-2, -1) * x.shape[-1] ** -0.5).softmax(-1) @ x


class Differential(Attends):
    """The difference of two attention maps (differential transformer)."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__(heads)
        self.h, self.d = heads, width // heads // 2
        self.qkv = nn.Linear(width, 3 * width)
        self.o = nn.Linear(width, width)
        self.amount = nn.Parameter(torch.tensor([0.3]))

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = (t.view(b, n, 2 * self.h, self.d).transpose(1, 2) for t in (q, k))
        v = v.view(b, n, self.h, 2 * self.d).transpose(1, 2)
        a = (q @ k.transpose(-1, -2) * self.d**-0.5).softmax(-1).view(b, self.h, 2, n, n)
        a = a[:, :, 0] - self.amount * a[:, :, 1]
        return self.o((a @ v).transpose(1, 2).reshape(b, n, c))


# --- what is added to scores, and what changes queries and keys ---


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


# --- cross ---


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


# --- images ---


class AxialRows(Attends):
    """Attention along rows, then along columns (Ho et al. 2019)."""

    attention_family = "axial"

    def __init__(self, width: int = 32, heads: int = 4, columns: bool = False) -> None:
        super().__init__(heads)
        self.h, self.d, self.columns = heads, width // heads, columns
        self.qkv = nn.Linear(width, 3 * width)
        self.o = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 2, 1) if self.columns else x.permute(0, 2, 3, 1)
        b, r, n, c = x.shape
        q, k, v = self.qkv(x).view(b, r, n, 3, self.h, self.d).permute(3, 0, 1, 4, 2, 5)
        y = (q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v
        y = self.o(y.transpose(2, 3).reshape(b, r, n, c))
        return y.permute(0, 3, 2, 1) if self.columns else y.permute(0, 3, 1, 2)


class CrissCross(Attends):
    """One softmax over the row and the column of each place (CCNet)."""

    attention_family = "axial"

    def __init__(self, width: int = 32) -> None:
        super().__init__(1)
        self.q, self.k = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width, width // 4, 1)
        self.v = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q, k, v = self.q(x), self.k(x), self.v(x)
        qh = q.permute(0, 3, 2, 1).reshape(b * width, height, -1)
        qw = q.permute(0, 2, 3, 1).reshape(b * height, width, -1)
        kh = k.permute(0, 3, 1, 2).reshape(b * width, -1, height)
        kw = k.permute(0, 2, 1, 3).reshape(b * height, -1, width)
        vh = v.permute(0, 3, 1, 2).reshape(b * width, -1, height)
        vw = v.permute(0, 2, 1, 3).reshape(b * height, -1, width)
        diagonal = torch.diag(torch.full((height,), float("-inf")))
        eh = (torch.bmm(qh, kh) + diagonal).view(b, width, height, height).permute(0, 2, 1, 3)
        ew = torch.bmm(qw, kw).view(b, height, width, width)
        a = torch.cat([eh, ew], 3).softmax(3)
        ah = a[..., :height].permute(0, 2, 1, 3).reshape(b * width, height, height)
        aw = a[..., height:].reshape(b * height, width, width)
        oh = torch.bmm(vh, ah.permute(0, 2, 1)).view(b, width, -1, height).permute(0, 2, 3, 1)
        ow = torch.bmm(vw, aw.permute(0, 2, 1)).view(b, height, -1, width).permute(0, 2, 1, 3)
        return self.gamma * (oh + ow) + x


class Windowed(Attends):
    """Windows of neighbors, or dilated grids, by view and permute."""

    def __init__(self, width: int = 32, heads: int = 4, window: int = 4, grid: bool = False, shift: int = 0) -> None:
        super().__init__(heads)
        self.attention_family = "grid" if grid else "window"
        self.h, self.d, self.m, self.grid, self.shift = heads, width // heads, window, grid, shift
        self.qkv, self.o = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        m = self.m
        x = x.permute(0, 2, 3, 1)
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        if self.grid:
            x = x.reshape(b, m, height // m, m, width // m, c).permute(0, 2, 4, 1, 3, 5)
        else:
            x = x.reshape(b, height // m, m, width // m, m, c).permute(0, 1, 3, 2, 4, 5)
        rows, columns = x.shape[1], x.shape[2]
        t = x.reshape(-1, m * m, c)
        q, k, v = self.qkv(t).view(-1, m * m, 3, self.h, self.d).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) * self.d**-0.5).softmax(-1) @ v
        y = self.o(y.transpose(1, 2).reshape(-1, m * m, c)).view(b, rows, columns, m, m, c)
        y = y.permute(0, 3, 1, 4, 2, 5) if self.grid else y.permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(b, height, width, c)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        return y.permute(0, 3, 1, 2)


class NonLocal(Attends):
    """Embedded Gaussian or dot-product form, keys pooled or not (Wang et al. 2018)."""

    attention_family = "non-local"

    def __init__(self, width: int = 32, softmax: bool = True, pooled: bool = False) -> None:
        super().__init__(1)
        inner = width // 2
        self.theta, self.phi, self.g = (nn.Conv2d(width, inner, 1) for _ in range(3))
        self.w = nn.Sequential(nn.Conv2d(inner, width, 1), nn.BatchNorm2d(width))
        self.pool = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        b, _, height, width = x.shape
        g = self.pool(self.g(x)).flatten(2).permute(0, 2, 1)
        theta = self.theta(x).flatten(2).permute(0, 2, 1)
        f = theta @ self.pool(self.phi(x)).flatten(2)
        f = f.softmax(-1) if self.softmax else f / f.shape[-1]
        y = (f @ g).permute(0, 2, 1).reshape(b, -1, height, width)
        return self.w(y) + x


class GlobalContext(Attends):
    """One map for all places, whose context is transformed and added or multiplied (Cao et al. 2019)."""

    attention_family = "global-context"

    def __init__(self, width: int = 32, multiplies: bool = False) -> None:
        super().__init__()
        self.attention_heads = None
        self.mask = nn.Conv2d(width, 1, 1)
        self.transform = nn.Sequential(nn.Conv2d(width, 8, 1), nn.LayerNorm([8, 1, 1]), nn.ReLU(), nn.Conv2d(8, width, 1))
        self.multiplies = multiplies

    def forward(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        a = self.mask(x).flatten(1).softmax(1).unsqueeze(-1)
        context = self.transform((x.flatten(2) @ a).view(b, c, 1, 1))
        return x * context.sigmoid() if self.multiplies else x + context


class External(Attends):
    """Keys and values are two learned memories (Guo et al. 2021)."""

    attention_family = "cross"

    def __init__(self, width: int = 32, memory: int = 12) -> None:
        super().__init__(1)
        self.mk, self.mv = nn.Linear(width, memory, bias=False), nn.Linear(memory, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a = self.mk(x).softmax(1)
        return self.mv(a / (1e-9 + a.sum(2, keepdim=True)))


class Halo(Attends):
    """Windows of queries, windows with a halo of keys (Vaswani et al. 2021)."""

    attention_family = "window"

    def __init__(self, width: int = 32, heads: int = 4, block: int = 4, halo: int = 1) -> None:
        super().__init__(heads)
        self.h, self.d, self.m, self.halo = heads, width // heads, block, halo
        self.q, self.kv = nn.Conv2d(width, width, 1, bias=False), nn.Conv2d(width, 2 * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        m, w = self.m, self.m + 2 * self.halo
        rows, columns = height // m, width // m
        q = self.q(x).view(b, self.h, self.d, rows, m, columns, m).permute(0, 1, 3, 5, 4, 6, 2).reshape(b * self.h, rows * columns, m * m, self.d)
        kv = F.unfold(self.kv(x), w, stride=m, padding=self.halo)
        kv = kv.view(b, 2, self.h, self.d, w * w, rows * columns).permute(1, 0, 2, 5, 4, 3).reshape(2, b * self.h, rows * columns, w * w, self.d)
        y = (q @ kv[0].transpose(-2, -1) * self.d**-0.5).softmax(-1) @ kv[1]
        y = y.view(b, self.h, rows, columns, m, m, self.d).permute(0, 1, 6, 2, 4, 3, 5)
        return y.reshape(b, c, height, width)


class Deformable(Attends):
    """A few sampled points for each query and head (Zhu et al. 2021), by grid_sample."""

    attention_family = "deformable"

    def __init__(self, width: int = 32, heads: int = 4, points: int = 3) -> None:
        super().__init__(heads)
        self.h, self.d, self.p = heads, width // heads, points
        self.offsets, self.weights = nn.Linear(width, heads * points * 2), nn.Linear(width, heads * points)
        self.value, self.o = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        t = x.flatten(2).transpose(1, 2)
        n = t.shape[1]
        v = self.value(t).view(b, height, width, self.h, self.d).permute(0, 3, 4, 1, 2).reshape(b * self.h, self.d, height, width)
        row, column = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        reference = torch.stack([column, row], -1).view(1, n, 1, 1, 2)
        places = reference + self.offsets(t).view(b, n, self.h, self.p, 2) * 0.1
        places = places.permute(0, 2, 1, 3, 4).reshape(b * self.h, n, self.p, 2)
        sampled = F.grid_sample(v, places, align_corners=False)
        a = self.weights(t).view(b, n, self.h, self.p).softmax(-1).permute(0, 2, 1, 3).reshape(b * self.h, 1, n, self.p)
        y = (sampled * a).sum(-1).view(b, c, n).transpose(1, 2)
        return self.o(y).transpose(1, 2).reshape(b, c, height, width)


class SampledKeys(Attends):
    """Keys and values sampled at shared learned offsets (DAT, Xia et al. 2022)."""

    attention_family = "deformable"

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__(heads)
        self.h, self.d = heads, width // heads
        self.q, self.k, self.v, self.o = (nn.Conv2d(width, width, 1) for _ in range(4))
        self.offset = nn.Sequential(nn.Conv2d(width, width, 4, 4, groups=width), nn.GELU(), nn.Conv2d(width, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q = self.q(x)
        offset = self.offset(q).tanh().permute(0, 2, 3, 1) * 0.2
        row, column = torch.meshgrid(torch.linspace(-1, 1, offset.shape[1]), torch.linspace(-1, 1, offset.shape[2]), indexing="ij")
        sampled = F.grid_sample(x, offset + torch.stack([column, row], -1)[None], align_corners=True)
        k, v = self.k(sampled), self.v(sampled)
        q, k, v = (t.reshape(b, self.h, self.d, -1) for t in (q, k, v))
        a = torch.einsum("bhci,bhcj->bhij", q, k).mul(self.d**-0.5).softmax(-1)
        return self.o(torch.einsum("bhij,bhcj->bhci", a, v).reshape(b, c, height, width))


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


# --- linear attention ---


class Linear(Projected):
    """phi(q) (phi(k)' v) with a normalizer, by matmul or einsum."""

    attention_family = "linear"

    def __init__(self, feature: str = "elu", einsum: bool = False, normalizes: bool = True) -> None:
        super().__init__()
        self.feature, self.einsum, self.normalizes = feature, einsum, normalizes

    def phi(self, x: Tensor) -> Tensor:
        match self.feature:
            case "elu":
                return F.elu(x) + 1
            case "relu":
                return F.relu(x) + 1e-6
            case "square":
                return F.relu(x).square() + 1e-6
            case "exp":
                return x.exp()
            case _:
                return F.softplus(x)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        q, k = self.phi(q), self.phi(k)
        if self.einsum:
            kv = torch.einsum("bhnd,bhne->bhde", k, v)
            z = 1 / torch.einsum("bhnd,bhd->bhn", q, k.sum(2))
            y = torch.einsum("bhnd,bhde,bhn->bhne", q, kv, z)
        else:
            y = q @ (k.transpose(-2, -1) @ v)
            if self.normalizes:
                y = y / (q @ k.sum(2, keepdim=True).transpose(-2, -1))
        return self.o(self.merge(y))


class Efficient(Projected):
    """Softmax on queries over channels and on keys over tokens (Shen et al. 2021)."""

    attention_family = "factorized"

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        return self.o(self.merge(q.softmax(-1) @ (k.softmax(-2).transpose(-2, -1) @ v)))


class Performer(Projected):
    """Positive random features (Choromanski et al. 2021)."""

    attention_family = "linear"

    def __init__(self, features: int = 12) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(features, self.d))

    def phi(self, x: Tensor) -> Tensor:
        x = x * self.d**-0.25
        return (x @ self.w.t() - x.square().sum(-1, keepdim=True) / 2).exp() / math.sqrt(self.w.shape[0]) + 1e-6

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        q, k = self.phi(q), self.phi(k)
        y = q @ (k.transpose(-2, -1) @ v)
        return self.o(self.merge(y / (q * k.sum(2, keepdim=True)).sum(-1, keepdim=True)))


class Nystrom(Projected):
    """Landmarks and an iterated pseudo-inverse (Xiong et al. 2021): three softmaxes that make one map."""

    attention_family = "linear"

    def __init__(self, landmarks: int = 4) -> None:
        super().__init__()
        self.m = landmarks

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        q = q * self.d**-0.5
        b, h, n, d = q.shape
        ql, kl = (t.reshape(b, h, self.m, n // self.m, d).mean(3) for t in (q, k))
        first = (q @ kl.transpose(-2, -1)).softmax(-1)
        middle = (ql @ kl.transpose(-2, -1)).softmax(-1)
        last = (ql @ k.transpose(-2, -1)).softmax(-1)
        one = torch.eye(self.m)
        z = middle.transpose(-2, -1) / middle.sum(-2).max() / middle.sum(-1).max()
        for _ in range(3):
            mz = middle @ z
            z = 0.25 * z @ (13 * one - mz @ (15 * one - mz @ (7 * one - mz)))
        return self.o(self.merge(first @ z @ (last @ v)))


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


# --- without a softmax over scores ---


class Sigmoid(Projected):
    """A sigmoid in place of the softmax, with a bias of -log n (Ramapuram et al. 2024)."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = q @ k.transpose(-2, -1) * self.d**-0.5 - math.log(x.shape[1])
        return self.o(self.merge(s.sigmoid() @ v))


class SquaredReLU(Projected):
    """Squared rectified scores divided by the number of tokens (FLASH, Primer)."""

    def __init__(self, squares: bool = True) -> None:
        super().__init__()
        self.squares = squares

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)
        s = (q @ k.transpose(-2, -1) * self.d**-0.5).relu()
        return self.o(self.merge((s.square() if self.squares else s) / x.shape[1] @ v))


# --- additive ---


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


# --- local and channel ---


class Outlook(Attends):
    """Weights over a neighborhood straight from the center, folded back (VOLO)."""

    attention_family = "outlook"

    def __init__(self, width: int = 32, heads: int = 4, kernel: int = 3) -> None:
        super().__init__(heads)
        self.h, self.d, self.kernel = heads, width // heads, kernel
        self.v, self.a, self.o = nn.Linear(width, width), nn.Linear(width, heads * kernel**4), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        t, n, kk = x.permute(0, 2, 3, 1), height * width, self.kernel**2
        v = F.unfold(self.v(t).permute(0, 3, 1, 2), self.kernel, padding=self.kernel // 2)
        v = v.view(b, self.h, self.d, kk, n).permute(0, 1, 4, 3, 2)
        a = (self.a(t).view(b, n, self.h, kk, kk).permute(0, 2, 1, 3, 4) * self.d**-0.5).softmax(-1)
        y = (a @ v).permute(0, 1, 4, 3, 2).reshape(b, c * kk, n)
        y = F.fold(y, (height, width), self.kernel, padding=self.kernel // 2)
        return self.o(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


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


# --- gates ---


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


# --- models around them ---


class Stack(nn.Module):
    """Patches, then residual blocks of the given modules with a perceptron behind each, then a head."""

    def __init__(self, attentions: list[nn.Module], images: bool, width: int = 32, patch: int = 4, hidden: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, patch, patch)
        self.attentions = nn.ModuleList(attentions)
        self.images = images
        norm = (lambda: nn.BatchNorm2d(width)) if images else (lambda: nn.LayerNorm(width))
        self.norms = nn.ModuleList(norm() for _ in range(2 * len(attentions)))
        if images:
            self.mlps = nn.ModuleList(nn.Sequential(nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1)) for _ in attentions)
        else:
            self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)) for _ in attentions)
        self.head = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        if not self.images:
            x = x.flatten(2).transpose(1, 2)
        for index, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            y = attention(self.norms[2 * index](x))
            x = x + y if y.ndim == x.ndim else y[:, None] + x
            x = x + mlp(self.norms[2 * index + 1](x))
        return self.head(x.mean((2, 3)) if self.images else x.mean(1))


class Encoder(nn.Module):
    """PyTorch's own encoder and decoder layers, or its attention module alone."""

    def __init__(self, kind: str, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.kind = kind
        match kind:
            case "encoder":
                self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, heads, 64, batch_first=True), 2, enable_nested_tensor=False)
            case "sequence-first":
                self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, heads, 64), 2, enable_nested_tensor=False)
            case "decoder":
                self.layers = nn.TransformerDecoder(nn.TransformerDecoderLayer(width, heads, 64, batch_first=True), 2)
            case _:
                self.layers = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        match self.kind:
            case "encoder":
                return self.layers(x)
            case "sequence-first":
                return self.layers(x.transpose(0, 1)).transpose(0, 1)
            case "decoder":
                return self.layers(x, memory)
            case "weights":
                return self.layers(x, x, x, need_weights=True)[0]
            case _:
                return self.layers(x, x, x, need_weights=False)[0]


class TwoInputs(nn.Module):
    """Tokens and a memory that they ask."""

    def __init__(self, attention: nn.Module, width: int = 32) -> None:
        super().__init__()
        self.norm, self.memory_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.head = attention, nn.Linear(width, 10)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.head(x + self.attention(self.norm(x), self.memory_norm(memory)))


# --- controls: softmaxes, gates and products that are no attention ---


class ExpertGate(nn.Module):
    """A mixture of experts, weighed by a softmax per token."""

    def __init__(self, width: int = 32, experts: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(width, experts)
        self.up = nn.Parameter(torch.randn(experts, width, 16) * 0.1)
        self.down = nn.Parameter(torch.randn(experts, 16, width) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gate(x).softmax(-1)
        hidden = torch.einsum("bnc,ech->bneh", x, self.up).relu()
        return x + torch.einsum("bneh,ehc,bne->bnc", hidden, self.down, weights)


class DetectionHead(nn.Module):
    """Box distributions by a softmax over bins, and their expectation (distribution focal loss)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.SiLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.SiLU())
        self.box, self.score = nn.Conv2d(16, 4 * 8, 1), nn.Conv2d(16, 10, 1)
        self.bins = nn.Conv2d(8, 1, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        b, _, height, width = x.shape
        box = self.box(x).view(b, 4, 8, height * width).transpose(2, 1).softmax(1)
        return torch.cat([self.bins(box).view(b, 4, -1), self.score(x).flatten(2).sigmoid()], 1)


class Codebook(nn.Module):
    """A soft assignment of tokens to a codebook (vector quantization)."""

    def __init__(self, width: int = 32, codes: int = 20) -> None:
        super().__init__()
        self.inside, self.codes, self.outside = nn.Linear(width, 8), nn.Parameter(torch.randn(codes, 8)), nn.Linear(8, width)

    def forward(self, x: Tensor) -> Tensor:
        z = self.inside(x)
        distance = z.square().sum(-1, keepdim=True) - 2 * z @ self.codes.t() + self.codes.square().sum(-1)
        return self.outside((-distance / 0.5).softmax(-1) @ self.codes)


class Gumbel(nn.Module):
    """A relaxed choice of channels with given noise."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.f, self.o = nn.Linear(width, 12), nn.Linear(12, 10)
        self.register_buffer("noise", -torch.log(-torch.log(torch.rand(12) * 0.9 + 0.05)))

    def forward(self, x: Tensor) -> Tensor:
        return self.o(((self.f(x) + self.noise) / 0.7).softmax(-1))


class Temperature(nn.Module):
    """Classifier logits over a temperature, and their expectation over given values."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.f = nn.Linear(width, 10)
        self.register_buffer("ages", torch.arange(10.0))

    def forward(self, x: Tensor) -> Tensor:
        p = (self.f(x.mean(1)) / 1.5).softmax(-1)
        return torch.cat([p, (p * self.ages).sum(-1, keepdim=True)], -1)


class Recurrent(nn.Module):
    """A long short-term memory without attention."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(width, 24, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1]).softmax(-1)


class SoftPool(nn.Module):
    """Softmax-weighed pooling of each channel over places, and a class activation map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        return self.head(F.max_pool2d(x, 2).mean((2, 3))).softmax(-1)


class Bilinear(nn.Module):
    """Second-order pooling: the outer product of features with themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(256, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).flatten(2)
        y = (x @ x.transpose(1, 2) / x.shape[-1]).flatten(1)
        return self.head(F.normalize(y.sign() * (y.abs() + 1e-6).sqrt()))


class Contrastive(nn.Module):
    """Similarities of two embeddings and a softmax over them: no values."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.f, self.g = nn.Linear(width, 16), nn.Linear(width, 16)

    def forward(self, x: Tensor) -> Tensor:
        a, b = F.normalize(self.f(x), dim=-1), F.normalize(self.g(x), dim=-1)
        return (a @ b.transpose(1, 2) / 0.07).softmax(-1)


class GatedUnit(nn.Module):
    """SwiGLU and GLU perceptrons: products of activations of one place."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(width, 48), nn.Linear(width, 48), nn.Linear(48, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.o(F.silu(self.a(x)) * self.b(x))
        return x + self.o(self.a(x).sigmoid() * self.b(x))
