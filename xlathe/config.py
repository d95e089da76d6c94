"""Settings, by Keras's names."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.dtypes import dtype_policy as dtype_policy
from xlathe.tracer.layers.dtypes import set_dtype_policy as set_dtype_policy
from xlathe.tracer.settings import backend as backend
from xlathe.tracer.settings import epsilon as epsilon
from xlathe.tracer.settings import floatx as floatx
from xlathe.tracer.settings import image_data_format as image_data_format
from xlathe.tracer.settings import leave as _leave
from xlathe.tracer.settings import set_floatx as set_floatx
from xlathe.tracer.settings import set_image_data_format as set_image_data_format

enable_traceback_filtering = disable_traceback_filtering = _leave
enable_interactive_logging = disable_interactive_logging = _leave

__getattr__ = reporter("config", globals())
