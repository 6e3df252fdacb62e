"""Renderers: Arrow batches of events into the bytes of a file, a batch at a time."""

from collections.abc import Mapping

from argus_client.compression import Compression
from argus_client.formats.csv import CsvRenderer
from argus_client.formats.groups import MAX_GROUP_ROWS, GroupRenderer
from argus_client.formats.json import JsonRenderer
from argus_client.formats.jsonl import JsonLinesRenderer
from argus_client.formats.metadata import export_metadata
from argus_client.formats.options import Renderer, RenderOptions

__all__ = [
    "BINARY_FORMATS",
    "FORMATS",
    "NOT_FOLLOWED",
    "CsvRenderer",
    "GroupRenderer",
    "RenderOptions",
    "Renderer",
    "export_metadata",
    "make_renderer",
    "refuse_compression",
]

FORMATS: tuple[str, ...] = ("csv", "json", "jsonl", "parquet", "arrow")
BINARY_FORMATS: tuple[str, ...] = ("parquet", "arrow")

_GROUPS_WAIT = (
    f"keeps {MAX_GROUP_ROWS:,} events back until they are a group, and says at its end where groups are"
)
NOT_FOLLOWED: Mapping[str, str] = {
    "json": "says how many events it has",
    "parquet": _GROUPS_WAIT,
    "arrow": _GROUPS_WAIT,
}
"""The formats in which an export cannot be followed, and why."""

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
    if format == "json":
        return JsonRenderer(options)
    if format == "jsonl":
        return JsonLinesRenderer(options)
    if options.time_precision != "auto":
        raise ValueError(
            f"time_precision: {format} always has nanoseconds; {options.time_precision!r} is allowed with "
            "csv, json and jsonl only"
        )
    # Here, since what writes Parquet takes long to import.
    if format == "parquet":
        from argus_client.formats.parquet import ParquetRenderer

        return ParquetRenderer()
    from argus_client.formats.arrow_file import ArrowFileRenderer

    return ArrowFileRenderer()


def refuse_compression(format: str, compression: Compression) -> None:
    """Raises ValueError if a file of the format is not compressed as a whole: its readers have to find
    their way in it."""
    if format in BINARY_FORMATS and compression != "none":
        has = (
            "is compressed inside, with zstd" if format == "parquet" else "is there to be mapped into memory"
        )
        raise ValueError(
            f"compress: {format} {has}; {compression!r} is allowed with csv, json and jsonl only"
        )
