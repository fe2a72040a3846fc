"""How a method gets into a model's forward: attention, cache, what a method sees, and `attach`."""
