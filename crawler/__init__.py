"""Names -> candidates -> images: ask the sources, then fetch politely what they listed."""
