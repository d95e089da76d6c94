"""Composites: what people compute in many operations and know by one name."""
