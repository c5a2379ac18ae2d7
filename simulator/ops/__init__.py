"""Operators, one file each; the registry imports every one."""
