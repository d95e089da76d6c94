"""What of Keras's `backend` module scripts still use."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.naming import clear_session as clear_session
from xlathe.tracer.settings import backend as backend
from xlathe.tracer.settings import epsilon as epsilon
from xlathe.tracer.settings import floatx as floatx
from xlathe.tracer.settings import image_data_format as image_data_format
from xlathe.tracer.settings import set_floatx as set_floatx
from xlathe.tracer.settings import set_image_data_format as set_image_data_format

__getattr__ = reporter("backend", globals())
