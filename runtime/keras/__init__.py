"""Models to and from Keras 3."""
