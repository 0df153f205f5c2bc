"""The register of models, and the inputs that they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class Subject:
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple]
    group: str
    # What is known of the model as a whole: prefix tokens, grid, patch size.
    facts: dict = field(default_factory=dict)
    # Whether softmaxes outside of known modules are expected.
    quiet: bool = False


SUBJECTS: dict[str, Subject] = {}


def image(size: int = 32, batch: int = 2, channels: int = 3) -> Callable[[], tuple]:
    return lambda: (torch.randn(batch, channels, size, size),)


def words(length: int = 12, batch: int = 2, vocabulary: int = 90) -> Callable[[], tuple]:
    return lambda: (torch.randint(3, vocabulary, (batch, length)),)


def vit_facts(prefix: int, grid: int = 4, patch: int = 8) -> dict:
    return {"prefix_tokens": prefix, "grid": [grid, grid], "patch": [patch, patch]}
