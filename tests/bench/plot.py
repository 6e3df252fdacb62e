"""Time and memory against the number of events, drawn."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.scaling import Program, Scale

_MIB = 1024 * 1024
# Colours that people of any colour vision can tell apart (Okabe and Ito), dark enough for white.
_ORANGE, _BLUE, _GREEN, _PURPLE = "#D55E00", "#0072B2", "#007A5A", "#AA5588"

_TIMES: tuple[tuple[str, Callable[[Scale], Program], str, str], ...] = (
    ("argus-client, ordered", lambda scale: scale.client, _ORANGE, "o"),
    ("COPY, ordered", lambda scale: scale.ordered, _BLUE, "s"),
    ("COPY, unordered", lambda scale: scale.unordered, _GREEN, "^"),
)
_PEAKS: tuple[tuple[str, Callable[[Scale], Program], str, str], ...] = (
    ("argus-client", lambda scale: scale.client, _ORANGE, "o"),
    ("argus-server", lambda scale: scale.server, _PURPLE, "D"),
    *_TIMES[1:],
)


def draw(scales: list[Scale], file: Path) -> None:
    """Writes an SVG with its own white ground, the same for the same figures."""
    # Else ids are random.
    with mpl.rc_context({"svg.hashsalt": "argus", "font.size": 9}):
        figure = Figure(figsize=(9, 3.6), facecolor="white", layout="constrained")
        time, memory = figure.subplots(1, 2)
        rows = [scale.rows / 1e6 for scale in scales]
        for name, program, colour, marker in _TIMES:
            seconds = [program(scale).median_s for scale in scales]
            time.plot(rows, seconds, label=name, color=colour, marker=marker, markersize=4)
        for name, program, colour, marker in _PEAKS:
            peaks = [program(scale).median_bytes for scale in scales]
            if None not in peaks:
                peaks_mib = [(peak or 0) / _MIB for peak in peaks]
                memory.plot(rows, peaks_mib, label=name, color=colour, marker=marker, markersize=4)
        _finish(time, "CSV file, whole command", "seconds")
        _finish(memory, "Peak resident memory", "MiB")
        figure.savefig(file, format="svg", metadata={"Date": None})


def _finish(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("million events")
    axes.set_ylabel(unit)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.lines:
        axes.legend(frameon=False)
