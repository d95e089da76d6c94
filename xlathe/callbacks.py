"""Callbacks, by Keras's names."""

from xlathe.runtime.training.callbacks.catalogue import BackupAndRestore as BackupAndRestore
from xlathe.runtime.training.callbacks.catalogue import Callback as Callback
from xlathe.runtime.training.callbacks.catalogue import CallbackList as CallbackList
from xlathe.runtime.training.callbacks.catalogue import CSVLogger as CSVLogger
from xlathe.runtime.training.callbacks.catalogue import EarlyStopping as EarlyStopping
from xlathe.runtime.training.callbacks.catalogue import History as History
from xlathe.runtime.training.callbacks.catalogue import LambdaCallback as LambdaCallback
from xlathe.runtime.training.callbacks.catalogue import (
    LearningRateScheduler as LearningRateScheduler,
)
from xlathe.runtime.training.callbacks.catalogue import ModelCheckpoint as ModelCheckpoint
from xlathe.runtime.training.callbacks.catalogue import ProgbarLogger as ProgbarLogger
from xlathe.runtime.training.callbacks.catalogue import ReduceLROnPlateau as ReduceLROnPlateau
from xlathe.runtime.training.callbacks.catalogue import RemoteMonitor as RemoteMonitor
from xlathe.runtime.training.callbacks.catalogue import SwapEMAWeights as SwapEMAWeights
from xlathe.runtime.training.callbacks.catalogue import TensorBoard as TensorBoard
from xlathe.runtime.training.callbacks.catalogue import TerminateOnNaN as TerminateOnNaN
from xlathe.tracer.absent import reporter

__getattr__ = reporter("callbacks", globals())
