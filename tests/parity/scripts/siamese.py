"""A siamese network: a shared encoder, and functions of `ops` on symbolic tensors."""

import keras
import numpy as np
from keras import layers, ops

encoder = keras.Sequential(
    [keras.Input((6,)), layers.Dense(8, activation="tanh"), layers.UnitNormalization()],
    name="encoder",
)
left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
a, b = encoder(left), encoder(right)
distance = ops.sqrt(ops.sum(ops.square(a - b), axis=1, keepdims=True) + 1e-6)
features = ops.concatenate([distance, ops.max(a * b, axis=1, keepdims=True)], axis=-1)
output = layers.Dense(1, activation="sigmoid")(layers.BatchNormalization()(features))
model = keras.Model(inputs=[left, right], outputs=output)

generator = np.random.default_rng(0)
pairs = [generator.normal(size=(24, 6)).astype("float32") for _ in range(2)]
labels = generator.integers(0, 2, 24).astype("float32")
schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, decay_steps=2, decay_rate=0.9)
model.compile(loss="hinge", optimizer=keras.optimizers.AdamW(schedule), metrics=["accuracy"])
history = model.fit(
    pairs, labels, batch_size=8, epochs=2, class_weight={0: 1.0, 1: 2.0}, shuffle=False, verbose=0
)

results = {"history": history.history, "predictions": model.predict(pairs, verbose=0)}
