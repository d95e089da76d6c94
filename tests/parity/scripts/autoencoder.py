"""A convolutional autoencoder, and its encoder and decoder as models that share its layers."""

import keras
import numpy as np
from keras import layers

encoder_input = keras.Input(shape=(12, 12, 1), name="original_img")
x = layers.Conv2D(4, 3, activation="relu")(encoder_input)
x = layers.MaxPooling2D(2)(x)
x = layers.Conv2D(8, 3, activation="relu")(x)
encoder_output = layers.GlobalMaxPooling2D()(x)
encoder = keras.Model(encoder_input, encoder_output, name="encoder")

decoder_input = keras.Input(shape=(8,), name="encoded_img")
x = layers.Dense(4 * 4 * 2)(decoder_input)
x = layers.Reshape((4, 4, 2))(x)
x = layers.Conv2DTranspose(4, 3, activation="relu")(x)
x = layers.UpSampling2D(2)(x)
decoder_output = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
decoder = keras.Model(decoder_input, decoder_output, name="decoder")

autoencoder_input = keras.Input(shape=(12, 12, 1), name="img")
encoded_img = encoder(autoencoder_input)
decoded_img = decoder(encoded_img)
autoencoder = keras.Model(autoencoder_input, decoded_img, name="autoencoder")

images = np.random.default_rng(0).random((16, 12, 12, 1)).astype("float32")
autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
history = autoencoder.fit(images, images, batch_size=8, epochs=2, shuffle=False, verbose=0)

results = {
    "history": history.history,
    "codes": encoder.predict(images, verbose=0),
    "decoded": autoencoder.predict(images, verbose=0),
    "layers": [layer.name for layer in autoencoder.layers],
}
