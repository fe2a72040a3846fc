"""The chapters: which there are, what they take, how they are executed and become a book."""
