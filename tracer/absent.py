"""Names of Keras's that aren't here, and what to use instead."""

from collections.abc import Callable, Iterable
from typing import Any

from xlathe.tracer.layers.serialization import suggestion

_TEXT = "number words with a dict before training, pad with `utils.pad_sequences`, use `Embedding`"
_AUGMENTATION = (
    "use RandomFlip, RandomCrop and RandomRotation, or a layer of your own that draws by `random` "
    "and computes by `ops.image` or `jax.scipy.ndimage`"
)
_FILES = "write a `utils.PyDataset` that reads the files"
_PILLOW = "use Pillow and NumPy: `np.asarray(Image.open(path), 'float32')`, `Image.fromarray(...)`"
_INSTEAD = {
    "layers": {
        **dict.fromkeys(
            ["TextVectorization", "StringLookup", "IntegerLookup", "Hashing", "HashedCrossing"],
            _TEXT,
        ),
        **dict.fromkeys(
            [f"ConvLSTM{rank}D" for rank in (1, 2, 3)],
            "use `RNN` with a cell of your own that convolves by `ops.conv`, or "
            "`TimeDistributed(Conv2D(...))` before an `LSTM`",
        ),
        **dict.fromkeys(
            """RandomZoom RandomTranslation RandomContrast RandomBrightness RandomShear RandomHue
            RandomSaturation RandomErasing RandomPerspective RandomGaussianBlur RandomGrayscale
            RandomColorJitter RandomSharpness RandomElasticTransform RandAugment AugMix
            AutoContrast Equalization Solarization""".split(),
            _AUGMENTATION,
        ),
        **dict.fromkeys(["MixUp", "CutMix"], "mix the batches in a `utils.PyDataset`"),
        **dict.fromkeys(
            ["MelSpectrogram", "STFTSpectrogram"], "call `ops.stft` in a layer of your own"
        ),
        **dict.fromkeys(
            [f"Adaptive{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3)],
            "use pooling with a fixed size, or `ops.image.resize`",
        ),
        "CenterCrop": "use `Cropping2D`, or `Resizing(..., crop_to_aspect_ratio=True)`",
        "SpectralNormalization": "use a `kernel_constraint` of your own",
        "Pipeline": "use `Sequential`",
        "FlaxLayer": "train the module by `xlathe.fit`, or `xlathe.as_model`",
        "JaxLayer": "write a layer of your own, which takes any function of JAX",
    },
    "optimizers": {
        "Muon": "use `optax.contrib.muon`",
        "ScheduleFreeAdamW": "use `optax.contrib.schedule_free_adamw`",
        "MultiOptimizer": "use `optax.multi_transform`",
    },
    "utils": {
        "image_dataset_from_directory": _FILES,
        "text_dataset_from_directory": _FILES,
        "audio_dataset_from_directory": _FILES,
        "split_dataset": "slice the arrays, or pass `validation_split` to `fit`",
        "get_file": "use `urllib.request.urlretrieve`",
        **dict.fromkeys(["load_img", "save_img", "img_to_array", "array_to_img"], _PILLOW),
        "FeatureSpace": "use Normalization, Discretization and CategoryEncoding of named inputs",
        "Progbar": "use `tqdm`",
    },
    "": {
        "applications": "convert a model of Keras's by `xlathe.from_keras`",
        "datasets": "use those of scikit-learn, or `keras.datasets` itself",
        "tree": "use `jax.tree`",
        "distribution": "use `jax.sharding`",
        "preprocessing": "use `layers` and `utils`",
        "name_scope": "use `jax.named_scope`",
        "device": "use `jax.default_device`",
        "remat": "use `jax.checkpoint`",
        "StatelessScope": "use `layer.apply` or `layer.stateless_call`",
        "Function": "use `Model`",
        "Operation": "use `layers.Layer`",
    },
}


def reporter(module: str, known: Iterable[str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module that says what to use instead of a name.

    Arguments:
        module: the module's name after `xlathe.`; empty for `xlathe` itself.
        known: the names that there are.
    """

    def report(name: str) -> Any:
        path = f"xlathe.{module}".removesuffix(".")
        message = f"module '{path}' has no attribute {name!r}."
        instead = _INSTEAD.get(module, {}).get(name)
        if instead is not None:
            raise AttributeError(f"{message} Keras has it; here, {instead}.")
        raise AttributeError(message + ("" if name[:1] == "_" else suggestion(name, known)))

    return report
