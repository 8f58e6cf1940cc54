"""Where pictures are listed: one module a source.

A source that is asked by name has `NAME` and `search(ask, settings, species_id, query)`; one
that comes as files has `NAME`, `files(settings)` and `read(paths, settings, find)`. Both yield
Candidates. To add one, write its module, its settings in crawler/config.py, and name it here.
"""

from crawler.sources import commons, eol, gbif, openverse

BY_NAME = {source.NAME: source for source in (commons, openverse)}
AS_FILES = {source.NAME: source for source in (eol, gbif)}
