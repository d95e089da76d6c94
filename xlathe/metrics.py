"""Metrics, by Keras's names."""

from xlathe.runtime.training.compiling import deserialize_metric
from xlathe.runtime.training.compiling import serialize as serialize
from xlathe.runtime.training.metrics.catalogue import AUC as AUC
from xlathe.runtime.training.metrics.catalogue import Accuracy as Accuracy
from xlathe.runtime.training.metrics.catalogue import BinaryAccuracy as BinaryAccuracy
from xlathe.runtime.training.metrics.catalogue import BinaryCrossentropy as BinaryCrossentropy
from xlathe.runtime.training.metrics.catalogue import BinaryIoU as BinaryIoU
from xlathe.runtime.training.metrics.catalogue import CategoricalAccuracy as CategoricalAccuracy
from xlathe.runtime.training.metrics.catalogue import (
    CategoricalCrossentropy as CategoricalCrossentropy,
)
from xlathe.runtime.training.metrics.catalogue import CategoricalHinge as CategoricalHinge
from xlathe.runtime.training.metrics.catalogue import (
    ConcordanceCorrelation as ConcordanceCorrelation,
)
from xlathe.runtime.training.metrics.catalogue import CosineSimilarity as CosineSimilarity
from xlathe.runtime.training.metrics.catalogue import F1Score as F1Score
from xlathe.runtime.training.metrics.catalogue import FalseNegatives as FalseNegatives
from xlathe.runtime.training.metrics.catalogue import FalsePositives as FalsePositives
from xlathe.runtime.training.metrics.catalogue import FBetaScore as FBetaScore
from xlathe.runtime.training.metrics.catalogue import Hinge as Hinge
from xlathe.runtime.training.metrics.catalogue import IoU as IoU
from xlathe.runtime.training.metrics.catalogue import KLDivergence as KLDivergence
from xlathe.runtime.training.metrics.catalogue import LogCoshError as LogCoshError
from xlathe.runtime.training.metrics.catalogue import Mean as Mean
from xlathe.runtime.training.metrics.catalogue import MeanAbsoluteError as MeanAbsoluteError
from xlathe.runtime.training.metrics.catalogue import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from xlathe.runtime.training.metrics.catalogue import MeanIoU as MeanIoU
from xlathe.runtime.training.metrics.catalogue import MeanMetricWrapper as MeanMetricWrapper
from xlathe.runtime.training.metrics.catalogue import MeanSquaredError as MeanSquaredError
from xlathe.runtime.training.metrics.catalogue import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from xlathe.runtime.training.metrics.catalogue import Metric as Metric
from xlathe.runtime.training.metrics.catalogue import OneHotIoU as OneHotIoU
from xlathe.runtime.training.metrics.catalogue import OneHotMeanIoU as OneHotMeanIoU
from xlathe.runtime.training.metrics.catalogue import PearsonCorrelation as PearsonCorrelation
from xlathe.runtime.training.metrics.catalogue import Poisson as Poisson
from xlathe.runtime.training.metrics.catalogue import Precision as Precision
from xlathe.runtime.training.metrics.catalogue import PrecisionAtRecall as PrecisionAtRecall
from xlathe.runtime.training.metrics.catalogue import R2Score as R2Score
from xlathe.runtime.training.metrics.catalogue import Recall as Recall
from xlathe.runtime.training.metrics.catalogue import RecallAtPrecision as RecallAtPrecision
from xlathe.runtime.training.metrics.catalogue import RootMeanSquaredError as RootMeanSquaredError
from xlathe.runtime.training.metrics.catalogue import (
    SensitivityAtSpecificity as SensitivityAtSpecificity,
)
from xlathe.runtime.training.metrics.catalogue import (
    SparseCategoricalAccuracy as SparseCategoricalAccuracy,
)
from xlathe.runtime.training.metrics.catalogue import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from xlathe.runtime.training.metrics.catalogue import (
    SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy,
)
from xlathe.runtime.training.metrics.catalogue import (
    SpecificityAtSensitivity as SpecificityAtSensitivity,
)
from xlathe.runtime.training.metrics.catalogue import SquaredHinge as SquaredHinge
from xlathe.runtime.training.metrics.catalogue import Sum as Sum
from xlathe.runtime.training.metrics.catalogue import (
    TopKCategoricalAccuracy as TopKCategoricalAccuracy,
)
from xlathe.runtime.training.metrics.catalogue import TrueNegatives as TrueNegatives
from xlathe.runtime.training.metrics.catalogue import TruePositives as TruePositives
from xlathe.runtime.training.metrics.catalogue import accuracy as accuracy
from xlathe.runtime.training.metrics.catalogue import binary_accuracy as binary_accuracy
from xlathe.runtime.training.metrics.catalogue import binary_crossentropy as binary_crossentropy
from xlathe.runtime.training.metrics.catalogue import categorical_accuracy as categorical_accuracy
from xlathe.runtime.training.metrics.catalogue import (
    categorical_crossentropy as categorical_crossentropy,
)
from xlathe.runtime.training.metrics.catalogue import categorical_hinge as categorical_hinge
from xlathe.runtime.training.metrics.catalogue import (
    concordance_correlation as concordance_correlation,
)
from xlathe.runtime.training.metrics.catalogue import get as get
from xlathe.runtime.training.metrics.catalogue import hinge as hinge
from xlathe.runtime.training.metrics.catalogue import huber as huber
from xlathe.runtime.training.metrics.catalogue import kl_divergence as kl_divergence
from xlathe.runtime.training.metrics.catalogue import log_cosh as log_cosh
from xlathe.runtime.training.metrics.catalogue import mean_absolute_error as mean_absolute_error
from xlathe.runtime.training.metrics.catalogue import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from xlathe.runtime.training.metrics.catalogue import mean_squared_error as mean_squared_error
from xlathe.runtime.training.metrics.catalogue import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from xlathe.runtime.training.metrics.catalogue import pearson_correlation as pearson_correlation
from xlathe.runtime.training.metrics.catalogue import poisson as poisson
from xlathe.runtime.training.metrics.catalogue import (
    sparse_categorical_accuracy as sparse_categorical_accuracy,
)
from xlathe.runtime.training.metrics.catalogue import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from xlathe.runtime.training.metrics.catalogue import (
    sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy,
)
from xlathe.runtime.training.metrics.catalogue import squared_hinge as squared_hinge
from xlathe.runtime.training.metrics.catalogue import (
    top_k_categorical_accuracy as top_k_categorical_accuracy,
)
from xlathe.tracer.absent import reporter

deserialize = deserialize_metric
__getattr__ = reporter("metrics", globals())
