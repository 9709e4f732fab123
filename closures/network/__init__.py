"""The published closure: moments of an autoencoder and fluxes from networks.

Han, Ma, Ma and E, *Uniformly accurate machine learning-based hydrodynamic models for kinetic
equations*, PNAS 116 (2019) 21983, for BGK, and with D = 2 for Boltzmann's collisions of Maxwell
molecules. `closures.network.closure` states the equations, `solver` advances them, `objectives`
says what training minimises and `fit` trains:

    closures train closure=network train=network train.data=DATASET.zarr
    closures solve closure=outputs/train/.../model

`closure=network` has its moments in the frame of each cell, `network_fixed`, for D = 1 only, in one
fixed frame, so that its equations are not Galilean invariant, and `network_hermite` has Hermite
moments, so that it shows what learned ones gain.

Exact: conservation; the fluxes of the Maxwellian; that F~ and G~ vanish in equilibrium and are
homogeneous in rho; R of BGK; that Boltzmann's R vanishes in equilibrium and lets no moments grow;
Galilean invariance of the equations of `network` and `network_hermite`. Learned, and so
approximate: F~, G~, Boltzmann's R beyond its linear response, and in the Galilean frame what a
change of the frame does to W beyond the Maxwellian's part. Not guaranteed: real characteristic
speeds, positive density and temperature, and a decrease of entropy; a model's manifest says how
large the speeds are on its training data and how far from real.
"""
