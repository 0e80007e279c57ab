"""What a measured profile says of the machine, the date and the software."""

from fedlab.common.clock import today
from fedlab.errors import RunFailedError
from fedlab.profiler.readings import Machine
from fedlab.results.environment import describe_environment, machine_name


def describe_machine(description: str | None) -> Machine:
    """Describe this machine; a description of one's own takes the place of its name.

    Raises:
        RunFailedError: the operating system does not say how much memory there is.
    """
    environment = describe_environment()
    memory_bytes = environment["memory_bytes"]
    if memory_bytes is None:
        raise RunFailedError("the operating system does not say how much memory this machine has")
    name, versions = machine_name(), environment["packages"]
    return Machine(
        description=description or f"{name}, {environment['cpus']} processors, {memory_bytes / 1e9:.3g} GB",
        memory_bytes=memory_bytes,
        source=f"{name} on {today()} with torch {versions['torch']}, fedlab {versions['fedlab-edge']}, "
        f"Python {environment['python']}",
    )
