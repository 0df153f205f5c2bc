"""Attention among near places in other spellings: stripes, chunks of a line, unfolded neighbors, lines with relative products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends, Projected


class Stripe(Attends):
    """Tokens of one stripe of an image attend to each other, values carry a depth-wise position term (CSWin)."""

    attention_family = "window"

    def __init__(self, width: int = 16, heads: int = 2, rows: int = 8, columns: int = 2) -> None:
        super().__init__(heads)
        self.h, self.d, self.rows, self.columns = heads, width // heads, rows, columns
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def windows(self, t: Tensor, grid: int) -> Tensor:
        b, n, c = t.shape
        t = t.transpose(-2, -1).contiguous().view(b, c, grid // self.rows, self.rows, grid // self.columns, self.columns)
        return t.permute(0, 2, 4, 3, 5, 1).contiguous().reshape(-1, self.rows * self.columns, c)

    def heads(self, t: Tensor) -> Tensor:
        return t.reshape(t.shape[0], -1, self.h, self.d).permute(0, 2, 1, 3).contiguous()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, n, c = q.shape
        grid = int(n**0.5)
        q, k, v = (self.windows(t, grid) for t in (q, k, v))
        local = v.transpose(1, 2).reshape(-1, c, self.rows, self.columns)
        local = self.position(local).reshape(-1, self.h, self.d, self.rows * self.columns).permute(0, 1, 3, 2)
        q, k, v = self.heads(q) * self.d**-0.5, self.heads(k), self.heads(v)
        y = (q @ k.transpose(-2, -1)).softmax(-1) @ v + local
        y = y.transpose(1, 2).reshape(b, grid // self.rows, grid // self.columns, self.rows, self.columns, c)
        return y.permute(0, 1, 3, 2, 4, 5).reshape(b, n, c)


class Stripes(nn.Module):
    """Half of the channels in upright stripes, half in lying ones."""

    def __init__(self, width: int = 32, grid: int = 8) -> None:
        super().__init__()
        self.qkv, self.o = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.upright, self.lying = Stripe(width // 2, 2, grid, 2), Stripe(width // 2, 2, 2, grid)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, c).permute(2, 0, 1, 3)
        halves = [self.upright(*qkv[..., : c // 2].unbind(0)), self.lying(*qkv[..., c // 2 :].unbind(0))]
        return self.o(torch.cat(halves, -1))


class SlidingChunks(Projected):
    """Chunks of a sequence ask themselves and the chunk before."""

    attention_family = "window"

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (t.reshape(b, self.h, n // self.size, self.size, self.d) for t in self.qkv(x))
        k, v = (torch.cat([F.pad(t, (0, 0, 0, 0, 1, -1)), t], 3) for t in (k, v))
        a = torch.einsum("bhcid,bhcjd->bhcij", q * self.d**-0.5, k).softmax(-1)
        y = torch.einsum("bhcij,bhcjd->bhcid", a, v).reshape(b, self.h, n, self.d)
        return self.o(self.merge(y))


class StandAlone(Attends):
    """Each place asks its unfolded neighbors; products and sums in place of matrix products (Ramachandran et al. 2019)."""

    attention_family = "window"

    def __init__(self, width: int = 32, heads: int = 4, kernel: int = 3) -> None:
        super().__init__(heads)
        self.h, self.d, self.kernel = heads, width // heads, kernel
        self.q, self.k, self.v = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.o = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q = self.q(x).view(b, self.h, self.d, 1, height * width)
        k, v = (F.unfold(p(x), self.kernel, padding=self.kernel // 2).view(b, self.h, self.d, self.kernel**2, height * width) for p in (self.k, self.v))
        a = ((q * k).sum(2, keepdim=True) * self.d**-0.5).softmax(3)
        return self.o((a * v).sum(3).view(b, c, height, width))


class Neighborhood(Attends):
    """The same by matrix products, one small product for each place."""

    attention_family = "window"

    def __init__(self, width: int = 32, heads: int = 4, kernel: int = 3) -> None:
        super().__init__(heads)
        self.h, self.d, self.kernel = heads, width // heads, kernel
        self.qkv, self.o = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q, k, v = self.qkv(x).chunk(3, 1)
        q = q.view(b, self.h, self.d, height * width).permute(0, 3, 1, 2).unsqueeze(3)
        k, v = (F.unfold(t, self.kernel, padding=self.kernel // 2).view(b, self.h, self.d, self.kernel**2, height * width).permute(0, 4, 1, 3, 2) for t in (k, v))
        a = (q * self.d**-0.5) @ k.transpose(-2, -1)
        y = (a.softmax(-1) @ v).squeeze(3).permute(0, 2, 3, 1)
        return self.o(y.reshape(b, c, height, width))


class AxialRelative(Attends):
    """Axial attention along rows with relative products for queries, keys and values (Wang et al. 2020)."""

    attention_family = "axial"

    def __init__(self, width: int = 32, heads: int = 4, size: int = 8, columns: bool = False) -> None:
        super().__init__(heads)
        self.h, self.d, self.columns = heads, width // heads, columns
        self.qkv, self.norm, self.o = nn.Conv1d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(3 * heads), nn.Conv1d(width, width, 1)
        self.relative = nn.Parameter(torch.randn(2 * self.d, 2 * size - 1) * 0.1)
        index = torch.arange(size)[:, None] - torch.arange(size)[None] + size - 1
        self.register_buffer("index", index.flatten())
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if self.columns else x.permute(0, 2, 1, 3)
        b, lines, c, n = x.shape
        x = x.reshape(b * lines, c, n)
        q, k, v = self.qkv(x).view(b * lines, self.h, 2 * self.d, n).split([self.d // 2, self.d // 2, self.d], 2)
        table = torch.index_select(self.relative, 1, self.index).view(2 * self.d, n, n)
        q_table, k_table, v_table = table.split([self.d // 2, self.d // 2, self.d], 0)
        scores = torch.cat([torch.einsum("bgci,bgcj->bgij", q, k), torch.einsum("bgci,cij->bgij", q, q_table), torch.einsum("bgci,cij->bgij", k, k_table).transpose(2, 3)], 1)
        a = self.norm(scores).view(b * lines, 3, self.h, n, n).sum(1).softmax(3)
        y = torch.einsum("bgij,bgcj->bgci", a, v) + torch.einsum("bgij,cij->bgci", a, v_table)
        y = self.o(y.reshape(b * lines, c, n)).view(b, lines, c, n)
        return y.permute(0, 2, 3, 1) if self.columns else y.permute(0, 2, 1, 3)
