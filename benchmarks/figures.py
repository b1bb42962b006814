"""What a benchmark brings home, and what is made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Target:
    """What a figure should reach. ``ratio`` is against the fastest peer of the same run."""

    value: float
    ratio: float | None = None


@dataclass
class Figure:
    """One figure over several rounds.

    ``rounds`` has one mapping a round, from contender to value, so that values of a round can
    be compared with each other; ``notes`` says why a contender has none. ``details`` are further
    readings of Podium.
    """

    name: str
    unit: str
    better: Better
    target: Target | None = None
    rounds: list[Mapping[str, float]] = field(default_factory=list[Mapping[str, float]])
    notes: dict[str, str] = field(default_factory=dict[str, str])
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    def values(self, contender: str) -> list[float]:
        """What a contender reached, round by round."""
        return [values[contender] for values in self.rounds if contender in values]

    def median(self, contender: str) -> float | None:
        """The middle of what it reached."""
        values = self.values(contender)
        return median(values) if values else None

    def contenders(self) -> list[str]:
        """Who has a value or a reason to have none, Podium aside, in order of appearance."""
        names = [name for values in self.rounds for name in values] + list(self.notes)
        return list(dict.fromkeys(name for name in names if name != "podium"))

    def ratio(self, peer: str) -> float | None:
        """How many times better Podium was: the median over the rounds in which both ran."""
        ratios = [
            _times_better(values["podium"], values[peer], self.better)
            for values in self.rounds
            if "podium" in values and peer in values
        ]
        return median(ratios) if ratios else None

    def worst_ratio(self) -> float | None:
        """The ratio against the fastest peer."""
        ratios = [ratio for peer in self.contenders() if (ratio := self.ratio(peer)) is not None]
        return min(ratios) if ratios else None

    def met(self) -> bool | None:
        """Whether the target was reached; None without a target or a value."""
        value = self.median("podium")
        if self.target is None or value is None:
            return None
        reached = (
            value >= self.target.value if self.better == "higher" else (value <= self.target.value)
        )
        if self.target.ratio is None:
            return reached
        ratio = self.worst_ratio()
        return None if ratio is None else reached and ratio >= self.target.ratio

    def as_json(self) -> dict[str, Any]:
        """The form of ``results.json``."""
        peers = self.contenders()
        ratios = {peer: _rounded(self.ratio(peer)) for peer in peers}
        result: dict[str, Any] = {
            "podium": _rounded(self.median("podium")),
            "peers": {peer: _rounded(self.median(peer)) for peer in peers},
            "ratio": _rounded(self.worst_ratio()),
            "unit": self.unit,
            "better": self.better,
            "target": self._target_json(),
            "met": self.met(),
            "ratios": ratios,
            "spread": {name: _spread(self.values(name)) for name in ("podium", *peers)},
        }
        return result | {"notes": self.notes, "details": self.details}

    def _target_json(self) -> dict[str, float] | None:
        if self.target is None:
            return None
        bound = "at_least" if self.better == "higher" else "at_most"
        ratio = {} if self.target.ratio is None else {"ratio_at_least": self.target.ratio}
        return {bound: self.target.value, **ratio}


def _times_better(podium: float, peer: float, better: Better) -> float:
    more, less = (podium, peer) if better == "higher" else (peer, podium)
    return more / max(less, 1e-9)


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    rounded = [_rounded(value) for value in values]
    return {"min": _rounded(min(values)), "max": _rounded(max(values)), "rounds": rounded}


def _rounded(value: float | None) -> float | None:
    """Four significant digits: more would claim what the noise does not allow."""
    return None if value is None else float(f"{value:.4g}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed; ``values`` is not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
