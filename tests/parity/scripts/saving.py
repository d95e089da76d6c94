"""Saving and loading a model with a layer and a loss of one's own."""

import os
import tempfile

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable(package="scripts")
class Scale(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.offset = self.add_weight(shape=(input_shape[-1],), name="offset")

    def call(self, x):
        return ops.multiply(x, self.factor) + self.offset

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="scripts")
def squared(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
model = keras.Sequential([keras.Input((4,)), Scale(2.0), layers.Dense(2)])
model.compile(optimizer="adam", loss=squared, metrics=["mae"])
model.fit(x, x[:, :2], batch_size=8, epochs=1, shuffle=False, verbose=0)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
history = loaded.fit(x, x[:, :2], batch_size=8, epochs=2, shuffle=False, verbose=0)

results = {"history": history.history, "steps": int(loaded.optimizer.iterations)}
