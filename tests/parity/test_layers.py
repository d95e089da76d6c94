"""Layers equal Keras's: outputs, updated statistics and gradients, from the same weights."""

import keras
import numpy as np
import pytest

import xlathe as xl

from .check import Case, compare, data
from .table import CORE, MORE


@pytest.mark.parametrize("case", CORE, ids=str)
def test_layer_equals_keras(case: Case):
    compare(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", MORE, ids=str)
def test_configuration_equals_keras(case: Case):
    compare(case)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None], ids=str)
def test_adapted_normalization_equals_keras(axis):
    x = 3 * data((5, 3, 4)) + 1
    theirs, ours = keras.layers.Normalization(axis=axis), xl.layers.Normalization(axis=axis)
    theirs.adapt(x)
    ours.adapt(x)
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=1e-4, atol=1e-5)
