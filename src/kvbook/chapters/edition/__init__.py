"""The Chinese edition: the book's prose in Chinese, around the same executed cells."""
