"""TensorBoard summaries: a scalar, an image, a text, a layout, data of the tab."""

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

# --- summaries ----------------------------------------------------------------------------------


def _scalar(tag: str, value: float) -> Iterator[Any]:
    """A scalar summary; nothing where there is no number to show."""
    if np.isfinite(value):
        yield summary_pb2.Summary.Value(
            tag=tag,
            metadata=scalar_metadata.create_summary_metadata("", ""),
            tensor=make_tensor_proto(np.float32(value)),
        )


def _image(tag: str, figure: Figure) -> Any:
    canvas: Any = FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    canvas.draw()
    # `savefig` would ask a style of the user's for size and ground, and keep the transparency of what is
    # opaque; the last bytes are a tenth of the time.
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    Image.fromarray(pixels).save(buffer, "png", compress_level=3)
    height, width, _ = pixels.shape
    encoded = [str(width).encode(), str(height).encode(), buffer.getvalue()]
    return summary_pb2.Summary.Value(
        tag=tag,
        metadata=image_metadata.create_summary_metadata("", ""),
        tensor=make_tensor_proto(encoded, dtype=np.dtype(object)),
    )


def _text(tag: str, text: str) -> Any:
    return summary_pb2.Summary.Value(
        tag=tag,
        metadata=text_metadata.create_summary_metadata("", ""),
        tensor=make_tensor_proto([text.encode()], dtype=np.dtype(object)),
    )


def _layout(layout: bytes) -> Any:
    return summary_pb2.Summary.Value(
        tag=layout_metadata.CONFIG_SUMMARY_TAG,
        metadata=layout_metadata.create_summary_metadata(),
        tensor=make_tensor_proto(layout, dtype=np.dtype(object)),
    )


def _stored(tag: str, parts: list[bytes]) -> Any:
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=stored.PLUGIN_NAME),
        # Without a class, the data provider would hide it.
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )
    return summary_pb2.Summary.Value(
        tag=tag, metadata=metadata, tensor=make_tensor_proto(parts, dtype=np.dtype(object))
    )
