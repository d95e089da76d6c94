"""Ridge regression and a Kalman filter written as in a textbook, and what xlathe makes of them.

python examples/least_squares.py

A thousand polynomial features predict how diabetes progressed. Ridge regression finds the weights
from all patients at once; the Kalman filter finds the same weights, a few patients at a time. Both
say `inv` where one solves, multiply in the order of the formula, and multiply by identities.
"""

import sys
import time
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
from jax.numpy.linalg import inv
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import xlathe as xl

DEGREE = 4
PENALTY = 1000.0
BATCH = 8


def ridge(X, y):
    """Return the weights w that minimise |X w - y|² + PENALTY |w|²."""
    return inv(X.T @ X + PENALTY * jnp.eye(X.shape[1])) @ X.T @ y


def kalman_step(state, measured):
    """Predict the state and its covariance, then correct them by a batch of measurements."""
    x, P = state
    H, z = measured
    identity = jnp.eye(x.size)
    F, Q, R = identity, jnp.zeros_like(P), jnp.eye(z.size)  # the weights stay what they are

    x = F @ x
    P = F @ P @ F.T + Q

    S = H @ P @ H.T + R
    K = P @ H.T @ inv(S)
    x = x + K @ (z - H @ x)
    P = (identity - K @ H) @ P
    return (x, P), None


def kalman(X, y):
    """Return the same weights, found batch by batch."""
    features = X.shape[1]
    start = jnp.zeros(features), jnp.eye(features) / PENALTY
    batches = X.reshape(-1, BATCH, features), y.reshape(-1, BATCH)
    (x, _), _ = jax.lax.scan(kalman_step, start, batches)
    return x


def load(degree):
    """Return the features of 400 patients and of 42 others, and their disease's progression."""
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=42, random_state=0)
    prepare = make_pipeline(
        StandardScaler(), PolynomialFeatures(degree, include_bias=False), StandardScaler()
    )
    X_train, X_test = prepare.fit_transform(X_train), prepare.transform(X_test)
    mean = np.mean(y_train)
    arrays = X_train, np.subtract(y_train, mean), X_test, np.subtract(y_test, mean)
    return [np.asarray(array, np.float32) for array in arrays]


def time_side_by_side(functions, args, rounds):
    """Return the median seconds a call of each function takes, the functions taking turns."""
    seconds = [[] for _ in functions]
    for _ in range(rounds):
        for function, record in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function(*args))
            record.append(time.perf_counter() - start)
    return [median(record) for record in seconds]


def main(degree=DEGREE, rounds=5):
    """Show the programs, the predictions and the times. Return how far the weights are off."""
    X, y, X_test, y_test = load(degree)
    print(f"{X.shape[0]} patients, {X.shape[1]} features")
    exact = Ridge(PENALTY, fit_intercept=False).fit(X.astype(float), y.astype(float)).coef_
    distances = {}
    # Multiplying by an identity is skipped only with "finite": NaN times its zeros would be NaN.
    for method in (ridge, kalman):
        name = method.__name__
        fast, plain = xl.compile(method, numerics="finite"), jax.jit(method)
        weights = fast(X, y)
        explained = 1 - np.sum((X_test @ weights - y_test) ** 2) / np.sum(y_test**2)
        distances[name] = np.linalg.norm(weights - exact) / np.linalg.norm(exact)
        traced = fast.trace(X, y)
        print(f"\n== {name}: the program that ran ==\n", traced.as_text("python"), sep="\n")
        print(f"\n== {name}: what was done ==\n", traced.explain(), sep="\n")
        ours, jit = time_side_by_side([fast, plain], (X, y), rounds)
        print(f"explained variance of the others {explained:.1%}")
        print(f"distance to scikit-learn's weights in 64 bits {distances[name]:.1e}")
        print(f"{ours * 1e3:.1f} ms with xl.compile, {jit * 1e3:.1f} ms with jax.jit", end="")
        print(f": {jit / ours:.1f} times as fast")
    return distances


if __name__ == "__main__":
    if max(main().values()) > 1e-2:
        sys.exit("the weights are not those of scikit-learn")
