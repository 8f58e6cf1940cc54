"""How good: figures from tables of predictions and from any system's run files."""
