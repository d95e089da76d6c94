"""A metric, a loss, an initializer, a regularizer and a constraint of one's own."""

import keras
import numpy as np
from keras import ops


class BinaryTruePositives(keras.metrics.Metric):
    def __init__(self, name="binary_true_positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.true_positives = self.add_weight(shape=(), initializer="zeros", name="tp")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "bool")
        y_pred = ops.greater(y_pred, 0.5)
        values = ops.logical_and(ops.equal(y_true, True), ops.equal(y_pred, True))
        values = ops.cast(values, self.dtype)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, self.dtype)
            sample_weight = ops.broadcast_to(ops.reshape(sample_weight, (-1, 1)), ops.shape(values))
            values = ops.multiply(values, sample_weight)
        self.true_positives.assign(self.true_positives + ops.sum(values))

    def result(self):
        return ops.convert_to_tensor(self.true_positives)

    def reset_state(self):
        self.true_positives.assign(0)


class CustomMSE(keras.losses.Loss):
    def __init__(self, regularization_factor=0.1, name="custom_mse"):
        super().__init__(name=name)
        self.regularization_factor = regularization_factor

    def call(self, y_true, y_pred):
        mse = ops.mean(ops.square(y_true - y_pred), axis=-1)
        reg = ops.mean(ops.square(0.5 - y_pred), axis=-1)
        return mse + reg * self.regularization_factor


def my_initializer(shape, dtype=None):
    return ops.ones(shape, dtype=dtype) * 0.1


class MyRegularizer(keras.regularizers.Regularizer):
    def __init__(self, strength):
        self.strength = strength

    def __call__(self, x):
        return self.strength * ops.sum(ops.square(x))

    def get_config(self):
        return {"strength": self.strength}


class Centered(keras.constraints.Constraint):
    def __call__(self, w):
        return w - ops.mean(w)


generator = np.random.default_rng(0)
x = generator.normal(size=(24, 4)).astype("float32")
y = (x.sum(1, keepdims=True) > 0).astype("float32")
model = keras.Sequential(
    [
        keras.Input((4,)),
        keras.layers.Dense(
            3,
            activation="relu",
            kernel_initializer=my_initializer,
            kernel_regularizer=MyRegularizer(0.01),
        ),
        keras.layers.Dense(1, activation="sigmoid", kernel_constraint=Centered()),
    ]
)
model.compile(optimizer="adam", loss=CustomMSE(), metrics=[BinaryTruePositives()])
history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)

results = {"history": history.history, "weights": model.get_weights()}
