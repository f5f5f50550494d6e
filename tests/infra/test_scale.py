"""The simulation is of the policy that Terraform deploys, and says what docs/scale.md says."""

import re
import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import pytest
import scale_cost as cost
from scale_cloudwatch import reckon
from scale_policy import NOTHING, WAKE_POINTS, Policy, Scaling, Shown, backlog, backlog_per_task, waiting_for_nobody
from scale_report import hours_of_a_million
from scale_simulation import Simulation, World, scenarios

from tests.infra.terraform import ROOT, Rendered
from worker.aws.emf import METRICS


@pytest.mark.parametrize("name", list(scenarios()))
@pytest.mark.parametrize("seed", range(3))
def test_no_work_is_lost_or_ended_by_scale_in(name: str, seed: int) -> None:
    run = Simulation(scenarios()[name], Policy(), World(), seed=seed).run()
    assert abs(run.lost) < 1e-6
    assert run.scaled_in_busy == 0


def test_without_protection_busy_tasks_would_be_ended() -> None:
    """The figure that the other test asserts to be none can be another."""
    run = Simulation(scenarios()["steady"], Policy(), World(protected=False)).run()
    assert run.scaled_in_busy > 0
    assert run.handed_back > 0
    assert abs(run.lost) < 1e-6


def test_nothing_is_lost_where_half_the_tasks_die_every_hour() -> None:
    rough = World(spot_interruptions_an_hour=0.5, crashes_an_hour=0.5)
    run = Simulation(scenarios()["burst"], Policy(), rough).run()
    assert run.crashed > 10
    assert run.redone > 0
    assert abs(run.lost) < 1e-6


def test_the_service_comes_to_rest_after_every_pattern() -> None:
    for arrivals in scenarios().values():
        simulation = Simulation(arrivals, Policy(), World())
        simulation.run()
        assert simulation.desired == 0
        assert not simulation.tasks


def test_poison_ends_in_the_dead_letter_queue_and_holds_no_fleet() -> None:
    run = Simulation(scenarios()["poison"], Policy(), World()).run()
    assert run.dead_letters == sum(poison for _, _, poison in scenarios()["poison"])
    assert run.peak < Policy().max_tasks


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (Simulation(scenarios()["steady"], Policy(), World(), seed=7).run() for _ in range(2))
    assert first == second


def test_figures_that_are_missing_scale_nothing() -> None:
    assert backlog_per_task(NOTHING, 36) is None
    assert waiting_for_nobody(NOTHING) is None
    assert backlog(NOTHING) is None
    scaling = Scaling(Policy())
    assert {scaling.desired(minute, NOTHING, NOTHING, 7) for minute in range(60)} == {7}


BUSY = Shown(visible=5_000, in_flight=200, delayed=0, tasks=None, received=100, empty=0)
ONLY_VISIBLE = Shown(visible=5_000, in_flight=None, delayed=None, tasks=50)
DESERTED = Shown(visible=5_000, in_flight=0, delayed=0, tasks=None, received=0, empty=0)


def test_a_busy_fleet_is_not_taken_for_nobody_where_its_task_count_is_late() -> None:
    scaling = Scaling(Policy())
    assert {scaling.desired(minute, BUSY, NOTHING, 50) for minute in range(10)} == {50}


@pytest.mark.parametrize("minutes", [1, 2, 10])
def test_minutes_with_only_waiting_messages_never_shrink_a_fleet(minutes: int) -> None:
    """A policy that set a count made 20 of 50 busy tasks here."""
    scaling, desired, seen = Scaling(Policy()), 50, []
    for minute, shown in enumerate([BUSY] * 5 + [ONLY_VISIBLE] * minutes + [BUSY] * 5):
        desired = scaling.desired(minute, shown, shown, desired)
        seen.append(desired)
    assert set(seen) == {50}


def test_one_such_minute_does_not_enlarge_it_either() -> None:
    scaling, desired = Scaling(Policy()), 7
    for minute, shown in enumerate([BUSY] * 5 + [ONLY_VISIBLE] + [BUSY] * 5):
        desired = scaling.desired(minute, shown, NOTHING, desired)
    assert desired == 7


def test_a_queue_with_nobody_at_it_gets_its_first_tasks_once_while_they_start() -> None:
    scaling, desired, seen = Scaling(Policy()), 0, []
    for minute in range(9):
        desired = scaling.desired(minute, DESERTED, NOTHING, desired)
        seen.append(desired)
    assert seen == [0, 20, 20, 20, 20, 20, 40, 40, 40], "after the cooldown, nobody came: some more are asked for"


def test_minutes_that_are_partial_or_missing_cost_little() -> None:
    tidy = World(partial_share=0.0, missing_share=0.0)
    for name, arrivals in scenarios().items():
        one, other = (Simulation(arrivals, Policy(), world).run() for world in (World(), tidy))
        hours = [sum(run.task_hours.values()) for run in (one, other)]
        assert hours[0] == pytest.approx(hours[1], rel=0.25), name


def test_a_million_collages_cost_what_they_may() -> None:
    run = Simulation(scenarios()["burst"], Policy(), World()).run()
    for spot in (0.0, 0.8, 1.0):
        assert sum(cost.of_a_million(hours_of_a_million(run, spot)).values()) <= 30
    assert cost.of_the_lambda() > 1000


def test_a_creator_that_is_shown_as_processing_costs_a_record_more() -> None:
    run = Simulation(scenarios()["burst"], Policy(), World()).run()
    none, every = (
        cost.of_a_million(hours_of_a_million(run, 0.0), cost.Counts(shown_share=share)) for share in (0.0, 1.0)
    )
    assert every["DynamoDB, creators"] - none["DynamoDB, creators"] == pytest.approx(2.5)
    assert sum(every.values()) <= 30


def test_the_document_says_what_the_scripts_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "scale_report.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- held against Terraform -----------------------------------------------------------------------------------------


def only(service: Rendered, address: str, *path: Any) -> Any:
    found = service.one(address)
    for step in path:
        found = found[step]
    return found


def test_the_policy_is_terraforms(service: Rendered) -> None:
    tracking = only(
        service, "aws_appautoscaling_policy.backlog_per_task", "target_tracking_scaling_policy_configuration", 0
    )
    target = service.one("aws_appautoscaling_target.tasks")
    rest = service.one("aws_cloudwatch_metric_alarm.rest")
    deployed = Policy(
        min_tasks=target["min_capacity"],
        max_tasks=target["max_capacity"],
        acceptable_latency_seconds=tracking["target_value"] * Policy().message_seconds,
        wake_cooldown=service.one("aws_appautoscaling_policy.wake")["step_scaling_policy_configuration"][0]["cooldown"],
        idle_minutes=rest["evaluation_periods"],
        out_cooldown=tracking["scale_out_cooldown"],
        in_cooldown=tracking["scale_in_cooldown"],
    )
    assert deployed == Policy()
    assert service.one("aws_cloudwatch_metric_alarm.wake")["evaluation_periods"] == WAKE_POINTS


def test_the_first_tasks_are_terraforms(service: Rendered) -> None:
    steps = only(service, "aws_appautoscaling_policy.wake", "step_scaling_policy_configuration", 0, "step_adjustment")
    assert len(steps) == 3
    for step in steps:
        low = float(step["metric_interval_lower_bound"])
        assert Policy().first_tasks(low) == step["scaling_adjustment"]
        if step["metric_interval_upper_bound"]:
            assert Policy().first_tasks(float(step["metric_interval_upper_bound"]) - 1) == step["scaling_adjustment"]


def test_the_dashboards_requests_cost_what_the_reckoning_says(service: Rendered) -> None:
    run = Simulation(scenarios()["burst"], Policy(), World()).run()
    items = cost.of_a_million(hours_of_a_million(run, 0.8))
    requests = sum(items.values()) - items["Fargate"] - items["Public IPv4 addresses"]
    shown = re.search(r"/ made \+ ([0-9.]+)", only(service, "aws_cloudwatch_dashboard.main", "dashboard_body"))
    assert shown is not None
    assert float(shown[1]) * 1000 == pytest.approx(requests, abs=0.1)


def test_every_metric_that_an_alarm_looks_at_is_on_the_bill(service: Rendered) -> None:
    alarms = [alarm for _, alarm in service.all("aws_cloudwatch_metric_alarm")]
    own = sum(sum(len(query["metric"]) for query in alarm["metric_query"]) or 1 for alarm in alarms)
    tracking = only(
        service, "aws_appautoscaling_policy.backlog_per_task", "target_tracking_scaling_policy_configuration", 0
    )
    metrics = tracking["customized_metric_specification"][0]["metrics"]
    tracked = 2 * sum(not each["return_data"] for each in metrics)  # AWS makes one alarm for out and one for in
    assert own + tracked == cost.ALARM_METRICS


SHOWN = [
    Shown(visible, in_flight, 0, tasks, received, empty)
    for visible in (None, 0, 1, 31, 500)
    for in_flight in (None, 0, 7)
    for tasks in (None, 0, 1, 3)
    for received in (None, 0, 2)
    for empty in (None, 0, 3)
]


def evaluate(expression: str, shown: Shown) -> float | None:
    (point,) = reckon(expression, {name: [value] for name, value in asdict(shown).items()})
    return point


def test_the_formulas_are_terraforms(service: Rendered) -> None:
    tracking = only(
        service, "aws_appautoscaling_policy.backlog_per_task", "target_tracking_scaling_policy_configuration", 0
    )
    metrics = tracking["customized_metric_specification"][0]["metrics"]
    (expression,) = [each["expression"] for each in metrics if each["return_data"]]
    wake = service.one("aws_cloudwatch_metric_alarm.wake")
    (waking,) = [each["expression"] for each in wake["metric_query"] if each["return_data"]]
    for shown in SHOWN:
        assert evaluate(expression, shown) == pytest.approx(backlog_per_task(shown, Policy().messages_per_task)), shown
        assert evaluate(waking, shown) == waiting_for_nobody(shown), shown


def test_a_shorter_latency_means_more_idle_hours() -> None:
    """Why a quarter of an hour: the table of choices in docs/scale.md."""
    idle = {}
    for minutes in (4, 15):
        policy = replace(Policy(), acceptable_latency_seconds=60.0 * minutes)
        run = Simulation(scenarios()["steady"], policy, World()).run()
        idle[minutes] = run.idle_hours / sum(run.task_hours.values())
    assert idle[4] > 2 * idle[15]


def test_every_number_of_the_cost_says_where_it_is_from() -> None:
    assert set(cost.SOURCES) == set(asdict(cost.Counts()))
    assert all(
        source.startswith(("measured", "assumed", "reckoned", "read from", "the ", "AWS's", "DynamoDB's", "worker/"))
        or source.isupper()
        for source in cost.SOURCES.values()
    )


def test_the_workers_own_metrics_are_all_on_the_bill() -> None:
    assert len(METRICS) == cost.Counts().own_metrics


def test_acknowledgements_are_a_range_around_what_is_reckoned_with() -> None:
    counts = cost.Counts()
    assert counts.acknowledged_share_low < counts.acknowledged_share < counts.acknowledged_share_high
