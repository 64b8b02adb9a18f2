"""The kinds of TensorBoard summaries: a scalar, an image, a text, a layout, data of the tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from keras_importance.reporting.plots.png import png
from keras_importance.tensorboard_plugin import stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCALAR = scalar_metadata.create_summary_metadata("", "")


def scalar_summary(tag: str, value: float) -> Iterator[Any]:
    """A scalar summary; nothing where there is no number to show."""
    if np.isfinite(value):
        # `make_tensor_proto` takes ten times as long, and there are hundreds of scalars.
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape={}, float_val=[value])
        yield summary_pb2.Summary.Value(tag=tag, metadata=_SCALAR, tensor=tensor)


def image_summary(tag: str, pixels: NDArray[np.uint8]) -> Any:
    """An image summary of `(height, width, 4)` pixels: a PNG file with its width and height."""
    height, width, _ = pixels.shape
    encoded = [str(width).encode(), str(height).encode(), png(pixels)]
    return summary_pb2.Summary.Value(
        tag=tag,
        metadata=image_metadata.create_summary_metadata("", ""),
        tensor=make_tensor_proto(encoded, dtype=np.dtype(object)),
    )


def text_summary(tag: str, text: str) -> Any:
    """A text summary in Markdown."""
    return summary_pb2.Summary.Value(
        tag=tag,
        metadata=text_metadata.create_summary_metadata("", ""),
        tensor=make_tensor_proto([text.encode()], dtype=np.dtype(object)),
    )


def layout_summary(layout: bytes) -> Any:
    """The layout of the Custom Scalars dashboard."""
    return summary_pb2.Summary.Value(
        tag=layout_metadata.CONFIG_SUMMARY_TAG,
        metadata=layout_metadata.create_summary_metadata(),
        tensor=make_tensor_proto(layout, dtype=np.dtype(object)),
    )


def tab_summary(tag: str, parts: list[bytes]) -> Any:
    """A summary for the tab: a rank-1 tensor of strings, as `tensorboard_plugin.stored` packs it."""
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=stored.PLUGIN_NAME),
        # Without a class, the data provider would hide it.
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )
    return summary_pb2.Summary.Value(
        tag=tag, metadata=metadata, tensor=make_tensor_proto(parts, dtype=np.dtype(object))
    )
