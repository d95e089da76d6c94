"""Metrics, by Keras's names."""

from xlathe.runtime.training.metrics import AUC as AUC
from xlathe.runtime.training.metrics import Accuracy as Accuracy
from xlathe.runtime.training.metrics import BinaryAccuracy as BinaryAccuracy
from xlathe.runtime.training.metrics import BinaryCrossentropy as BinaryCrossentropy
from xlathe.runtime.training.metrics import BinaryIoU as BinaryIoU
from xlathe.runtime.training.metrics import CategoricalAccuracy as CategoricalAccuracy
from xlathe.runtime.training.metrics import CategoricalCrossentropy as CategoricalCrossentropy
from xlathe.runtime.training.metrics import CategoricalHinge as CategoricalHinge
from xlathe.runtime.training.metrics import ConcordanceCorrelation as ConcordanceCorrelation
from xlathe.runtime.training.metrics import CosineSimilarity as CosineSimilarity
from xlathe.runtime.training.metrics import F1Score as F1Score
from xlathe.runtime.training.metrics import FalseNegatives as FalseNegatives
from xlathe.runtime.training.metrics import FalsePositives as FalsePositives
from xlathe.runtime.training.metrics import FBetaScore as FBetaScore
from xlathe.runtime.training.metrics import Hinge as Hinge
from xlathe.runtime.training.metrics import IoU as IoU
from xlathe.runtime.training.metrics import KLDivergence as KLDivergence
from xlathe.runtime.training.metrics import LogCoshError as LogCoshError
from xlathe.runtime.training.metrics import Mean as Mean
from xlathe.runtime.training.metrics import MeanAbsoluteError as MeanAbsoluteError
from xlathe.runtime.training.metrics import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from xlathe.runtime.training.metrics import MeanIoU as MeanIoU
from xlathe.runtime.training.metrics import MeanMetricWrapper as MeanMetricWrapper
from xlathe.runtime.training.metrics import MeanSquaredError as MeanSquaredError
from xlathe.runtime.training.metrics import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from xlathe.runtime.training.metrics import Metric as Metric
from xlathe.runtime.training.metrics import OneHotIoU as OneHotIoU
from xlathe.runtime.training.metrics import OneHotMeanIoU as OneHotMeanIoU
from xlathe.runtime.training.metrics import PearsonCorrelation as PearsonCorrelation
from xlathe.runtime.training.metrics import Poisson as Poisson
from xlathe.runtime.training.metrics import Precision as Precision
from xlathe.runtime.training.metrics import PrecisionAtRecall as PrecisionAtRecall
from xlathe.runtime.training.metrics import R2Score as R2Score
from xlathe.runtime.training.metrics import Recall as Recall
from xlathe.runtime.training.metrics import RecallAtPrecision as RecallAtPrecision
from xlathe.runtime.training.metrics import RootMeanSquaredError as RootMeanSquaredError
from xlathe.runtime.training.metrics import SensitivityAtSpecificity as SensitivityAtSpecificity
from xlathe.runtime.training.metrics import SparseCategoricalAccuracy as SparseCategoricalAccuracy
from xlathe.runtime.training.metrics import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from xlathe.runtime.training.metrics import (
    SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy,
)
from xlathe.runtime.training.metrics import SpecificityAtSensitivity as SpecificityAtSensitivity
from xlathe.runtime.training.metrics import SquaredHinge as SquaredHinge
from xlathe.runtime.training.metrics import Sum as Sum
from xlathe.runtime.training.metrics import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from xlathe.runtime.training.metrics import TrueNegatives as TrueNegatives
from xlathe.runtime.training.metrics import TruePositives as TruePositives
from xlathe.runtime.training.metrics import accuracy as accuracy
from xlathe.runtime.training.metrics import binary_accuracy as binary_accuracy
from xlathe.runtime.training.metrics import binary_crossentropy as binary_crossentropy
from xlathe.runtime.training.metrics import categorical_accuracy as categorical_accuracy
from xlathe.runtime.training.metrics import categorical_crossentropy as categorical_crossentropy
from xlathe.runtime.training.metrics import categorical_hinge as categorical_hinge
from xlathe.runtime.training.metrics import concordance_correlation as concordance_correlation
from xlathe.runtime.training.metrics import get as get
from xlathe.runtime.training.metrics import hinge as hinge
from xlathe.runtime.training.metrics import huber as huber
from xlathe.runtime.training.metrics import kl_divergence as kl_divergence
from xlathe.runtime.training.metrics import log_cosh as log_cosh
from xlathe.runtime.training.metrics import mean_absolute_error as mean_absolute_error
from xlathe.runtime.training.metrics import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from xlathe.runtime.training.metrics import mean_squared_error as mean_squared_error
from xlathe.runtime.training.metrics import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from xlathe.runtime.training.metrics import pearson_correlation as pearson_correlation
from xlathe.runtime.training.metrics import poisson as poisson
from xlathe.runtime.training.metrics import (
    sparse_categorical_accuracy as sparse_categorical_accuracy,
)
from xlathe.runtime.training.metrics import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from xlathe.runtime.training.metrics import (
    sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy,
)
from xlathe.runtime.training.metrics import squared_hinge as squared_hinge
from xlathe.runtime.training.metrics import top_k_categorical_accuracy as top_k_categorical_accuracy
