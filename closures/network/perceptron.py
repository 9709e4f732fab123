"""Fully connected networks in double precision."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class Perceptron(nn.Module):
    """y = A_n tanh(... tanh(A_1 x + b_1) ...) + b_n, from (..., sizes[0]) to (..., sizes[-1]).

    Args:
        sizes: widths of the layers, input and output included.
        generator: draws the initial weights, uniform within 1/sqrt(inputs).
        gain: factor of the weights of the last layer.
    """

    def __init__(
        self, sizes: tuple[int, ...], generator: torch.Generator, gain: float = 1.0
    ) -> None:
        super().__init__()
        layers = [
            nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)
            for inputs, outputs in itertools.pairwise(sizes)
        ]
        for layer in layers:
            bound = layer.in_features**-0.5 * (gain if layer is layers[-1] else 1.0)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        y: Tensor = self.layers[-1](x)
        return y
