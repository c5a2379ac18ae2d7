"""What one action costs in energy and area: cited points, and the laws that run through them."""
