"""What the worker can do: its devices and bundles, whether it is ready, how long an explanation would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.bundles import BundleInfo
from SlicerXAILib.problems import Problem
from SlicerXAILib.session import Event, Session
from SlicerXAILib.signals import Signal

STOPPED, STARTING, READY, FAILED = "stopped", "starting", "ready", "failed"


class Engine:
    """The worker's state and what it says of itself.

    Args:
        session: with the worker.

    Attributes:
        state: one of ``stopped``, ``starting``, ``ready``, ``failed``.
        been_ready: whether it was, since it was started.
        packages: version by package, ``None`` where one is missing; empty before the worker's greeting.
        devices: as the worker lists them; the first is what ``auto`` takes.
        cuda: version that torch was built with; empty without, and before the engine is ready.
        bundles: what is known of bundles, by name; the shipped ones first.
        trusted: bundles whose own code the user allowed to run, until Slicer is closed.
        changed: signal, no argument: one of the above changed.
        described: signal, :class:`BundleInfo`.
        trust_needed: signal, the bundle's name and a :class:`Problem` that says why.
        estimated: signal, the expected times by quality (docs/worker.md, ``estimate``).
        failed: signal, :class:`Problem`.
        ended: signal, :class:`Problem`: the worker ended although nobody asked it to.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.state = STOPPED
        self.packages: Mapping[str, str | None] = {}
        self.devices: list[Mapping[str, Any]] = []
        self.cuda = ""
        self.bundles: dict[str, BundleInfo] = {}
        self.trusted: set[str] = set()
        self.changed = Signal()
        self.described = Signal()
        self.trust_needed = Signal()
        self.estimated = Signal()
        self.failed = Signal()
        self.ended = Signal()
        self.been_ready = False
        self._describing: str | None = None
        self._estimating: str | None = None
        session.event.connect(self._hear)

    def start(self) -> None:
        """Start the worker unless it runs; :attr:`changed` says when it can work."""
        if self.session.running:
            return
        self.been_ready = False
        try:
            self.session.start()
        except (OSError, ImportError) as error:
            self._set(FAILED)
            self.failed.emit(
                Problem(
                    _("The engine cannot be started: {reason}").format(reason=error),
                    _("Install the extension again."),
                    kind="engine",
                )
            )
            return
        self._set(STARTING)

    def restart(self) -> None:
        """End the worker and start another: after packages were installed, or when it misbehaves."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End the worker; what it kept in memory is gone."""
        self.session.stop()
        self._describing = self._estimating = None
        self._set(STOPPED)

    def describe(self, bundle: str) -> None:
        """Ask what a bundle is; :attr:`described`, :attr:`trust_needed` or :attr:`failed` says it."""
        if self._describing is not None:
            self.session.forget(self._describing)

        def hear(event: Event) -> None:
            if event["event"] in ("result", "error", "cancelled"):
                self._describing = None
            if event["event"] == "result":
                info = BundleInfo.from_event(event["bundle"])
                self.bundles[bundle] = info
                self.changed.emit()
                self.described.emit(info)
            elif event["event"] == "error" and event.get("kind") == "untrusted":
                self.trust_needed.emit(bundle, Problem.from_event(event))
            elif event["event"] == "error":
                self.failed.emit(Problem.from_event(event))

        self._describing = self.session.ask("describe", hear, bundle=bundle, trust_code=bundle in self.trusted)

    def estimate(self, bundle: str, device: str) -> None:
        """Ask how long each quality takes; a question that is still open is dropped."""
        self.drop_estimate()

        def hear(event: Event) -> None:
            if event["event"] in ("result", "error", "cancelled"):
                self._estimating = None
            if event["event"] == "result":
                self.estimated.emit(event["qualities"])

        self._estimating = self.session.ask(
            "estimate", hear, bundle=bundle, device=device, trust_code=bundle in self.trusted
        )

    def drop_estimate(self) -> None:
        """Make room for a request of the user's: the worker does one at a time."""
        if self._estimating is not None:
            self.session.forget(self._estimating)
            self._estimating = None

    def _hear(self, event: Event) -> None:
        kind = event["event"]
        if kind == "hello":
            self.packages = event["packages"]
            self._set(STARTING)
        elif kind == "starting":
            self._set(STARTING)
        elif kind == "ready":
            self.devices = event["devices"]
            self.cuda = event.get("cuda") or ""
            for bundle in event["bundles"]:
                if "error" not in bundle:
                    self.bundles.setdefault(bundle["name"], BundleInfo.from_event(bundle))
            self.been_ready = True
            self._set(READY)
        elif kind == "error":
            if event.get("kind") == "engine":
                self._set(FAILED)
            self.failed.emit(Problem.from_event(event))
        elif kind == "ended":
            self._set(STOPPED)
            if not event.get("expected"):
                self.ended.emit(Problem.from_event(event))

    def _set(self, state: str) -> None:
        self.state = state
        self.changed.emit()
