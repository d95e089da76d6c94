"""Callbacks: built-in ones, and one that stops at the smallest loss."""

import csv
import os
import tempfile

import keras
import numpy as np


class EarlyStoppingAtMinLoss(keras.callbacks.Callback):
    def __init__(self, patience=0):
        super().__init__()
        self.patience = patience
        self.best_weights = None

    def on_train_begin(self, logs=None):
        self.wait = 0
        self.stopped_epoch = 0
        self.best = np.inf

    def on_epoch_end(self, epoch, logs=None):
        current = logs.get("loss")
        if np.less(current, self.best):
            self.best = current
            self.wait = 0
            self.best_weights = self.model.get_weights()
        else:
            self.wait += 1
            if self.wait >= self.patience:
                self.stopped_epoch = epoch
                self.model.stop_training = True
                self.model.set_weights(self.best_weights)


def scheduler(epoch, lr):
    return lr if epoch < 2 else lr * 20.0


x = np.linspace(-1, 1, 32, dtype="float32").reshape(-1, 2)
y = 3 * x.sum(1, keepdims=True)
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.3), loss="mean_squared_error")
ends = []
with tempfile.TemporaryDirectory() as folder:
    best = os.path.join(folder, "best.weights.h5")
    log = os.path.join(folder, "log.csv")
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=20,
        validation_split=0.25,
        shuffle=False,
        verbose=0,
        callbacks=[
            EarlyStoppingAtMinLoss(patience=2),
            keras.callbacks.LearningRateScheduler(scheduler),
            keras.callbacks.ModelCheckpoint(
                best, monitor="val_loss", save_best_only=True, save_weights_only=True
            ),
            keras.callbacks.CSVLogger(log),
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=4),
            keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(epoch)),
        ],
    )
    with open(log) as file:
        rows = len(list(csv.reader(file)))
    last, rate = model.get_weights(), float(model.optimizer.learning_rate.value)
    model.load_weights(best)

results = {
    "loss": history.history["loss"],
    "epochs": ends,
    "rows": rows,
    "best": model.get_weights(),
    "last": last,
    "rate": rate,
}
