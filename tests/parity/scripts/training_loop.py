"""A training loop written by hand, with stateless calls."""

import jax
import keras
import numpy as np


def get_model():
    inputs = keras.Input(shape=(12,), name="digits")
    x1 = keras.layers.Dense(8, activation="relu")(inputs)
    x2 = keras.layers.Dense(8, activation="relu")(x1)
    outputs = keras.layers.Dense(3, name="predictions")(x2)
    return keras.Model(inputs=inputs, outputs=outputs)


model = get_model()
optimizer = keras.optimizers.Adam(learning_rate=1e-2)
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
train_acc_metric = keras.metrics.SparseCategoricalAccuracy()


def compute_loss_and_updates(trainable_variables, non_trainable_variables, metric_variables, x, y):
    y_pred, non_trainable_variables = model.stateless_call(
        trainable_variables, non_trainable_variables, x, training=True
    )
    loss = loss_fn(y, y_pred)
    metric_variables = train_acc_metric.stateless_update_state(metric_variables, y, y_pred)
    return loss, (non_trainable_variables, metric_variables)


grad_fn = jax.value_and_grad(compute_loss_and_updates, has_aux=True)


@jax.jit
def train_step(state, data):
    trainable_variables, non_trainable_variables, optimizer_variables, metric_variables = state
    x, y = data
    (loss, (non_trainable_variables, metric_variables)), grads = grad_fn(
        trainable_variables, non_trainable_variables, metric_variables, x, y
    )
    trainable_variables, optimizer_variables = optimizer.stateless_apply(
        optimizer_variables, grads, trainable_variables
    )
    return loss, (
        trainable_variables,
        non_trainable_variables,
        optimizer_variables,
        metric_variables,
    )


generator = np.random.default_rng(0)
x_train = generator.normal(size=(32, 12)).astype("float32")
y_train = generator.integers(0, 3, 32)
optimizer.build(model.trainable_variables)
state = (
    [variable.value for variable in model.trainable_variables],
    [variable.value for variable in model.non_trainable_variables],
    [variable.value for variable in optimizer.variables],
    [variable.value for variable in train_acc_metric.variables],
)
losses = []
for start in range(0, 32, 8):
    loss, state = train_step(state, (x_train[start : start + 8], y_train[start : start + 8]))
    losses.append(float(loss))
for variable, value in zip(model.trainable_variables, state[0]):
    variable.assign(value)
for variable, value in zip(train_acc_metric.variables, state[3]):
    variable.assign(value)

results = {"losses": losses, "accuracy": float(train_acc_metric.result()), "w": model.get_weights()}
