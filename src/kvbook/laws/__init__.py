"""What every method keeps, once more in plain arithmetic."""
