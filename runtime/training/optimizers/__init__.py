"""Optimizers and learning-rate schedules by Keras's names."""
