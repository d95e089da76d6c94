"""Configurations of layers, one a line; the default suite runs those in `CORE`."""

from .check import Case

IMAGE, FIRST = (2, 8, 7, 4), (2, 4, 8, 7)
SERIES, VOLUME, ROWS = (2, 9, 4), (2, 5, 6, 5, 2), (3, 6)

CORE = [
    Case("Dense", ROWS, {"units": 5, "activation": "relu"}),
    Case("PReLU", ROWS),
    Case("Embedding", (3, 5), {"input_dim": 7, "output_dim": 4}, integers=7),
    Case("Conv1D", SERIES, {"filters": 3, "kernel_size": 3, "padding": "causal"}),
    Case("Conv2D", IMAGE, {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"}),
    Case(
        "Conv2DTranspose", IMAGE, {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}
    ),
    Case("DepthwiseConv2D", IMAGE, {"kernel_size": 3, "depth_multiplier": 2}),
    Case("SeparableConv2D", IMAGE, {"filters": 5, "kernel_size": 3, "activation": "tanh"}),
    Case("MaxPooling2D", IMAGE, {"pool_size": 2}),
    Case("AveragePooling2D", IMAGE, {"pool_size": 3, "strides": 2, "padding": "same"}),
    Case("GlobalAveragePooling2D", IMAGE),
    Case("BatchNormalization", IMAGE, training=True),
    Case("LayerNormalization", SERIES),
    Case("GroupNormalization", IMAGE, {"groups": 2}),
    Case("RMSNormalization", SERIES),
    Case("UpSampling2D", IMAGE, {"interpolation": "bilinear"}),
    Case("ZeroPadding2D", IMAGE, {"padding": ((1, 2), (0, 3))}),
    Case("Dot", [SERIES, (2, 9, 3)], {"axes": 1}),
    Case("Concatenate", [SERIES, (2, 9, 3)]),
]

MORE = [
    Case("Dense", SERIES, {"units": 5, "use_bias": False, "activation": "gelu"}),
    Case("Activation", ROWS, {"activation": "silu"}),
    Case("ReLU", ROWS, {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}),
    Case("ReLU", ROWS),
    Case("LeakyReLU", ROWS),
    Case("ELU", ROWS, {"alpha": 0.7}),
    Case("PReLU", IMAGE, {"shared_axes": [1, 2]}),
    Case("Softmax", SERIES, {"axis": 1}),
    Case("Softmax", SERIES, {"axis": (1, 2)}),
    Case("Dropout", ROWS, {"rate": 0.5}),
    Case("Flatten", IMAGE),
    Case("Flatten", FIRST, {"data_format": "channels_first"}),
    Case("Reshape", IMAGE, {"target_shape": (-1, 8)}),
    Case("Reshape", IMAGE, {"target_shape": (4, 56)}),
    Case("Permute", IMAGE, {"dims": (3, 1, 2)}),
    Case("RepeatVector", ROWS, {"n": 3}),
    Case(
        "Conv1D", SERIES, {"filters": 3, "kernel_size": 2, "dilation_rate": 2, "padding": "causal"}
    ),
    Case("Conv1D", SERIES, {"filters": 4, "kernel_size": 3, "groups": 2, "strides": 2}),
    Case("Conv2D", IMAGE, {"filters": 6, "kernel_size": (3, 2), "dilation_rate": 2}),
    Case("Conv2D", FIRST, {"filters": 3, "kernel_size": 3, "data_format": "channels_first"}),
    Case(
        "Conv2D", IMAGE, {"filters": 4, "kernel_size": 1, "use_bias": False, "activation": "relu"}
    ),
    Case("Conv3D", VOLUME, {"filters": 3, "kernel_size": 2}),
    Case("Conv3D", VOLUME, {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}),
    Case("Conv1DTranspose", SERIES, {"filters": 3, "kernel_size": 3, "strides": 2}),
    Case(
        "Conv1DTranspose", SERIES, {"filters": 3, "kernel_size": 4, "strides": 3, "padding": "same"}
    ),
    Case("Conv2DTranspose", IMAGE, {"filters": 3, "kernel_size": 3, "dilation_rate": 2}),
    Case("Conv2DTranspose", IMAGE, {"filters": 3, "kernel_size": 2, "strides": 3}),
    Case(
        "Conv2DTranspose",
        IMAGE,
        {"filters": 3, "kernel_size": 3, "strides": 2, "output_padding": 1, "padding": "same"},
    ),
    Case(
        "Conv2DTranspose", FIRST, {"filters": 3, "kernel_size": 3, "data_format": "channels_first"}
    ),
    Case("Conv3DTranspose", VOLUME, {"filters": 3, "kernel_size": 2, "strides": 2}),
    Case("DepthwiseConv1D", SERIES, {"kernel_size": 3, "padding": "same"}),
    Case("DepthwiseConv2D", IMAGE, {"kernel_size": 3, "strides": 2, "padding": "same"}),
    Case("DepthwiseConv2D", FIRST, {"kernel_size": 3, "data_format": "channels_first"}),
    Case("SeparableConv1D", SERIES, {"filters": 5, "kernel_size": 3, "depth_multiplier": 2}),
    Case(
        "SeparableConv2D", FIRST, {"filters": 5, "kernel_size": 3, "data_format": "channels_first"}
    ),
    Case("MaxPooling1D", SERIES),
    Case("MaxPooling1D", SERIES, {"pool_size": 3, "strides": 1, "padding": "same"}),
    Case("MaxPooling2D", IMAGE, {"pool_size": (3, 2), "strides": 2, "padding": "same"}),
    Case("MaxPooling2D", FIRST, {"data_format": "channels_first"}),
    Case("MaxPooling3D", VOLUME),
    Case("AveragePooling1D", SERIES, {"pool_size": 2}),
    Case("AveragePooling2D", IMAGE, {"pool_size": 2}),
    Case("AveragePooling3D", VOLUME, {"pool_size": 2, "padding": "same"}),
    Case("GlobalMaxPooling1D", SERIES),
    Case("GlobalMaxPooling2D", FIRST, {"data_format": "channels_first"}),
    Case("GlobalMaxPooling3D", VOLUME, {"keepdims": True}),
    Case("GlobalAveragePooling1D", SERIES, {"keepdims": True}),
    Case("GlobalAveragePooling3D", VOLUME),
    Case("BatchNormalization", ROWS),
    Case("BatchNormalization", ROWS, {"scale": False, "momentum": 0.9}, training=True),
    Case("BatchNormalization", FIRST, {"axis": 1}, training=True),
    Case("LayerNormalization", IMAGE, {"axis": (1, 3), "center": False}),
    Case("LayerNormalization", IMAGE, {"axis": 1}),
    Case("GroupNormalization", FIRST, {"groups": -1, "axis": 1}),
    Case("RMSNormalization", IMAGE, {"axis": 2}),
    Case("UnitNormalization", SERIES),
    Case("UnitNormalization", IMAGE, {"axis": [1, 2]}),
    Case("UpSampling1D", SERIES, {"size": 3}),
    Case("UpSampling2D", FIRST, {"size": (2, 3), "data_format": "channels_first"}),
    Case("UpSampling2D", IMAGE, {"interpolation": "bicubic"}),
    Case("UpSampling3D", VOLUME),
    Case("ZeroPadding1D", SERIES, {"padding": 2}),
    Case("ZeroPadding3D", VOLUME, {"padding": ((1, 0), (2, 2), (0, 1))}),
    Case("Cropping1D", SERIES),
    Case("Cropping2D", IMAGE, {"cropping": ((1, 2), (0, 3))}),
    Case("Cropping3D", VOLUME),
    Case("Add", [SERIES, SERIES, (2, 1, 4)]),
    Case("Subtract", [ROWS, ROWS]),
    Case("Multiply", [SERIES, (2, 4)]),
    Case("Average", [ROWS, ROWS, ROWS]),
    Case("Maximum", [ROWS, ROWS]),
    Case("Minimum", [ROWS, ROWS]),
    Case("Concatenate", [SERIES, (2, 3, 4)], {"axis": 1}),
    Case("Dot", [ROWS, ROWS], {"axes": 1, "normalize": True}),
    Case("Dot", [SERIES, (2, 4, 3)], {"axes": (2, 1)}),
    Case("Dot", [(2, 3, 4, 5), (2, 5, 3)], {"axes": (3, 1)}),
]
