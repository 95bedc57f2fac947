"""Model files made from the shipped one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from streamsr.model import ModelFile, find_model


def derived(change: Callable[[Any], None], name: str = "derived") -> ModelFile:
    """The shipped x3 model with something changed in its graph."""
    original = find_model("xlsr_x3_u8")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(original.content))
    change(model)
    builder = schema.flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return ModelFile(name, Path(f"{name}.tflite"), bytes(builder.Output()))
