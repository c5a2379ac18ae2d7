"""Integer networks written to files that other programs run."""
