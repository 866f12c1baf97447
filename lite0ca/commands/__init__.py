"""One file a command: its flags, what it does, what it prints."""
