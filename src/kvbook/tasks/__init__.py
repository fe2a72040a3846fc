"""Tasks that show what a compressed cache still knows."""
