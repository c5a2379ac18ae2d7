"""Exact arithmetic: formats of rounding, requantizing, summing; data, not choices."""
