"""The functional API: several inputs and outputs, ranking tickets by priority."""

import keras
import numpy as np
from keras import layers

num_tags, num_words, num_departments = 6, 20, 4

title_input = keras.Input(shape=(None,), name="title")
body_input = keras.Input(shape=(None,), name="body")
tags_input = keras.Input(shape=(num_tags,), name="tags")
title_features = layers.Embedding(num_words, 8)(title_input)
body_features = layers.Embedding(num_words, 8)(body_input)
title_features = layers.LSTM(8)(title_features)
body_features = layers.LSTM(4)(body_features)
x = layers.concatenate([title_features, body_features, tags_input])
priority_pred = layers.Dense(1, name="priority")(x)
department_pred = layers.Dense(num_departments, name="department")(x)
model = keras.Model(
    inputs=[title_input, body_input, tags_input],
    outputs={"priority": priority_pred, "department": department_pred},
)
model.compile(
    optimizer=keras.optimizers.RMSprop(1e-3),
    loss={
        "priority": keras.losses.BinaryCrossentropy(from_logits=True),
        "department": keras.losses.CategoricalCrossentropy(from_logits=True),
    },
    loss_weights={"priority": 1.0, "department": 0.2},
)

generator = np.random.default_rng(0)
title_data = generator.integers(num_words, size=(24, 7)).astype("float32")
body_data = generator.integers(num_words, size=(24, 5)).astype("float32")
tags_data = generator.integers(2, size=(24, num_tags)).astype("float32")
priority_targets = generator.random(size=(24, 1)).astype("float32")
dept_targets = generator.integers(2, size=(24, num_departments)).astype("float32")

history = model.fit(
    {"title": title_data, "body": body_data, "tags": tags_data},
    {"priority": priority_targets, "department": dept_targets},
    epochs=2,
    batch_size=8,
    shuffle=False,
    verbose=0,
)
predictions = model.predict([title_data, body_data, tags_data], verbose=0)

results = {"loss": history.history["loss"], "predictions": predictions}
