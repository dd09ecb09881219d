"""What goes wrong in a run, beside calls that fail: processes, networks, groups, Redis, retention, compaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.logs import HOUR_MS, make_log

if TYPE_CHECKING:
    from tests.simulation.world import World

EVENTS, WINDOWS, MARKS = "usage.events", "usage.windows", "usage.marks"
_WHILE_S = (0.5, 3.0, 20.0)  # shorter and longer than a session of the group


def mischief(world: World) -> None:
    """One of it."""
    does = world.rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    world.seen[does.__name__] += 1
    does(world)


def kill(world: World) -> None:
    """A worker, or the parent of workers, which then end by themselves."""
    if world.rng.random() < 0.1 and world.machines:
        world.rng.choice(world.machines).die()
    elif world.living():
        world.rng.choice(world.workers).die()
    world.scheduler.bury()


def freeze(world: World) -> None:
    if world.living():
        world.rng.choice(world.workers).freeze(world.rng.choice(_WHILE_S))


def cut_off(world: World) -> None:
    members = [member for group in world.groups.values() for member in group.members]
    if members:
        world.rng.choice(members).cut_off(world.scheduler.now_s, world.rng.choice(_WHILE_S))


def rebalance(world: World) -> None:
    world.rng.choice(list(world.groups.values())).rebalance(moves=0.4)


def harm_redis(world: World) -> None:
    """An older prefix of its log comes back, or nothing, or one key is evicted."""
    rng = world.rng
    if not world.stores:
        return
    store, chance = world.stores[rng.choice(sorted(world.stores))], rng.random()
    if chance < 0.4:
        store.roll_back(rng.choice((1, 2, 6)))
    elif chance < 0.6:
        store.lose()
    else:
        store.evict("head" if rng.random() < 0.1 else rng.choice([*sorted(store.now.chunks), "state:0"]))


def compact(world: World) -> None:
    """Readers of a topic from its start must find the newest versions still."""
    topic = world.rng.choice((WINDOWS, WINDOWS, MARKS, world.settings.kafka.rated_topic))
    log = world.rng.choice(world.broker.topics[topic].partitions)
    log.compact(log.end - world.rng.randint(0, 5))
    world.faults += world.readers.gone_back(topic, log)


def pass_days(world: World) -> None:
    """Nothing is sent for hours or days, and levels last."""
    world.idle_ms += world.calendar.randint(1, 60) * HOUR_MS


def end_alerts(world: World) -> None:
    world.alerts.end()
    world.scheduler.bury()


def publish(world: World) -> None:
    world.newest = min(world.newest + 1, len(world.catalogues) - 1)


def retain(world: World) -> None:
    log = world.rng.choice(world.broker.topics[EVENTS].partitions)
    if world.forgets and log.records:
        log.forget(world.rng.choice(log.records).offset)


def cut_log(world: World) -> None:
    """The log's end goes back, as after an unclean election. Losing what was read already must not pass unnoticed."""
    partition = world.rng.randrange(world.events_partitions)
    log = world.broker.topics[EVENTS].partitions[partition]
    if not (world.loses and log.records and world.broker.trusted):
        return
    world.loses = False
    log.truncate(world.rng.choice(log.records[-4:]).offset)
    if log.end < log.consumed:
        world.harmed.add(partition)
        return
    kept = [message for message in world.logs[partition][: world.shown[partition]] if message.offset < log.end]
    rest = world.logs[partition][world.shown[partition] :]
    world.shown[partition] = len(kept)
    world.set_log(partition, kept + rest)


def make_topic_anew(world: World) -> None:
    """Deleted and made again under its name, with other events."""
    if world.loses and world.broker.trusted:
        world.loses, world.remade = False, True
        world.harmed.clear()
        world.broker.make_anew(EVENTS)
        for partition in range(world.events_partitions):
            world.shown[partition] = 0
            world.set_log(partition, make_log(world.rng, world.rng.randint(1, 20)))


_KINDS = {
    kill: 5,
    freeze: 3,
    cut_off: 3,
    rebalance: 4,
    harm_redis: 6,
    compact: 4,
    publish: 2,
    pass_days: 1,
    end_alerts: 2,
    retain: 1,
    cut_log: 1,
    make_topic_anew: 1,
}
