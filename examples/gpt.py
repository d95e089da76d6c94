"""Train a small GPT, written in plain float32, on the letters of Python's own manual.

The network is a function of a dictionary of arrays: attention is two einsums and a softmax, and
nothing is cast. xl.compile takes care of both.

python examples/gpt.py                          in float32, the faster one on a CPU
python examples/gpt.py --precision bfloat16     the faster one on a GPU or TPU
"""

import argparse
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import trange

import xlathe as xl

LAYERS, WIDTH, HEADS, LENGTH = 3, 96, 4, 64
BATCH, STEPS = 16, 400
optimizer = optax.adamw(optax.cosine_decay_schedule(4e-3, STEPS), weight_decay=0.01)


def init(key, vocabulary):
    """Make the parameters: a table of letters, one of places, and a dictionary for each block."""
    normal = jax.nn.initializers.normal(0.05)
    shapes = {"q": WIDTH, "k": WIDTH, "v": WIDTH, "proj": WIDTH, "up": 4 * WIDTH}
    keys = iter(jax.random.split(key, 2 + LAYERS * (len(shapes) + 1)))
    return {
        "letters": normal(next(keys), (vocabulary, WIDTH)),
        "places": normal(next(keys), (LENGTH, WIDTH)),
        "blocks": [
            {name: normal(next(keys), (WIDTH, size)) for name, size in shapes.items()}
            | {"down": normal(next(keys), (4 * WIDTH, WIDTH))}
            | {"norm1": jnp.ones(WIDTH), "norm2": jnp.ones(WIDTH)}
            for _ in range(LAYERS)
        ],
        "norm": jnp.ones(WIDTH),
    }


def rms_norm(scale, x):
    """Scale each vector to a mean square of one."""
    return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * scale


def attention(p, x):
    """Mix each place with those before it."""
    batch, length, width = x.shape
    q, k, v = ((x @ p[name]).reshape(batch, length, HEADS, -1) for name in ("q", "k", "v"))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / (width // HEADS) ** 0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), v)
    return mixed.reshape(batch, length, width) @ p["proj"]


def logits_of(params, tokens):
    """Return the logits of the letter after each place."""
    x = params["letters"][tokens] + params["places"]
    for p in params["blocks"]:
        x = x + attention(p, rms_norm(p["norm1"], x))
        x = x + jax.nn.gelu(rms_norm(p["norm2"], x) @ p["up"]) @ p["down"]
    return rms_norm(params["norm"], x) @ params["letters"].T


def loss_fn(params, tokens):
    """Return the mean cross-entropy of each letter, given those before it."""
    logits = logits_of(params, tokens[:, :-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


def train_step(params, state, tokens):
    """Take one step of AdamW."""
    loss, grads = jax.value_and_grad(loss_fn)(params, tokens)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, loss


def next_letter(params, window, count, key):
    """Draw the letter that follows the first `count` of a window."""
    logits = logits_of(params, window[None])[0, count - 1]
    return jax.random.categorical(key, logits / 0.7)


def load():
    """Return the text as numbers, and the letters that they stand for."""
    text = "".join(topics.values()).encode("ascii", errors="ignore")
    letters, tokens = np.unique(np.frombuffer(text, np.uint8), return_inverse=True)
    return tokens.astype(np.int32), bytes(letters).decode()


def fit(step, params, tokens, steps):
    """Train on random windows; return the parameters and the loss of each step."""
    rng = np.random.default_rng(0)
    state, losses = optimizer.init(params), []
    for _ in (progress := trange(steps, desc="training", unit="step")):
        starts = rng.integers(len(tokens) - LENGTH - 1, size=BATCH)
        windows = np.stack([tokens[start : start + LENGTH + 1] for start in starts])
        params, state, loss = step(params, state, windows)
        losses.append(float(loss))
        progress.set_postfix(loss=f"{losses[-1]:.3f}")
    return params, losses


def write(draw, params, alphabet, prompt, size):
    """Return the prompt with so many letters drawn from the model behind it."""
    written = [alphabet.index(letter) for letter in prompt]
    for key in jax.random.split(jax.random.key(1), size):
        window = np.zeros(LENGTH, np.int32)
        recent = written[-LENGTH:]
        window[: len(recent)] = recent
        written.append(int(draw(params, window, len(recent), key)))
    return "".join(alphabet[number] for number in written)


def main(steps=STEPS, precision=None, size=300):
    """Train and write a sample. Return the mean loss of the first and of the last steps."""
    tokens, alphabet = load()
    step = xl.compile(train_step, precision=precision, donate_argnums=(0, 1))
    params, losses = fit(step, init(jax.random.key(0), len(alphabet)), tokens, steps)
    first, last = np.mean(losses[:10]), np.mean(losses[-10:])
    draw = xl.compile(next_letter, precision=precision)
    print(f"\nloss {first:.3f} at first, {last:.3f} at last, a letter in nats\n")
    print(write(draw, params, alphabet, "The ", size))
    return first, last


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precision", choices=["bfloat16", "float16", "tensorfloat32"])
    parser.add_argument("--steps", type=int, default=STEPS)
    main(**vars(parser.parse_args()))
