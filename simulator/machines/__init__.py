"""Machines: each kind is one file with its configuration and its scalar cost function."""
