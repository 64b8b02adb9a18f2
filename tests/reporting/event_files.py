"""Event files, read back as TensorBoard reads them."""

from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray


def read(run):
    """`{tag: {step: value}}` and `{tag: plugin}` of the event files of a run."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    values = {
        tag: {event.step: make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
    }
    plugins = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in values}
    return values, plugins
