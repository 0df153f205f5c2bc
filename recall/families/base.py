"""What every module of this folder is: one block, with its family and its heads."""

from __future__ import annotations

from torch import Tensor, nn


class Attends(nn.Module):
    """A module that counts as one block."""

    attention_family = "self"

    def __init__(self, heads: int | None = None) -> None:
        super().__init__()
        self.attention_heads = heads


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
