"""The published closure: moments of an autoencoder and fluxes from networks.

Han, Ma, Ma and E, *Uniformly accurate machine learning-based hydrodynamic models for kinetic
equations*, PNAS 116 (2019) 21983, for D = 1 and BGK. `closures.network.closure` states the
equations, `solver` advances them, `fit` trains them.
"""
