"""The mechanisms of the catalogue, in plain PyTorch written from their formulas.

Every module that counts as a block says its family, its heads and its mechanism in `attention_family`,
`attention_heads` and `attention_mechanism`. `MODELS` gives each model with its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """A module that counts as one block."""

    attention_family = "self"
    attention_mechanism = "softmax"
    attention_heads: int | None = None


def heads_first(x: Tensor, heads: int) -> Tensor:
    """(B,N,C) -> (B,H,N,C/H)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).permute(0, 2, 1, 3)


def heads_last(x: Tensor) -> Tensor:
    """(B,H,N,d) -> (B,N,H*d)."""
    return x.permute(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


class Plain(Block):
    """Attention as everybody writes it, for models in which a mechanism stands beside it."""

    def __init__(self, width: int = 24, heads: int = 3) -> None:
        super().__init__()
        self.attention_heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def scores(self, x: Tensor) -> Tensor:
        q, k = heads_first(self.q(x), self.attention_heads), heads_first(self.k(x), self.attention_heads)
        return q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5

    def weighed(self, x: Tensor, maps: Tensor) -> Tensor:
        return self.o(heads_last(maps @ heads_first(self.v(x), self.attention_heads)))

    def forward(self, x: Tensor) -> Tensor:
        return self.weighed(x, self.scores(x).softmax(-1))


# --- FCViT: a global context, weighed by one number for each group and place ---


class GlobalContext(Block):
    """Places are compared with their mean, the similarity is standardized over groups and places, and weighs one vector."""

    attention_family = "global-context"
    attention_mechanism = "fcvit"

    def __init__(self, width: int = 24, groups: int = 4, competes: bool = True, how: str = "einsum") -> None:
        super().__init__()
        self.groups, self.competes, self.how = groups, competes, how
        inner = width // 4
        self.first = nn.Linear(width, 2 * inner if competes else inner)
        self.second = nn.Linear(inner, width)
        self.gain, self.shift = nn.Parameter(torch.ones(groups)), nn.Parameter(torch.zeros(groups))

    def vector(self, g: Tensor) -> Tensor:
        u = self.first(g)
        if not self.competes:
            return self.second(F.gelu(u))
        if self.how == "einsum":
            return self.second(u.view(u.shape[0], 2, -1).amax(1))
        return self.second(torch.maximum(*u.chunk(2, -1)))

    def similarity(self, x: Tensor, g: Tensor) -> Tensor:
        """(B,C,n), (B,C) -> (B,h,n)."""
        b, c, n = x.shape
        d = c // self.groups
        if self.how == "einsum":
            s = torch.einsum("bhdn,bhd->bhn", x.view(b, self.groups, d, n), g.view(b, self.groups, d))
        elif self.how == "product":
            s = (g.view(b, self.groups, 1, d) @ x.view(b, self.groups, d, n))[:, :, 0]
        else:
            s = (x.view(b, self.groups, d, n) * g.view(b, self.groups, d, 1)).sum(2)
        return s * d**-0.5

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        flat = x.flatten(2)
        g = flat.mean(-1)
        s = self.similarity(flat, g)
        if self.how == "sum":
            # The same, standardized in two steps.
            centered = s - s.mean((1, 2), keepdim=True)
            deviation = (centered.square().sum((1, 2), keepdim=True) / (s.shape[1] * s.shape[2] - 1)).sqrt()
            s = centered / (deviation + 1e-5)
        else:
            s = (s - s.mean((1, 2), keepdim=True)) / (s.std((1, 2), keepdim=True) + 1e-5)
        s = s * self.gain[None, :, None] + self.shift[None, :, None]
        t = self.vector(g).view(b, self.groups, -1, 1)
        return (s.unsqueeze(2) * t).reshape(b, c, height, width)


class FCViTBlock(nn.Module):
    """Two context and convolution halves, then the channel mixer, with layer scale."""

    def __init__(self, width: int = 24, kernel: int = 7, **options) -> None:
        super().__init__()
        self.before, self.after = nn.GroupNorm(1, width), nn.GroupNorm(1, width)
        self.contexts = nn.ModuleList(GlobalContext(width, **options) for _ in range(2))
        self.wide = nn.ModuleList(nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width) for _ in range(2))
        self.point = nn.ModuleList(nn.Sequential(nn.Conv2d(width, 16, 1), nn.GELU(), nn.Conv2d(16, width, 1)) for _ in range(2))
        self.up, self.mid, self.down = nn.Conv2d(width, 48, 1), nn.Conv2d(48, 48, 3, padding=1, groups=48), nn.Conv2d(48, width, 1)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(width, 1, 1)), nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        for context, wide, point in zip(self.contexts, self.wide, self.point, strict=True):
            y = y + context(y)
            y = F.gelu(point(wide(y)))
        x = x + self.scale1 * y
        return x + self.scale2 * self.down(F.gelu(self.mid(self.up(self.after(x)))))


# --- OAMixer: maps weighed by the distance of object labels ---


def label_distance(y: Tensor, kind: str) -> Tensor:
    if kind == "l1":
        return (y[:, :, None] - y[:, None]).abs().sum(-1)
    unit = y / y.norm(dim=-1, keepdim=True)
    return 1 - unit @ unit.transpose(1, 2)


class ObjectMasked(Plain):
    """`A M / rowsum(A M)`, `M = exp(-kappa D)` or `1 - kappa D`, ones for the class token."""

    attention_mechanism = "oamixer"

    def __init__(self, kind: str = "l1", form: str = "exp", prefix: int = 1, how: str = "times", **sizes) -> None:
        super().__init__(**sizes)
        self.kind, self.form, self.prefix, self.how = kind, form, prefix, how
        self.register_buffer("kappa", torch.tensor([0.4]))

    def mask(self, y: Tensor) -> Tensor:
        d = label_distance(y, self.kind)
        if self.form == "exp":
            m = torch.exp(-self.kappa.clamp(min=0) * d)
        else:
            m = 1 - self.kappa.clamp(0, 1) * d
        return F.pad(m, (self.prefix, 0, self.prefix, 0), value=1.0)[:, None]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if self.how == "bias":
            d = F.pad(label_distance(y, self.kind), (self.prefix, 0, self.prefix, 0))
            return self.weighed(x, (self.scores(x) - self.kappa * d[:, None]).softmax(-1))
        maps = self.scores(x).softmax(-1) * self.mask(y)
        return self.weighed(x, maps / maps.sum(-1, keepdim=True))


class ObjectMaskedSelf(ObjectMasked):
    """Labels are the tokens themselves."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, x[:, self.prefix :])


class ObjectMaskedGated(ObjectMasked):
    """ConViT's gated positional map under the mask."""

    def __init__(self, tokens: int = 12, **options) -> None:
        super().__init__(prefix=0, **options)
        self.place = nn.Parameter(torch.randn(1, self.attention_heads, tokens, tokens))
        self.gate = nn.Parameter(torch.randn(self.attention_heads))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        g = self.gate.sigmoid().view(1, -1, 1, 1)
        maps = (1 - g) * self.scores(x).softmax(-1) + g * self.place.softmax(-1)
        maps = maps / maps.sum(-1, keepdim=True)
        maps = maps * self.mask(y)
        return self.weighed(x, maps / maps.sum(-1, keepdim=True))


class ObjectMaskedMixer(Block):
    """The linear part of a token MLP is masked, the rest is kept."""

    attention_family = "token-mixing"
    attention_mechanism = "oamixer"

    def __init__(self, tokens: int = 12, inner: int = 20, kind: str = "l1") -> None:
        super().__init__()
        self.first, self.second, self.kind = nn.Linear(tokens, inner), nn.Linear(inner, tokens), kind

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        m = torch.exp(-0.6 * label_distance(y, self.kind))
        w = self.second.weight @ self.first.weight
        b = self.second.weight @ self.first.bias + self.second.bias
        masked = x @ (w * m).transpose(1, 2) + b
        return (masked + self.second(F.gelu(self.first(x))) - (x @ w.t() + b)).transpose(1, 2)


class ObjectMaskedConvolution(Block):
    """One kernel for all channels, written as a matrix of places and masked."""

    attention_family = "token-mixing"
    attention_mechanism = "oamixer"

    def __init__(self, grid: int = 4, kernel: int = 3, kind: str = "cosine") -> None:
        super().__init__()
        table = torch.zeros(grid * grid, grid * grid)
        weights = torch.randn(kernel, kernel)
        for i in range(grid):
            for j in range(grid):
                for a in range(kernel):
                    for b in range(kernel):
                        r, c = i + a - kernel // 2, j + b - kernel // 2
                        if 0 <= r < grid and 0 <= c < grid:
                            table[i * grid + j, r * grid + c] = weights[a, b]
        self.register_buffer("table", table)
        self.shift, self.kind = nn.Parameter(torch.randn(1)), kind

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        m = torch.exp(-0.6 * label_distance(y, self.kind))
        return (x.flatten(2) @ (self.table * m).transpose(1, 2) + self.shift).view(x.shape)


# --- VARS: sparse recovery over features of tied queries and keys ---


def soft(u: Tensor, t: Tensor | float, how: str = "gelu") -> Tensor:
    size = u.abs() - t
    return u.sign() * (F.gelu(size) if how == "gelu" else F.relu(size))


class Features(Block):
    """Positive random features of queries of length one."""

    attention_mechanism = "vars"

    def __init__(self, width: int = 24, heads: int = 3, parts: int = 2) -> None:
        super().__init__()
        self.attention_heads, d = heads, width // heads
        self.linear = nn.Linear(width, parts * width)
        self.out = nn.Linear(width, width)
        self.m = d + 4
        self.register_buffer("directions", torch.randn(heads, d, self.m))

    def parts(self, x: Tensor) -> list[Tensor]:
        b, n, _ = x.shape
        return list(self.linear(x).view(b, n, -1, self.attention_heads, x.shape[2] // self.attention_heads).permute(2, 0, 3, 1, 4).unbind(0))

    def features(self, q: Tensor) -> Tensor:
        q = F.normalize(q, dim=-1)
        return torch.exp(q @ self.directions - q.square().sum(-1, keepdim=True) / 2) / math.sqrt(self.m)


class Vars(Features):
    """VARS-D, and VARS-SD with a learned dictionary beside the one from the input."""

    def __init__(self, steps: int = 3, static: int = 0, tokens: int = 12, **sizes) -> None:
        super().__init__(**sizes)
        self.steps = steps
        count = self.m + static
        self.mix = nn.Parameter(torch.eye(count) + 0.05 * torch.randn(count, count))
        self.amount, self.length = nn.Parameter(torch.tensor([0.8])), nn.Parameter(torch.tensor([1.2]))
        self.kernel = nn.Parameter(torch.randn(1, self.attention_heads, tokens, static)) if static else None

    def forward(self, x: Tensor) -> Tensor:
        q, v = self.parts(x)
        f = self.features(q)
        if self.kernel is not None:
            f = torch.cat([f, self.kernel.expand(f.shape[0], -1, -1, -1)], -1)
        f = F.normalize(f, dim=-2)
        gram, b = f.transpose(-2, -1) @ f, f.transpose(-2, -1) @ v
        bound = gram.abs().sum(-1).amax(-1)[..., None, None] + 1
        step, threshold = self.length / bound, self.amount * 0.3
        gram = self.mix @ gram @ self.mix
        u = soft(b, threshold)
        for _ in range(self.steps):
            u = soft(u - step * (gram @ u - b), threshold * step)
        return self.out(heads_last(f @ u))


class VarsPerformer(Features):
    """The kernel baseline of the same code: the map of features, its rows divided by their sums."""

    attention_family = "linear"

    def __init__(self, **sizes) -> None:
        super().__init__(parts=3, **sizes)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.parts(x)
        maps = self.features(q) @ self.features(k).transpose(-2, -1)
        return self.out(heads_last(F.normalize(maps, p=1, dim=-1) @ v))


class VarsStatic(Block):
    """VARS-S as convolutions that wrap around, with a real soft threshold."""

    attention_mechanism = "vars"

    def __init__(self, width: int = 6, grid: int = 4, maps: int = 3, steps: int = 3) -> None:
        super().__init__()
        self.grid, self.maps, self.steps = grid, maps, steps
        self.down = nn.Parameter(0.2 * torch.randn(width * maps, 1, grid, grid))
        self.gram = nn.Parameter(0.1 * torch.randn(width * maps, maps, grid, grid))
        self.up = nn.Parameter(0.2 * torch.randn(width, maps, grid, grid))

    def wrapped(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        return F.conv2d(F.pad(x, (self.grid - 1, 0, self.grid - 1, 0), mode="circular"), weight, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[1]
        b = self.wrapped(x, self.down, width)
        u = soft(b, 0.4, "relu")
        for _ in range(self.steps):
            u = soft(u - (self.wrapped(u, self.gram, width) - b) / 4, 0.1, "relu")
        return x + self.wrapped(u, self.up, width)


# --- FAN: a gate for each channel from two distributions over tokens ---


class ValuePath(nn.Module):
    """`fc2(h + gamma * DWC(h))`, two depth-wise convolutions with GELU and batch norm between."""

    def __init__(self, width: int, inner: int, grid: int) -> None:
        super().__init__()
        self.fc1, self.fc2, self.grid = nn.Linear(width, inner), nn.Linear(inner, width), grid
        self.conv = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner), nn.GELU(), nn.BatchNorm2d(inner), nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        )
        self.gamma = nn.Parameter(torch.ones(inner))

    def forward(self, z: Tensor) -> Tensor:
        h = self.fc1(z)
        image = h.transpose(1, 2).reshape(h.shape[0], -1, self.grid, self.grid)
        return self.fc2(self.gamma * self.conv(image).flatten(2).transpose(1, 2) + h)


class ChannelProcessing(Block):
    attention_family = "channel-gate"
    attention_mechanism = "fan"

    def __init__(self, width: int = 24, heads: int = 3, grid: int = 4, how: str = "pool") -> None:
        super().__init__()
        self.h, self.d, self.how = heads, width // heads, how
        self.ask = nn.Linear(width, width)
        self.path, self.norm = ValuePath(width, 3 * width, grid), nn.LayerNorm(width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        q, k = heads_first(self.ask(z), self.h).softmax(-2), heads_first(z, self.h).softmax(-2)
        if self.how == "pool":
            k = F.avg_pool2d(k, (1, self.d))
        else:
            k = k.mean(-1, keepdim=True)
        gate = (q.transpose(-2, -1) @ k).sigmoid() * self.temperature
        v = heads_first(self.norm(self.path(z)), self.h)
        return heads_last((v.transpose(-2, -1) * gate).transpose(-2, -1))


class FanSqueeze(Block):
    attention_family = "channel-gate"
    attention_mechanism = "fan"

    def __init__(self, width: int = 24, grid: int = 4) -> None:
        super().__init__()
        self.path = ValuePath(width, 3 * width, grid)
        self.reduce, self.expand = nn.Linear(width, 6), nn.Linear(6, width)

    def forward(self, z: Tensor) -> Tensor:
        y = self.path(z)
        return y * self.expand(F.relu(self.reduce(y.mean(1, keepdim=True)))).sigmoid()


class FanBlock(nn.Module):
    def __init__(self, second: nn.Module, width: int = 24) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens, self.channels = Plain(width), second
        self.g1, self.g2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.g1 * self.tokens(self.norm1(x))
        return x + self.g2 * self.channels(self.norm2(x))


# --- evolving attention: score maps handed on and convolved ---


class Evolving(Plain):
    attention_mechanism = "evolving-attention"

    def __init__(self, alpha: float = 0.3, beta: float = 0.6, leaky: bool = True, **sizes) -> None:
        super().__init__(**sizes)
        self.alpha, self.beta, self.leaky = alpha, beta, leaky
        self.conv = nn.Conv2d(self.attention_heads, self.attention_heads, 3, padding=1)

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        m = self.scores(x)
        if before is not None:
            m = (1 - self.beta) * m + self.beta * before
        c = self.conv(m)
        c = F.leaky_relu(c, 0.01) if self.leaky else F.relu(c)
        f = self.alpha * c + (1 - self.alpha) * m
        return self.weighed(x, f.softmax(-1)), f


class First(Plain):
    """A first layer, whose map nothing changes, but which hands its scores on."""

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scores = self.scores(x)
        return self.weighed(x, scores.softmax(-1)), scores


class EvolvingStack(nn.Module):
    def __init__(self, depth: int = 3, width: int = 24, plain_first: bool = False, **options) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.layers = nn.ModuleList(First() if plain_first and i == 0 else Evolving(**options) for i in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        before = None
        for norm, layer in zip(self.norms, self.layers, strict=True):
            y, before = layer(norm(x), before)
            x = x + y
        return x


# --- NSA and GSA: queries normalized over tokens, scores by the geometry of boxes ---


class Normalized(Plain):
    """Queries without their mean and deviation over tokens."""

    attention_mechanism = "nsa"

    def __init__(self, how: str = "mean", prefix: int = 0, **sizes) -> None:
        super().__init__(**sizes)
        self.how, self.prefix = how, prefix

    def normalized(self, q: Tensor) -> Tensor:
        if self.how == "instance":
            return F.instance_norm(q.transpose(1, 2)).transpose(1, 2)
        seen = q[:, self.prefix :]
        mean = seen.mean(1, keepdim=True)
        deviation = (seen - mean).square().mean(1, keepdim=True)
        return (q - mean) * torch.rsqrt(deviation + 1e-5) if self.how == "rsqrt" else (q - mean) / (deviation + 1e-5).sqrt()

    def scores(self, x: Tensor) -> Tensor:
        q, k = heads_first(self.normalized(self.q(x)), self.attention_heads), heads_first(self.k(x), self.attention_heads)
        return q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5


class Geometric(Normalized):
    """`E + phi(boxes)`; with `normalizes` both mechanisms at once, which goes by the name of the geometry."""

    attention_mechanism = "gsa"

    def __init__(self, kind: str = "content", normalizes: bool = False, inner: int = 6, **options) -> None:
        super().__init__(**options)
        self.kind, self.normalizes = kind, normalizes
        self.embed = nn.Linear(4, inner)
        width = self.q.in_features
        self.to_phi = nn.Linear(inner, self.attention_heads, bias=False) if kind == "content" else nn.Linear(width, self.attention_heads * inner)

    def geometry(self, boxes: Tensor) -> Tensor:
        x, y, w, h = boxes.unbind(-1)
        parts = [
            torch.log(((x[:, :, None] - x[:, None]) / w[:, :, None]).abs().clamp(min=1e-3)),
            torch.log(((y[:, :, None] - y[:, None]) / h[:, :, None]).abs().clamp(min=1e-3)),
            torch.log(w[:, :, None] / w[:, None]),
            torch.log(h[:, :, None] / h[:, None]),
        ]
        return F.relu(self.embed(torch.stack(parts, -1)))

    def normalized(self, q: Tensor) -> Tensor:
        return super().normalized(q) if self.normalizes else q

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:
        g = self.geometry(boxes)
        if self.kind == "content":
            phi = F.relu(self.to_phi(g)).permute(0, 3, 1, 2)
        else:
            asked = heads_first(self.to_phi(x), self.attention_heads)
            phi = torch.einsum("bhid,bijd->bhij" if self.kind == "query" else "bhjd,bijd->bhij", asked, g)
        return self.weighed(x, (self.scores(x) + phi).softmax(-1))


class Boxes(nn.Module):
    """The first output of a module of two inputs, with boxes made positive."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:
        return self.inner(x, boxes.sigmoid() + 0.1)


# --- DIA and EAN: one gate shared by the blocks of a stage ---


class Cell(nn.Module):
    """The recurrent cell of dense-and-implicit attention."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.u = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, 4 * width))
        self.v = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, 4 * width))

    def forward(self, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (self.u(z) + self.v(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.sigmoid(), c


class RecurrentGate(Block):
    attention_family = "channel-gate"

    def __init__(self, width: int, inner: int, mechanism: str) -> None:
        super().__init__()
        self.cell, self.attention_mechanism = Cell(width, inner), mechanism

    def forward(self, y: Tensor, state: tuple | None) -> tuple[Tensor, tuple]:
        axes = (2, 3) if y.ndim == 4 else (1,)
        z = y.mean(axes)
        state = state or (torch.zeros_like(z), torch.zeros_like(z))
        h, c = self.cell(z, *state)
        return y * (h[:, :, None, None] if y.ndim == 4 else h[:, None]), (h, c)


class SqueezeGate(Block):
    attention_family = "channel-gate"
    attention_mechanism = "ean"

    def __init__(self, width: int, inner: int, how: str = "conv") -> None:
        super().__init__()
        self.how = how
        layer = (lambda a, b: nn.Conv2d(a, b, 1)) if how == "conv" else nn.Linear
        self.fc = nn.Sequential(layer(width, inner), nn.ReLU(), layer(inner, width), nn.Sigmoid())

    def forward(self, y: Tensor, state: tuple | None) -> tuple[Tensor, None]:
        if self.how == "conv":
            return y * self.fc(F.adaptive_avg_pool2d(y, 1)), None
        return y * self.fc(y.mean((2, 3)))[:, :, None, None], None


class GroupGate(Block):
    """Spatial group-wise enhancement."""

    attention_family = "spatial-gate"
    attention_mechanism = "ean"

    def __init__(self, groups: int, how: str = "std") -> None:
        super().__init__()
        self.groups, self.how = groups, how
        self.gain, self.shift = nn.Parameter(torch.randn(1, groups, 1, 1)), nn.Parameter(torch.randn(1, groups, 1, 1))

    def forward(self, y: Tensor, state: tuple | None) -> tuple[Tensor, None]:
        b, c, h, w = y.shape
        x = y.view(b * self.groups, -1, h, w)
        s = (x * F.adaptive_avg_pool2d(x, 1)).sum(1, keepdim=True).view(b * self.groups, -1)
        s = s - s.mean(1, keepdim=True)
        s = s / (s.std(1, keepdim=True) + 1e-5)
        s = s.view(b, self.groups, h, w) * self.gain + self.shift
        return (x * s.view(b * self.groups, 1, h, w).sigmoid()).view(b, c, h, w), None


class Bottleneck(nn.Module):
    def __init__(self, width: int, norms: bool, pre: bool) -> None:
        super().__init__()
        inner = width // 4
        norm = nn.BatchNorm2d if norms else (lambda _: nn.Identity())
        shapes = [(width, inner, 1), (inner, inner, 3), (inner, width, 1)]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, padding=k // 2, bias=not norms) for a, b, k in shapes)
        self.norms = nn.ModuleList(norm((a if pre else b)) for a, b, _ in shapes)
        self.pre = pre

    def forward(self, x: Tensor) -> Tensor:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(F.relu(norm(x))) if self.pre else norm(conv(x))
            if not self.pre and index < 2:
                x = F.relu(x)
        return x


class Stage(nn.Module):
    """Residual blocks, some of which carry the one gate: `bits` says which."""

    def __init__(self, gate: nn.Module, bits: str, width: int = 24, norms: bool = True, pre: bool = False) -> None:
        super().__init__()
        self.gate, self.bits, self.pre = gate, bits, pre
        self.blocks = nn.ModuleList(Bottleneck(width, norms, pre) for _ in bits)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for bit, block in zip(self.bits, self.blocks, strict=True):
            y = block(x)
            if bit == "1":
                y, state = self.gate(y, state)
            x = x + y if self.pre else F.relu(x + y)
        return x


class Stages(nn.Module):
    """Two stages, each with a gate of its own, behind a stem."""

    def __init__(self, gate: Callable[[int], nn.Module], bits: tuple[str, str]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.first, self.second = Stage(gate(16), bits[0], 16), Stage(gate(32), bits[1], 32)
        self.between = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(F.relu(self.between(self.first(F.relu(self.stem(x))))))
        return self.head(x.mean((2, 3)))


class GatedTransformer(nn.Module):
    """Plain attention whose branches share one recurrent gate."""

    def __init__(self, bits: str = "111", width: int = 24) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in bits)
        self.layers = nn.ModuleList(Plain(width) for _ in bits)
        self.gate = RecurrentGate(width, 6, "dia" if "0" not in bits else "ean")
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for bit, norm, layer in zip(self.bits, self.norms, self.layers, strict=True):
            y = layer(norm(x))
            if bit == "1":
                y, state = self.gate(y, state)
            x = x + y
        return x


# --- unrolled iterations of sparse coding ---


class Unrolled(Block):
    attention_family = "token-mixing"
    attention_mechanism = "unrolled-ista"

    def __init__(self, inputs: int = 10, codes: int = 18, steps: int = 4, how: str = "relu", per_layer: bool = False, decodes: bool = False) -> None:
        super().__init__()
        self.steps, self.how = steps, how
        self.encode, self.lateral = nn.Linear(inputs, codes, bias=False), nn.Linear(codes, codes, bias=False)
        with torch.no_grad():
            self.lateral.weight.mul_(0.5)
        self.theta = nn.Parameter(torch.full((steps + 1, codes) if per_layer else (codes,), 0.05))
        self.decode = nn.Linear(codes, inputs, bias=False) if decodes else None

    def threshold(self, u: Tensor, step: int) -> Tensor:
        t = self.theta[step] if self.theta.ndim == 2 else self.theta
        if self.how == "relu":
            return u.sign() * F.relu(u.abs() - t)
        if self.how == "two":
            return F.relu(u - t) - F.relu(-u - t)
        if self.how == "clamp":
            return u - torch.minimum(torch.maximum(u, -t), t)
        return F.softshrink(u, 0.05)

    def forward(self, x: Tensor) -> Tensor:
        b = self.encode(x)
        z = self.threshold(b, 0)
        for step in range(self.steps):
            z = self.threshold(b + self.lateral(z), step + 1)
        return self.decode(z) if self.decode is not None else z


class Iterated(Block):
    """The same from the dictionary alone: `z - D'(D z - x) / L`."""

    attention_family = "token-mixing"
    attention_mechanism = "unrolled-ista"

    def __init__(self, inputs: int = 10, codes: int = 18, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.dictionary = nn.Parameter(torch.randn(inputs, codes) / inputs**0.5)

    def forward(self, x: Tensor) -> Tensor:
        z = F.softshrink(x @ self.dictionary / 6, 0.02)
        for _ in range(self.steps):
            z = F.softshrink(z - (z @ self.dictionary.t() - x) @ self.dictionary / 6, 0.02)
        return z


# --- discrete choice: attention of fields ---


class Interacting(Block):
    """AutoInt's layer: no scale, no biases, no output projection, a projected residual under a rectifier."""

    attention_mechanism = "discrete-choice"

    def __init__(self, width: int = 6, heads: int = 2, dim: int = 5, how: str = "matmul") -> None:
        super().__init__()
        self.attention_heads, self.how = heads, how
        self.q, self.k, self.v, self.r = (nn.Linear(width, heads * dim, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (p(x) for p in (self.q, self.k, self.v))
        if self.how == "stack":
            q, k, v = (torch.stack(t.chunk(self.attention_heads, 2)) for t in (q, k, v))
            y = torch.einsum("hbik,hbkj->hbij", torch.einsum("hbid,hbjd->hbij", q, k).softmax(-1), v)
            y = torch.cat(y.unbind(0), -1)
        else:
            q, k, v = (heads_first(t, self.attention_heads) for t in (q, k, v))
            y = heads_last((q @ k.transpose(-2, -1)).softmax(-1) @ v)
        return F.relu(y + self.r(x))


class AutoInt(nn.Module):
    """Embeddings of fields, interacting layers, one number for each sample."""

    def __init__(self, fields: int = 7, values: int = 11, width: int = 6, depth: int = 2, how: str = "matmul") -> None:
        super().__init__()
        self.table = nn.Embedding(fields * values, width)
        self.register_buffer("start", torch.arange(fields) * values)
        self.layers = nn.Sequential(*(Interacting(width if i == 0 else 10, how=how) for i in range(depth)))
        self.read = nn.Linear(fields * 10, 1)

    def forward(self, fields: Tensor) -> Tensor:
        return self.read(self.layers(self.table(fields + self.start)).flatten(1)).sigmoid()


# --- the models ---

Inputs = Callable[[], tuple[Tensor, ...]]


def normal(*shapes: tuple[int, ...]) -> Inputs:
    return lambda: tuple(torch.randn(2, *shape) for shape in shapes)


def fields(count: int) -> Inputs:
    return lambda: (torch.randint(0, 11, (2, count)),)


TOKENS = normal((12, 24))
MODELS: dict[str, tuple[Callable[[], nn.Module], Inputs]] = {
    "fcvit": (lambda: FCViTBlock(), normal((24, 6, 6))),
    "fcvit_context": (lambda: GlobalContext(32, 8), normal((32, 5, 5))),
    "fcvit_product": (lambda: FCViTBlock(how="product"), normal((24, 6, 6))),
    "fcvit_sum": (lambda: FCViTBlock(how="sum"), normal((24, 6, 6))),
    "fcvit_no_contest": (lambda: FCViTBlock(competes=False), normal((24, 6, 6))),
    "oamixer_l1": (lambda: ObjectMasked(), normal((13, 24), (12, 5))),
    "oamixer_cosine": (lambda: ObjectMasked("cosine"), normal((13, 24), (12, 5))),
    "oamixer_no_prefix": (lambda: ObjectMasked(prefix=0), normal((12, 24), (12, 5))),
    "oamixer_minus": (lambda: ObjectMasked("cosine", "minus"), normal((13, 24), (12, 5))),
    "oamixer_bias": (lambda: ObjectMasked(how="bias"), normal((13, 24), (12, 5))),
    "oamixer_bias_cosine": (lambda: ObjectMasked("cosine", how="bias"), normal((13, 24), (12, 5))),
    "oamixer_tokens": (lambda: ObjectMaskedSelf("cosine"), normal((13, 24))),
    "oamixer_gated": (lambda: ObjectMaskedGated(), normal((12, 24), (12, 5))),
    "oamixer_mixer": (lambda: ObjectMaskedMixer(), normal((12, 24), (12, 5))),
    "oamixer_mixer_cosine": (lambda: ObjectMaskedMixer(kind="cosine"), normal((12, 24), (12, 5))),
    "oamixer_conv": (lambda: ObjectMaskedConvolution(), normal((24, 4, 4), (16, 5))),
    "oamixer_conv_l1": (lambda: ObjectMaskedConvolution(kind="l1"), normal((24, 4, 4), (16, 5))),
    "vars_d": (lambda: Vars(), TOKENS),
    "vars_d_long": (lambda: Vars(steps=5, width=32, heads=4), normal((20, 32))),
    "vars_sd": (lambda: Vars(static=9), TOKENS),
    "vars_performer": (lambda: VarsPerformer(), TOKENS),
    "vars_s": (lambda: VarsStatic(), normal((6, 4, 4))),
    "fan_channel": (lambda: ChannelProcessing(), normal((16, 24))),
    "fan_channel_mean": (lambda: ChannelProcessing(how="mean"), normal((16, 24))),
    "fan": (lambda: FanBlock(ChannelProcessing()), normal((16, 24))),
    "fan_se": (lambda: FanBlock(FanSqueeze()), normal((16, 24))),
    "evolving": (lambda: EvolvingStack(), TOKENS),
    "evolving_relu": (lambda: EvolvingStack(depth=2, leaky=False, plain_first=True, alpha=0.7, beta=0.4), TOKENS),
    "nsa": (lambda: Normalized(), TOKENS),
    "nsa_rsqrt": (lambda: Normalized("rsqrt"), TOKENS),
    "nsa_instance": (lambda: Normalized("instance"), TOKENS),
    "nsa_prefix": (lambda: Normalized(prefix=1), TOKENS),
    "gsa_content": (lambda: Boxes(Geometric()), normal((12, 24), (12, 4))),
    "gsa_query": (lambda: Boxes(Geometric("query")), normal((12, 24), (12, 4))),
    "gsa_key": (lambda: Boxes(Geometric("key")), normal((12, 24), (12, 4))),
    "gsa_nsa": (lambda: Boxes(Geometric("query", normalizes=True)), normal((12, 24), (12, 4))),
    "dia": (lambda: Stage(RecurrentGate(24, 6, "dia"), "111"), normal((24, 6, 6))),
    "dia_pre": (lambda: Stage(RecurrentGate(24, 6, "dia"), "1111", pre=True), normal((24, 6, 6))),
    "dia_stages": (lambda: Stages(lambda c: RecurrentGate(c, 4, "dia"), ("111", "11")), normal((3, 8, 8))),
    "dia_tokens": (lambda: GatedTransformer(), TOKENS),
    "ean_dia": (lambda: Stage(RecurrentGate(24, 4, "ean"), "1011", norms=False), normal((24, 6, 6))),
    "ean_dia_tokens": (lambda: GatedTransformer("1101"), TOKENS),
    "ean_se": (lambda: Stage(SqueezeGate(24, 6), "0110"), normal((24, 6, 6))),
    "ean_se_linear": (lambda: Stage(SqueezeGate(24, 6, "linear"), "11011"), normal((24, 6, 6))),
    "ean_sge": (lambda: Stage(GroupGate(4), "1101", norms=False), normal((24, 6, 6))),
    "ean_stages": (lambda: Stages(lambda c: SqueezeGate(c, 4), ("101", "1110")), normal((3, 8, 8))),
    "ista_relu": (lambda: Unrolled(), normal((7, 10))),
    "ista_two": (lambda: Unrolled(how="two", steps=3), normal((7, 10))),
    "ista_shrink": (lambda: Unrolled(how="shrink"), normal((7, 10))),
    "ista_clamp": (lambda: Unrolled(how="clamp"), normal((7, 10))),
    "ista_per_layer": (lambda: Unrolled(per_layer=True, steps=2, decodes=True), normal((7, 10))),
    "ista_flat": (lambda: Unrolled(), normal((10,))),
    "ista_dictionary": (lambda: Iterated(), normal((7, 10))),
    "autoint": (lambda: Interacting(), normal((7, 6))),
    "autoint_stack": (lambda: Interacting(how="stack"), normal((7, 6))),
    "autoint_model": (lambda: AutoInt(), fields(7)),
    "autoint_model_stack": (lambda: AutoInt(how="stack", depth=3), fields(7)),
}
