"""Technicians of the simulated group: roles that are taken, given up and taken away (G1, G7, G8, X1, X2).

A receiver's own part in it (to hand over first, to say goodbye until it was heard) is told here in few words; what the
cloud makes of it, and what the receivers do without a role, is the real code.
"""

from typing import TYPE_CHECKING

from hotspare.v1 import group_pb2, role_service_pb2
from hotspare_model.group import Role
from hotspare_receiver.snapshot import Attendance
from hotspare_rpc.credentials import ReceiverCredentials
from hotspare_rpc.wire import role_to_proto
from tests.simulation.names import ARC_ID, ARC_KEY, SUB_ACCOUNT
from tests.simulation.receiver import ReceiverNode

if TYPE_CHECKING:
    from tests.simulation.simulate import Simulation

WEIGHTS = {"spare leaves": 4, "host leaves": 2, "removed": 3}
PLANNED = 0.12
"""Part of the seeds in which roles change."""

AGAIN = 1.0
"""Seconds between two attempts to reach the cloud."""


class Technicians:
    """What technicians do in one seed."""

    def __init__(self, sim: "Simulation", begin: float, end: float) -> None:
        self.kinds: list[str] = []
        self._sim = sim
        self._random = dice = sim.world.random
        for _ in range(dice.randint(1, 2) if dice.random() < PLANNED else 0):
            kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            at = dice.uniform(begin, end)
            self.kinds.append(kind)
            sim.world.at(at, self._act, kind)
            sim.world.at(at + dice.uniform(1.0, 12.0), self.put_in_order)

    def _act(self, kind: str) -> None:
        host, *spares = self._sim.receivers
        match kind:
            case "spare leaves":
                self._leave(self._random.choice(spares))
            case "host leaves":
                self._leave(host)
            case "removed":
                gone = self._random.choice(self._sim.receivers)
                request = role_service_pb2.RemoveMemberRequest(receiver_id=gone.receiver_id, force=True)
                asks = self._random.choice([node for node in self._sim.receivers if node is not gone])
                self._call("RemoveMember", request, asks)
            case _:
                raise AssertionError(kind)

    def _leave(self, node: ReceiverNode) -> None:
        generation = node.attendance.generation if node.attendance else 0

        def told(released: int) -> None:
            self._say_goodbye(
                node, role_service_pb2.LeaveGroupRequest(released_through=released, generation=generation)
            )

        node.leave(told)

    def _say_goodbye(self, node: ReceiverNode, request: role_service_pb2.LeaveGroupRequest) -> None:
        """Until it was heard."""
        if node.attendance is None:
            self._call("LeaveGroup", request, node)
            self._sim.world.after(AGAIN, self._say_goodbye, node, request)

    def _call(self, method: str, request: object, node: ReceiverNode) -> None:
        world = self._sim.world
        credentials = ReceiverCredentials(ARC_ID, ARC_KEY, node.receiver_id).metadata()

        def answered(answer: object) -> None:
            world.note("technician", method, of=node.name, answer=type(answer).__name__)
            if node.process is not None and self._random.random() < 0.9:
                world.after(self._random.uniform(0.002, 0.02), node.process.post, "answers", self._heard, node, answer)

        world.note("technician", f"asks {method}", of=node.name)
        world.after(self._random.uniform(0.002, 0.02), self._sim.cloud.call, method, request, credentials, answered)

    def _heard(self, node: ReceiverNode, answer: object) -> None:
        match answer:
            case role_service_pb2.LeaveGroupResponse() if node.attendance is None:
                node.attend_alone()
            case role_service_pb2.JoinGroupResponse(member=member):
                node.attend_as(Attendance(Role(member.role), ARC_ID, SUB_ACCOUNT, member.generation))
            case _:
                pass  # A refusal; it is asked again.

    def put_in_order(self) -> None:
        """Everybody takes its role again, the host first."""
        if self.kinds:
            for node in self._sim.receivers:
                if node.attendance is not None and node.attendance.role is None:
                    self._join(node)

    def _join(self, node: ReceiverNode) -> None:
        receiver = group_pb2.ReceiverInfo(
            receiver_id=node.receiver_id, name=node.name, machine_id=f"machine-{node.name}", software_version="1"
        )
        role = role_to_proto(node.role)
        request = role_service_pb2.JoinGroupRequest(sub_account=SUB_ACCOUNT, role=role, receiver=receiver)
        self._call("JoinGroup", request, node)

    def keep_in_order(self) -> None:
        """After the healing, until all have their roles."""
        self.put_in_order()
        self._sim.world.after(AGAIN, self.keep_in_order)

    @property
    def done(self) -> bool:
        """Whether all have their roles."""
        return all(
            node.attendance is not None
            and node.attendance.role is node.role
            and self._sim.cloud.roles.get(node.name, node.role.name) == node.role.name
            for node in self._sim.receivers
        )
