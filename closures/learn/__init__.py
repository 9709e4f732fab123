"""Concurrent learning: explore with an ensemble of closures, label what it is unsure of, train."""
