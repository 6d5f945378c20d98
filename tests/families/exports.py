"""Every net in every format, built once a test run and shared by its workers."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from pathlib import Path

import torch

from magnet_service.generator import Program, export_module, read_archive, read_onnx
from tests.families.nets import Net

__all__ = ["FORMS", "ONNX_FORMS", "Shelf", "program_of"]

ONNX_FORMS = ("onnx-9", "onnx-13", "onnx-17", "onnx-dynamo")
FORMS = ("pt2", *ONNX_FORMS)


class Shelf:
    """Exported files in one folder; what is not there yet is made, whole and by one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, net: Net, form: str) -> Path:
        """The file of a net in a format, one of `FORMS`."""
        path = self.folder / f"{net.name}-{form}{'.pt2' if form == 'pt2' else '.onnx'}"
        if not path.exists():
            part = path.with_name(f"{os.getpid()}-{path.name}")
            write(net, form, part)
            part.replace(path)
        return path


def write(net: Net, form: str, path: Path) -> None:
    """Export a net."""
    module, inputs = net.module(), net.inputs(3)
    names = ["z", "label"][: len(inputs)]
    if form == "pt2" and net.condition is None:
        export_module(module, net.family.latent_dim, path, latent_shape=net.family.latent_shape, outputs_probe=False)
        return
    dynamic = tuple({0: torch.export.Dim("batch")} for _ in inputs)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # both exporters warn about themselves
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            if form == "pt2":
                torch.export.save(torch.export.export(module, inputs, dynamic_shapes=dynamic), path)
            elif form == "onnx-dynamo":
                torch.onnx.export(
                    module,
                    inputs,
                    path,
                    dynamo=True,
                    dynamic_shapes=dynamic,
                    input_names=names,
                    output_names=["x"],
                    external_data=False,
                    verbose=False,
                )
            else:
                torch.onnx.export(
                    module,
                    inputs,
                    path,
                    dynamo=False,
                    opset_version=int(form.removeprefix("onnx-")),
                    input_names=names,
                    output_names=["x"],
                    dynamic_axes={name: {0: "batch"} for name in (*names, "x")},
                )
        finally:
            logging.disable(level)


def program_of(file: Path) -> Program:
    """The file read by its format."""
    return read_onnx(file) if file.suffix == ".onnx" else read_archive(file)
