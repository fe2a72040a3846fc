"""Figure 1, the report's and ours: where its numbers are from, and how the two read side by side."""
