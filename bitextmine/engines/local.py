"""Runs tasks one after another in this process."""

from bitextmine.engines.engine import Step, Where
from bitextmine.machine import CPU, Limits, Resources


class LocalEngine:
    """Does everything in this process, on the first of its devices.

    Parameters
    ----------
    limits : Limits
        What it may use of this machine.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def run(self, step: Step) -> None:
        """Run the tasks in order."""
        if not step.arguments:
            return
        resources = self.resources(step.on)
        with step.progress() as advance:
            for arguments in step.arguments:
                step.task(*arguments, resources=resources, advance=advance)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that the user named."""
        return self._limits.devices

    def usable_devices(self) -> tuple[str, ...]:
        """Return the one device that is used."""
        return self._limits.usable_devices()[:1]

    def has_bfloat16(self) -> bool:
        """Tell whether the GPUs of this machine multiply in bfloat16."""
        return self._limits.has_bfloat16()

    def resources(self, on: Where) -> Resources:
        """Return the whole machine, as far as the limits allow."""
        return self._limits.resources(CPU if on == "cpu" else self.usable_devices()[0])
