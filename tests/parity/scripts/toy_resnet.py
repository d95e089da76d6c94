"""A toy ResNet by the functional API, and a model of its inner activations."""

import keras
import numpy as np
from keras import layers

inputs = keras.Input(shape=(12, 12, 3), name="img")
x = layers.Conv2D(4, 3, activation="relu")(inputs)
x = layers.Conv2D(8, 3, activation="relu")(x)
block_1_output = layers.MaxPooling2D(2)(x)

x = layers.Conv2D(8, 3, activation="relu", padding="same")(block_1_output)
x = layers.Conv2D(8, 3, padding="same")(x)
x = layers.BatchNormalization()(x)
block_2_output = layers.add([x, block_1_output])

x = layers.Conv2D(8, 3, activation="relu")(block_2_output)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dense(6, activation="relu")(x)
x = layers.Dropout(0.0)(x)
outputs = layers.Dense(10)(x)
model = keras.Model(inputs, outputs, name="toy_resnet")

generator = np.random.default_rng(0)
images = generator.random((16, 12, 12, 3)).astype("float32")
labels = generator.integers(0, 10, (16, 1))
model.compile(
    optimizer=keras.optimizers.SGD(learning_rate=0.05, momentum=0.9),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["acc"],
)
history = model.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
extractor = keras.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers[1:4]])

results = {
    "history": history.history,
    "features": extractor.predict(images, verbose=0),
    "names": [layer.name for layer in model.layers],
}
