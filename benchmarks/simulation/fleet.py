"""A number of replicas, one account, and callers: one run of the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.simulation.account import Account
from benchmarks.simulation.callers import Reader, Seen, Watcher, press
from benchmarks.simulation.clock import seeded
from benchmarks.simulation.replica import SPECS, Replica
from benchmarks.simulation.routing import ROUTERS, Router
from benchmarks.simulation.world import World
from taskgate_server.config import AwsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is simulated."""

    service: str
    replicas: int
    routing: str
    """A key of `ROUTERS`."""
    parents: int
    tasks: int = 25
    """Of each parent."""
    spread: float = 600.0
    """Seconds within which a parent's tasks start."""
    watchers: int = 0
    ramp: float = 60.0
    """Seconds within which they come."""
    readers: int = 0
    period: float = 5.0
    """Seconds between two reads of one reader, in the mean."""
    pressing: int = 0
    """Readers of each replica that read all the time, each of another parent."""
    warm_up: float = 120.0
    """Seconds that do not count."""
    seconds: float = 120.0
    """That do."""
    rates: Mapping[str, float] | None = None
    """AWS's quotas; those that it publishes if None."""
    aws: AwsSettings | None = None
    """Of each replica; the defaults if None."""
    seed: int = 1

    @property
    def until(self) -> float:
        """Return the time of the end."""
        return self.warm_up + self.seconds


@dataclass(slots=True)
class Sample:
    """How things stood at one moment."""

    at: float
    ages: list[float]
    """For each watcher the age of its state, inf for one without a snapshot."""
    rates: dict[str, list[float]]
    """For each operation what each replica's limiter allows."""


@dataclass(slots=True)
class Standing:
    """What each replica had in memory, by its number."""

    pollers: list[int]
    streams: list[int]
    tasks: list[int]
    """Tasks in the ledgers of its pollers."""
    without: int
    """Watchers who had no snapshot, of all replicas."""


@dataclass(slots=True)
class Fleet:
    """What runs. Made inside of a running loop."""

    scene: Scene
    account: Account = field(init=False)
    replicas: list[Replica] = field(init=False)
    router: Router = field(init=False)
    seen: Seen = field(default_factory=Seen)
    watchers: list[Watcher] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    standing: Standing = field(init=False)
    """How things stood at the end."""
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        scene = self.scene
        world = World(
            scene.service,
            scene.parents,
            scene.tasks,
            scene.spread,
            seeded(f"world {scene.seed}"),
        )
        published = SPECS[scene.service].request_rates
        rates = published if scene.rates is None else scene.rates
        self.account = Account(world, rates, seeded(f"way {scene.seed}"))
        numbers = range(scene.replicas)
        self.replicas = [Replica(self.account, number, scene.seed, scene.aws) for number in numbers]
        self.router = ROUTERS[scene.routing](numbers)

    async def run(self, *meanwhile: Coroutine[Any, Any, None]) -> None:
        """Run the scene from its beginning to its end.

        Args:
            meanwhile: what else happens.
        """
        self._start()
        others = [asyncio.ensure_future(each) for each in meanwhile]
        await asyncio.sleep(self.scene.until)
        await asyncio.gather(*others)
        self.standing = self._stand()
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for replica in self.replicas:
            await replica.close()

    async def kill(self, number: int) -> None:
        """Kill a replica; calls go to the others from now on."""
        self.router.lose(number)
        await self.replicas[number].die()

    def _route(self, parent: str) -> Replica:
        return self.replicas[self.router.route(parent)]

    def _stand(self) -> Standing:
        pollers = {each.poller: each.replica.number for each in self.watchers if each.replica}
        tasks = [0] * len(self.replicas)
        for poller, number in pollers.items():
            tasks[number] += len(poller.change_log) if poller is not None else 0
        return Standing(
            pollers=[len(replica.hub) for replica in self.replicas],
            streams=[len(replica.streams) for replica in self.replicas],
            tasks=tasks,
            without=sum(watcher.replica is None for watcher in self.watchers),
        )

    def _start(self) -> None:
        scene, world, chance = self.scene, self.account.world, seeded(f"callers {self.scene.seed}")
        for number in range(scene.watchers):
            parent = world.parents[number % scene.parents]
            own = seeded(f"watcher {scene.seed} {number}")
            watcher = Watcher(parent, world, self._route, self.seen, own)
            self.watchers.append(watcher)
            self._go(watcher.run(chance.uniform(0, scene.ramp)))
        for number in range(scene.readers):
            parent = chance.choice(world.parents)
            own = seeded(f"reader {scene.seed} {number}")
            reader = Reader(parent, chance.choice(parent.tasks), self._route, self.seen, own)
            self._go(reader.run(scene.period))
        for replica in self.replicas:
            for number in range(scene.pressing):
                question = replica.unbatched_request(world.parents[number % scene.parents])
                self._go(press(replica.gateway, question))
        self._go(self._look())

    def _go(self, each: Coroutine[Any, Any, None]) -> None:
        self._running.append(asyncio.ensure_future(each))

    async def _look(self) -> None:
        """Sample the state at random moments."""
        random = seeded(f"looks {self.scene.seed}")
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(random.uniform(3, 7))
            rates = {
                name: [replica.limiter.bucket(name).rate for replica in self.replicas]
                for name in self.replicas[0].limiter.buckets
            }
            ages = [watcher.age(now()) for watcher in self.watchers]
            self.samples.append(Sample(now(), ages, rates))
