"""Where pictures are listed: one module a source.

A source that is asked by name has `NAME`, `KEYS` (the environment variables it needs) and
`search(ask, settings, species_id, query)`; one that comes as files has `NAME`,
`files(settings)` and `read(paths, settings, find)`. Both yield Candidates. To add one, write its
module, its terms in crawler/terms.py, a field in crawler/config.py, and name it here.
"""

from crawler.sources import (
    bing,
    brave,
    commons,
    eol,
    flickr,
    gbif,
    google_cse,
    inaturalist,
    openverse,
    plantnet,
    searxng,
    serpapi,
    serper,
)

BY_NAME = {
    source.NAME: source
    for source in (commons, openverse, flickr, searxng, brave, google_cse, serper, serpapi, bing)
}
AS_FILES = {source.NAME: source for source in (eol, gbif, plantnet, inaturalist)}
