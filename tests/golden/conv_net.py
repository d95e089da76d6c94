"""conv_net, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
from jax import lax


def conv_net(conv, dense, images):
    x = lax.conv_general_dilated(
        images,
        conv,
        window_strides=(1, 1),
        padding=((1, 1), (1, 1)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # models.py:51
    x_1 = jax.nn.relu(x)  # models.py:54
    x_2 = lax.reduce_window_max_p.bind(
        x_1,
        window_dimensions=(1, 2, 2, 1),
        window_strides=(1, 2, 2, 1),
        padding=((0, 0), (0, 0), (0, 0), (0, 0)),
        base_dilation=(1, 1, 1, 1),
        window_dilation=(1, 1, 1, 1),
    )  # models.py:55
    return x_2.reshape(2, 64) @ dense
