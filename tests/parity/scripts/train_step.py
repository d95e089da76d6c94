"""A `train_step` and a `test_step` of one's own, with metrics of one's own."""

import jax
import keras
import numpy as np


class CustomModel(keras.Model):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = keras.losses.MeanSquaredError()

    def compute_loss_and_updates(
        self, trainable_variables, non_trainable_variables, x, y, training=False
    ):
        y_pred, non_trainable_variables = self.stateless_call(
            trainable_variables, non_trainable_variables, x, training=training
        )
        return self.loss_fn(y, y_pred), (y_pred, non_trainable_variables)

    def train_step(self, state, data):
        trainable_variables, non_trainable_variables, optimizer_variables, metrics_variables = state
        x, y = data
        grad_fn = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, (y_pred, non_trainable_variables)), grads = grad_fn(
            trainable_variables, non_trainable_variables, x, y, training=True
        )
        trainable_variables, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, grads, trainable_variables
        )
        loss_vars = metrics_variables[: len(self.loss_tracker.variables)]
        mae_vars = metrics_variables[len(self.loss_tracker.variables) :]
        loss_vars = self.loss_tracker.stateless_update_state(loss_vars, loss)
        mae_vars = self.mae_metric.stateless_update_state(mae_vars, y, y_pred)
        logs = {
            self.loss_tracker.name: self.loss_tracker.stateless_result(loss_vars),
            self.mae_metric.name: self.mae_metric.stateless_result(mae_vars),
        }
        state = (
            trainable_variables,
            non_trainable_variables,
            optimizer_variables,
            loss_vars + mae_vars,
        )
        return logs, state

    def test_step(self, state, data):
        x, y = data
        trainable_variables, non_trainable_variables, metrics_variables = state
        y_pred, non_trainable_variables = self.stateless_call(
            trainable_variables, non_trainable_variables, x, training=False
        )
        mae_vars = self.mae_metric.stateless_update_state(metrics_variables[2:], y, y_pred)
        logs = {self.mae_metric.name: self.mae_metric.stateless_result(mae_vars)}
        return logs, (
            trainable_variables,
            non_trainable_variables,
            metrics_variables[:2] + mae_vars,
        )

    @property
    def metrics(self):
        return [self.loss_tracker, self.mae_metric]


inputs = keras.Input(shape=(8,))
outputs = keras.layers.Dense(1)(inputs)
model = CustomModel(inputs, outputs)
model.compile(optimizer="adam")

generator = np.random.default_rng(0)
x = generator.random((24, 8)).astype("float32")
y = generator.random((24, 1)).astype("float32")
history = model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
evaluated = model.evaluate(x, y, return_dict=True, verbose=0)

results = {"history": history.history, "evaluated": evaluated, "weights": model.get_weights()}
