"""What an isolated host goes by: the path to the cloud, the settings, the role, the configuration, the disk (D4)."""

from collections.abc import Callable
from datetime import timedelta

from hotspare_model.digest import RecordKind
from hotspare_model.errors import HotspareError, Reason, field_invalid
from hotspare_receiver.core.health import DISK_FLOOR
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.store.configuration import ConfigurationStore
from hotspare_receiver.store.settings import SettingsStore
from hotspare_rpc.records import device_of

RETRY_WHEN_DISK_LOW = timedelta(seconds=30)


class HostSurroundings:
    """See isolated.Surroundings."""

    def __init__(
        self,
        path: Callable[[], AlarmPath],
        settings: SettingsStore,
        configuration: ConfigurationStore,
        is_open: Callable[[], bool],
        free_bytes: Callable[[], int],
    ) -> None:
        """`path`: made after this. `is_open`: whether direct devices are taken here at all."""
        self._path = path
        self._settings = settings
        self._configuration = configuration
        self._is_open = is_open
        self._free_bytes = free_bytes

    def allowed(self) -> bool:
        """Whether direct devices are taken here, and the setting lets a host forward alone."""
        return self._settings.settings.isolated_forwarding and self._is_open()

    def dual_connection(self) -> bool:
        """Whether it is switched on here."""
        return self._settings.settings.dual_connection

    def silent_for(self) -> float | None:
        """Seconds since the cloud was heard."""
        return self._path().silent_for

    def suspect_after(self) -> float:
        """As the group is set."""
        return self._path().settings.suspect_after.total_seconds()

    def scope(self) -> str:
        """Names the group that is attended."""
        attendance = self._path().attendance
        return "" if attendance is None else attendance.scope

    async def account_number(self, device_id: str) -> str:
        """Raises HotspareError DEVICE_UNKNOWN, FIELD_INVALID."""
        if not device_id:
            own = self._settings.settings.own_account_number
            if not own:
                raise field_invalid("device_id", "must name the device: this receiver has no account number of its own")
            return own
        record = await self._configuration.get(RecordKind.DEVICE, device_id)
        if record is None:
            raise HotspareError(Reason.DEVICE_UNKNOWN, f"there is no device {device_id}", device_id=device_id)
        return device_of(record)[1]

    def check_disk(self) -> None:
        """Raises HotspareError DISK_LOW."""
        floor = self._settings.settings.disk_floor_bytes or DISK_FLOOR
        free = self._free_bytes()
        if free < floor:
            raise HotspareError(
                Reason.DISK_LOW,
                "the disk is nearly full: keep the alarm and try again",
                retry_after=RETRY_WHEN_DISK_LOW,
                free_bytes=free,
                floor_bytes=floor,
            )
