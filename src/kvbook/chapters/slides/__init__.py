"""Slides of a chapter: chosen by rule from its executed notebook, shown by reveal.js."""
