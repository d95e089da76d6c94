"""Losses by Keras's names, as functions and as objects."""
