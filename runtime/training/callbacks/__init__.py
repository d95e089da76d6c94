"""Callbacks by Keras's names: what training calls as it goes."""
