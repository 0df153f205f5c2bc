"""Plain attention in the spellings of libraries and papers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends, Projected


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


class HeadByHead(nn.Module):
    """One small module for each head, as tutorials write it."""

    class Head(Attends):
        """One head with its own projections."""

        def __init__(self, width: int, dim: int) -> None:
            super().__init__(1)
            self.q, self.k, self.v = (nn.Linear(width, dim, bias=False) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            w = self.q(x) @ self.k(x).transpose(-2, -1) * self.q.out_features**-0.5
            return F.softmax(w, dim=-1) @ self.v(x)

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = nn.ModuleList(self.Head(width, width // heads) for _ in range(heads))
        self.o = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.cat([head(x) for head in self.heads], -1))


class EinsumWeights(Attends):
    """Projections by einsum with weights (channel, head, dim), as JAX code has them."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__(heads)
        d = width // heads
        self.q, self.k, self.v = (nn.Parameter(torch.randn(width, heads, d) * 0.2) for _ in range(3))
        self.bias = nn.Parameter(torch.randn(heads, d) * 0.1)
        self.o = nn.Parameter(torch.randn(heads, d, width) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bnc,chd->bnhd", x, w) + self.bias for w in (self.q, self.k, self.v))
        a = torch.einsum("bqhd,bkhd->bhqk", q / q.shape[-1] ** 0.5, k).softmax(-1)
        return torch.einsum("bnhd,hdc->bnc", torch.einsum("bhqk,bkhd->bqhd", a, v), self.o)


class FusedOptions(Projected):
    """PyTorch's fused operator with a mask of booleans, a scale of its own, and three axes."""

    def __init__(self, kind: str, tokens: int = 16) -> None:
        super().__init__(heads=1 if kind == "flat" else 4)
        self.kind = kind
        self.register_buffer("mask", (torch.rand(tokens, tokens) > 0.3) | torch.eye(tokens, dtype=torch.bool) if kind == "mask" else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "flat":
            return self.o(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))
        return self.o(self.merge(F.scaled_dot_product_attention(*self.qkv(x), attn_mask=self.mask, scale=0.2 if self.kind == "scale" else None)))
