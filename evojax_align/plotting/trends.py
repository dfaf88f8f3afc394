"""Plots of a quantity against a setting, and of two quantities against each other."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes

SHIFT = 0.04
"""Distance between the bars of two curves, relative to the distance between two settings."""


def plot_trend(
    settings: Real[ArrayLike, "k"],
    curves: Mapping[str, Real[ArrayLike, "_ k"]],
    ax: "matplotlib.axes.Axes",
    *,
    x: str,
    y: str,
    among: Sequence[str] = (),
    title: str | None = None,
    logarithmic: bool = False,
) -> None:
    """Draw the mean and one standard deviation of repeats for each value of a setting, evenly spaced.

    Args:
        settings: ascending numbers, such as widths.
        curves: for each method, in the order of the colours, one row for each repeat: [repeats, k].
        ax: the Axes to draw on.
        x: label of the settings.
        y: label of the curves.
        among: all possible names, in an order that determines their colours, so that several pictures agree.
        title: title above the Axes, to the left.
        logarithmic: whether the axis of the curves is logarithmic.

    Raises:
        ValueError: there are no curves, settings do not ascend, or shapes do not fit.
    """
    settings = _style.array("settings", settings, k=None)
    if np.any(np.diff(settings) <= 0):
        raise _checks.bad("settings", settings.tolist(), "ascending numbers", "Sort them, with the curves.")
    if not curves:
        raise _checks.bad("curves", "no curves", "at least one method", "Pass {'naive': barriers}.")
    at, places = np.arange(len(settings)), _style.places(curves, among)
    for number, (name, values) in enumerate(curves.items()):
        values = _style.array(f"curves[{name!r}]", values, repeats=None, k=len(settings))
        shift = SHIFT * (number - (len(curves) - 1) / 2)
        ax.errorbar(
            at + shift,
            values.mean(axis=0),
            yerr=values.std(axis=0) if len(values) > 1 else None,
            **_style.line(places[name]),
            marker=_style.marker(places[name]),
            markersize=3.5,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
            label=name,
        )
    ax.set_xticks(at, [f"{value:g}" for value in settings])
    if logarithmic:
        _style.logarithmic(ax, "y")
    _style.dress(ax, x=x, y=y, title=title)
    _legend(ax)


def plot_courses(
    steps: Real[ArrayLike, "k"],
    curves: Mapping[str, Real[ArrayLike, "_ k"]],
    ax: "matplotlib.axes.Axes",
    *,
    x: str,
    y: str,
    among: Sequence[str] = (),
    title: str | None = None,
    logarithmic: bool = False,
) -> None:
    """Draw every repeat as a faint line, and their mean as a strong one.

    Args:
        steps: ascending numbers, such as generations.
        curves: for each method, in the order of the colours, one row for each repeat: [repeats, k].
        ax: the Axes to draw on.
        x: label of the steps.
        y: label of the curves.
        among: all possible names, in an order that determines their colours, so that several pictures agree.
        title: title above the Axes, to the left.
        logarithmic: whether the axis of the curves is logarithmic.

    Raises:
        ValueError: there are no curves, or shapes do not fit.
    """
    steps = _style.array("steps", steps, k=None)
    if not curves:
        raise _checks.bad("curves", "no curves", "at least one method", "Pass {'default': accuracies}.")
    places = _style.places(curves, among)
    for name, values in curves.items():
        values, look = _style.array(f"curves[{name!r}]", values, repeats=None, k=len(steps)), _style.line(places[name])
        if len(values) > 1:
            ax.plot(steps, values.T, color=look["color"], linewidth=0.5, alpha=0.4)
        ax.plot(steps, values.mean(axis=0), linewidth=1.3, label=name, **look)
    if np.all(steps == np.round(steps)):
        ax.locator_params(axis="x", integer=True)
    if logarithmic:
        _style.logarithmic(ax, "y")
    _style.dress(ax, x=x, y=y, title=title)
    _legend(ax)


def plot_exchange(
    curves: Mapping[str, tuple[Real[ArrayLike, "_ k"], Real[ArrayLike, "_ k"]]],
    ax: "matplotlib.axes.Axes",
    *,
    x: str,
    y: str,
    among: Sequence[str] = (),
    title: str | None = None,
) -> None:
    """Draw one quantity against another, on a logarithmic axis of the first: a faint line for each repeat, and a line
    for the mean of both, with a marker for each step.

    Args:
        curves: for each method, in the order of the colours, both quantities as [repeats, steps].
        ax: the Axes to draw on.
        x: label of the first quantity.
        y: label of the second quantity.
        among: all possible names, in an order that determines their colours, so that several pictures agree.
        title: title above the Axes, to the left.

    Raises:
        ValueError: there are no curves, or the two quantities of one do not fit.
    """
    if not curves:
        raise _checks.bad("curves", "no curves", "at least one method", "Pass {'sexual': (efficiency, accuracy)}.")
    places = _style.places(curves, among)
    for name, (first, second) in curves.items():
        first = _style.array(f"curves[{name!r}][0]", first, repeats=None, steps=None)
        second = _style.array(f"curves[{name!r}][1]", second, repeats=len(first), steps=first.shape[1])
        look = _style.line(places[name])
        if len(first) > 1:
            for one, other in zip(first, second, strict=True):
                ax.plot(one, other, color=look["color"], linewidth=0.5, alpha=0.3)
        mean = np.exp(np.log(first).mean(axis=0)), second.mean(axis=0)
        ax.plot(*mean, marker=_style.marker(places[name]), markersize=3.5, linewidth=1.3, label=name, **look)
    _style.logarithmic(ax, "x")
    _style.dress(ax, x=x, y=y, title=title)
    _legend(ax)


def plot_clouds(
    clouds: Mapping[str, tuple[Real[ArrayLike, "n"], Real[ArrayLike, "n"]]],
    ax: "matplotlib.axes.Axes",
    *,
    x: str,
    y: str,
    among: Sequence[str] = (),
    title: str | None = None,
) -> None:
    """Draw two quantities against each other: a point for each repeat, and a large one for their mean.

    Args:
        clouds: for each method, in the order of the colours, both quantities.
        ax: the Axes to draw on.
        x: label of the first quantity.
        y: label of the second quantity.
        among: all possible names, in an order that determines their colours, so that several pictures agree.
        title: title above the Axes, to the left.

    Raises:
        ValueError: there are no clouds, or the two quantities of one do not fit.
    """
    if not clouds:
        raise _checks.bad("clouds", "no clouds", "at least one method", "Pass {'naive': (moved, lost)}.")
    places = _style.places(clouds, among)
    for name, (first, second) in clouds.items():
        first = _style.array(f"clouds[{name!r}][0]", first, n=None)
        second = _style.array(f"clouds[{name!r}][1]", second, n=len(first))
        colour, marker = _style.line(places[name])["color"], _style.marker(places[name])
        ax.scatter(first, second, s=8, alpha=0.35, linewidths=0, color=colour, marker=marker)
        mean = first.mean(), second.mean()
        ax.scatter(*mean, s=45, edgecolors="white", linewidths=0.8, label=name, zorder=3, color=colour, marker=marker)
    _style.dress(ax, x=x, y=y, title=title)
    _legend(ax)


def _legend(ax: "matplotlib.axes.Axes") -> None:
    """Put the legend to the right of the data."""
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), **_style.LEGEND)
