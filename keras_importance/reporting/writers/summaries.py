"""The kinds of TensorBoard summaries: a scalar, an image, a text, a layout, data of the tab."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from keras_importance.tensorboard_plugin import stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scalar_summary(tag: str, value: float) -> Iterator[Any]:
    """A scalar summary; nothing where there is no number to show."""
    if np.isfinite(value):
        yield summary_pb2.Summary.Value(
            tag=tag,
            metadata=scalar_metadata.create_summary_metadata("", ""),
            tensor=make_tensor_proto(np.float32(value)),
        )


def image_summary(tag: str, figure: Figure) -> Any:
    """An image summary: the figure as PNG, with its width and height in pixels."""
    canvas: Any = FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    canvas.draw()
    # `savefig` would take size and background from the user's style, and store the transparency of an
    # opaque picture; the last bytes are a tenth of the time.
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    Image.fromarray(pixels).save(buffer, "png", compress_level=3)
    height, width, _ = pixels.shape
    encoded = [str(width).encode(), str(height).encode(), buffer.getvalue()]
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
