"""A model of several inputs and two outputs: diabetes a year on, from columns of several kinds.

Age goes in as groups (`Discretization`, `CategoryEncoding`), sex as a category, body and blood as
numbers (`Normalization`), each with layers of its own. One output is the progression of the
disease, the other the probability that it is above the median; each has its loss. Inputs, targets
and losses go by name. The baselines are linear and logistic regression on all columns.

python examples/multi_input.py
"""

import argparse

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import train_test_split

import xlathe as xl
from xlathe import layers

EPOCHS = 60


def load():
    """Return inputs and targets by name, as two pairs: to learn from, and to test on."""
    patients = load_diabetes(return_X_y=True, scaled=False)
    table, progression = (np.asarray(each, np.float32) for each in patients)
    inputs = {
        "age": table[:, :1],
        "sex": table[:, 1].astype(np.int32) - 1,
        "body": table[:, 2:4],  # body mass index, blood pressure
        "blood": table[:, 4:],  # six measurements of serum
    }
    train, test = train_test_split(np.arange(len(table)), test_size=0.25, random_state=0)
    scaled = progression / 100  # from 0.25 to 3.46
    targets = {"progression": scaled, "severe": (scaled > np.median(scaled[train])).astype(int)}
    return [
        tuple({name: values[rows] for name, values in part.items()} for part in (inputs, targets))
        for rows in (train, test)
    ]


def build_model(known):
    """Return the model; the layers that normalise and group see the training data here."""
    inputs = {
        "age": xl.Input((1,), name="age"),
        "sex": xl.Input((), dtype="int32", name="sex"),
        "body": xl.Input((2,), name="body"),
        "blood": xl.Input((6,), name="blood"),
    }
    groups = layers.Discretization(num_bins=5)
    groups.adapt(known["age"])
    age = layers.CategoryEncoding(num_tokens=5)(groups(inputs["age"]))
    sex = layers.CategoryEncoding(num_tokens=2, output_mode="one_hot")(inputs["sex"])
    columns = [age, sex]
    for name, units in [("body", 8), ("blood", 16)]:
        normal = layers.Normalization()
        normal.adapt(known[name])
        columns.append(layers.Dense(units, activation="relu")(normal(inputs[name])))

    shared = layers.Dropout(0.2)(layers.Concatenate()(columns))
    shared = layers.Dense(16, activation="relu")(shared)
    outputs = {
        "progression": layers.Dense(1, name="progression")(shared),
        "severe": layers.Dense(1, activation="sigmoid", name="severe")(shared),
    }
    return xl.Model(inputs, outputs)


def main(epochs=EPOCHS):
    """Train. Return the error and the accuracy on patients not seen, and the baselines'."""
    xl.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = load()

    model = build_model(x)
    model.summary()
    model.compile(
        optimizer=xl.optimizers.Adam(5e-3),
        loss={"progression": "mse", "severe": "binary_crossentropy"},
        loss_weights={"progression": 1.0, "severe": 0.5},
        metrics={"progression": ["mae"], "severe": ["accuracy"]},
    )
    stop = xl.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
    model.fit(x, y, epochs=epochs, validation_split=0.2, callbacks=[stop], verbose=2)
    results = model.evaluate(x_test, y_test, return_dict=True, verbose=0)
    error, accuracy = 100 * results["progression_mae"], results["severe_accuracy"]

    columns, columns_test = (
        np.concatenate([part["age"], part["sex"][:, None], part["body"], part["blood"]], axis=1)
        for part in (x, x_test)
    )
    line = LinearRegression().fit(columns, y["progression"])
    linear = 100 * np.mean(np.abs(line.predict(columns_test) - y_test["progression"]))
    logistic = LogisticRegression(max_iter=5000).fit(columns, y["severe"])
    share = logistic.score(columns_test, y_test["severe"])
    print(f"\nprogression is {error:.1f} off on average, by linear regression {linear:.1f}")
    print(f"severe or not: {accuracy:.1%} right, by logistic regression {share:.1%}\n")

    few = {name: values[:3] for name, values in x_test.items()}
    predicted = model.predict(few, verbose=0)
    for number in range(3):
        expected, risk = predicted["progression"][number, 0], predicted["severe"][number, 0]
        true = 100 * y_test["progression"][number]
        print(f"expected {100 * expected:.0f}, severe with {risk:.0%}; it was {true:.0f}")
    return error, accuracy, linear, share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
