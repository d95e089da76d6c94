"""Losses, by Keras's names."""

from xlathe.runtime.training.compiling import deserialize_loss
from xlathe.runtime.training.compiling import serialize as serialize
from xlathe.runtime.training.losses.catalogue import CTC as CTC
from xlathe.runtime.training.losses.catalogue import BinaryCrossentropy as BinaryCrossentropy
from xlathe.runtime.training.losses.catalogue import (
    BinaryFocalCrossentropy as BinaryFocalCrossentropy,
)
from xlathe.runtime.training.losses.catalogue import (
    CategoricalCrossentropy as CategoricalCrossentropy,
)
from xlathe.runtime.training.losses.catalogue import (
    CategoricalFocalCrossentropy as CategoricalFocalCrossentropy,
)
from xlathe.runtime.training.losses.catalogue import (
    CategoricalGeneralizedCrossEntropy as CategoricalGeneralizedCrossEntropy,
)
from xlathe.runtime.training.losses.catalogue import CategoricalHinge as CategoricalHinge
from xlathe.runtime.training.losses.catalogue import Circle as Circle
from xlathe.runtime.training.losses.catalogue import CosineSimilarity as CosineSimilarity
from xlathe.runtime.training.losses.catalogue import Dice as Dice
from xlathe.runtime.training.losses.catalogue import Hinge as Hinge
from xlathe.runtime.training.losses.catalogue import Huber as Huber
from xlathe.runtime.training.losses.catalogue import KLDivergence as KLDivergence
from xlathe.runtime.training.losses.catalogue import LogCosh as LogCosh
from xlathe.runtime.training.losses.catalogue import Loss as Loss
from xlathe.runtime.training.losses.catalogue import LossFunctionWrapper as LossFunctionWrapper
from xlathe.runtime.training.losses.catalogue import MeanAbsoluteError as MeanAbsoluteError
from xlathe.runtime.training.losses.catalogue import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from xlathe.runtime.training.losses.catalogue import MeanSquaredError as MeanSquaredError
from xlathe.runtime.training.losses.catalogue import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from xlathe.runtime.training.losses.catalogue import Poisson as Poisson
from xlathe.runtime.training.losses.catalogue import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from xlathe.runtime.training.losses.catalogue import SquaredHinge as SquaredHinge
from xlathe.runtime.training.losses.catalogue import Tversky as Tversky
from xlathe.runtime.training.losses.catalogue import binary_crossentropy as binary_crossentropy
from xlathe.runtime.training.losses.catalogue import (
    binary_focal_crossentropy as binary_focal_crossentropy,
)
from xlathe.runtime.training.losses.catalogue import (
    categorical_crossentropy as categorical_crossentropy,
)
from xlathe.runtime.training.losses.catalogue import (
    categorical_focal_crossentropy as categorical_focal_crossentropy,
)
from xlathe.runtime.training.losses.catalogue import (
    categorical_generalized_cross_entropy as categorical_generalized_cross_entropy,
)
from xlathe.runtime.training.losses.catalogue import categorical_hinge as categorical_hinge
from xlathe.runtime.training.losses.catalogue import circle as circle
from xlathe.runtime.training.losses.catalogue import cosine_similarity as cosine_similarity
from xlathe.runtime.training.losses.catalogue import ctc as ctc
from xlathe.runtime.training.losses.catalogue import dice as dice
from xlathe.runtime.training.losses.catalogue import get as get
from xlathe.runtime.training.losses.catalogue import hinge as hinge
from xlathe.runtime.training.losses.catalogue import huber as huber
from xlathe.runtime.training.losses.catalogue import kl_divergence as kl_divergence
from xlathe.runtime.training.losses.catalogue import log_cosh as log_cosh
from xlathe.runtime.training.losses.catalogue import mean_absolute_error as mean_absolute_error
from xlathe.runtime.training.losses.catalogue import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from xlathe.runtime.training.losses.catalogue import mean_squared_error as mean_squared_error
from xlathe.runtime.training.losses.catalogue import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from xlathe.runtime.training.losses.catalogue import poisson as poisson
from xlathe.runtime.training.losses.catalogue import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from xlathe.runtime.training.losses.catalogue import squared_hinge as squared_hinge
from xlathe.runtime.training.losses.catalogue import tversky as tversky
from xlathe.tracer.absent import reporter

deserialize = deserialize_loss
__getattr__ = reporter("losses", globals())
