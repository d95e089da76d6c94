"""Layers, by Keras's names."""

from xlathe.tracer.layers.activation import *  # noqa: F403
from xlathe.tracer.layers.attention import *  # noqa: F403
from xlathe.tracer.layers.cells import *  # noqa: F403
from xlathe.tracer.layers.convolution import *  # noqa: F403
from xlathe.tracer.layers.core import *  # noqa: F403
from xlathe.tracer.layers.einsum import *  # noqa: F403
from xlathe.tracer.layers.features import *  # noqa: F403
from xlathe.tracer.layers.images import *  # noqa: F403
from xlathe.tracer.layers.layer import Layer as Layer
from xlathe.tracer.layers.merging import *  # noqa: F403
from xlathe.tracer.layers.multi_head import *  # noqa: F403
from xlathe.tracer.layers.normalization import *  # noqa: F403
from xlathe.tracer.layers.pooling import *  # noqa: F403
from xlathe.tracer.layers.recurrent import *  # noqa: F403
from xlathe.tracer.layers.regularization import *  # noqa: F403
from xlathe.tracer.layers.reshaping import *  # noqa: F403
from xlathe.tracer.layers.separable import *  # noqa: F403
from xlathe.tracer.layers.specs import InputSpec as InputSpec
from xlathe.tracer.layers.transposed import *  # noqa: F403
from xlathe.tracer.layers.wrappers import *  # noqa: F403
