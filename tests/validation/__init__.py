"""The validation page: ours against every independent figure. `python -m tests.validation`."""
