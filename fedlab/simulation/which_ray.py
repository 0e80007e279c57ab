"""Which Ray a run uses: the one that its experiment names, that of a session, or one that starts for the run alone."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from fedlab.config.run_tables import OWN_RAY, EngineTable
from fedlab.simulation.engine.own_ray import OwnRay, own_ray
from fedlab.simulation.session.record import SessionRecord
from fedlab.simulation.session.session import usable_session


def ray_for(engine: EngineTable, tell: Callable[[str], None]) -> AbstractContextManager[OwnRay | SessionRecord | None]:
    """Return a context in which a Ray for a run starts, or has started; None if the run is to join the one it names.

    If there is a session that the run cannot use, `tell` gets the reason in one line. The actors of a session have no
    GPU.
    """
    if engine.cluster_address is not None:
        return nullcontext()
    if engine.ray_address == OWN_RAY or engine.device != "cpu":
        return own_ray(engine.workers)
    session = usable_session(tell)
    return own_ray(engine.workers) if session is None else nullcontext(session)
