"""From the cases' records to tables: one line a map, one a method and budget on a case, one a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from camlime.benchmark.methods import METHODS
from camlime.benchmark.quantities import BY_NAME
from camlime.extras import needed

Record = Mapping[str, Any]

NO_BUDGET = 0
"""In the tables, for methods that take none."""

_PURPOSE = "the benchmark's tables"


def maps_table(records: Sequence[Record]) -> Any:
    """A data frame with one line a map; removal quantities have a column a baseline, ``abpc [blur]``."""
    pandas = needed("pandas", extra="benchmark", purpose=_PURPOSE)
    lines = []
    for record in records:
        for made in record["maps"]:
            line = {**_about(record), **_key(made), "seed": made["seed"]}
            for name, baseline, value in _values_of_map(made):
                line[f"{name} [{baseline}]" if baseline else name] = value
            lines.append(line)
    return pandas.DataFrame(lines)


def stability_table(records: Sequence[Record]) -> Any:
    """A data frame with one line a case, method and budget: agreement of seeds, errors to the limits, coverage."""
    pandas = needed("pandas", extra="benchmark", purpose=_PURPOSE)
    lines = []
    for record in records:
        for found in record["stability"]:
            rest = {k: v for k, v in found.items() if k not in ("method", "budget", "seeds", "regions")}
            lines.append({**_about(record), **_key(found), "regions": found["regions"], **rest})
    return pandas.DataFrame(lines)


def values_table(records: Sequence[Record]) -> Any:
    """A data frame with columns ``case, patient, method, group, budget, quantity, baseline, value``.

    A value is the mean over seeds. Intervals count only where they are claimed: elsewhere there is no ``coverage``.
    """
    pandas = needed("pandas", extra="benchmark", purpose=_PURPOSE)
    lines = [line for record in records for line in _values_of_case(record)]
    columns = ["case", "patient", "method", "group", "budget", "quantity", "baseline", "value"]
    frame = pandas.DataFrame(lines, columns=columns).dropna(subset=["value"])
    keys = columns[:-1]
    return frame.groupby(keys, sort=False, as_index=False)["value"].mean()


def _values_of_case(record: Record) -> Iterator[dict[str, Any]]:
    about = {"case": record["case"], "patient": record["patient"]}
    for made in record["maps"]:
        for name, baseline, value in _values_of_map(made):
            if name in BY_NAME:
                yield {**about, **_key(made), "quantity": name, "baseline": baseline, "value": value}
    for found in record["stability"]:
        for name, value in found.items():
            claimed = name != "coverage" or found["intervals_supported"]
            if name in BY_NAME and claimed:
                yield {**about, **_key(found), "quantity": name, "baseline": "", "value": value}


def _values_of_map(made: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:
    for name in ("passes", "forward", "backward", "seconds", "tied_share"):
        yield name, "", made[name]
    for baseline, removal in made["removal"].items():
        for name, value in removal.items():
            if name in BY_NAME:
                yield name, baseline, value
    outline = made["outline"] or {}
    for kind, suffix in (("signed", ""), ("magnitude", "_magnitude")):
        for name, value in outline.get(kind, {}).items():
            yield name + suffix, "", value


def _key(found: Mapping[str, Any]) -> dict[str, Any]:
    method = METHODS[found["method"]]
    return {"method": method.name, "group": method.group, "budget": found["budget"] or NO_BUDGET}


def _about(record: Record) -> dict[str, Any]:
    return {
        "case": record["case"],
        "patient": record["patient"],
        "class": record["class"],
        "regions": record["regions"][0],
    }
