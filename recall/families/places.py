"""Attention over the places of an image: lines, windows, neighborhoods, samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.base import Attends


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
