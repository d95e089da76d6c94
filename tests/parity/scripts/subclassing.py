"""Layers and models by subclassing: weights made in `build`, added losses, configurations."""

import keras
import numpy as np
from keras import ops


class Linear(keras.layers.Layer):
    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units})
        return config


class ComputeSum(keras.layers.Layer):
    def __init__(self, input_dim):
        super().__init__()
        self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False)

    def call(self, inputs):
        self.total.assign_add(ops.sum(inputs, axis=0))
        return self.total


class ActivityRegularization(keras.layers.Layer):
    def __init__(self, rate=1e-2):
        super().__init__()
        self.rate = rate

    def call(self, inputs):
        self.add_loss(self.rate * ops.mean(inputs**2))
        return inputs


class MLP(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.linear_1 = Linear(units)
        self.linear_2 = Linear(units)
        self.regularize = ActivityRegularization(0.1)
        self.linear_3 = Linear(1)

    def call(self, inputs, training=False):
        x = ops.relu(self.linear_1(inputs))
        x = keras.activations.gelu(self.linear_2(x))
        return self.linear_3(self.regularize(x))


my_sum = ComputeSum(2)
x = ops.ones((2, 2))
first, second = ops.convert_to_numpy(my_sum(x)), ops.convert_to_numpy(my_sum(x))

data = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
mlp = MLP(8, name="mlp")
outputs = ops.convert_to_numpy(mlp(data))
mlp.compile(optimizer="adam", loss="mse")
history = mlp.fit(data, data.sum(1), batch_size=5, epochs=2, shuffle=False, verbose=0)
layer = Linear.from_config(Linear(7, name="again").get_config())
layer(data)

results = {
    "sums": [first, second],
    "outputs": outputs,
    "history": history.history,
    "shapes": [weight.shape for weight in layer.get_weights()],
    "trainable": [len(my_sum.weights), len(my_sum.trainable_weights), len(mlp.weights)],
}
