"""A small web on loopback, with a real web's misbehaviour and the truth about it."""
