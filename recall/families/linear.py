"""Attention without a map of all pairs: kernels, landmarks, and maps without a softmax."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from families.base import Projected


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
