"""What is minimised of samples of f: for the moments, then, with these fixed, for F~ and G~.

The first stage is the end-to-end training of Han, Ma, Ma and E: to the loss of the autoencoder
(`closures.network.autoencoder`) come the errors of the fluxes in the gas's own frame, so that the
moments are such that f and fluxes can be told from them,

    loss + < [ 30 (dq/rho)^2 + 30 (dsigma/rho)^2 + |d B_0|^2 ] / [ |m - m_M|^2 + floor ] >.

The loss of the second is

    < [ (dq/rho)^2 + (dsigma/rho)^2 + |d B_0|^2
        + (|dA|^2 + |d(B-B_0)|^2)/(shift^2 + log^2 width + 0.01) ] / [ |m - m_M|^2 + floor ] >

with d the deviation of a network from its label (`closures.network.labels`) and B_0 the B of the
gas's own frame: relative, so that the flux of a weak wave counts as much, and what changes with the
frame is learned as a derivative, since finite volumes take differences between neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closures.features import trapezoid
from closures.network.autoencoder import Encoded, loss
from closures.network.closure import Networks
from closures.network.labels import Labels, Samples, label, own_fluxes
from closures.network.moments import EXTENT, NODES

WEIGHT_HEAT, WEIGHT_FLUX = 30.0, 1.0
"""Of the fluxes in the loss of the first stage: q enters the conservation laws themselves."""

SMALLEST_CHANGE = 0.01
"""Of a frame, squared, below which the errors of A and B - B_0 count less."""

LABELLED_TOGETHER = 2048
"""Samples whose labels are computed at a time."""


def set_scales(networks: Networks, samples: Samples) -> None:
    """Give the networks the standard deviations of the moments of an untrained w."""
    with torch.no_grad():
        scale = encode(networks, samples).m.std(0)
    networks.decoder.scale.copy_(scale)
    networks.fluxes.scale.copy_(scale)


def encode(networks: Networks, samples: Samples, w: Tensor | None = None) -> Encoded:
    """The moments of samples, of the w (n', K) at their nodes if it is known; differentiable."""
    m = (samples.f * samples.h) @ (networks.moments(samples.c) if w is None else w)
    of_nodes = networks.moments(trapezoid(EXTENT, NODES)[0]) if networks.kind.fixed else m
    return networks.encoded(m, samples.u, samples.T.sqrt(), of_nodes)


class MomentObjective:
    """Stage one: w, the decoder, the entropy and the fluxes in the gas's own frame."""

    def __init__(self, networks: Networks, floor: float) -> None:
        self.networks, self.floor = networks, floor
        fluxes = networks.fluxes
        own = (fluxes.of_heat, fluxes.of_flux, fluxes.of_stress)
        self.trained = (
            networks.moments,
            networks.decoder,
            *(one for one in own if one is not None),
        )

    def prepare(self, samples: Samples) -> Samples:
        """The samples as they are."""
        return samples

    def __call__(self, samples: Samples) -> Tensor:
        """The loss of a batch."""
        w = self.networks.moments(samples.c)
        state = encode(self.networks, samples, w)
        f, M, c, h = samples.f, samples.maxwellian, samples.c, samples.h
        of_f = loss(self.networks.decoder, state, f, M, c, h, self.floor)
        return of_f + self._of_fluxes(samples, state, w, M)

    def _of_fluxes(self, samples: Samples, state: Encoded, w: Tensor, M: Tensor) -> Tensor:
        """Relative errors, squared, of the fluxes in the gas's own frame."""
        excess = (samples.f - M) * samples.h
        c = samples.c - samples.u[:, None]
        n, fluxes = state.m - state.equilibrium, self.networks.fluxes
        D = self.networks.kind.gas.dimension
        heat, stress = own_fluxes(excess, c, D)
        q = fluxes.heat(state.m, n, samples.u, samples.T, samples.knudsen)
        sigma = fluxes.stress(state.m, n, samples.T, samples.knudsen)
        of_q = (q - heat).square() + (sigma - stress).square()
        flux = (excess * c.repeat(1, min(D, 2))) @ w
        of_B = (fluxes.own(state.m, n, samples.u, samples.T) - flux).square().sum(1)
        weight = n.square().sum(1) + self.floor
        return ((WEIGHT_HEAT * of_q + WEIGHT_FLUX * of_B) / weight).mean()


@dataclass(frozen=True)
class Labelled:
    """Samples reduced to what the second stage needs: moments and labels."""

    samples: Samples
    state: Encoded
    labels: Labels

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: Tensor) -> Labelled:
        """The samples `rows`."""
        state = Encoded(*(part[rows] for part in vars(self.state).values()))
        return Labelled(self.samples.take(rows), state, self.labels.take(rows))


class FluxObjective:
    """Stage two: F~ and G~."""

    def __init__(self, networks: Networks, floor: float) -> None:
        self.networks, self.floor = networks, floor
        self.trained = (networks.fluxes,)

    def prepare(self, samples: Samples) -> Labelled:
        """Encode, and compute the labels, a part at a time."""
        kind = self.networks.kind
        with torch.no_grad():
            state = encode(self.networks, samples)
            parts = [
                label(samples.take(rows), self.networks.moments, kind.fixed, kind.gas.dimension)
                for rows in torch.arange(len(samples)).split(LABELLED_TOGETHER)
            ]
        names = [item.name for item in fields(Labels)]
        whole = (torch.cat([getattr(part, name) for part in parts]) for name in names)
        return Labelled(replace(samples, f=samples.f[:, :0]), state, Labels(*whole))

    def __call__(self, data: Labelled) -> Tensor:
        """The loss of a batch."""
        own, labels, m = data.samples, data.labels, data.state.m
        n = m - data.state.equilibrium
        fluxes = self.networks.fluxes
        heat = fluxes.heat(m, n, own.u, own.T, own.knudsen)
        A, B = fluxes.beyond(m, n, own.u, own.T, own.shift, own.width)
        off = fluxes.own(m, n, own.u, own.T) - labels.own
        sigma = fluxes.stress(m, n, own.T, own.knudsen)
        error = (heat - labels.heat).square() + off.square().sum(1)
        error = error + (sigma - labels.stress).square()
        if not self.networks.kind.fixed:
            change = own.shift.square() + own.width.log().square() + SMALLEST_CHANGE
            moved = (A - labels.A).square() + (B - labels.B - off).square()
            error = error + moved.sum(1) / change
        return (error / (n.square().sum(1) + self.floor)).mean()


Objective = MomentObjective | FluxObjective
