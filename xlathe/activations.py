"""Activation functions, by Keras's names."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.activations import celu as celu
from xlathe.tracer.layers.activations import deserialize as deserialize
from xlathe.tracer.layers.activations import elu as elu
from xlathe.tracer.layers.activations import exponential as exponential
from xlathe.tracer.layers.activations import gelu as gelu
from xlathe.tracer.layers.activations import get as get
from xlathe.tracer.layers.activations import glu as glu
from xlathe.tracer.layers.activations import hard_shrink as hard_shrink
from xlathe.tracer.layers.activations import hard_sigmoid as hard_sigmoid
from xlathe.tracer.layers.activations import hard_silu as hard_silu
from xlathe.tracer.layers.activations import hard_tanh as hard_tanh
from xlathe.tracer.layers.activations import leaky_relu as leaky_relu
from xlathe.tracer.layers.activations import linear as linear
from xlathe.tracer.layers.activations import log_sigmoid as log_sigmoid
from xlathe.tracer.layers.activations import log_softmax as log_softmax
from xlathe.tracer.layers.activations import mish as mish
from xlathe.tracer.layers.activations import relu as relu
from xlathe.tracer.layers.activations import relu6 as relu6
from xlathe.tracer.layers.activations import selu as selu
from xlathe.tracer.layers.activations import serialize as serialize
from xlathe.tracer.layers.activations import sigmoid as sigmoid
from xlathe.tracer.layers.activations import silu as silu
from xlathe.tracer.layers.activations import soft_shrink as soft_shrink
from xlathe.tracer.layers.activations import softmax as softmax
from xlathe.tracer.layers.activations import softplus as softplus
from xlathe.tracer.layers.activations import softsign as softsign
from xlathe.tracer.layers.activations import sparse_plus as sparse_plus
from xlathe.tracer.layers.activations import sparse_sigmoid as sparse_sigmoid
from xlathe.tracer.layers.activations import sparsemax as sparsemax
from xlathe.tracer.layers.activations import squareplus as squareplus
from xlathe.tracer.layers.activations import tanh as tanh
from xlathe.tracer.layers.activations import tanh_shrink as tanh_shrink
from xlathe.tracer.layers.activations import threshold as threshold

swish, hard_swish = silu, hard_silu

__getattr__ = reporter("activations", globals())
