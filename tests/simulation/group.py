"""The coordinator of a consumer group: who has which partition, eagerly or cooperatively, and who is thought dead.

A member that is not heard for a session loses its partitions and does not know: until it asks again it is a zombie
that goes on reading and writing.
"""

from __future__ import annotations

import random

from tests.simulation.scheduling import Process

Call = tuple[str, list[int]]  # assign, revoke or lost, and the partitions


class Member:
    """`held`: what the coordinator thinks it has; `calls`: what it has to be told when it polls."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.held: set[int] = set()
        self.calls: list[Call] = []
        self.revoking: set[int] = set()
        self.expelled = False
        self.deaf_s = self.deaf_since_s = 0.0  # the network between it and the coordinator is cut between these

    def silent_since(self, now_s: float) -> float:
        process = self.process
        if process.dead:
            return process.died_s
        frozen_s = process.frozen_since_s if process.frozen_s > now_s else now_s
        return min(frozen_s, self.deaf_since_s if self.deaf_s > now_s else now_s)

    def cut_off(self, now_s: float, seconds: float) -> None:
        """Its heartbeats are lost, and nothing else: it goes on reading and writing when others have its share."""
        self.deaf_since_s, self.deaf_s = now_s, now_s + seconds


class Group:
    def __init__(self, rng: random.Random, partitions: int, *, cooperative: bool, session_s: float) -> None:
        self.rng, self.partitions = rng, partitions
        self.cooperative, self.session_s = cooperative, session_s
        self.members: list[Member] = []
        self.target: dict[int, Member] = {}

    def join(self, member: Member) -> None:
        member.expelled = False
        self.members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)
            member.held, member.calls, member.revoking = set(), [], set()
            self.rebalance()

    def expire(self, now_s: float) -> None:
        """Whoever has been silent for a session is out, and is told so when it is heard again."""
        for member in list(self.members):
            if now_s - member.silent_since(now_s) >= self.session_s:
                self.members.remove(member)
                member.calls = [("lost", sorted(member.held | member.revoking))]
                member.held, member.revoking, member.expelled = set(), set(), True
                self.rebalance()

    def rebalance(self, moves: float = 0.0) -> None:
        """Decide who should have what, and ask for what has to be given up first. `moves`: share without need."""
        self.target = {}
        if self.members:
            share = -(-self.partitions // len(self.members))
            free = []
            for partition in range(self.partitions):
                owner = next((m for m in self.members if partition in m.held), None)
                taken = sum(one is owner for one in self.target.values())
                if owner is None or taken >= share or self.rng.random() < moves:
                    free.append(partition)
                else:
                    self.target[partition] = owner
            for partition in free:
                least = min(sum(t is m for t in self.target.values()) for m in self.members)
                self.target[partition] = self.rng.choice(
                    [m for m in self.members if sum(t is m for t in self.target.values()) == least]
                )
        for member in self.members:
            lost = {p for p in member.held if not self.cooperative or self.target.get(p) is not member}
            if lost - member.revoking:
                member.calls.append(("revoke", sorted(lost - member.revoking)))
                member.revoking |= lost
        self._give()

    def _give(self) -> None:
        """Assign what nobody has; eagerly only once nobody has anything to give up any more."""
        if not self.cooperative and any(member.revoking for member in self.members):
            return
        held = {partition for member in self.members for partition in member.held}
        for member in self.members:
            more = [p for p, one in self.target.items() if one is member and p not in held]
            if more:
                member.held.update(more)
                member.calls.append(("assign", sorted(more)))

    def given_up(self, member: Member, partitions: list[int]) -> None:
        """A revocation was carried out."""
        member.held.difference_update(partitions)
        member.revoking.difference_update(partitions)
        self._give()

    def next_call(self, member: Member, now_s: float) -> Call | None:
        if member.deaf_s > now_s or not member.calls:
            return None
        return member.calls.pop(0)
