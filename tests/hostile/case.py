"""One case of the corpus, and ways in which a server may answer."""

import asyncio
from dataclasses import dataclass

from tests.hostile import files
from tests.hostile.server import RULES, Answer, Visit, http

JPEG = files.jpeg()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a server does. Its host is `<name>.test`."""

    name: str
    group: str
    answer: Answer
    expected: str
    why: str = ""
    """Where the outcome was a decision."""
    url: str = ""
    """`{witness}` stands for the port at which nobody may knock; default: the host's /a."""
    robots: Answer | None = None
    tdmrep: Answer | None = None
    system_dns: tuple[str, ...] = ()
    """What the system's resolver says for the host of the case (`<name>.example`)."""
    staged: bool = False
    """Whether it needs a name server of its own."""

    @property
    def host(self) -> str:
        return f"{self.name.replace('_', '-')}.{'example' if self.system_dns else 'test'}"

    def address(self, witness: int) -> str:
        default = f"http://{self.host}:{witness}/a" if self.system_dns else f"http://{self.host}/a"
        return (self.url or default).replace("{witness}", str(witness))

    def answers(self) -> dict[str, Answer]:
        found = {self.host: self.answer}
        for path, answer in zip(RULES, (self.robots, self.tdmrep), strict=True):
            if answer is not None:
                found[self.host + path] = answer
        return found


def fixed(data: bytes) -> Answer:
    """Return an answer of exactly these bytes; `{witness}` in them is filled in."""

    async def answer(visit: Visit) -> None:
        await visit.send(data.replace(b"{witness}", str(visit.witness).encode()))

    return answer


def body(data: bytes, *headers: str, status: str = "200 OK") -> Answer:
    return fixed(http(data, *headers, status=status))


def endless(start: bytes, block: bytes, pause: float = 0.0) -> Answer:
    async def answer(visit: Visit) -> None:
        await visit.send(start)
        while True:
            await visit.send(block)
            await asyncio.sleep(pause)

    return answer


async def silence(_visit: Visit) -> None:
    await asyncio.sleep(3600)


async def hang_up(visit: Visit) -> None:
    visit.writer.close()


def reset(data: bytes) -> Answer:
    async def answer(visit: Visit) -> None:
        await visit.send(data)
        visit.writer.transport.abort()

    return answer


def redirect(to: str, status: str = "302 Found") -> Answer:
    return body(b"", f"Location: {to}", status=status)


async def ever_on(visit: Visit) -> None:
    """Redirect from each number to the next."""
    number = int(visit.path.strip("/a") or 0) + 1
    await visit.send(http(b"", f"Location: /a{number}", status="302 Found"))


async def three_steps(visit: Visit) -> None:
    step = {"/a": "b", "/b": "//three-steps.test/c", "/c": "http://three-steps.test:8080/d"}
    to = step.get(visit.path)
    await visit.send(http(b"", f"Location: {to}", status="301 Moved") if to else http(JPEG))


async def path_seen(visit: Visit) -> None:
    """Answer with a picture where the path has stayed within bounds."""
    safe = not any(part in visit.path for part in ("/../..", "\0", "\\", "#", " ", "\r", "\n"))
    await visit.send(http(JPEG) if safe else http(b"", status="418 Unsafe"))


def group(group: str, *rows: tuple[str, Answer, str] | tuple[str, Answer, str, str]) -> list[Case]:
    return [
        Case(name=row[0], group=group, answer=row[1], expected=str(row[2]), why="".join(row[3:]))
        for row in rows
    ]
