"""`python -m analysis wandb STUDY --workspace`: its view and report at W&B, made by code."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.effects import Effect, interaction_effects, main_effects
from analysis.effects_table import INTERACTIONS_SHOWN, cells, headings, legend_lines
from analysis.export import MARKDOWN, escaped, markdown_text
from analysis.findings import Findings, find, headline, question
from analysis.results import Results
from analysis.run_files import read_object
from analysis.variants import short_names
from analysis.wandb_account import signed_in
from analysis.wandb_summary import label_of, tracking_of
from repghost.atomic import write_json, write_text
from repghost.objective import Objective
from repghost.tracking.told import SAMPLES, TIMES
from repghost.tracking.wandb_run import has_account

IDS = "views.json"  # what was pushed where: pushed again, it replaces that
OF_CONFIG = ("model", "data", "recipe", "task", "latency", "seed")  # where a run's config has them
COLUMNS = (*TIMES, "device", "protocol", "latency_samples_n", "latency_settled", "latency_flags")
COSTS = (("macs", "MACs"), ("params", "parameters"))
TITLE_LETTERS = 128  # W&B's own limit
WIDE = {"w": 24, "h": 10}


def make_workspace(results: Results, console: Console) -> None:
    """Write the view and the report as JSON; push both to W&B where an account is set up.

    Pushed again, they replace what was pushed before.

    Raises:
        ValueError: wandb-workspaces is missing, or W&B raised an error.
        OSError: a file cannot be written.
    """
    folder = results.study_dir / "wandb"
    spec = tracking_of(results.study_dir)
    if not has_account():
        place = spec.entity or "", spec.project
        _write(view(results, *place), report(results, *place), folder, console)
        console.print("no W&B account: nothing was pushed", highlight=False)
        return
    with signed_in(folder) as api:
        place = spec.entity or api.default_entity, spec.project
        shown, told = view(results, *place), report(results, *place)
        _write(shown, told, folder, console)
        _push(shown, told, folder, "/".join(place))
        for url in (shown.url, told.url):
            console.print(url, markup=False, soft_wrap=True)


def view(results: Results, entity: str, project: str) -> Any:
    """Return the saved view: front, parallel coordinates, curves by group, latency.

    Raises:
        ValueError: wandb-workspaces is missing.
    """
    workspaces, _ = _library()
    found = find(results)
    sections = [
        ("Accuracy against latency", [*_scatters(results, found), _parallel(results, found)]),
        ("Curves", [] if found.measured_only else _curves(results)),
        ("Latency", [_bars(), _table(SAMPLES)]),
        ("The study", [_table("results"), _table("effects")]),
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=_without_symbols(results.study),
        sections=[
            workspaces.Section(name=name, panels=panels, is_open=True)
            for name, panels in sections
            if panels
        ],
        runset_settings=workspaces.RunsetSettings(
            filters=_filters(results), pinned_columns=[f"summary:{name}" for name in COLUMNS]
        ),
    )


def report(results: Results, entity: str, project: str) -> Any:
    """Return the report: what the study says, its tables of variants and of effects, its panels.

    Raises:
        ValueError: wandb-workspaces is missing.
    """
    _, reports = _library()
    found = find(results)
    panels = [*_scatters(results, found), _parallel(results, found)]
    panels += [] if found.measured_only else _curves(results)
    runs = reports.Runset(name=results.study, filters=_filters(results))  # of the report's project
    blocks = [
        reports.P(question(results, found)),
        reports.UnorderedList(items=headline(found)),
        reports.H2("Variants"),
        reports.MarkdownBlock(markdown_text(results)),
        *_effect_blocks(results, reports),
        reports.H2("Runs"),
        reports.PanelGrid(runsets=[runs], panels=panels),
    ]
    title = results.study[:TITLE_LETTERS]
    return reports.Report(project=project, entity=entity, title=title, blocks=blocks)


def _without_symbols(name: str) -> str:
    """Return a name that a view may have: symbols, such as =, are spaces."""
    return "".join(" " if unicodedata.category(char)[0] == "S" else char for char in name)


def _effect_blocks(results: Results, reports: Any) -> list[Any]:
    mains, crossed = main_effects(results), interaction_effects(results)
    shown = crossed[:INTERACTIONS_SHOWN]  # the notes count the tests of all
    blocks = [
        block
        for title, effects in (("Ablation effects", mains), ("Interactions", shown))
        if effects
        for block in (reports.H2(title), reports.MarkdownBlock(effects_markdown(effects)))
    ]
    notes = [reports.UnorderedList(items=legend_lines([*mains, *crossed]))] if mains else []
    return blocks + notes


def effects_markdown(effects: Sequence[Effect]) -> str:
    """Return a table of effects as GitHub's Markdown."""
    names = headings(effects)
    rows = [names, ["---"] * len(names), *map(cells, effects)]
    texts = [[escaped(cell, MARKDOWN) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in texts)


def _objectives(results: Results) -> list[Objective]:
    """Return what the runs are scored by: several where there are several tasks."""
    return list(dict.fromkeys(row.objective for row in results.rows))


def _scatters(results: Results, found: Findings) -> list[Any]:
    _, reports = _library()
    if found.measured_only:
        return []
    return [
        reports.ScatterPlot(
            title=f"{one.label} against latency",
            x=reports.SummaryMetric("latency_ms"),
            y=reports.SummaryMetric(one.name),
            layout=reports.Layout(**WIDE),
        )
        for one in _objectives(results)
    ]


def _parallel(results: Results, found: Findings) -> Any:
    _, reports = _library()
    settings = [(reports.Config(key), name) for key, name in _settings(results).items()]
    costs = [(reports.SummaryMetric(key), name) for key, name in COSTS]
    scores = [] if found.measured_only else [(one.name, one.label) for one in _objectives(results)]
    ends = [(reports.SummaryMetric(key), name) for key, name in [("latency_ms", "ms"), *scores]]
    columns = [
        reports.ParallelCoordinatesPlotColumn(metric, display_name=name)
        for metric, name in [*settings, *costs, *ends]
    ]
    return reports.ParallelCoordinatesPlot(columns=columns, layout=reports.Layout(**WIDE))


def _settings(results: Results) -> dict[str, str]:
    """Return the swept keys that a run's config has, with their short names."""
    names = short_names(results.swept)
    return {key: names[key] for key in results.swept if key.partition(".")[0] in OF_CONFIG}


def _curves(results: Results) -> list[Any]:
    """Return a score's mean curve with its range for each value of each key; losses for all."""
    _, reports = _library()
    grouped = [
        reports.LinePlot(
            title=f"{one.label} by {name}",
            x="epoch",
            y=[one.name],
            groupby=reports.Config(key),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        )
        for one in _objectives(results)
        for key, name in _settings(results).items()
    ]
    losses = reports.LinePlot(title="loss", x="epoch", y=["val_loss", "train_loss"])
    return [*grouped, losses]


def _bars() -> Any:
    _, reports = _library()
    return reports.BarPlot(title="latency, ms", metrics=["latency_ms"])


def _table(name: str) -> Any:
    _, reports = _library()
    return reports.WeavePanelSummaryTable(table_name=name, layout=reports.Layout(**WIDE))


def _filters(results: Results) -> Any:
    """Return what chooses the study's runs: its group, and those that another study trained."""
    workspaces, _ = _library()
    keys = list(dict.fromkeys(row.key for row in results.rows))
    chosen = workspaces.Metric("ID").isin([*keys, label_of(results).id])
    return workspaces.Or(workspaces.Metric("Group") == results.study, chosen)


def _library() -> tuple[Any, Any]:
    """Return the modules for views and for reports.

    Raises:
        ValueError: they are not installed; it is said how to.
    """
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ValueError(
            "--workspace needs wandb-workspaces: pip install wandb-workspaces, or the extra:"
            ' pip install ".[lab]"'
        ) from error
    return workspaces, reports


def _write(shown: Any, told: Any, folder: Path, console: Console) -> None:
    """Write both as W&B would get them."""
    for name, made in (("workspace.json", shown), ("report.json", told)):
        spec = made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        write_text(folder / name, f"{spec}\n")
        console.print(str(folder / name), markup=False, soft_wrap=True)


def _push(shown: Any, told: Any, folder: Path, place: str) -> None:
    """Save both at W&B, in the place of what was saved there before."""
    known = read_object(folder / IDS)
    before = known.get(place)
    if before:
        shown._internal_name, shown._internal_id = before["view"], before["view_id"]
        told.id = before["report"]
    shown.save()
    told.save()
    now = {"view": shown._internal_name, "view_id": shown._internal_id, "report": told.id}
    write_json(folder / IDS, known | {place: now})
