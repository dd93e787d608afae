"""The shared parents on Valkey: a lease, tasks, a stream of changes, and a status for each parent.

All keys of a parent have the same hash tag, so that a script can use them in cluster mode, too:

    taskgate:1:{PARENT}:lease     hash: owner, expires, fence
    taskgate:1:{PARENT}:state     hash: epoch, revision, horizon, status
    taskgate:1:{PARENT}:tasks     hash: the latest change of each task, with its revision
    taskgate:1:{PARENT}:changes   stream: the latest changes; the id of each is its revision
    taskgate:1:{PARENT}:hints     list: what other replicas request from the owner of the lease
    taskgate:1:{PARENT}:interest  sorted set: replicas with watchers

PARENT and the names of tasks are digests. Values are encrypted, bound to their parent. Revisions
are at least the time of the store in microseconds, so that they also grow after it lost its
contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from taskgate_server.tasks.watch.shared_parents import Change, Interest, News, Numbered, State

PREFIX: Final = "taskgate:1:"
CHANNEL: Final = "taskgate:1:parents"
"""Each message is a replica and a parent that it has changed, separated by a space."""
LEASE_MILLISECONDS: Final = 2_000
INTEREST_SECONDS: Final = 3
EXPIRE_SECONDS: Final = 3_600
"""After which an unused parent is deleted."""
MAX_CHANGES: Final = 2_000
"""Changes in the stream of a parent."""
MAX_CHANGES_READ: Final = 500
MAX_HINTS: Final = 1_000
KEYS: Final = ("lease", "state", "tasks", "changes", "hints", "interest")
DIGEST_BYTES: Final = 16

# Lua's tostring() rounds numbers beyond 10^14, which revisions are.
COMMON: Final = """
local LEASE, STATE, TASKS, CHANGES, HINTS, INTEREST = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
local function number(key, field) return tonumber(redis.call('HGET', key, field) or '0') end
local function notify(sender)
    redis.call('PUBLISH', '@CHANNEL', sender .. ' ' .. string.match(KEYS[1], '{(.-)}'))
end
local function keep()
    for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, @EXPIRE) end
end
"""

EXCHANGE: Final = """
local replica, wants_lease, interest, epoch, revision = unpack(ARGV)
local owner = redis.call('HGET', LEASE, 'owner') or ''
if owner ~= '' and number(LEASE, 'expires') <= now then owner = '' end
if wants_lease == '1' and (owner == '' or owner == replica) then
    if owner == '' then
        local fence = math.max(number(LEASE, 'fence') + 1, now)
        redis.call('HSET', LEASE, 'fence', text(fence))
    end
    owner = replica
    redis.call('HSET', LEASE, 'owner', owner, 'expires', text(now + @LEASE * 1000))
elseif owner == replica then
    owner = ''
    redis.call('HSET', LEASE, 'owner', '')
    notify(replica)
end
redis.call('ZREM', INTEREST, replica .. ':1', replica .. ':2')
if interest ~= '0' then redis.call('ZADD', INTEREST, text(now), replica .. ':' .. interest) end
redis.call('ZREMRANGEBYSCORE', INTEREST, '-inf', text(now - @INTEREST * 1000000))
local end_wanted = 0
for _, each in ipairs(redis.call('ZRANGE', INTEREST, 0, -1)) do
    if string.sub(each, -2) == ':2' then end_wanted = 1 end
end
local changes = {}
local known = redis.call('HGET', STATE, 'epoch') or ''
if known ~= '' and known == epoch and tonumber(revision) >= number(STATE, 'horizon') then
    changes = redis.call('XRANGE', CHANGES, '(' .. revision .. '-0', '+', 'COUNT', @READ)
end
local hints = {}
if owner == replica then
    hints = redis.call('LRANGE', HINTS, 0, -1)
    redis.call('DEL', HINTS)
end
keep()
return {text(now), owner == replica and 1 or 0, text(number(LEASE, 'fence')), known,
    text(number(STATE, 'revision')), text(number(STATE, 'horizon')),
    redis.call('HGET', STATE, 'status') or '', changes, hints, end_wanted}
"""

LOAD: Final = """
return {redis.call('HGET', STATE, 'epoch') or '', text(number(STATE, 'revision')),
    text(number(STATE, 'horizon')), redis.call('HGET', STATE, 'status') or '',
    redis.call('HVALS', TASKS), redis.call('XRANGE', CHANGES, '-', '+')}
"""

ADD: Final = """
local replica, fence, epoch, status = unpack(ARGV, 1, 4)
if redis.call('HGET', LEASE, 'fence') ~= fence or redis.call('HGET', STATE, 'epoch') ~= epoch then
    return false
end
local revision = number(STATE, 'revision')
if #ARGV > 4 then revision = math.max(revision, now) end
for index = 5, #ARGV, 3 do
    local task, removed, content = unpack(ARGV, index, index + 2)
    revision = revision + 1
    redis.call('XADD', CHANGES, text(revision) .. '-0', 'c', content)
    if removed == '1' then
        redis.call('HDEL', TASKS, task)
    else
        redis.call('HSET', TASKS, task, text(revision) .. ' ' .. content)
    end
    if redis.call('XLEN', CHANGES) > @MAX then
        local oldest = redis.call('XRANGE', CHANGES, '-', '+', 'COUNT', 1)[1][1]
        redis.call('XDEL', CHANGES, oldest)
        redis.call('HSET', STATE, 'horizon', string.match(oldest, '%d+'))
    end
end
redis.call('HSET', STATE, 'revision', text(revision), 'status', status)
keep()
notify(replica)
return text(revision)
"""

RESET: Final = """
local replica, fence, epoch = unpack(ARGV)
if redis.call('HGET', LEASE, 'fence') ~= fence then return false end
local revision = text(math.max(number(STATE, 'revision') + 1, now))
redis.call('DEL', TASKS, CHANGES)
redis.call('HSET', STATE, 'epoch', epoch, 'revision', revision, 'horizon', revision, 'status', '')
keep()
return revision
"""

REQUEST: Final = """
local replica, hint = unpack(ARGV)
if number(LEASE, 'expires') <= now then return 0 end
redis.call('RPUSH', HINTS, hint)
redis.call('LTRIM', HINTS, -@HINTS, -1)
redis.call('EXPIRE', HINTS, @EXPIRE)
notify(replica)
return 1
"""


class Store(Protocol):
    """A connection to Valkey. Raises `SharedStateUnavailableError`."""

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes]) -> Any:
        """Run a script, and return its response; texts are bytes."""

    def subscribe(
        self, channel: str, callback: Callable[[bytes | None], None]
    ) -> Callable[[], None]:
        """Call back with each message of a channel, and with None if messages may be missing.

        Returns:
            A function that ends this.
        """


class Cipher(Protocol):
    """Encrypts what is stored."""

    def encrypt(self, content: bytes, context: bytes) -> bytes:
        """Return the encrypted content, which can be decrypted only in the same context."""

    def decrypt(self, content: bytes, context: bytes) -> bytes:
        """Return the content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyParents:
    """See `SharedParents`."""

    store: Store
    cipher: Cipher
    replica: str
    """A unique name of this replica, without spaces and colons."""
    scope: str
    """The target, the same on all replicas."""

    def parent(self, name: str, *, full_view: bool) -> ValkeyParent:
        """See `SharedParents`."""
        text = "\n".join([self.scope, name, str(full_view)])
        digest = hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
        return ValkeyParent(self.store, self.cipher, self.replica, digest)


class ValkeyParent:
    """See `SharedParent`."""

    def __init__(self, store: Store, cipher: Cipher, replica: str, digest: str) -> None:
        self._store = store
        self._cipher = cipher
        self._replica = replica
        self._digest = digest
        self._context = digest.encode()
        self._keys = [f"{PREFIX}{{{digest}}}:{key}" for key in KEYS]

    async def exchange(
        self, *, wants_lease: bool, interest: Interest, epoch: bytes, revision: int
    ) -> News:
        """See `SharedParent`."""
        reply = await self._run(EXCHANGE, int(wants_lease), int(interest), epoch.hex(), revision)
        now, leads, fence, known, latest, horizon, status, changes, hints, end_wanted = reply
        return News(
            now=int(now) / 1e6,
            leads=bool(leads),
            fence=int(fence),
            epoch=bytes.fromhex(known.decode()),
            revision=int(latest),
            horizon=int(horizon),
            status=self._decrypt(status),
            changes=[self._change(*each) for each in changes],
            hints=[self._decrypt(each) for each in hints],
            end_wanted=bool(end_wanted),
        )

    async def load(self) -> State:
        """See `SharedParent`."""
        epoch, revision, horizon, status, tasks, changes = await self._run(LOAD)
        return State(
            epoch=bytes.fromhex(epoch.decode()),
            revision=int(revision),
            horizon=int(horizon),
            status=self._decrypt(status),
            tasks=[self._task(each) for each in tasks],
            changes=[self._change(*each) for each in changes],
        )

    async def add(
        self, fence: int, epoch: bytes, changes: Sequence[Change], status: bytes
    ) -> int | None:
        """See `SharedParent`."""
        args: list[str | bytes | int] = [fence, epoch.hex(), self._encrypt(status)]
        for change in changes:
            content = self._encrypt(change.content)
            args += [self._task_key(change.name), int(change.removed), content]
        revision = await self._run(ADD, *args)
        return None if revision is None else int(revision)

    async def reset(self, fence: int, epoch: bytes) -> int | None:
        """See `SharedParent`."""
        revision = await self._run(RESET, fence, epoch.hex())
        return None if revision is None else int(revision)

    async def request(self, hint: bytes) -> None:
        """See `SharedParent`."""
        await self._run(REQUEST, self._encrypt(hint))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `SharedParent`."""

        def receive(message: bytes | None) -> None:
            if message is None:
                callback()
                return
            sender, _, parent = message.decode().partition(" ")
            if parent == self._digest and sender != self._replica:
                callback()

        return self._store.subscribe(CHANNEL, receive)

    async def _run(self, script: str, *args: str | bytes | int) -> Any:
        texts = [each if isinstance(each, bytes) else str(each) for each in args]
        if script is not LOAD:
            texts = [self._replica, *texts]
        return await self._store.run(SCRIPTS[script], self._keys, texts)

    def _task_key(self, name: str) -> bytes:
        return hashlib.blake2b(name.encode(), digest_size=DIGEST_BYTES).digest()

    def _change(self, revision: bytes, fields: Sequence[bytes]) -> Numbered:
        return int(revision.partition(b"-")[0]), self._decrypt(fields[1])

    def _task(self, stored: bytes) -> Numbered:
        revision, _, content = stored.partition(b" ")
        return int(revision), self._decrypt(content)

    def _encrypt(self, content: bytes) -> bytes:
        return self._cipher.encrypt(content, self._context) if content else b""

    def _decrypt(self, content: bytes) -> bytes:
        return self._cipher.decrypt(content, self._context) if content else b""


LIMITS: Final = {
    "@CHANNEL": CHANNEL,
    "@EXPIRE": str(EXPIRE_SECONDS),
    "@LEASE": str(LEASE_MILLISECONDS),
    "@INTEREST": str(INTEREST_SECONDS),
    "@READ": str(MAX_CHANGES_READ),
    "@MAX": str(MAX_CHANGES),
    "@HINTS": str(MAX_HINTS),
}


def _complete(script: str) -> str:
    text = COMMON + script
    for name, value in LIMITS.items():
        text = text.replace(name, value)
    return text


SCRIPTS: Final = {each: _complete(each) for each in (EXCHANGE, LOAD, ADD, RESET, REQUEST)}
"""The complete scripts."""
