"""Operators of the simulated group: switchovers, pauses, settings, at any time and whether or not they make sense (F8).

What they ask for goes through the cloud's real service. A refusal has to be one of our errors; what was accepted
stands in the group's history, from which it goes into the history that is judged.
"""

import logging
from dataclasses import fields
from typing import TYPE_CHECKING
from uuid import UUID

from hotspare.v1 import alarm_pull_service_pb2, role_service_pb2
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings
from hotspare_rpc.credentials import ReceiverCredentials, operator_metadata
from hotspare_rpc.wire import group_settings_to_proto, role_to_proto
from tests.simulation.names import ARC_ID, ARC_KEY

if TYPE_CHECKING:
    from tests.simulation.simulate import Simulation

WEIGHTS = {"switchover": 10, "pause": 3, "resume": 3, "settings": 3, "two at once": 2}
PLANNED = 0.35
"""Part of the seeds in which operators do something."""

REPAIR = 1.0
"""Seconds between two looks of the operator who puts all in order in the end."""


class Operators:
    """What operators do in one seed."""

    def __init__(self, sim: "Simulation", begin: float, end: float, choices: tuple[GroupSettings, ...]) -> None:
        """`choices`: settings that they may set."""
        self.kinds: list[str] = []
        self._sim = sim
        self._random = dice = sim.world.random
        self._choices = choices
        self._asked = 0
        for _ in range(dice.randint(1, 5) if dice.random() < PLANNED else 0):
            kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            self.kinds.append(kind)
            sim.world.at(dice.uniform(begin, end), self._act, kind)

    def _act(self, kind: str) -> None:
        match kind:
            case "switchover":
                self.switchover()
            case "two at once":
                self.switchover()
                self.switchover()
            case "pause":
                self.pause()
            case "resume":
                self.resume()
            case "settings":
                self._change_settings()
            case _:
                raise AssertionError(kind)

    def switchover(self) -> None:
        """To anybody, with or without an eye on the epoch."""
        role, group = self._random.choice(self._sim.receivers).role, self._sim.cloud.group
        self._asked += 1
        request = role_service_pb2.SwitchoverRequest(
            request_id=str(UUID(int=self._asked)), role=role_to_proto(role), detail="they want it so"
        )
        if group is not None and self._random.random() < 0.3:
            request.expected_epoch = group.state.epoch - self._random.choice((0, 0, 1)) if group.state.epoch else 0
        self._call("Switchover", request)

    def pause(self) -> None:
        """Nobody moves by itself from now on."""
        self._call("PauseFailover", role_service_pb2.PauseFailoverRequest(detail="they want to look"))

    def resume(self) -> None:
        """End a pause, a pin, and what is held back."""
        self._call("ResumeFailover", role_service_pb2.ResumeFailoverRequest())

    def _change_settings(self) -> None:
        group = self._sim.cloud.group
        if group is None:
            return
        settings = group_settings_to_proto(self._random.choice(self._choices))
        request = role_service_pb2.UpdateGroupSettingsRequest(settings=settings)
        request.update_mask.paths.extend(each.name for each in fields(GroupSettings))
        self._call("UpdateGroupSettings", request)

    def _send_again(self) -> None:
        """In one world of three all that was set aside is sent again; in the others it is left, and must be listed."""
        if self._sim.seed % 3:
            return
        aside = self._sim.cloud.set_aside
        for number, identity in self._sim.cloud.identities.items():
            if identity in aside:
                self._asked += 1
                request = alarm_pull_service_pb2.ReplayAlarmRequest(
                    request_id=str(UUID(int=self._asked)), number=number
                )
                self._call("ReplayAlarm", request)

    def _call(self, method: str, request: object) -> None:
        world, node = self._sim.world, self._random.choice(self._sim.receivers)
        credentials = ReceiverCredentials(ARC_ID, ARC_KEY, node.receiver_id).metadata()
        metadata = (*credentials, *operator_metadata("otto"))

        def answered(answer: object) -> None:
            refused = isinstance(answer, HotspareError)
            told = answer.reason.value if isinstance(answer, HotspareError) else "done"
            world.note("operator", method, answer=told, level=logging.WARNING if refused else logging.INFO)

        world.note("operator", f"asks {method}", through=node.name)
        world.after(self._random.uniform(0.001, 0.02), self._sim.cloud.call, method, request, metadata, answered)

    def put_in_order(self) -> None:
        """After the healing: nothing stays paused, pinned or held back, and who was refused is started anew."""
        state = self._sim.cloud.group.state if self._sim.cloud.group else None
        if state is not None and (state.pause is not None or state.pin is not None or state.held_back):
            self.resume()
        self._send_again()
        for node in self._sim.receivers:
            if node.refused:
                node.kill()
                node.start()
        self._sim.world.after(REPAIR, self.put_in_order)
