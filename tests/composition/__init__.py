"""Every JAX transformation, around and inside compiled functions of every kind."""
