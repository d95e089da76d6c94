"""A recommender by matrix factorisation: what a user thinks of films that he hasn't rated.

Each user and each film is a vector and a number; a rating is the product of the two vectors and the
sum of the numbers. The ratings are made up: tastes and films in five dimensions, users who are
kinder or stricter, and noise, rounded to half stars. So it is known how good one could be at best.

python examples/recommender.py
"""

import argparse

import numpy as np

import xlathe as xl
from xlathe import layers, regularizers

EPOCHS = 30
USERS, FILMS, RATINGS = 600, 300, 40_000


def load():
    """Return users, films and ratings, in random order, and what each user thinks of each film."""
    rng = np.random.default_rng(0)
    tastes, kinds = rng.normal(size=(USERS, 5)), rng.normal(size=(FILMS, 5))
    kindness, quality = rng.normal(0, 0.4, (USERS, 1)), rng.normal(0, 0.5, FILMS)
    opinions = np.clip(3.3 + kindness + quality + 0.3 * tastes @ kinds.T, 0.5, 5)
    users, films = np.divmod(rng.choice(USERS * FILMS, RATINGS, replace=False), FILMS)
    noisy = opinions[users, films] + rng.normal(0, 0.5, RATINGS)
    return users, films, np.clip(np.round(noisy * 2) / 2, 0.5, 5), opinions


def build_model(mean, size=8):
    """Return the model: two tables of vectors, two of numbers."""
    user, film = xl.Input((), dtype="int32", name="user"), xl.Input((), dtype="int32", name="film")
    small = regularizers.L2(2e-5)
    vectors = [
        layers.Embedding(count, size, embeddings_regularizer=small)(number)
        for count, number in [(USERS, user), (FILMS, film)]
    ]
    match = layers.Dot(axes=1)(vectors)
    kindness = layers.Embedding(USERS, 1, embeddings_regularizer=small)(user)
    quality = layers.Embedding(FILMS, 1, embeddings_regularizer=small)(film)
    rating = layers.Add()([match, kindness, quality])
    return xl.Model([user, film], layers.Rescaling(1.0, offset=mean)(rating))


def error(predicted, ratings):
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((predicted - ratings) ** 2)))


def error_of_means(users, films, ratings, train):
    """Return the error, after `train`, of the film's mean and how much the user differs from it."""
    mean = ratings[:train].mean()
    shifts = []
    rest = ratings[:train] - mean
    for numbers, count in [(films, FILMS), (users, USERS)]:
        total = np.bincount(numbers[:train], rest, count)
        shift = total / (
            np.bincount(numbers[:train], minlength=count) + 5
        )  # few ratings count less
        shifts.append(shift[numbers])
        rest = rest - shifts[-1][:train]
    return error((mean + sum(shifts))[train:], ratings[train:])


def main(epochs=EPOCHS):
    """Train, and return the error on ratings not seen, the baseline's, and the noise's."""
    xl.utils.set_random_seed(0)
    users, films, ratings, opinions = load()
    train = RATINGS * 9 // 10
    seen = {"user": users[:train], "film": films[:train]}
    unseen = {"user": users[train:], "film": films[train:]}

    model = build_model(ratings[:train].mean())
    model.summary()
    rate = xl.optimizers.schedules.CosineDecay(5e-3, epochs * train // 128)
    model.compile(optimizer=xl.optimizers.Adam(rate), loss="mse")
    model.fit(seen, ratings[:train], batch_size=128, epochs=epochs, verbose=2)

    ours = error(model.predict(unseen, verbose=0)[:, 0], ratings[train:])
    means = error_of_means(users, films, ratings, train)
    best = error(opinions[users, films][train:], ratings[train:])
    print(f"\nerror {ours:.3f} stars on {RATINGS - train} ratings not seen")
    print(f"means of films and users {means:.3f}, the noise alone {best:.3f}")

    unseen_by_7 = np.setdiff1d(np.arange(FILMS), films[users == 7])
    scores = model.predict({"user": np.full_like(unseen_by_7, 7), "film": unseen_by_7}, verbose=0)
    chosen = unseen_by_7[scores[:, 0].argsort()[::-1][:5]]
    print(f"films that user 7 should see: {chosen.tolist()}; he would think them worth")
    print(
        f"{opinions[7, chosen].round(1).tolist()} stars, a film on average {opinions[7].mean():.1f}"
    )
    return ours, means, best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
