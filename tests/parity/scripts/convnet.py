"""A simple convolutional network for digits."""

import keras
import numpy as np
from keras import layers

num_classes, input_shape = 10, (14, 14, 1)
generator = np.random.default_rng(0)
x_train = generator.integers(0, 256, (64, 14, 14)).astype("float32") / 255
x_train = np.expand_dims(x_train, -1)
y_train = keras.utils.to_categorical(generator.integers(0, num_classes, 64), num_classes)

model = keras.Sequential(
    [
        keras.Input(shape=input_shape),
        layers.Conv2D(4, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dropout(0.0),
        layers.Dense(num_classes, activation="softmax"),
    ]
)
model.summary(print_fn=lambda text: None)
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(
    x_train, y_train, batch_size=16, epochs=2, validation_split=0.25, shuffle=False, verbose=0
)
score = model.evaluate(x_train, y_train, verbose=0)

results = {"history": history.history, "score": score, "parameters": model.count_params()}
