"""A bidirectional LSTM on padded sequences of words."""

import keras
import numpy as np
from keras import layers
from keras.utils import pad_sequences

max_features, maxlen = 30, 10
generator = np.random.default_rng(0)
sentences = [generator.integers(1, max_features, n).tolist() for n in generator.integers(2, 14, 24)]
x_train = pad_sequences(sentences, maxlen=maxlen)
y_train = np.array([sum(sentence) % 2 for sentence in sentences], "float32")

inputs = keras.Input(shape=(None,), dtype="int32")
x = layers.Embedding(max_features, 8, mask_zero=True)(inputs)
x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
x = layers.Bidirectional(layers.LSTM(6))(x)
outputs = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, outputs)

model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")])
history = model.fit(x_train, y_train, batch_size=8, epochs=2, shuffle=False, verbose=0)

results = {"x": x_train, "history": history.history, "y": model.predict(x_train, verbose=0)}
