"""Random JAX programs, and what xlathe must make of them."""
