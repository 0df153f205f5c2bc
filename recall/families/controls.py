"""Softmaxes, gates and products that are no attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class DynamicKernel(nn.Module):
    """A softmax weighs whole convolution kernels (Chen et al. 2020)."""

    def __init__(self, width: int = 3, kernels: int = 4) -> None:
        super().__init__()
        self.choose = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, kernels))
        self.kernels = nn.Parameter(torch.randn(kernels, 16, width, 3, 3) * 0.2)

    def forward(self, image: Tensor) -> Tensor:
        weights = (self.choose(image.mean((2, 3))) / 4).softmax(-1)
        every = torch.stack([F.conv2d(image, kernel, padding=1) for kernel in self.kernels], 1)
        return (every * weights[:, :, None, None, None]).sum(1)


class Residuals(nn.Module):
    """Residuals to soft-assigned centers, summed up (NetVLAD)."""

    def __init__(self, width: int = 32, centers: int = 6) -> None:
        super().__init__()
        self.assign, self.centers = nn.Linear(width, centers), nn.Parameter(torch.randn(centers, width))

    def forward(self, x: Tensor) -> Tensor:
        a = self.assign(x).softmax(-1)
        residual = x[:, :, None] - self.centers
        return F.normalize((a[..., None] * residual).sum(1), dim=-1).flatten(1)


class Keypoints(nn.Module):
    """Expected coordinates under a softmax over places (soft arg-max)."""

    def __init__(self, points: int = 5, size: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, points, 3, 2, 1))
        line = torch.linspace(-1, 1, size)
        self.register_buffer("grid", torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2))

    def forward(self, image: Tensor) -> Tensor:
        heat = self.stem(image).flatten(2).softmax(-1)
        return heat @ self.grid


class Slots(nn.Module):
    """Tokens choose among slots by a softmax over slots: the other way round than attention (Locatello et al. 2020)."""

    def __init__(self, width: int = 32, slots: int = 5) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(1, slots, width))
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        slots = self.slots + x.mean(1, keepdim=True)
        a = (self.k(x) @ self.q(slots).transpose(1, 2) * x.shape[-1] ** -0.5).softmax(-1) + 1e-8
        return slots + (a / a.sum(1, keepdim=True)).transpose(1, 2) @ self.v(x)


class Hypernetwork(nn.Module):
    """Weights made from the input multiply the input."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.weights, self.o = nn.Linear(width, 8 * width), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        w = self.weights(x.mean(1)).view(x.shape[0], x.shape[2], 8)
        return self.o((x @ w).relu())


class Whitened(nn.Module):
    """The covariance of channels, and tokens times its inverse."""

    def forward(self, x: Tensor) -> Tensor:
        y = x - x.mean(1, keepdim=True)
        covariance = y.transpose(1, 2) @ y / x.shape[1]
        return y @ (2 * torch.eye(x.shape[2]) - covariance)
