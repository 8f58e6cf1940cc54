"""Shards to a classifier: streams them, fine-tunes a backbone in two steps, evaluates it."""
