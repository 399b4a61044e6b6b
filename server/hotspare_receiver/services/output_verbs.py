"""What an operator does with an output, beside making and changing it: test, pause, resume."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from hotspare.v1 import alarm_pb2, output_pb2, receiver_service_pb2
from hotspare_model.alarm import StoredAlarm
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_receiver.clock import Clock
from hotspare_receiver.core.forwarder import Outcome
from hotspare_receiver.outputs.trial import TrialResult, make_test_alarm
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.services.requests import check_hex
from hotspare_receiver.snapshot import OutputConfig
from hotspare_receiver.store.outputs import OutputStore, StoredOutput, output_not_found
from hotspare_receiver.store.settings import SettingsStore
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import Tokens
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import duration_to_proto

PATIENCE = timedelta(seconds=25)
"""How long a test alarm may wait for its turn and its answer, within the deadline of the call."""

_log = logging.getLogger(__name__)


class Parts(Protocol):
    """What these calls work on."""

    @property
    def tokens(self) -> Tokens:
        """Who may call."""

    @property
    def outputs(self) -> OutputStore:
        """The outputs as they are stored."""

    @property
    def path(self) -> AlarmPath:
        """The outputs as they run."""

    @property
    def settings(self) -> SettingsStore:
        """Whose account number a test has."""

    @property
    def clock(self) -> Clock:
        """When a test happens."""


class OutputVerbs:
    """TestOutput, PauseOutput and ResumeOutput of ReceiverService."""

    _parts: Parts
    _shown: Callable[[StoredOutput], output_pb2.Output]
    _outputs_changed: Callable[[str, str, str], None]

    async def TestOutput(
        self, request: receiver_service_pb2.TestOutputRequest, context: Any
    ) -> receiver_service_pb2.TestOutputResponse:
        """Send a test alarm through an output, and tell what came back."""
        parts = self._parts
        operator = parts.tokens.admit(context, TokenRole.OPERATOR)
        if request.name not in parts.outputs.outputs:
            raise output_not_found(request.name)
        account = self._account(request.account_number)
        log_event(_log, logging.INFO, "output_tested", output=request.name, operator=operator.name)
        stored = make_test_alarm(str(uuid.uuid4()), account, request.name, parts.clock.wall())
        result = await self._tried(request.name, stored)
        if result.outcome is Outcome.NOT_SENT:
            raise _unreachable(request.name, result.detail)
        response = receiver_service_pb2.TestOutputResponse(
            outcome=alarm_pb2.AttemptOutcome.ValueType(int(result.outcome)),
            address=result.address,
            frame=result.frame,
            answer=result.answer,
            detail=result.detail,
        )
        if result.round_trip is not None:
            response.round_trip.CopyFrom(duration_to_proto(result.round_trip))
        return response

    async def PauseOutput(
        self, request: receiver_service_pb2.PauseOutputRequest, context: Any
    ) -> receiver_service_pb2.PauseOutputResponse:
        """Close the link of an output until further notice."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        output = await self._paused(request.name, operator.name, paused=True)
        return receiver_service_pb2.PauseOutputResponse(output=output)

    async def ResumeOutput(
        self, request: receiver_service_pb2.ResumeOutputRequest, context: Any
    ) -> receiver_service_pb2.ResumeOutputResponse:
        """Open the link of an output again."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        output = await self._paused(request.name, operator.name, paused=False)
        return receiver_service_pb2.ResumeOutputResponse(output=output)

    # How.

    def _account(self, asked: str) -> str:
        if asked:
            return check_hex("account_number", asked, 3, 16)
        own = self._parts.settings.settings.own_account_number
        if not own:
            raise field_invalid("account_number", "is required: this receiver has no account number of its own")
        return own

    async def _tried(self, name: str, stored: StoredAlarm) -> TrialResult:
        try:
            return await self._parts.path.try_output(name, stored).within(PATIENCE)
        except KeyError:
            raise output_not_found(name) from None
        except ValueError as error:
            raise field_invalid("account_number", f"does not fit a message of this output: {error}") from error
        except ConnectionError as error:
            raise _unreachable(name, str(error)) from error

    async def _paused(self, name: str, operator: str, *, paused: bool) -> output_pb2.Output:
        changed = False

        def change(existing: StoredOutput) -> OutputConfig:
            nonlocal changed
            changed = existing.config.paused != paused
            return replace(existing.config, paused=paused)

        stored = await self._parts.outputs.update(name, change)
        if changed:
            self._outputs_changed("output_paused" if paused else "output_resumed", name, operator)
        return self._shown(stored)


def _unreachable(name: str, problem: str) -> HotspareError:
    return HotspareError(
        Reason.OUTPUT_UNREACHABLE, f"the output {name} has no link: {problem}", output=name, problem=problem
    )
