"""Losses, by Keras's names."""

from xlathe.runtime.training.losses import CTC as CTC
from xlathe.runtime.training.losses import BinaryCrossentropy as BinaryCrossentropy
from xlathe.runtime.training.losses import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from xlathe.runtime.training.losses import CategoricalCrossentropy as CategoricalCrossentropy
from xlathe.runtime.training.losses import (
    CategoricalFocalCrossentropy as CategoricalFocalCrossentropy,
)
from xlathe.runtime.training.losses import (
    CategoricalGeneralizedCrossEntropy as CategoricalGeneralizedCrossEntropy,
)
from xlathe.runtime.training.losses import CategoricalHinge as CategoricalHinge
from xlathe.runtime.training.losses import Circle as Circle
from xlathe.runtime.training.losses import CosineSimilarity as CosineSimilarity
from xlathe.runtime.training.losses import Dice as Dice
from xlathe.runtime.training.losses import Hinge as Hinge
from xlathe.runtime.training.losses import Huber as Huber
from xlathe.runtime.training.losses import KLDivergence as KLDivergence
from xlathe.runtime.training.losses import LogCosh as LogCosh
from xlathe.runtime.training.losses import Loss as Loss
from xlathe.runtime.training.losses import LossFunctionWrapper as LossFunctionWrapper
from xlathe.runtime.training.losses import MeanAbsoluteError as MeanAbsoluteError
from xlathe.runtime.training.losses import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from xlathe.runtime.training.losses import MeanSquaredError as MeanSquaredError
from xlathe.runtime.training.losses import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from xlathe.runtime.training.losses import Poisson as Poisson
from xlathe.runtime.training.losses import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from xlathe.runtime.training.losses import SquaredHinge as SquaredHinge
from xlathe.runtime.training.losses import Tversky as Tversky
from xlathe.runtime.training.losses import binary_crossentropy as binary_crossentropy
from xlathe.runtime.training.losses import binary_focal_crossentropy as binary_focal_crossentropy
from xlathe.runtime.training.losses import categorical_crossentropy as categorical_crossentropy
from xlathe.runtime.training.losses import (
    categorical_focal_crossentropy as categorical_focal_crossentropy,
)
from xlathe.runtime.training.losses import (
    categorical_generalized_cross_entropy as categorical_generalized_cross_entropy,
)
from xlathe.runtime.training.losses import categorical_hinge as categorical_hinge
from xlathe.runtime.training.losses import circle as circle
from xlathe.runtime.training.losses import cosine_similarity as cosine_similarity
from xlathe.runtime.training.losses import ctc as ctc
from xlathe.runtime.training.losses import dice as dice
from xlathe.runtime.training.losses import get as get
from xlathe.runtime.training.losses import hinge as hinge
from xlathe.runtime.training.losses import huber as huber
from xlathe.runtime.training.losses import kl_divergence as kl_divergence
from xlathe.runtime.training.losses import log_cosh as log_cosh
from xlathe.runtime.training.losses import mean_absolute_error as mean_absolute_error
from xlathe.runtime.training.losses import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from xlathe.runtime.training.losses import mean_squared_error as mean_squared_error
from xlathe.runtime.training.losses import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from xlathe.runtime.training.losses import poisson as poisson
from xlathe.runtime.training.losses import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from xlathe.runtime.training.losses import squared_hinge as squared_hinge
from xlathe.runtime.training.losses import tversky as tversky
