"""Images -> verdicts: which pictures are the same, and under which species one of them stays."""
