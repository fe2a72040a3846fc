"""What `kvbook` does on the command line: a file a command."""
