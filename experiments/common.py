"""What several studies share: how modules make a study, views, claims, table rows and figures by arm."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from evojax_align import lab, plotting
from evojax_align.plotting import _style

Measure: TypeAlias = ArrayLike | Callable[[Any], ArrayLike | None]
"""One value for each unit; or a function from a view to them, or to None if the run lacks them."""
NUMBERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "share": lambda x, y: None,
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "x - y": lambda x, y: x - y,
    "x / y": lambda x, y: x / y,
    "y / x": lambda x, y: y / x,
}
"""The number of a claim that x lies above y: the share of units for which that is true, or a mean."""


def study(package: str | None, title: str, description: str | None, **settings: Any) -> lab.Study:
    """The study of a package, by the names that the modules of all studies use."""
    modules = ("config", "study", "claims", "figures")
    config, own, claims, figures = (importlib.import_module(f"{package}.{name}") for name in modules)
    return lab.Study(
        name=str(package).rpartition(".")[2],
        title=title,
        description=description or "",
        presets=config.PRESETS,
        costs=config.COSTS,
        modes=config.MODES,
        cells=own.cells,
        prepare=own.Problem,
        run=own.run,
        merge=own.merge,
        view=claims.View,
        claims=claims.PRIMARY,
        explore=claims.explore,
        tables=claims.tables,
        figures=figures.draw,
        captions=figures.CAPTIONS,
        seen=claims.SEEN,
        **settings,
    )


class ArmView:
    """The merged arrays of a run by arm; NaN stands for what is not known, such as a cell that is missing.

    Attributes:
        arrays: by name, those of measures [arms, seeds, ...].
        names: the arms in the order of the arrays.
        arms: those that claims and tables are about; all of them, unless a study leaves some out.
    """

    def __init__(self, arrays: lab.Arrays, names: str = "arms") -> None:
        self.arrays = arrays
        self.names: list[str] = arrays[names].tolist()
        self.arms = self.names

    def __contains__(self, arm: str) -> bool:
        return arm in self.arms

    def of(self, arm: str, name: str) -> np.ndarray:
        """One measure of an arm, [seeds, ...]."""
        return self.arrays[name][self.names.index(arm)]


def above(
    name: str,
    statement: str,
    x: Measure,
    y: Measure,
    *,
    number: str | Callable[[Any], ArrayLike] = "share",
    arms: Iterable[str] = (),
    known: Callable[[Any], bool] = lambda view: True,
    unit: str = "seeds",
    paired: bool = True,
    paper: Mapping[str, float] | float | None = None,
    margin: float | None = None,
) -> lab.Claim:
    """The claim that x lies above y.

    Args:
        name: the identifier of the claim.
        statement: what it says in words.
        x: what is larger, if the claim is true.
        y: what is smaller.
        number: of `NUMBERS`, what is set beside the paper's number; or a function from a view to values to average.
        arms: a run without one of these does not decide the claim.
        known: whether a view decides it.
        unit: what is counted.
        paired: whether the values of x and y are of the same units.
        paper: the paper's number by data set, or that on MNIST.
        margin: how near to it agrees.
    """

    def compare(view: Any) -> lab.Comparison | None:
        if not (all(arm in view.arms for arm in arms) and known(view)):
            return None
        first, second = (side(view) if callable(side) else side for side in (x, y))
        if first is None or second is None:
            return None
        ours = number(view) if callable(number) else NUMBERS[number](first, second)
        return (lab.paired if paired else lab.unpaired)(first, second, ours=ours)

    return lab.Claim(name, statement, unit, compare, _by_data(paper), margin)


def mean_of(
    name: str,
    statement: str,
    of: Measure,
    paper: Mapping[str, float] | float | None,
    margin: float | None,
    *,
    arms: Iterable[str] = (),
    known: Callable[[Any], bool] = lambda view: True,
    unit: str = "seeds",
) -> lab.Claim:
    """A mean that is set beside the paper's number, without a direction; arguments are those of `above`."""

    def compare(view: Any) -> lab.Comparison | None:
        if not (all(arm in view.arms for arm in arms) and known(view)):
            return None
        values = of(view) if callable(of) else of
        return None if values is None else lab.measured(values)

    return lab.Claim(name, statement, unit, compare, _by_data(paper), margin)


def _by_data(paper: Mapping[str, float] | float | None) -> Mapping[str, float]:
    return paper if isinstance(paper, Mapping) else {} if paper is None else {"mnist": paper}


def decided(claims: Iterable[lab.Claim], view: Any) -> list[lab.Claim]:
    """The claims that a run has what they need for."""
    return [claim for claim in claims if claim.compare(view) is not None]


def identifier(*words: str) -> str:
    """Words as a name in lower case, digits and underscores."""
    return lab.slug(" ".join(words)).replace("-", "_")


def known_mean(values: ArrayLike, axis: int | None = -1) -> np.ndarray:
    """The mean along an axis of the values that are known; NaN where none is."""
    values = np.asarray(values, float)
    known = np.isfinite(values)
    count, total = known.sum(axis), np.where(known, values, 0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def average(values: ArrayLike) -> float | None:
    """The mean of the known values for a table, rounded; None if none is known."""
    return lab.finite(known_mean(values, None))


def row(labels: Mapping[str, Any], values: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """A row of a table: labels, and then the means of known values by their titles."""
    return {**labels, **{title: average(of) for title, of in values.items()}}


def deviation(values: np.ndarray) -> float | None:
    """The standard deviation of the known values for a table, rounded; None of fewer than two."""
    known = values[np.isfinite(values)]
    return lab.rounded(known.std(ddof=1)) if known.size > 1 else None


def finished(curves: Mapping[str, Any]) -> dict[str, Any]:
    """Curves for a figure, arrays [seeds, ...] or tuples of them, without seeds and arms of which nothing is known."""
    kept = {}
    for name, curve in curves.items():
        parts = curve if isinstance(curve, tuple) else (curve,)
        rows = np.isfinite(parts[0]).reshape(len(parts[0]), -1).any(axis=1)
        if rows.any():
            kept[name] = tuple(part[rows] for part in parts) if isinstance(curve, tuple) else curve[rows]
    return kept


def panels(
    path: Path,
    plot: Callable[..., Any],
    pictures: Sequence[tuple[ArrayLike, Mapping[str, Any], Mapping[str, Any]]],
    *,
    columns: int | None = None,
    **size: float,
) -> None:
    """Draw curves of finished seeds side by side with one legend, and save the figure.

    Args:
        path: the file.
        plot: a function of `plotting` such as `plot_trend`.
        pictures: for each panel its horizontal places, its curves by name, and the settings of `plot`. Names have the
            same colours in all panels, and in all figures that are given the same `among`.
        columns: of panels; by default all are in one row.
        size: of a panel, as `plotting.figure` takes it.
    """
    columns = columns or len(pictures)
    fig, axes = plotting.figure(-(-len(pictures) // columns), columns, **size)
    names = list(dict.fromkeys(name for _, curves, _ in pictures for name in curves))
    for number, ax in enumerate(axes.flat):
        places, curves, settings = pictures[number] if number < len(pictures) else ([], {}, {})
        if known := finished(curves):
            plot(np.asarray(places), known, ax, **{"among": names} | dict(settings))
        else:
            ax.set_axis_off()
    plotting.shared_legend(fig, axes, order=names)
    plotting.save(fig, path)


def mark_paper(ax: Any, x: Any, y: Any, place: int, label: str = "the paper") -> None:
    """Draw points of the paper in the colour of the arm at a place, as stars."""
    look = {"linestyle": "none", "marker": "*", "markersize": 8, "markeredgecolor": _style.INK, "markeredgewidth": 0.6}
    ax.plot([], [], color="white", label=label, **look)
    ax.plot(x, y, color=_style.line(place)["color"], zorder=4, **look)


def plot_rows(
    rows: Mapping[str, ArrayLike],
    ax: Any,
    *,
    x: str,
    title: str | None = None,
    colours: Mapping[str, int] | None = None,
    paper: Mapping[str, float] | None = None,
    source: str = "the paper",
    named: bool = True,
) -> None:
    """Draw the values of each row as points, their mean as a bar, and the paper's number as a star.

    Args:
        rows: by name, from top to bottom, the values of its repeats; those that are not known are left out.
        ax: drawn on.
        x: what the values are.
        title: above the Axes, to the left.
        colours: the places of the rows in the palette; by default all are the first.
        paper: the paper's numbers by row.
        source: what a legend calls it.
        named: whether the names stand to the left.
    """
    for place, (name, values) in enumerate(rows.items()):
        known = np.asarray(values, float)[np.isfinite(values)]
        colour = (colours or {}).get(name, 0)
        look = _style.line(colour)["color"]
        shift = np.linspace(-0.22, 0.22, len(known)) if len(known) > 1 else np.zeros(len(known))
        ax.scatter(known, place + shift, s=9, color=look, alpha=0.6, linewidths=0)
        if known.size:
            ax.plot([known.mean()] * 2, [place - 0.34, place + 0.34], color=look, linewidth=2.0)
        if name in (paper or {}):
            mark_paper(ax, [(paper or {})[name]], [place], colour, source)
    _style.dress(ax, x=x, y="", title=title, grid=False)
    ax.grid(axis="x", color=_style.FAINT, linewidth=0.6)
    ax.set_yticks(range(len(rows)), [*rows] if named else [""] * len(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)


def on_one_device(tree: Any) -> Any:
    """Arrays on several devices become arrays of the default device, for programs without a mesh; others stay."""
    return jax.tree.map(lambda leaf: leaf if len(leaf.devices()) == 1 else jnp.asarray(np.asarray(leaf)), tree)
