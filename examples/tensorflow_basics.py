"""For those who know TensorFlow 1 or 2: the same first steps, in JAX with xlathe.

Constants and variables, adding and multiplying, a graph that is built, looked at and run, and
gradient descent that finds a line. Above each step stands, as a comment, how TensorFlow says it.

python examples/tensorflow_basics.py
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import xlathe as xl

STEPS = 200


def constants():
    """Add and multiply constants; nothing needs a session, and results are there at once."""
    # a, b = tf.constant(2.0), tf.constant(3.0)
    a, b = jnp.array(2.0), jnp.array(3.0)
    # tf.add(a, b), tf.multiply(a, b)                  and in TensorFlow 1: session.run(...)
    print(f"a + b = {a + b}, a * b = {a * b}")
    # tf.matmul(matrix, tf.transpose(matrix))
    matrix = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    print(f"matrix @ matrix.T = {(matrix @ matrix.T).tolist()}")


def variables():
    """Change a variable's value; arrays themselves never change."""
    # counter = tf.Variable(0.0); counter.assign_add(1.0)
    counter = xl.Variable(0.0, name="counter")
    for _ in range(3):
        counter.assign_add(1.0)
    print(f"counter = {float(counter.numpy())}")


def graphs():
    """Build a graph from a function, look at it, and run it."""

    # x = tf.placeholder(tf.float32, [3])              and in TensorFlow 2: @tf.function
    @xl.compile
    def energy(matrix, x):
        return x @ matrix.T @ matrix @ x + 0.5 * (x * x).sum()

    matrix, x = jnp.ones((4, 3)), jnp.arange(3.0)
    # tf.function(energy).get_concrete_function(...).graph
    traced = energy.trace(matrix, x)
    print("the graph:\n", traced.as_text("ir"), sep="\n")
    print("\nthe program that it became:\n", traced.as_text("python"), sep="\n")
    # session.run(energy, feed_dict={x: ...})
    print(f"energy = {energy(matrix, x)}")

    # with tf.GradientTape() as tape: ...              or in TensorFlow 1: tf.gradients(energy, x)
    gradient = xl.compile(jax.grad(energy, argnums=1))
    print(f"its gradient = {gradient(matrix, x).tolist()}")


def gradient_descent(steps):
    """Find the line through noisy points; return slope and intercept."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 100).astype(np.float32)
    y = (3.0 * x + 2.0 + rng.normal(0, 0.1, 100)).astype(np.float32)

    def loss(line):
        return jnp.mean((line["slope"] * x + line["intercept"] - y) ** 2)

    # optimizer = tf.train.GradientDescentOptimizer(0.1); train = optimizer.minimize(loss)
    @xl.compile
    def step(line):
        value, gradients = jax.value_and_grad(loss)(line)
        return jax.tree.map(lambda w, g: w - 0.1 * g, line, gradients), value

    # session.run(tf.global_variables_initializer()); for _ in range(steps): session.run(train)
    line = {"slope": jnp.zeros(()), "intercept": jnp.zeros(())}
    for number in range(steps):
        line, value = step(line)
        if number % max(steps // 5, 1) == 0:
            print(f"step {number}: loss {value:.4f}")
    slope, intercept = float(line["slope"]), float(line["intercept"])
    exact = np.polyfit(x, y, 1)
    print(f"y = {slope:.3f} x + {intercept:.3f}; least squares {exact[0]:.3f} x + {exact[1]:.3f}")
    return slope, intercept


def with_a_model(steps):
    """Find the same line as a Keras model would."""
    # tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model = xl.Sequential([xl.layers.Input((1,)), xl.layers.Dense(1)])
    x = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    model.compile(optimizer=xl.optimizers.SGD(0.1), loss="mse")
    model.fit(x, 3.0 * x + 2.0, batch_size=100, epochs=steps, verbose=0)
    kernel, bias = model.get_weights()
    print(f"a layer finds y = {kernel[0, 0]:.3f} x + {bias[0]:.3f}")


def main(steps=STEPS):
    """Take all the steps; return the slope and the intercept that were found."""
    constants()
    variables()
    graphs()
    line = gradient_descent(steps)
    with_a_model(steps)
    return line


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    main(**vars(parser.parse_args()))
