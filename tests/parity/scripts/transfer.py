"""Transfer learning: a frozen model with a new head, then fine tuning."""

import keras
import numpy as np
from keras import layers

generator = np.random.default_rng(0)
images = generator.random((16, 8, 8, 3)).astype("float32")
many, two = generator.integers(0, 5, 16), generator.integers(0, 2, 16).astype("float32")

base_inputs = keras.Input((8, 8, 3))
x = layers.Conv2D(4, 3, activation="relu")(base_inputs)
x = layers.BatchNormalization()(x)
base_model = keras.Model(base_inputs, x, name="base")
pretraining = keras.Sequential(
    [base_model, layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")]
)
pretraining.compile("adam", "sparse_categorical_crossentropy")
pretraining.fit(images, many, epochs=1, batch_size=8, shuffle=False, verbose=0)

base_model.trainable = False
inputs = keras.Input(shape=(8, 8, 3))
x = layers.Rescaling(scale=2.0, offset=-1)(inputs)
x = base_model(x, training=False)
x = layers.GlobalAveragePooling2D()(x)
outputs = layers.Dense(1)(x)
model = keras.Model(inputs, outputs)
model.compile(
    optimizer=keras.optimizers.Adam(),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
before = [weight.copy() for weight in base_model.get_weights()]
frozen = model.fit(images, two, epochs=2, batch_size=8, shuffle=False, verbose=0)
unchanged = all((a == b).all() for a, b in zip(before, base_model.get_weights()))

base_model.trainable = True
for layer in base_model.layers:
    if isinstance(layer, layers.BatchNormalization):
        layer.trainable = False
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
tuned = model.fit(images, two, epochs=1, batch_size=8, shuffle=False, verbose=0)
copy = keras.models.clone_model(model)
copy.set_weights(model.get_weights())

results = {
    "frozen": frozen.history,
    "unchanged": int(unchanged),
    "tuned": tuned.history,
    "trainable": len(model.trainable_weights),
    "copy": copy.predict(images, verbose=0),
}
