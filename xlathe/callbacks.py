"""Callbacks, by Keras's names."""

from xlathe.runtime.training.callbacks import BackupAndRestore as BackupAndRestore
from xlathe.runtime.training.callbacks import Callback as Callback
from xlathe.runtime.training.callbacks import CallbackList as CallbackList
from xlathe.runtime.training.callbacks import CSVLogger as CSVLogger
from xlathe.runtime.training.callbacks import EarlyStopping as EarlyStopping
from xlathe.runtime.training.callbacks import History as History
from xlathe.runtime.training.callbacks import LambdaCallback as LambdaCallback
from xlathe.runtime.training.callbacks import LearningRateScheduler as LearningRateScheduler
from xlathe.runtime.training.callbacks import ModelCheckpoint as ModelCheckpoint
from xlathe.runtime.training.callbacks import ProgbarLogger as ProgbarLogger
from xlathe.runtime.training.callbacks import ReduceLROnPlateau as ReduceLROnPlateau
from xlathe.runtime.training.callbacks import TerminateOnNaN as TerminateOnNaN
