"""Settings, by Keras's names."""

from xlathe.tracer.layers.dtypes import dtype_policy as dtype_policy
from xlathe.tracer.layers.dtypes import set_dtype_policy as set_dtype_policy
from xlathe.tracer.settings import backend as backend
from xlathe.tracer.settings import epsilon as epsilon
from xlathe.tracer.settings import floatx as floatx
from xlathe.tracer.settings import image_data_format as image_data_format
