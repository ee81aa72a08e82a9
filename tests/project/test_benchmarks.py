"""The benchmarks: their figures are README's, their arithmetic is right, and the guard guards."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import apps, chart, harness, leases, report, result
from benchmarks.instructions import (
    TOLERANCE,
    TOLERANCE_OF_OTHERS,
    Counts,
    here,
    measure,
    most_allowed,
    recorded,
)


class TestPublished:
    def test_readme_has_the_measured_figures_and_no_others(self) -> None:
        section = report.SECTION.search(report.README.read_text())
        assert section is not None
        assert section.group() == report.readme_section(report.Results.read())

    def test_the_chart_is_drawn_from_the_results(self) -> None:
        assert report.CHART.read_text() == report.chart_of(report.Results.read())

    def test_the_results_are_of_a_whole_run(self) -> None:
        data = report.Results.read().data
        assert data["rounds"] == harness.Plan().rounds
        assert {"machine", "versions", "measured"} <= data.keys()
        assert "flask-tenant-auth" in data["versions"]

    def test_readme_has_a_table_of_leases_where_they_were_measured(self) -> None:
        data = json.loads(report.RESULTS.read_text())
        data["subjects"].pop("leases", None)
        without = report.readme_section(report.Results(data))
        made = [leases.Round(1000.0, 9.0, 1.0), leases.Round(2000.0, 5.0, 0.004)]
        subject = leases.subject(
            {part: [each] for part, each in zip(leases.PARTS, made, strict=True)}
        )
        data["subjects"]["leases"] = subject.to_json()
        section = report.readme_section(report.Results(data))
        assert "| `RATELIMIT_LEASE=0.5` | 2,000/s, p99 5.00 ms | 0.004 |" in section
        assert "RATELIMIT_LEASE" not in without

    def test_every_figure_with_a_goal_says_whether_it_is_reached(self) -> None:
        figures = [
            figure
            for subject in report.Results.read().subjects.values()
            for figure in subject.figures
        ]
        assert figures
        assert {figure.reached for figure in figures} <= {True, False}


def test_our_stack_does_the_work_that_is_measured() -> None:
    """`make bench` refuses to measure it otherwise."""
    apps.check_that_it_works(apps.OURS)


class TestHarness:
    def test_medians_quartiles_and_differences_are_right(self) -> None:
        samples = harness.Samples((5.0, 1.0, 4.0, 2.0, 3.0))
        assert (samples.low, samples.median, samples.high) == (2, 3, 4)
        assert harness.Samples((3.0, 9.0)).minus(harness.Samples((1.0, 2.0))).rounds == (2, 7)
        assert harness.Samples((3.0, 9.0)).over(harness.Samples((1.0, 3.0))).rounds == (3, 3)

    def test_every_case_is_timed_in_every_round(self) -> None:
        plan = harness.Plan(rounds=3, turn_seconds=1e-4)
        calls = {"a": 0, "b": 0}

        def call_of(name: str) -> harness.Call:
            def call() -> None:
                calls[name] += 1

            return call

        timed = harness.interleave({name: call_of(name) for name in calls}, plan)
        assert {len(samples.rounds) for samples in timed.values()} == {3}
        assert all(count > 3 for count in calls.values())

    def test_a_slower_case_has_a_longer_time(self) -> None:
        plan = harness.Plan(rounds=3, turn_seconds=1e-3)
        timed = harness.interleave(
            {"few": lambda: sum(range(10)), "many": lambda: sum(range(10_000))}, plan
        )
        assert timed["many"].median > 10 * timed["few"].median

    def test_goals_are_reached_or_missed(self) -> None:
        assert result.Figure.at_most("x", 2, 3).reached
        assert not result.Figure.at_most("x", 4, 3).reached
        assert result.Figure.no_less("x", 4, 3).reached
        assert not result.Figure.no_less("x", 2, 3).reached

    def test_a_subject_is_the_same_after_json(self) -> None:
        subject = result.Subject(
            "name",
            "Title",
            (result.Table.of("table", "us", {"a": harness.Samples((1.0, 2.0))}),),
            (result.Figure.at_most("figure", 1, 2),),
            ("a note",),
        )
        assert result.Subject.from_json(json.loads(json.dumps(subject.to_json()))) == subject


def test_a_chart_is_svg_with_a_bar_for_each_figure() -> None:
    bars = [chart.Bar("ours & <others>", 1.5, ours=True), chart.Bar("theirs", 300, ours=False)]
    drawn = ElementTree.fromstring(chart.draw("Title", "us", [chart.Group("group", bars)]))
    names = [each.tag.rpartition("}")[2] for each in drawn.iter()]
    assert names.count("rect") == 2
    assert "ours & <others>" in "".join(drawn.itertext())


class TestGuard:
    def test_a_known_interpreter_may_grow_by_a_tenth(self) -> None:
        assert most_allowed("a", {"a": 0.2, "b": 0.9}) == pytest.approx(0.2 * (1 + TOLERANCE))

    def test_an_unknown_interpreter_is_compared_with_the_largest_record(self) -> None:
        known = {"a": 0.2, "b": 0.3}
        assert most_allowed("c", known) == pytest.approx(0.3 * (1 + TOLERANCE_OF_OTHERS))

    if sys.platform == "linux":  # valgrind does not run on the macOS of today

        def test_a_request_takes_no_more_instructions_than_it_did(self) -> None:
            counted = measure()
            ours = Counts(counted["bare"], counted["ours"])
            burdened = Counts(counted["bare"], counted["burdened"])
            most = most_allowed(here(), recorded())
            assert 0 < ours.share <= most, f"{here()}: {ours.share:.4f}, not {most:.4f}"
            # The same guard sees a small burden on every request.
            assert burdened.share > most, f"{here()}: {burdened.share:.4f} passes {most:.4f}"
