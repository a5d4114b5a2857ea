"""The metrics at /metrics. Each gateway has its own registry, so two in one process do not share counts."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Engine, func, select

from tasks.records.database import checks
from tasks.serve.gateway.record import Record

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Every metric of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, buckets=SECONDS, registry=self.registry)
        version = ["task", "version"]
        self.requests = counter(
            "anneal_requests", "Requests answered or refused after a version was chosen", [*version, "role", "status"]
        )
        self.seconds = histogram("anneal_request_seconds", "Seconds to the last byte", version)
        self.first_token = histogram("anneal_first_token_seconds", "Seconds to the first byte of a stream", version)
        self.tokens = counter("anneal_tokens", "Tokens, as counted by the backend", [*version, "kind"])
        self.in_flight = gauge("anneal_in_flight", "Requests in progress for a model", ["model"])
        self.waiting = gauge("anneal_waiting", "Requests waiting in the queue")
        self.refused = counter("anneal_refused", "Requests refused, by reason", ["reason"])
        self.answers = counter("anneal_answers", "Answers of models, by validity", [*version, "valid"])
        self.dropped = counter("anneal_records_dropped", "Records that were dropped")
        self.queue = gauge("anneal_records_queue", "Records waiting to be written")
        self.revision = gauge("anneal_routes_revision", "Version of the routing table in use")
        self.backend_up = gauge("anneal_backend_up", "1 when every backend of the table answers")
        self.alarm = gauge("anneal_monitor_alarm", "1 when the last check raised an alarm", ["task"])
        self.evidence = gauge(
            "anneal_monitor_evidence", "log10 of a martingale's wealth at the last check", ["task", "what"]
        )
        self.figure = gauge("anneal_monitor_figure", "A figure of the last check", ["task", "name"])
        self._running: dict[str, int] = {}

    def enter(self, model: str) -> None:
        """One more request that has chosen `model`."""
        self._running[model] = self._running.get(model, 0) + 1
        self.in_flight.labels(model).set(self._running[model])

    def leave(self, model: str) -> None:
        """One request less. A model without requests is removed, so that old versions take no memory."""
        self._running[model] -= 1
        if self._running[model]:
            self.in_flight.labels(model).set(self._running[model])
        else:
            del self._running[model]
            self.in_flight.remove(model)

    def running(self) -> dict[str, int]:
        """Requests in flight by model."""
        return dict(self._running)

    def observe(self, record: Record) -> None:
        """Count a request for which a version was chosen."""
        version = (record.task, record.version)
        self.requests.labels(*version, record.role, str(record.status)).inc()
        if record.latency is not None:
            self.seconds.labels(*version).observe(record.latency)
        if record.first_token is not None:
            self.first_token.labels(*version).observe(record.first_token)
        for kind, count in (("prompt", record.prompt_tokens), ("completion", record.completion_tokens)):
            self.tokens.labels(*version, kind).inc(count or 0)
        if record.valid is not None:
            self.answers.labels(*version, "true" if record.valid else "false").inc()

    def text(self) -> bytes:
        """The page for Prometheus."""
        return generate_latest(self.registry)

    def read_checks(self, engine: Engine) -> None:
        """Show the newest check of each task."""
        newest = select(func.max(checks.c.id)).group_by(checks.c.task)
        with engine.connect() as connection:
            rows = connection.execute(select(checks).where(checks.c.id.in_(newest))).mappings().all()
        for gauge in (self.alarm, self.evidence, self.figure):
            gauge.clear()
        for row in rows:
            self.alarm.labels(row["task"]).set(bool(row["alarm"]))
            # seconds since 1970, for the alert on a silent monitor
            self.figure.labels(row["task"], "checked_at").set(row["at"])
            for gauge, values in ((self.evidence, row["evidence"]), (self.figure, row["figures"])):
                for name, value in (values or {}).items():
                    if isinstance(value, int | float):
                        gauge.labels(row["task"], name).set(value)
