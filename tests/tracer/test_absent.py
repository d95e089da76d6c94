"""Names of Keras's that aren't here are answered with what to use instead."""

import pytest

import xlathe as xl


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        (xl, "datasets", "Keras has it; here, use those of scikit-learn"),
        (xl, "Modle", "Did you mean 'Model'"),
        (xl.layers, "RandomZoom", "a layer of your own that draws by `random`"),
        (xl.layers, "Dens", "Did you mean 'Dense'"),
        (xl.optimizers, "Muon", r"optax\.contrib\.muon"),
        (xl.utils, "get_file", "urlretrieve"),
        (xl.losses, "MeanSquareError", "Did you mean 'MeanSquaredError'"),
    ],
)
def test_what_to_use_instead(module, name, hint):
    assert not hasattr(module, name)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'.*{hint}"):
        getattr(module, name)


def test_settings_that_are_as_they_are():
    xl.config.set_floatx("float32")
    xl.backend.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match=r"set_dtype_policy\('float16'\)"):
        xl.config.set_floatx("float16")
    with pytest.raises(ValueError, match="a layer's `data_format`"):
        xl.config.set_image_data_format("channels_first")
