"""Rows that compare ways of doing one thing, in turns (A B A B), and what they should reach."""

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align.lab.report import text_table
from experiments.benchmarks import session
from experiments.benchmarks.core.ways import Apart, Here, Stopped, Timing, Way, busy
from experiments.benchmarks.session import FAILED, MEASURED, NOT_RUN
from experiments.benchmarks.timing import REST

ROUNDS = 7
"""Rounds of all ways after the first call, at most; at least one is made."""
SHARE, OF_STARTS, OF_CALL = 1 / 40, 1 / 20, 1 / 10
"""Parts of the whole time: for the rounds of a row, for starting it anew, and for one call in a fresh
process, which has two minutes at least."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """A number of a row's result that should be reached; never asserted, only printed beside what was measured.

    Attributes:
        what: the number, for readers.
        path: where it stands in the result.
        limit: how large it should be.
        at_least: whether larger is better.
    """

    what: str
    path: tuple[str, ...]
    limit: float
    at_least: bool = False

    def judged(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The goal beside the number; `reached` is None where there is no number."""
        found: Any = result
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        reached = None
        if found is not None:
            reached = found >= self.limit if self.at_least else found <= self.limit
        limit = f"{'at least' if self.at_least else 'at most'} {self.limit:.3g}"
        return {"goal": self.what, "limit": limit, "measured": found, "reached": reached}


def first(seconds: float, way: str = "ours") -> Goal:
    """The first call of a process."""
    return Goal(f"first call, s ({way})", ("ways", way, "first_s"), seconds)


def repeat(seconds: float, way: str = "ours") -> Goal:
    """The median of further calls."""
    return Goal(f"repeat, s ({way})", ("ways", way, "median_s"), seconds)


def times(peer: str, ratio: float, kind: str = "repeat") -> Goal:
    """How many times our seconds a peer takes."""
    return Goal(f"seconds of {peer} over ours, {kind}", ("compared", peer, kind), ratio, at_least=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """Something that is done in several ways.

    Attributes:
        name: what is done, with its sizes.
        family: rows of one family do the same at different sizes, the smallest first.
        ways: ours first, with which all others are compared.
        amount: work of one call.
        unit: of the amount; rates are in units a second.
        goals: what should be reached.
        fresh: whether each way runs in a fresh process, so that its first call compiles everything.
        starts: how often all ways are started anew, at most; the first call is the median of these.
        busy: whether another process keeps a core busy meanwhile.
        sizes: for ways that do the same at several sizes, of which the exponent of the cost is fitted.
    """

    name: str
    family: str
    ways: tuple[Way, ...]
    amount: float = 1.0
    unit: str = "calls"
    goals: tuple[Goal, ...] = ()
    fresh: bool = False
    starts: int = 1
    busy: bool = False
    sizes: tuple[float, ...] = ()


class Session(session.Session):
    """Rows with peers.

    Attributes:
        rest: seconds between two calls, for threads of BLAS libraries that go on spinning.
    """

    def __init__(self, file: Path | None, minutes: float, settings: Mapping[str, Any], rest: float = REST) -> None:
        super().__init__(file, minutes, {**settings, "machine": session.machine()}, {})
        self.rest = rest

    def measure(self, row: Row) -> dict[str, Any]:
        """All ways that can be run here, in turns."""
        ways = [way for way in row.ways if not way.missing]
        series = {way.name: Series() for way in ways}
        began, load = time.monotonic(), os.getloadavg()[0]
        with busy() if row.busy else contextlib.nullcontext():
            for start in range(1, row.starts + 1):
                self._started(row, ways, series)
                if (time.monotonic() - began) * (1 + 1 / start) > self.limit * OF_STARTS:
                    break
        result: dict[str, Any] = {"status": MEASURED, "fresh": row.fresh, "busy": row.busy}
        result |= {"load_before": load, "unit": f"{row.unit}/s", "missing": [w.name for w in row.ways if w.missing]}
        result["ways"] = {name: one.entries(None if row.sizes else row.amount) for name, one in series.items()}
        result |= summed(result["ways"], row)
        result["goals"] = [goal.judged(result) for goal in row.goals]
        failed = {name: one.error for name, one in series.items() if one.error}
        return result | ({"status": FAILED, "error": f"{failed}"} if failed else {})

    def describe(self, result: dict[str, Any]) -> str:
        """A line for each way and goal."""
        return described(result)

    def summary(self) -> str:
        """Two tables: all ways, and all goals."""
        return summary(self.results)

    def _started(self, row: Row, ways: Sequence[Way], series: Mapping[str, "Series"]) -> None:
        """Start every way, call each a first time, and then in turns."""
        with contextlib.ExitStack() as stack:
            running = {}
            for way in ways:
                with series[way.name].watched():
                    apart = row.fresh or way.environment
                    one = Apart(way, self._longest) if apart else Here(way)
                    stack.callback(one.close)
                    series[way.name].first.append(self._called(one))
                    running[way.name] = one
            began, rounds = time.monotonic(), 0
            while running and rounds < ROUNDS:
                lasted = (time.monotonic() - began) / max(rounds, 1)
                if rounds and (rounds + 1) * lasted > min(self.limit * SHARE / row.starts, self.left):
                    break
                for name in list(running):
                    with series[name].watched():
                        series[name].steady.append(self._called(running[name]))
                        continue
                    del running[name]
                rounds += 1
            for name, one in running.items():
                with series[name].watched():
                    series[name].more = one.inspect()

    @property
    def _longest(self) -> float:
        return min(max(120.0, self.limit * OF_CALL), self.left)

    def _called(self, one: Here | Apart) -> Timing:
        time.sleep(self.rest)
        return one.call(self._longest)


@dataclasses.dataclass
class Series:
    """What was measured of one way.

    Attributes:
        first: the first call of every start.
        steady: all further calls.
        more: what the way's `inspect` found.
        error: what it failed with.
        stopped: after how long a call was stopped.
    """

    first: list[Timing] = dataclasses.field(default_factory=list)
    steady: list[Timing] = dataclasses.field(default_factory=list)
    more: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: str | None = None
    stopped: str | None = None

    @contextlib.contextmanager
    def watched(self) -> Any:
        """Keep an error of the way as its result: the others go on."""
        try:
            yield
        except Stopped as end:
            self.stopped = str(end)
        except Exception as error:
            self.error = f"{type(error).__name__}: {str(error)[:1000]}"

    def entries(self, amount: float | None) -> dict[str, Any]:
        """Of the way's result: medians, extremes, and every single number."""
        found: dict[str, Any] = {name: value for name in ("error", "stopped") if (value := getattr(self, name))}
        if self.first:
            found |= {"first_s": statistics.median(t.wall_s for t in self.first)}
            found |= {"first_cpu_s": statistics.median(t.cpu_s for t in self.first)}
            found |= {"firsts": [t.wall_s for t in self.first], "first_peak_bytes": _largest(self.first)}
        if self.steady:
            walls = [t.wall_s for t in self.steady]
            median = statistics.median(walls)
            found |= {"repeats": len(walls), "median_s": median, "min_s": min(walls), "max_s": max(walls)}
            found |= {"cpu_s": statistics.median(t.cpu_s for t in self.steady), "steady": walls}
            found |= {"peak_bytes": _largest(self.steady)}
        found |= self.more
        if self.steady and amount is not None:
            found |= {"rate": amount / found["median_s"], "rate_of_cpu": amount / max(found["cpu_s"], 1e-9)}
        return found


def _largest(timings: Sequence[Timing]) -> int | None:
    return max((t.peak_bytes for t in timings if t.peak_bytes is not None), default=None)


def summed(ways: Mapping[str, Mapping[str, Any]], row: Row) -> dict[str, Any]:
    """What the ways of a row say together: ratios of medians to the first way, or exponents of the cost."""
    rounds = {"repeats": max((way.get("repeats", 0) for way in ways.values()), default=0)}
    rounds |= {"round_s": sum(way.get("median_s", 0.0) for way in ways.values())}
    kinds = {"first": "first_s"} if row.fresh else {}  # in a process that has compiled other rows it says little
    kinds |= {"repeat": "median_s"}
    if row.sizes:
        sizes = dict(zip((way.name for way in row.ways), row.sizes, strict=True))
        found = {
            kind: exponent([(sizes[n], w[key]) for n, w in ways.items() if key in w]) for kind, key in kinds.items()
        }
        return rounds | {"exponents": found}
    ours, *_ = row.ways
    compared: dict[str, dict[str, float]] = {}
    for name, way in ways.items():
        both = {kind: key for kind, key in kinds.items() if key in way and key in ways.get(ours.name, {})}
        if name != ours.name and both:
            compared[name] = {kind: way[key] / ways[ours.name][key] for kind, key in both.items()}
    return rounds | {"compared": compared}


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of log seconds over log size, by least squares; None for fewer than two points."""
    if len(points) < 2:
        return None
    sizes, seconds = np.log(np.array(points)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def described(result: Mapping[str, Any]) -> str:
    """One result, a line for each way and goal."""
    if "ways" not in result:
        return result["status"] + (f": {result['error'][:300]}" if "error" in result else "")
    lines = [result["status"]]
    for name, way in result["ways"].items():
        parts = [f"first {way['first_s']:.3g} s"] if "first_s" in way and result["fresh"] else []
        if "median_s" in way:
            parts += [f"repeat {way['median_s']:.3g} s [{way['min_s']:.3g}, {way['max_s']:.3g}] of {way['repeats']}"]
            parts += [f"CPU {way['cpu_s']:.3g} s"]
        if "rate" in way and result["unit"] != "calls/s":
            parts += [f"{way['rate']:.3g} {result['unit']}", f"{way['rate_of_cpu']:.3g} of CPU time"]
        ratios = result.get("compared", {}).get(name, {})
        parts += [f"{ratio:.3g} times ours ({kind})" for kind, ratio in ratios.items()]
        parts += [f"{key} {_short(way[key])}" for key in way if key not in KNOWN]
        lines.append(f"{name}: {', '.join(parts)}")
    lines += [f"{name}: not installed" for name in result["missing"]]
    lines += [f"exponent, {kind}: {_short(value)}" for kind, value in result.get("exponents", {}).items()]
    lines += [f"goal: {g['goal']} {g['limit']}: {_short(g['measured'])}, {_verdict(g)}" for g in result["goals"]]
    return "\n        ".join(lines)


KNOWN = {
    *(
        "first_s",
        "first_cpu_s",
        "firsts",
        "first_peak_bytes",
        "repeats",
        "median_s",
        "min_s",
        "max_s",
        "cpu_s",
        "steady",
    ),
    *("peak_bytes", "rate", "rate_of_cpu"),
}
"""Entries that have columns, or are too long for a line."""


def _short(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else "–" if value is None else value


def _verdict(goal: Mapping[str, Any]) -> str:
    return {True: "reached", False: "not reached", None: "not measured"}[goal["reached"]]


def table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each row and way."""

    def short(way: Mapping[str, Any], key: str) -> float | None:
        return float(f"{way[key]:.3g}") if way.get(key) is not None else None

    return [
        {
            "row": result["row"] if number == 0 else "",
            "way": name,
            "first, s": short(way, "first_s") if result["fresh"] else None,
            "repeat, s": short(way, "median_s"),
            "fastest": short(way, "min_s"),
            "slowest": short(way, "max_s"),
            "CPU, s": short(way, "cpu_s"),
            "times ours": short(result.get("compared", {}).get(name, {}), "repeat"),
        }
        for result in results
        for number, (name, way) in enumerate(result.get("ways", {}).items())
    ]


PEERS = ("NumPy", "plain JAX", "PyTorch", "scipy", "optax", "lapx", "Git Re-Basin", "matrix product", "three matrix")
"""How the names of ways begin that are not ours."""


KINDS = {
    "CCA": "CCA and SVCCA",
    "SVCCA": "CCA and SVCCA",
    "weight matching": "weight matching",
    "training": "training",
    "correlations": "correlations",
    "assignment": "exact assignment",
    "sweep": "a sweep of 25 points",
}
"""How the names of rows begin, and what they are together."""


def brief(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each kind of rows that have a peer: how many times our seconds the fastest peer takes."""
    found: dict[str, list[tuple[float, str]]] = {}
    for result in results:
        compared = [(of["repeat"], n) for n, of in result.get("compared", {}).items() if n.startswith(PEERS)]
        if compared:
            kind = next((kind for start, kind in KINDS.items() if result["row"].startswith(start)), result["row"])
            found.setdefault(kind, []).append(min(compared))
    return [
        {
            "what": kind,
            "rows": len(fastest),
            "fastest peers": ", ".join(dict.fromkeys(name.partition(",")[0] for _, name in fastest)),
            "least": float(f"{min(fastest)[0]:.3g}"),
            "most": float(f"{max(fastest)[0]:.3g}"),
        }
        for kind, fastest in found.items()
    ]


def goals(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each goal, beside what was measured."""
    return [
        {"row": result["row"]} | {k: _short(v) for k, v in goal.items() if k != "reached"} | {"verdict": _verdict(goal)}
        for result in results
        for goal in result.get("goals", ())
    ]


def summary(results: Sequence[Mapping[str, Any]]) -> str:
    """Both tables, and how many rows failed or were not run."""
    lines = [text_table(table(results)), "", text_table(goals(results)), ""]
    for status in (FAILED, NOT_RUN):
        names = [result["row"] for result in results if result["status"] == status]
        lines.append(f"{status}: {len(names)}" + "".join(f"\n  {name}" for name in names))
    return "\n".join(lines)
