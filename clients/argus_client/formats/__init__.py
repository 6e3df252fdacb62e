"""Renderers: Arrow batches of events into the bytes of a file, a batch at a time."""

from argus_client.formats.csv import CsvRenderer
from argus_client.formats.json import JsonRenderer
from argus_client.formats.jsonl import JsonLinesRenderer
from argus_client.formats.metadata import export_metadata
from argus_client.formats.options import Renderer, RenderOptions

__all__ = ["FORMATS", "CsvRenderer", "RenderOptions", "Renderer", "export_metadata", "make_renderer"]

FORMATS: tuple[str, ...] = ("csv", "json", "jsonl")

_DEFAULTS = RenderOptions()


def make_renderer(format: str, options: RenderOptions = _DEFAULTS) -> Renderer:
    """A renderer for one export.

    Raises ValueError for a format that is not one of FORMATS, and for an option that the format
    does not have.
    """
    if format == "csv":
        return CsvRenderer(options)
    if format not in FORMATS:
        raise ValueError(f"format: {format!r} is not allowed; allowed: {', '.join(FORMATS)}")
    if options.excel:
        raise ValueError(f"excel: {format} does not have it; allowed with format csv only")
    if options.header != "names":
        raise ValueError(f"header: {format} has no header row; {options.header!r} is allowed with csv only")
    return JsonRenderer(options) if format == "json" else JsonLinesRenderer(options)
