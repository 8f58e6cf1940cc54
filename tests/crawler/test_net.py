import asyncio

import pytest

from crawler.config import CrawlerSettings, Net
from crawler.net import ForbiddenAddressError, Resolver, is_public
from flora.errors import ConfigError


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_may_be_asked(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "not an address",
    ],
)  # fmt: skip
def test_addresses_inside_may_not(address: str) -> None:
    assert not is_public(address)


def test_a_name_that_leads_inside_is_refused_when_it_is_resolved() -> None:
    async def body() -> None:
        with pytest.raises(ForbiddenAddressError):
            await Resolver({}).resolve("localhost", 80)
        (found,) = await Resolver({"*.test": "127.0.0.1:99"}).resolve("a.test", 80)
        assert (found["host"], found["port"]) == ("127.0.0.1", 99)

    asyncio.run(body())


def test_a_contact_is_required_for_the_real_web() -> None:
    with pytest.raises(ConfigError, match=r"crawler\.contact is empty"):
        CrawlerSettings()
    CrawlerSettings(net=Net(connect_to={"*.test": "127.0.0.1:80"}))
    with pytest.raises(ConfigError, match="must be ip:port"):
        Net(connect_to={"*.test": "example.org:80"})
