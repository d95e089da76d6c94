"""Element types of weights and computation, by Keras's names."""

from xlathe.runtime.training.optimizers.catalogue import LossScaleOptimizer as LossScaleOptimizer
from xlathe.tracer.layers.dtypes import DTypePolicy as DTypePolicy
from xlathe.tracer.layers.dtypes import dtype_policy as dtype_policy
from xlathe.tracer.layers.dtypes import set_dtype_policy as set_dtype_policy

Policy, global_policy, set_global_policy = DTypePolicy, dtype_policy, set_dtype_policy
