"""Training as Keras has it: losses, metrics, optimizers, data, callbacks, and the loop itself."""
