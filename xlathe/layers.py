"""Layers, by Keras's names."""

from xlathe.tracer.layers.activation import *  # noqa: F403
from xlathe.tracer.layers.convolution import *  # noqa: F403
from xlathe.tracer.layers.core import *  # noqa: F403
from xlathe.tracer.layers.layer import Layer as Layer
from xlathe.tracer.layers.merging import *  # noqa: F403
from xlathe.tracer.layers.normalization import *  # noqa: F403
from xlathe.tracer.layers.pooling import *  # noqa: F403
from xlathe.tracer.layers.regularization import *  # noqa: F403
from xlathe.tracer.layers.reshaping import *  # noqa: F403
from xlathe.tracer.layers.separable import *  # noqa: F403
from xlathe.tracer.layers.specs import InputSpec as InputSpec
from xlathe.tracer.layers.transposed import *  # noqa: F403
