"""Models around the blocks."""

from __future__ import annotations

from torch import Tensor, nn


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
