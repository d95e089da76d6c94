"""Metrics by Keras's names, with their state on the device."""
