"""The calm end of a run: no more faults, zombies that wake up, and everything comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.commands import Command
from tests.simulation.logs import HOUR_MS
from tests.simulation.mischief import WINDOWS
from tests.simulation.processes import Machine
from tests.simulation.verdict import decoder
from tests.simulation.verdict_rated import clocks_of

if TYPE_CHECKING:
    from tests.simulation.world import World


def settle(world: World) -> None:
    """No more faults. A last run reads all there is, while zombies of before stand still; then they wake up."""
    world.calm = True
    world.idle_ms += world.calendar.choice((0, 0, 0, 1, 24, 70)) * HOUR_MS
    for partition, log in enumerate(world.logs):
        world.show(partition, [] if partition in world.harmed else log[world.shown[partition] :])
    world.newest = len(world.catalogues) - 1
    for machine in world.machines:
        if world.rng.random() < 0.5:
            machine.die()
    world.scheduler.bury()
    held, world.flying = world.flying, []
    stale = [one for one in world.scheduler.processes if not one.dead]
    for process in stale:
        process.freeze(1e9)
    last = Machine(world, world.rng.randint(1, 2), until_caught_up=True)
    _until(world, lambda: last.dead)
    if last.refused:
        world.stopped = last.refused
    if last.refused or world.faults:
        return
    days = clocks_of(world)
    world.flying += held
    for process in stale:
        process.frozen_s = 0.0
    for _ in range(world.rng.randint(0, 200)):
        world.arrive()
        world.scheduler.step()
    for machine in world.machines:
        machine.supervisor.stop()
    _until(world, lambda: all(one.dead for one in stale) and world.nothing_flies())
    for topic in (WINDOWS, world.settings.kafka.rated_topic):
        for log in world.broker.topics[topic].partitions:
            log.compact(log.end)
            world.faults += world.readers.gone_back(topic, log)
    commands = any(isinstance(one, Command) for one in stale)
    if not world.faults and world.rng.random() < 0.1:
        _admit_all(world)
    elif commands or clocks_of(world) != days or (stale and len(world.catalogues) > 1):
        # What zombies rated by an older catalogue is found by the next sweep; and a command may have been late.
        last = Machine(world, 1, until_caught_up=True)
        _until(world, lambda: last.dead)
    world.alerts.mend()
    _until(world, lambda: world.alerts.process is None or world.alerts.process.dead)


def _admit_all(world: World) -> None:
    """Nothing moves, so nothing expires: a command brings back all that is late."""
    command = Command(world, decoder, thorough=True)
    _until(world, lambda: command.dead)
    last = Machine(world, 1, until_caught_up=True)
    _until(world, lambda: last.dead)
    world.all_came_back = True


def _until(world: World, over: Callable[[], bool]) -> None:
    """Let everything happen until it is over."""
    for _ in range(20_000):
        if over():
            return
        for group in world.groups.values():
            group.expire(world.scheduler.now_s)
        if not world.arrive() or world.rng.random() < 0.7:
            world.scheduler.step()
        if world.faults:
            return
    world.faults.append("livelock: all is calm, and it does not end")
