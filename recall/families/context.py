"""Non-local operations, global context, learned memories."""

from __future__ import annotations

from torch import Tensor, nn

from families.base import Attends


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
