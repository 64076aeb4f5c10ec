"""The names that the offers are created by are those of the chains that the demo network has."""

from urllib.parse import urlsplit

from local.demo import names, offers


def test_every_offer_has_a_chain_that_starts_where_its_url_leads() -> None:
    chains = offers.chains()
    assert list(chains) == list(names.OFFERS)
    for offer, (first, *_) in chains.items():
        url = urlsplit(names.tracking_url(offer, 8090))
        assert (url.scheme, url.hostname, url.port, url.path) == ("http", first.host, 8090, first.path)
