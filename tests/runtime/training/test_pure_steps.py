"""The parts that a training step of one's own is written with, as in Keras's guide for JAX."""

from typing import Any

import jax
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers

random = np.random.default_rng(6)
X = random.normal(size=(12, 4)).astype("float32")
Y = random.normal(size=(12, 2)).astype("float32")


def model_of(optimizer: Any = "sgd"):
    xl.set_random_seed(4)
    model = xl.Sequential(
        [layers.Input((4,)), layers.Dense(3, name="hidden"), layers.Dense(2, name="out")]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def test_a_step_by_stateless_compute_loss_is_the_step_of_fit():
    model, other = model_of(), model_of()
    other.train_on_batch(X, Y)
    model.optimizer.build(model.trainable_variables)

    def loss_of(trainable, others, metrics):
        y_pred, others = model.stateless_call(trainable, others, X, training=True)
        return model.stateless_compute_loss(trainable, others, metrics, X, Y, y_pred)

    trainable = [variable.value for variable in model.trainable_variables]
    metrics = [variable.value for variable in model.metrics_variables]
    (loss, (same, others, _)), grads = jax.value_and_grad(loss_of, has_aux=True)(
        trainable, [], metrics
    )
    assert len(same) == 4
    assert others == []
    assert float(loss) == pytest.approx(float(np.mean((model.predict(X, verbose=0) - Y) ** 2)))
    new, _ = model.optimizer.stateless_apply(model.optimizer.variables, grads, trainable)
    for mine, expected in zip(new, other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-7)


class Shrinking(xl.Model):
    """A model of a step alone, as Keras's guide writes a GAN."""

    def __init__(self):
        super().__init__()
        self.inner = xl.Sequential([layers.Input((4,)), layers.Dense(3)])
        self.built = True

    def train_step(self, state, data):
        trainable, others, optimizer, metrics = state

        def loss_of(trainable):
            outputs, _ = self.inner.stateless_call(trainable, others, data)
            return (outputs**2).mean()

        loss, grads = jax.value_and_grad(loss_of)(trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
        return {"size": loss}, (trainable, others, optimizer, metrics)


def test_a_model_needs_no_call_beside_its_own_step():
    model = Shrinking()
    model.compile("adam")
    sizes = model.fit(X, epochs=3, verbose=0).history["size"]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    with pytest.raises(NotImplementedError, match=r"does not have a `call\(\)` method"):
        model.predict(X, verbose=0)


def test_names_of_metrics():
    model = model_of()
    model.train_on_batch(X, Y)
    assert model.metrics_names == ["loss", "compile_metrics"]


def test_the_metrics_of_compile_are_one_metric_in_a_step_of_ones_own():
    class Own(xl.Model):
        def train_step(self, state, data):
            trainable, others, optimizer, metrics = state
            x, y, weights = xl.utils.unpack_x_y_sample_weight(data)
            y_pred, others = self.stateless_call(trainable, others, x, training=True)
            logs, after = {}, []
            for metric in self.metrics:
                mine = metrics[len(after) : len(after) + len(metric.variables)]
                if metric.name == "loss":
                    mine = metric.stateless_update_state(mine, 7.0)
                else:
                    mine = metric.stateless_update_state(mine, y, y_pred, sample_weight=weights)
                logs[metric.name] = metric.stateless_result(mine)
                after += mine
            return logs, (trainable, others, optimizer, after)

    inputs = xl.Input((2,))
    model = Own(inputs, xl.layers.Dense(1, kernel_initializer="zeros")(inputs))
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    x, y = np.ones((2, 2), "float32"), np.array([[1.0], [3.0]], "float32")
    history = model.fit(x, y, sample_weight=np.array([3.0, 1.0]), shuffle=False, verbose=0).history
    assert history == {"mae": [2.0], "mse": [3.0], "loss": [7.0]}


@pytest.mark.parametrize("by", ["variables", "names"])
def test_what_is_excluded_does_not_decay(by):
    optimizer = xl.optimizers.AdamW(0.0, weight_decay=0.5)
    model = model_of(optimizer)
    kernel, bias = model.get_layer("hidden").weights
    if by == "variables":
        optimizer.exclude_from_weight_decay(var_list=[kernel])
    else:
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
    optimizer.build(model.trainable_variables)
    optimizer.learning_rate = 1.0
    before, other = np.array(kernel.value), np.array(model.get_layer("out").weights[0].value)
    bias.assign(np.ones(3, "float32"))
    zeros = [np.zeros(variable.shape, "float32") for variable in model.trainable_variables]
    optimizer.apply_gradients(zip(zeros, model.trainable_variables, strict=True))
    np.testing.assert_array_equal(kernel.value, before)
    np.testing.assert_allclose(bias.value, 0.5, rtol=1e-6)
    after = model.get_layer("out").weights[0].value
    np.testing.assert_allclose(after, other if by == "names" else other * 0.5, rtol=1e-6)


def test_variables_count_up_and_down():
    variable = xl.Variable(np.array([1.0, 2.0], "float32"))
    variable.assign_add([1.0, 1.0])
    variable.assign_sub([0.5, 0.0])
    np.testing.assert_array_equal(variable.numpy(), [1.5, 3.0])


def test_output_shapes_without_building():
    assert layers.Dense(3).compute_output_shape((None, 7)) == (None, 3)
    assert layers.Conv2D(4, 3).compute_output_shape((2, 8, 8, 1)) == (2, 6, 6, 4)


class Momentum(xl.optimizers.Optimizer):
    """An optimizer as one writes it for Keras."""

    def __init__(self, learning_rate=0.1, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.moments = [self.add_variable_from_reference(v, name="moment") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        moment = self.moments[self._get_variable_index(variable)]
        self.assign(moment, moment * self.momentum - gradient * learning_rate)
        self.assign_add(variable, moment)


class Centralized(xl.optimizers.SGD):
    """An optimizer that changes gradients before they are applied."""

    def apply(self, grads, trainable_variables=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        centred = [g - xl.ops.mean(g, axis=0) for g in grads]
        return super().apply(centred, trainable_variables)


def test_an_optimizer_written_as_for_keras():
    ours, known = model_of(Momentum()), model_of(xl.optimizers.SGD(0.1, momentum=0.9))
    known.set_weights(ours.get_weights())
    first, second = (m.fit(X, Y, epochs=3, shuffle=False, verbose=0).history for m in (ours, known))
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-5)
    assert len(ours.optimizer.variables) == len(known.optimizer.variables)


def test_an_optimizer_that_changes_gradients():
    optimizer = Centralized(0.5)
    kernel = xl.Variable(np.zeros((2, 1), "float32"))
    optimizer.apply([np.array([[1.0], [3.0]], "float32")], [kernel])
    np.testing.assert_allclose(kernel.value, [[0.5], [-0.5]])
    values, state = optimizer.stateless_apply(
        [v.value for v in optimizer.variables], [np.array([[1.0], [3.0]], "float32")], [kernel]
    )
    np.testing.assert_allclose(values[0], [[1.0], [-1.0]])
    np.testing.assert_allclose(kernel.value, [[0.5], [-0.5]])
    assert int(state[0]) == 2
    model = model_of(Centralized(0.1))
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


def test_a_step_may_call_the_model_on_something_else_than_x():
    class Pairs(xl.Model):
        def __init__(self):
            super().__init__()
            self.inner = xl.Sequential([xl.Input((2,)), xl.layers.Dense(1)])
            self.built = True

        def call(self, inputs, training=None):
            first, second = inputs
            return self.inner(first) - self.inner(second)

        def train_step(self, state, data):
            trainable, others, optimizer, metrics = state

            def loss_of(trainable):
                apart, _ = self.stateless_call(trainable, others, data, training=True)
                return (apart**2).mean()

            loss, grads = jax.value_and_grad(loss_of)(trainable)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
            return {"apart": loss}, (trainable, others, optimizer, metrics)

    model = Pairs()
    model.compile("sgd")
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    apart = model.fit(x, x[::-1].copy(), epochs=2, verbose=0).history["apart"]
    assert apart[0] > apart[1] > 0
