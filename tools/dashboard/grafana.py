"""A dashboard as Grafana keeps it, from panels that a reader can compare.

In Grafana's file each panel repeats what all of them share, so that a change of one query is lost in thousands of
lines. Here a panel is its title, what it tells, its queries, its unit and its thresholds.
The format is that of Grafana 10 and later (https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

SCHEMA_VERSION = 39
"""Of Grafana 10; a later Grafana migrates it when it loads the file."""
WIDTH = 24
"""Columns of a dashboard."""

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}


class Kind(Enum):
    """How a panel shows its values; the value is Grafana's name."""

    STAT = "stat"
    GRAPH = "timeseries"
    STATES = "state-timeline"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    expr: str
    legend: str = ""
    """Name of each series, with labels as `{{role}}`; of a table, the head of the column."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. Of a stat and a table the newest value is asked for, of the others the whole time that is shown."""

    title: str
    about: str
    queries: Sequence[Query]
    kind: Kind = Kind.STAT
    unit: str = "none"
    """One of Grafana's names: `s`, `bytes`, `ops` (a second), `none`."""
    width: int = 4
    height: int = 4
    warn: float | None = None
    """From this value on it is yellow."""
    bad: float | None = None
    """From this value on it is red."""
    below: bool = False
    """Whether small values are the bad ones: red below `bad`, yellow below `warn`."""
    words: Sequence[tuple[float, str, str]] = ()
    """Values that are shown as a word, in a colour."""
    stacked: bool = False
    names: bool = False
    """Whether a stat shows the names of its series, not their values."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of panels under a title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the reader chooses, from the values of a label."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """Moments that are marked in every graph."""

    name: str
    expr: str
    title: str
    text: str
    colour: str
    tags: str


def dashboard(
    title: str, about: str, variables: Sequence[Variable], annotations: Sequence[Annotation], rows: Sequence[Row]
) -> Json:
    """The whole dashboard."""
    return {
        "uid": "hotspare",
        "title": title,
        "description": about,
        "tags": ["hotspare"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [],
        "templating": {"list": [_source_variable(), *(_variable(each) for each in variables)]},
        "annotations": {"list": [_annotation(each) for each in annotations]},
        "panels": list(_laid_out(rows)),
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    """Rows and panels with their places: from left to right, a new line where one does not fit."""
    number = top = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(number, panel, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(number: int, panel: Panel, place: Json) -> Json:
    made = {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _field(panel), "overrides": _columns(panel)},
        "options": _options(panel),
        "targets": [_target(panel, place_of, query) for place_of, query in enumerate(panel.queries)],
    }
    if panel.kind is Kind.TABLE:
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": {}}},
        ]
    return made


def _target(panel: Panel, place: int, query: Query) -> Json:
    newest = panel.kind in (Kind.STAT, Kind.TABLE)
    return {
        "refId": _letter(place),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": newest,
        "range": not newest,
        "format": "table" if panel.kind is Kind.TABLE else "time_series",
    }


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _field(panel: Panel) -> Json:
    field: Json = {
        "unit": panel.unit,
        "mappings": [
            {"type": "value", "options": {f"{value:g}": {"text": text, "color": colour, "index": index}}}
            for index, (value, text, colour) in enumerate(panel.words)
        ],
        "thresholds": {"mode": "absolute", "steps": _steps(panel)},
        "color": {"mode": "palette-classic" if panel.kind is Kind.GRAPH else "thresholds"},
        "noValue": "none",
    }
    if panel.kind is Kind.GRAPH:
        has_limit = panel.warn is not None or panel.bad is not None
        field["min"] = 0
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 5,
            "spanNulls": False,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if has_limit else "off"},
        }
    elif panel.kind is Kind.STATES:
        field["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    elif panel.kind is Kind.TABLE:
        field["custom"] = {"align": "auto", "cellOptions": {"type": "auto"}}
    return field


def _steps(panel: Panel) -> list[Json]:
    """From the lowest value up; the first one holds from minus infinity on."""
    limits = [(limit, colour) for limit, colour in ((panel.warn, "yellow"), (panel.bad, "red")) if limit is not None]
    if not panel.below:
        return [{"color": "green", "value": None}, *({"color": colour, "value": limit} for limit, colour in limits)]
    steps, colour = [], "green"
    for limit, worse in limits:
        steps.append({"color": colour, "value": limit})
        colour = worse
    return [{"color": colour, "value": None}, *reversed(steps)]


def _columns(panel: Panel) -> list[Json]:
    """The heads of a table's columns. With one query Grafana calls its values `Value`, with several `Value #A`."""
    if panel.kind is not Kind.TABLE:
        return []
    several = len(panel.queries) > 1
    return [
        {
            "matcher": {"id": "byName", "options": f"Value #{_letter(place)}" if several else "Value"},
            "properties": [{"id": "displayName", "value": query.legend}],
        }
        for place, query in enumerate(panel.queries)
    ]


def _options(panel: Panel) -> Json:
    match panel.kind:
        case Kind.STAT:
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "background" if panel.warn is not None or panel.bad is not None else "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "name" if panel.names else "auto",
            }
        case Kind.GRAPH:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case Kind.STATES:
            return {
                "showValue": "auto",
                "mergeValues": True,
                "rowHeight": 0.8,
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "single", "sort": "none"},
            }
        case Kind.TABLE:
            return {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}


def _source_variable() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
        "current": {},
    }


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": SOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": variable.name},
        "regex": "",
        # Asked again when the time that is shown changes: receivers and accounts come and go.
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
        "current": {},
    }


def _annotation(annotation: Annotation) -> Json:
    return {
        "name": annotation.name,
        "enable": True,
        "hide": False,
        "datasource": SOURCE,
        "iconColor": annotation.colour,
        "expr": annotation.expr,
        "titleFormat": annotation.title,
        "textFormat": annotation.text,
        "tagKeys": annotation.tags,
        "useValueForTime": False,
    }
