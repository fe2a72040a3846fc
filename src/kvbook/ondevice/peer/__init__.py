"""What runs in llama.cpp's own environment; see ``__main__.py``."""
