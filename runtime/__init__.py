"""Running programs: what `compile` and `optimize` return."""
