"""The report of a comparison: its figures, as PNG and PDF, and a self-contained page.

Nothing outside this package imports matplotlib.
"""
